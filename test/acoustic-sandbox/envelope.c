/*
 * envelope.c: reads the XML of a request with libxml2's SAX interface; see envelope.h.
 */
#include "test/acoustic-sandbox/envelope.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libxml/parser.h>

#include "common/buf.h"

struct reader {
    struct envelope *envelope;
    int depth;
    bool is_broken;
    bool in_pair; /* inside COLUMN, KEY_COLUMN or SYNC_FIELD */
    bool in_sync_field;
    char *name; /* of the pair that is open */
    buf text;
    bool captures;
};

/* An element with a text, at most once in an operation. */
struct single {
    const char *element;
    size_t offset, size; /* of the text in the envelope */
};
#define SINGLE(element, member)                                                                    \
    {                                                                                              \
        element, offsetof(struct envelope, member), sizeof(((struct envelope *)0)->member)         \
    }

static const struct single singles[] = {
    SINGLE("LIST_ID", table_id),  SINGLE("TABLE_ID", table_id),
    SINGLE("MAP_FILE", map_file), SINGLE("SOURCE_FILE", source_file),
    SINGLE("JOB_ID", job_id),     SINGLE("FILE_ENCODING", encoding)};

static bool
is(const xmlChar *name, const char *expected)
{
    return strcmp((const char *)name, expected) == 0;
}

static const struct single *
find_single(const xmlChar *element)
{
    for (size_t i = 0; i < sizeof(singles) / sizeof(*singles); i++) {
        if (is(element, singles[i].element))
            return &singles[i];
    }
    return NULL;
}

static void
text_clear(struct reader *reader)
{
    buf_reset(&reader->text);
    reader->captures = true;
}

static struct row *
current_row(struct reader *reader)
{
    struct envelope *envelope = reader->envelope;

    if (reader->in_sync_field)
        return &envelope->sync_fields;
    if (envelope->row_count == 0) {
        reader->is_broken = true;
        return &envelope->sync_fields;
    }
    return &envelope->rows[envelope->row_count - 1];
}

static void
add_row(struct envelope *envelope)
{
    if (envelope->row_count == envelope->row_size) {
        envelope->row_size = envelope->row_size ? envelope->row_size * 2 : 1;
        envelope->rows = xrealloc(envelope->rows, envelope->row_size * sizeof(*envelope->rows));
    }
    envelope->rows[envelope->row_count++] = (struct row){0};
}

static void
open_pair(struct reader *reader, const xmlChar *element, const xmlChar **attributes)
{
    reader->in_pair = true;
    reader->in_sync_field = is(element, "SYNC_FIELD");
    free(reader->name);
    reader->name = NULL;
    text_clear(reader);
    for (; attributes != NULL && attributes[0] != NULL; attributes += 2) {
        if (is(attributes[0], "name"))
            reader->name = xstrdup((const char *)attributes[1]);
    }
}

static void
open_operation(struct reader *reader, const xmlChar *element)
{
    struct envelope *envelope = reader->envelope;

    if (envelope->operation[0] != '\0' || strlen((const char *)element) >= 40) {
        reader->is_broken = true;
        return;
    }
    strcpy(envelope->operation, (const char *)element);
    if (is(element, "AddRecipient") || is(element, "RemoveRecipient"))
        add_row(envelope);
}

static void
on_start(void *context, const xmlChar *element, const xmlChar **attributes)
{
    struct reader *reader = context;
    int depth = reader->depth++;

    if (depth == 0)
        reader->is_broken |= !is(element, "Envelope");
    else if (depth == 1)
        reader->is_broken |= !is(element, "Body");
    else if (depth == 2)
        open_operation(reader, element);
    else if (is(element, "COLUMN") || is(element, "KEY_COLUMN") || is(element, "SYNC_FIELD"))
        open_pair(reader, element, attributes);
    else if (is(element, "ROW"))
        add_row(reader->envelope);
    else if (is(element, "VALUE") || is(element, "NAME") || is(element, "UPDATE_IF_FOUND") ||
             is(element, "CREATED_FROM") || find_single(element) != NULL)
        text_clear(reader);
    else if (!is(element, "ROWS") && !is(element, "SYNC_FIELDS") && !is(element, "ALLOW_HTML") &&
             !is(element, "SEND_AUTOREPLY") && !is(element, "VISITOR_KEY"))
        reader->is_broken = true;
}

static void
close_pair(struct reader *reader)
{
    if (reader->name == NULL)
        reader->is_broken = true;
    else
        row_append(current_row(reader), reader->name, buf_text(&reader->text));
    reader->in_pair = reader->in_sync_field = false;
}

/* Keeps the text of an element that stands alone in its operation. */
static void
keep_text(struct reader *reader, const struct single *single)
{
    const char *text = buf_text(&reader->text);

    if (strlen(text) >= single->size)
        reader->is_broken = true;
    else
        strcpy((char *)reader->envelope + single->offset, text);
    reader->captures = false;
}

static void
on_end(void *context, const xmlChar *element)
{
    struct reader *reader = context;
    const struct single *single = find_single(element);

    reader->depth--;
    if (is(element, "NAME") && reader->in_pair) {
        free(reader->name);
        reader->name = xstrdup(buf_text(&reader->text));
        buf_reset(&reader->text); /* a COLUMN without VALUE has an empty one */
        reader->captures = false;
    } else if (is(element, "COLUMN") || is(element, "KEY_COLUMN") || is(element, "SYNC_FIELD")) {
        close_pair(reader);
    } else if (single != NULL) {
        keep_text(reader, single);
    } else if (is(element, "UPDATE_IF_FOUND")) {
        reader->envelope->update_if_found = strcasecmp(buf_text(&reader->text), "true") == 0;
    } else if (is(element, "CREATED_FROM")) {
        reader->envelope->has_created_from = *buf_text(&reader->text) != '\0';
    } else if (is(element, "VALUE")) {
        reader->captures = false;
    }
}

static void
on_characters(void *context, const xmlChar *text, int len)
{
    struct reader *reader = context;

    if (reader->captures)
        buf_append(&reader->text, text, (size_t)len);
}

/* True when the document was read completely. */
static bool
parse(struct reader *reader, const char *xml, size_t len)
{
    xmlSAXHandler handler = {.startElement = on_start,
                             .endElement = on_end,
                             .characters = on_characters,
                             .cdataBlock = on_characters};
    xmlParserCtxtPtr parser = xmlCreatePushParserCtxt(&handler, reader, NULL, 0, NULL);
    bool is_read = parser != NULL && xmlParseChunk(parser, xml, (int)len, 1) == XML_ERR_OK;

    xmlFreeParserCtxt(parser);
    return is_read;
}

void
envelope_read(struct envelope *envelope, const char *xml, size_t len)
{
    struct reader reader = {.envelope = envelope};

    *envelope = (struct envelope){0};
    envelope->is_valid = len > 0 && len < 64 * 1024 * 1024 && parse(&reader, xml, len) &&
                         !reader.is_broken && envelope->operation[0] != '\0';
    free(reader.name);
    buf_free(&reader.text);
}

void
envelope_free(struct envelope *envelope)
{
    for (size_t i = 0; i < envelope->row_count; i++)
        row_free(&envelope->rows[i]);
    free(envelope->rows);
    row_free(&envelope->sync_fields);
    *envelope = (struct envelope){0};
}
