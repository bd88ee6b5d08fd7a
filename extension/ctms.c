/*
 * ctms.c: what the server needs to load the library, and the settings of the extension.
 */
#include "compat.h"

#include "fmgr.h"

PG_MODULE_MAGIC;
