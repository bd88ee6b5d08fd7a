/* catalog.c: see catalog.h. */
#include "agent/catalog.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "acoustic/xml.h"

struct catalog {
    json_t *newsletters; /* object: slug to column; null: not known */
    json_t *fields;      /* array, of the main table; null: not known */
};

catalog *
catalog_new(void)
{
    return xcalloc(1, sizeof(catalog));
}

static void
forget(catalog *known)
{
    json_decref(known->newsletters);
    json_decref(known->fields);
    *known = (catalog){.newsletters = NULL};
}

void
catalog_free(catalog *known)
{
    if (known == NULL)
        return;
    forget(known);
    free(known);
}

void
catalog_read(catalog *known, const char *json)
{
    json_t *all = json_loads(json, 0, NULL);
    json_t *newsletters = json_object_get(all, "newsletter_mappings");
    json_t *fields = json_object_get(json_object_get(all, "sync_fields"), "main");

    if (json_is_object(newsletters)) {
        forget(known);
        known->newsletters = json_incref(newsletters);
        known->fields = json_is_array(fields) ? json_incref(fields) : json_array();
    }
    json_decref(all);
}

static int
append_name(buf *names, int count, const char *name)
{
    buf_append_char(names, count > 0 ? ',' : '[');
    buf_append_json_string(names, name);
    return count + 1;
}

int
catalog_append_skipped_newsletters(const catalog *known, const contact *c, buf *names)
{
    const char *name = c->newsletters.data;
    const char *end = name + c->newsletters.length;
    int count = 0;

    for (; known->newsletters != NULL && name < end; name += strlen(name) + 1) {
        if (json_object_get(known->newsletters, name) == NULL)
            count = append_name(names, count, name);
    }
    buf_append_string(names, count > 0 ? "]" : "[]");
    return count;
}

int
catalog_append_skipped_fields(const catalog *known, const contact *c, buf *names)
{
    int count = 0;
    size_t i;
    json_t *field;

    json_array_foreach(known->fields, i, field)
    {
        const char *name = json_string_value(field);

        if (name != NULL && !acoustic_xml_has_main_column(&c->columns, name))
            count = append_name(names, count, name);
    }
    buf_append_string(names, count > 0 ? "]" : "[]");
    return count;
}
