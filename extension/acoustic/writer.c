/*
 * acoustic/writer.c: writes rows of texts, as JSON objects or as records of a CSV file.
 *
 * Nearly all values can be copied as they are, so each is looked at first. In all encodings of a
 * server, the bytes that matter here are no part of other characters.
 */
#include "extension/base/compat.h"

#include "utils/json.h"

#include "extension/acoustic/writer.h"

void
acoustic_writer_init(AcousticWriter *writer, AcousticForm form)
{
    writer->form = form;
    initStringInfo(&writer->text);
}

void
acoustic_writer_start(AcousticWriter *writer)
{
    resetStringInfo(&writer->text);
    if (writer->form == ACOUSTIC_JSON)
        appendStringInfoChar(&writer->text, '{');
    writer->is_first = true;
}

void
acoustic_writer_end(AcousticWriter *writer)
{
    appendStringInfoChar(&writer->text, writer->form == ACOUSTIC_JSON ? '}' : '\n');
}

char *
acoustic_writer_key(const char *name)
{
    StringInfoData key;

    initStringInfo(&key);
    escape_json(&key, name);
    appendStringInfoChar(&key, ':');
    return key.data;
}

/* ---- JSON --------------------------------------------------------------------------- */

static bool
is_plain_json(const AcousticText *value)
{
    for (int i = 0; i < value->length; i++) {
        unsigned char c = value->data[i];

        if (c < ' ' || c == '"' || c == '\\')
            return false;
    }
    return true;
}

static void
put_json(StringInfo text, const char *key, const AcousticText *value)
{
    appendBinaryStringInfo(text, key, strlen(key));
    if (!is_plain_json(value)) {
        escape_json(text, pnstrdup(value->data, value->length));
        return;
    }
    appendStringInfoCharMacro(text, '"');
    appendBinaryStringInfo(text, value->data, value->length);
    appendStringInfoCharMacro(text, '"');
}

/* ---- CSV ---------------------------------------------------------------------------- */

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Blanks at the ends are quoted because some readers take them away. */
static bool
is_plain_csv(const AcousticText *value)
{
    if (value->length == 0)
        return true;
    if (is_blank(value->data[0]) || is_blank(value->data[value->length - 1]))
        return false;
    for (int i = 0; i < value->length; i++) {
        char c = value->data[i];

        if (c == '"' || c == ',' || c == '\r' || c == '\n')
            return false;
    }
    return true;
}

static void
put_csv(StringInfo text, const AcousticText *value)
{
    if (is_plain_csv(value)) {
        appendBinaryStringInfo(text, value->data, value->length);
        return;
    }
    appendStringInfoCharMacro(text, '"');
    for (int i = 0; i < value->length; i++) {
        if (value->data[i] == '"')
            appendStringInfoCharMacro(text, '"');
        appendStringInfoCharMacro(text, value->data[i]);
    }
    appendStringInfoCharMacro(text, '"');
}

void
acoustic_writer_put(AcousticWriter *writer, const char *key, const AcousticText *value)
{
    if (!writer->is_first)
        appendStringInfoCharMacro(&writer->text, ',');
    writer->is_first = false;
    if (writer->form == ACOUSTIC_JSON)
        put_json(&writer->text, key, value);
    else
        put_csv(&writer->text, value);
}
