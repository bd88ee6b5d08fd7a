/*
 * acoustic/answer.c: see acoustic/answer.h.
 *
 * It uses libxml2's SAX interface, so that no tree is built for 100 MB of nonsense. Reading stops
 * at a document type: answers have none, and it could define entities.
 */
#include "acoustic/answer.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include "common/buf.h"
#include "common/utf8.h"

enum { FAILURES_MAX = 10000, TEXT_MAX_LENGTH = 1024 };

/* Where the text that is being read belongs. */
typedef enum text_target {
    TEXT_NONE,
    TEXT_SUCCESS,
    TEXT_FAULT,
    TEXT_ERRORID,
    TEXT_CLASS,
    TEXT_EMAIL_ID
} text_target;

typedef struct reader {
    acoustic_answer *answer;
    xmlParserCtxtPtr parser;
    int depth;
    bool is_envelope; /* the root element is the expected one */
    bool is_refused;
    bool has_success;
    bool is_success;
    bool has_fault;
    bool in_failure;
    text_target target;
    char text[TEXT_MAX_LENGTH + 1];
    size_t length;
} reader;

static bool
is(const xmlChar *name, const char *expected)
{
    return strcmp((const char *)name, expected) == 0;
}

static void
begin_text(reader *r, text_target target)
{
    r->target = target;
    r->length = 0;
}

/* Copies the text: trimmed, on one line, and cut at the end of a character. */
static void
copy_line(char *to, size_t size, const char *from)
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
begin_failure(reader *r, const xmlChar **attributes)
{
    acoustic_answer *answer = r->answer;
    acoustic_failure *failure;

    if (answer->failure_count == FAILURES_MAX) {
        r->is_refused = true;
        xmlStopParser(r->parser);
        return;
    }
    /* The capacity grows in powers of two. */
    if ((answer->failure_count & (answer->failure_count - 1)) == 0)
        answer->failures =
            xrealloc(answer->failures, (answer->failure_count ? answer->failure_count * 2 : 1) *
                                           sizeof(*answer->failures));
    failure = &answer->failures[answer->failure_count++];
    *failure = (acoustic_failure){.is_transient = false};
    for (; attributes != NULL && attributes[0] != NULL; attributes += 2) {
        const char *value = attributes[1] ? (const char *)attributes[1] : "";

        if (is(attributes[0], "failure_type"))
            failure->is_transient = strcasecmp(value, "transient") == 0;
        else if (is(attributes[0], "description"))
            copy_line(failure->description, sizeof(failure->description), value);
    }
    r->in_failure = true;
}

static bool
names_email_id(const xmlChar **attributes)
{
    for (; attributes != NULL && attributes[0] != NULL; attributes += 2) {
        if (is(attributes[0], "name") && attributes[1] != NULL)
            return strcasecmp((const char *)attributes[1], "email_id") == 0;
    }
    return false;
}

static void
on_start(void *arg, const xmlChar *name, const xmlChar **attributes)
{
    reader *r = arg;

    r->target = TEXT_NONE;
    if (r->depth++ == 0)
        r->is_envelope = is(name, "Envelope");
    else if (is(name, "SUCCESS"))
        begin_text(r, TEXT_SUCCESS);
    else if (is(name, "Fault"))
        r->has_fault = true;
    else if (is(name, "FaultString"))
        begin_text(r, TEXT_FAULT);
    else if (is(name, "errorid"))
        begin_text(r, TEXT_ERRORID);
    else if (is(name, "class"))
        begin_text(r, TEXT_CLASS);
    else if (is(name, "FAILURE"))
        begin_failure(r, attributes);
    else if (r->in_failure && (is(name, "COLUMN") || is(name, "KEY_COLUMN")) &&
             names_email_id(attributes))
        begin_text(r, TEXT_EMAIL_ID);
}

static void
take_text(reader *r)
{
    acoustic_answer *answer = r->answer;
    char line[TEXT_MAX_LENGTH + 1];

    r->text[r->length] = '\0';
    copy_line(line, sizeof(line), r->text);
    switch (r->target) {
    case TEXT_SUCCESS:
        r->has_success = true;
        r->is_success = strcasecmp(line, "true") == 0;
        break;
    case TEXT_FAULT: copy_line(answer->text, sizeof(answer->text), line); break;
    case TEXT_CLASS: copy_line(answer->class, sizeof(answer->class), line); break;
    case TEXT_ERRORID: {
        char *end;
        long number = strtol(line, &end, 10);

        if (end != line && *end == '\0' && number >= 0 && number < INT_MAX)
            answer->errorid = number;
        break;
    }
    case TEXT_EMAIL_ID: {
        acoustic_failure *failure = &answer->failures[answer->failure_count - 1];

        copy_line(failure->email_id, sizeof(failure->email_id), line);
        break;
    }
    case TEXT_NONE: break;
    }
    r->target = TEXT_NONE;
}

static void
on_end(void *arg, const xmlChar *name)
{
    reader *r = arg;

    take_text(r);
    r->depth--;
    if (is(name, "FAILURE"))
        r->in_failure = false;
}

static void
on_text(void *arg, const xmlChar *text, int length)
{
    reader *r = arg;
    size_t room = TEXT_MAX_LENGTH - r->length;
    size_t taken = (size_t)length < room ? (size_t)length : room;

    if (r->target == TEXT_NONE)
        return;
    memcpy(r->text + r->length, text, taken);
    r->length += taken;
}

static void
on_document_type(void *arg, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    reader *r = arg;

    (void)name;
    (void)external;
    (void)system;
    r->is_refused = true;
    xmlStopParser(r->parser);
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

void
acoustic_answer_read(acoustic_answer *answer, const char *body, size_t length)
{
    reader r = {.answer = answer};

    *answer = (acoustic_answer){.result = ACOUSTIC_UNREADABLE, .errorid = -1};
    /* Answers may begin with blanks, but XML does not allow them before a declaration. */
    while (length > 0 && strchr(" \t\r\n", *body) != NULL && *body != '\0') {
        body++;
        length--;
    }
    if (length == 0 || length > INT_MAX / 2)
        return;
    if (!parse(&r, body, length) || r.is_refused || !r.is_envelope ||
        (!r.has_success && !r.has_fault)) {
        acoustic_answer_free(answer);
        return;
    }
    answer->result = r.is_success && !r.has_fault ? ACOUSTIC_SUCCESS : ACOUSTIC_FAULT;
}

void
acoustic_answer_free(acoustic_answer *answer)
{
    free(answer->failures);
    *answer = (acoustic_answer){.result = ACOUSTIC_UNREADABLE, .errorid = -1};
}
