/*
 * contact/fields.h: the table of groups, fields and ids. Everything that is done with contacts
 * follows it: what bodies may give and how that is published, SQL, comparison, answers.
 *
 * To add a field, add a line here and, if the group has a table, a column of the same name. The
 * lists are included twice: contact/contact.h makes constants (enums) of them, and
 * contact/fields.c makes the table itself and explains the forms (TEXT, FLAG, …).
 */
#ifndef CTMS_CONTACT_FIELDS_H
#define CTMS_CONTACT_FIELDS_H

/* place, JSON key and column, form, description */

#define CONTACT_EMAIL_FIELDS(FIELD)                                                                \
    FIELD(EMAIL_PRIMARY_EMAIL, "primary_email", REQUIRED(255),                                     \
          "Address of the contact, unique without regard to case")                                 \
    FIELD(EMAIL_BASKET_TOKEN, "basket_token", TOKEN, "Token by which Basket knows the contact")    \
    FIELD(EMAIL_DOUBLE_OPT_IN, "double_opt_in", FLAG(false),                                       \
          "Whether the contact has confirmed the subscription")                                    \
    FIELD(EMAIL_SFDC_ID, "sfdc_id", TEXT(255), "Id of the contact in Salesforce")                  \
    FIELD(EMAIL_FIRST_NAME, "first_name", TEXT(255), "First name")                                 \
    FIELD(EMAIL_LAST_NAME, "last_name", TEXT(255), "Last name")                                    \
    FIELD(EMAIL_MAILING_COUNTRY, "mailing_country", TEXT(255), "Country of the contact")           \
    FIELD(EMAIL_EMAIL_FORMAT, "email_format", CHOICE(email_formats, "H"),                          \
          "Form of e-mails: H (HTML), T (text), N (none) or empty")                                \
    FIELD(EMAIL_EMAIL_LANG, "email_lang", LANGUAGE(0), "Language of e-mails")                      \
    FIELD(EMAIL_HAS_OPTED_OUT_OF_EMAIL, "has_opted_out_of_email", FLAG(false),                     \
          "Whether the contact wants no e-mails at all")                                           \
    FIELD(EMAIL_UNSUBSCRIBE_REASON, "unsubscribe_reason", TEXT(0),                                 \
          "Why the contact wants no e-mails")

#define CONTACT_AMO_FIELDS(FIELD)                                                                  \
    FIELD(AMO_ADD_ON_IDS, "add_on_ids", TEXT(500),                                                 \
          "Add-ons of the user, their ids between commas")                                         \
    FIELD(AMO_DISPLAY_NAME, "display_name", TEXT(255), "Name that the user shows")                 \
    FIELD(AMO_EMAIL_OPT_IN, "email_opt_in", FLAG(false),                                           \
          "Whether the user wants e-mails about add-ons")                                          \
    FIELD(AMO_LANGUAGE, "language", TEXT(5), "Language of the user")                               \
    FIELD(AMO_LAST_LOGIN, "last_login", DATE, "Day of the user's last login")                      \
    FIELD(AMO_LOCATION, "location", TEXT(255), "Where the user lives")                             \
    FIELD(AMO_PROFILE_URL, "profile_url", TEXT(40), "Address of the user's page")                  \
    FIELD(AMO_USER, "user", FLAG(false), "Whether the contact is a user of addons.mozilla.org")    \
    FIELD(AMO_USER_ID, "user_id", TEXT(40), "Id of the user")                                      \
    FIELD(AMO_USERNAME, "username", TEXT(100), "Name by which the user logs in")

#define CONTACT_FXA_FIELDS(FIELD)                                                                  \
    FIELD(FXA_FXA_ID, "fxa_id", TEXT(50), "Id of the account, of one contact only")                \
    FIELD(FXA_PRIMARY_EMAIL, "primary_email", TEXT(255), "Address of the account")                 \
    FIELD(FXA_CREATED_DATE, "created_date", TEXT(50), "When the account was made")                 \
    FIELD(FXA_LANG, "lang", TEXT(255), "Languages of the account")                                 \
    FIELD(FXA_FIRST_SERVICE, "first_service", TEXT(50),                                            \
          "First service that the account was used for")                                           \
    FIELD(FXA_ACCOUNT_DELETED, "account_deleted", FLAG(false), "Whether the account was deleted")

#define CONTACT_MOFO_FIELDS(FIELD)                                                                 \
    FIELD(MOFO_EMAIL_ID, "mofo_email_id", TEXT(255),                                               \
          "The foundation's id of the address, of one contact only")                               \
    FIELD(MOFO_CONTACT_ID, "mofo_contact_id", TEXT(255), "The foundation's id of the contact")     \
    FIELD(MOFO_RELEVANT, "mofo_relevant", FLAG(false),                                             \
          "Whether the contact is relevant to the foundation")

#define CONTACT_NEWSLETTER_FIELDS(FIELD)                                                           \
    FIELD(NEWSLETTER_NAME, "name", REQUIRED(255), "Slug of the newsletter")                        \
    FIELD(NEWSLETTER_SUBSCRIBED, "subscribed", FLAG(true), "Whether the contact gets it")          \
    FIELD(NEWSLETTER_FORMAT, "format", CHOICE(newsletter_formats, "H"),                            \
          "Form of the newsletter: H (HTML) or T (text)")                                          \
    FIELD(NEWSLETTER_LANG, "lang", LANGUAGE(2), "Language of the newsletter")                      \
    FIELD(NEWSLETTER_SOURCE, "source", URL, "Page on which the contact subscribed")                \
    FIELD(NEWSLETTER_UNSUB_REASON, "unsub_reason", TEXT(0), "Why the contact left it")

#define CONTACT_WAITLIST_FIELDS(FIELD)                                                             \
    FIELD(WAITLIST_NAME, "name", REQUIRED(255), "Name of the waitlist")                            \
    FIELD(WAITLIST_SOURCE, "source", URL, "Page on which the contact joined")                      \
    FIELD(WAITLIST_FIELDS, "fields", OBJECT, "What the JSON Schema of the waitlist asks for")      \
    FIELD(WAITLIST_SUBSCRIBED, "subscribed", FLAG(true), "Whether the contact is on it")           \
    FIELD(WAITLIST_UNSUB_REASON, "unsub_reason", TEXT(0), "Why the contact left it")

/* What these may contain is limited by the JSON Schemas of the waitlists. */

#define CONTACT_VPN_WAITLIST_FIELDS(FIELD)                                                         \
    FIELD(VPN_GEO, "geo", TEXT(0), "Country of the contact")                                       \
    FIELD(VPN_PLATFORM, "platform", TEXT(0), "Platforms that the contact waits for")

#define CONTACT_RELAY_WAITLIST_FIELDS(FIELD)                                                       \
    FIELD(RELAY_GEO, "geo", TEXT(0), "Country of the contact")

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
          "A newsletter that the contact gets or has left", STORED("newsletters", true), LIST)     \
    GROUP(GROUP_WAITLISTS, "waitlists", waitlist_fields,                                           \
          "A waitlist that the contact is on or has left", STORED("waitlists", true), LIST)        \
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
