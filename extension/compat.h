/*
 * compat.h: every difference between PostgreSQL versions that ctms cares about.
 *
 * The code is written against PostgreSQL 15; what another version names or shapes
 * differently is mapped here and nowhere else.
 */
#ifndef CTMS_COMPAT_H
#define CTMS_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 130000
#error "ctms needs PostgreSQL 13 or newer"
#endif

/* We build with hidden visibility; before 16 the server does not mark what must be seen. */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif

#endif
