/*
 * base/message.h: formats a message of any length, for functions that take the same arguments as
 * printf.
 */
#ifndef CTMS_MESSAGE_H
#define CTMS_MESSAGE_H

#include "postgres.h"

#include <stdarg.h>

/* A new string in the current memory context. */
extern char *message_vformat(const char *format, va_list arguments) pg_attribute_printf(1, 0);

#endif
