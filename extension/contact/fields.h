/*
 * contact/fields.h: the table of groups, fields and ids. Everything that is done with contacts
 * follows it: what bodies may give and how that is published, SQL, comparison, answers.
 *
 * To add a field, add a line here and, if the group has a table, a column of the same name with a
 * comment, which is the description of the field. The lists are included twice: contact/contact.h
 * makes constants (enums) of them, and contact/fields.c makes the table itself and explains the
 * forms (TEXT, FLAG, …).
 */
#ifndef CTMS_CONTACT_FIELDS_H
#define CTMS_CONTACT_FIELDS_H

/*
 * place, JSON key and column, form, example. Descriptions are the comments on the columns
 * (extension/sql/10_tables.sql). The examples of one group fit together and those of all groups are
 * one contact, so that a body made of them is accepted: test/t/114_rest_examples.pl sends it.
 */

#define CONTACT_EMAIL_FIELDS(FIELD)                                                                \
    FIELD(EMAIL_PRIMARY_EMAIL, "primary_email", REQUIRED(255), "try-it@example.com")               \
    FIELD(EMAIL_BASKET_TOKEN, "basket_token", TOKEN, "d9ba6182-f5dd-4728-a407-2cc11bf62b69")       \
    FIELD(EMAIL_DOUBLE_OPT_IN, "double_opt_in", FLAG(false), "true")                               \
    FIELD(EMAIL_SFDC_ID, "sfdc_id", TEXT(255), "001A000023aABcDEFG")                               \
    FIELD(EMAIL_FIRST_NAME, "first_name", TEXT(255), "Robin")                                      \
    FIELD(EMAIL_LAST_NAME, "last_name", TEXT(255), "Example")                                      \
    FIELD(EMAIL_MAILING_COUNTRY, "mailing_country", TEXT(255), "ca")                               \
    FIELD(EMAIL_EMAIL_FORMAT, "email_format", CHOICE(email_formats, "H"), "H")                     \
    FIELD(EMAIL_EMAIL_LANG, "email_lang", LANGUAGE(0), "fr")                                       \
    FIELD(EMAIL_HAS_OPTED_OUT_OF_EMAIL, "has_opted_out_of_email", FLAG(false), "false")            \
    FIELD(EMAIL_UNSUBSCRIBE_REASON, "unsubscribe_reason", REASON, "too many e-mails")

#define CONTACT_AMO_FIELDS(FIELD)                                                                  \
    FIELD(AMO_ADD_ON_IDS, "add_on_ids", TEXT(500), "add-on-1,add-on-2")                            \
    FIELD(AMO_DISPLAY_NAME, "display_name", TEXT(255), "Robin of the add-ons")                     \
    FIELD(AMO_EMAIL_OPT_IN, "email_opt_in", FLAG(false), "true")                                   \
    FIELD(AMO_LANGUAGE, "language", TEXT(5), "fr")                                                 \
    FIELD(AMO_LAST_LOGIN, "last_login", DATE, "2026-01-15")                                        \
    FIELD(AMO_LOCATION, "location", TEXT(255), "Montreal")                                         \
    FIELD(AMO_PROFILE_URL, "profile_url", TEXT(40), "https://addons.mozilla.org/user/123456/")     \
    FIELD(AMO_USER, "user", FLAG(false), "true")                                                   \
    FIELD(AMO_USER_ID, "user_id", TEXT(40), "123456")                                              \
    FIELD(AMO_USERNAME, "username", TEXT(100), "robin")

#define CONTACT_FXA_FIELDS(FIELD)                                                                  \
    FIELD(FXA_FXA_ID, "fxa_id", TEXT(50), "6eb6ed6ac3b64259968aa490c6c0b9df")                      \
    FIELD(FXA_PRIMARY_EMAIL, "primary_email", TEXT(255), "try-it-account@example.com")             \
    FIELD(FXA_CREATED_DATE, "created_date", TEXT(50), "2026-01-15T09:30:00.000Z")                  \
    FIELD(FXA_LANG, "lang", TEXT(255), "fr-CA,fr,en")                                              \
    FIELD(FXA_FIRST_SERVICE, "first_service", TEXT(50), "sync")                                    \
    FIELD(FXA_ACCOUNT_DELETED, "account_deleted", FLAG(false), "false")

#define CONTACT_MOFO_FIELDS(FIELD)                                                                 \
    FIELD(MOFO_EMAIL_ID, "mofo_email_id", TEXT(255), "195207d2-63f2-4c9f-b149-80e9c408477a")       \
    FIELD(MOFO_CONTACT_ID, "mofo_contact_id", TEXT(255), "5e499cc0-eeb5-4f0e-aae6-a101721874b8")   \
    FIELD(MOFO_RELEVANT, "mofo_relevant", FLAG(false), "true")

#define CONTACT_NEWSLETTER_FIELDS(FIELD)                                                           \
    FIELD(NEWSLETTER_NAME, "name", REQUIRED(255), "mozilla-and-you")                               \
    FIELD(NEWSLETTER_SUBSCRIBED, "subscribed", FLAG(true), "true")                                 \
    FIELD(NEWSLETTER_FORMAT, "format", CHOICE(newsletter_formats, "H"), "H")                       \
    FIELD(NEWSLETTER_LANG, "lang", LANGUAGE(2), "fr")                                              \
    FIELD(NEWSLETTER_SOURCE, "source", URL, "https://www.example.com/newsletter/")                 \
    FIELD(NEWSLETTER_UNSUB_REASON, "unsub_reason", REASON, "too many e-mails")

#define CONTACT_WAITLIST_FIELDS(FIELD)                                                             \
    FIELD(WAITLIST_NAME, "name", REQUIRED(255), "vpn")                                             \
    FIELD(WAITLIST_SOURCE, "source", URL, "https://www.example.com/vpn/")                          \
    FIELD(WAITLIST_FIELDS, "fields", OBJECT, "{\"geo\": \"ca\", \"platform\": \"ios,mac\"}")       \
    FIELD(WAITLIST_SUBSCRIBED, "subscribed", FLAG(true), "true")                                   \
    FIELD(WAITLIST_UNSUB_REASON, "unsub_reason", REASON, "it took too long")

/* What these may contain is limited by the JSON Schemas of the waitlists. */

#define CONTACT_VPN_WAITLIST_FIELDS(FIELD)                                                         \
    FIELD(VPN_GEO, "geo", COUNTRY, "ca")                                                           \
    FIELD(VPN_PLATFORM, "platform", PLATFORMS, "ios,mac")

#define CONTACT_RELAY_WAITLIST_FIELDS(FIELD) FIELD(RELAY_GEO, "geo", COUNTRY, "ca")

/*
 * place, JSON key, fields, description, forms. Groups of rows first, then lists, then the older
 * members.
 */

#define CONTACT_GROUPS(GROUP)                                                                      \
    GROUP(GROUP_EMAIL, "email", email_fields, "The contact itself", STORED("emails", true),        \
          NEEDED)                                                                                  \
    GROUP(GROUP_AMO, "amo", amo_fields, "The contact as a user of addons.mozilla.org",             \
          STORED("amo", true), DELETABLE)                                                          \
    GROUP(GROUP_FXA, "fxa", fxa_fields, "The Firefox account of the contact",                      \
          STORED("fxa", false), DELETABLE)                                                         \
    GROUP(GROUP_MOFO, "mofo", mofo_fields, "What the Mozilla Foundation knows the contact by",     \
          STORED("mofo", false), DELETABLE)                                                        \
    GROUP(GROUP_NEWSLETTERS, "newsletters", newsletter_fields,                                     \
          "A newsletter that the contact gets or has left", STORED("newsletters", true),           \
          LIST("newsletter"))                                                                      \
    GROUP(GROUP_WAITLISTS, "waitlists", waitlist_fields,                                           \
          "A waitlist that the contact is on or has left", STORED("waitlists", true),              \
          LIST("waitlist"))                                                                        \
    GROUP(GROUP_VPN_WAITLIST, "vpn_waitlist", vpn_waitlist_fields,                                 \
          "The waitlist \"vpn\", as older clients know it", OLDER)                                 \
    GROUP(GROUP_RELAY_WAITLIST, "relay_waitlist", relay_waitlist_fields,                           \
          "The waitlists whose names begin with \"relay\", as older clients know them", OLDER)

/*
 * The ids by which a contact can be found, and which its identity shows: place, name of the
 * parameter and key, group, place of the field, whether it is an address (compared without regard
 * to case). In the order of the parameters of ctms.find_contacts().
 */

#define CONTACT_IDS(ID)                                                                            \
    ID(ID_EMAIL_ID, "email_id", GROUP_EMAIL, CONTACT_NO_FIELD, false)                              \
    ID(ID_PRIMARY_EMAIL, "primary_email", GROUP_EMAIL, EMAIL_PRIMARY_EMAIL, true)                  \
    ID(ID_BASKET_TOKEN, "basket_token", GROUP_EMAIL, EMAIL_BASKET_TOKEN, false)                    \
    ID(ID_SFDC_ID, "sfdc_id", GROUP_EMAIL, EMAIL_SFDC_ID, false)                                   \
    ID(ID_MOFO_CONTACT_ID, "mofo_contact_id", GROUP_MOFO, MOFO_CONTACT_ID, false)                  \
    ID(ID_MOFO_EMAIL_ID, "mofo_email_id", GROUP_MOFO, MOFO_EMAIL_ID, false)                        \
    ID(ID_AMO_USER_ID, "amo_user_id", GROUP_AMO, AMO_USER_ID, false)                               \
    ID(ID_FXA_ID, "fxa_id", GROUP_FXA, FXA_FXA_ID, false)                                          \
    ID(ID_FXA_PRIMARY_EMAIL, "fxa_primary_email", GROUP_FXA, FXA_PRIMARY_EMAIL, true)

#endif
