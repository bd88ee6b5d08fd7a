/*
 * regex/property.h: Unicode properties as data.
 *
 * A property is stored as a list of code points at which membership changes. Its members are the
 * code points from each odd entry (the first, the third, …) up to but without the entry after it.
 * Entries are stored as differences, each in base 128, with the high bit set on all digits but
 * the last.
 */
#ifndef CTMS_REGEX_PROPERTY_H
#define CTMS_REGEX_PROPERTY_H

#include "extension/base/compat.h"

typedef enum RegexPropertyKind {
    PROPERTY_BINARY,
    PROPERTY_CATEGORY,
    PROPERTY_SCRIPT,
    PROPERTY_SCRIPT_EXTENSIONS,
    PROPERTY_PRIVATE /* not for patterns */
} RegexPropertyKind;

typedef struct RegexProperty {
    const char *name;
    const char *alias; /* "" for none */
    RegexPropertyKind kind;
    int start; /* in regex_property_data */
    int length;
} RegexProperty;

extern const RegexProperty regex_properties[];
extern const int n_regex_properties;
extern const uint8 regex_property_data[];

/* Whether a code point has a private property. The name must not be NULL. */
extern bool regex_property_has(const char *private_name, uint32 code_point);

#endif
