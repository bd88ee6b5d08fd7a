/*
 * json_schema/sql/text.c: turns JSON text into the layout of jsonb, even text that jsonb itself
 * rejects.
 */
#include "extension/base/compat.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "extension/base/hex.h"
#include "extension/base/utf8.h"
#include "extension/json_schema/sql/text.h"

typedef struct Reader {
    const char *at;
    const char *end;
    JsonbParseState *state;
    JsonbValue *result;
} Reader;

static void read_value(Reader *reader, JsonbIteratorToken token);

static void
refuse(void)
{
    ereport(ERROR, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("invalid JSON text"));
}

static char
next_token(Reader *reader)
{
    while (reader->at < reader->end && strchr(" \t\n\r", *reader->at))
        reader->at++;
    if (reader->at >= reader->end)
        refuse();
    return *reader->at;
}

static void
expect(Reader *reader, char c)
{
    if (next_token(reader) != c)
        refuse();
    reader->at++;
}

static uint32
read_hex(Reader *reader)
{
    uint32 code = 0;

    if (reader->end - reader->at < 4)
        refuse();
    for (int i = 0; i < 4; i++)
        code = code * 16 + hex_value(*reader->at++);
    return code;
}

static void
read_unicode_escape(Reader *reader, StringInfo text)
{
    uint32 code = read_hex(reader);

    if (is_utf16_surrogate_first(code) && reader->end - reader->at >= 6 && reader->at[0] == '\\' &&
        reader->at[1] == 'u') {
        uint32 low;

        reader->at += 2;
        low = read_hex(reader);
        if (!is_utf16_surrogate_second(low))
            refuse();
        code = surrogate_pair_to_codepoint(code, low);
    } else if (is_utf16_surrogate_first(code) || is_utf16_surrogate_second(code)) {
        refuse();
    }
    utf8_append_to_server(text, code);
}

static void
read_escape(Reader *reader, StringInfo text)
{
    static const char letters[] = "bfnrt";
    static const char meanings[] = "\b\f\n\r\t";
    char c = *reader->at++;
    const char *letter = strchr(letters, c);

    if (c == 'u')
        read_unicode_escape(reader, text);
    else
        appendStringInfoChar(text, letter && c ? meanings[letter - letters] : c);
}

static void
read_string(Reader *reader, JsonbValue *value)
{
    StringInfoData text;

    initStringInfo(&text);
    expect(reader, '"');
    while (reader->at < reader->end && *reader->at != '"') {
        if (*reader->at == '\\' && reader->at + 1 < reader->end) {
            reader->at++;
            read_escape(reader, &text);
        } else {
            appendStringInfoChar(&text, *reader->at++);
        }
    }
    expect(reader, '"');
    value->type = jbvString;
    value->val.string.val = text.data;
    value->val.string.len = text.len;
}

static void
read_number(Reader *reader, JsonbValue *value)
{
    const char *start = reader->at;
    char *text;

    while (reader->at < reader->end && strchr("+-.eE0123456789", *reader->at))
        reader->at++;
    text = pnstrdup(start, reader->at - start);
    value->type = jbvNumeric;
    value->val.numeric = DatumGetNumeric(DirectFunctionCall3(
        numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

static void
read_word(Reader *reader, JsonbValue *value)
{
    static const struct {
        const char *word;
        enum jbvType type;
        bool boolean;
    } words[] = {{"null", jbvNull, false}, {"true", jbvBool, true}, {"false", jbvBool, false}};

    for (int i = 0; i < (int)lengthof(words); i++) {
        size_t length = strlen(words[i].word);

        if ((size_t)(reader->end - reader->at) >= length &&
            strncmp(reader->at, words[i].word, length) == 0) {
            reader->at += length;
            value->type = words[i].type;
            value->val.boolean = words[i].boolean;
            return;
        }
    }
    refuse();
}

static void
read_members(Reader *reader)
{
    reader->at++;
    pushJsonbValue(&reader->state, WJB_BEGIN_OBJECT, NULL);
    while (next_token(reader) != '}') {
        JsonbValue key;

        read_string(reader, &key);
        pushJsonbValue(&reader->state, WJB_KEY, &key);
        expect(reader, ':');
        read_value(reader, WJB_VALUE);
        if (next_token(reader) == ',')
            reader->at++;
    }
    reader->at++;
    reader->result = pushJsonbValue(&reader->state, WJB_END_OBJECT, NULL);
}

static void
read_items(Reader *reader)
{
    reader->at++;
    pushJsonbValue(&reader->state, WJB_BEGIN_ARRAY, NULL);
    while (next_token(reader) != ']') {
        read_value(reader, WJB_ELEM);
        if (next_token(reader) == ',')
            reader->at++;
    }
    reader->at++;
    reader->result = pushJsonbValue(&reader->state, WJB_END_ARRAY, NULL);
}

static void
read_scalar(Reader *reader, JsonbValue *value)
{
    char c = next_token(reader);

    if (c == '"')
        read_string(reader, value);
    else if (c == '-' || (c >= '0' && c <= '9'))
        read_number(reader, value);
    else
        read_word(reader, value);
}

/* A value inside a container. */
static void
read_value(Reader *reader, JsonbIteratorToken token)
{
    char c = next_token(reader);
    JsonbValue value;

    check_stack_depth();
    CHECK_FOR_INTERRUPTS();
    if (c == '{') {
        read_members(reader);
    } else if (c == '[') {
        read_items(reader);
    } else {
        read_scalar(reader, &value);
        pushJsonbValue(&reader->state, token, &value);
    }
}

Jsonb *
json_schema_text_parse(const char *text, uint32 length)
{
    Reader reader = {text, text + length, NULL, NULL};
    char c = next_token(&reader);
    JsonbValue scalar;

    if (c == '{' || c == '[') {
        read_value(&reader, WJB_VALUE);
        return JsonbValueToJsonb(reader.result);
    }
    read_scalar(&reader, &scalar);
    return JsonbValueToJsonb(&scalar);
}
