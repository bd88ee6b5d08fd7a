/* import/refusals.c: see import/refusals.h. The file of refused rows is in refused_file.c. */
#include "cli/import/refusals.h"

#include <stdlib.h>
#include <string.h>
#include "cli/database.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "common/buf.h"

/* So many rows may be left out. */
#define LIMIT_MAX 100000
/* So many more are looked for, to be listed together. */
#define MORE_MAX 1000
/* Places that are listed of rows with one reason. */
#define PLACES "5"

#define CREATE_SQL                                                                                 \
    "CREATE TEMP TABLE import_refused (origin int, line bigint, column_name text, reason text, "   \
    "key text, keys text) ON COMMIT DROP"
#define LIST_SQL                                                                                   \
    "SELECT origin, count(*), string_agg(line || CASE WHEN $1 AND keys <> '' THEN "                \
    "' (' || keys || ')' ELSE '' END, ', ' ORDER BY line) FILTER (WHERE place <= " PLACES "), "    \
    "column_name, reason FROM (SELECT *, row_number() OVER (PARTITION BY origin, column_name, "    \
    "reason ORDER BY line) AS place FROM " IMPORT_REFUSED_ROWS " AS o) AS r "                      \
    "GROUP BY origin, column_name, reason ORDER BY origin, min(line), column_name, reason"

bool
import_refusals_begin(struct import_refusals *refusals, struct cli *cli, bool is_csv)
{
    refusals->cli = cli;
    refusals->is_csv = is_csv;
    return cli_get_number(cli, "max-errors", LIMIT_MAX, &refusals->limit) &&
           database_run_statement(cli, CREATE_SQL);
}

void
import_refusals_free(struct import_refusals *refusals)
{
    for (size_t i = 0; i < refusals->origin_count; i++)
        free(refusals->origins[i].name);
    free(refusals->origins);
    refusals->origins = NULL;
    refusals->origin_count = 0;
}

size_t
import_refusals_add_origin(struct import_refusals *refusals, const char *name, size_t table)
{
    size_t origin = refusals->origin_count++;

    refusals->origins =
        xrealloc(refusals->origins, refusals->origin_count * sizeof(*refusals->origins));
    refusals->origins[origin] = (struct import_origin){.name = xstrdup(name), .table = table};
    return origin;
}

bool
import_refusals_add(struct import_refusals *refusals, const struct import_refusal *refusal)
{
    char origin[32], line[32];
    const char *parameters[] = {origin,          line,         refusal->column,
                                refusal->reason, refusal->key, refusal->keys};
    PGresult *result;

    snprintf(origin, sizeof(origin), "%zu", refusal->origin);
    snprintf(line, sizeof(line), "%lld", refusal->line);
    result = database_query(refusals->cli,
                            "INSERT INTO pg_temp.import_refused VALUES ($1, $2, $3, $4, $5, $6)", 6,
                            parameters);
    PQclear(result);
    refusals->count++;
    if (refusal->cells > refusals->widest)
        refusals->widest = refusal->cells;
    return result != NULL;
}

bool
import_refusals_is_full(const struct import_refusals *refusals)
{
    return refusals->count > refusals->limit + MORE_MAX;
}

/* One line for the rows that have the same reason. */
static void
print_group(struct import_refusals *refusals, const PGresult *result, int row)
{
    struct import_origin *origin = &refusals->origins[atoi(PQgetvalue(result, row, 0))];
    long long count = strtoll(PQgetvalue(result, row, 1), NULL, 10);
    long long listed = atoi(PLACES);

    origin->refused += count;
    fputs(refusals->is_csv ? "ctms: refused: \"" : "ctms: refused: table \"", stderr);
    output_text(stderr, origin->name);
    fprintf(stderr, "\", %s%s ", refusals->is_csv ? "line" : "row", count > 1 ? "s" : "");
    output_text(stderr, PQgetvalue(result, row, 2));
    if (count > listed)
        fprintf(stderr, " and %lld more", count - listed);
    fputs(": ", stderr);
    if (!PQgetisnull(result, row, 3)) {
        fputs("column \"", stderr);
        output_text(stderr, PQgetvalue(result, row, 3));
        fputs("\" ", stderr);
    }
    output_text(stderr, PQgetvalue(result, row, 4));
    fputc('\n', stderr);
}

bool
import_refusals_settle(struct import_refusals *refusals)
{
    const char *parameters[] = {refusals->is_csv ? "f" : "t"};
    bool is_full = import_refusals_is_full(refusals);
    PGresult *result = database_query(refusals->cli, LIST_SQL, 1, parameters);

    if (!result)
        return false;
    refusals->count = 0;
    progress_clear();
    for (int row = 0; row < PQntuples(result); row++) {
        print_group(refusals, result, row);
        refusals->count += strtoll(PQgetvalue(result, row, 1), NULL, 10);
    }
    PQclear(result);
    if (refusals->count <= refusals->limit)
        return true;
    if (cli_get_option(refusals->cli, "refused-file"))
        import_refusals_save(refusals);
    output_error(refusals->cli, CLI_FAILED, "rows refused: %lld%s; --max-errors allows %lld",
                 refusals->count, is_full ? ", and more were not looked for" : "", refusals->limit);
    return false;
}
