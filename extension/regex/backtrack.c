/*
 * regex/backtrack.c: runs expressions with lookaround or back-references. An automaton cannot run
 * these, so this tries the alternatives in the order of ECMA-262.
 *
 * The time of such a match can grow very fast with the length of the subject, and the memory for
 * its choices with both. So both are limited. The choices are not kept on the C stack, and a match
 * can be cancelled at any moment.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "extension/base/memory_limit.h"
#include "extension/base/utf8.h"
#include "extension/regex/internal.h"

#define MAX_INSTRUCTIONS 50000
#define INTERRUPT_EVERY 1024
#define MAX_STEPS 100000000
/* So many slots are looked at in the time of a step. */
#define SLOTS_OF_STEP 8

typedef enum BacktrackOp {
    TRY_SET,
    TRY_SPLIT, /* next first, then other */
    TRY_START,
    TRY_END,
    TRY_WORD_EDGE,
    TRY_NO_WORD_EDGE,
    TRY_SAVE,     /* slot = position */
    TRY_CLEAR,    /* slots from argument to other = unset */
    TRY_PROGRESS, /* fails when the position equals the slot */
    TRY_LOOK,     /* argument is where the inner expression starts */
    TRY_BACK_REFERENCE,
    TRY_MATCH
} BacktrackOp;

typedef struct Instruction {
    BacktrackOp op;
    bool is_backward;
    bool is_negative;
    int next;
    int other;
    int argument;
    const RegexSet *set;
} Instruction;

struct RegexBacktracker {
    Instruction *instructions;
    int n_instructions;
    int allocated;
    int n_slots; /* two for each group, then one for each loop */
    int start;
    bool is_anchored; /* matches at the start only */
};

/* A choice to come back to, or (when at is NULL) a slot to restore. */
typedef struct Choice {
    int instruction; /* or slot */
    const unsigned char *at;
    const unsigned char *old;
} Choice;

typedef struct Match {
    const RegexBacktracker *expression;
    const unsigned char *start;
    const unsigned char *end;
    const unsigned char **slots;
    Choice *choices;
    Size n_choices;
    Size allocated;
    int64 steps;
    int64 next_check; /* of the steps, and for interrupts */
} Match;

/* ---- translation ---------------------------------------------------------------------- */

static int translate(RegexBacktracker *e, const RegexTree *tree, int next, bool is_backward);

static int
add(RegexBacktracker *e, BacktrackOp op, int next, int argument, bool is_backward)
{
    Instruction *instruction;

    if (e->n_instructions >= MAX_INSTRUCTIONS)
        return 0;
    if (e->n_instructions == e->allocated) {
        e->allocated *= 2;
        e->instructions = repalloc(e->instructions, sizeof(Instruction) * e->allocated);
    }
    instruction = &e->instructions[e->n_instructions];
    memset(instruction, 0, sizeof(*instruction));
    instruction->op = op;
    instruction->next = next;
    instruction->argument = argument;
    instruction->is_backward = is_backward;
    return e->n_instructions++;
}

static int
add_split(RegexBacktracker *e, int body, int next, bool is_lazy)
{
    int at = add(e, TRY_SPLIT, is_lazy ? next : body, 0, false);

    e->instructions[at].other = is_lazy ? body : next;
    return at;
}

/* The groups inside a tree. ECMA-262 clears them before each round of a loop. */
static void
find_groups(const RegexTree *tree, int *low, int *high)
{
    ListCell *cell;

    check_stack_depth();
    if (tree->kind == TREE_GROUP) {
        *low = Min(*low, tree->group);
        *high = Max(*high, tree->group);
    }
    foreach (cell, tree->children)
        find_groups(lfirst(cell), low, high);
}

static int
add_clear(RegexBacktracker *e, const RegexTree *body, int next)
{
    int low = PG_INT32_MAX;
    int high = 0;
    int at;

    find_groups(body, &low, &high);
    if (high == 0)
        return next;
    at = add(e, TRY_CLEAR, next, 2 * low, false);
    e->instructions[at].other = 2 * high + 1;
    return at;
}

static int
translate_repeat(RegexBacktracker *e, const RegexTree *tree, int next, bool is_backward)
{
    const RegexTree *body = linitial(tree->children);
    int slot = e->n_slots++;
    int start = next;

    if (tree->maximum < 0) {
        int loop = add_split(e, 0, next, tree->is_lazy);
        int first = add(e, TRY_PROGRESS, loop, slot, false);

        first = translate(e, body, first, is_backward);
        first = add(e, TRY_SAVE, add_clear(e, body, first), slot, false);
        if (tree->is_lazy)
            e->instructions[loop].other = first;
        else
            e->instructions[loop].next = first;
        start = loop;
    } else {
        for (int i = tree->minimum; i < tree->maximum && e->n_instructions < MAX_INSTRUCTIONS;
             i++) {
            int first = add(e, TRY_PROGRESS, start, slot, false);

            first = translate(e, body, first, is_backward);
            first = add(e, TRY_SAVE, add_clear(e, body, first), slot, false);
            start = add_split(e, first, next, tree->is_lazy);
        }
    }
    for (int i = 0; i < tree->minimum && e->n_instructions < MAX_INSTRUCTIONS; i++) {
        int again = translate(e, body, start, is_backward);

        if (again == start)
            break;
        start = add_clear(e, body, again);
    }
    return start;
}

static int
translate_sequence(RegexBacktracker *e, const RegexTree *tree, int next, bool is_backward)
{
    int n = list_length(tree->children);

    for (int i = 0; i < n; i++)
        next =
            translate(e, list_nth(tree->children, is_backward ? i : n - 1 - i), next, is_backward);
    return next;
}

static int
translate_choice(RegexBacktracker *e, const RegexTree *tree, int next, bool is_backward)
{
    int start = translate(e, llast(tree->children), next, is_backward);

    for (int i = list_length(tree->children) - 2; i >= 0; i--)
        start = add_split(e, translate(e, list_nth(tree->children, i), next, is_backward), start,
                          false);
    return start;
}

static int
translate_look(RegexBacktracker *e, const RegexTree *tree, int next)
{
    int inner =
        translate(e, linitial(tree->children), add(e, TRY_MATCH, 0, 0, false), tree->is_behind);
    int at = add(e, TRY_LOOK, next, inner, false);

    e->instructions[at].is_negative = tree->is_negative;
    return at;
}

static int
translate(RegexBacktracker *e, const RegexTree *tree, int next, bool is_backward)
{
    int at;

    check_stack_depth();
    CHECK_FOR_INTERRUPTS();
    switch (tree->kind) {
    case TREE_EMPTY: return next;
    case TREE_SET:
        at = add(e, TRY_SET, next, 0, is_backward);
        e->instructions[at].set = tree->set;
        return at;
    case TREE_SEQUENCE: return translate_sequence(e, tree, next, is_backward);
    case TREE_CHOICE: return translate_choice(e, tree, next, is_backward);
    case TREE_REPEAT: return translate_repeat(e, tree, next, is_backward);
    case TREE_START: return add(e, TRY_START, next, 0, false);
    case TREE_END: return add(e, TRY_END, next, 0, false);
    case TREE_WORD_EDGE: return add(e, TRY_WORD_EDGE, next, 0, false);
    case TREE_NO_WORD_EDGE: return add(e, TRY_NO_WORD_EDGE, next, 0, false);
    case TREE_GROUP:
        at = add(e, TRY_SAVE, next, 2 * tree->group + !is_backward, false);
        at = translate(e, linitial(tree->children), at, is_backward);
        return add(e, TRY_SAVE, at, 2 * tree->group + is_backward, false);
    case TREE_LOOK: return translate_look(e, tree, next);
    case TREE_BACK_REFERENCE: return add(e, TRY_BACK_REFERENCE, next, tree->group, is_backward);
    }
    return next;
}

RegexBacktracker *
regex_backtracker_new(const RegexParse *parse)
{
    RegexBacktracker *e = palloc0(sizeof(RegexBacktracker));

    e->allocated = 16;
    e->instructions = palloc(sizeof(Instruction) * e->allocated);
    e->n_slots = 2 * (parse->n_groups + 1);
    e->start = translate(e, parse->tree, add(e, TRY_MATCH, 0, 0, false), false);
    e->is_anchored = regex_is_anchored(parse->tree);
    return e->n_instructions < MAX_INSTRUCTIONS ? e : NULL;
}

/* ---- matching --------------------------------------------------------------------------- */

static void
push_choice(Match *match, int instruction, const unsigned char *at, const unsigned char *old)
{
    Choice *choice;

    if (match->n_choices == match->allocated) {
        match->allocated *= 2;
        memory_limit_check(sizeof(Choice) * match->allocated);
        match->choices = repalloc_huge(match->choices, sizeof(Choice) * match->allocated);
    }
    choice = &match->choices[match->n_choices++];
    choice->instruction = instruction;
    choice->at = at;
    choice->old = old;
}

static void
set_slot(Match *match, int slot, const unsigned char *value)
{
    push_choice(match, slot, NULL, match->slots[slot]);
    match->slots[slot] = value;
}

/* Slots that are unset already cost no memory, and little time. */
static void
clear_slots(Match *match, int first, int last)
{
    for (int i = first; i <= last; i++)
        if (match->slots[i])
            set_slot(match, i, NULL);
    match->steps += (last - first) / SLOTS_OF_STEP;
}

/* Goes back to the last choice above the floor; -1 when there is none. */
static int
go_back(Match *match, Size floor, const unsigned char **at)
{
    while (match->n_choices > floor) {
        const Choice *choice = &match->choices[--match->n_choices];

        if (choice->at) {
            *at = choice->at;
            return choice->instruction;
        }
        match->slots[choice->instruction] = choice->old;
    }
    return -1;
}

static bool
is_word_edge(const Match *match, const unsigned char *at)
{
    const unsigned char *before = at;
    bool word_before =
        at > match->start && regex_is_word(utf8_decode_before(&before, match->start, match->end));
    bool word_after = at < match->end && regex_is_word(*at);

    return word_before != word_after;
}

static bool
read_set(const Match *match, const Instruction *instruction, const unsigned char **at)
{
    if (instruction->is_backward)
        return *at > match->start &&
               regex_set_has(instruction->set, utf8_decode_before(at, match->start, match->end));
    return *at < match->end && regex_set_has(instruction->set, utf8_decode(at, match->end));
}

static bool
read_back_reference(const Match *match, const Instruction *instruction, const unsigned char **at)
{
    const unsigned char *from = match->slots[2 * instruction->argument];
    const unsigned char *to = match->slots[2 * instruction->argument + 1];
    ptrdiff_t length;

    if (!from || !to)
        return true;
    length = to - from;
    if (instruction->is_backward) {
        if (*at - match->start < length || memcmp(*at - length, from, length) != 0)
            return false;
        *at -= length;
        return true;
    }
    if (match->end - *at < length || memcmp(*at, from, length) != 0)
        return false;
    *at += length;
    return true;
}

static bool run(Match *match, int instruction, const unsigned char *at);

/* When a lookaround has matched, its groups are kept and its choices are dropped. */
static bool
look(Match *match, const Instruction *instruction, const unsigned char *at)
{
    Size floor = match->n_choices;
    bool matches;
    Size kept = floor;

    check_stack_depth();
    matches = run(match, instruction->argument, at);
    if (!matches || instruction->is_negative) {
        while (match->n_choices > floor) {
            const Choice *choice = &match->choices[--match->n_choices];

            if (!choice->at)
                match->slots[choice->instruction] = choice->old;
        }
        return matches != instruction->is_negative;
    }
    for (Size i = floor; i < match->n_choices; i++)
        if (!match->choices[i].at)
            match->choices[kept++] = match->choices[i];
    match->n_choices = kept;
    return true;
}

/* Runs one instruction; false when it fails here. */
static bool
try_instruction(Match *match, const Instruction *instruction, const unsigned char **at)
{
    switch (instruction->op) {
    case TRY_SET: return read_set(match, instruction, at);
    case TRY_SPLIT: push_choice(match, instruction->other, *at, NULL); return true;
    case TRY_START: return *at == match->start;
    case TRY_END: return *at == match->end;
    case TRY_WORD_EDGE: return is_word_edge(match, *at);
    case TRY_NO_WORD_EDGE: return !is_word_edge(match, *at);
    case TRY_SAVE: set_slot(match, instruction->argument, *at); return true;
    case TRY_CLEAR: clear_slots(match, instruction->argument, instruction->other); return true;
    case TRY_PROGRESS: return *at != match->slots[instruction->argument];
    case TRY_LOOK: return look(match, instruction, *at);
    case TRY_BACK_REFERENCE: return read_back_reference(match, instruction, at);
    case TRY_MATCH: return true;
    }
    return false;
}

static void
check_steps(Match *match)
{
    CHECK_FOR_INTERRUPTS();
    match->next_check = match->steps + INTERRUPT_EVERY;
    if (match->steps > MAX_STEPS)
        ereport(ERROR, errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
                errmsg("regular expression takes too many steps for this value"),
                errhint("Back-references and lookaround can take a number of steps that doubles "
                        "with each character."));
}

static bool
run(Match *match, int instruction, const unsigned char *at)
{
    Size floor = match->n_choices;

    while (instruction >= 0) {
        const Instruction *current = &match->expression->instructions[instruction];

        if (++match->steps >= match->next_check)
            check_steps(match);
        if (current->op == TRY_MATCH)
            return true;
        if (try_instruction(match, current, &at))
            instruction = current->next;
        else
            instruction = go_back(match, floor, &at);
    }
    return false;
}

bool
regex_backtracker_matches(const RegexBacktracker *backtracker, const char *subject, uint32 length)
{
    static const unsigned char nothing[1];
    Match match;
    const unsigned char *at;
    bool matches = false;

    match.expression = backtracker;
    match.start = length > 0 ? (const unsigned char *)subject : nothing;
    match.end = match.start + length;
    match.slots = palloc0(sizeof(unsigned char *) * backtracker->n_slots);
    match.n_choices = 0;
    match.allocated = 64;
    match.choices = palloc(sizeof(Choice) * match.allocated);
    match.steps = 0;
    match.next_check = INTERRUPT_EVERY;
    for (at = match.start; !matches; utf8_decode(&at, match.end)) {
        match.n_choices = 0;
        memset(match.slots, 0, sizeof(unsigned char *) * backtracker->n_slots);
        match.steps += backtracker->n_slots / SLOTS_OF_STEP;
        matches = run(&match, backtracker->start, at);
        if (at >= match.end || backtracker->is_anchored)
            break;
    }
    pfree(match.slots);
    pfree(match.choices);
    return matches;
}
