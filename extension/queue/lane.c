/*
 * queue/lane.c: decides in which lane the contacts wait that a transaction has changed.
 *
 * A wave is what changes very many contacts for one reason: a resync, an import, a changed price,
 * a statement of an administrator. It would keep a person who signs up now waiting until all of it
 * is sent, so it waits in a lane of its own. A session says with ctms.acoustic_lane what it does;
 * without that, the number of contacts tells.
 */
#include "extension/base/compat.h"

#include "utils/guc.h"

#include "extension/queue/lane.h"

/*
 * A transaction that changes more contacts than this is a wave. No request of the REST server
 * changes so many; a statement that somebody writes by hand and that does is hardly about persons.
 */
#define MAX_LIVE_CONTACTS 100

typedef enum LaneSetting { LANE_AUTO, LANE_LIVE, LANE_BULK } LaneSetting;

static const struct config_enum_entry lane_names[] = {{"auto", LANE_AUTO, false},
                                                      {"live", LANE_LIVE, false},
                                                      {"bulk", LANE_BULK, false},
                                                      {NULL, 0, false}};

static int setting = LANE_AUTO;

bool
lane_is_bulk(const Lane *lane, const pg_uuid_t *email_id)
{
    return lane->is_bulk && !(lane->live && feed_keys_contain(lane->live, email_id));
}

Lane
lane_from_text(const char *argument, const char *text)
{
    if (text && strcmp(text, "live") == 0)
        return (Lane){.is_bulk = false};
    if (text && strcmp(text, "bulk") == 0)
        return (Lane){.is_bulk = true};
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("argument \"%s\" must be \"live\" or \"bulk\"", argument));
}

bool
lane_is_transaction_bulk(int64 left_keys)
{
    return setting == LANE_BULK ||
           (setting == LANE_AUTO && feed_changed_contacts() + left_keys > MAX_LIVE_CONTACTS);
}

bool
lane_is_price_bulk(void)
{
    return setting != LANE_LIVE;
}

void
lane_init(void)
{
    DefineCustomEnumVariable(
        "ctms.acoustic_lane", "In which lane of the Acoustic queue changed contacts wait.",
        "\"live\" is sent first. \"auto\" means \"bulk\" for transactions that change more "
        "than 100 contacts, and for what a changed price concerns. The value at commit counts.",
        &setting, LANE_AUTO, lane_names, PGC_USERSET, 0, NULL, NULL, NULL);
}
