/*
 * base/compat.h: every difference between PostgreSQL versions that ctms cares about.
 *
 * The code is written against PostgreSQL 15. When another version names or shapes something
 * differently, this file maps it, and no other file does. What was tried is in docs/upgrade.md.
 */
#ifndef CTMS_BASE_COMPAT_H
#define CTMS_BASE_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "ctms needs PostgreSQL 15 or newer"
#endif

#include "fmgr.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * We build with hidden visibility. Before 16, the server does not mark the functions that must be
 * visible.
 */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname)                                                              \
    extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS);                                           \
    extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_, funcname)(void);                \
    const Pg_finfo_record *CppConcat(pg_finfo_, funcname)(void)                                    \
    {                                                                                              \
        static const Pg_finfo_record my_finfo = {1};                                               \
        return &my_finfo;                                                                          \
    }                                                                                              \
    extern int no_such_variable
extern PGDLLEXPORT void _PG_init(void);
#endif

/*
 * Between compat_pin_search_path() and compat_unpin_search_path(), a name without a schema means
 * the one in pg_catalog. If an error is raised in between, the path is restored automatically.
 */
#include "catalog/namespace.h"
#include "utils/guc.h"

static inline int
compat_pin_search_path(void)
{
#if PG_VERSION_NUM >= 170000
    int level = NewGUCNestLevel();

    RestrictSearchPath();
    return level;
#else
    OverrideSearchPath path = {.addCatalog = true};

    PushOverrideSearchPath(&path);
    return 0;
#endif
}

static inline void
compat_unpin_search_path(int level)
{
#if PG_VERSION_NUM >= 170000
    AtEOXact_GUC(false, level);
#else
    PopOverrideSearchPath();
#endif
}

/*
 * common/jsonapi.h: before 16, semantic actions return nothing; from 17 on, the lexer's memory is
 * an argument.
 */
#if PG_VERSION_NUM >= 160000
#define JSON_ACTION JsonParseErrorType
#define JSON_ACTION_DONE return JSON_SUCCESS
#else
#define JSON_ACTION void
#define JSON_ACTION_DONE return
#endif
#if PG_VERSION_NUM >= 170000
#define json_lexer(json, length)                                                                   \
    makeJsonLexContextCstringLen(NULL, json, length, GetDatabaseEncoding(), true)
#define json_utf8_lexer(json, length)                                                              \
    makeJsonLexContextCstringLen(NULL, json, length, PG_UTF8, false)
#else
#define json_lexer(json, length)                                                                   \
    makeJsonLexContextCstringLen(json, length, GetDatabaseEncoding(), true)
#define json_utf8_lexer(json, length) makeJsonLexContextCstringLen(json, length, PG_UTF8, false)
#endif

/* DecodeDateTime() without the details that 16 reports about errors. */
#include "utils/datetime.h"

static inline int
compat_decode_datetime(char **fields, int *types, int count, int *type, struct pg_tm *tm,
                       fsec_t *fsec, int *zone)
{
#if PG_VERSION_NUM >= 160000
    DateTimeErrorExtra extra;

    return DecodeDateTime(fields, types, count, type, tm, fsec, zone, &extra);
#else
    return DecodeDateTime(fields, types, count, type, tm, fsec, zone);
#endif
}

/* Rights on a schema; 16 has one function for all kinds of objects. */
#if PG_VERSION_NUM >= 160000
#define compat_schema_aclcheck(schema, role, mode)                                                 \
    object_aclcheck(NamespaceRelationId, schema, role, mode)
#else
#define compat_schema_aclcheck(schema, role, mode) pg_namespace_aclcheck(schema, role, mode)
#endif

/* A scan without ORDER BY keys; 18 can also collect statistics about it. */
#include "access/genam.h"

static inline IndexScanDesc
compat_index_beginscan(Relation relation, Relation index, Snapshot snapshot, int key_count)
{
#if PG_VERSION_NUM >= 180000
    return index_beginscan(relation, index, snapshot, NULL, key_count, 0);
#else
    return index_beginscan(relation, index, snapshot, key_count, 0);
#endif
}

#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"

/* Which index entries a new version of a row needs. Before 16, BRIN is like any other kind. */
typedef enum CompatEntries {
    COMPAT_NO_ENTRIES,
    COMPAT_SUMMARIES,
    COMPAT_ALL_ENTRIES
} CompatEntries;

/*
 * Inserts index entries of a row. With "has_conflict" the row was inserted speculatively, and it
 * is set when another row has, or may have, the value of a unique index; without it, this is an
 * error.
 */
static inline void
compat_insert_index_tuples(ResultRelInfo *target, TupleTableSlot *slot, EState *estate,
                           CompatEntries entries, bool *has_conflict)
{
    bool is_speculative = has_conflict != NULL;

#if PG_VERSION_NUM >= 160000
    list_free(ExecInsertIndexTuples(target, slot, estate, false, is_speculative, has_conflict, NIL,
                                    entries == COMPAT_SUMMARIES));
#else
    list_free(
        ExecInsertIndexTuples(target, slot, estate, false, is_speculative, has_conflict, NIL));
#endif
}

/*
 * Waits for a transaction that is inserting a row with the same value of a unique index. The
 * indexes were opened without what this needs, because it is rare.
 */
static inline void
compat_wait_for_conflict(ResultRelInfo *target, TupleTableSlot *slot, EState *estate)
{
    ItemPointerData conflict;
#if PG_VERSION_NUM >= 180000
    ItemPointerData none;
#endif

    for (int i = 0; i < target->ri_NumIndices; i++)
        if (target->ri_IndexRelationInfo[i]->ii_Unique)
            BuildSpeculativeIndexInfo(target->ri_IndexRelationDescs[i],
                                      target->ri_IndexRelationInfo[i]);
#if PG_VERSION_NUM >= 180000
    ItemPointerSetInvalid(&none);
    (void)ExecCheckIndexConstraints(target, slot, estate, &conflict, &none, NIL);
#else
    (void)ExecCheckIndexConstraints(target, slot, estate, &conflict, NIL);
#endif
}

/*
 * Writes a new version of a row that is locked, and tells which index entries it needs. Waiting
 * is allowed, because heap_update() takes no answer from a row that another session uses.
 */
static inline TM_Result
compat_update_tuple(Relation relation, ItemPointer tid, TupleTableSlot *slot, CommandId cid,
                    TM_FailureData *failure, CompatEntries *entries)
{
    LockTupleMode lock_mode;
#if PG_VERSION_NUM >= 160000
    TU_UpdateIndexes update_indexes;
    TM_Result result =
        table_tuple_update(relation, tid, slot, cid, InvalidSnapshot, InvalidSnapshot, true,
                           failure, &lock_mode, &update_indexes);

    *entries = update_indexes == TU_All           ? COMPAT_ALL_ENTRIES
               : update_indexes == TU_Summarizing ? COMPAT_SUMMARIES
                                                  : COMPAT_NO_ENTRIES;
#else
    bool must_index;
    TM_Result result = table_tuple_update(relation, tid, slot, cid, InvalidSnapshot,
                                          InvalidSnapshot, true, failure, &lock_mode, &must_index);

    *entries = must_index ? COMPAT_ALL_ENTRIES : COMPAT_NO_ENTRIES;
#endif
    return result;
}

/* Before 16, a command for a table and those that inherit from it has a type of its own. */
#include "nodes/parsenodes.h"

static inline AlterTableType
compat_alter_table_type(const AlterTableCmd *command)
{
#if PG_VERSION_NUM < 160000
    switch (command->subtype) {
    case AT_AddColumnRecurse: return AT_AddColumn;
    case AT_DropColumnRecurse: return AT_DropColumn;
    case AT_DropConstraintRecurse: return AT_DropConstraint;
    case AT_ValidateConstraintRecurse: return AT_ValidateConstraint;
    default: break;
    }
#endif
    return command->subtype;
}

#endif
