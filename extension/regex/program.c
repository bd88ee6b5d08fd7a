/*
 * regex/program.c: translates a tree into the instructions of a nondeterministic automaton.
 *
 * Counted repetitions are written out. The numbers of instructions and of different sets are
 * limited.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/regex/internal.h"

#define MAX_INSTRUCTIONS 50000
#define MAX_SETS 4096

static int translate(RegexProgram *program, const RegexTree *tree, int next);

static int
add_instruction(RegexProgram *program, RegexOp op, int next, int other)
{
    RegexInstruction *instruction;

    if (program->n_instructions >= MAX_INSTRUCTIONS) {
        program->is_too_large = true;
        return 0;
    }
    if (program->n_instructions == program->allocated) {
        program->allocated *= 2;
        program->instructions =
            repalloc(program->instructions, sizeof(RegexInstruction) * program->allocated);
    }
    instruction = &program->instructions[program->n_instructions];
    instruction->op = op;
    instruction->set = -1;
    instruction->next = next;
    instruction->other = other;
    return program->n_instructions++;
}

static bool
same_set(const RegexSet *a, const RegexSet *b)
{
    return a->n == b->n && memcmp(a->ranges, b->ranges, sizeof(RegexRange) * a->n) == 0;
}

static int
find_set(RegexProgram *program, RegexSet *set)
{
    for (int i = 0; i < program->n_sets; i++)
        if (same_set(program->sets[i], set))
            return i;
    if (program->n_sets == MAX_SETS) {
        program->is_too_large = true;
        return 0;
    }
    if (program->n_sets == program->allocated_sets) {
        program->allocated_sets *= 2;
        program->sets = repalloc(program->sets, sizeof(RegexSet *) * program->allocated_sets);
    }
    program->sets[program->n_sets] = set;
    return program->n_sets++;
}

/*
 * Instructions are made from the end to the start, because each must know the one that follows
 * it.
 */
static int
translate_repeat(RegexProgram *program, const RegexTree *tree, int next)
{
    const RegexTree *body = linitial(tree->children);
    int start = next;

    if (tree->maximum < 0) {
        int loop = add_instruction(program, OP_SPLIT, 0, next);
        int first = translate(program, body, loop);

        program->instructions[loop].next = first;
        start = loop;
    } else {
        for (int i = tree->minimum; i < tree->maximum && !program->is_too_large; i++) {
            int again = translate(program, body, start);

            if (again == start)
                break;
            start = add_instruction(program, OP_SPLIT, again, next);
        }
    }
    for (int i = 0; i < tree->minimum && !program->is_too_large; i++) {
        int again = translate(program, body, start);

        if (again == start) /* an empty body */
            break;
        start = again;
    }
    return start;
}

static int
translate_set(RegexProgram *program, const RegexTree *tree, int next)
{
    int at = add_instruction(program, OP_SET, next, 0);

    program->instructions[at].set = find_set(program, tree->set);
    return at;
}

static int
translate(RegexProgram *program, const RegexTree *tree, int next)
{
    int start = next;
    int i;

    check_stack_depth();
    CHECK_FOR_INTERRUPTS();
    switch (tree->kind) {
    case TREE_SET: return translate_set(program, tree, next);
    case TREE_SEQUENCE:
    case TREE_GROUP:
        for (i = list_length(tree->children) - 1; i >= 0; i--)
            start = translate(program, list_nth(tree->children, i), start);
        return start;
    case TREE_CHOICE:
        start = translate(program, llast(tree->children), next);
        for (i = list_length(tree->children) - 2; i >= 0; i--)
            start = add_instruction(program, OP_SPLIT,
                                    translate(program, list_nth(tree->children, i), next), start);
        return start;
    case TREE_REPEAT: return translate_repeat(program, tree, next);
    case TREE_START: program->has_start = true; return add_instruction(program, OP_START, next, 0);
    case TREE_END: return add_instruction(program, OP_END, next, 0);
    case TREE_WORD_EDGE:
    case TREE_NO_WORD_EDGE:
        program->has_word_edge = true;
        return add_instruction(
            program, tree->kind == TREE_WORD_EDGE ? OP_WORD_EDGE : OP_NO_WORD_EDGE, next, 0);
    case TREE_EMPTY: return next;
    case TREE_LOOK:
    case TREE_BACK_REFERENCE: break;
    }
    elog(ERROR, "a regular expression without an automaton");
}

bool
regex_is_anchored(const RegexTree *tree)
{
    ListCell *cell;

    check_stack_depth();
    switch (tree->kind) {
    case TREE_START: return true;
    case TREE_GROUP: return regex_is_anchored(linitial(tree->children));
    case TREE_SEQUENCE: return tree->children != NIL && regex_is_anchored(linitial(tree->children));
    case TREE_CHOICE:
        foreach (cell, tree->children)
            if (!regex_is_anchored(lfirst(cell)))
                return false;
        return true;
    case TREE_EMPTY:
    case TREE_SET:
    case TREE_REPEAT:
    case TREE_END:
    case TREE_WORD_EDGE:
    case TREE_NO_WORD_EDGE:
    case TREE_LOOK:
    case TREE_BACK_REFERENCE: break;
    }
    return false;
}

RegexProgram *
regex_program_new(const RegexTree *tree)
{
    RegexProgram *program = palloc0(sizeof(RegexProgram));

    program->allocated = 16;
    program->instructions = palloc(sizeof(RegexInstruction) * program->allocated);
    program->allocated_sets = 4;
    program->sets = palloc(sizeof(RegexSet *) * program->allocated_sets);
    program->start = translate(program, tree, add_instruction(program, OP_MATCH, 0, 0));
    program->is_anchored = regex_is_anchored(tree);
    return program;
}
