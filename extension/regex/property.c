/*
 * regex/property.c: Unicode properties as sets.
 */
#include "extension/base/compat.h"

#include "extension/base/utf8.h"
#include "extension/regex/internal.h"
#include "extension/regex/property.h"

static uint32
next_point(const uint8 **at, uint32 last)
{
    uint32 delta = 0;

    while (**at & 0x80)
        delta = (delta << 7) | (*(*at)++ & 0x7F);
    delta = (delta << 7) | *(*at)++;
    return last + delta;
}

static void
add_members(RegexSet *set, const RegexProperty *property)
{
    const uint8 *at = regex_property_data + property->start;
    const uint8 *end = at + property->length;
    uint32 point = 0;

    while (at < end) {
        uint32 low = next_point(&at, point);

        point = at < end ? next_point(&at, low) : MAX_CODE_POINT + 1;
        regex_set_add(set, low, point - 1);
    }
}

static bool
is_named(const RegexProperty *property, const char *name)
{
    return strcmp(property->name, name) == 0 || (*name && strcmp(property->alias, name) == 0);
}

/* The short names of the categories that a group such as "L" or "Letter" stands for. */
static const char *
category_group(const char *name)
{
    static const struct {
        const char *name;
        const char *alias;
        const char *members;
    } groups[] = {
        {"Other", "C", "Cc Cf Cn Co Cs"},
        {"cntrl", "Cc", "Cc"},
        {"digit", "Nd", "Nd"},
        {"Letter", "L", "Ll Lm Lo Lt Lu"},
        {"Cased_Letter", "LC", "Ll Lt Lu"},
        {"Mark", "M", "Mc Me Mn"},
        {"Combining_Mark", "M", "Mc Me Mn"},
        {"Number", "N", "Nd Nl No"},
        {"Punctuation", "P", "Pc Pd Pe Pf Pi Po Ps"},
        {"punct", "P", "Pc Pd Pe Pf Pi Po Ps"},
        {"Symbol", "S", "Sc Sk Sm So"},
        {"Separator", "Z", "Zl Zp Zs"},
    };

    for (int i = 0; i < (int)lengthof(groups); i++)
        if (strcmp(groups[i].name, name) == 0 || strcmp(groups[i].alias, name) == 0)
            return groups[i].members;
    return NULL;
}

static bool
add_property(RegexSet *set, RegexPropertyKind kind, const char *name)
{
    for (int i = 0; i < n_regex_properties; i++)
        if (regex_properties[i].kind == kind && is_named(&regex_properties[i], name)) {
            add_members(set, &regex_properties[i]);
            return true;
        }
    return false;
}

static bool
add_category(RegexSet *set, const char *name)
{
    const char *members = category_group(name);

    if (!members)
        return add_property(set, PROPERTY_CATEGORY, name);
    for (; *members; members += members[2] ? 3 : 2) {
        char member[3] = {members[0], members[1], '\0'};

        add_property(set, PROPERTY_CATEGORY, member);
    }
    return true;
}

RegexSet *
regex_set_of_property(const char *name, const char *value)
{
    RegexSet *set = regex_set_new();
    bool found;

    if (!value)
        found = add_category(set, name) || add_property(set, PROPERTY_BINARY, name);
    else if (strcmp(name, "General_Category") == 0 || strcmp(name, "gc") == 0)
        found = add_category(set, value);
    else if (strcmp(name, "Script") == 0 || strcmp(name, "sc") == 0)
        found = add_property(set, PROPERTY_SCRIPT, value);
    else if (strcmp(name, "Script_Extensions") == 0 || strcmp(name, "scx") == 0)
        found = add_property(set, PROPERTY_SCRIPT_EXTENSIONS, value);
    else
        found = false;
    regex_set_normalize(set);
    return found ? set : NULL;
}

bool
regex_property_has(const char *private_name, uint32 code_point)
{
    for (int i = 0; i < n_regex_properties; i++) {
        const uint8 *at = regex_property_data + regex_properties[i].start;
        const uint8 *end = at + regex_properties[i].length;
        uint32 point = 0;
        bool is_member = false;

        if (regex_properties[i].kind != PROPERTY_PRIVATE ||
            strcmp(regex_properties[i].name, private_name) != 0)
            continue;
        while (at < end) {
            point = next_point(&at, point);
            if (point > code_point)
                break;
            is_member = !is_member;
        }
        return is_member;
    }
    return false;
}
