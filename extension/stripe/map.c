/*
 * stripe/map.c: which key of a Stripe object goes to which column.
 *
 * Only the tables below say anything about the content of the objects. Parsing, comparing and
 * writing follow these tables.
 */
#include "extension/stripe/stripe.h"

#define ID_LENGTH 255
#define REQUIRED STRIPE_REQUIRED
#define OPTIONAL 0

static const StripeField CUSTOMER_FIELDS[] = {
    {"fxa_id", {"description"}, STRIPE_TEXT, ID_LENGTH, REQUIRED},
    [STRIPE_DELETED_FLAG] = {"deleted", {"deleted"}, STRIPE_BOOLEAN, 0, OPTIONAL},
    {"default_source_id", {"default_source"}, STRIPE_REFERENCE, ID_LENGTH, OPTIONAL},
    {"invoice_settings_default_payment_method_id",
     {"invoice_settings.default_payment_method"},
     STRIPE_REFERENCE,
     ID_LENGTH,
     OPTIONAL},
    {"stripe_created", {"created"}, STRIPE_TIME, 0, REQUIRED},
};

/* Of a plan too, which is the older form of a price. */
static const StripeField PRICE_FIELDS[] = {
    {"stripe_product_id", {"product"}, STRIPE_REFERENCE, ID_LENGTH, REQUIRED},
    {"stripe_created", {"created"}, STRIPE_TIME, 0, REQUIRED | STRIPE_UNSEEN},
    {"active", {"active"}, STRIPE_BOOLEAN, 0, REQUIRED | STRIPE_UNSEEN},
    {"currency", {"currency"}, STRIPE_TEXT, 3, REQUIRED},
    {"recurring_interval", {"recurring.interval", "interval"}, STRIPE_TEXT, 5, OPTIONAL},
    {"recurring_interval_count",
     {"recurring.interval_count", "interval_count"},
     STRIPE_INTEGER,
     0,
     OPTIONAL},
    {"unit_amount", {"unit_amount", "amount"}, STRIPE_BIGINT, 0, OPTIONAL},
};

static const StripeField SUBSCRIPTION_FIELDS[] = {
    {"stripe_customer_id", {"customer"}, STRIPE_REFERENCE, ID_LENGTH, REQUIRED},
    {"default_payment_method_id",
     {"default_payment_method"},
     STRIPE_REFERENCE,
     ID_LENGTH,
     OPTIONAL},
    {"default_source_id", {"default_source"}, STRIPE_REFERENCE, ID_LENGTH, OPTIONAL},
    {"stripe_created", {"created"}, STRIPE_TIME, 0, REQUIRED},
    {"cancel_at_period_end", {"cancel_at_period_end"}, STRIPE_BOOLEAN, 0, REQUIRED},
    {"canceled_at", {"canceled_at"}, STRIPE_TIME, 0, OPTIONAL},
    /* These two are needed, but newer versions of Stripe only have them in the items. */
    [STRIPE_SUBSCRIPTION_PERIOD_START] =
        {"current_period_start", {"current_period_start"}, STRIPE_TIME, 0, OPTIONAL},
    [STRIPE_SUBSCRIPTION_PERIOD_END] =
        {"current_period_end", {"current_period_end"}, STRIPE_TIME, 0, OPTIONAL},
    {"ended_at", {"ended_at"}, STRIPE_TIME, 0, OPTIONAL},
    {"start_date", {"start_date", "start"}, STRIPE_TIME, 0, REQUIRED},
    {"status", {"status"}, STRIPE_TEXT, 20, REQUIRED},
};

static const StripeField INVOICE_FIELDS[] = {
    {"stripe_customer_id", {"customer"}, STRIPE_REFERENCE, ID_LENGTH, OPTIONAL},
    [STRIPE_DELETED_FLAG] = {"deleted", {"deleted"}, STRIPE_BOOLEAN, 0, OPTIONAL},
    {"default_payment_method_id",
     {"default_payment_method"},
     STRIPE_REFERENCE,
     ID_LENGTH,
     OPTIONAL},
    {"default_source_id", {"default_source"}, STRIPE_REFERENCE, ID_LENGTH, OPTIONAL},
    {"stripe_created", {"created", "date"}, STRIPE_TIME, 0, REQUIRED},
    {"currency", {"currency"}, STRIPE_TEXT, 3, REQUIRED},
    {"total", {"total"}, STRIPE_BIGINT, 0, REQUIRED},
    {"status", {"status"}, STRIPE_TEXT, 15, OPTIONAL},
};

static const StripeField SUBSCRIPTION_ITEM_FIELDS[] = {
    {"stripe_subscription_id", {NULL}, STRIPE_REFERENCE, ID_LENGTH, REQUIRED},
    [STRIPE_DELETED_FLAG] = {"deleted", {"deleted"}, STRIPE_BOOLEAN, 0, OPTIONAL},
    [STRIPE_ITEM_PRICE] =
        {"stripe_price_id", {"price", "plan"}, STRIPE_REFERENCE, ID_LENGTH, REQUIRED},
    {"stripe_created", {"created"}, STRIPE_TIME, 0, REQUIRED},
};

/* What lines say in "parent.type", as they said it in "type". */
const StripeWord stripe_words[] = {{"subscription_item_details", "subscription"},
                                   {"invoice_item_details", "invoiceitem"},
                                   {NULL, NULL}};

#define OF_SUBSCRIPTION "parent.subscription_item_details."
#define OF_INVOICE_ITEM "parent.invoice_item_details."

static const StripeField LINE_ITEM_FIELDS[] = {
    {"stripe_invoice_id", {NULL}, STRIPE_REFERENCE, ID_LENGTH, REQUIRED},
    {"stripe_type", {"type", "parent.type"}, STRIPE_WORD, 255, OPTIONAL},
    [STRIPE_LINE_PRICE] = {"stripe_price_id",
                           {"price", "pricing.price_details.price", "plan"},
                           STRIPE_REFERENCE,
                           ID_LENGTH,
                           OPTIONAL},
    {"stripe_invoice_item_id",
     {"invoice_item", OF_INVOICE_ITEM "invoice_item", OF_SUBSCRIPTION "invoice_item"},
     STRIPE_REFERENCE,
     ID_LENGTH,
     OPTIONAL},
    {"stripe_subscription_id",
     {"subscription", OF_SUBSCRIPTION "subscription", OF_INVOICE_ITEM "subscription"},
     STRIPE_REFERENCE,
     ID_LENGTH,
     OPTIONAL},
    {"stripe_subscription_item_id",
     {"subscription_item", OF_SUBSCRIPTION "subscription_item"},
     STRIPE_REFERENCE,
     ID_LENGTH,
     OPTIONAL},
    {"amount", {"amount"}, STRIPE_BIGINT, 0, REQUIRED},
    {"currency", {"currency"}, STRIPE_TEXT, 3, REQUIRED},
};

/*
 * Before 2019-12-03 several lines may have one id, as that of their subscription; "unique_id" has
 * the id of today, which begins with "il_".
 */
static const char *const OLD_LINE_IDS[] = {"sub_", "su_", "sli_", "ii_", "item_", NULL};

#define FIELDS(these) .fields = (these), .field_count = lengthof(these)

const StripeMap stripe_maps[] = {
    [STRIPE_CUSTOMER] = {.object = "customer",
                         .table = "stripe_customer",
                         FIELDS(CUSTOMER_FIELDS),
                         .is_deletable = true,
                         .parent = STRIPE_NO_KIND,
                         .child = STRIPE_NO_KIND,
                         .price_field = -1},
    [STRIPE_PRICE] = {.object = "price",
                      .older_object = "plan",
                      .table = "stripe_price",
                      FIELDS(PRICE_FIELDS),
                      .parent = STRIPE_NO_KIND,
                      .child = STRIPE_NO_KIND,
                      .price_field = -1},
    [STRIPE_SUBSCRIPTION] = {.object = "subscription",
                             .table = "stripe_subscription",
                             FIELDS(SUBSCRIPTION_FIELDS),
                             .parent = STRIPE_NO_KIND,
                             .child = STRIPE_SUBSCRIPTION_ITEM,
                             .list_path = "items",
                             .price_field = -1},
    [STRIPE_INVOICE] = {.object = "invoice",
                        .table = "stripe_invoice",
                        FIELDS(INVOICE_FIELDS),
                        .is_deletable = true,
                        .parent = STRIPE_NO_KIND,
                        .child = STRIPE_LINE_ITEM,
                        .list_path = "lines",
                        .preview_id = "upcoming_in_",
                        .price_field = -1},
    [STRIPE_SUBSCRIPTION_ITEM] = {.object = "subscription_item",
                                  .table = "stripe_subscription_item",
                                  FIELDS(SUBSCRIPTION_ITEM_FIELDS),
                                  .is_deletable = true,
                                  .parent = STRIPE_SUBSCRIPTION,
                                  .parent_path = "subscription",
                                  .child = STRIPE_NO_KIND,
                                  .price_field = STRIPE_ITEM_PRICE},
    [STRIPE_LINE_ITEM] = {.object = "line_item",
                          .table = "stripe_invoice_line_item",
                          FIELDS(LINE_ITEM_FIELDS),
                          .unique_id_path = "unique_id",
                          .old_ids = OLD_LINE_IDS,
                          .parent = STRIPE_INVOICE,
                          .child = STRIPE_NO_KIND,
                          .price_field = STRIPE_LINE_PRICE},
};

StaticAssertDecl(lengthof(stripe_maps) == STRIPE_KINDS, "a kind has no map");

#define CHECK_COUNT(fields)                                                                        \
    StaticAssertDecl(lengthof(fields) <= STRIPE_MAX_FIELDS, "STRIPE_MAX_FIELDS: " #fields)

CHECK_COUNT(CUSTOMER_FIELDS);
CHECK_COUNT(PRICE_FIELDS);
CHECK_COUNT(SUBSCRIPTION_FIELDS);
CHECK_COUNT(INVOICE_FIELDS);
CHECK_COUNT(SUBSCRIPTION_ITEM_FIELDS);
CHECK_COUNT(LINE_ITEM_FIELDS);

StripeKind
stripe_kind_of(const char *object)
{
    int kind;

    for (kind = 0; kind < STRIPE_KINDS; kind++) {
        const StripeMap *map = &stripe_maps[kind];

        if (strcmp(map->object, object) == 0 ||
            (map->older_object != NULL && strcmp(map->older_object, object) == 0))
            return kind;
    }
    return STRIPE_NO_KIND;
}
