/*
 * base/gate_write.h: opens a table of ours for writing below the executor.
 */
#ifndef CTMS_BASE_GATE_WRITE_H
#define CTMS_BASE_GATE_WRITE_H

#include "extension/base/compat.h"

#include "nodes/execnodes.h"

#define GATE_MAX_COLUMNS 16

typedef struct GateWrittenColumn {
    const char *name;
    Oid type; /* without a length */
    bool is_not_null;
} GateWrittenColumn;

/* What the extension made of the table: the gate only opens it when it still is like this. */
typedef struct GateWrittenTable {
    const GateWrittenColumn *columns; /* all of them */
    int column_count;
    int key;             /* place of the column whose unique indexes are the only ones */
    const char *trigger; /* the only trigger function: BEFORE UPDATE FOR EACH ROW */
    /* Filled in by the gate. */
    Oid known;                            /* the table that was found to be like this */
    AttrNumber numbers[GATE_MAX_COLUMNS]; /* of the columns */
} GateWrittenTable;

/* All zero when it is not open. */
typedef struct GateWriter {
    Relation relation;
    EState *estate;
    ResultRelInfo *target; /* with all indexes open */
    Relation key_index;
    const AttrNumber *numbers;
} GateWriter;

/*
 * Opens the table, which refers to "parent" by its key and to nothing else, and all its indexes.
 * False, and nothing is open, when anything about it is not as the extension made it, so that the
 * executor would do more than to write rows and index entries; then it must be written by SQL.
 * Locks are kept until the transaction ends. Row security is not looked at: the caller acts as
 * the owner.
 */
extern bool gate_write_open(GateWriter *writer, GateWrittenTable *table, Oid oid, Oid parent);
extern void gate_write_close(GateWriter *writer);

/* Whether a search by the index finds everything that a snapshot taken now sees. */
extern bool gate_can_search(Relation index);

#endif
