/*
 * import.h: the operations ImportList, ImportTable and GetJobStatus. api.c calls it.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_IMPORT_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_IMPORT_H

#include "test/acoustic-sandbox/answer.h"
#include "test/acoustic-sandbox/envelope.h"
#include "test/acoustic-sandbox/jobs.h"

bool import_is_operation(const char *operation);
/* The table that an operation is about; TABLE_COUNT when it cannot be told. */
enum table import_find_table(const struct jobs *jobs, const struct envelope *envelope);
void import_run(struct jobs *jobs, const struct envelope *envelope, enum table table,
                struct answer *answer);

#endif
