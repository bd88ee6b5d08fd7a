/*
 * contact/merge.c: POST and PUT replace everything, PATCH changes only what the body gives.
 * Nothing is read from the tables or written here; contact_store() compares the stored and the
 * wanted contact later.
 */
#include "extension/base/compat.h"

#include "extension/contact/merge.h"
#include "extension/contact/waitlist.h"

/* Copies the fields that the body names. */
static void
overlay(ContactRecord *record, const ContactRecord *given, ContactGroup group)
{
    for (int i = 0; i < contact_groups[group].field_count; i++)
        if (given->given & (uint32)1 << i) {
            record->values[i] = given->values[i];
            record->nulls[i] = given->nulls[i];
        }
}

static void
merge_row(const ContactBody *body, ContactGroup group, const ContactRecord *stored,
          ContactRecord *wanted)
{
    switch (body->member[group]) {
    case MEMBER_ABSENT:
        if (body->method == METHOD_PATCH)
            *wanted = *stored;
        return;
    case MEMBER_NULL:
    case MEMBER_WORD: return;
    case MEMBER_GIVEN:
        if (body->method == METHOD_PATCH) {
            *wanted = *stored;
            overlay(wanted, &body->records[group], group);
        } else {
            *wanted = body->records[group];
        }
        wanted->exists = group == GROUP_EMAIL || !contact_record_is_default(wanted, group);
    }
}

static int
subscribed_field(ContactGroup group)
{
    StaticAssertStmt(CONTACT_STORED_GROUPS - CONTACT_ROW_GROUPS == 2, "two lists are known here");
    return group == GROUP_NEWSLETTERS ? NEWSLETTER_SUBSCRIBED : WAITLIST_SUBSCRIBED;
}

static void
patch_list(const ContactList *given, ContactGroup group, const ContactList *stored,
           ContactList *wanted, BodyErrors *errors)
{
    contact_list_copy(wanted, stored);
    for (int i = 0; i < given->count; i++) {
        const ContactRecord *item = &given->items[i];
        text *name = DatumGetTextPP(item->values[LIST_NAME]);
        ContactRecord *known =
            contact_list_find(stored, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));

        if (known != NULL) {
            overlay(&wanted->items[known - stored->items], item, group);
        } else if (contact_flag(item, subscribed_field(group))) {
            if (group == GROUP_WAITLISTS)
                contact_waitlist_check_new(item, errors);
            *contact_list_append(wanted, group) = *item;
        }
    }
    contact_list_sort(wanted);
}

static void
merge_list(const ContactBody *body, ContactGroup group, const ContactList *given,
           const ContactList *stored, ContactList *wanted, BodyErrors *errors)
{
    if (body->method != METHOD_PATCH) {
        contact_list_copy(wanted, given);
        return;
    }
    if (body->member[group] == MEMBER_GIVEN) {
        patch_list(given, group, stored, wanted, errors);
        return;
    }
    contact_list_copy(wanted, stored);
    if (body->member[group] == MEMBER_WORD)
        for (int i = 0; i < wanted->count; i++)
            wanted->items[i].values[subscribed_field(group)] = BoolGetDatum(false);
}

void
contact_merge(const ContactBody *body, const Contact *stored, Contact *wanted, BodyErrors *errors)
{
    contact_init(wanted);
    wanted->email_id = stored->email_id;
    for (int group = 0; group < CONTACT_ROW_GROUPS; group++)
        merge_row(body, group, &stored->rows[group], &wanted->rows[group]);
    for (int group = CONTACT_ROW_GROUPS; group < CONTACT_STORED_GROUPS; group++)
        merge_list(body, group, &body->lists[group], &stored->lists[group], &wanted->lists[group],
                   errors);
    if (contact_body_is_legacy(body))
        contact_waitlist_apply_legacy(body, stored, wanted, errors);
}
