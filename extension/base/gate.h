/*
 * base/gate.h: the only place that opens tables for work below the executor.
 *
 * A caller describes a table of ours as it expects it. The gate opens the table and one of its
 * indexes, if the executor would do nothing else there than what the caller does. Otherwise it
 * opens nothing, and the caller must use SQL.
 */
#ifndef CTMS_BASE_GATE_H
#define CTMS_BASE_GATE_H

#include "extension/base/compat.h"

#include "access/relscan.h"
#include "nodes/parsenodes.h"
#include "storage/lockdefs.h"
#include "utils/uuid.h"

#define GATE_MAX_COLUMNS 24

typedef struct GateColumn {
    const char *name;
    Oid type;         /* TEXTOID also stands for varchar, of any length */
    bool is_not_null; /* only looked at for writing */
} GateColumn;

typedef enum GateKnowledge { GATE_UNKNOWN, GATE_LOOKING, GATE_KNOWN } GateKnowledge;

/* What was found when the table was last looked at, for one user. */
typedef struct GateAnswer {
    Oid relation;
    Oid user;
    bool is_fit;
    AttrNumber columns[GATE_MAX_COLUMNS]; /* in the order of the description */
    Oid index;                            /* InvalidOid when there is none for the key */
} GateAnswer;

/* A description, in static memory; the gate remembers its answer there. */
typedef struct GateTable {
    const char *name; /* in schema ctms */
    const GateColumn *columns;
    int column_count;
    int key;            /* place of the column that rows are searched by, a uuid */
    bool is_key_unique; /* the index has no other column and checks at once that there is one row */
    AclMode rights;     /* what the current user must be allowed to do with all of the table */
    /* What else must hold, for callers that write. Called with a lock on the table; NULL: nothing.
     */
    bool (*also_fits)(Relation relation);

    GateKnowledge knowledge;
    GateAnswer answer;
    struct GateTable *next; /* of those whose answers end with invalidations */
    bool is_watched;
} GateTable;

/* An open table. All zero when it is not open. */
typedef struct GateScan {
    Relation relation;
    Relation index;
    IndexScanDesc scan; /* NULL until the first search */
    TupleTableSlot *found;
    AttrNumber columns[GATE_MAX_COLUMNS]; /* numbers of the described columns */
} GateScan;

/* Defines the setting ctms.direct_access; called once, by _PG_init. */
extern void gate_init(void);

/*
 * Opens the table, and an index that has the key as its first column, under a lock. False
 * when the caller must use SQL; nothing is open or locked then. Never fails because a table or an
 * index is gone.
 */
extern bool gate_open(GateScan *scan, GateTable *table, LOCKMODE lock);
/*
 * Does nothing when the table is not open. Locks are kept until the transaction ends, like those
 * of a statement.
 */
extern void gate_close(GateScan *scan);

/* Searches for the rows that have the key; the caller owns "snapshot". */
extern void gate_search(GateScan *scan, Snapshot snapshot, const pg_uuid_t *key);
/* The next row of the search into scan->found; false when there is none. */
extern bool gate_next(GateScan *scan);
/* The same for a key that has one row. */
extern bool gate_find(GateScan *scan, Snapshot snapshot, const pg_uuid_t *key);

/*
 * Lets go of every page of the search, so that VACUUM need not wait for us while we wait for
 * others. The table stays open for another search; scan->found is empty.
 */
extern void gate_release(GateScan *scan);

/* The function without arguments in schema ctms; InvalidOid when there is none. */
extern Oid gate_our_function(const char *name);

/* True when the table has no rows for sure. It saves a query on a table that nobody uses. */
extern bool gate_is_empty(Oid table);

/*
 * Whether an open index is a B-tree that can be searched now. Like the planner, this passes over
 * an index that lacks versions of rows which an old snapshot may still see. It becomes usable with
 * time.
 */
extern bool gate_index_is_usable(Relation index);

#endif
