/*
 * fuzz.h: the interface of a fuzz target of the programs. The first line of a target names what it
 * links: "uses: rest/http/http.c". Either libFuzzer calls the target, or replay.c for each file of
 * a folder.
 */
#ifndef CTMS_FUZZ_PROGRAMS_H
#define CTMS_FUZZ_PROGRAMS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "fuzz: FINDING at %s:%d: does not hold: %s\n", __FILE__, __LINE__,     \
                    #condition);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
