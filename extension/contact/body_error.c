/*
 * contact/body_error.c: collects the faults of a request and raises them as one CT422.
 */
#include "extension/base/compat.h"

#include "extension/base/errors.h"
#include "extension/base/message.h"
#include "extension/contact/body_error.h"
#include "extension/json/text.h"

/* More than anyone reads. A body with a million broken items must not become a huge message. */
#define MAX_ERRORS 1000

const BodyPlace body_root = {.key = "body", .key_len = 4};
const BodyPlace query_root = {.key = "query", .key_len = 5};
const BodyPlace path_root = {.key = "path", .key_len = 4};

void
body_errors_init(BodyErrors *errors)
{
    initStringInfo(&errors->json);
    errors->count = 0;
}

static void
write_place(StringInfo out, const BodyPlace *place)
{
    if (place->parent != NULL) {
        write_place(out, place->parent);
        appendStringInfoString(out, ", ");
    }
    if (place->key != NULL)
        json_text_write(out, place->key, place->key_len);
    else
        appendStringInfo(out, "%d", place->index);
}

void
body_error_add(BodyErrors *errors, const BodyPlace *place, const char *type, const char *format,
               ...)
{
    va_list arguments;
    char *message;
    StringInfo out = &errors->json;

    if (++errors->count > MAX_ERRORS)
        return;
    va_start(arguments, format);
    message = message_vformat(format, arguments);
    va_end(arguments);

    appendStringInfoString(out, errors->count == 1 ? "[{\"loc\": [" : ", {\"loc\": [");
    write_place(out, place);
    appendStringInfoString(out, "], \"msg\": ");
    json_text_write(out, message, strlen(message));
    appendStringInfoString(out, ", \"type\": ");
    json_text_write(out, type, strlen(type));
    appendStringInfoChar(out, '}');
    pfree(message);
}

void
body_errors_raise(BodyErrors *errors)
{
    if (errors->count == 0)
        return;
    ereport(ERROR, errcode(ERRCODE_CTMS_INVALID),
            errmsg_plural("the request has %d error", "the request has %d errors", errors->count,
                          errors->count),
            errdetail_internal("%s]", errors->json.data));
}

void
body_error_add_null(BodyErrors *errors, const BodyPlace *place)
{
    body_error_add(errors, place, "type_error.none.not_allowed", "none is not an allowed value");
}

void
body_error_add_missing(BodyErrors *errors, const BodyPlace *place)
{
    body_error_add(errors, place, "value_error.missing", "field required");
}
