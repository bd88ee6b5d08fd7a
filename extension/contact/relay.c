/*
 * contact/relay.c: the one rule over several members of a body. A relay newsletter that is
 * subscribed needs a country in the same body: in relay_waitlist, or in the fields of the
 * waitlist "relay". Change its check and its published schema together.
 */
#include "extension/base/compat.h"

#include "extension/contact/relay.h"

#define NEWSLETTER_PREFIX "relay-"
#define WAITLIST "relay"

/* ---- the check ------------------------------------------------------------------- */

static bool
has_country(const ContactBody *body)
{
    const ContactRecord *older = &body->records[GROUP_RELAY_WAITLIST];
    const ContactRecord *waitlist =
        contact_list_find(&body->lists[GROUP_WAITLISTS], WAITLIST, strlen(WAITLIST));
    JsonbValue geo;

    if (body->member[GROUP_RELAY_WAITLIST] == MEMBER_GIVEN && !older->nulls[RELAY_GEO] &&
        VARSIZE_ANY_EXHDR(DatumGetTextPP(older->values[RELAY_GEO])) > 0)
        return true;
    if (waitlist == NULL || waitlist->nulls[WAITLIST_FIELDS])
        return false;
    if (getKeyJsonValueFromContainer(&DatumGetJsonbP(waitlist->values[WAITLIST_FIELDS])->root,
                                     "geo", strlen("geo"), &geo) == NULL)
        return false;
    return geo.type != jbvNull && (geo.type != jbvString || geo.val.string.len > 0);
}

void
contact_relay_check(const ContactBody *body, BodyErrors *errors)
{
    const ContactList *newsletters = &body->lists[GROUP_NEWSLETTERS];
    BodyPlace list_place = body_key(&body_root, contact_groups[GROUP_NEWSLETTERS].name);
    int first = -1;

    for (int i = 0; i < newsletters->count; i++) {
        const ContactRecord *item = &newsletters->items[i];

        if (contact_name_starts_with(item, NEWSLETTER_PREFIX) &&
            contact_flag(item, NEWSLETTER_SUBSCRIBED) && (first < 0 || item->body_index < first))
            first = item->body_index;
    }
    if (first >= 0 && !has_country(body)) {
        BodyPlace place = body_index(&list_place, first);

        body_error_add(errors, &place, "value_error.relay_country", "Relay country missing");
    }
}

/* ---- the schema -------------------------------------------------------------------- */

#define SUBSCRIBED_RELAY                                                                           \
    "{\"required\":[\"newsletters\"],\"properties\":{\"newsletters\":{\"type\":\"array\","         \
    "\"contains\":{\"type\":\"object\",\"required\":[\"name\"],\"properties\":{"                   \
    "\"name\":{\"type\":\"string\",\"pattern\":\"^" NEWSLETTER_PREFIX "\"},"                       \
    "\"subscribed\":{\"not\":{\"const\":false}}}}}}}"

#define OLDER_COUNTRY                                                                              \
    "{\"required\":[\"relay_waitlist\"],\"properties\":{\"relay_waitlist\":{\"type\":\"object\","  \
    "\"required\":[\"geo\"],\"properties\":{\"geo\":{\"type\":\"string\","                         \
    "\"minLength\":1}}}}}"

#define WAITLIST_COUNTRY                                                                           \
    "{\"required\":[\"waitlists\"],\"properties\":{\"waitlists\":{\"type\":\"array\","             \
    "\"contains\":{\"type\":\"object\",\"required\":[\"name\",\"fields\"],\"properties\":{"        \
    "\"name\":{\"const\":\"" WAITLIST "\"},\"fields\":{\"type\":\"object\","                       \
    "\"required\":[\"geo\"],\"properties\":{\"geo\":{\"not\":{\"enum\":[\"\",null]}}}}}}}}}"

void
contact_relay_publish(StringInfo out)
{
    appendStringInfoString(out, "\"if\":" SUBSCRIBED_RELAY ",\"then\":{\"anyOf\":[" OLDER_COUNTRY
                                "," WAITLIST_COUNTRY "]}");
}
