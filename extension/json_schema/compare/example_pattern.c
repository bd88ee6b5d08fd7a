/*
 * json_schema/compare/example_pattern.c: makes a few strings for a pattern.
 *
 * It walks over the tree of the expression and makes choices: one end or the other of each set,
 * the smallest number of repetitions or a few more, one alternative after the other. It ignores
 * anchors and lookaround, because the caller tries the strings anyway.
 */
#include "extension/base/compat.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "extension/base/utf8.h"
#include "extension/json_schema/compare/example.h"
#include "extension/regex/tree.h"

/* How many strings are made for one pattern, and how many bytes each may have. */
#define N_STRINGS 12
#define MAX_BYTES 4000
#define MAX_PATTERN 2000

typedef struct Choice {
    uint32 state; /* of the random choices */
    StringInfo text;
} Choice;

/*
 * A number below n, for a choice. The first string always takes 0, the second 1, the others any
 * number.
 */
static int
choose(Choice *choice, int n)
{
    if (choice->state < 2)
        return Min((int)choice->state, n - 1);
    choice->state = choice->state * 1664525U + 1013904223U;
    return n > 0 ? (choice->state >> 8) % n : 0;
}

static void
append_of_set(Choice *choice, const RegexSet *set)
{
    static const char *const preferred = "aA0-_. ";
    int n_preferred = strlen(preferred);
    int first = choose(choice, n_preferred);
    uint32 c = 0;

    for (int i = 0; i < n_preferred && !c; i++)
        if (regex_set_has(set, preferred[(first + i) % n_preferred]))
            c = (unsigned char)preferred[(first + i) % n_preferred];
    if (!c && set->n > 0) {
        const RegexRange *range = &set->ranges[choose(choice, set->n)];

        c = choose(choice, 2) ? range->high : range->low;
    }
    if (c == 0 || (c > 0x7F && GetDatabaseEncoding() != PG_UTF8) || (c >= 0xD800 && c <= 0xDFFF))
        return;
    utf8_append_to_server(choice->text, c);
}

static void
append_tree(Choice *choice, const RegexTree *tree)
{
    ListCell *cell;
    int times;

    check_stack_depth();
    CHECK_FOR_INTERRUPTS();
    if (choice->text->len > MAX_BYTES)
        return;
    switch (tree->kind) {
    case TREE_SET: append_of_set(choice, tree->set); break;
    case TREE_SEQUENCE:
    case TREE_GROUP:
        foreach (cell, tree->children)
            append_tree(choice, lfirst(cell));
        break;
    case TREE_CHOICE:
        append_tree(choice, list_nth(tree->children, choose(choice, list_length(tree->children))));
        break;
    case TREE_REPEAT:
        times = tree->minimum + choose(choice, 4);
        if (tree->maximum >= 0)
            times = choose(choice, 5) == 4 ? tree->maximum : Min(times, tree->maximum);
        for (int i = 0; i < times && choice->text->len <= MAX_BYTES; i++)
            append_tree(choice, linitial(tree->children));
        break;
    case TREE_EMPTY:
    case TREE_START:
    case TREE_END:
    case TREE_WORD_EDGE:
    case TREE_NO_WORD_EDGE:
    case TREE_LOOK:
    case TREE_BACK_REFERENCE: break;
    }
}

List *
example_strings_of_pattern(const char *pattern, uint32 length)
{
    List *strings = NIL;
    RegexParse parse;

    if (length > MAX_PATTERN)
        return NIL;
    parse = regex_parse(pattern, length);
    if (!parse.tree || parse.error)
        return NIL;
    for (int i = 0; i < N_STRINGS; i++) {
        Choice choice = {i, makeStringInfo()};

        append_tree(&choice, parse.tree);
        strings = lappend(strings, choice.text);
    }
    return strings;
}
