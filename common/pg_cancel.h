/*
 * pg_cancel.h: asks the server to cancel what a connection is waiting for, without waiting for that
 * itself. For pg_pool_deadline.c.
 */
#ifndef CTMS_COMMON_PG_CANCEL_H
#define CTMS_COMMON_PG_CANCEL_H

#include <libpq-fe.h>
#include <stdbool.h>

/*
 * The request to cancel goes over a connection of its own, also through a pooler. Whether it
 * reaches the server, and which statement runs then, is not known: the caller must be content with
 * both. False when nothing was asked, because too many others are under way or there is no memory.
 */
bool pg_cancel_begin(PGconn *conn);

#endif
