/*
 * regex/internal.h: the stages of a regular expression: pattern, tree, instructions,
 * automaton.
 */
#ifndef CTMS_JSON_REGEX_INTERNAL_H
#define CTMS_JSON_REGEX_INTERNAL_H

#include "extension/regex/regex.h"
#include "nodes/pg_list.h"

#define MAX_CODE_POINT 0x10FFFFU

typedef struct RegexRange {
    uint32 low;
    uint32 high;
} RegexRange;

/* A set of code points: ranges in order that do not touch, once it is normal. */
typedef struct RegexSet {
    int n;
    int allocated;
    RegexRange *ranges;
} RegexSet;

typedef enum RegexTreeKind {
    TREE_EMPTY,
    TREE_SET,
    TREE_SEQUENCE,
    TREE_CHOICE,
    TREE_REPEAT,
    TREE_START,
    TREE_END,
    TREE_WORD_EDGE,
    TREE_NO_WORD_EDGE,
    TREE_GROUP, /* capturing */
    TREE_LOOK,
    TREE_BACK_REFERENCE
} RegexTreeKind;

typedef struct RegexTree {
    RegexTreeKind kind;
    RegexSet *set;
    List *children; /* RegexTree */
    int minimum;    /* of a repetition */
    int maximum;    /* -1: no limit */
    bool is_lazy;
    bool is_negative; /* lookaround */
    bool is_behind;
    int group;        /* capturing group, or the one referred to */
    const char *name; /* back-reference by name, until it is resolved */
} RegexTree;

typedef struct RegexParse {
    RegexTree *tree;
    int n_groups;
    bool needs_backtracking; /* lookaround or back-references */
    char *error;
} RegexParse;

/* ---- regex/set.c --------------------------------------------------------- */

extern RegexSet *regex_set_new(void);
extern void regex_set_add(RegexSet *set, uint32 low, uint32 high);
extern void regex_set_add_set(RegexSet *set, const RegexSet *other);
/* Sorts and joins ranges. */
extern void regex_set_normalize(RegexSet *set);
extern void regex_set_invert(RegexSet *set);
extern bool regex_set_has(const RegexSet *set, uint32 code_point);
/* \d, \w, \s and their complements by their letter. */
extern RegexSet *regex_set_of_class(char letter);
extern RegexSet *regex_set_of_dot(void);

/* The set of \p{name} or \p{name=value}; NULL when there is no such property. */
extern RegexSet *regex_set_of_property(const char *name, const char *value);

/* ---- regex/parse.c ------------------------------------------------------- */

extern RegexParse regex_parse(const char *pattern, uint32 length);

/* ---- regex/program.c ------------------------------------------------------ */

typedef enum RegexOp {
    OP_SET,   /* one code point of a set, then next */
    OP_SPLIT, /* next or other */
    OP_JUMP,
    OP_START,
    OP_END,
    OP_WORD_EDGE,
    OP_NO_WORD_EDGE,
    OP_MATCH
} RegexOp;

typedef struct RegexInstruction {
    RegexOp op;
    int set; /* index of the set */
    int next;
    int other;
} RegexInstruction;

typedef struct RegexProgram {
    RegexInstruction *instructions;
    int n_instructions;
    int allocated;
    RegexSet **sets;
    int n_sets;
    int allocated_sets;
    int start;
    bool is_anchored; /* matches at the start only */
    bool has_start;
    bool has_word_edge;
    bool is_too_large;
} RegexProgram;

/* Whether every match begins with "^". */
extern bool regex_is_anchored(const RegexTree *tree);

/* Translates a tree without lookaround and back-references. */
extern RegexProgram *regex_program_new(const RegexTree *tree);

/* ---- regex/automaton.c ----------------------------------------------------- */

typedef struct RegexAutomaton RegexAutomaton;

extern RegexAutomaton *regex_automaton_new(const RegexProgram *program);
/* The subject is UTF-8. */
extern bool regex_automaton_matches(RegexAutomaton *automaton, const char *subject, uint32 length);

/* ---- regex/backtrack.c ------------------------------------------------------ */

typedef struct RegexBacktracker RegexBacktracker;

extern RegexBacktracker *regex_backtracker_new(const RegexParse *parse);
extern bool
regex_backtracker_matches(const RegexBacktracker *backtracker, const char *subject, uint32 length);

/* One code point of UTF-8, moving *at; a stray byte stands for itself. */
static inline uint32
regex_decode(const unsigned char **at, const unsigned char *end)
{
    const unsigned char *p = *at;
    uint32 c = *p++;
    int more = c < 0xC0 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : c < 0xF8 ? 3 : 0;

    if (more > 0 && end - p >= more) {
        c &= 0x3F >> more;
        while (more-- > 0)
            c = (c << 6) | (*p++ & 0x3F);
    }
    *at = p;
    return c;
}

static inline bool
regex_is_word(uint32 c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

#endif
