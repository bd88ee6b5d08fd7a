/*
 * regex/internal.h: what a tree is translated to: instructions, and the automaton or the
 * backtracker that runs them. Only for this folder and its tests.
 */
#ifndef CTMS_REGEX_INTERNAL_H
#define CTMS_REGEX_INTERNAL_H

#include "extension/regex/tree.h"

/* ---- regex/set.c --------------------------------------------------------- */

extern RegexSet *regex_set_new(void);
extern void regex_set_add(RegexSet *set, uint32 low, uint32 high);
extern void regex_set_add_set(RegexSet *set, const RegexSet *other);
/* Sorts the ranges and joins those that touch. */
extern void regex_set_normalize(RegexSet *set);
extern void regex_set_invert(RegexSet *set);
/* The set for \d, \w, \s or one of their complements, by its letter. */
extern RegexSet *regex_set_of_class(char letter);
extern RegexSet *regex_set_of_dot(void);

/* The set of \p{name} or \p{name=value}; NULL when there is no such property. */
extern RegexSet *regex_set_of_property(const char *name, const char *value);

/* ---- regex/program.c ------------------------------------------------------ */

typedef enum RegexOp {
    OP_SET,   /* one code point of a set, then next */
    OP_SPLIT, /* next or other */
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

/* NULL when the expression is too large. */
extern RegexAutomaton *regex_automaton_new(const RegexProgram *program);
/* The subject is UTF-8. */
extern bool regex_automaton_matches(RegexAutomaton *automaton, const char *subject, uint32 length);

/* ---- regex/backtrack.c ------------------------------------------------------ */

typedef struct RegexBacktracker RegexBacktracker;

extern RegexBacktracker *regex_backtracker_new(const RegexParse *parse);
extern bool
regex_backtracker_matches(const RegexBacktracker *backtracker, const char *subject, uint32 length);

static inline bool
regex_is_word(uint32 c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

#endif
