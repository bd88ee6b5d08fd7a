/*
 * Tests of bulk/sftp.c that need no server. With arguments it is a client for 343_sftp.pl instead,
 * which has one: the account comes from CTMS_ACOUSTIC_SFTP_…, and the result and message of each
 * call go to standard output. "stop=BYTES" ends the calls after it when so much has moved; "wait"
 * reads a line.
 *
 *   build/test/unit/sftp upload PATH NAME rename FROM TO size NAME …
 *
 * uses: bulk/sftp.c bulk/sftp_guard.c bulk/sftp_session.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <curl/curl.h>

#include "bulk/sftp.h"

static char message[1024];

/* ---- a client --------------------------------------------------------------------- */

static long long stop_at = -1;
static int calls;

static bool
on_moved(void *arg, long long done, long long total)
{
    (void)arg;
    calls++;
    fprintf(stderr, "moved %lld of %lld\n", done, total);
    return stop_at < 0 || done < stop_at;
}

static void
say(const char *verb, sftp_result result)
{
    static const char *const names[] = {"ok",      "missing", "transient",
                                        "refused", "local",   "stopped"};

    printf("%s: %s%s%s\n", verb, names[result], result == SFTP_OK ? "" : ": ",
           result == SFTP_OK ? "" : message);
    fflush(stdout);
}

/* Runs a call; returns how many arguments it took. */
static int
run_call(sftp *s, char **args)
{
    long long bytes = -1;

    message[0] = '\0';
    if (strncmp(args[0], "stop=", 5) == 0) {
        stop_at = atoll(args[0] + 5);
        return 1;
    }
    if (strcmp(args[0], "size") == 0) {
        sftp_result result = sftp_size(s, args[1], &bytes, message, sizeof(message));

        say("size", result);
        if (result == SFTP_OK)
            printf("%lld\n", bytes);
        return 2;
    }
    if (strcmp(args[0], "remove_upload") == 0) {
        say(args[0], sftp_remove_upload(s, args[1], message, sizeof(message)));
        return 2;
    }
    if (strcmp(args[0], "remove_download") == 0) {
        say(args[0], sftp_remove_download(s, args[1], message, sizeof(message)));
        return 2;
    }
    if (strcmp(args[0], "upload") == 0)
        say(args[0], sftp_upload(s, args[1], args[2], message, sizeof(message)));
    else if (strcmp(args[0], "rename") == 0)
        say(args[0], sftp_rename(s, args[1], args[2], message, sizeof(message)));
    else if (strcmp(args[0], "download") == 0)
        say(args[0], sftp_download(s, args[1], args[2], 1 << 20, message, sizeof(message)));
    else
        exit(2);
    return 3;
}

static int
run_client(char **args)
{
    sftp_account account = {.user = getenv("CTMS_ACOUSTIC_SFTP_USER"),
                            .password = getenv("CTMS_ACOUSTIC_SFTP_PASSWORD"),
                            .key_file = getenv("CTMS_ACOUSTIC_SFTP_KEY_FILE"),
                            .key_passphrase = getenv("CTMS_ACOUSTIC_SFTP_KEY_PASSPHRASE"),
                            .known_hosts_file = getenv("CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE")};
    sftp_events events = {.moved = on_moved};
    struct rusage usage;
    sftp *s;

    snprintf(account.url, sizeof(account.url), "%s", getenv("CTMS_ACOUSTIC_SFTP_URL"));
    s = sftp_new(&account, &events);
    while (*args != NULL)
        args += run_call(s, args);
    sftp_free(s);
    getrusage(RUSAGE_SELF, &usage);
    printf("kilobytes: %ld\n", usage.ru_maxrss);
    return 0;
}

/* ---- tests ------------------------------------------------------------------------ */

static char *
make_file(char *path, mode_t mode)
{
    int fd;

    strcpy(path, "/tmp/ctms-sftp-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return path;
}

/* Nothing listens there. */
#define NOBODY .url = "sftp://127.0.0.1:1", .user = "u"

static void
refuses_bad_settings(void **state)
{
    char open_key[64], known[64];
    const sftp_account accounts[] = {
        {NOBODY, .password = "p"},
        {NOBODY, .password = "p", .known_hosts_file = "/nonexistent/known"},
        {NOBODY, .key_file = "/nonexistent/key", .known_hosts_file = make_file(known, 0644)},
        {NOBODY, .key_file = make_file(open_key, 0640), .known_hosts_file = known},
        {NOBODY, .key_file = "/tmp", .known_hosts_file = known},
    };
    const char *const said[] = {"CTMS_ACOUSTIC_SFTP_KNOWN_HOSTS_FILE", "/nonexistent/known",
                                "/nonexistent/key", "chmod 600", "/tmp"};

    (void)state;
    for (size_t i = 0; i < sizeof(accounts) / sizeof(*accounts); i++) {
        sftp *s = sftp_new(&accounts[i], NULL);
        long long bytes;

        assert_non_null(s);
        message[0] = '\0';
        assert_int_equal(sftp_size(s, "x", &bytes, message, sizeof(message)), SFTP_REFUSED);
        if (strstr(message, said[i]) == NULL)
            fail_msg("%s does not say %s", message, said[i]);
        sftp_free(s);
    }
    unlink(open_key);
    unlink(known);
}

static void
tries_in_vain(void **state)
{
    char known[64], key[64];
    sftp_account account = {NOBODY, .key_file = make_file(key, 0600),
                            .known_hosts_file = make_file(known, 0644)};
    sftp *s = sftp_new(&account, NULL);
    long long bytes;

    (void)state;
    assert_int_equal(sftp_size(s, "x", &bytes, message, sizeof(message)), SFTP_TRANSIENT);
    assert_non_null(strstr(message, "127.0.0.1"));
    assert_int_equal(sftp_upload(s, "/nonexistent/file", "x", message, sizeof(message)),
                     SFTP_LOCAL);
    assert_int_equal(sftp_upload(s, "/tmp", "x", message, sizeof(message)), SFTP_LOCAL);
    assert_int_equal(sftp_download(s, "x", "/nonexistent/file", 1, message, sizeof(message)),
                     SFTP_LOCAL);
    assert_int_equal(sftp_download(s, "x", key, 1, message, sizeof(message)), SFTP_TRANSIENT);
    sftp_free(s);
    unlink(key);
    unlink(known);
}

static void
takes_plain_names_only(void **state)
{
    static const char *const names[] = {"",     ".",       "..", "../x", "a/b",      "a b",
                                        "a\"b", "a\nrm b", "*",  "a?b",  "\xC3\xA4", ".hidden"};
    sftp_account account = {NOBODY};
    sftp *s = sftp_new(&account, NULL);
    long long bytes;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        assert_int_equal(sftp_size(s, names[i], &bytes, message, sizeof(message)), SFTP_REFUSED);
        assert_non_null(strstr(message, "not plain"));
        assert_int_equal(sftp_upload(s, "/dev/null", names[i], message, sizeof(message)),
                         SFTP_REFUSED);
        assert_int_equal(sftp_download(s, names[i], "/tmp/x", 1, message, sizeof(message)),
                         SFTP_REFUSED);
        assert_int_equal(sftp_rename(s, "x", names[i], message, sizeof(message)), SFTP_REFUSED);
        assert_int_equal(sftp_rename(s, names[i], "x", message, sizeof(message)), SFTP_REFUSED);
        assert_int_equal(sftp_remove_upload(s, names[i], message, sizeof(message)), SFTP_REFUSED);
        assert_int_equal(sftp_remove_download(s, names[i], message, sizeof(message)), SFTP_REFUSED);
    }
    sftp_free(s);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_bad_settings),
        cmocka_unit_test(tries_in_vain),
        cmocka_unit_test(takes_plain_names_only),
    };

    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (argc > 1)
        return run_client(argv + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
