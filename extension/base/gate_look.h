/*
 * base/gate_look.h: looks at a table, whether it is as described and the executor would do nothing
 * special there; for base/gate.c, which remembers the answer.
 */
#ifndef CTMS_BASE_GATE_LOOK_H
#define CTMS_BASE_GATE_LOOK_H

#include "extension/base/gate.h"

/* The caller has locked the table. */
extern GateAnswer gate_look(const GateTable *table, Relation relation);

#endif
