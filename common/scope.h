/*
 * scope.h: what a client of the REST API may do: the scopes of RFC 6749, 3.3. The REST server, its
 * OpenAPI document and `ctms clients` use the one table. The CHECK of ctms.api_client.scopes has
 * the same names; test/t/281_lists.pl compares them.
 */
#ifndef CTMS_COMMON_SCOPE_H
#define CTMS_COMMON_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

/* A set: the bits of its scopes. */
typedef unsigned scope_set;

#define SCOPE_NONE 0U
#define SCOPE_CONTACTS_READ 1U
#define SCOPE_CONTACTS_WRITE 2U
#define SCOPE_CONTACTS_DELETE 4U
#define SCOPE_STRIPE_WRITE 8U
#define SCOPE_ALL 15U
/* Of a new client: nobody deletes people by mistake. */
#define SCOPE_DEFAULT (SCOPE_ALL & ~SCOPE_CONTACTS_DELETE)

typedef struct scope {
    const char *name;
    scope_set bit;
    scope_set with; /* the scopes that it includes, itself among them */
    const char *description;
} scope;

/* Ends with a row without a name. */
extern const scope scope_table[];

/* Names with any of the separators between them, in any number. Returns false when one of them is
 * unknown; *set then has the others. */
bool scope_read(const char *text, const char *separators, scope_set *set);
/* Appends the names of a set, in the order of the table. */
void scope_append_names(scope_set set, char separator, buf *out);
/* The set with everything that its scopes include. */
scope_set scope_expand(scope_set set);

#endif
