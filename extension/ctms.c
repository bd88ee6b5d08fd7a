/*
 * ctms.c: what the server needs to load the library, and the settings of the extension.
 *
 * Each unit owns its settings; here they are only gathered.
 */
#include "compat.h"

#include "utils/guc.h"

#include "restore.h"

PG_MODULE_MAGIC;

void
_PG_init(void)
{
    ctms_restore_init();
    MarkGUCPrefixReserved("ctms");
}
