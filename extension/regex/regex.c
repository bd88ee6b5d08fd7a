/*
 * regex/regex.c: compiles regular expressions and runs them. It decides whether an expression
 * runs as automata or by backtracking.
 */
#include "extension/base/compat.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "extension/base/utf8.h"
#include "extension/regex/internal.h"
#include "extension/regex/regex.h"

/* One automaton that the subject must match, or must not. */
typedef struct Condition {
    RegexAutomaton *automaton;
    bool is_negative;
} Condition;

struct Regex {
    Condition *conditions; /* when used, the subject must meet all of them */
    int n_conditions;
    RegexBacktracker *backtracker; /* otherwise: lookaround or back-references elsewhere */
    bool is_utf8; /* as the server's encoding is, so subjects are used as they are */
};

static bool
needs_backtracking(const RegexTree *tree)
{
    ListCell *cell;

    check_stack_depth();
    switch (tree->kind) {
    case TREE_LOOK:
    case TREE_BACK_REFERENCE: return true;
    case TREE_EMPTY:
    case TREE_SET:
    case TREE_SEQUENCE:
    case TREE_CHOICE:
    case TREE_REPEAT:
    case TREE_START:
    case TREE_END:
    case TREE_WORD_EDGE:
    case TREE_NO_WORD_EDGE:
    case TREE_GROUP: break;
    }
    foreach (cell, tree->children)
        if (needs_backtracking(lfirst(cell)))
            return true;
    return false;
}

/* "^" and what follows it. */
static RegexTree *
tree_from_start(RegexTree *start, List *rest)
{
    RegexTree *tree = palloc0(sizeof(RegexTree));

    tree->kind = TREE_SEQUENCE;
    tree->children = list_concat(list_make1(start), rest);
    return tree;
}

static bool
add_condition(Regex *regex, const RegexTree *tree, bool is_negative)
{
    RegexProgram *program = regex_program_new(tree);
    Condition *condition = &regex->conditions[regex->n_conditions++];

    if (program->is_too_large)
        return false;
    condition->automaton = regex_automaton_new(program);
    condition->is_negative = is_negative;
    return condition->automaton != NULL;
}

/*
 * A lookahead right after "^" only demands that the subject also matches, or does not match, one
 * more expression: "^(?=a)(?!b)c" is "^a", not "^b", and "^c". False when the expression does not
 * have this form.
 */
static bool
split_lookahead(Regex *regex, const RegexTree *tree, bool *is_too_large)
{
    int n = list_length(tree->children);
    RegexTree *start;
    int n_looks = 0;

    if (tree->kind != TREE_SEQUENCE || n == 0 ||
        (start = linitial(tree->children))->kind != TREE_START)
        return false;
    for (int i = 1; i < n; i++) {
        const RegexTree *child = list_nth(tree->children, i);
        bool is_look = child->kind == TREE_LOOK && !child->is_behind && i == n_looks + 1;

        if (needs_backtracking(is_look ? linitial(child->children) : child))
            return false;
        n_looks += is_look;
    }
    regex->conditions = palloc(sizeof(Condition) * (n_looks + 1));
    for (int i = 1; i <= n_looks; i++) {
        const RegexTree *look = list_nth(tree->children, i);

        *is_too_large |= !add_condition(regex, tree_from_start(start, list_copy(look->children)),
                                        look->is_negative);
    }
    *is_too_large |= !add_condition(
        regex, tree_from_start(start, list_copy_tail(tree->children, n_looks + 1)), false);
    return true;
}

Regex *
regex_compile(const char *pattern, uint32 length, char **error)
{
    const char *text = utf8_of_server(pattern, &length);
    RegexParse parse = regex_parse(text, length);
    Regex *regex = palloc0(sizeof(Regex));
    bool is_too_large = false;

    regex->is_utf8 = GetDatabaseEncoding() == PG_UTF8;
    if (parse.error) {
        *error = parse.error;
        return NULL;
    }
    if (!parse.needs_backtracking) {
        regex->conditions = palloc(sizeof(Condition));
        is_too_large = !add_condition(regex, parse.tree, false);
    } else if (!split_lookahead(regex, parse.tree, &is_too_large)) {
        regex->backtracker = regex_backtracker_new(&parse);
        is_too_large = !regex->backtracker;
    }
    if (is_too_large)
        *error = pstrdup("the expression is too large");
    return is_too_large ? NULL : regex;
}

static bool
holds_all(const Regex *regex, const char *text, uint32 length)
{
    for (int i = 0; i < regex->n_conditions; i++)
        if (regex_automaton_matches(regex->conditions[i].automaton, text, length) ==
            regex->conditions[i].is_negative)
            return false;
    return true;
}

bool
regex_is_linear(const Regex *regex)
{
    return !regex->backtracker;
}

bool
regex_matches(Regex *regex, const char *subject, uint32 length)
{
    const char *text = regex->is_utf8 ? subject : utf8_of_server(subject, &length);
    bool matches;

    if (regex->backtracker)
        matches = regex_backtracker_matches(regex->backtracker, text, length);
    else
        matches = holds_all(regex, text, length);
    if (text != subject)
        pfree((char *)text);
    return matches;
}
