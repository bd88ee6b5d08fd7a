/*
 * base/gate_write.h: what writing below the executor needs in addition to base/gate.h.
 */
#ifndef CTMS_BASE_GATE_WRITE_H
#define CTMS_BASE_GATE_WRITE_H

#include "extension/base/gate.h"

#include "nodes/execnodes.h"

/* What the extension made of a table, apart from its columns. Its only unique indexes are on its
 * key. */
typedef struct GateWrittenTable {
    const GateTable *table; /* describes all columns */
    const char *parent;     /* the only table that it refers to, by its key */
    const char *trigger;    /* the only function of a row trigger: BEFORE UPDATE */
} GateWrittenTable;

/*
 * Whether nothing but rows and index entries must be written for an INSERT or UPDATE. For
 * "also_fits" of the table's description. Row security is not looked at.
 */
extern bool gate_write_fits(const GateWrittenTable *written, Relation relation);

/* All zero when it is not open. */
typedef struct GateWriter {
    EState *estate;
    ResultRelInfo *target; /* with all indexes open */
} GateWriter;

/*
 * Opens all indexes of an open table for the executor's own functions, which write the entries.
 * The lock on the table keeps them from being dropped, and new ones from being used, since it
 * was found to fit.
 */
extern void gate_write_open(GateWriter *writer, const GateScan *scan);
extern void gate_write_close(GateWriter *writer);

#endif
