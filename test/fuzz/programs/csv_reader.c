/* CSV that people and Acoustic write. */
#include <string.h>

#include "common/csv_reader.h"
#include "test/fuzz/programs/fuzz.h"

/* Every line is counted, in quotes or not. */
static long long
count_lines(const uint8_t *data, size_t size)
{
    long long count = 0;

    for (size_t i = 0; i < size; i++)
        count += data[i] == '\n' ? i == 0 || data[i - 1] != '\r' : data[i] == '\r';
    return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FILE *file = size > 0 ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
    struct csv_reader reader;
    enum csv_reader_result found;

    if (!file)
        return 0;
    csv_reader_init(&reader, file);
    while ((found = csv_reader_next(&reader)) <= CSV_READER_BAD_ROW) {
        FUZZ_CHECK(reader.count > 0 && reader.count < CSV_READER_CELLS_MAX);
        FUZZ_CHECK(reader.row_line <= reader.line);
        for (size_t cell = 0; found == CSV_READER_ROW && cell < reader.count; cell++)
            FUZZ_CHECK(strlen(csv_reader_cell(&reader, cell)) ==
                       csv_reader_cell_length(&reader, cell));
    }
    FUZZ_CHECK(found == CSV_READER_FAILED || reader.line == 1 + count_lines(data, size));
    csv_reader_free(&reader);
    fclose(file);
    return 0;
}
