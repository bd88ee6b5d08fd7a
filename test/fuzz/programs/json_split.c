/* Streams of JSON objects for the command line. uses: cli/json_split.c */
#include <string.h>

#include "cli/json_split.h"
#include "test/fuzz/programs/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FILE *file = size > 0 ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
    struct json_split split;

    if (!file)
        return 0;
    json_split_init(&split, file);
    while (json_split_next(&split) == JSON_SPLIT_OBJECT)
        FUZZ_CHECK(split.text[split.length] == '\0' && split.length <= size);
    json_split_free(&split);
    fclose(file);
    return 0;
}
