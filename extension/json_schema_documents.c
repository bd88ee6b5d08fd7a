/*
 * json_schema_documents.c: the documents that are built in.
 */
#include "compat.h"

#include "json_schema_internal.h"

const Jsonb *
json_schema_builtin_document(const char *uri)
{
    return NULL;
}
