/*
 * event_log.h: what libevent has to say goes to the log. rest/main.c and agent/main.c set it up.
 */
#ifndef CTMS_COMMON_EVENT_LOG_H
#define CTMS_COMMON_EVENT_LOG_H

/*
 * From now on libevent's warnings are lines of our log, instead of text on standard error: at most
 * one a minute, which tells how many were left out before it. Call it after log_open().
 */
void event_log_open(void);

#endif
