/*
 * json_regex.c: the entry of regular expressions: chooses how an expression runs.
 */
#include "compat.h"

#include "mb/pg_wchar.h"

#include "json_regex_internal.h"

struct JsonRegex {
    RegexAutomaton *automaton;     /* or */
    RegexBacktracker *backtracker; /* with lookaround or back-references */
};

/* In UTF-8; the same pointer when it is already. */
static const char *
to_utf8(const char *text, uint32 *length)
{
    char *converted;

    if (GetDatabaseEncoding() == PG_UTF8 || *length == 0)
        return text;
    converted = pg_server_to_any(text, *length, PG_UTF8);
    if (converted != text)
        *length = strlen(converted);
    return converted;
}

JsonRegex *
json_regex_compile(const char *pattern, uint32 length, char **error)
{
    const char *text = to_utf8(pattern, &length);
    RegexParse parse = regex_parse(text, length);
    JsonRegex *regex = palloc0(sizeof(JsonRegex));
    RegexProgram *program;

    if (parse.error) {
        *error = parse.error;
        return NULL;
    }
    if (parse.needs_backtracking) {
        regex->backtracker = regex_backtracker_new(&parse);
        if (!regex->backtracker)
            *error = pstrdup("the expression is too large");
        return regex->backtracker ? regex : NULL;
    }
    program = regex_program_new(parse.tree);
    if (program->is_too_large) {
        *error = pstrdup("the expression is too large");
        return NULL;
    }
    regex->automaton = regex_automaton_new(program);
    return regex;
}

bool
json_regex_matches(JsonRegex *regex, const char *subject, uint32 length)
{
    const char *text = to_utf8(subject, &length);
    bool matches;

    if (regex->automaton)
        matches = regex_automaton_matches(regex->automaton, text, length);
    else
        matches = regex_backtracker_matches(regex->backtracker, text, length);
    if (text != subject)
        pfree((char *)text);
    return matches;
}
