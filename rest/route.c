/* route.c: reads the path of a route; see route.h. */
#include "rest/route.h"

#include <stdio.h>
#include <string.h>

void
route_name_parameter(const route *found, char *name, size_t size)
{
    const char *open = strchr(found->path, '{');

    snprintf(name, size, "%s", open ? open + 1 : "");
    name[strcspn(name, "}")] = '\0';
}

bool
route_is_same_path(const char *a, const char *b)
{
    size_t fixed = strcspn(a, "{");

    return fixed == strcspn(b, "{") && a[fixed] == b[fixed] && strncmp(a, b, fixed) == 0;
}
