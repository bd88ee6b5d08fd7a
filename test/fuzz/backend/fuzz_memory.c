/*
 * fuzz_memory.c: memory contexts in which each piece is a malloc of its own.
 *
 * PostgreSQL cuts pieces from blocks. A read beyond a piece stays inside the block, so
 * AddressSanitizer notices nothing.
 */
#include "test/fuzz/backend/fuzz.h"

#include "nodes/memnodes.h"
#include "utils/memutils.h"

#undef AllocSetContextCreateInternal

#if PG_VERSION_NUM >= 150000 && PG_VERSION_NUM < 160000

typedef struct Piece {
    struct Piece *previous;
    struct Piece *next;
    Size size;
    MemoryContext context; /* pfree() expects it here: directly before the data */
} Piece;

typedef struct PieceContext {
    MemoryContextData header;
    Piece pieces; /* head of the ring */
} PieceContext;

#define DATA_OF(piece) ((void *)((piece) + 1))
#define PIECE_OF(data) ((Piece *)(data)-1)

static void *
piece_alloc(MemoryContext context, Size size)
{
    PieceContext *owner = (PieceContext *)context;
    Piece *piece = malloc(sizeof(Piece) + size);

    if (!piece)
        return NULL;
    piece->size = size;
    piece->context = context;
    piece->previous = &owner->pieces;
    piece->next = owner->pieces.next;
    piece->next->previous = piece;
    owner->pieces.next = piece;
    context->mem_allocated += size;
    return DATA_OF(piece);
}

static void
piece_free(MemoryContext context, void *data)
{
    Piece *piece = PIECE_OF(data);

    piece->previous->next = piece->next;
    piece->next->previous = piece->previous;
    context->mem_allocated -= piece->size;
    free(piece);
}

/* Always moves the piece, so that a use of the old address is caught. */
static void *
piece_realloc(MemoryContext context, void *data, Size size)
{
    void *moved = piece_alloc(context, size);

    if (!moved)
        return NULL;
    memcpy(moved, data, Min(size, PIECE_OF(data)->size));
    piece_free(context, data);
    return moved;
}

static void
piece_reset(MemoryContext context)
{
    PieceContext *owner = (PieceContext *)context;

    while (owner->pieces.next != &owner->pieces)
        piece_free(context, DATA_OF(owner->pieces.next));
}

static void
piece_delete(MemoryContext context)
{
    piece_reset(context);
    free(context);
}

static Size
piece_space(MemoryContext context, void *data)
{
    return PIECE_OF(data)->size + sizeof(Piece);
}

static bool
piece_is_empty(MemoryContext context)
{
    return ((PieceContext *)context)->pieces.next == &((PieceContext *)context)->pieces;
}

static void
piece_stats(MemoryContext context, MemoryStatsPrintFunc print, void *passthru,
            MemoryContextCounters *totals, bool print_to_stderr)
{
    if (totals)
        totals->totalspace += context->mem_allocated;
}

#ifdef MEMORY_CONTEXT_CHECKING
/* A server with assertions asks; here the sanitizer knows. */
static void
piece_check(MemoryContext context)
{
}
#endif

static const MemoryContextMethods piece_methods = {
    .alloc = piece_alloc,
    .free_p = piece_free,
    .realloc = piece_realloc,
    .reset = piece_reset,
    .delete_context = piece_delete,
    .get_chunk_space = piece_space,
    .is_empty = piece_is_empty,
    .stats = piece_stats,
#ifdef MEMORY_CONTEXT_CHECKING
    .check = piece_check,
#endif
};

MemoryContext
fuzz_context_create(MemoryContext parent, const char *name, Size min_size, Size initial_size,
                    Size max_size)
{
    PieceContext *context = calloc(1, sizeof(PieceContext));

    if (!context)
        ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
    context->pieces.previous = &context->pieces;
    context->pieces.next = &context->pieces;
    MemoryContextCreate((MemoryContext)context, T_AllocSetContext, &piece_methods, parent, name);
    return (MemoryContext)context;
}

#else /* other versions find the context of a piece differently: use blocks */

extern MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size minContextSize,
                              Size initBlockSize, Size maxBlockSize);

MemoryContext
fuzz_context_create(MemoryContext parent, const char *name, Size min_size, Size initial_size,
                    Size max_size)
{
    return AllocSetContextCreateInternal(parent, name, min_size, initial_size, max_size);
}

#endif
