/* docs.c: the page at /docs and its files, which are compiled into the program. */
#include "rest/docs.h"

#include <string.h>

#include "common/include_file.h"

/* The page may run only its own scripts, and may talk only to this server. */
#define POLICY                                                                                     \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self' "            \
    "'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "           \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"                              \
    "Referrer-Policy: no-referrer\r\n"

INCLUDE_FILE(docs_index, "rest/swagger-ui/index.html");
INCLUDE_FILE(docs_start, "rest/swagger-ui/start.js");
INCLUDE_FILE(docs_style, "build/swagger-ui/swagger-ui.css");
INCLUDE_FILE(docs_bundle, "build/swagger-ui/swagger-ui-bundle.js");

static const struct {
    const char *name;
    const char *type;
    const char *begin, *end;
} files[] = {
    {"start.js", "text/javascript; charset=utf-8", docs_start, docs_start_end},
    {"swagger-ui.css", "text/css; charset=utf-8", docs_style, docs_style_end},
    {"swagger-ui-bundle.js", "text/javascript; charset=utf-8", docs_bundle, docs_bundle_end},
};

void
docs_handle_page(exchange *ex)
{
    exchange_answer_fixed(ex, 200, POLICY, "text/html; charset=utf-8", docs_index,
                          (size_t)(docs_index_end - docs_index));
}

void
docs_handle_file(exchange *ex)
{
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (ex->path_value.length == strlen(files[i].name) &&
            strcmp(ex->path_value.data, files[i].name) == 0) {
            exchange_answer_fixed(ex, 200, "Cache-Control: max-age=3600\r\n", files[i].type,
                                  files[i].begin, (size_t)(files[i].end - files[i].begin));
            return;
        }
    }
    exchange_answer_detail(ex, 404, "Not Found");
}
