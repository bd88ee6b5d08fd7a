/* version.h: the numbers of this release. scripts/set-version writes them. */
#ifndef CTMS_COMMON_VERSION_H
#define CTMS_COMMON_VERSION_H

/* Of programs and packages. */
#define CTMS_VERSION "1.0"
/* Of the SQL objects that they were made with: a release of code alone changes none. */
#define CTMS_OBJECTS_VERSION "1.0"

#endif
