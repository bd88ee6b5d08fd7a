/*
 * base/trigger_check.h: what every trigger function asks before it looks at a row.
 *
 * Whoever may execute a trigger function can attach it to any table, at any moment. So a function
 * says when it may be fired, and which columns it reads; nothing else is assumed.
 */
#ifndef CTMS_BASE_TRIGGER_CHECK_H
#define CTMS_BASE_TRIGGER_CHECK_H

#include "postgres.h"

#include "access/attnum.h"
#include "commands/trigger.h"
#include "fmgr.h"

/* One level and time, and the events for which a function may be fired there. */
typedef struct TriggerMoment {
    TriggerEvent
        moment; /* of TRIGGER_EVENT_ROW and TRIGGER_EVENT_BEFORE; AFTER and STATEMENT are 0 */
    int events; /* of TRIGGER_ON() */
} TriggerMoment;

#define TRIGGER_ON(event) (1 << TRIGGER_EVENT_##event)
#define TRIGGER_ON_ROWS (TRIGGER_ON(INSERT) | TRIGGER_ON(UPDATE) | TRIGGER_ON(DELETE))

typedef struct TriggerUse {
    const char *function;     /* for messages */
    const char *when;         /* for messages, like "BEFORE UPDATE for each row" */
    TriggerMoment moments[3]; /* those without events are not used */
} TriggerUse;

/* What a trigger function keeps in fn_extra begins with this. */
typedef struct TriggerState {
    const TriggerUse *use;
    Oid relation;
    Oid trigger;
    bool is_ready; /* the function sets it when it has filled in the rest */
} TriggerState;

/*
 * Raises an error unless the function is called as a trigger, at the right moment, for a table in
 * the schema of the extension. Returns the function's state, of that size, which begins zeroed. It
 * lives as long as the statement (of a deferrable trigger: as long as the call), and is always that
 * of this relation and this trigger. What belongs to it goes into GetMemoryChunkContext(state).
 */
extern void *trigger_check(FunctionCallInfo fcinfo, const TriggerUse *use, Size state_size);

/*
 * The number of the column. Raises an error unless the table has it, with that type; TEXTOID
 * stands for varchar too, and InvalidOid for any type.
 */
extern AttrNumber
trigger_check_column(const TriggerData *trigger, const TriggerUse *use, const char *name, Oid type);

#endif
