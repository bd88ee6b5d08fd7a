/*
 * base/memory_limit.h: bounds the memory that one call for JSON may take
 * (ctms.json_schema_memory). What goes beyond ends in program_limit_exceeded (54000).
 */
#ifndef CTMS_BASE_MEMORY_LIMIT_H
#define CTMS_BASE_MEMORY_LIMIT_H

#include "postgres.h"

#include "nodes/memnodes.h"
#include "utils/palloc.h"

/* What a memory context held when something began to allocate in it. */
typedef struct MemoryUse {
    MemoryContext context;
    Size before;
} MemoryUse;

/* Private to the functions below. */
extern int memory_limit_kb;
extern void memory_limit_refuse(void) __attribute__((noreturn, cold));

/* Defines the setting; called once, by _PG_init. */
extern void memory_limit_init(void);

/* Raises an error if something needs more bytes than are allowed. Call it before allocating. */
static inline void
memory_limit_check(Size bytes)
{
    if (unlikely(bytes > (Size)memory_limit_kb * 1024))
        memory_limit_refuse();
}

/* Measures from now on what is allocated in the current context, but not in its children. */
static inline MemoryUse
memory_use_begin(void)
{
    MemoryUse use = {CurrentMemoryContext, CurrentMemoryContext->mem_allocated};

    return use;
}

/* Raises an error if more than allowed has been allocated, with `more` bytes to come. */
static inline void
memory_use_check(const MemoryUse *use, Size more)
{
    Size now = use->context->mem_allocated;

    memory_limit_check((now > use->before ? now - use->before : 0) + more);
}

#endif
