/*
 * addresses.h: a file of e-mail addresses: one a line, or CSV with a column "email" or
 * "primary_email". `ctms delete` and selection.c use it.
 *
 * The whole file is read before anything is done, so that a bad line can stop it.
 */
#ifndef CTMS_CLI_ADDRESSES_H
#define CTMS_CLI_ADDRESSES_H

#include "cli/cli.h"
#include "common/buf.h"

#define ADDRESSES_MAX_ERRORS_OPTION                                                                \
    {                                                                                              \
        "max-errors", 0, "N", "go on without bad lines if there are at most N (0)"                 \
    }

struct addresses {
    struct cli *cli;
    const char *path;
    buf text;  /* each ends with a zero byte */
    buf lines; /* the line of each, as a long long */
    long long bad;
};

/*
 * Reads the file; "-" is standard input. Lists lines that hold no address. Returns false after
 * reporting an error: the file cannot be read, has more than 256 MiB of addresses, or more bad
 * lines than --max-errors. The caller frees the addresses in any case.
 */
bool addresses_read(struct addresses *addresses, struct cli *cli, const char *path);
void addresses_free(struct addresses *addresses);

/* Passes on each address with its line, until take() returns false; then it returns false. */
bool addresses_each(const struct addresses *addresses,
                    bool (*take)(void *arg, const char *address, long long line), void *arg);

#endif
