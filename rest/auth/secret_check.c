/*
 * auth/secret_check.c: takes checks of client secrets from the question to the answer; see
 * secret_check.h. All of it runs in the thread of the event loop.
 */
#include "rest/auth/secret_check.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/buf.h"
#include "common/clock.h"
#include "rest/auth/secret_memory.h"
#include "rest/auth/secret_pace.h"
#include "rest/auth/secret_queue.h"

/* Longer ones belong to no client. */
#define ID_MAX 255
#define SECRET_MAX 1024
/* Checks that wait: with one id from one address, from one address, and all. */
#define WAITING_OF_ID_MAX 256
#define WAITING_OF_ADDRESS_MAX 512
#define WAITING_MAX 2048
/* Checks that probably nobody waits for, and that are done when nothing else waits. */
#define LEFT_BEHIND_MAX 16
/* Refusals that wait at one time; each holds a connection. */
#define HELD_MAX 1024
#define GOOD_PAIRS 1024
#define BAD_PAIRS 4096
#define BAD_PAIR_S 10.0
/* A refusal that needed no argon2 counts as this much work. */
#define REFUSAL_WORK_S 0.005
/* How often to look for those who have gone. */
#define SWEEP_S 0.05

typedef enum check_state {
    CHECK_WAITING,     /* in the queue */
    CHECK_LEFT_BEHIND, /* waits, but probably nobody waits for it */
    CHECK_RUNNING,     /* with a thread */
    CHECK_FINISHED,    /* its result will be told when the time has come */
} check_state;

struct secret_check {
    secret_turn turn;
    secret_job job;
    secret_checker *owner;
    secret_check *previous, *next; /* of all checks, the oldest first */
    check_state state;
    char address[INET6_ADDRSTRLEN]; /* as queue and pace know it */
    char *client_id, *secret;
    char *hash, *cost; /* may be NULL */
    secret_digest pair;
    secret_callback callback; /* NULL: abandoned */
    bool (*is_awaited)(void *arg);
    void *arg;
    double before_s; /* last turn of its address before this one */
    bool is_held;
    secret_result result;
    struct event *told; /* when it is finished */
};

struct secret_checker {
    struct event_base *base;
    secret_threads *threads;
    secret_queue queue;
    secret_memory *good, *bad;
    secret_pace pace;
    secret_digest key;
    secret_check *first, *last;
    int running_count, left_behind_count, held_count;
    struct event *sweep;
};

static void begin_next(secret_checker *checker);

/* ---- one check --------------------------------------------------------------------- */

/* The networks of IPv6 give a customer 2^64 addresses, which count as one. */
static void
name_address(const char *address, char name[INET6_ADDRSTRLEN])
{
    struct in6_addr parsed;

    if (inet_pton(AF_INET6, address, &parsed) == 1 && !IN6_IS_ADDR_V4MAPPED(&parsed)) {
        memset(parsed.s6_addr + 8, 0, 8);
        inet_ntop(AF_INET6, &parsed, name, INET6_ADDRSTRLEN);
        return;
    }
    strncpy(name, address, INET6_ADDRSTRLEN - 1);
    name[INET6_ADDRSTRLEN - 1] = '\0';
}

static char *
copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static secret_check *
check_new(secret_checker *checker, const secret_question *question)
{
    secret_check *check = xcalloc(1, sizeof(*check));

    check->owner = checker;
    name_address(question->address, check->address);
    check->client_id = xstrdup(question->client_id);
    check->secret = xstrdup(question->secret);
    check->hash = copy(question->hash);
    check->cost = copy(question->cost);
    check->callback = question->callback;
    check->is_awaited = question->is_awaited;
    check->arg = question->arg;
    check->job = (secret_job){
        .secret = check->secret, .hash = check->hash, .cost = check->cost, .arg = check};
    check->pair = secret_memory_digest(&checker->key, check->client_id,
                                       check->hash ? check->hash : "", check->secret);
    check->previous = checker->last;
    if (checker->last != NULL)
        checker->last->next = check;
    else
        checker->first = check;
    checker->last = check;
    return check;
}

static void
check_free(secret_check *check)
{
    secret_checker *checker = check->owner;

    if (check->previous != NULL)
        check->previous->next = check->next;
    else
        checker->first = check->next;
    if (check->next != NULL)
        check->next->previous = check->previous;
    else
        checker->last = check->previous;
    if (check->state == CHECK_LEFT_BEHIND)
        checker->left_behind_count--;
    checker->held_count -= check->is_held;
    if (check->told != NULL)
        event_free(check->told);
    explicit_bzero(check->secret, strlen(check->secret));
    free(check->secret);
    free(check->client_id);
    free(check->hash);
    free(check->cost);
    free(check);
}

static bool
is_awaited(const secret_check *check)
{
    return check->callback != NULL && (check->is_awaited == NULL || check->is_awaited(check->arg));
}

/* ---- its end ------------------------------------------------------------------------- */

static void
on_told(evutil_socket_t fd, short what, void *arg)
{
    secret_check *check = arg;
    secret_callback callback = check->callback;
    void *callback_arg = check->arg;
    secret_result result = check->result;

    (void)fd;
    (void)what;
    check_free(check);
    callback(callback_arg, result);
}

/* Counts a result; returns how long it is to wait. work_s: what it cost; 0 when it was known. */
static double
charge(secret_check *check, secret_result result, double work_s)
{
    if (result != SECRET_DIFFERS)
        return 0;
    return secret_pace_charge(&check->owner->pace, check->address,
                              work_s > REFUSAL_WORK_S ? work_s : REFUSAL_WORK_S, clock_now_s());
}

static void
finish(secret_check *check, secret_result result, double work_s)
{
    secret_checker *checker = check->owner;
    double wait_s = charge(check, result, work_s);
    struct timeval delay;

    if (wait_s > 0 && (checker->held_count == HELD_MAX || !is_awaited(check)))
        wait_s = 0;
    check->state = CHECK_FINISHED;
    check->result = result;
    check->is_held = wait_s > 0;
    checker->held_count += check->is_held;
    delay = clock_timeval(wait_s);
    check->told = evtimer_new(checker->base, on_told, check);
    event_add(check->told, &delay);
}

/* Finishes a check whose result is remembered. */
static bool
recall(secret_check *check)
{
    secret_checker *checker = check->owner;
    double now_s = clock_now_s();

    if (check->hash != NULL && secret_memory_has(checker->good, &check->pair, now_s, true))
        finish(check, SECRET_MATCHES, 0);
    else if (secret_memory_has(checker->bad, &check->pair, now_s, false))
        finish(check, SECRET_DIFFERS, 0);
    else
        return false;
    return true;
}

static void
on_job_done(void *arg, secret_job *job)
{
    secret_checker *checker = arg;
    secret_check *check = job->arg;

    checker->running_count--;
    switch (job->result) {
    case SECRET_MATCHES:
        secret_memory_add(checker->good, &check->pair, clock_now_s());
        /* A right secret is not held against its address. */
        secret_pace_set_last_s(&checker->pace, check->address, check->before_s);
        break;
    case SECRET_DIFFERS: secret_memory_add(checker->bad, &check->pair, clock_now_s()); break;
    case SECRET_NOT_CHECKED: break;
    }
    if (check->callback != NULL) {
        finish(check, job->result, job->work_s);
    } else {
        (void)charge(check, job->result, job->work_s);
        check_free(check);
    }
    begin_next(checker);
}

/* ---- whose turn it is ------------------------------------------------------------------- */

/* The check does not wait in the queue, and nobody seems to wait for it. */
static void
leave_behind(secret_check *check)
{
    secret_checker *checker = check->owner;

    secret_pace_set_last_s(&checker->pace, check->address, clock_now_s());
    if (checker->left_behind_count == LEFT_BEHIND_MAX) {
        finish(check, SECRET_NOT_CHECKED, 0);
        return;
    }
    check->state = CHECK_LEFT_BEHIND;
    checker->left_behind_count++;
}

static secret_check *
take_next(secret_checker *checker)
{
    secret_turn *turn = secret_queue_take(&checker->queue);

    if (turn != NULL)
        return (secret_check *)((char *)turn - offsetof(secret_check, turn));
    for (secret_check *check = checker->first; checker->left_behind_count > 0 && check != NULL;
         check = check->next) {
        if (check->state == CHECK_LEFT_BEHIND) {
            checker->left_behind_count--;
            return check;
        }
    }
    return NULL;
}

static void
start(secret_check *check)
{
    secret_checker *checker = check->owner;
    double now_s = clock_now_s();

    check->state = CHECK_RUNNING;
    checker->running_count++;
    check->before_s = secret_pace_last_s(&checker->pace, check->address, now_s);
    secret_pace_set_last_s(&checker->pace, check->address, now_s);
    secret_threads_run(checker->threads, &check->job);
}

static void
begin_next(secret_checker *checker)
{
    secret_check *check;

    while (checker->running_count < secret_threads_count(checker->threads) &&
           (check = take_next(checker)) != NULL) {
        /* Another check may have found it out meanwhile. */
        if (recall(check))
            continue;
        start(check);
    }
}

/* Those who have gone keep no place in the queue, and no connection. */
static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
    secret_checker *checker = arg;
    struct timeval interval = clock_timeval(SWEEP_S), at_once = {0, 0};
    secret_check *next;

    (void)fd;
    (void)what;
    for (secret_check *check = checker->first; check != NULL; check = next) {
        next = check->next;
        if (is_awaited(check))
            continue;
        if (check->state == CHECK_WAITING) {
            secret_queue_remove(&check->turn);
            leave_behind(check);
        } else if (check->is_held) {
            event_add(check->told, &at_once);
        }
    }
    if (checker->first != NULL)
        event_add(checker->sweep, &interval);
}

static void
enqueue(secret_check *check)
{
    secret_checker *checker = check->owner;
    secret_turn *loser;

    if (!is_awaited(check)) {
        leave_behind(check);
        return;
    }
    check->state = CHECK_WAITING;
    loser = secret_queue_add(&checker->queue, &check->turn, check->address, check->client_id);
    if (loser != NULL)
        finish((secret_check *)((char *)loser - offsetof(secret_check, turn)), SECRET_NOT_CHECKED,
               0);
}

secret_check *
secret_check_begin(secret_checker *checker, const secret_question *question)
{
    struct timeval interval = clock_timeval(SWEEP_S);
    secret_check *check = check_new(checker, question);

    if (!event_pending(checker->sweep, EV_TIMEOUT, NULL))
        event_add(checker->sweep, &interval);
    if (secret_threads_count(checker->threads) == 0)
        finish(check, SECRET_NOT_CHECKED, 0);
    else if (strlen(question->client_id) > ID_MAX || strlen(question->secret) > SECRET_MAX)
        finish(check, SECRET_DIFFERS, 0);
    else if (!recall(check))
        enqueue(check);
    begin_next(checker);
    return check;
}

void
secret_check_abandon(secret_check *check)
{
    check->callback = NULL;
    switch (check->state) {
    case CHECK_RUNNING: return; /* its result is worth remembering */
    case CHECK_WAITING:
        /* Whoever goes, and comes again at once, is no newcomer. */
        secret_pace_set_last_s(&check->owner->pace, check->address, clock_now_s());
        secret_queue_remove(&check->turn);
        break;
    case CHECK_LEFT_BEHIND:
    case CHECK_FINISHED: break;
    }
    check_free(check);
}

/* ---- the checker --------------------------------------------------------------------------- */

static double
last_s(void *arg, const char *address)
{
    const secret_checker *checker = arg;

    return secret_pace_last_s(&checker->pace, address, clock_now_s());
}

static void
fill_random(void *bytes, size_t length)
{
    /* Up to 256 bytes come as a whole; without them nothing may be remembered. */
    if (getrandom(bytes, length, 0) != (ssize_t)length)
        abort();
}

secret_checker *
secret_checker_new(struct event_base *base, int threads, double remembered_s)
{
    secret_checker *checker = xcalloc(1, sizeof(*checker));

    checker->base = base;
    checker->queue.id_max = WAITING_OF_ID_MAX;
    checker->queue.address_max = WAITING_OF_ADDRESS_MAX;
    checker->queue.all_max = WAITING_MAX;
    checker->queue.last_s = last_s;
    checker->queue.arg = checker;
    checker->good = secret_memory_new(GOOD_PAIRS, remembered_s);
    checker->bad = secret_memory_new(BAD_PAIRS, BAD_PAIR_S);
    checker->pace.threads = threads;
    fill_random(&checker->pace.seed, sizeof(checker->pace.seed));
    fill_random(&checker->key, sizeof(checker->key));
    checker->sweep = evtimer_new(base, on_sweep, checker);
    checker->threads = secret_threads_new(base, threads, on_job_done, checker);
    return checker;
}

void
secret_checker_free(secret_checker *checker)
{
    secret_check *next;

    if (checker == NULL)
        return;
    secret_threads_free(checker->threads);
    for (secret_check *check = checker->first; check != NULL; check = next) {
        next = check->next;
        if (check->state == CHECK_WAITING)
            secret_queue_remove(&check->turn);
        check_free(check);
    }
    event_free(checker->sweep);
    secret_memory_free(checker->good);
    secret_memory_free(checker->bad);
    explicit_bzero(&checker->key, sizeof(checker->key));
    free(checker);
}
