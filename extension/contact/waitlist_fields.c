/*
 * contact/waitlist_fields.c: runs the validator of waitlists and turns the JSON Pointers in its
 * errors into places of the request.
 */
#include "extension/base/compat.h"

#include "extension/contact/waitlist_fields.h"
#include "extension/waitlist/waitlist.h"

#include "miscadmin.h"
#include "utils/jsonb.h"

/* One reference token, unescaped in place ("~1" is "/", "~0" is "~"). */
static void
unescape_token(char *token)
{
    char *to = token;

    for (const char *from = token; *from != '\0'; from++) {
        if (*from == '~' && (from[1] == '0' || from[1] == '1'))
            *to++ = *++from == '0' ? '~' : '/';
        else
            *to++ = *from;
    }
    *to = '\0';
}

/*
 * Whether the token is an index, which depends on the value that it is applied to. Moves *value
 * on.
 */
static bool
step_into(JsonbValue **value, const char *token, int *index)
{
    JsonbContainer *container =
        *value != NULL && (*value)->type == jbvBinary ? (*value)->val.binary.data : NULL;

    *value = NULL;
    if (container == NULL)
        return false;
    if (JsonContainerIsArray(container)) {
        *index = atoi(token);
        *value = getIthJsonbValueFromContainer(container, *index);
        return true;
    }
    *value = getKeyJsonValueFromContainer(container, token, strlen(token), NULL);
    return false;
}

/* The chain of places is built by recursion, as deep as the instance is nested. */
static void
add_error(BodyErrors *errors, const BodyPlace *place, JsonbValue *value, char *rest,
          const char *message)
{
    char *token = rest;
    BodyPlace next;
    int index;

    check_stack_depth();
    if (rest == NULL || *rest != '/') {
        body_error_add(errors, place, "value_error.schema", "%s", message);
        return;
    }
    token++;
    rest = strchr(token, '/');
    if (rest != NULL) {
        char *tail = pstrdup(rest);

        *rest = '\0';
        rest = tail;
    }
    unescape_token(token);
    next = step_into(&value, token, &index) ? body_index(place, index) : body_key(place, token);
    add_error(errors, &next, value, rest, message);
}

bool
contact_waitlist_fields_check(const char *name, Jsonb *fields, const BodyPlace *place,
                              BodyErrors *errors)
{
    List *found = NIL;
    ListCell *cell;

    if (waitlist_check_fields(name, &fields->root, &found))
        return true;
    foreach (cell, found) {
        WaitlistFieldError *error = lfirst(cell);
        JsonbValue root = {.type = jbvBinary};

        root.val.binary.data = &fields->root;
        root.val.binary.len = VARSIZE_ANY_EXHDR(fields);
        add_error(errors, place, &root, pstrdup(error->instance_location), error->message);
    }
    return false;
}
