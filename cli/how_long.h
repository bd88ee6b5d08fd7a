/* how_long.h: about how long it takes to send contacts to Acoustic, in words. Commands that enqueue
 * many contacts say it before they ask. */
#ifndef CTMS_CLI_HOW_LONG_H
#define CTMS_CLI_HOW_LONG_H

#include "common/buf.h"

/* What Acoustic takes at most while nothing is measured: ten requests at a time of 100 ms each, and
 * a contact is at least one of them. Contacts a second. */
#define HOW_LONG_ASSUMED_RATE 100.0
#define HOW_LONG_ASSUMED_TEXT "10 requests of 100 ms at a time, one a contact"

/* "about 3 hours" */
void how_long_append(buf *text, double seconds);

#endif
