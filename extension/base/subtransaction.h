/*
 * base/subtransaction.h: work that can be undone, together with the locks that it has taken.
 */
#ifndef CTMS_BASE_SUBTRANSACTION_H
#define CTMS_BASE_SUBTRANSACTION_H

#include "postgres.h"

/* Returns whether what was done is kept. */
typedef bool (*SubtransactionWork)(void *arg);

/*
 * Does the work in a subtransaction, within SPI_connect(). Returns true when it is kept. It is
 * undone when the work returns false, and when it raises an error. The error is passed on, except
 * when its SQLSTATE is one of `forgiven`, which end with 0; then the result is false. `forgiven`
 * may be null.
 */
extern bool subtransaction_try(SubtransactionWork work, void *arg, const int *forgiven);

#endif
