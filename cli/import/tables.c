/*
 * import/tables.c: the tables that an import knows, in the order in which they are stored: a table
 * that others refer to comes before them.
 */
#include "cli/import/import.h"

/* clang-format off */
const struct import_table import_tables[] = {
    {"emails", "{email_id}", "email_id", "email", true},
    {"newsletters", "{email_id,name}", "email_id, name", "newsletter", true},
    {"waitlists", "{email_id,name}", "email_id, name", "waitlist", true},
    {"fxa", "{email_id}", "email_id", "fxa", true},
    {"amo", "{email_id}", "email_id", "amo", true},
    {"mofo", "{email_id}", "email_id", "mofo", true},
    {"stripe_customer", "{stripe_id}", "stripe_id", NULL, true},
    {"stripe_price", "{stripe_id}", "stripe_id", NULL, true},
    {"stripe_subscription", "{stripe_id}", "stripe_id", NULL, true},
    {"stripe_subscription_item", "{stripe_id}", "stripe_id", NULL, true},
    {"stripe_invoice", "{stripe_id}", "stripe_id", NULL, true},
    {"stripe_invoice_line_item", "{stripe_id}", "stripe_id", NULL, true},
    {"api_client", "{client_id}", "client_id", NULL, true},
    {"vpn_waitlist", "{email_id}", "email_id", "vpn_waitlist", false},
    {"relay_waitlist", "{email_id}", "email_id", "relay_waitlist", false},
    {"pending_acoustic", "{email_id}", "email_id", NULL, false},
    {"acoustic_field", "{tablename,field}", "1", NULL, false},
    {"acoustic_newsletter_mapping", "{source}", "1", NULL, false},
};
/* clang-format on */

_Static_assert(sizeof(import_tables) / sizeof(import_tables[0]) == IMPORT_TABLE_COUNT,
               "IMPORT_TABLE_COUNT counts import_tables");
