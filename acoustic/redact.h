/*
 * acoustic/redact.h: takes personal data out of what Acoustic says, before it is kept or logged.
 * agent/contact.c and bulk/refused.c call it.
 */
#ifndef CTMS_ACOUSTIC_REDACT_H
#define CTMS_ACOUSTIC_REDACT_H

/* Overwrites every occurrence of the value. Values of one or two characters are left: they are part
 * of many words, and they reveal little. */
void acoustic_redact_value(char *text, const char *value);
/* Overwrites words with an @: they may be addresses of this contact or of another. */
void acoustic_redact_addresses(char *text);

#endif
