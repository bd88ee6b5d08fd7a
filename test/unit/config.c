/* Tests of common/config.c: what is accepted, what is refused, and which source wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/config.h"

/* 32 bytes, the shortest. */
#define SECRET "0123456789abcdef0123456789abcdef"
#define KEY "CTMS_SECRET_KEY=" SECRET

static char file_path[] = "/tmp/ctms-config-XXXXXX";

static void
write_file(const char *content)
{
    FILE *out = fopen(file_path, "w");

    assert_non_null(out);
    fputs(content, out);
    fclose(out);
}

static config *
read_rest(char **environment, const char *file)
{
    config_error error;
    config *c = config_read(CONFIG_REST, file, environment, &error);

    if (c == NULL)
        fail_msg("%s", error.message);
    return c;
}

static void
refuse(char **environment, const char *file, const char *expected)
{
    config_error error = {""};

    assert_null(config_read(CONFIG_REST, file, environment, &error));
    if (strstr(error.message, expected) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", expected, error.message);
}

static void
gives_defaults(void **state)
{
    config *c = read_rest((char *[]){KEY, "HOME=/", NULL}, NULL);

    (void)state;
    assert_int_equal(config_int(c, "CTMS_TOKEN_EXPIRATION"), 3600);
    assert_string_equal(config_string(c, "CTMS_SERVER_PREFIX"), "http://localhost:8000");
    assert_true(config_bool(c, "CTMS_USE_MOZLOG"));
    assert_null(config_string(c, "CTMS_PUBSUB_EMAIL"));
    assert_int_equal(config_int_or(c, "CTMS_ACOUSTIC_MAX_BACKLOG", -1), -1);
    config_free(c);
}

static void
takes_environment_over_file(void **state)
{
    config *c;

    (void)state;
    write_file("\xef\xbb\xbf"
               "CTMS_DB_URL=dbname=marked\n# a comment\n\n CTMS_SECRET_KEY = \"from file, " SECRET
               "\" \nCTMS_PORT=1\r\nOTHER=x\n"
               "CTMS_HOST=::1");
    c = read_rest((char *[]){"CTMS_PORT=2", "CTMS_TEST_BIN=ignored", "CTMS_HOST=", NULL},
                  file_path);
    assert_string_equal(config_string(c, "CTMS_SECRET_KEY"), "from file, " SECRET);
    assert_string_equal(config_string(c, "CTMS_DB_URL"), "dbname=marked");
    assert_int_equal(config_int(c, "CTMS_PORT"), 2);
    assert_string_equal(config_string(c, "CTMS_HOST"), "::1");
    config_free(c);
}

static void
prefers_own_name_to_alias(void **state)
{
    config *c = read_rest((char *[]){KEY, "CTMS_PORT=5", "PORT=6", NULL}, NULL);

    (void)state;
    assert_int_equal(config_int(c, "CTMS_PORT"), 5);
    config_free(c);
    c = read_rest((char *[]){KEY, "PORT=6", "CTMS_PORT=5", NULL}, NULL);
    assert_int_equal(config_int(c, "CTMS_PORT"), 5);
    config_free(c);
    c = read_rest((char *[]){KEY, "PORT=6", NULL}, NULL);
    assert_int_equal(config_int(c, "CTMS_PORT"), 6);
    config_free(c);
}

static void
reads_secrets_from_files(void **state)
{
    char from_file[200];
    config *c;

    (void)state;
    write_file("\xef\xbb\xbf" SECRET "\n");
    snprintf(from_file, sizeof(from_file), "CTMS_SECRET_KEY_FILE=%s", file_path);
    c = read_rest((char *[]){from_file, NULL}, NULL);
    assert_string_equal(config_string(c, "CTMS_SECRET_KEY"), SECRET);
    assert_string_equal(config_secret_file(c, "CTMS_SECRET_KEY"), file_path);
    assert_null(config_secret_file(c, "CTMS_DB_URL"));
    config_free(c);
    refuse((char *[]){from_file, "CTMS_SECRET_KEY=x", NULL}, NULL, "CTMS_SECRET_KEY_FILE");
    refuse((char *[]){"CTMS_SECRET_KEY_FILE=/nonexistent/x", NULL}, NULL, "CTMS_SECRET_KEY_FILE");
    refuse((char *[]){KEY, "CTMS_PORT_FILE=x", NULL}, NULL, "CTMS_PORT_FILE");
}

/* A start that hangs says nothing; the alarm ends the test. */
static void
does_not_wait_for_files(void **state)
{
    char fifo[64];
    char from_file[200];
    char *const nothing[] = {NULL};
    int ends[2];
    char pipe_path[32];
    config *c;

    (void)state;
    alarm(60);
    snprintf(fifo, sizeof(fifo), "%s.fifo", file_path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    refuse((char **)nothing, fifo, "did not end within 5 s");
    snprintf(from_file, sizeof(from_file), "CTMS_SECRET_KEY_FILE=%s", fifo);
    refuse((char *[]){from_file, NULL}, NULL, "CTMS_SECRET_KEY_FILE: could not read");
    unlink(fifo);
    refuse((char **)nothing, "/", "it is a folder");
    refuse((char *[]){"CTMS_SECRET_KEY_FILE=/", NULL}, NULL, "CTMS_SECRET_KEY_FILE: could not");
    refuse((char **)nothing, "/dev/zero", "it is too long");
    refuse((char *[]){"CTMS_DB_URL_FILE=/dev/zero", NULL}, NULL, "CTMS_DB_URL_FILE: could not");
    config_free(read_rest((char *[]){KEY, NULL}, "/dev/null"));

    /* The shell's <(…): its writer may have gone, or be slow. */
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        pid_t writer;

        assert_int_equal(pipe(ends), 0);
        writer = fork();
        if (writer == 0) {
            usleep(is_slow ? 300000 : 0);
            _exit(write(ends[1], KEY "\n", strlen(KEY "\n")) < 0);
        }
        close(ends[1]);
        if (!is_slow)
            waitpid(writer, NULL, 0);
        snprintf(pipe_path, sizeof(pipe_path), "/dev/fd/%d", ends[0]);
        c = read_rest((char **)nothing, pipe_path);
        assert_string_equal(config_string(c, "CTMS_SECRET_KEY"), SECRET);
        config_free(c);
        close(ends[0]);
        if (is_slow)
            waitpid(writer, NULL, 0);
    }
    alarm(0);
}

/* libpq's messages quote what they cannot read, and so a part of the password. */
static void
refuses_urls_of_databases(void **state)
{
    static const char *const bad[][2] = {
        {"postgresql://x:pass%word@127.0.0.1/ctms", "not one that libpq can read"},
        {"postgresql://x:pass.word@[::1/ctms", "not one that libpq can read"},
        {"postgresql://x:y@127.0.0.1/ctms?pass=word", "not one that libpq can read"},
        {"postgresql://x:pass@word@127.0.0.1/ctms", "write %40 for \"@\" in a password"},
        {"postgresql://x:pass/word@127.0.0.1/ctms", "wrong host or port"},
        {"mysql://x:pass.word@127.0.0.1/ctms", "not one that libpq can read"},
        {"host=127.0.0.1 password=pass word", "not one that libpq can read"},
        {"host=127.0.0.1 pass=word", "not one that libpq can read"},
        {"host='127.0.0.1 password=pass", "not one that libpq can read"},
        {"pass", "not one that libpq can read"},
        {"postgresql://x:pass.word@127.0.0.1,b,c:1/ctms?port=1,2", "not equally long"},
        {"host=127.0.0.1,b hostaddr=127.0.0.1 password=pass.word", "not equally long"},
    };
    static const char *const names[] = {"CTMS_DB_URL", "CTMS_DB_READ_URL", "CTMS_LISTEN_DB_URL"};
    config_error error;
    char entry[200];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *name = names[i % 3];

        snprintf(entry, sizeof(entry), "%s=%s", name, bad[i][0]);
        assert_null(config_read(CONFIG_REST, NULL, (char *[]){KEY, entry, NULL}, &error));
        assert_non_null(strstr(error.message, name));
        assert_non_null(strstr(error.message, bad[i][1]));
        assert_null(strstr(error.message, "pass%"));
        assert_null(strstr(error.message, "pass."));
        assert_null(strstr(error.message, "127.0.0.1"));
        assert_null(strstr(error.message, "word@"));
    }
    config_free(
        read_rest((char *[]){KEY, "CTMS_DB_URL=postgresql://x:p%25%40w@[::1]:1,b:2/c?host=/x,/y",
                             "CTMS_DB_READ_URL=host=@x,/y@z,h port=1,2,3 password='a b'", NULL},
                  NULL));
    config_free(read_rest((char *[]){KEY, "CTMS_LISTEN_DB_URL=service=x", NULL}, NULL));
    config_free(
        read_rest((char *[]){KEY, "CTMS_ACOUSTIC_SFTP_URL=sftp://[::1]:2222/", NULL}, NULL));
}

static void
refuses_bad_values(void **state)
{
    static const char *const bad[][2] = {
        {"CTMS_PORT=99999", "CTMS_PORT must be between 0 and 65535"},
        {"CTMS_PORT=80x", "CTMS_PORT must be a whole number"},
        {"CTMS_PORT=1.5", "CTMS_PORT"},
        {"CTMS_PORT= 1", "CTMS_PORT"},
        {"CTMS_PORT=99999999999999999999", "CTMS_PORT"},
        {"CTMS_ACOUSTIC_TIMEOUT_S=nan", "CTMS_ACOUSTIC_TIMEOUT_S must be a number"},
        {"CTMS_USE_MOZLOG=maybe", "CTMS_USE_MOZLOG must be true or false"},
        {"CTMS_LOGGING_LEVEL=LOUD", "CTMS_LOGGING_LEVEL must be one of CRITICAL"},
        {"CTMS_SERVER_PREFIX=localhost", "CTMS_SERVER_PREFIX must be an absolute"},
        {"CTMS_SERVER_PREFIX=http:///x", "CTMS_SERVER_PREFIX"},
        {"CTMS_ACOUSTIC_SFTP_URL=https://a", "CTMS_ACOUSTIC_SFTP_URL must be sftp://HOST"},
        {"CTMS_ACOUSTIC_SFTP_URL=sftp://", "CTMS_ACOUSTIC_SFTP_URL"},
        {"CTMS_ACOUSTIC_SFTP_URL=sftp://:22", "CTMS_ACOUSTIC_SFTP_URL"},
        {"CTMS_ACOUSTIC_SFTP_URL=sftp://a@b", "CTMS_ACOUSTIC_SFTP_URL"},
        {"CTMS_ACOUSTIC_SFTP_URL=sftp://a/b", "CTMS_ACOUSTIC_SFTP_URL"},
        {"CTMS_DB_READ_URL=host=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
         "CTMS_DB_READ_URL may name 16 hosts at most"},
        {"CTMS_PROT=80", "CTMS_PROT is not a setting"},
        {"CTMS_=1", "CTMS_ is not a setting"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *entry = strdup(bad[i][0]);

        refuse((char *[]){KEY, entry, NULL}, NULL, bad[i][1]);
        free(entry);
    }
    refuse((char *[]){NULL}, NULL, "CTMS_SECRET_KEY is required");
    refuse((char *[]){"CTMS_SECRET_KEY=", NULL}, NULL, "CTMS_SECRET_KEY is required");
    refuse((char *[]){"CTMS_SECRET_KEY=0123456789abcdef0123456789abcde", NULL}, NULL,
           "CTMS_SECRET_KEY must have at least 32 bytes");
    write_file(KEY "\nnonsense\n");
    refuse((char *[]){NULL}, file_path, "line 2");
    refuse((char *[]){NULL}, "/nonexistent/file", "could not open");
}

static int
make_file(void **state)
{
    int fd = mkstemp(file_path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int
remove_file(void **state)
{
    (void)state;
    return unlink(file_path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_defaults),
        cmocka_unit_test(takes_environment_over_file),
        cmocka_unit_test(prefers_own_name_to_alias),
        cmocka_unit_test(reads_secrets_from_files),
        cmocka_unit_test(does_not_wait_for_files),
        cmocka_unit_test(refuses_urls_of_databases),
        cmocka_unit_test(refuses_bad_values),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
