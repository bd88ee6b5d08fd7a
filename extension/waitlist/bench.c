/*
 * waitlist/bench.c: measures how long a verdict takes, in a loop inside one call. Only for
 * bench/json_schema/verdicts.pl.
 */
#include "extension/base/compat.h"

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "extension/json_schema/sql/call.h"
#include "extension/waitlist/schema.h"

/* The least that any validator must do: visit the entries, kinds and lengths. */
static uint64
walk_entries(JsonValue value)
{
    uint64 sum = value.length + value.kind;
    JsonWalk keys;
    JsonWalk values;

    if (value.kind == JSON_OBJECT) {
        json_walk_object(value, &keys, &values);
        while (!json_walk_ended(&keys)) {
            JsonValue member = json_walk_next(&values);

            sum += json_walk_next(&keys).length;
            sum += member.kind < JSON_ARRAY ? member.length + member.kind : walk_entries(member);
        }
    } else if (value.kind == JSON_ARRAY) {
        check_stack_depth();
        values = json_walk_array(value);
        while (!json_walk_ended(&values))
            sum += walk_entries(json_walk_next(&values));
    }
    return sum;
}

static double
nanoseconds_since(instr_time start)
{
    instr_time now;

    INSTR_TIME_SET_CURRENT(now);
    INSTR_TIME_SUBTRACT(now, start);
    return INSTR_TIME_GET_DOUBLE(now) * 1e9;
}

/* Keeps the compiler from moving work out of the loop. */
#define OPAQUE(value) __asm__ volatile("" : "+r"(value))

static uint64
loop_run(const JsonSchemaProgram *program, JsonValue instance, int64 rounds)
{
    uint64 sum = 0;

    for (int64 i = 0; i < rounds; i++) {
        OPAQUE(instance.data);
        sum += json_schema_run(program, instance);
    }
    return sum;
}

static uint64
loop_walk(JsonValue instance, int64 rounds)
{
    uint64 sum = 0;

    for (int64 i = 0; i < rounds; i++) {
        OPAQUE(instance.data);
        sum += walk_entries(instance);
    }
    return sum;
}

static uint64
loop_explain(const JsonSchemaProgram *program, JsonValue instance, int64 rounds)
{
    MemoryContext scratch =
        AllocSetContextCreate(CurrentMemoryContext, "bench", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(scratch);
    uint64 sum = 0;

    for (int64 i = 0; i < rounds; i++) {
        sum += json_schema_evaluate(program, instance, 0, 1000).valid;
        MemoryContextReset(scratch);
    }
    MemoryContextSwitchTo(old);
    return sum;
}

static uint64
loop_compile(const Jsonb *schema, int64 rounds)
{
    JsonSchemaOptions options = {.loader = json_schema_registry_load};

    for (int64 i = 0; i < rounds; i++) {
        CHECK_FOR_INTERRUPTS();
        json_schema_free(json_schema_compile(schema, &options, CurrentMemoryContext, NULL));
    }
    return rounds;
}

/* Finds the program again, by the call site or by the name of a waitlist. */
static uint64
loop_site(FunctionCallInfo fcinfo, int64 rounds)
{
    uint64 sum = 0;

    for (int64 i = 0; i < rounds; i++) {
        OPAQUE(fcinfo);
        sum += json_schema_call_program(fcinfo, 0, -1) != NULL;
    }
    return sum;
}

static uint64
loop_name(const char *name, int64 rounds)
{
    uint64 sum = 0;

    for (int64 i = 0; i < rounds; i++) {
        OPAQUE(name);
        sum += waitlist_schema_program(name) != NULL;
    }
    return sum;
}

static uint64
loop(FunctionCallInfo fcinfo, const char *what, int64 rounds)
{
    const JsonSchemaProgram *program = json_schema_call_program(fcinfo, 0, -1);
    JsonValue instance = json_value_of_jsonb(PG_GETARG_JSONB_P(1));

    if (strcmp(what, "run") == 0)
        return loop_run(program, instance, rounds);
    if (strcmp(what, "walk") == 0)
        return loop_walk(instance, rounds);
    if (strcmp(what, "explain") == 0)
        return loop_explain(program, instance, rounds);
    if (strcmp(what, "compile") == 0)
        return loop_compile(PG_GETARG_JSONB_P(0), rounds);
    if (strcmp(what, "site") == 0)
        return loop_site(fcinfo, rounds);
    if (strcmp(what, "name") == 0 && instance.kind == JSON_STRING)
        return loop_name(json_string_copy(instance), rounds);
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("no benchmark is called \"%s\"", what));
}

/*
 * Nanoseconds for one round of: a verdict ("run"), a plain walk ("walk"), an exhaustive
 * evaluation ("explain"), a compilation ("compile"), or finding a program by its call site
 * ("site") or by the waitlist that the instance names ("name"). Other work on the machine can
 * only add time, so the rounds are done in several parts and the fastest part counts.
 */
PG_FUNCTION_INFO_V1(ctms__json_schema_bench);
PGDLLEXPORT Datum
ctms__json_schema_bench(PG_FUNCTION_ARGS)
{
    char *what = text_to_cstring(PG_GETARG_TEXT_PP(2));
    int n_parts = Max(PG_GETARG_INT32(4), 1);
    int64 rounds = Max(PG_GETARG_INT64(3) / n_parts, 1);
    double best = 0;

    loop(fcinfo, what, 1); /* brings everything into the caches */
    for (int part = 0; part < n_parts; part++) {
        instr_time start;
        uint64 sum;
        double spent;

        CHECK_FOR_INTERRUPTS();
        INSTR_TIME_SET_CURRENT(start);
        sum = loop(fcinfo, what, rounds);
        OPAQUE(sum);
        spent = nanoseconds_since(start) / rounds;
        best = part == 0 ? spent : Min(best, spent);
    }
    PG_RETURN_FLOAT8(best);
}
