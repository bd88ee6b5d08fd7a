/*
 * target_regex.c: a regular expression against a subject.
 *
 * The first line is the pattern, the rest is the subject. If the backtracker ends in time, it must
 * give the same verdict as the automaton.
 */
#include "test/fuzz/backend/fuzz.h"

#include "extension/regex/internal.h"
#include "extension/regex/regex.h"

#define LINEAR_LIMIT_MS 5000
#define BACKTRACK_LIMIT_MS 300

typedef struct Attempt {
    const char *pattern;
    const char *subject;
    size_t length;
    Regex *regex;
    const RegexBacktracker *backtracker;
    bool matches;
} Attempt;

static void
match_as_chosen(void *argument)
{
    Attempt *attempt = argument;

    attempt->matches = regex_matches(attempt->regex, attempt->subject, attempt->length);
}

static void
match_backtracking(void *argument)
{
    Attempt *attempt = argument;

    attempt->matches =
        regex_backtracker_matches(attempt->backtracker, attempt->subject, attempt->length);
}

void
fuzz_regex(const char *data, size_t size)
{
    Attempt attempt = {0};
    RegexParse parse;
    char *error = NULL;
    FuzzOutcome outcome;
    bool matches;

    if (!fuzz_is_text(data, size))
        return;
    attempt.pattern = fuzz_split(data, size, &attempt.subject, &attempt.length);
    attempt.regex = regex_compile(attempt.pattern, strlen(attempt.pattern), &error);
    FUZZ_CHECK((attempt.regex == NULL) == (error != NULL));
    if (!attempt.regex)
        return;
    parse = regex_parse(attempt.pattern, strlen(attempt.pattern));
    FUZZ_CHECK(!parse.error);
    outcome = fuzz_try(match_as_chosen, &attempt,
                       parse.needs_backtracking ? BACKTRACK_LIMIT_MS : LINEAR_LIMIT_MS);
    FUZZ_CHECK(outcome != FUZZ_CANCELLED || parse.needs_backtracking);
    if (outcome != FUZZ_DONE)
        return;
    matches = attempt.matches;
    match_as_chosen(&attempt);
    FUZZ_CHECK(attempt.matches == matches);
    attempt.backtracker = regex_backtracker_new(&parse);
    if (attempt.backtracker &&
        fuzz_try(match_backtracking, &attempt, BACKTRACK_LIMIT_MS) == FUZZ_DONE)
        FUZZ_CHECK(attempt.matches == matches);
}
