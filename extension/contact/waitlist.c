/*
 * contact/waitlist.c: what bodies mean for waitlists.
 *
 * The older members (vpn_waitlist, relay_waitlist) and the names of newsletters become a list of
 * changes by waitlist name. The list is then applied to the stored waitlists in one pass.
 */
#include "extension/base/compat.h"

#include "extension/contact/waitlist.h"
#include "extension/contact/waitlist_fields.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#define NEWSLETTER_SUFFIX "-waitlist"

static const char vpn_member[] = "vpn_waitlist";
static const char relay_member[] = "relay_waitlist";

typedef enum LegacyAction {
    LEGACY_KEEP,       /* stays as it is, even in a PUT */
    LEGACY_SET_FIELDS, /* subscribed, with exactly these fields */
    LEGACY_SET_GEO,    /* subscribed, with this geo among its fields */
    LEGACY_CHANGE_GEO, /* this geo; subscribed or not as before */
    LEGACY_UNSUBSCRIBE
} LegacyAction;

typedef struct LegacyChange {
    char *name;
    LegacyAction action;
    Jsonb *fields;
    const char *member; /* of the body: where errors in the fields are reported */
    int order;
} LegacyChange;

typedef struct LegacyChanges {
    LegacyChange *items;
    int count;
    int capacity;
} LegacyChanges;

/* ---- fields of older members --------------------------------------------------- */

static void
push_field(JsonbParseState **state, const ContactRecord *record, ContactGroup group, int field)
{
    const char *name = contact_groups[group].fields[field].name;
    JsonbValue key = {.type = jbvString};
    JsonbValue value = {.type = jbvNull};

    key.val.string.val = (char *)name;
    key.val.string.len = strlen(name);
    pushJsonbValue(state, WJB_KEY, &key);
    if (!record->nulls[field]) {
        text *content = DatumGetTextPP(record->values[field]);

        value.type = jbvString;
        value.val.string.val = VARDATA_ANY(content);
        value.val.string.len = VARSIZE_ANY_EXHDR(content);
    }
    pushJsonbValue(state, WJB_VALUE, &value);
}

/* {"geo": …, "platform": …}, nulls included. */
static Jsonb *
legacy_fields(const ContactBody *body, ContactGroup group)
{
    JsonbParseState *state = NULL;

    pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
    for (int i = 0; i < contact_groups[group].field_count; i++)
        push_field(&state, &body->records[group], group, i);
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static bool
gives_value(const ContactBody *body, ContactGroup group)
{
    return body->member[group] == MEMBER_GIVEN &&
           !contact_record_is_default(&body->records[group], group);
}

/* ---- names ------------------------------------------------------------------- */

/*
 * The waitlist that a newsletter stands for. *has_suffix tells whether its name ends in
 * "-waitlist".
 */
static char *
waitlist_of_newsletter(const ContactRecord *newsletter, bool *has_suffix)
{
    char *name = contact_text(newsletter, LIST_NAME);
    int stem = (int)strlen(name) - (int)strlen(NEWSLETTER_SUFFIX);

    *has_suffix = stem > 0 && strcmp(name + stem, NEWSLETTER_SUFFIX) == 0;
    if (*has_suffix)
        name[stem] = '\0';
    return *has_suffix && strcmp(name, "guardian-vpn") == 0 ? pstrdup("vpn") : name;
}

static void
add_change(LegacyChanges *changes, char *name, LegacyAction action, Jsonb *fields,
           const char *member)
{
    if (changes->items == NULL) {
        changes->capacity = 8;
        changes->items = palloc(changes->capacity * sizeof(LegacyChange));
    } else if (changes->count == changes->capacity) {
        changes->capacity *= 2;
        changes->items = repalloc(changes->items, changes->capacity * sizeof(LegacyChange));
    }
    changes->items[changes->count] = (LegacyChange){.name = name,
                                                    .action = action,
                                                    .fields = fields,
                                                    .member = member,
                                                    .order = changes->count};
    changes->count++;
}

/* Adds the change for every stored waitlist whose name starts with `prefix`; returns how many. */
static int
add_change_to_stored(LegacyChanges *changes, const Contact *stored, const char *prefix,
                     LegacyAction action, Jsonb *fields)
{
    int found = 0;

    for (int i = 0; i < stored->lists[GROUP_WAITLISTS].count; i++) {
        const ContactRecord *item = &stored->lists[GROUP_WAITLISTS].items[i];

        if (!contact_name_starts_with(item, prefix))
            continue;
        found++;
        add_change(changes, contact_text(item, LIST_NAME), action, fields, relay_member);
    }
    return found;
}

/* ---- the rules --------------------------------------------------------------- */

static void
collect_vpn(const ContactBody *body, LegacyChanges *changes)
{
    if (body->member[GROUP_VPN_WAITLIST] == MEMBER_ABSENT)
        return;
    if (gives_value(body, GROUP_VPN_WAITLIST))
        add_change(changes, pstrdup("vpn"), LEGACY_SET_FIELDS,
                   legacy_fields(body, GROUP_VPN_WAITLIST), vpn_member);
    else
        add_change(changes, pstrdup("vpn"), LEGACY_UNSUBSCRIBE, NULL, vpn_member);
}

/*
 * Adds a change for each relay newsletter that is subscribed. Returns how many relay newsletters
 * there are, subscribed or not.
 */
static int
collect_relay_newsletters(const ContactBody *body, Jsonb *fields, LegacyChanges *changes)
{
    int found = 0;

    for (int i = 0; i < body->lists[GROUP_NEWSLETTERS].count; i++) {
        const ContactRecord *newsletter = &body->lists[GROUP_NEWSLETTERS].items[i];
        bool has_suffix;

        if (!contact_name_starts_with(newsletter, "relay-"))
            continue;
        found++;
        if (contact_flag(newsletter, NEWSLETTER_SUBSCRIBED))
            add_change(changes, waitlist_of_newsletter(newsletter, &has_suffix), LEGACY_SET_GEO,
                       fields, relay_member);
    }
    return found;
}

static bool
has_subscribed_relay(const Contact *stored)
{
    for (int i = 0; i < stored->lists[GROUP_WAITLISTS].count; i++)
        if (contact_name_starts_with(&stored->lists[GROUP_WAITLISTS].items[i], "relay") &&
            contact_flag(&stored->lists[GROUP_WAITLISTS].items[i], WAITLIST_SUBSCRIBED))
            return true;
    return false;
}

static void
collect_relay(const ContactBody *body, const Contact *stored, LegacyChanges *changes)
{
    Jsonb *fields;
    LegacyAction action;

    if (body->member[GROUP_RELAY_WAITLIST] == MEMBER_ABSENT)
        return;
    if (!gives_value(body, GROUP_RELAY_WAITLIST)) {
        add_change_to_stored(changes, stored, "relay", LEGACY_UNSUBSCRIBE, NULL);
        return;
    }
    fields = legacy_fields(body, GROUP_RELAY_WAITLIST);
    if (collect_relay_newsletters(body, fields, changes) > 0) {
        add_change_to_stored(changes, stored, "relay", LEGACY_KEEP, NULL);
        return;
    }
    /* A contact that left all of them and sends a country joins again. */
    action = has_subscribed_relay(stored) ? LEGACY_CHANGE_GEO : LEGACY_SET_GEO;
    if (add_change_to_stored(changes, stored, "relay", action, fields) == 0)
        add_change(changes, pstrdup("relay"), LEGACY_SET_GEO, fields, relay_member);
}

static void
collect_unsubscribed_newsletters(const ContactBody *body, LegacyChanges *changes)
{
    for (int i = 0; i < body->lists[GROUP_NEWSLETTERS].count; i++) {
        const ContactRecord *newsletter = &body->lists[GROUP_NEWSLETTERS].items[i];
        bool has_suffix;
        char *name;

        if (newsletter->nulls[LIST_NAME] || contact_flag(newsletter, NEWSLETTER_SUBSCRIBED))
            continue;
        name = waitlist_of_newsletter(newsletter, &has_suffix);
        if (has_suffix)
            add_change(changes, name, LEGACY_UNSUBSCRIBE, NULL, NULL);
    }
}

/* If a body contradicts itself, leaving a list wins over joining it. */
static void
collect_changes(const ContactBody *body, const Contact *stored, LegacyChanges *changes)
{
    if (body->member[GROUP_NEWSLETTERS] == MEMBER_WORD) {
        add_change_to_stored(changes, stored, "", LEGACY_UNSUBSCRIBE, NULL);
        return;
    }
    collect_vpn(body, changes);
    collect_relay(body, stored, changes);
    collect_unsubscribed_newsletters(body, changes);
}

/* ---- applying ------------------------------------------------------------------ */

static void
apply_change(ContactRecord *item, const LegacyChange *change)
{
    if (change->action == LEGACY_KEEP)
        return;
    if (change->action == LEGACY_UNSUBSCRIBE) {
        item->values[WAITLIST_SUBSCRIBED] = BoolGetDatum(false);
        return;
    }
    if (change->action == LEGACY_SET_FIELDS ||
        !JB_ROOT_IS_OBJECT(DatumGetJsonbP(item->values[WAITLIST_FIELDS])))
        item->values[WAITLIST_FIELDS] = JsonbPGetDatum(change->fields);
    else
        item->values[WAITLIST_FIELDS] = DirectFunctionCall2(
            jsonb_concat, item->values[WAITLIST_FIELDS], JsonbPGetDatum(change->fields));
    if (change->action != LEGACY_CHANGE_GEO && !contact_flag(item, WAITLIST_SUBSCRIBED)) {
        item->values[WAITLIST_SUBSCRIBED] = BoolGetDatum(true);
        item->nulls[WAITLIST_UNSUB_REASON] = true;
    }
}

/*
 * Applies the changes of one waitlist. Returns the member of the body that gave it fields, or
 * NULL.
 */
static const char *
apply_changes(ContactRecord *item, const LegacyChange *changes, int count)
{
    const char *member = NULL;

    for (int i = 0; i < count; i++) {
        apply_change(item, &changes[i]);
        if (changes[i].fields != NULL)
            member = changes[i].member;
    }
    return member;
}

/*
 * The item to change: from the wanted list, or a copy of the stored one, or a new one. NULL when
 * there is none and a new one would end up unsubscribed.
 */
static ContactRecord *
find_or_append(const LegacyChange *change, bool ends_unsubscribed, const Contact *stored,
               ContactList *wanted, int sorted_count)
{
    ContactList sorted = {.items = wanted->items, .count = sorted_count};
    int length = strlen(change->name);
    ContactRecord *item = contact_list_find(&sorted, change->name, length);

    if (item != NULL)
        return item;
    item = contact_list_find(&stored->lists[GROUP_WAITLISTS], change->name, length);
    if (item != NULL) {
        ContactRecord copy = *item;

        item = contact_list_append(wanted, GROUP_WAITLISTS);
        *item = copy;
        return item;
    }
    if (ends_unsubscribed)
        return NULL;
    item = contact_list_append(wanted, GROUP_WAITLISTS);
    item->exists = true;
    item->nulls[LIST_NAME] = false;
    item->values[LIST_NAME] = CStringGetTextDatum(change->name);
    return item;
}

static int
compare_changes(const void *a, const void *b)
{
    const LegacyChange *left = a;
    const LegacyChange *right = b;
    int order = strcmp(left->name, right->name);

    return order != 0 ? order : left->order - right->order;
}

void
contact_waitlist_apply_legacy(const ContactBody *body, const Contact *stored, Contact *wanted,
                              BodyErrors *errors)
{
    LegacyChanges changes = {0};
    int sorted_count = wanted->lists[GROUP_WAITLISTS].count;
    const char *refused = NULL; /* only one error for each member, however many lists it changes */

    collect_changes(body, stored, &changes);
    if (changes.count > 1)
        qsort(changes.items, changes.count, sizeof(LegacyChange), compare_changes);
    for (int i = 0, next; i < changes.count; i = next) {
        const char *name = changes.items[i].name;
        const char *member;
        ContactRecord *item;

        for (next = i + 1; next < changes.count; next++)
            if (strcmp(name, changes.items[next].name) != 0)
                break;
        item =
            find_or_append(&changes.items[i], changes.items[next - 1].action == LEGACY_UNSUBSCRIBE,
                           stored, &wanted->lists[GROUP_WAITLISTS], sorted_count);
        if (item == NULL)
            continue;
        member = apply_changes(item, &changes.items[i], next - i);
        if (member != NULL && member != refused) {
            BodyPlace place = body_key(&body_root, member);

            if (!contact_waitlist_fields_check(name, DatumGetJsonbP(item->values[WAITLIST_FIELDS]),
                                               &place, errors))
                refused = member;
        }
    }
    contact_list_sort(&wanted->lists[GROUP_WAITLISTS]);
}

/* ---- checks before anything is known of what is stored ---------------------------- */

static void
check_item(const ContactRecord *item, BodyErrors *errors)
{
    BodyPlace list_place = body_key(&body_root, "waitlists");
    BodyPlace item_place = body_index(&list_place, item->body_index);
    BodyPlace place = body_key(&item_place, "fields");

    contact_waitlist_fields_check(contact_text(item, LIST_NAME),
                                  DatumGetJsonbP(item->values[WAITLIST_FIELDS]), &place, errors);
}

void
contact_waitlist_check_new(const ContactRecord *item, BodyErrors *errors)
{
    /* If the body gives the fields, they have been checked before. */
    if ((item->given & 1 << WAITLIST_FIELDS) == 0)
        check_item(item, errors);
}

void
contact_waitlist_check(const ContactBody *body, BodyErrors *errors)
{
    for (int i = 0; i < body->lists[GROUP_WAITLISTS].count; i++) {
        const ContactRecord *item = &body->lists[GROUP_WAITLISTS].items[i];

        if (item->nulls[LIST_NAME] || item->nulls[WAITLIST_FIELDS])
            continue;
        if (body->method != METHOD_PATCH || (item->given & 1 << WAITLIST_FIELDS) != 0)
            check_item(item, errors);
    }
    /* Merging normally checks the older members, but with errors there is no merge. */
    if (errors->count > 0 && contact_body_is_legacy(body)) {
        Contact nothing, ignored;

        contact_init(&nothing);
        contact_init(&ignored);
        contact_waitlist_apply_legacy(body, &nothing, &ignored, errors);
    }
}
