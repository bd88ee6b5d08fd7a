/*
 * json_split.h: cuts a stream of JSON into the texts of its objects, unchanged. cmd_stripe.c calls
 * it.
 *
 * The stream is an object, a list of objects, or any number of those one after the other (JSON
 * lines). Only what is needed to find the end of an object is checked; the database decides whether
 * an object is valid JSON. The memory used is that of the largest object.
 */
#ifndef CTMS_CLI_JSON_SPLIT_H
#define CTMS_CLI_JSON_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Largest object. */
#define JSON_SPLIT_MAX ((size_t)16 << 20)

enum json_split_result {
    JSON_SPLIT_OBJECT,
    JSON_SPLIT_END,
    JSON_SPLIT_INVALID, /* see error; nothing more can be read */
};

struct json_split {
    FILE *file;
    char *text; /* the object, zero-terminated; valid until the next call */
    size_t length;
    size_t capacity;
    unsigned long long line; /* of the file, from 1 */
    bool is_list;            /* between the brackets of a list */
    bool needs_comma;        /* a list has had an object since its last comma */
    bool needs_object;       /* a list has had a comma since its last object */
    char error[128];
};

void json_split_init(struct json_split *split, FILE *file);
enum json_split_result json_split_next(struct json_split *split);
void json_split_free(struct json_split *split);

#endif
