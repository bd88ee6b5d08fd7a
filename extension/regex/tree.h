/*
 * regex/tree.h: a regular expression as a tree. The parser makes it from a pattern. The next
 * stages of compilation use it, and so does code that inspects an expression without running it.
 */
#ifndef CTMS_REGEX_TREE_H
#define CTMS_REGEX_TREE_H

#include "extension/base/compat.h"

#include "nodes/pg_list.h"

typedef struct RegexRange {
    uint32 low;
    uint32 high;
} RegexRange;

/* A set of code points. After regex_set_normalize() its ranges are in order and do not touch. */
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

/* The tree of a pattern in UTF-8, in the current memory context. */
extern RegexParse regex_parse(const char *pattern, uint32 length);

extern bool regex_set_has(const RegexSet *set, uint32 code_point);

#endif
