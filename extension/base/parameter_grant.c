/*
 * base/parameter_grant.c: a GRANT on a setting of the server, by the script of the extension.
 *
 * CREATE EXTENSION notes what its script grants as initial privileges. From version 17 on
 * PostgreSQL cannot take those on settings back: DROP OWNED BY of such a role, and REVOKE, fail
 * with "unrecognized class ID", so the role could never be dropped. Settings belong to the whole
 * server and not to the extension, so nothing is lost without the note.
 */
#include "extension/base/compat.h"

#include "commands/extension.h"
#include "executor/spi.h"

PG_FUNCTION_INFO_V1(ctms__grant_parameter);

/* ctms._grant_parameter() → void; there only while the script of the extension runs */
PGDLLEXPORT Datum
ctms__grant_parameter(PG_FUNCTION_ARGS)
{
    bool was_creating = creating_extension;

    SPI_connect();
    creating_extension = false;
    PG_TRY();
    {
        SPI_execute(
            "GRANT SET ON PARAMETER log_parameter_max_length TO ctms_api, ctms_agent, ctms_admin",
            false, 0);
    }
    PG_FINALLY();
    {
        creating_extension = was_creating;
    }
    PG_END_TRY();
    SPI_finish();
    PG_RETURN_VOID();
}
