/*
 * regex/automaton.c: runs instructions as a deterministic automaton. Its states are built when
 * they are first needed.
 *
 * A state is a set of instructions together with the kind of the code point before them. What
 * "^", "$" and word edges mean is decided when a state is left, because then the next code point
 * is known. Two code points are in the same class when no set of the expression contains only one
 * of them; the end of the subject is one more class. A match is found as soon as leaving a state
 * leads to it, so the rest of the subject is not read.
 */
#include "extension/base/compat.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "extension/base/memory_limit.h"
#include "extension/base/utf8.h"
#include "extension/regex/internal.h"

/* With more classes, tables of sets and of states by class would be too large. */
#define MAX_CLASSES 4096
/* When the states take more memory than this, all of them are dropped together. */
#define MAX_STATE_BYTES (1024 * 1024)
/* When those of all automata of the session take more, others drop theirs. */
#define MAX_STATE_BYTES_OF_ALL (32 * 1024 * 1024)
#define INTERRUPT_EVERY 8192

#define NEXT_UNKNOWN (-1)
#define NEXT_DEAD (-2)
#define NEXT_MATCH (-3)

typedef enum Before { BEFORE_START, BEFORE_WORD, BEFORE_OTHER } Before;

typedef struct State {
    Before before;
    int n_threads;
    int *threads; /* instructions, in order */
    uint32 hash;
    int chain; /* next state of the same bucket, -1 at the end */
} State;

#define N_BUCKETS 256

struct RegexAutomaton {
    const RegexProgram *program;
    MemoryContext context;
    /* Classes. */
    int n_classes; /* not counting the end of the subject, which is number n_classes */
    int16 ascii[128];
    int n_intervals;
    uint32 *interval_starts;
    int16 *interval_classes;
    bool *class_is_word;
    bool *has_class; /* [set * n_classes + class] */
    /* States. */
    MemoryContext states_context;
    Size state_bytes;
    int n_states;
    int allocated_states;
    State *states;
    int32 *next; /* [state * (n_classes + 1) + class] */
    int buckets[N_BUCKETS];
    int start_state;
    dlist_node node; /* in the list of all */
    MemoryContextCallback forget;
    /* Scratch for one step. */
    uint32 *marks;
    uint32 mark;
    int *stack;
    int *threads;
};

static dlist_head all_automata = DLIST_STATIC_INIT(all_automata);
static Size state_bytes_of_all;

/* ---- classes ------------------------------------------------------------------------ */

static int
by_value(const void *a, const void *b)
{
    uint32 x = *(const uint32 *)a;
    uint32 y = *(const uint32 *)b;

    return (x > y) - (x < y);
}

/* Finds the code points at which the membership in some set may change. */
static void
find_intervals(RegexAutomaton *automaton, RegexSet **sets, int n_sets)
{
    Size total = 1;
    int n = 0;
    int unique = 0;
    uint32 *starts;

    for (int i = 0; i < n_sets; i++)
        total += 2 * (Size)sets[i]->n;
    memory_limit_check(sizeof(uint32) * total);
    starts = palloc(sizeof(uint32) * total);
    starts[n++] = 0;
    for (int i = 0; i < n_sets; i++)
        for (int j = 0; j < sets[i]->n; j++) {
            starts[n++] = sets[i]->ranges[j].low;
            starts[n++] = sets[i]->ranges[j].high + 1;
        }
    qsort(starts, n, sizeof(uint32), by_value);
    for (int i = 0; i < n; i++)
        if (unique == 0 || starts[i] != starts[unique - 1])
            starts[unique++] = starts[i];
    automaton->interval_starts = starts;
    automaton->n_intervals = unique;
}

/*
 * Intervals that are in the same sets form one class. The answer is false when there are too many
 * classes.
 */
static bool
find_classes(RegexAutomaton *automaton, RegexSet **sets, int n_sets)
{
    int n_bytes = (n_sets + 7) / 8;
    Size signatures_size = (Size)Max(n_bytes, 1) * automaton->n_intervals;
    int *first = palloc(sizeof(int) * automaton->n_intervals);
    uint8 *signatures;

    memory_limit_check(signatures_size);
    signatures = palloc0(signatures_size);
    automaton->interval_classes = palloc(sizeof(int16) * automaton->n_intervals);
    for (int i = 0; i < automaton->n_intervals; i++) {
        uint8 *signature = signatures + i * n_bytes;
        int class = 0;

        CHECK_FOR_INTERRUPTS();
        for (int j = 0; j < n_sets; j++)
            if (regex_set_has(sets[j], automaton->interval_starts[i]))
                signature[j / 8] |= 1 << (j % 8);
        while (class < automaton->n_classes &&
               memcmp(signatures + first[class] * n_bytes, signature, n_bytes) != 0)
            class ++;
        if (class == MAX_CLASSES)
            return false;
        if (class == automaton->n_classes)
            first[automaton->n_classes++] = i;
        automaton->interval_classes[i] = class;
    }
    automaton->has_class = palloc(Max(n_sets, 1) * automaton->n_classes);
    for (int j = 0; j < n_sets; j++)
        for (int class = 0; class < automaton->n_classes; class ++)
            automaton->has_class[j * automaton->n_classes + class] =
                (signatures[first[class] * n_bytes + j / 8] >> (j % 8)) & 1;
    automaton->class_is_word = palloc(automaton->n_classes);
    for (int class = 0; class < automaton->n_classes; class ++)
        automaton->class_is_word[class] = regex_is_word(automaton->interval_starts[first[class]]);
    pfree(signatures);
    pfree(first);
    return true;
}

static int
class_of(const RegexAutomaton *automaton, uint32 c)
{
    int low = 0;
    int high = automaton->n_intervals - 1;

    while (low < high) {
        int middle = (low + high + 1) / 2;

        if (automaton->interval_starts[middle] <= c)
            low = middle;
        else
            high = middle - 1;
    }
    return automaton->interval_classes[low];
}

static bool
build_classes(RegexAutomaton *automaton)
{
    const RegexProgram *program = automaton->program;
    int n_sets = program->n_sets;
    RegexSet **sets = palloc(sizeof(RegexSet *) * (n_sets + 1));

    for (int i = 0; i < n_sets; i++)
        sets[i] = program->sets[i];
    if (program->has_word_edge)
        sets[n_sets++] = regex_set_of_class('w');
    find_intervals(automaton, sets, n_sets);
    if (!find_classes(automaton, sets, n_sets))
        return false;
    for (int c = 0; c < 128; c++)
        automaton->ascii[c] = class_of(automaton, c);
    pfree(sets);
    return true;
}

/* ---- states ------------------------------------------------------------------------- */

static void
drop_states(RegexAutomaton *automaton)
{
    MemoryContextReset(automaton->states_context);
    state_bytes_of_all -= automaton->state_bytes;
    automaton->n_states = 0;
    automaton->allocated_states = 8;
    automaton->state_bytes = 0;
    automaton->start_state = -1;
    automaton->states =
        MemoryContextAlloc(automaton->states_context, sizeof(State) * automaton->allocated_states);
    automaton->next =
        MemoryContextAlloc(automaton->states_context, sizeof(int32) * automaton->allocated_states *
                                                          (automaton->n_classes + 1));
    for (int i = 0; i < N_BUCKETS; i++)
        automaton->buckets[i] = -1;
}

/*
 * Automata drop their states in turn until half of the room is free. The one that is running keeps
 * its own.
 */
static void
make_room(const RegexAutomaton *running)
{
    dlist_mutable_iter iter;
    dlist_node *last = dlist_tail_node(&all_automata);

    dlist_foreach_modify(iter, &all_automata)
    {
        RegexAutomaton *automaton = dlist_container(RegexAutomaton, node, iter.cur);

        if (automaton != running)
            drop_states(automaton);
        dlist_delete(&automaton->node);
        dlist_push_tail(&all_automata, &automaton->node);
        if (iter.cur == last || state_bytes_of_all <= MAX_STATE_BYTES_OF_ALL / 2)
            break;
    }
}

/* Called when the context of the automaton goes. */
static void
forget_automaton(void *argument)
{
    RegexAutomaton *automaton = argument;

    state_bytes_of_all -= automaton->state_bytes;
    dlist_delete(&automaton->node);
}

static int
add_state(RegexAutomaton *automaton, Before before, int n_threads, uint32 hash)
{
    int width = automaton->n_classes + 1;
    Size bytes = sizeof(State) + sizeof(int) * n_threads + sizeof(int32) * width + 32;
    State *state;
    int number;

    if (state_bytes_of_all > MAX_STATE_BYTES_OF_ALL)
        make_room(automaton);
    if (automaton->n_states == automaton->allocated_states) {
        automaton->allocated_states *= 2;
        automaton->states =
            repalloc(automaton->states, sizeof(State) * automaton->allocated_states);
        automaton->next = repalloc_huge(automaton->next,
                                        sizeof(int32) * automaton->allocated_states * (Size)width);
    }
    number = automaton->n_states++;
    state = &automaton->states[number];
    state->before = before;
    state->n_threads = n_threads;
    state->threads = MemoryContextAlloc(automaton->states_context, sizeof(int) * Max(n_threads, 1));
    memcpy(state->threads, automaton->threads, sizeof(int) * n_threads);
    state->hash = hash;
    state->chain = automaton->buckets[hash % N_BUCKETS];
    automaton->buckets[hash % N_BUCKETS] = number;
    for (int i = 0; i < width; i++)
        automaton->next[number * width + i] = NEXT_UNKNOWN;
    automaton->state_bytes += bytes;
    state_bytes_of_all += bytes;
    return number;
}

/* The state for the threads in the scratch memory; made if it does not exist yet. */
static int
find_state(RegexAutomaton *automaton, Before before, int n_threads)
{
    uint32 hash =
        hash_combine(hash_bytes((const unsigned char *)automaton->threads, sizeof(int) * n_threads),
                     (uint32)before);
    int number = automaton->buckets[hash % N_BUCKETS];

    for (; number >= 0; number = automaton->states[number].chain) {
        const State *state = &automaton->states[number];

        if (state->hash == hash && state->before == before && state->n_threads == n_threads &&
            memcmp(state->threads, automaton->threads, sizeof(int) * n_threads) == 0)
            return number;
    }
    return add_state(automaton, before, n_threads, hash);
}

static int
by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static inline int
start_state(RegexAutomaton *automaton)
{
    if (automaton->start_state < 0) {
        automaton->threads[0] = automaton->program->start;
        automaton->start_state = find_state(automaton, BEFORE_START, 1);
    }
    return automaton->start_state;
}

/* ---- steps -------------------------------------------------------------------------- */

/* Whether an assertion holds between the code point before and the class that follows. */
static bool
assertion_holds(const RegexAutomaton *automaton, RegexOp op, Before before, int class)
{
    bool is_end = class == automaton->n_classes;
    bool word_after = !is_end && automaton->class_is_word[class];

    switch (op) {
    case OP_START: return before == BEFORE_START;
    case OP_END: return is_end;
    case OP_WORD_EDGE: return (before == BEFORE_WORD) != word_after;
    case OP_NO_WORD_EDGE: return (before == BEFORE_WORD) == word_after;
    case OP_SET: /* follow() handles these */
    case OP_SPLIT:
    case OP_MATCH: break;
    }
    pg_unreachable();
}

/*
 * Follows a thread up to the instructions that read a code point, and collects the successors of
 * those that accept the class. Returns true on a match.
 */
static bool
follow(RegexAutomaton *automaton, int thread, Before before, int class, int *n_threads)
{
    const RegexProgram *program = automaton->program;
    uint32 seen = automaton->mark;
    int depth = 0;

    automaton->stack[depth++] = thread;
    while (depth > 0) {
        int at = automaton->stack[--depth];
        const RegexInstruction *instruction = &program->instructions[at];

        if (automaton->marks[at] == seen)
            continue;
        automaton->marks[at] = seen;
        switch (instruction->op) {
        case OP_MATCH: return true;
        case OP_SET:
            if (class < automaton->n_classes &&
                automaton->has_class[instruction->set * automaton->n_classes + class])
                automaton->threads[(*n_threads)++] = instruction->next;
            break;
        case OP_SPLIT:
            automaton->stack[depth++] = instruction->other;
            automaton->stack[depth++] = instruction->next;
            break;
        case OP_START:
        case OP_END:
        case OP_WORD_EDGE:
        case OP_NO_WORD_EDGE:
            if (assertion_holds(automaton, instruction->op, before, class))
                automaton->stack[depth++] = instruction->next;
            break;
        }
    }
    return false;
}

static int
unique_threads(RegexAutomaton *automaton, int n)
{
    int unique = 0;

    qsort(automaton->threads, n, sizeof(int), by_number);
    for (int i = 0; i < n; i++)
        if (unique == 0 || automaton->threads[i] != automaton->threads[unique - 1])
            automaton->threads[unique++] = automaton->threads[i];
    return unique;
}

static Before
before_after(const RegexAutomaton *automaton, int class)
{
    if (automaton->program->has_word_edge && automaton->class_is_word[class])
        return BEFORE_WORD;
    return BEFORE_OTHER;
}

/* The state that another state leads to on a class. The answer is stored for the next time. */
static int
step(RegexAutomaton *automaton, int number, int class)
{
    int width = automaton->n_classes + 1;
    State state = automaton->states[number];
    int n_threads = 0;
    int next = NEXT_DEAD;

    CHECK_FOR_INTERRUPTS();
    automaton->mark++;
    if (automaton->mark == 0) {
        memset(automaton->marks, 0, sizeof(uint32) * automaton->program->n_instructions);
        automaton->mark = 1;
    }
    for (int i = 0; i < state.n_threads; i++)
        if (follow(automaton, state.threads[i], state.before, class, &n_threads)) {
            automaton->next[number * width + class] = NEXT_MATCH;
            return NEXT_MATCH;
        }
    if (class < automaton->n_classes) {
        if (!automaton->program->is_anchored)
            automaton->threads[n_threads++] = automaton->program->start;
        n_threads = unique_threads(automaton, n_threads);
        if (n_threads > 0) {
            if (automaton->state_bytes > MAX_STATE_BYTES) {
                drop_states(automaton);
                return find_state(automaton, before_after(automaton, class), n_threads);
            }
            next = find_state(automaton, before_after(automaton, class), n_threads);
        }
    }
    automaton->next[number * width + class] = next;
    return next;
}

/* The class of the code point at *at, which is not ASCII; moves *at past it. */
static pg_noinline int
next_class(const RegexAutomaton *automaton, const unsigned char **at, const unsigned char *end)
{
    return class_of(automaton, utf8_decode(at, end));
}

/* The state after a class, from the table if it is there. */
static inline int
next_state(RegexAutomaton *automaton, int state, int class)
{
    int next = automaton->next[state * (automaton->n_classes + 1) + class];

    return next == NEXT_UNKNOWN ? step(automaton, state, class) : next;
}

bool
regex_automaton_matches(RegexAutomaton *automaton, const char *subject, uint32 length)
{
    const unsigned char *at = (const unsigned char *)subject;
    const unsigned char *end = at + length;
    int state = start_state(automaton);

    while (at < end) {
        const unsigned char *pause = end - at > INTERRUPT_EVERY ? at + INTERRUPT_EVERY : end;

        CHECK_FOR_INTERRUPTS();
        while (at < pause) {
            const int32 *row = &automaton->next[state * (automaton->n_classes + 1)];
            int next;

            /* While the state stays, as in ".+", no load has to wait for another. */
            while (at < pause && *at < 128 && row[automaton->ascii[*at]] == state)
                at++;
            if (at == pause)
                break;
            next =
                next_state(automaton, state,
                           *at < 128 ? automaton->ascii[*at++] : next_class(automaton, &at, end));
            if (next < 0)
                return next == NEXT_MATCH;
            state = next;
        }
    }
    return next_state(automaton, state, automaton->n_classes) == NEXT_MATCH;
}

RegexAutomaton *
regex_automaton_new(const RegexProgram *program)
{
    RegexAutomaton *automaton = palloc0(sizeof(RegexAutomaton));
    int n = program->n_instructions;

    automaton->program = program;
    automaton->context = CurrentMemoryContext;
    if (!build_classes(automaton))
        return NULL;
    /* Each instruction may be pushed by two others, and each thread starts a walk of its own. */
    automaton->marks = palloc0(sizeof(uint32) * n);
    automaton->stack = palloc(sizeof(int) * (2 * n + 2));
    automaton->threads = palloc(sizeof(int) * (n + 2));
    automaton->states_context = AllocSetContextCreate(
        CurrentMemoryContext, "regular expression states", ALLOCSET_SMALL_SIZES);
    drop_states(automaton);
    dlist_push_tail(&all_automata, &automaton->node);
    automaton->forget.func = forget_automaton;
    automaton->forget.arg = automaton;
    MemoryContextRegisterResetCallback(CurrentMemoryContext, &automaton->forget);
    return automaton;
}
