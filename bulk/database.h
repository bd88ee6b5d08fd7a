/*
 * bulk/database.h: the connections of a runner. One is for short statements, each a transaction of
 * its own; the other has the snapshot that the files are made from. Both wait without losing sight
 * of what else goes on: while they wait, waiting() is called several times a second.
 *
 * Nothing of a session is relied on, so a pooler may give each transaction another one.
 */
#ifndef CTMS_BULK_DATABASE_H
#define CTMS_BULK_DATABASE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct bulk_database bulk_database;

typedef struct bulk_database_events {
    bool (*waiting)(void *arg); /* false ends the wait */
    /* A statement has failed several times and is tried again; bulk_database_message() says why. */
    void (*failing)(void *arg);
    void *arg;
} bulk_database_events;

typedef enum bulk_database_result {
    BULK_DATABASE_OK,
    BULK_DATABASE_STOPPED,  /* waiting() said so */
    BULK_DATABASE_CONFLICT, /* of a snapshot: 40001, 40P01; begin anew */
    BULK_DATABASE_AWAY,     /* no connection, or the server ends, recovers or is full */
    BULK_DATABASE_REFUSED,  /* any other error */
} bulk_database_result;

/* Connects with the first statement. url must outlive it. */
bulk_database *bulk_database_new(const char *url, const bulk_database_events *events);
void bulk_database_free(bulk_database *db);

/*
 * Runs a statement that may be repeated: it is, when the connection is lost or the server asks for
 * it, for up to two minutes. *result is set when the answer is BULK_DATABASE_OK; the caller clears
 * it. May not be called from waiting().
 */
bulk_database_result bulk_database_query(bulk_database *db, const char *sql, int count,
                                         const char *const *parameters, PGresult **result);
/* Once, within limit_s, and without calling waiting(). */
bulk_database_result bulk_database_try(bulk_database *db, double limit_s, const char *sql,
                                       int count, const char *const *parameters, PGresult **result);
/* A statement is under way: nothing may be asked from waiting(). */
bool bulk_database_is_busy(const bulk_database *db);

/* Opens the second connection if need be, and begins a transaction that sees one moment. */
bulk_database_result bulk_database_begin_snapshot(bulk_database *db);
/* Sends a statement in it, without waiting; then its result is taken. */
bulk_database_result
bulk_database_send(bulk_database *db, const char *sql, int count, const char *const *parameters);
bulk_database_result bulk_database_receive(bulk_database *db, PGresult **result);
/* The same row by row, so that no more than one is in memory; *row is null after the last. The
 * caller clears it, and goes on until there is none or an error. */
bulk_database_result bulk_database_send_for_rows(bulk_database *db, const char *sql, int count,
                                                 const char *const *parameters);
bulk_database_result bulk_database_receive_row(bulk_database *db, PGresult **row);
/* Closes the second connection, whatever goes on there. */
void bulk_database_end_snapshot(bulk_database *db);

/* What went wrong last; one line, nothing personal. */
const char *bulk_database_message(const bulk_database *db);
/* The SQLSTATE of the last error of the server. */
const char *bulk_database_state(const bulk_database *db);

#endif
