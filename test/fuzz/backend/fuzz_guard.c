/* fuzz_guard.c: runs a part of a target with a time limit, and catches its errors. */
#include "test/fuzz/backend/fuzz.h"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "utils/memutils.h"

static volatile sig_atomic_t is_cancelling;
static int current_limit_ms;

static void
start_timer(int ms)
{
    struct itimerval timer = {{0, 0}, {ms / 1000, (ms % 1000) * 1000}};

    setitimer(ITIMER_REAL, &timer, NULL);
}

static void
out_of_time(int signal_number)
{
    if (is_cancelling) {
        static const char message[] = "fuzz: FINDING: a cancel has no effect\n";

        (void)!write(STDERR_FILENO, message, sizeof(message) - 1);
        abort();
    }
    is_cancelling = true;
    InterruptPending = true;
    QueryCancelPending = true;
    start_timer(current_limit_ms);
}

static bool
is_users_error(int sqlstate)
{
    switch (sqlstate) {
    case ERRCODE_INVALID_PARAMETER_VALUE:
    case ERRCODE_INVALID_TEXT_REPRESENTATION:
    case ERRCODE_UNTRANSLATABLE_CHARACTER:
    case ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE:
    case ERRCODE_STATEMENT_TOO_COMPLEX:
    case ERRCODE_PROGRAM_LIMIT_EXCEEDED: return true;
    default: return strncmp(unpack_sql_state(sqlstate), "CT", 2) == 0;
    }
}

static FuzzOutcome
judge_error(void)
{
    ErrorData *error = CopyErrorData();

    FlushErrorState();
    if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && is_cancelling)
        return FUZZ_CANCELLED;
    if (!is_users_error(error->sqlerrcode)) {
        fprintf(stderr, "fuzz: %s %s (%s:%d)\n", unpack_sql_state(error->sqlerrcode),
                error->message, error->filename, error->lineno);
        fuzz_finding(__FILE__, __LINE__, "only errors that input may lead to");
    }
    return FUZZ_REFUSED;
}

FuzzOutcome
fuzz_try(void (*function)(void *), void *argument, int limit_ms)
{
    MemoryContext context = CurrentMemoryContext;
    volatile FuzzOutcome outcome = FUZZ_DONE;
    int outer_limit_ms = current_limit_ms;

    pqsignal(SIGALRM, out_of_time);
    is_cancelling = false;
    current_limit_ms = limit_ms;
    start_timer(limit_ms);
    PG_TRY();
    {
        function(argument);
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        outcome = judge_error();
    }
    PG_END_TRY();
    start_timer(0);
    if (is_cancelling) {
        is_cancelling = false;
        QueryCancelPending = false;
        outcome = FUZZ_CANCELLED;
    }
    current_limit_ms = outer_limit_ms;
    if (outer_limit_ms)
        start_timer(outer_limit_ms);
    return outcome;
}
