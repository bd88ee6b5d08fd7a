/*
 * fuzz.h: fuzzing inside a backend of PostgreSQL. Every file of this folder includes it.
 *
 * The extension is compiled a second time, together with the files of this folder, into a library
 * that only tests load. ctms_fuzz(target, arguments) gives the backend to libFuzzer.
 * ctms_fuzz_replay(target, folder) runs every file of a folder once, and needs neither libFuzzer
 * nor sanitizers.
 *
 * A target gets the bytes of one input, in a memory context that is deleted afterwards. It may
 * raise errors that a user's input can cause; any other error is a finding. A finding aborts the
 * process, so that libFuzzer keeps the input.
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

/* Prints the condition that does not hold, and aborts. */
extern _Noreturn void fuzz_finding(const char *file, int line, const char *what);
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_finding(__FILE__, __LINE__, #condition);                                          \
    } while (0)

/* ---- fuzz_guard.c ---------------------------------------------------------------- */

typedef enum FuzzOutcome { FUZZ_DONE, FUZZ_REFUSED, FUZZ_CANCELLED } FuzzOutcome;

/*
 * Calls the function; errors that input can cause end it early (FUZZ_REFUSED). After limit_ms it is
 * cancelled like a query. If it has not ended within another limit, that is a finding. Calls may be
 * nested; an inner limit ends the outer one.
 */
extern FuzzOutcome fuzz_try(void (*function)(void *), void *argument, int limit_ms);

/* ---- fuzz_memory.c --------------------------------------------------------------- */

/* A memory context in which each piece is a malloc of its own, so that AddressSanitizer knows its
 * bounds. AllocSetContextCreate of the extension makes such contexts too. */
extern MemoryContext fuzz_context_create(MemoryContext parent, const char *name, Size min_size,
                                         Size initial_size, Size max_size);

/* ---- mutate_json.c --------------------------------------------------------------- */

/* LLVMFuzzerCustomMutator and LLVMFuzzerCustomCrossOver for inputs that are JSON. libFuzzer mutates
 * the bytes. */
typedef size_t (*FuzzMutateBytes)(uint8 *data, size_t size, size_t max_size);
extern size_t
fuzz_mutate_json(uint8 *data, size_t size, size_t max_size, unsigned seed, FuzzMutateBytes bytes);
extern size_t fuzz_cross_json(const uint8 *data, size_t size, const uint8 *other, size_t other_size,
                              uint8 *out, size_t max_size, unsigned seed);

/* ---- reading inputs ---------------------------------------------------------------- */

/* True if the bytes are text in the encoding of the database, UTF-8. */
extern bool fuzz_is_text(const char *data, size_t size);
/* Cuts the input at the first newline: returns the line, and a copy of exactly the rest. */
extern char *fuzz_split(const char *data, size_t size, const char **rest, size_t *rest_size);
extern Jsonb *fuzz_jsonb(const char *text);

#endif
