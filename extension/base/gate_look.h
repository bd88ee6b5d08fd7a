/*
 * base/gate_look.h: looks at a table, whether it is as described and the executor would do nothing
 * special there; for base/gate.c, which remembers the answer.
 */
#ifndef CTMS_BASE_GATE_LOOK_H
#define CTMS_BASE_GATE_LOOK_H

#include "extension/base/gate.h"

/* The caller has locked the table. */
extern GateAnswer gate_look(const GateTable *table, Relation relation);

/*
 * Whether an index of the answer can be used now. Like the planner, this passes over an index that
 * lacks versions of rows which an old snapshot may still see. It becomes usable with time, so it
 * is no part of the answer.
 */
extern bool gate_look_index_is_usable(Relation index);

#endif
