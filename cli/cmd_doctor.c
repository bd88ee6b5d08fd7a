/*
 * cmd_doctor.c: `ctms doctor`: looks for what is wrong with an installation, one check after the
 * other, and says what to do. The checks are in cli/doctor.
 *
 * No check ends the command, and none takes longer than the time limit. What the role may not see
 * is not checked, and that is said.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/doctor/doctor.h"
#include "cli/output.h"

#define LIMIT_S 10.0
#define NO_LIMIT_S 86400.0
#define OLD_S 300.0

struct check {
    const char *name;
    bool needs_database;
    void (*run)(struct doctor *d);
};

/* Later checks use what earlier ones have found: settings, connections, the extension. */
static const struct check checks[] = {
    {"settings", false, doctor_check_settings},
    {"secrets", false, doctor_check_secrets},
    {"database", false, doctor_check_database},
    {"roles", true, doctor_check_roles},
    {"extension", true, doctor_check_extension},
    {"triggers", true, doctor_check_triggers},
    {"policy", true, doctor_check_policy},
    {"dumps", true, doctor_check_dumps},
    {"replicas", false, doctor_check_replicas},
    {"pooler", true, doctor_check_pooler},
    {"listen", true, doctor_check_listen},
    {"clock", true, doctor_check_clock},
    {"connections", true, doctor_check_connections},
    {"queue", true, doctor_check_queue},
    {"waitlists", true, doctor_check_waitlists},
    {"stripe", true, doctor_check_stripe},
    {"snapshots", true, doctor_check_snapshots},
    {"autovacuum", true, doctor_check_autovacuum},
    {"durability", true, doctor_check_durability},
    {"archiving", true, doctor_check_archiving},
    {"log", true, doctor_check_log},
    {"memory", true, doctor_check_memory},
    {"acoustic", false, doctor_check_acoustic},
    {"sftp", false, doctor_check_sftp},
    {"keys", false, doctor_check_keys},
};

static int
count_findings(const struct doctor *d)
{
    int count = 0;

    for (int status = 0; status < DOCTOR_STATUSES; status++)
        count += d->counts[status];
    return count;
}

static void
run_check(struct doctor *d, const struct check *check)
{
    int before = count_findings(d);

    d->check = check->name;
    doctor_begin(d);
    if (!check->needs_database || doctor_db(d))
        check->run(d);
    else
        doctor_skip(d, "not checked: needs a connection to the database");
    if (count_findings(d) == before)
        doctor_skip(d, "not checked: needs settings without an error");
}

static bool
has_colours(const struct cli *cli)
{
    const char *terminal = getenv("TERM");

    return !cli->is_json && isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && terminal &&
           strcmp(terminal, "dumb") != 0;
}

static bool
read_age(struct cli *cli, double *age_s)
{
    const char *text = cli_get_option(cli, "old");
    char *end;

    *age_s = OLD_S;
    if (!text)
        return true;
    errno = 0;
    *age_s = strtod(text, &end);
    if (errno == 0 && end != text && !*end && *age_s >= 0 && *age_s <= 1e9)
        return true;
    output_error(cli, CLI_USAGE, "--old must be a number of seconds, not \"%s\"", text);
    return false;
}

static void
close_all(struct doctor *d)
{
    for (int program = 0; program < DOCTOR_PROGRAMS; program++) {
        if (d->db[program])
            doctor_drop(d, d->db[program]);
        config_free(d->settings[program]);
    }
    json_decref(d->findings);
}

static int
run_doctor(struct cli *cli)
{
    struct doctor d = {.cli = cli, .limit_s = LIMIT_S, .is_coloured = has_colours(cli)};

    if (!read_age(cli, &d.old_s))
        return cli->status;
    if (cli->timeout_s >= 0)
        d.limit_s = cli->timeout_s > 0 ? cli->timeout_s : NO_LIMIT_S;
    d.findings = json_array();
    for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++)
        run_check(&d, &checks[i]);
    doctor_summarize(&d);
    if (d.counts[DOCTOR_ERROR] > 0 ||
        (d.counts[DOCTOR_WARNING] > 0 && cli_get_option(cli, "strict")))
        cli->status = CLI_FAILED;
    /* A thread that still waits would meet a library that cleans up after itself. */
    if (d.has_left) {
        output_finish(cli);
        _exit(cli->status);
    }
    close_all(&d);
    return cli->status;
}

static const struct cli_option doctor_options[] = {
    {"rest-config", 0, "FILE", "settings of ctms-rest (/etc/ctms/rest.env, if it is there)"},
    {"agent-config", 0, "FILE", "settings of ctms-agent (/etc/ctms/agent.env, likewise)"},
    {"old", 0, "SECONDS", "age at which a transaction counts as old (300)"},
    {"strict", 0, NULL, "fail for a warning too"},
    {NULL, 0, NULL, NULL},
};

const struct cli_command cmd_doctor[] = {
    {
        .verb = "",
        .arguments = "",
        .summary = "look for what is wrong with the installation",
        .text =
            "Prints a line for each thing that it looked at: ok, warning, error or skipped; and\n"
            "below what is wrong, what to do. Changes nothing. Fails if there is an error. A\n"
            "check may take 10 seconds; --timeout sets another limit.",
        .options = doctor_options,
        .is_offline = true,
        .is_unsettled = true,
        .run = run_doctor,
    },
    {.verb = NULL},
};
