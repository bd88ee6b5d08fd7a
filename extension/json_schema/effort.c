/*
 * json_schema/effort.c: limits how much one verdict may cost.
 *
 * If alternatives of a schema lead to the same schemas again and again, the number of steps can
 * double with each level. But the number of different pairs of a schema and a value is limited.
 * So an evaluation that takes far more steps than there are pairs (and more than a fixed minimum)
 * is repeating itself, and is ended.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"

#include "extension/json_schema/evaluate.h"

/* A normal schema may reach the same schema for the same value in this many different ways. */
#define REPETITIONS 10

static int64
count_values(JsonValue value)
{
    int64 n = 1;
    JsonWalk names;
    JsonWalk values;

    if (value.kind < JSON_ARRAY)
        return n;
    check_stack_depth();
    CHECK_FOR_INTERRUPTS();
    if (value.kind == JSON_ARRAY)
        values = json_walk_array(value);
    else
        json_walk_object(value, &names, &values);
    while (!json_walk_ended(&values))
        n += count_values(json_walk_next(&values));
    return n;
}

void
effort_extend(Effort *effort)
{
    double steps = 0;

    if (effort->program)
        steps = (double)effort->program->n_nodes * (double)count_values(effort->instance) *
                EFFORT_OF_EVALUATION * REPETITIONS;
    if (steps <= EFFORT_OF_ONE)
        ereport(ERROR, errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
                errmsg("JSON Schema takes too many steps for this value"),
                errhint("Alternatives that lead to the same schemas again double the steps with "
                        "each level."));
    effort->program = NULL;
    effort->steps_left = (int64)Min(steps, (double)(PG_INT64_MAX / 2));
}
