/*
 * queue/number.h: the numbers of queue rows and of their generations.
 */
#ifndef CTMS_QUEUE_NUMBER_H
#define CTMS_QUEUE_NUMBER_H

#include "postgres.h"

/*
 * A positive number that never comes again: 63 random bits. Numbers of transactions would repeat
 * where a row changes twice, or after a restore; a sequence would show in the session's lastval().
 */
extern int64 queue_new_number(void);

#endif
