/* config.c: reads and checks the settings that config_table.c lists; see config.h. */
#include "common/config.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/config_file.h"
#include "common/db_url.h"
#include "common/version.h"

/* Names with this prefix belong to test harnesses. They are ignored. */
#define IGNORED_PREFIX "CTMS_TEST_"
#define SECRET_FILE_MAX (64 * 1024)
#define SETTINGS_FILE_MAX (1024 * 1024)

extern char **environ;

struct config {
    config_program program;
    char *file;
    char **environment;
    char **values; /* one per row of config_table, NULL when not set */
    char **files;  /* likewise: the file that the value was read from, NULL for others */
    int *lines;    /* likewise: the line of c->file, 0 for others */
};

static bool __attribute__((format(printf, 2, 3))) fail(config_error *error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the analyzer misses va_start */
    vsnprintf(error->message, sizeof(error->message), format, args);
    va_end(args);
    return false;
}

/* Puts the place in front of a message about what a line of the file says. */
static bool
fail_at(const config *c, int line, config_error *error)
{
    config_error bare = *error;

    if (line > 0)
        fail(error, "%.200s, line %d: %.290s", c->file, line, bare.message);
    return false;
}

/* ---- the table ---------------------------------------------------------- */

static size_t
setting_count(void)
{
    size_t count = 0;

    while (config_table[count].name != NULL)
        count++;
    return count;
}

static size_t
setting_of(const char *name)
{
    for (size_t i = 0; config_table[i].name != NULL; i++) {
        if (strcmp(config_table[i].name, name) == 0)
            return i;
    }
    fprintf(stderr, "no such setting: %s\n", name);
    abort();
}

/*
 * Finds the row of a setting by its name in the environment or file. Returns false when there is
 * none. is_file says that the name was NAME_FILE.
 */
static bool
find_setting(const char *name, size_t length, size_t *row, bool *is_file)
{
    for (size_t i = 0; config_table[i].name != NULL; i++) {
        const config_setting *setting = &config_table[i];
        size_t own = strlen(setting->name);

        *row = i;
        *is_file = false;
        if (length == own && strncmp(name, setting->name, length) == 0)
            return true;
        if (setting->alias && length == strlen(setting->alias) &&
            strncmp(name, setting->alias, length) == 0)
            return true;
        *is_file = true;
        if (setting->is_secret && length == own + 5 && strncmp(name, setting->name, own) == 0 &&
            strncmp(name + own, "_FILE", 5) == 0)
            return true;
    }
    return false;
}

/* ---- values -------------------------------------------------------------- */

static bool
parse_bool(const char *text, bool *value)
{
    static const char *const words[][2] = {{"true", "false"}, {"1", "0"}, {"yes", "no"},
                                           {"on", "off"},     {"t", "f"}, {"y", "n"}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        for (size_t j = 0; j < 2; j++) {
            if (strcasecmp(text, words[i][j]) == 0) {
                *value = j == 0;
                return true;
            }
        }
    }
    return false;
}

static bool
check_number(const config_setting *setting, const char *value, config_error *error)
{
    char *end;
    double number;

    errno = 0;
    if (setting->type == CONFIG_INT)
        number = (double)strtoll(value, &end, 10);
    else
        number = strtod(value, &end);
    if (end == value || *end != '\0' || errno != 0 || !isfinite(number) ||
        isspace((unsigned char)value[0]))
        return fail(error, "%s must be %s", setting->name,
                    setting->type == CONFIG_INT ? "a whole number" : "a number");
    if (number < setting->min || number > setting->max)
        return fail(error, "%s must be between %.15g and %.15g", setting->name, setting->min,
                    setting->max);
    return true;
}

static bool
check_url(const config_setting *setting, const char *value, config_error *error)
{
    const char *host = NULL;

    if (strncasecmp(value, "http://", 7) == 0)
        host = value + 7;
    else if (strncasecmp(value, "https://", 8) == 0)
        host = value + 8;
    if (host == NULL || *host == '\0' || *host == '/' || strpbrk(value, " \t\r\n\"<>") != NULL)
        return fail(error, "%s must be an absolute http or https URL", setting->name);
    return true;
}

/* The account has settings of its own, and paths below it are decided in bulk/sftp.c. */
static bool
check_sftp_url(const config_setting *setting, const char *value, config_error *error)
{
    static const char host_characters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    const char *host = strncasecmp(value, "sftp://", 7) == 0 ? value + 7 : "";
    size_t length = strspn(host, host_characters);

    if (length == 0 || host[0] == ':' || (host[length] != '\0' && strcmp(host + length, "/") != 0))
        return fail(error, "%s must be sftp://HOST or sftp://HOST:PORT", setting->name);
    return true;
}

static bool
check_choice(const config_setting *setting, const char *value, config_error *error)
{
    const char *choice = setting->choices;

    while (*choice != '\0') {
        size_t length = strcspn(choice, " ");

        if (strlen(value) == length && strncasecmp(choice, value, length) == 0)
            return true;
        choice += length + strspn(choice + length, " ");
    }
    return fail(error, "%s must be one of %s", setting->name, setting->choices);
}

static bool
check_value(const config_setting *setting, const char *value, config_error *error)
{
    const char *problem;
    bool ignored;

    switch (setting->type) {
    case CONFIG_INT:
    case CONFIG_REAL: return check_number(setting, value, error);
    case CONFIG_BOOL:
        if (!parse_bool(value, &ignored))
            return fail(error, "%s must be true or false", setting->name);
        return true;
    case CONFIG_URL: return check_url(setting, value, error);
    case CONFIG_SFTP_URL: return check_sftp_url(setting, value, error);
    case CONFIG_DB_URL:
        problem = db_url_problem(value);
        if (problem)
            return fail(error, "%s %s", setting->name, problem);
        if (setting->max > 0 && db_url_split(value, NULL, 0) > setting->max)
            return fail(error, "%s may name %.15g hosts at most", setting->name, setting->max);
        return true;
    case CONFIG_CHOICE: return check_choice(setting, value, error);
    case CONFIG_STRING:
        if ((double)strlen(value) < setting->min)
            return fail(error, "%s must have at least %.15g bytes", setting->name, setting->min);
        return true;
    }
    return true;
}

/* ---- sources --------------------------------------------------------------- */

/* The content of a file without line breaks at its end. */
static char *
read_secret_file(const char *name, const char *path, config_error *error)
{
    buf text = BUF_INIT;
    char problem[400];
    char *secret;
    size_t length;

    if (!config_file_read(path, SECRET_FILE_MAX, &text, problem, sizeof(problem)))
        fail(error, "%s_FILE: %s", name, problem);
    else if (memchr(buf_text(&text), '\0', text.length) != NULL)
        fail(error, "%s_FILE: \"%s\" is not a file with a secret", name, path);
    else {
        length = text.length;
        secret = buf_steal(&text);
        while (length > 0 && (secret[length - 1] == '\n' || secret[length - 1] == '\r'))
            length--;
        secret[length] = '\0';
        return secret;
    }
    buf_free(&text);
    return NULL;
}

/*
 * Takes NAME=value from one source; line is 0 for the environment. seen marks the settings that
 * this source gave. A name that is not in the table is an error if it begins with CTMS_; other
 * names belong to other programs.
 */
static bool
take_assignment(config *c, const char *name, size_t length, const char *value, int line, bool *seen,
                config_error *error)
{
    const config_setting *setting;
    size_t row;
    bool is_file;
    char *text;

    if (!find_setting(name, length, &row, &is_file)) {
        if (length == strlen(CONFIG_FILE_NAME) && strncmp(name, CONFIG_FILE_NAME, length) == 0)
            return line == 0 || fail(error, "%s belongs into the environment, not into a file",
                                     CONFIG_FILE_NAME);
        if (strncmp(name, "CTMS_", 5) != 0 ||
            strncmp(name, IGNORED_PREFIX, strlen(IGNORED_PREFIX)) == 0)
            return true;
        return fail(error, "%.*s is not a setting of ctms", length > 200 ? 200 : (int)length, name);
    }
    setting = &config_table[row];
    if (*value == '\0')
        return true;
    if (seen[row]) {
        /* A platform sets PORT for every program, so our own name wins. */
        if (setting->alias && strncmp(name, setting->alias, length) == 0)
            return true;
        if (setting->is_secret)
            return fail(error, "%s is given twice, or together with %s_FILE", setting->name,
                        setting->name);
    }
    text = is_file ? read_secret_file(setting->name, value, error) : xstrdup(value);
    if (text == NULL)
        return false;
    free(c->values[row]);
    c->values[row] = text;
    free(c->files[row]);
    c->files[row] = is_file ? xstrdup(value) : NULL;
    c->lines[row] = line;
    seen[row] = true;
    return true;
}

/* A value may be quoted, as in files that shells and systemd read. */
static char *
trim_value(char *value)
{
    size_t length;

    value += strspn(value, " \t");
    length = strlen(value);
    while (length > 0 && isspace((unsigned char)value[length - 1]))
        value[--length] = '\0';
    if (length >= 2 && (value[0] == '"' || value[0] == '\'') && value[length - 1] == value[0]) {
        value[length - 1] = '\0';
        value++;
    }
    return value;
}

static bool
take_line(config *c, char *line, int number, bool *seen, config_error *error)
{
    char *name = line + strspn(line, " \t");
    size_t length = strcspn(name, "= \t\r\n");
    char *equals;

    if (*name == '#' || *name == '\0' || *name == '\r' || *name == '\n')
        return true;
    equals = name + length + strspn(name + length, " \t");
    if (length == 0 || *equals != '=')
        fail(error, "must be NAME=value");
    else if (take_assignment(c, name, length, trim_value(equals + 1), number, seen, error))
        return true;
    return fail_at(c, number, error);
}

static bool
take_file(config *c, bool *seen, config_error *error)
{
    buf text = BUF_INIT;
    char problem[400];
    int number = 0;
    bool ok = true;
    char *content;
    char *rest;

    if (!config_file_read(c->file, SETTINGS_FILE_MAX, &text, problem, sizeof(problem)))
        ok = fail(error, "%s", problem);
    else if (memchr(buf_text(&text), '\0', text.length) != NULL)
        ok = fail(error, "%s: holds a NUL byte", c->file);
    content = rest = buf_steal(&text);
    while (ok && rest != NULL) {
        char *line = strsep(&rest, "\n");

        ok = take_line(c, line, ++number, seen, error);
    }
    free(content);
    return ok;
}

static bool
take_environment(config *c, bool *seen, config_error *error)
{
    for (char **entry = c->environment; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');

        if (equals != NULL &&
            !take_assignment(c, *entry, (size_t)(equals - *entry), equals + 1, 0, seen, error))
            return false;
    }
    return true;
}

static bool
check_all(config *c, config_error *error)
{
    for (size_t i = 0; config_table[i].name != NULL; i++) {
        const config_setting *setting = &config_table[i];

        if (c->values[i] != NULL) {
            if (!check_value(setting, c->values[i], error))
                return fail_at(c, c->lines[i], error);
        } else if (setting->required_by & c->program) {
            return fail(error, "%s is required: %s", setting->name, setting->description);
        } else if (setting->default_value != NULL) {
            c->values[i] = xstrdup(setting->default_value);
        }
    }
    return true;
}

config *
config_read(config_program program, const char *file, char **environment, config_error *error)
{
    config *c = xcalloc(1, sizeof(*c));
    bool *seen = xcalloc(setting_count(), sizeof(*seen));
    bool ok;

    c->program = program;
    c->file = file ? xstrdup(file) : NULL;
    c->environment = environment;
    c->values = xcalloc(setting_count(), sizeof(*c->values));
    c->files = xcalloc(setting_count(), sizeof(*c->files));
    c->lines = xcalloc(setting_count(), sizeof(*c->lines));
    ok = c->file == NULL || take_file(c, seen, error);
    memset(seen, 0, setting_count() * sizeof(*seen));
    ok = ok && take_environment(c, seen, error) && check_all(c, error);
    free(seen);
    if (!ok) {
        config_free(c);
        return NULL;
    }
    return c;
}

config *
config_read_again(const config *old, config_error *error)
{
    return config_read(old->program, old->file, old->environment, error);
}

void
config_free(config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; config_table[i].name != NULL; i++) {
        free(c->values[i]);
        free(c->files[i]);
    }
    free(c->values);
    free(c->files);
    free(c->lines);
    free(c->file);
    free(c);
}

/* ---- asking ------------------------------------------------------------------ */

const char *
config_string(const config *c, const char *name)
{
    return c->values[setting_of(name)];
}

const char *
config_secret_file(const config *c, const char *name)
{
    return c->files[setting_of(name)];
}

/* Asking by a wrong name or type is a fault of the program. */
static const char *
value_of_type(const config *c, const char *name, config_type type)
{
    size_t i = setting_of(name);

    if (config_table[i].type != type) {
        fprintf(stderr, "the setting %s is asked for as another type than it has\n", name);
        abort();
    }
    return c->values[i];
}

static const char *
needed(const config *c, const char *name, config_type type)
{
    const char *value = value_of_type(c, name, type);

    if (value == NULL) {
        fprintf(stderr, "the setting %s has no default\n", name);
        abort();
    }
    return value;
}

long long
config_int_or(const config *c, const char *name, long long fallback)
{
    const char *value = value_of_type(c, name, CONFIG_INT);

    return value ? strtoll(value, NULL, 10) : fallback;
}

long long
config_int(const config *c, const char *name)
{
    return strtoll(needed(c, name, CONFIG_INT), NULL, 10);
}

double
config_real(const config *c, const char *name)
{
    return strtod(needed(c, name, CONFIG_REAL), NULL);
}

bool
config_bool(const config *c, const char *name)
{
    bool value = false;

    parse_bool(needed(c, name, CONFIG_BOOL), &value);
    return value;
}

const char *
config_file_of_environment(void)
{
    const char *file = getenv(CONFIG_FILE_NAME);

    return file && *file ? file : NULL;
}

/* ---- command line --------------------------------------------------------------- */

static const char *
type_name(config_type type)
{
    switch (type) {
    case CONFIG_STRING: return "text";
    case CONFIG_INT: return "whole number";
    case CONFIG_REAL: return "number";
    case CONFIG_BOOL: return "true or false";
    case CONFIG_URL:
    case CONFIG_SFTP_URL: return "URL";
    case CONFIG_DB_URL: return "URI or keywords";
    case CONFIG_CHOICE: return "one of";
    }
    return "";
}

void
config_print_settings(config_program program, FILE *out)
{
    for (size_t i = 0; config_table[i].name != NULL; i++) {
        const config_setting *setting = &config_table[i];

        if (!(setting->programs & (unsigned)program))
            continue;
        fprintf(out, "  %s", setting->name);
        if (setting->alias)
            fprintf(out, " or %s", setting->alias);
        fprintf(out, "  (%s%s%s", type_name(setting->type), setting->choices ? " " : "",
                setting->choices ? setting->choices : "");
        if (setting->required_by & (unsigned)program)
            fputs(", required", out);
        if (setting->default_value != NULL)
            fprintf(out, ", default %s", setting->default_value);
        if (setting->is_secret)
            fputs(", or in the file that NAME_FILE names", out);
        fprintf(out, ")\n      %s\n", setting->description);
    }
}

static void
print_help(config_program program, const char *name, const char *purpose)
{
    printf("%s\n\n"
           "usage: %s [--config FILE]\n\n"
           "  --config FILE   read settings as lines of NAME=value; the environment wins.\n"
           "                  Without it, the file that CTMS_CONFIG names, if that is set\n"
           "  --help          show this\n"
           "  --version       show the version\n\n"
           "Settings (environment variables):\n\n",
           purpose, name);
    config_print_settings(program, stdout);
}

config *
config_main(config_program program, const char *purpose, int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    const char *file = config_file_of_environment();
    config_error error;
    config *c;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(program, name, purpose);
            exit(0);
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", name, CTMS_VERSION);
            exit(0);
        } else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            file = argv[++i];
        } else if (strncmp(argv[i], "--config=", 9) == 0) {
            file = argv[i] + 9;
        } else {
            fprintf(stderr, "%s: unknown argument \"%s\"; see --help\n", name, argv[i]);
            exit(2);
        }
    }
    c = config_read(program, file, environ, &error);
    if (c == NULL) {
        fprintf(stderr, "%s: %s\n", name, error.message);
        exit(2);
    }
    return c;
}
