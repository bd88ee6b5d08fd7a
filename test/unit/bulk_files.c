/*
 * Tests of bulk/files.c and bulk/folder.c: what is in the files, who may read them, and that they
 * go when nobody needs them any more.
 *
 * uses: bulk/files.c bulk/folder.c bulk/mapping.c acoustic/table.c acoustic/xml.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bulk/files.h"
#include "common/buf.h"

static const long long table_ids[ACOUSTIC_TABLES] = {11, 22, 33, 44};
static char top[64];
static char message[512];

/* ---- helpers ---------------------------------------------------------------------- */

static const char *
path_of(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", top, name);
    return path;
}

/* A result of text: rows of so many columns, ended by a null. */
static PGresult *
make_result(int columns, const char *const *values)
{
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc descriptions[3] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};

    assert_true(PQsetResultAttrs(result, columns, descriptions));
    for (int i = 0; values[i] != NULL; i++)
        assert_true(PQsetvalue(result, i / columns, i % columns, (char *)values[i],
                               (int)strlen(values[i])));
    return result;
}

static bulk_files *
make_files(const char *name)
{
    bulk_files_options options = {
        .directory = path_of(name), .prefix = "ctms_17", .table_ids = table_ids};

    message[0] = '\0';
    return bulk_files_new(&options, message, sizeof(message));
}

static bool
set_columns(bulk_files *files, const char *const *values)
{
    PGresult *result = make_result(2, values);
    bool is_done = bulk_files_set_columns(files, result, message, sizeof(message));

    PQclear(result);
    return is_done;
}

static bool
add(bulk_files *files, const char *const *values)
{
    PGresult *result = make_result(3, values);
    bool is_done = bulk_files_add(files, result, message, sizeof(message));

    PQclear(result);
    return is_done;
}

static void
is_content(const char *path, const char *expected)
{
    char text[4096] = "";
    FILE *file = fopen(path, "r");

    if (file == NULL)
        fail_msg("%s is not there", path);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static mode_t
mode_of(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 ? found.st_mode & 07777 : 0;
}

static bool
is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void
write_file(const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs("precious", file);
    fclose(file);
}

static const char *const some_columns[] = {
    "newsletter", "{email_id,newsletter_name}",
    "product",    "{email_id,product_id}",
    "main",       "{email_id,email}",
    "main_amo",   "{email_id,\"a b\",\"c,d\",\"e\\\"f\\\\g\",\" h\"}",
    NULL};

/* ---- tests ------------------------------------------------------------------------ */

static void
writes_files(void **state)
{
    bulk_files *files = make_files("writes");
    const bulk_file *file;

    (void)state;
    umask(0);
    assert_non_null(files);
    assert_true(set_columns(files, some_columns));
    assert_true(add(files, (const char *[]){"newsletter", "2", "1,a\n1,b\n", "main_amo", "1",
                                            "1,,,,\n", "product", "0", "", NULL}));
    assert_true(add(files, (const char *[]){"newsletter", "1", "2,\"c\nd\"\n", NULL}));
    assert_true(add(files, (const char *[]){NULL}));
    assert_true(bulk_files_finish(files, message, sizeof(message)));
    assert_int_equal(bulk_files_count(files), 2);

    file = bulk_files_get(files, 0);
    assert_string_equal(file->kind, "main_amo");
    assert_int_equal(file->table, ACOUSTIC_MAIN);
    assert_string_equal(file->name, "ctms_17_main_amo");
    assert_string_equal(file->csv_path, path_of("writes/ctms_17_main_amo.csv"));
    assert_string_equal(file->map_path, path_of("writes/ctms_17_main_amo.xml"));
    assert_int_equal(file->rows, 1);
    is_content(file->csv_path, "email_id,a b,\"c,d\",\"e\"\"f\\g\",\" h\"\n1,,,,\n");

    file = bulk_files_get(files, 1);
    assert_int_equal(file->table, ACOUSTIC_NEWSLETTER);
    assert_int_equal(file->rows, 3);
    assert_int_equal(file->csv_bytes, 25 + 8 + 8);
    is_content(file->csv_path, "email_id,newsletter_name\n1,a\n1,b\n2,\"c\nd\"\n");
    assert_int_equal(mode_of(path_of("writes")), 0700);
    for (int i = 0; i < 2; i++) {
        struct stat map;

        assert_int_equal(mode_of(bulk_files_get(files, i)->csv_path), 0600);
        assert_int_equal(stat(bulk_files_get(files, i)->map_path, &map), 0);
        assert_int_equal(map.st_mode & 07777, 0600);
        assert_int_equal(map.st_size, bulk_files_get(files, i)->map_bytes);
        assert_true(map.st_size > 100);
    }
    assert_false(is_there(path_of("writes/ctms_17_product.csv")));

    /* As a result file of a job. */
    write_file(path_of("writes/1.err"));
    bulk_files_remove(files);
    assert_false(is_there(path_of("writes")));
    assert_int_equal(bulk_files_count(files), 0);
    bulk_files_free(files);
}

static void
takes_an_empty_folder_only(void **state)
{
    bulk_files *files;

    (void)state;
    assert_int_equal(mkdir(path_of("mine"), 0755), 0);
    files = make_files("mine");
    assert_non_null(files);
    assert_true(set_columns(files, some_columns));
    assert_true(add(files, (const char *[]){"main", "1", "1,a\n", NULL}));
    write_file(path_of("mine/of_others"));
    bulk_files_remove(files);
    bulk_files_free(files);
    assert_false(is_there(path_of("mine/ctms_17_main.csv")));
    assert_true(is_there(path_of("mine/of_others")));

    assert_null(make_files("mine"));
    assert_non_null(strstr(message, "is not empty"));
    assert_null(make_files("mine/of_others"));
    assert_non_null(strstr(message, "could not make"));
    assert_null(make_files("none/below"));
    assert_non_null(strstr(message, "No such file"));
    assert_int_equal(symlink(path_of("mine"), path_of("link")), 0);
    assert_null(make_files("link"));
}

/* Who may rename in it could put other files in place of ours. */
static void
refuses_what_others_may_change(void **state)
{
    static const char *const names[] = {"sticky", "shared"};
    char path[256];

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mkdir(path_of(names[i]), 0700), 0);
        assert_int_equal(chmod(path_of(names[i]), i == 0 ? 01777 : 0720), 0);
        assert_null(make_files(names[i]));
        assert_non_null(strstr(message, "others may change"));
    }
    if (geteuid() != 0)
        return;
    assert_int_equal(chmod(path_of("shared"), 0700), 0);
    assert_int_equal(chown(path_of("shared"), 1, (gid_t)-1), 0);
    assert_null(make_files("shared"));
    assert_non_null(strstr(message, "others may change"));
    assert_false(
        bulk_files_open_spool(path_of("shared"), path, sizeof(path), message, sizeof(message)));
    assert_non_null(strstr(message, "another user's"));
}

static void
is_used_once(void **state)
{
    bulk_files *files = make_files("once");

    (void)state;
    assert_non_null(files);
    assert_null(make_files("once"));
    assert_non_null(strstr(message, "busy"));
    bulk_files_remove(files);
    bulk_files_free(files);
}

static void
leaves_files_of_dry_runs(void **state)
{
    bulk_files *files = make_files("dry");

    (void)state;
    assert_true(set_columns(files, some_columns));
    assert_true(add(files, (const char *[]){"main", "1", "1,a\n", NULL}));
    assert_true(bulk_files_finish(files, message, sizeof(message)));
    bulk_files_free(files);
    is_content(path_of("dry/ctms_17_main.csv"), "email_id,email\n1,a\n");
    assert_true(is_there(path_of("dry/ctms_17_main.xml")));
    bulk_files_free(NULL);
}

static void
refuses_what_it_does_not_know(void **state)
{
    static const char *const arrays[] = {
        "",     "{",    "{}",     "{a",     "{a,",  "{\"a}",    "a",       "{a}b",
        "{,a}", "{a,}", "{{a}}x", "{\"\"}", "{a\\", "{\"a\"b}", "{\"a\",", "{\"a\"\"b\"}"};
    bulk_files_options options = {.directory = path_of("no"), .table_ids = table_ids};
    const char *const prefixes[] = {
        "", "a/b", "a.b", "../a", "a b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    bulk_files *files = make_files("unknown");

    (void)state;
    assert_false(set_columns(files, (const char *[]){"letters", "{a}", NULL}));
    assert_false(set_columns(files, (const char *[]){"main_/../x", "{a}", NULL}));
    assert_false(
        set_columns(files, (const char *[]){"main_much_longer_than_it_may_be", "{a}", NULL}));
    assert_false(add(files, (const char *[]){"newsletter", "1", "1,a\n", NULL}));
    bulk_files_remove(files);
    bulk_files_free(files);
    for (size_t i = 0; i < sizeof(arrays) / sizeof(*arrays); i++) {
        files = make_files("unknown");
        if (set_columns(files, (const char *[]){"main", arrays[i], NULL}))
            fail_msg("was taken: %s", arrays[i]);
        bulk_files_remove(files);
        bulk_files_free(files);
    }
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
        options.prefix = prefixes[i];
        assert_null(bulk_files_new(&options, message, sizeof(message)));
    }
    assert_false(is_there(path_of("no")));
}

static void
has_no_more_kinds_than_files(void **state)
{
    bulk_files *files = make_files("many");
    const char *values[2 * (BULK_FILES_MAX + 1) + 1] = {NULL};

    (void)state;
    for (int i = 0; i <= BULK_FILES_MAX; i++) {
        values[2 * i] = "main";
        values[2 * i + 1] = "{a}";
    }
    assert_false(set_columns(files, values));
    bulk_files_remove(files);
    bulk_files_free(files);
}

/* The limit for files is the same error to who writes. */
static void
notices_a_full_disk(void **state)
{
    struct rlimit before, limit;
    bulk_files *files = make_files("full");
    buf row = BUF_INIT;
    bool is_written = true;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 100000; i++)
        buf_append_string(&row, "1,a\n");
    assert_true(set_columns(files, some_columns));
    for (int i = 0; i < 10 && is_written; i++)
        is_written = add(files, (const char *[]){"main", "1", buf_text(&row), NULL});
    is_written = is_written && bulk_files_finish(files, message, sizeof(message));
    setrlimit(RLIMIT_FSIZE, &before);
    assert_false(is_written);
    assert_non_null(strstr(message, "could not write"));
    assert_non_null(strstr(message, "File too large"));
    bulk_files_remove(files);
    bulk_files_free(files);
    assert_false(is_there(path_of("full")));
    buf_free(&row);
}

static bool
open_spool(const char *directory, char *path)
{
    message[0] = '\0';
    return bulk_files_open_spool(directory, path, 256, message, sizeof(message));
}

static void
removes_what_the_dead_left(void **state)
{
    /* Names of folders that somebody else has made for something else. */
    static const char *const others[] = {
        "ctms-run-",       "ctms-run-1",          "ctms-run-1-a",        "ctms-run-1-a-",
        "ctms-run-1-a-1x", "ctms-run-1-a-1-1",    "ctms-run-a-errors-1", "ctms-runs",
        "run-1-a-1",       "ctms-run-1-a-errors-"};
    bulk_files *living, *files;
    char path[256];
    int status;
    pid_t pid;

    (void)state;
    assert_true(open_spool(path_of("a/b/spool"), path));
    assert_string_equal(path, path_of("a/b/spool"));
    assert_int_equal(mode_of(path_of("a/b")), 0700);
    assert_int_equal(mode_of(path), 0700);
    living = make_files("a/b/spool/ctms-run-1-0a1b2c3d-1");
    assert_non_null(living);
    assert_int_equal(mkdir(path_of("a/b/spool/else"), 0700), 0);
    write_file(path_of("a/b/spool/ctms-run-file"));
    assert_int_equal(symlink(path_of("a"), path_of("a/b/spool/ctms-run-link")), 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        char inside[64];

        snprintf(inside, sizeof(inside), "a/b/spool/%s", others[i]);
        assert_int_equal(mkdir(path_of(inside), 0700), 0);
        snprintf(inside, sizeof(inside), "a/b/spool/%s/notes", others[i]);
        write_file(path_of(inside));
    }
    assert_int_equal(mkdir(path_of("a/b/spool/ctms-run-3-0a1b2c3d-errors-4711"), 0700), 0);
    write_file(path_of("a/b/spool/ctms-run-3-0a1b2c3d-errors-4711/0.err"));

    pid = fork();
    if (pid == 0) {
        files = make_files("a/b/spool/ctms-run-2-0a1b2c3d-1");
        _exit(files != NULL && set_columns(files, some_columns) &&
                      add(files, (const char *[]){"main", "1", "1,a\n", NULL})
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(is_there(path_of("a/b/spool/ctms-run-2-0a1b2c3d-1/ctms_17_main.csv")));

    assert_true(open_spool(path_of("a/b/spool"), path));
    assert_false(is_there(path_of("a/b/spool/ctms-run-2-0a1b2c3d-1")));
    assert_true(is_there(path_of("a/b/spool/ctms-run-1-0a1b2c3d-1")));
    assert_true(is_there(path_of("a/b/spool/else")));
    assert_false(is_there(path_of("a/b/spool/ctms-run-3-0a1b2c3d-errors-4711")));
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        char inside[64];

        snprintf(inside, sizeof(inside), "a/b/spool/%s/notes", others[i]);
        assert_true(is_there(path_of(inside)));
    }
    assert_true(is_there(path_of("a/b/spool/ctms-run-file")));
    assert_true(is_there(path_of("a/b/spool/ctms-run-link")));
    bulk_files_remove(living);
    bulk_files_free(living);
}

static void
finds_a_spool(void **state)
{
    static const char *const variables[] = {"STATE_DIRECTORY", "XDG_CACHE_HOME", "HOME"};
    char path[256], value[256];

    (void)state;
    for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++)
        unsetenv(variables[i]);
    assert_false(open_spool(NULL, path));
    assert_non_null(strstr(message, "CTMS_ACOUSTIC_BULK_DIRECTORY"));
    setenv("HOME", path_of("home"), 1);
    assert_true(open_spool(NULL, path));
    assert_string_equal(path, path_of("home/.cache/ctms/bulk"));
    setenv("XDG_CACHE_HOME", path_of("cache"), 1);
    assert_true(open_spool(NULL, path));
    assert_string_equal(path, path_of("cache/ctms/bulk"));
    snprintf(value, sizeof(value), "%s:/nonexistent", path_of("state"));
    setenv("STATE_DIRECTORY", value, 1);
    assert_true(open_spool(NULL, path));
    assert_string_equal(path, path_of("state/bulk"));

    assert_int_equal(mkdir(path_of("open"), 0700), 0);
    assert_int_equal(chmod(path_of("open"), 0777), 0);
    assert_false(open_spool(path_of("open"), path));
    assert_non_null(strstr(message, "chmod go-w"));
    assert_int_equal(chmod(path_of("open"), 01777), 0);
    assert_true(open_spool(path_of("open"), path));
    write_file(path_of("file"));
    assert_false(open_spool(path_of("file"), path));
    assert_false(open_spool(path_of("file/below"), path));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_files),
        cmocka_unit_test(takes_an_empty_folder_only),
        cmocka_unit_test(refuses_what_others_may_change),
        cmocka_unit_test(is_used_once),
        cmocka_unit_test(leaves_files_of_dry_runs),
        cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(has_no_more_kinds_than_files),
        cmocka_unit_test(notices_a_full_disk),
        cmocka_unit_test(removes_what_the_dead_left),
        cmocka_unit_test(finds_a_spool),
    };
    char command[128];
    int failed;

    strcpy(top, "/tmp/ctms-bulk-files-XXXXXX");
    if (mkdtemp(top) == NULL)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof(command), "rm -r %s", top);
    return system(command) != 0 ? 1 : failed;
}
