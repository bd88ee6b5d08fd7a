/*
 * stripe_map.c: which key of a Stripe object goes to which column.
 *
 * The tables below are all that is said about the content of the objects; parsing,
 * comparing and writing follow them.
 */
#include "stripe.h"

#define ID_LENGTH 255

static const StripeField CUSTOMER_FIELDS[] = {
    {"fxa_id", "description", STRIPE_TEXT, ID_LENGTH, true},
    {"default_source_id", "default_source", STRIPE_REFERENCE, ID_LENGTH, false},
    {"invoice_settings_default_payment_method_id", "invoice_settings.default_payment_method",
     STRIPE_REFERENCE, ID_LENGTH, false},
    {"stripe_created", "created", STRIPE_TIME, 0, true},
    [STRIPE_CUSTOMER_DELETED] = {"deleted", "deleted", STRIPE_BOOLEAN, 0, false},
};

static const StripeField PRICE_FIELDS[] = {
    {"stripe_product_id", "product", STRIPE_REFERENCE, ID_LENGTH, true},
    {"stripe_created", "created", STRIPE_TIME, 0, true},
    {"active", "active", STRIPE_BOOLEAN, 0, true},
    {"currency", "currency", STRIPE_TEXT, 3, true},
    {"recurring_interval", "recurring.interval", STRIPE_TEXT, 5, false},
    {"recurring_interval_count", "recurring.interval_count", STRIPE_INTEGER, 0, false},
    {"unit_amount", "unit_amount", STRIPE_BIGINT, 0, false},
};

static const StripeField SUBSCRIPTION_FIELDS[] = {
    {"stripe_customer_id", "customer", STRIPE_REFERENCE, ID_LENGTH, true},
    {"default_payment_method_id", "default_payment_method", STRIPE_REFERENCE, ID_LENGTH, false},
    {"default_source_id", "default_source", STRIPE_REFERENCE, ID_LENGTH, false},
    {"stripe_created", "created", STRIPE_TIME, 0, true},
    {"cancel_at_period_end", "cancel_at_period_end", STRIPE_BOOLEAN, 0, true},
    {"canceled_at", "canceled_at", STRIPE_TIME, 0, false},
    /* Needed, but newer Stripe versions have them in the items only. */
    [STRIPE_SUBSCRIPTION_PERIOD_START] = {"current_period_start", "current_period_start",
                                          STRIPE_TIME, 0, false},
    [STRIPE_SUBSCRIPTION_PERIOD_END] = {"current_period_end", "current_period_end", STRIPE_TIME, 0,
                                        false},
    {"ended_at", "ended_at", STRIPE_TIME, 0, false},
    {"start_date", "start_date", STRIPE_TIME, 0, true},
    {"status", "status", STRIPE_TEXT, 20, true},
};

static const StripeField INVOICE_FIELDS[] = {
    {"stripe_customer_id", "customer", STRIPE_REFERENCE, ID_LENGTH, true},
    {"default_payment_method_id", "default_payment_method", STRIPE_REFERENCE, ID_LENGTH, false},
    {"default_source_id", "default_source", STRIPE_REFERENCE, ID_LENGTH, false},
    {"stripe_created", "created", STRIPE_TIME, 0, true},
    {"currency", "currency", STRIPE_TEXT, 3, true},
    {"total", "total", STRIPE_BIGINT, 0, true},
    {"status", "status", STRIPE_TEXT, 15, true},
};

static const StripeField SUBSCRIPTION_ITEM_FIELDS[] = {
    {"stripe_subscription_id", NULL, STRIPE_REFERENCE, ID_LENGTH, true},
    [STRIPE_ITEM_PRICE] = {"stripe_price_id", "price", STRIPE_REFERENCE, ID_LENGTH, true},
    {"stripe_created", "created", STRIPE_TIME, 0, true},
};

static const StripeField LINE_ITEM_FIELDS[] = {
    {"stripe_invoice_id", NULL, STRIPE_REFERENCE, ID_LENGTH, true},
    {"stripe_type", "type", STRIPE_TEXT, 14, true},
    [STRIPE_LINE_PRICE] = {"stripe_price_id", "price", STRIPE_REFERENCE, ID_LENGTH, true},
    {"stripe_invoice_item_id", "invoice_item", STRIPE_REFERENCE, ID_LENGTH, false},
    {"stripe_subscription_id", "subscription", STRIPE_REFERENCE, ID_LENGTH, false},
    {"stripe_subscription_item_id", "subscription_item", STRIPE_REFERENCE, ID_LENGTH, false},
    {"amount", "amount", STRIPE_BIGINT, 0, true},
    {"currency", "currency", STRIPE_TEXT, 3, true},
};

#define FIELDS(fields) (fields), lengthof(fields)

const StripeMap stripe_maps[STRIPE_KINDS] = {
    [STRIPE_CUSTOMER] = {"customer", "stripe_customer", FIELDS(CUSTOMER_FIELDS), NULL,
                         STRIPE_NO_KIND, NULL, STRIPE_NO_KIND, -1},
    [STRIPE_PRICE] = {"price", "stripe_price", FIELDS(PRICE_FIELDS), NULL, STRIPE_NO_KIND, NULL,
                      STRIPE_NO_KIND, -1},
    [STRIPE_SUBSCRIPTION] = {"subscription", "stripe_subscription", FIELDS(SUBSCRIPTION_FIELDS),
                             NULL, STRIPE_NO_KIND, "items", STRIPE_SUBSCRIPTION_ITEM, -1},
    [STRIPE_INVOICE] = {"invoice", "stripe_invoice", FIELDS(INVOICE_FIELDS), NULL, STRIPE_NO_KIND,
                        "lines", STRIPE_LINE_ITEM, -1},
    [STRIPE_SUBSCRIPTION_ITEM] = {"subscription_item", "stripe_subscription_item",
                                  FIELDS(SUBSCRIPTION_ITEM_FIELDS), "subscription",
                                  STRIPE_SUBSCRIPTION, NULL, STRIPE_NO_KIND, STRIPE_ITEM_PRICE},
    [STRIPE_LINE_ITEM] = {"line_item", "stripe_invoice_line_item", FIELDS(LINE_ITEM_FIELDS), NULL,
                          STRIPE_INVOICE, NULL, STRIPE_NO_KIND, STRIPE_LINE_PRICE},
};

StaticAssertDecl(lengthof(SUBSCRIPTION_FIELDS) <= STRIPE_MAX_FIELDS, "too many Stripe fields");

StripeKind
stripe_kind_of(const char *object)
{
    int kind;

    for (kind = 0; kind < STRIPE_KINDS; kind++) {
        if (strcmp(stripe_maps[kind].object, object) == 0)
            return kind;
    }
    return STRIPE_NO_KIND;
}
