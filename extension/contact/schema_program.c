/*
 * contact/schema_program.c: the schemas of bodies, compiled once in each session.
 */
#include "extension/base/compat.h"

#include "extension/contact/schema.h"
#include "extension/json_schema/json_schema.h"

#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* Built on first use; the schemas are part of this library and never change. */
static JsonSchemaProgram *whole_program;  /* POST and PUT */
static JsonSchemaProgram *change_program; /* PATCH */

static JsonSchemaProgram *
compile(const char *name)
{
    JsonSchemaOptions options = {0, 0, NULL};
    MemoryContext scratch =
        AllocSetContextCreate(CurrentMemoryContext, "contact schema", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(scratch);
    JsonSchemaProgram *program;
    StringInfoData text;
    Datum schema;

    initStringInfo(&text);
    appendStringInfo(&text,
                     "{\"$ref\":\"#/components/schemas/%s\",\"components\":{\"schemas\":", name);
    contact_schema_write(&text);
    appendStringInfoString(&text, "}}");
    schema = DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data));
    program = json_schema_compile(DatumGetJsonbP(schema), &options, TopMemoryContext, NULL);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(scratch);
    return program;
}

bool
contact_schema_accepts(ContactMethod method, const Jsonb *body)
{
    bool is_change = method == METHOD_PATCH;
    JsonSchemaProgram **program = is_change ? &change_program : &whole_program;

    if (*program == NULL)
        *program = compile(is_change ? "changed_contact" : "new_contact");
    return json_schema_run(*program, json_value_of_jsonb(body));
}
