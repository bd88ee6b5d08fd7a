/*
 * acoustic/reader.c: see acoustic/reader.h.
 *
 * It uses libxml2's SAX interface, so that no tree is built for 100 MB of nonsense. Reading stops
 * at a document type: answers have none, and it could define entities.
 */
#include "acoustic/reader.h"

#include <limits.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include "common/utf8.h"

typedef struct reader {
    const acoustic_reader_events *events;
    void *arg;
    xmlParserCtxtPtr parser;
    bool is_inside; /* the root element has begun */
    bool is_envelope;
    bool is_refused;
    char text[ACOUSTIC_READER_TEXT_MAX + 1];
    size_t length;
} reader;

void
acoustic_reader_copy(char *to, size_t size, const char *from)
{
    size_t length = 0;

    while (*from != '\0' && length + 1 < size) {
        unsigned char c = (unsigned char)*from++;

        if (c <= ' ' || c == 0x7F) {
            if (length > 0 && to[length - 1] != ' ')
                to[length++] = ' ';
        } else {
            to[length++] = (char)c;
        }
    }
    while (length > 0 && to[length - 1] == ' ')
        length--;
    to[utf8_valid_prefix(to, length)] = '\0';
}

static void
refuse(reader *r)
{
    r->is_refused = true;
    xmlStopParser(r->parser);
}

static void
on_start(void *arg, const xmlChar *name, const xmlChar **attributes)
{
    reader *r = arg;

    r->length = 0;
    if (!r->is_inside)
        r->is_envelope = strcmp((const char *)name, "Envelope") == 0;
    r->is_inside = true;
    if (!r->events->start(r->arg, (const char *)name, (const char **)attributes))
        refuse(r);
}

static void
on_end(void *arg, const xmlChar *name)
{
    reader *r = arg;
    char line[ACOUSTIC_READER_TEXT_MAX + 1];

    r->text[r->length] = '\0';
    acoustic_reader_copy(line, sizeof(line), r->text);
    r->length = 0;
    r->events->end(r->arg, (const char *)name, line);
}

static void
on_text(void *arg, const xmlChar *text, int length)
{
    reader *r = arg;
    size_t room = ACOUSTIC_READER_TEXT_MAX - r->length;
    size_t taken = (size_t)length < room ? (size_t)length : room;

    memcpy(r->text + r->length, text, taken);
    r->length += taken;
}

static void
on_document_type(void *arg, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    (void)name;
    (void)external;
    (void)system;
    refuse(arg);
}

/* True when the document was read completely. */
static bool
parse(reader *r, const char *body, size_t length)
{
    xmlSAXHandler handler = {.startElement = on_start,
                             .endElement = on_end,
                             .characters = on_text,
                             .cdataBlock = on_text,
                             .internalSubset = on_document_type};
    xmlSAXHandlerPtr own;
    bool is_well_formed;

    r->parser = xmlCreateMemoryParserCtxt(body, (int)length);
    if (r->parser == NULL)
        return false;
    own = r->parser->sax;
    r->parser->sax = &handler;
    r->parser->userData = r;
    xmlCtxtUseOptions(r->parser, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlParseDocument(r->parser);
    is_well_formed = r->parser->wellFormed;
    r->parser->sax = own;
    xmlFreeDoc(r->parser->myDoc);
    r->parser->myDoc = NULL;
    xmlFreeParserCtxt(r->parser);
    return is_well_formed;
}

bool
acoustic_reader_read(const acoustic_reader_events *events, void *arg, const char *body,
                     size_t length)
{
    reader r = {.events = events, .arg = arg};

    /* Answers may begin with blanks, but XML does not allow them before a declaration. */
    while (length > 0 && strchr(" \t\r\n", *body) != NULL && *body != '\0') {
        body++;
        length--;
    }
    if (length == 0 || length > INT_MAX / 2)
        return false;
    return parse(&r, body, length) && !r.is_refused && r.is_envelope;
}
