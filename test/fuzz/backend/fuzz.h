/*
 * fuzz.h: fuzzing inside a backend of PostgreSQL.
 *
 * The extension is compiled once more, with the files of this folder, into a library that
 * only tests load. ctms_fuzz(target, arguments) hands the backend to libFuzzer;
 * ctms_fuzz_replay(target, folder) runs every file of a folder once, which needs neither
 * libFuzzer nor sanitizers.
 *
 * A target gets the bytes of one input, in a memory context that is deleted afterwards.
 * It may raise errors: those that a user's input can lead to are fine, any other is a
 * finding. A finding aborts the process, so that libFuzzer keeps the input.
 */
#ifndef CTMS_FUZZ_H
#define CTMS_FUZZ_H

#include "extension/base/compat.h"

#include "utils/jsonb.h"

typedef void (*FuzzFunction)(const char *data, size_t size);

typedef struct FuzzTarget {
    const char *name;
    FuzzFunction run;
    bool is_json; /* inputs are mutated as JSON, not as bytes */
} FuzzTarget;

extern void fuzz_schema(const char *data, size_t size);
extern void fuzz_compare(const char *data, size_t size);
extern void fuzz_regex(const char *data, size_t size);
extern void fuzz_pointer(const char *data, size_t size);
extern void fuzz_format(const char *data, size_t size);
extern void fuzz_number(const char *data, size_t size);
extern void fuzz_text(const char *data, size_t size);
extern void fuzz_contact(const char *data, size_t size);

/* Prints what does not hold and aborts. */
extern void fuzz_finding(const char *file, int line, const char *what) pg_attribute_noreturn();
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_finding(__FILE__, __LINE__, #condition);                                          \
    } while (0)

/* ---- fuzz_guard.c ---------------------------------------------------------------- */

typedef enum FuzzOutcome { FUZZ_DONE, FUZZ_REFUSED, FUZZ_CANCELLED } FuzzOutcome;

/*
 * Calls the function; errors that input may lead to end it early (FUZZ_REFUSED). After
 * limit_ms it is cancelled like a query; when that takes no effect within another limit,
 * it is a finding. May be nested; an inner limit ends the outer one.
 */
extern FuzzOutcome fuzz_try(void (*function)(void *), void *argument, int limit_ms);

/* ---- fuzz_memory.c --------------------------------------------------------------- */

/* A memory context in which each piece is a malloc of its own, so that AddressSanitizer
 * sees its ends. The extension's AllocSetContextCreate makes these too. */
extern MemoryContext fuzz_context_create(MemoryContext parent, const char *name, Size min_size,
                                         Size initial_size, Size max_size);

/* ---- mutate_json.c --------------------------------------------------------------- */

/* As LLVMFuzzerCustomMutator and LLVMFuzzerCustomCrossOver, for inputs that are JSON. The
 * mutation of bytes is libFuzzer's. */
typedef size_t (*FuzzMutateBytes)(uint8 *data, size_t size, size_t max_size);
extern size_t
fuzz_mutate_json(uint8 *data, size_t size, size_t max_size, unsigned seed, FuzzMutateBytes bytes);
extern size_t fuzz_cross_json(const uint8 *data, size_t size, const uint8 *other, size_t other_size,
                              uint8 *out, size_t max_size, unsigned seed);

/* ---- reading inputs ---------------------------------------------------------------- */

/* Whether the bytes are text in the database's encoding, UTF-8. */
extern bool fuzz_is_text(const char *data, size_t size);
/* Cuts the input at the first newline: the line, and a copy of exactly what follows. */
extern char *fuzz_split(const char *data, size_t size, const char **rest, size_t *rest_size);
extern Jsonb *fuzz_jsonb(const char *text);

#endif
