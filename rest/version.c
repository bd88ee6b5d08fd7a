/* version.c: what /__version__ shows; see version.h. */
#include "rest/version.h"

#include <jansson.h>

#include "common/version.h"

char *
version_read(const char *file)
{
    json_t *json = json_load_file(file, 0, NULL);
    char *text;

    if (!json_is_object(json)) {
        json_decref(json);
        json = json_pack("{s:s, s:s, s:s, s:s}", "source", "", "version", CTMS_VERSION, "commit",
                         "", "build", "");
    }
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}
