/*
 * regex/parse.c: parses a pattern (ECMA-262 with the "u" flag) into a tree.
 *
 * It is more lenient than the standard in one way: a backslash before ASCII punctuation always
 * means that character. The flag forbids this, but many schemas use it.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/base/hex.h"
#include "extension/base/memory_limit.h"
#include "extension/base/utf8.h"
#include "extension/regex/internal.h"

#define MAX_REPEAT 100000

typedef struct Parser {
    const unsigned char *at;
    const unsigned char *end;
    RegexParse result;
    List *group_names; /* char *, NULL for groups without a name */
    List *references;  /* RegexTree, to be resolved at the end */
    bool has_names;
    MemoryUse memory;
} Parser;

static RegexTree *parse_choice(Parser *parser);

static RegexTree *
new_tree(RegexTreeKind kind)
{
    RegexTree *tree = palloc0(sizeof(RegexTree));

    tree->kind = kind;
    return tree;
}

static void
fail(Parser *parser, const char *error)
{
    if (!parser->result.error)
        parser->result.error = pstrdup(error);
    parser->at = parser->end;
}

/* A property takes a hundred times more memory than its name. */
static void
check_growth(const Parser *parser)
{
    CHECK_FOR_INTERRUPTS();
    memory_use_check(&parser->memory, 0);
}

static bool
at_end(const Parser *parser)
{
    return parser->at >= parser->end;
}

static bool
next_is(const Parser *parser, char c)
{
    return !at_end(parser) && *parser->at == (unsigned char)c;
}

static bool
accept(Parser *parser, const char *text)
{
    size_t length = strlen(text);

    if ((size_t)(parser->end - parser->at) < length || memcmp(parser->at, text, length) != 0)
        return false;
    parser->at += length;
    return true;
}

/* ---- escapes ---------------------------------------------------------------------- */

/* Reads exactly n digits; -1 when they are not there. */
static int32
parse_hex(Parser *parser, int n)
{
    int32 value = 0;

    if (parser->end - parser->at < n)
        return -1;
    for (int i = 0; i < n; i++) {
        int digit = hex_value(parser->at[i]);

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    parser->at += n;
    return value;
}

static uint32
parse_braced_code_point(Parser *parser)
{
    uint32 value = 0;
    int n = 0;

    while (!at_end(parser) && hex_value(*parser->at) >= 0 && value <= MAX_CODE_POINT) {
        value = value * 16 + hex_value(*parser->at++);
        n++;
    }
    if (n == 0 || value > MAX_CODE_POINT || !accept(parser, "}"))
        fail(parser, "invalid Unicode escape");
    return value;
}

static uint32
parse_unicode_escape(Parser *parser)
{
    const unsigned char *after;
    int32 high;
    int32 low;

    if (accept(parser, "{"))
        return parse_braced_code_point(parser);
    high = parse_hex(parser, 4);
    if (high < 0) {
        fail(parser, "invalid Unicode escape");
        return 0;
    }
    after = parser->at;
    if (high >= 0xD800 && high < 0xDC00 && accept(parser, "\\u")) {
        low = parse_hex(parser, 4);
        if (low >= 0xDC00 && low < 0xE000)
            return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        parser->at = after;
    }
    return high;
}

/* Reads, after the backslash, an escape that stands for one code point. */
static uint32
parse_character_escape(Parser *parser)
{
    static const char controls[] = "tnvfr";
    static const char values[] = "\t\n\v\f\r";
    unsigned char c = at_end(parser) ? 0 : *parser->at++;
    const char *control = c ? strchr(controls, c) : NULL;
    int32 value;

    if (control)
        return values[control - controls];
    if (c == 'u')
        return parse_unicode_escape(parser);
    if (c == 'x') {
        value = parse_hex(parser, 2);
        if (value < 0)
            fail(parser, "invalid hexadecimal escape");
        return value;
    }
    if (c == 'c' && !at_end(parser) && isalpha(*parser->at))
        return *parser->at++ & 0x1F;
    if (c == '0' && (at_end(parser) || !isdigit(*parser->at)))
        return 0;
    if (c < 0x80 && ispunct(c))
        return c;
    fail(parser, at_end(parser) && c == 0 ? "trailing backslash" : "invalid escape");
    return 0;
}

static char *
parse_property_part(Parser *parser)
{
    const unsigned char *start = parser->at;

    while (!at_end(parser) && (isalnum(*parser->at) || *parser->at == '_'))
        parser->at++;
    return pnstrdup((const char *)start, parser->at - start);
}

static RegexSet *
parse_property(Parser *parser, bool is_negative)
{
    char *name;
    char *value = NULL;
    RegexSet *set = NULL;

    if (accept(parser, "{")) {
        name = parse_property_part(parser);
        if (accept(parser, "="))
            value = parse_property_part(parser);
        if (accept(parser, "}"))
            set = regex_set_of_property(name, value);
    }
    if (!set) {
        fail(parser, "unknown Unicode property");
        return regex_set_new();
    }
    if (is_negative)
        regex_set_invert(set);
    return set;
}

/* Reads, after the backslash, a class such as \d; NULL when it is not one. */
static RegexSet *
parse_class_escape(Parser *parser)
{
    unsigned char c = at_end(parser) ? 0 : *parser->at;

    if (c && strchr("dDwWsS", c)) {
        parser->at++;
        return regex_set_of_class(c);
    }
    if (c == 'p' || c == 'P') {
        parser->at++;
        return parse_property(parser, c == 'P');
    }
    return NULL;
}

/* ---- bracket expressions ------------------------------------------------------------ */

/*
 * Reads one member. If it is a single code point, it goes to *single; otherwise its set is
 * returned.
 */
static RegexSet *
parse_class_atom(Parser *parser, uint32 *single)
{
    RegexSet *set;

    if (!accept(parser, "\\")) {
        *single = utf8_decode(&parser->at, parser->end);
        return NULL;
    }
    if ((set = parse_class_escape(parser)))
        return set;
    *single = accept(parser, "b") ? '\b' : parse_character_escape(parser);
    return NULL;
}

static RegexTree *
parse_bracket(Parser *parser)
{
    RegexTree *tree = new_tree(TREE_SET);
    bool is_negative = accept(parser, "^");

    tree->set = regex_set_new();
    while (!at_end(parser) && !next_is(parser, ']')) {
        uint32 low = 0;
        uint32 high = 0;
        RegexSet *set = parse_class_atom(parser, &low);
        bool is_range =
            parser->end - parser->at > 1 && parser->at[0] == '-' && parser->at[1] != ']';

        check_growth(parser);
        if (is_range) {
            RegexSet *other;

            parser->at++;
            other = parse_class_atom(parser, &high);
            if (set || other)
                fail(parser, "invalid character class");
            else if (low > high)
                fail(parser, "range out of order in character class");
        }
        if (set)
            regex_set_add_set(tree->set, set);
        else
            regex_set_add(tree->set, low, is_range ? high : low);
    }
    if (!accept(parser, "]"))
        fail(parser, "unterminated character class");
    regex_set_normalize(tree->set);
    if (is_negative)
        regex_set_invert(tree->set);
    return tree;
}

/* ---- groups and references ------------------------------------------------------------ */

static char *
parse_group_name(Parser *parser)
{
    const unsigned char *start = parser->at;

    while (!at_end(parser) && *parser->at != '>') {
        unsigned char c = *parser->at;

        if (c < 0x80 && !isalnum(c) && c != '_' && c != '$')
            fail(parser, "invalid group name");
        else
            parser->at++;
    }
    if (parser->at == start || isdigit(*start) || !next_is(parser, '>')) {
        fail(parser, "invalid group name");
        return pstrdup("");
    }
    parser->at++;
    return pnstrdup((const char *)start, parser->at - start - 1);
}

static RegexTree *
close_group(Parser *parser, RegexTree *tree)
{
    tree->children = list_make1(parse_choice(parser));
    if (!accept(parser, ")"))
        fail(parser, "unterminated group");
    return tree;
}

static RegexTree *
parse_look(Parser *parser, bool is_behind, bool is_negative)
{
    RegexTree *tree = new_tree(TREE_LOOK);

    tree->is_behind = is_behind;
    tree->is_negative = is_negative;
    parser->result.needs_backtracking = true;
    return close_group(parser, tree);
}

static RegexTree *
parse_group(Parser *parser)
{
    RegexTree *tree;
    char *name = NULL;

    if (accept(parser, "?:"))
        return close_group(parser, new_tree(TREE_SEQUENCE));
    if (accept(parser, "?="))
        return parse_look(parser, false, false);
    if (accept(parser, "?!"))
        return parse_look(parser, false, true);
    if (accept(parser, "?<="))
        return parse_look(parser, true, false);
    if (accept(parser, "?<!"))
        return parse_look(parser, true, true);
    if (accept(parser, "?<")) {
        ListCell *cell;

        name = parse_group_name(parser);
        parser->has_names = true;
        foreach (cell, parser->group_names)
            if (lfirst(cell) && strcmp(lfirst(cell), name) == 0)
                fail(parser, "duplicate group name");
    } else if (next_is(parser, '?')) {
        fail(parser, "invalid group");
    }
    tree = new_tree(TREE_GROUP);
    tree->group = ++parser->result.n_groups;
    parser->group_names = lappend(parser->group_names, name);
    return close_group(parser, tree);
}

static RegexTree *
parse_reference(Parser *parser)
{
    RegexTree *tree = new_tree(TREE_BACK_REFERENCE);

    if (accept(parser, "k")) {
        if (!accept(parser, "<"))
            fail(parser, "invalid named reference");
        else
            tree->name = parse_group_name(parser);
    } else {
        while (!at_end(parser) && isdigit(*parser->at) && tree->group < 10000)
            tree->group = tree->group * 10 + (*parser->at++ - '0');
    }
    parser->result.needs_backtracking = true;
    parser->references = lappend(parser->references, tree);
    return tree;
}

/* A reference may come before its group, so all references are resolved at the end. */
static void
resolve_references(Parser *parser)
{
    ListCell *cell;

    foreach (cell, parser->references) {
        RegexTree *tree = lfirst(cell);
        ListCell *name;
        int group = 1;

        foreach (name, parser->group_names) {
            if (tree->name && lfirst(name) && strcmp(lfirst(name), tree->name) == 0)
                tree->group = group;
            group++;
        }
        if (tree->group < 1 || tree->group > parser->result.n_groups)
            fail(parser, "reference to a group that does not exist");
    }
}

/* ---- terms ---------------------------------------------------------------------------- */

static RegexTree *
tree_of_set(RegexSet *set)
{
    RegexTree *tree = new_tree(TREE_SET);

    tree->set = set;
    return tree;
}

static RegexTree *
parse_escape(Parser *parser)
{
    RegexSet *set;
    uint32 c;

    if (accept(parser, "b"))
        return new_tree(TREE_WORD_EDGE);
    if (accept(parser, "B"))
        return new_tree(TREE_NO_WORD_EDGE);
    if (next_is(parser, 'k') || (!at_end(parser) && *parser->at >= '1' && *parser->at <= '9'))
        return parse_reference(parser);
    if ((set = parse_class_escape(parser)))
        return tree_of_set(set);
    set = regex_set_new();
    c = parse_character_escape(parser);
    regex_set_add(set, c, c);
    return tree_of_set(set);
}

static RegexTree *
parse_atom(Parser *parser)
{
    RegexSet *set;
    uint32 c;

    if (accept(parser, "^"))
        return new_tree(TREE_START);
    if (accept(parser, "$"))
        return new_tree(TREE_END);
    if (accept(parser, "("))
        return parse_group(parser);
    if (accept(parser, "["))
        return parse_bracket(parser);
    if (accept(parser, "\\"))
        return parse_escape(parser);
    if (accept(parser, "."))
        return tree_of_set(regex_set_of_dot());
    if (strchr("*+?{", *parser->at)) {
        fail(parser, "nothing to repeat");
        return new_tree(TREE_EMPTY);
    }
    if (strchr("}]", *parser->at)) {
        fail(parser, "lone bracket");
        return new_tree(TREE_EMPTY);
    }
    set = regex_set_new();
    c = utf8_decode(&parser->at, parser->end);
    regex_set_add(set, c, c);
    return tree_of_set(set);
}

static int
parse_number(Parser *parser)
{
    int64 value = -1;

    while (!at_end(parser) && isdigit(*parser->at)) {
        value = Max(value, 0) * 10 + (*parser->at++ - '0');
        value = Min(value, PG_INT32_MAX);
    }
    return (int)value;
}

static bool
parse_quantifier(Parser *parser, int *minimum, int *maximum)
{
    *minimum = 0;
    *maximum = -1;
    if (accept(parser, "*"))
        return true;
    if (accept(parser, "+")) {
        *minimum = 1;
        return true;
    }
    if (accept(parser, "?")) {
        *maximum = 1;
        return true;
    }
    if (!accept(parser, "{"))
        return false;
    *minimum = parse_number(parser);
    *maximum = *minimum;
    if (accept(parser, ","))
        *maximum = next_is(parser, '}') ? -1 : parse_number(parser);
    if (*minimum < 0 || !accept(parser, "}"))
        fail(parser, "invalid repetition");
    else if (*maximum >= 0 && *maximum < *minimum)
        fail(parser, "repetition out of order");
    else if (*minimum > MAX_REPEAT)
        fail(parser, "repetition is too large");
    return true;
}

static bool
can_repeat(const RegexTree *tree)
{
    switch (tree->kind) {
    case TREE_START:
    case TREE_END:
    case TREE_WORD_EDGE:
    case TREE_NO_WORD_EDGE:
    case TREE_LOOK: return false;
    case TREE_EMPTY:
    case TREE_SET:
    case TREE_SEQUENCE:
    case TREE_CHOICE:
    case TREE_REPEAT:
    case TREE_GROUP:
    case TREE_BACK_REFERENCE: break;
    }
    return true;
}

static RegexTree *
parse_term(Parser *parser)
{
    RegexTree *atom = parse_atom(parser);
    RegexTree *repeat;
    int minimum;
    int maximum;

    if (!parse_quantifier(parser, &minimum, &maximum))
        return atom;
    if (!can_repeat(atom))
        fail(parser, "nothing to repeat");
    repeat = new_tree(TREE_REPEAT);
    repeat->children = list_make1(atom);
    repeat->minimum = minimum;
    repeat->maximum = maximum;
    repeat->is_lazy = accept(parser, "?");
    return repeat;
}

static RegexTree *
parse_sequence(Parser *parser)
{
    RegexTree *tree = new_tree(TREE_SEQUENCE);

    while (!at_end(parser) && !next_is(parser, '|') && !next_is(parser, ')')) {
        check_growth(parser);
        tree->children = lappend(tree->children, parse_term(parser));
    }
    return tree;
}

static RegexTree *
parse_choice(Parser *parser)
{
    RegexTree *first;
    RegexTree *choice;

    check_stack_depth();
    first = parse_sequence(parser);
    if (!next_is(parser, '|'))
        return first;
    choice = new_tree(TREE_CHOICE);
    choice->children = list_make1(first);
    while (accept(parser, "|"))
        choice->children = lappend(choice->children, parse_sequence(parser));
    return choice;
}

RegexParse
regex_parse(const char *pattern, uint32 length)
{
    Parser parser;

    memset(&parser, 0, sizeof(parser));
    parser.memory = memory_use_begin();
    parser.at = (const unsigned char *)pattern;
    parser.end = parser.at + length;
    parser.result.tree = parse_choice(&parser);
    if (!at_end(&parser))
        fail(&parser, "unmatched closing parenthesis");
    if (!parser.result.error)
        resolve_references(&parser);
    return parser.result;
}
