/* id_array.c: see id_array.h. */
#include "cli/id_array.h"

void
id_array_add(buf *array, const char *id)
{
    buf_append_char(array, array->length > 0 ? ',' : '{');
    buf_append_string(array, id);
}

const char *
id_array_end(buf *array)
{
    buf_append_string(array, array->length > 0 ? "}" : "{}");
    return buf_text(array);
}
