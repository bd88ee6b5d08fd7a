/*
 * Tests of how the secrets of clients are checked: the queue, the memory, the pace, and the whole.
 * uses: rest/auth/secret_check.c rest/auth/secret_threads.c rest/auth/secret_queue.c
 * uses: rest/auth/secret_memory.c rest/auth/secret_pace.c rest/auth/secret_cost.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <argon2.h>
#include <cmocka.h>
#include <event2/event.h>

#include "common/buf.h"
#include "common/clock.h"
#include "rest/auth/secret_check.h"
#include "rest/auth/secret_cost.h"
#include "rest/auth/secret_memory.h"
#include "rest/auth/secret_pace.h"
#include "rest/auth/secret_queue.h"

/* ---- the queue --------------------------------------------------------------------- */

/* The names of what is taken, until nothing waits. */
typedef struct entry {
    secret_turn turn;
    char name[16];
} entry;

static entry *entries[64];
static int entry_count;

/* Returns the name of the one that lost its place, "" if none did. */
static const char *
add(secret_queue *queue, const char *address, const char *id, const char *name)
{
    entry *e = xcalloc(1, sizeof(*e));
    secret_turn *loser;

    snprintf(e->name, sizeof(e->name), "%s", name);
    entries[entry_count++] = e;
    loser = secret_queue_add(queue, &e->turn, address, id);
    return loser ? ((entry *)loser)->name : "";
}

static const char *
take(secret_queue *queue)
{
    secret_turn *turn = secret_queue_take(queue);

    return turn ? ((entry *)turn)->name : "";
}

static void
takes(secret_queue *queue, const char *expected)
{
    buf names = BUF_INIT;
    const char *name;

    while ((name = take(queue))[0] != '\0')
        buf_printf(&names, "%s%s", names.length ? " " : "", name);
    assert_string_equal(buf_text(&names), expected);
    assert_int_equal(queue->root.count, 0);
    assert_null(queue->root.first);
    buf_free(&names);
    while (entry_count > 0)
        free(entries[--entry_count]);
}

/* Addresses in the order of the alphabet, if there is an arg. */
static double
last_s(void *arg, const char *address)
{
    return arg != NULL ? 100 - address[0] : 0;
}

static secret_queue
bounded(int id_max, int address_max, int all_max)
{
    return (secret_queue){
        .id_max = id_max, .address_max = address_max, .all_max = all_max, .last_s = last_s};
}

static void
shares_turns(void **state)
{
    secret_queue queue = bounded(10, 20, 30);
    secret_queue addresses = queue, ids = queue;
    char name[16];

    (void)state;
    /* In one share by turns the newest and the oldest. */
    for (int i = 1; i <= 5; i++) {
        snprintf(name, sizeof(name), "%d", i);
        add(&queue, "a", "x", name);
    }
    takes(&queue, "5 1 4 2 3");
    /* Addresses get the same number of turns, however much waits. */
    for (int i = 1; i <= 5; i++) {
        snprintf(name, sizeof(name), "a%d", i);
        add(&addresses, "a", "x", name);
    }
    add(&addresses, "b", "x", "b1");
    add(&addresses, "b", "x", "b2");
    takes(&addresses, "b2 a5 a1 b1 a4 a2 a3");
    /* So do the ids of an address. */
    for (int i = 1; i <= 4; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        add(&ids, "a", "x", name);
    }
    add(&ids, "a", "y", "y1");
    takes(&ids, "y1 x4 x1 x3 x2");
}

static void
prefers_who_had_no_turn(void **state)
{
    secret_queue queue = bounded(10, 20, 30);

    (void)state;
    queue.arg = &queue;
    add(&queue, "a", "x", "a1");
    add(&queue, "a", "x", "a2");
    add(&queue, "c", "x", "c1");
    add(&queue, "c", "x", "c2");
    add(&queue, "b", "x", "b1");
    takes(&queue, "c2 a2 c1 b1 a1");
}

static void
nobody_starves(void **state)
{
    secret_queue queue = bounded(100, 100, 100);
    char name[16];
    int turns = 0;

    (void)state;
    add(&queue, "old", "x", "old");
    add(&queue, "old", "x", "older");
    /* Two newcomers for each that is taken. */
    for (bool is_taken = false; !is_taken && turns < 20; turns++) {
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof(name), "%d", turns * 2 + i);
            add(&queue, name, "x", name);
        }
        is_taken = strncmp(take(&queue), "old", 3) == 0;
    }
    assert_in_range(turns, 1, 4);
    while (take(&queue)[0] != '\0')
        continue;
    takes(&queue, "");
}

static void
bounds_each_share(void **state)
{
    secret_queue queue = bounded(2, 4, 6);

    (void)state;
    assert_string_equal(add(&queue, "a", "x", "x1"), "");
    assert_string_equal(add(&queue, "a", "x", "x2"), "");
    assert_string_equal(add(&queue, "a", "x", "x3"), "x3");
    assert_string_equal(add(&queue, "a", "y", "y1"), "");
    assert_string_equal(add(&queue, "a", "z", "z1"), "");
    /* The address is full: its fullest id loses the newest. */
    assert_string_equal(add(&queue, "a", "w", "w1"), "x2");
    assert_string_equal(add(&queue, "b", "x", "b1"), "");
    assert_string_equal(add(&queue, "c", "x", "c1"), "");
    /* All is full: so does the fullest address. */
    assert_string_equal(add(&queue, "d", "x", "d1"), "w1");
    /* Whoever waits alone does not lose its place to a crowd. */
    assert_string_equal(add(&queue, "a", "v", "v1"), "v1");
    takes(&queue, "d1 z1 x1 b1 y1 c1");
}

static void
lets_anyone_leave(void **state)
{
    secret_queue queue = bounded(10, 10, 10);

    (void)state;
    add(&queue, "a", "x", "1");
    add(&queue, "a", "y", "2");
    add(&queue, "a", "y", "3");
    secret_queue_remove(&entries[0]->turn);
    secret_queue_remove(&entries[2]->turn);
    takes(&queue, "2");
}

/* ---- the memory ---------------------------------------------------------------------- */

static void
remembers_pairs(void **state)
{
    secret_digest key = {{1}}, other = {{2}};
    secret_digest pair = secret_memory_digest(&key, "id", "hash", "secret");
    secret_digest same = secret_memory_digest(&key, "id", "hash", "secret");
    secret_digest others[] = {
        secret_memory_digest(&other, "id", "hash", "secret"),
        secret_memory_digest(&key, "id", "new hash", "secret"),
        secret_memory_digest(&key, "i", "dhash", "secret"),
        secret_memory_digest(&key, "id", "hashs", "ecret"),
        secret_memory_digest(&key, "id2", "hash", "secret"),
    };
    secret_memory *memory = secret_memory_new(16, 10);

    (void)state;
    assert_memory_equal(&pair, &same, sizeof(pair));
    secret_memory_add(memory, &pair, 100);
    assert_true(secret_memory_has(memory, &same, 109, false));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(secret_memory_has(memory, &others[i], 100, false));
    assert_false(secret_memory_has(memory, &pair, 111, false));
    secret_memory_add(memory, &pair, 200);
    assert_true(secret_memory_has(memory, &pair, 209, true));
    assert_true(secret_memory_has(memory, &pair, 218, false));
    assert_false(secret_memory_has(memory, &pair, 220, false));
    /* What is used stays while others come and go. */
    secret_memory_add(memory, &pair, 300);
    for (int i = 0; i < 1000; i++) {
        char id[16];
        secret_digest one;

        snprintf(id, sizeof(id), "%d", i);
        one = secret_memory_digest(&key, id, "", "secret");
        secret_memory_add(memory, &one, 300 + i / 500.0);
        assert_true(secret_memory_has(memory, &one, 300 + i / 500.0, false));
        assert_true(secret_memory_has(memory, &pair, 300 + i / 500.0, false));
    }
    secret_memory_free(memory);
}

/* ---- the pace ------------------------------------------------------------------------ */

static void
slows_refusals_down(void **state)
{
    static secret_pace pace = {.threads = 2};
    double wait_s = 0;
    int free_of_charge = 0;

    (void)state;
    while (secret_pace_charge(&pace, "a", 0.02, 100) == 0)
        free_of_charge++;
    assert_in_range(free_of_charge, 50, 150);
    assert_true(secret_pace_last_s(&pace, "b", 100) == 0);
    secret_pace_set_last_s(&pace, "b", 100);
    assert_true(secret_pace_charge(&pace, "b", 0.02, 100) == 0);
    assert_true(secret_pace_last_s(&pace, "b", 101) == 100);
    assert_true(secret_pace_last_s(&pace, "b", 200) == 0);
    /* In closed line, an address gets a quarter of the two threads: 25 refusals a second. */
    for (int i = 0; i < 25; i++)
        wait_s = secret_pace_charge(&pace, "a", 0.02, 100);
    assert_true(wait_s > 0.9 && wait_s < 1.2);
    for (int i = 0; i < 100000; i++)
        wait_s = secret_pace_charge(&pace, "a", 0.02, 100);
    assert_true(wait_s == SECRET_PACE_WAIT_MAX_S);
    /* All of it is forgotten soon. */
    assert_true(secret_pace_charge(&pace, "a", 0.02, 100 + SECRET_PACE_WAIT_MAX_S + 1) == 0);
    /* Many addresses together are slowed down too. */
    for (int i = 0; i < 1000; i++) {
        char address[16];

        snprintf(address, sizeof(address), "c%d", i);
        wait_s = secret_pace_charge(&pace, address, 0.02, 200);
    }
    assert_true(wait_s > 1);
}

/* ---- the cost of unknown clients --------------------------------------------------------- */

static void
draws_the_same_lot(void **state)
{
    secret_costs *costs = secret_costs_new("a key"), *same = secret_costs_new("a key");
    secret_costs *other = secret_costs_new("another");
    int dear_ones = 0, others = 0;

    (void)state;
    assert_null(secret_costs_of(costs, "id"));
    assert_true(secret_costs_are_old(costs, 100));
    for (int i = 0; i < 2; i++) {
        secret_costs_begin(costs, 100);
        secret_costs_begin(same, 100);
        secret_costs_begin(other, 100);
        assert_false(secret_costs_are_old(costs, 110));
        assert_true(secret_costs_are_old(costs, 1000));
        for (int j = 0; j < 3; j++) {
            secret_costs *one = (secret_costs *const[]){costs, same, other}[j];

            secret_costs_add(one, "cheap", 3);
            secret_costs_add(one, "dear", 1);
        }
    }
    for (int i = 0; i < 4000; i++) {
        char id[16];
        const char *cost;

        snprintf(id, sizeof(id), "id_%d", i);
        cost = secret_costs_of(costs, id);
        assert_string_equal(cost, secret_costs_of(same, id));
        dear_ones += strcmp(cost, "dear") == 0;
        others += strcmp(cost, secret_costs_of(other, id)) != 0;
    }
    assert_in_range(dear_ones, 850, 1150);
    assert_in_range(others, 1000, 2000);
    secret_costs_free(costs);
    secret_costs_free(same);
    secret_costs_free(other);
}

/* ---- the whole --------------------------------------------------------------------------- */

static char cheap[200], cheap2[200], dear[200];

static int
make_hashes(void **state)
{
    (void)state;
    argon2i_hash_encoded(1, 64, 1, "right", 5, "some salt", 9, 32, cheap, sizeof(cheap));
    argon2id_hash_encoded(3, 128, 2, "right", 5, "some salt", 9, 16, cheap2, sizeof(cheap2));
    /* About a tenth of a second. */
    argon2id_hash_encoded(2, 65536, 1, "right", 5, "some salt", 9, 32, dear, sizeof(dear));
    return 0;
}

typedef struct answers {
    struct event_base *base;
    secret_checker *checker;
    int left; /* answers until the loop ends */
    int counts[3];
} answers;

typedef struct asker {
    answers *all;
    bool is_gone;
    bool is_answered;
    secret_result result;
} asker;

static void
on_answer(void *arg, secret_result result)
{
    asker *one = arg;

    assert_false(one->is_answered);
    one->is_answered = true;
    one->result = result;
    one->all->counts[result]++;
    if (--one->all->left == 0)
        event_base_loopbreak(one->all->base);
}

static bool
is_there(void *arg)
{
    const asker *one = arg;

    return !one->is_gone;
}

static answers
begin_all(int threads)
{
    struct event_base *base = event_base_new();

    return (answers){.base = base, .checker = secret_checker_new(base, threads, 600)};
}

static void
end_all(answers *all)
{
    secret_checker_free(all->checker);
    event_base_free(all->base);
}

static secret_check *
ask(answers *all, asker *one, const char *address, const char *id, const char *hash,
    const char *secret)
{
    secret_question question = {.address = address,
                                .client_id = id,
                                .secret = secret,
                                .hash = hash,
                                .cost = "$argon2i$v=19$m=64,t=1,p=1$",
                                .callback = on_answer,
                                .is_awaited = is_there,
                                .arg = one};

    one->all = all;
    return secret_check_begin(all->checker, &question);
}

static void
wait_for(answers *all, int count)
{
    all->left = count;
    if (count > 0)
        event_base_dispatch(all->base);
    assert_int_equal(all->left, 0);
}

static void
checks_secrets(void **state)
{
    answers all = begin_all(2);
    asker askers[12] = {0};
    const char *hashes[] = {cheap, cheap2, dear};

    (void)state;
    for (int i = 0; i < 3; i++) {
        ask(&all, &askers[2 * i], "a", "x", hashes[i], "right");
        ask(&all, &askers[2 * i + 1], "a", "x", hashes[i], "wrong");
    }
    ask(&all, &askers[6], "a", "y", NULL, "right");
    ask(&all, &askers[7], "a", "y", "", "");
    ask(&all, &askers[8], "a", "y", "$argon2id$", "x");
    /* Nothing can be computed for it, and it must not match either. */
    ask(&all, &askers[9], "a", "y", "no hash", "right");
    wait_for(&all, 10);
    assert_int_equal(all.counts[SECRET_MATCHES], 3);
    assert_int_equal(all.counts[SECRET_DIFFERS], 7);
    end_all(&all);
}

static void
takes_time_for_hashes_that_are_none(void **state)
{
    answers all = begin_all(1);
    asker askers[4] = {0};
    const char *hashes[] = {NULL, "", "no hash", "$argon2id$v=19$m=64,t=1$x$y"};
    const char *ids[] = {"u", "v", "w", "x"};
    double times[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        double begun_s = clock_now_s();
        secret_question question = {.address = "a",
                                    .client_id = ids[i],
                                    .secret = "wrong",
                                    .hash = hashes[i],
                                    .cost = "$argon2id$v=19$m=65536,t=2,p=1$",
                                    .callback = on_answer,
                                    .arg = &askers[i]};

        askers[i].all = &all;
        secret_check_begin(all.checker, &question);
        wait_for(&all, 1);
        times[i] = clock_now_s() - begun_s;
        assert_true(times[i] > times[0] / 10 && times[0] > times[i] / 10);
    }
    assert_int_equal(all.counts[SECRET_DIFFERS], 4);
    end_all(&all);
}

/* Each of a crowd with one pair would take a tenth of a second. */
static void
remembers_what_it_found_out(void **state)
{
    enum { CROWD = 200 };
    answers all = begin_all(1);
    asker *askers = xcalloc(CROWD * 3, sizeof(*askers));
    double begun_s = clock_now_s();

    (void)state;
    for (int i = 0; i < CROWD; i++)
        ask(&all, &askers[i], "a", "x", dear, "right");
    wait_for(&all, CROWD);
    assert_int_equal(all.counts[SECRET_MATCHES], CROWD);
    for (int i = 0; i < CROWD; i++)
        ask(&all, &askers[CROWD + i], "a", "x", dear, "wrong");
    wait_for(&all, CROWD);
    assert_int_equal(all.counts[SECRET_DIFFERS], CROWD);
    assert_true(clock_now_s() - begun_s < CROWD * 0.1);
    /* A new secret, and with it a new hash, makes the old one wrong at once. */
    ask(&all, &askers[2 * CROWD], "a", "x", cheap2, "wrong");
    ask(&all, &askers[2 * CROWD + 1], "a", "x", cheap, "wrong");
    wait_for(&all, 2);
    assert_int_equal(all.counts[SECRET_DIFFERS], CROWD + 2);
    free(askers);
    end_all(&all);
}

/* Those who have gone take no place, and nobody hears from those who are abandoned. */
static void
forgets_who_has_gone(void **state)
{
    answers all = begin_all(1);
    asker *askers = xcalloc(5000, sizeof(*askers));
    asker good = {0};

    (void)state;
    for (int i = 0; i < 2000; i++) {
        char secret[16];
        secret_check *check;

        snprintf(secret, sizeof(secret), "%d", i);
        check = ask(&all, &askers[i], "a", "x", dear, secret);
        secret_check_abandon(check);
    }
    assert_int_equal(all.counts[SECRET_NOT_CHECKED], 0);
    for (int i = 2000; i < 4000; i++) {
        char secret[16];

        snprintf(secret, sizeof(secret), "%d", i);
        askers[i].is_gone = true;
        ask(&all, &askers[i], "a", "x", dear, secret);
    }
    ask(&all, &good, "a", "x", dear, "right");
    all.left = INT32_MAX;
    while (!good.is_answered)
        event_base_loop(all.base, EVLOOP_ONCE);
    assert_int_equal(good.result, SECRET_MATCHES);
    /* Two of the gone at most were running before. */
    assert_in_range(all.counts[SECRET_DIFFERS], 0, 2);
    free(askers);
    end_all(&all);
}

/* Those who wait, and then go. */
static void
notices_who_goes(void **state)
{
    answers all = begin_all(1);
    asker askers[256] = {0};
    asker good = {0};
    int answered = 0;

    (void)state;
    for (int i = 0; i < 256; i++) {
        char secret[16];

        snprintf(secret, sizeof(secret), "%d", i);
        ask(&all, &askers[i], "a", "x", dear, secret);
    }
    assert_int_equal(all.counts[SECRET_NOT_CHECKED], 0);
    for (int i = 0; i < 256; i++)
        askers[i].is_gone = true;
    all.left = INT32_MAX;
    while (answered < 200) {
        event_base_loop(all.base, EVLOOP_ONCE);
        answered = all.counts[SECRET_NOT_CHECKED];
    }
    ask(&all, &good, "a", "x", dear, "right");
    while (!good.is_answered)
        event_base_loop(all.base, EVLOOP_ONCE);
    assert_int_equal(good.result, SECRET_MATCHES);
    end_all(&all);
}

/* Only the share that is over its bound is told to come again. */
static void
limits_what_waits(void **state)
{
    answers all = begin_all(1);
    asker *askers = xcalloc(1200, sizeof(*askers));
    asker good[2] = {0};
    int refused[2] = {0};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        char secret[16];

        snprintf(secret, sizeof(secret), "%d", i);
        ask(&all, &askers[i], "a", "x", dear, secret);
    }
    for (int i = 1000; i < 1200; i++) {
        char id[16];

        snprintf(id, sizeof(id), "%d", i);
        ask(&all, &askers[i], "a", id, NULL, "x");
    }
    ask(&all, &good[0], "a", "z", cheap, "right");
    ask(&all, &good[1], "b", "x", cheap2, "right");
    all.left = INT32_MAX;
    while (!good[0].is_answered || !good[1].is_answered)
        event_base_loop(all.base, EVLOOP_ONCE);
    assert_int_equal(good[0].result, SECRET_MATCHES);
    assert_int_equal(good[1].result, SECRET_MATCHES);
    for (int i = 0; i < 1200; i++)
        refused[i >= 1000] += askers[i].is_answered && askers[i].result == SECRET_NOT_CHECKED;
    assert_in_range(refused[0], 700, 800);
    assert_int_equal(refused[1], 0);
    free(askers);
    end_all(&all);
}

/* A network of IPv6 has one share. */
static void
knows_networks(void **state)
{
    answers all = begin_all(1);
    asker *askers = xcalloc(1100, sizeof(*askers));

    (void)state;
    for (int i = 0; i < 550; i++) {
        char address[64];

        snprintf(address, sizeof(address), "2001:db8::%d:1:1", i + 1);
        ask(&all, &askers[i], address, "x", dear, address);
        snprintf(address, sizeof(address), "::ffff:10.0.%d.%d", i / 200, i % 200);
        ask(&all, &askers[550 + i], address, "x", dear, address);
    }
    all.left = 550 - 256 - 1;
    event_base_dispatch(all.base);
    assert_in_range(all.counts[SECRET_NOT_CHECKED], 550 - 256 - 2, 550 - 256 + 1);
    free(askers);
    end_all(&all);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_turns),
        cmocka_unit_test(prefers_who_had_no_turn),
        cmocka_unit_test(nobody_starves),
        cmocka_unit_test(bounds_each_share),
        cmocka_unit_test(lets_anyone_leave),
        cmocka_unit_test(remembers_pairs),
        cmocka_unit_test(slows_refusals_down),
        cmocka_unit_test(draws_the_same_lot),
        cmocka_unit_test(checks_secrets),
        cmocka_unit_test(takes_time_for_hashes_that_are_none),
        cmocka_unit_test(remembers_what_it_found_out),
        cmocka_unit_test(forgets_who_has_gone),
        cmocka_unit_test(notices_who_goes),
        cmocka_unit_test(limits_what_waits),
        cmocka_unit_test(knows_networks),
    };

    return cmocka_run_group_tests(tests, make_hashes, NULL);
}
