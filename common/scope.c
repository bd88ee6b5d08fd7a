/* scope.c: see scope.h. */
#include "common/scope.h"

#include <string.h>

const scope scope_table[] = {
    {"contacts:read", SCOPE_CONTACTS_READ, SCOPE_CONTACTS_READ, "read contacts and identities"},
    {"contacts:write", SCOPE_CONTACTS_WRITE, SCOPE_CONTACTS_WRITE | SCOPE_CONTACTS_READ,
     "create and change contacts, and read them"},
    {"contacts:delete", SCOPE_CONTACTS_DELETE, SCOPE_CONTACTS_DELETE,
     "delete all data of contacts"},
    {"stripe:write", SCOPE_STRIPE_WRITE, SCOPE_STRIPE_WRITE, "store Stripe objects"},
    {.name = NULL},
};

static scope_set
find_scope(const char *name, size_t length)
{
    for (const scope *s = scope_table; s->name != NULL; s++) {
        if (strlen(s->name) == length && memcmp(s->name, name, length) == 0)
            return s->bit;
    }
    return SCOPE_NONE;
}

bool
scope_read(const char *text, const char *separators, scope_set *set)
{
    bool is_known = true;

    *set = SCOPE_NONE;
    text += strspn(text, separators);
    while (*text != '\0') {
        size_t length = strcspn(text, separators);
        scope_set found = find_scope(text, length);

        *set |= found;
        is_known &= found != SCOPE_NONE;
        text += length;
        text += strspn(text, separators);
    }
    return is_known;
}

void
scope_append_names(scope_set set, char separator, buf *out)
{
    bool is_first = true;

    for (const scope *s = scope_table; s->name != NULL; s++) {
        if (!(set & s->bit))
            continue;
        if (!is_first)
            buf_append_char(out, separator);
        buf_append_string(out, s->name);
        is_first = false;
    }
}

scope_set
scope_expand(scope_set set)
{
    scope_set all = set;

    for (const scope *s = scope_table; s->name != NULL; s++) {
        if (set & s->bit)
            all |= s->with;
    }
    return all;
}
