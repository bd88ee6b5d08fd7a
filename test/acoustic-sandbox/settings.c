/*
 * settings.c: the sandbox's settings; see settings.h.
 */
#include "test/acoustic-sandbox/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *
text_of(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value && *value ? value : otherwise;
}

static bool
number_of(const char *name, long otherwise, long *number)
{
    const char *value = text_of(name, NULL);
    char *end;

    *number = otherwise;
    if (value == NULL)
        return true;
    errno = 0;
    *number = strtol(value, &end, 10);
    if (errno == 0 && *end == '\0' && *number >= 0)
        return true;
    fprintf(stderr, "acoustic-sandbox: %s must be a whole number, not \"%s\"\n", name, value);
    return false;
}

void
settings_path(const struct settings *settings, const char *folder, const char *name,
              char path[SETTINGS_PATH])
{
    snprintf(path, SETTINGS_PATH, "%s/%s/%s", settings->sftp_root, folder, name);
}

enum table
settings_find_table(const struct settings *settings, const char *id)
{
    int table = 0;

    while (table < TABLE_COUNT && strcmp(settings->table_ids[table], id) != 0)
        table++;
    return (enum table)table;
}

static bool
faults_from_environment(struct settings *settings)
{
    const char *text = text_of("SANDBOX_FAULTS", NULL);
    const char *problem = "it is not JSON";
    json_t *array;
    bool is_loaded;

    if (text == NULL)
        return true;
    array = json_loads(text, 0, NULL);
    is_loaded = array != NULL && fault_load_list(&settings->faults, array, &problem);
    json_decref(array);
    if (!is_loaded)
        fprintf(stderr, "acoustic-sandbox: SANDBOX_FAULTS: %s\n", problem);
    return is_loaded;
}

static bool
make_folder(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return true;
    fprintf(stderr, "acoustic-sandbox: could not make the folder \"%s\": %s\n", path,
            strerror(errno));
    return false;
}

static bool
make_folders(const struct settings *settings)
{
    char upload[SETTINGS_PATH], download[SETTINGS_PATH];

    if (settings->sftp_root == NULL)
        return true;
    settings_path(settings, "upload", "", upload);
    settings_path(settings, "download", "", download);
    return make_folder(settings->sftp_root) && make_folder(upload) && make_folder(download);
}

bool
settings_from_environment(struct settings *settings)
{
    long port, empty_is_kept;

    *settings = (struct settings){.host = text_of("SANDBOX_HOST", "127.0.0.1"),
                                  .state_file = text_of("SANDBOX_STATE", NULL),
                                  .sftp_root = text_of("SANDBOX_SFTP_ROOT", NULL),
                                  .client_id = text_of("SANDBOX_CLIENT_ID", "cid"),
                                  .client_secret = text_of("SANDBOX_CLIENT_SECRET", "secret"),
                                  .refresh_token = text_of("SANDBOX_REFRESH_TOKEN", "refresh"),
                                  .table_ids = {text_of("SANDBOX_MAIN_TABLE_ID", "1"),
                                                text_of("SANDBOX_NEWSLETTER_TABLE_ID", "2"),
                                                text_of("SANDBOX_WAITLIST_TABLE_ID", "3"),
                                                text_of("SANDBOX_PRODUCT_TABLE_ID", "4")}};
    if (!number_of("SANDBOX_PORT", 0, &port) ||
        !number_of("SANDBOX_LATENCY_MS", 0, &settings->latency_ms) ||
        !number_of("SANDBOX_JITTER_MS", 0, &settings->jitter_ms) ||
        !number_of("SANDBOX_EXPONENTIAL_MS", 0, &settings->exponential_ms) ||
        !number_of("SANDBOX_TAIL_PERCENT", 0, &settings->tail_percent) ||
        !number_of("SANDBOX_TAIL_MS", 0, &settings->tail_ms) ||
        !number_of("SANDBOX_MAX_IN_FLIGHT", 10, &settings->max_in_flight) ||
        !number_of("SANDBOX_TOKEN_TTL_S", 14399, &settings->token_ttl_s) ||
        !number_of("SANDBOX_AUTH_STATUS", 200, &settings->auth_status) ||
        !number_of("SANDBOX_JOB_WAIT_MS", 0, &settings->job_wait_ms) ||
        !number_of("SANDBOX_JOB_ROWS_PER_SECOND", 0, &settings->job_rows_per_second) ||
        !number_of("SANDBOX_EMPTY_IS_KEPT", 0, &empty_is_kept) ||
        !faults_from_environment(settings) || !make_folders(settings))
        return false;
    settings->empty_is_kept = empty_is_kept != 0;
    settings->port = (int)port;
    if (port < 1 || port > 65535) {
        fputs("acoustic-sandbox: set SANDBOX_PORT to the port to listen on\n", stderr);
        return false;
    }
    return true;
}

bool
settings_apply(struct settings *settings, json_t *object, const char **problem)
{
    struct {
        const char *key;
        long *number;
    } numbers[] = {{"latency_ms", &settings->latency_ms},
                   {"jitter_ms", &settings->jitter_ms},
                   {"exponential_ms", &settings->exponential_ms},
                   {"tail_percent", &settings->tail_percent},
                   {"tail_ms", &settings->tail_ms},
                   {"max_in_flight", &settings->max_in_flight},
                   {"token_ttl_s", &settings->token_ttl_s},
                   {"auth_status", &settings->auth_status},
                   {"job_wait_ms", &settings->job_wait_ms},
                   {"job_rows_per_second", &settings->job_rows_per_second}};
    const char *key;
    json_t *value;

    *problem = "the settings must be an object";
    if (!json_is_object(object))
        return false;
    json_object_foreach(object, key, value)
    {
        size_t i = 0;

        if (strcmp(key, "faults") == 0) {
            if (!fault_load_list(&settings->faults, value, problem))
                return false;
            continue;
        }
        *problem = "\"empty_is_kept\" must be true or false";
        if (strcmp(key, "empty_is_kept") == 0) {
            if (!json_is_boolean(value))
                return false;
            settings->empty_is_kept = json_is_true(value);
            continue;
        }
        while (i < sizeof(numbers) / sizeof(*numbers) && strcmp(numbers[i].key, key) != 0)
            i++;
        *problem = "there is a setting that is not known";
        if (i == sizeof(numbers) / sizeof(*numbers))
            return false;
        *problem = "a number must be whole and not negative";
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return false;
        *numbers[i].number = (long)json_integer_value(value);
    }
    return true;
}

/* An exponential distribution with mean 1, without libm: counts tosses of a coin that falls with
 * probability 1/16. */
static double
draw_exponential(void)
{
    double drawn = drand48() / 16;

    while (drawn < 16 && drand48() >= 1.0 / 16)
        drawn += 1.0 / 16;
    return drawn;
}

long
settings_draw_latency_ms(const struct settings *settings)
{
    long latency_ms = settings->latency_ms;

    if (settings->jitter_ms > 0)
        latency_ms += lrand48() % (settings->jitter_ms + 1);
    if (settings->exponential_ms > 0)
        latency_ms += (long)((double)settings->exponential_ms * draw_exponential());
    if (settings->tail_percent > 0 && lrand48() % 100 < settings->tail_percent)
        latency_ms += settings->tail_ms;
    return latency_ms;
}

json_t *
settings_json(const struct settings *settings)
{
    const struct {
        const char *key;
        long number;
    } numbers[] = {{"latency_ms", settings->latency_ms},
                   {"jitter_ms", settings->jitter_ms},
                   {"exponential_ms", settings->exponential_ms},
                   {"tail_percent", settings->tail_percent},
                   {"tail_ms", settings->tail_ms},
                   {"max_in_flight", settings->max_in_flight},
                   {"token_ttl_s", settings->token_ttl_s},
                   {"auth_status", settings->auth_status},
                   {"job_wait_ms", settings->job_wait_ms},
                   {"job_rows_per_second", settings->job_rows_per_second}};
    json_t *object = json_object();

    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        json_object_set_new(object, numbers[i].key, json_integer(numbers[i].number));
    json_object_set_new(object, "empty_is_kept", json_boolean(settings->empty_is_kept));
    json_object_set_new(object, "faults", fault_list_json(&settings->faults));
    return object;
}
