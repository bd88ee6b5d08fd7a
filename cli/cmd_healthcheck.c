/*
 * cmd_healthcheck.c: `ctms healthcheck`: checks that the agent still runs its loop.
 *
 * The agent writes the time to a file. Only this file is read, so the command works even when the
 * database is away.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli/cli.h"
#include "cli/output.h"

/* ISO 8601 with an offset or "Z", as the agent writes it. */
static bool
parse_time(const char *text, double *seconds)
{
    struct tm tm = {0};
    double fraction = 0;
    int offset_hours = 0;
    int offset_minutes = 0;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    char *end;

    if (!rest)
        return false;
    if (*rest == '.') {
        fraction = strtod(rest, &end);
        rest = end;
    }
    if (*rest == '+' || *rest == '-') {
        if (sscanf(rest + 1, "%2d:%2d", &offset_hours, &offset_minutes) != 2)
            return false;
        if (*rest == '-') {
            offset_hours = -offset_hours;
            offset_minutes = -offset_minutes;
        }
        rest += 6;
    } else if (*rest == 'Z') {
        rest++;
    } else {
        return false;
    }
    if (rest[strspn(rest, "\r\n")])
        return false;
    *seconds = (double)timegm(&tm) + fraction - 3600.0 * offset_hours - 60.0 * offset_minutes;
    return true;
}

/* Does not wait for a FIFO that somebody else has put there. */
static bool
read_line(struct cli *cli, const char *path, char *line, int size)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

    if (!file || !fgets(line, size, file))
        output_error(cli, CLI_FAILED, "could not read \"%s\": %s", path,
                     !file || ferror(file) ? strerror(errno) : "it is empty");
    if (file)
        fclose(file);
    return cli->status == CLI_OK;
}

static int
run_healthcheck(struct cli *cli)
{
    const char *path = config_string(cli->settings, "CTMS_BACKGROUND_HEALTHCHECK_PATH");
    double limit_s = config_real(cli->settings, "CTMS_BACKGROUND_HEALTHCHECK_AGE_S");
    char line[64];
    double written_s;
    double age_s;
    struct timespec now;

    if (!path)
        return output_error(cli, CLI_USAGE, "CTMS_BACKGROUND_HEALTHCHECK_PATH is not set");
    if (!read_line(cli, path, line, sizeof(line)))
        return cli->status;
    if (!parse_time(line, &written_s))
        return output_error(cli, CLI_FAILED, "\"%s\" does not hold a time", path);
    clock_gettime(CLOCK_REALTIME, &now);
    age_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - written_s;
    if (age_s > limit_s)
        return output_error(cli, CLI_FAILED, "the agent wrote \"%s\" %.0f s ago, more than %.15g s",
                            path, age_s, limit_s);
    printf(cli->is_json ? "{\"age_s\": %.3f}\n" : "the agent was alive %.1f s ago\n", age_s);
    return cli->status;
}

const struct cli_command cmd_healthcheck[] = {
    {
        .verb = "",
        .arguments = "",
        .summary = "check whether the sync agent is alive",
        .text = "Fails when the file CTMS_BACKGROUND_HEALTHCHECK_PATH, to which the agent writes\n"
                "the time once a loop, is missing, unreadable or older than\n"
                "CTMS_BACKGROUND_HEALTHCHECK_AGE_S seconds.",
        .is_offline = true,
        .run = run_healthcheck,
    },
    {.verb = NULL},
};
