/*
 * docs.h: the page at /docs and its files, which are compiled into the program. routes.c names the
 * handlers.
 */
#ifndef CTMS_REST_DOCS_H
#define CTMS_REST_DOCS_H

#include "rest/exchange.h"

/* GET /docs */
void docs_handle_page(exchange *ex);
/* GET /docs/{file} */
void docs_handle_file(exchange *ex);

#endif
