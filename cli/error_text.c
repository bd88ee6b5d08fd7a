/*
 * error_text.c: turns the JSON error lists of the extension into readable lines, and refused logins
 * into advice; see error_text.h.
 */
#include "cli/error_text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

/* More errors than this do not help a reader; the rest is only counted. */
#define MAX_LINES 20

static void
print_plain(FILE *stream, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");

        fprintf(stream, "  %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

/* ["body", "newsletters", 0, "name"] becomes body.newsletters[0].name */
static void
print_loc(FILE *stream, const json_t *loc)
{
    size_t i;
    json_t *step;

    json_array_foreach(loc, i, step)
    {
        if (json_is_integer(step))
            fprintf(stream, "[%" JSON_INTEGER_FORMAT "]", json_integer_value(step));
        else if (json_is_string(step))
            fprintf(stream, "%s%s", i > 0 ? "." : "", json_string_value(step));
    }
}

static const char *
member(const json_t *entry, const char *name)
{
    return json_string_value(json_object_get(entry, name));
}

/* {"loc", "msg"} or {"instanceLocation", "keywordLocation", "error"}; false for others. */
static bool
print_problem(FILE *stream, const json_t *problem, const char *indent)
{
    const char *message = member(problem, "msg");
    const json_t *loc = json_object_get(problem, "loc");
    const char *place = member(problem, "instanceLocation");
    const char *rule = member(problem, "keywordLocation");

    if (message && json_is_array(loc)) {
        fprintf(stream, "%sat ", indent);
        print_loc(stream, loc);
        fprintf(stream, ": %s\n", message);
        return true;
    }
    message = member(problem, "error");
    if (!message || !(place || rule))
        return false;
    if (!place)
        place = rule;
    fprintf(stream, "%sat %s: %s", indent, *place ? place : "the top", message);
    if (place != rule && rule && *rule)
        fprintf(stream, " (schema: %s)", rule);
    fputc('\n', stream);
    return true;
}

/* Prints a problem, {"email_id", "name", "errors": [problem, ...]} of a stored row, or {"more"}. */
static bool
print_entry(FILE *stream, const json_t *entry)
{
    const char *id = member(entry, "email_id");
    const json_t *more = json_object_get(entry, "more");
    const json_t *errors = json_object_get(entry, "errors");
    size_t i;
    json_t *problem;

    if (json_is_integer(more)) {
        fprintf(stream, "  and %" JSON_INTEGER_FORMAT " more\n", json_integer_value(more));
        return true;
    }
    if (!id || !json_is_array(errors))
        return print_problem(stream, entry, "  ");
    fprintf(stream, "  contact %s", id);
    if (member(entry, "name"))
        fprintf(stream, " on \"%s\"", member(entry, "name"));
    fputs(":\n", stream);
    json_array_foreach(errors, i, problem) print_problem(stream, problem, "    ");
    return true;
}

static void
print_detail(FILE *stream, const char *detail)
{
    json_t *list = *detail == '[' ? json_loads(detail, 0, NULL) : NULL;
    size_t i;
    json_t *entry;
    bool is_known = json_array_size(list) > 0;

    json_array_foreach(list, i, entry)
    {
        if (i >= MAX_LINES) {
            fprintf(stream, "  and %zu more\n", json_array_size(list) - i);
            break;
        }
        is_known = is_known && print_entry(stream, entry);
        if (!is_known)
            break;
    }
    if (!is_known)
        print_plain(stream, detail);
    json_decref(list);
}

void
error_text_print_lines(FILE *stream, const char *text)
{
    buf visible = BUF_INIT;

    while (*text) {
        size_t length = strcspn(text, "\n");

        buf_append_visible(&visible, text, length);
        buf_append_char(&visible, '\n');
        text += length + (text[length] == '\n');
    }
    fwrite(buf_text(&visible), 1, visible.length, stream);
    buf_free(&visible);
}

void
error_text_print_detail(FILE *stream, const char *detail)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);

    if (!memory)
        return;
    print_detail(memory, detail);
    fclose(memory);
    if (text)
        error_text_print_lines(stream, text);
    free(text);
}

/* The message has the words, and between them the name in quotes. */
static bool
says(const char *message, const char *before, const char *name, const char *after)
{
    buf text = BUF_INIT;
    bool is_said;

    buf_printf(&text, "%s\"%s\"%s", before, name, after);
    is_said = strstr(message, buf_text(&text)) != NULL;
    buf_free(&text);
    return is_said;
}

void
error_text_append_role(buf *text, const char *role)
{
    buf_append_char(text, '"');
    for (; *role; role++) {
        if (*role == '"')
            buf_append_char(text, '"');
        buf_append_char(text, *role);
    }
    buf_append_char(text, '"');
}

/* A shell takes the name for nothing but a name. */
static bool
is_plain(const char *name)
{
    return *name != '-' && name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                             "0123456789_.-")] == '\0';
}

char *
error_text_advise_login(const char *message, const char *role, bool is_local)
{
    buf advice = BUF_INIT;

    if (says(message, "role ", role, " does not exist")) {
        buf_append_string(&advice, is_local ? "run it as a user who has a role there that is a "
                                              "member of ctms_admin, or as \"sudo -u postgres "
                                              "ctms ...\"; or "
                                            : "name another user in CTMS_DB_URL, or ");
        buf_append_string(&advice, "make the role: CREATE ROLE ");
        error_text_append_role(&advice, role);
        buf_append_string(&advice, " LOGIN IN ROLE ctms_admin");
    } else if (says(message, "Peer authentication failed for user ", role, "")) {
        buf_printf(
            &advice,
            "over its socket the server lets only the system user \"%s\" be this role: ", role);
        if (is_plain(role))
            buf_printf(&advice, "\"sudo -u %s ctms ...\", or ", role);
        buf_append_string(&advice, "a host and a password in CTMS_DB_URL");
    } else if (strstr(message, "permission denied for database")) {
        buf_append_string(&advice, "as a superuser: GRANT ctms_admin TO ");
        error_text_append_role(&advice, role);
        buf_append_string(&advice, ", and GRANT CONNECT ON DATABASE ... TO ctms_admin");
    } else {
        return NULL;
    }
    return buf_steal(&advice);
}
