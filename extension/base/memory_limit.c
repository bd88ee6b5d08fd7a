/*
 * base/memory_limit.c: the setting ctms.json_schema_memory, and its error; see memory_limit.h.
 */
#include "extension/base/compat.h"

#include "extension/base/memory_limit.h"

#include "utils/guc.h"

int memory_limit_kb = 256 * 1024;

void
memory_limit_init(void)
{
    DefineCustomIntVariable("ctms.json_schema_memory",
                            "Most memory that a verdict, its reasons, or the compilation of a JSON "
                            "Schema may take.",
                            "Not counted is what the value and the schema take themselves.",
                            &memory_limit_kb, 256 * 1024, 1024, MAX_KILOBYTES, PGC_USERSET,
                            GUC_UNIT_KB, NULL, NULL, NULL);
}

void
memory_limit_refuse(void)
{
    char *limit = GetConfigOptionByName("ctms.json_schema_memory", NULL, false);

    ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
            errmsg("JSON Schema needs too much memory"),
            errdetail("It would take more than %s.", limit),
            errhint("ctms.json_schema_memory sets the limit."));
}
