/*
 * json_regex_property.c: Unicode properties.
 */
#include "compat.h"

#include "json_regex_internal.h"

RegexSet *
regex_set_of_property(const char *name, const char *value)
{
    return NULL;
}
