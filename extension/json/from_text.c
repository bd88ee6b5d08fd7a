/*
 * json/from_text.c: turns JSON text into the layout of jsonb, even text that jsonb itself rejects.
 *
 * jsonb_in() builds a tree first, which takes a kilobyte for each small object. Here a first pass
 * over the text counts the entries of each container. Then the second pass knows how much room the
 * entries of a container need before its first value, and can write every value where it belongs.
 */
#include "extension/base/compat.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "extension/base/hex.h"
#include "extension/base/memory_limit.h"
#include "extension/base/utf8.h"
#include "extension/json/from_text.h"
#include "extension/json/value.h"

#define NO_CONTAINER PG_UINT32_MAX

/* A container of the text. They are numbered in the order of their opening brackets. */
typedef struct Container {
    uint32 count; /* of entries */
    uint32 end;   /* behind its closing bracket; while it is open, the number of its parent */
    uint32 next;  /* number of the first container behind it */
} Container;

typedef struct Reader {
    const char *text;
    uint32 length;
    Container *containers;
    uint32 n_containers;
    uint32 allocated;
    StringInfoData out;
    MemoryUse memory;
} Reader;

/* A place in the text, and the number of the next container there. */
typedef struct Place {
    uint32 at;
    uint32 container;
} Place;

typedef struct Member {
    const char *key; /* in the text, or a copy without escapes */
    uint32 key_length;
    Place value;
} Member;

static uint32 write_value(Reader *reader, Place *place);

static void
refuse(void)
{
    ereport(ERROR, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("invalid JSON text"));
}

/* ---- the text ------------------------------------------------------------------------- */

static char
next_token(const Reader *reader, Place *place)
{
    while (place->at < reader->length && json_is_space(reader->text[place->at]))
        place->at++;
    if (place->at >= reader->length)
        refuse();
    return reader->text[place->at];
}

static void
expect(const Reader *reader, Place *place, char c)
{
    if (next_token(reader, place) != c)
        refuse();
    place->at++;
}

/* Behind the closing quote of the string that starts there. */
static uint32
string_end(const Reader *reader, uint32 at)
{
    for (at++; at < reader->length; at++) {
        if (reader->text[at] == '"')
            return at + 1;
        if (reader->text[at] == '\\')
            at++;
    }
    refuse();
    return 0;
}

/* Behind the number or word that starts there. */
static uint32
scalar_end(const Reader *reader, uint32 at)
{
    while (at < reader->length && !json_is_space(reader->text[at]) && reader->text[at] != ',' &&
           reader->text[at] != ']' && reader->text[at] != '}')
        at++;
    return at;
}

static void
skip_value(const Reader *reader, Place *place)
{
    const Container *container;

    switch (next_token(reader, place)) {
    case '[':
    case '{':
        if (place->container >= reader->n_containers)
            refuse();
        container = &reader->containers[place->container];
        place->at = container->end;
        place->container = container->next;
        break;
    case '"': place->at = string_end(reader, place->at); break;
    default: place->at = scalar_end(reader, place->at); break;
    }
}

/* ---- first pass: containers ------------------------------------------------------------ */

static uint32
open_container(Reader *reader, uint32 parent)
{
    Container *container;

    CHECK_FOR_INTERRUPTS();
    if (reader->n_containers == reader->allocated) {
        reader->allocated *= 2;
        memory_use_check(&reader->memory, sizeof(Container) * (Size)reader->allocated);
        reader->containers =
            repalloc_huge(reader->containers, sizeof(Container) * (Size)reader->allocated);
    }
    container = &reader->containers[reader->n_containers];
    container->count = 0;
    container->end = parent;
    return reader->n_containers++;
}

/* Returns the parent. */
static uint32
close_container(Reader *reader, uint32 number, uint32 end, bool is_empty)
{
    Container *container;
    uint32 parent;

    if (number == NO_CONTAINER)
        refuse();
    container = &reader->containers[number];
    parent = container->end;
    container->count += !is_empty;
    container->end = end;
    container->next = reader->n_containers;
    return parent;
}

static void
find_containers(Reader *reader)
{
    uint32 open = NO_CONTAINER;
    char before = 0; /* the last character that is no space */

    for (uint32 at = 0; at < reader->length; at++) {
        char c = reader->text[at];

        if (json_is_space(c))
            continue;
        if (c == '"') {
            at = string_end(reader, at) - 1;
        } else if (c == '[' || c == '{') {
            open = open_container(reader, open);
        } else if (c == ']' || c == '}') {
            open = close_container(reader, open, at + 1, before == '[' || before == '{');
        } else if (c == ',' && open != NO_CONTAINER) {
            CHECK_FOR_INTERRUPTS();
            reader->containers[open].count++;
        }
        before = c;
    }
    if (open != NO_CONTAINER)
        refuse();
}

/* ---- strings ----------------------------------------------------------------------------- */

static uint32
read_hex(const char **at, const char *end)
{
    uint32 code = 0;

    if (end - *at < 4)
        refuse();
    for (int i = 0; i < 4; i++)
        code = code * 16 + hex_value(*(*at)++);
    return code;
}

static void
read_unicode_escape(const char **at, const char *end, StringInfo out)
{
    uint32 code = read_hex(at, end);

    if (is_utf16_surrogate_first(code) && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        uint32 low;

        *at += 2;
        low = read_hex(at, end);
        if (!is_utf16_surrogate_second(low))
            refuse();
        code = surrogate_pair_to_codepoint(code, low);
    } else if (is_utf16_surrogate_first(code) || is_utf16_surrogate_second(code)) {
        refuse();
    }
    utf8_append_to_server(out, code);
}

/* Appends what is between the quotes, with its escapes resolved. */
static void
append_string(StringInfo out, const char *at, const char *end)
{
    static const char letters[] = "bfnrt";
    static const char meanings[] = "\b\f\n\r\t";

    while (at < end) {
        const char *escape = memchr(at, '\\', end - at);
        const char *letter;

        appendBinaryStringInfo(out, at, (int)((escape ? escape : end) - at));
        if (!escape)
            return;
        at = escape + 1;
        if (at == end)
            refuse();
        if (*at == 'u') {
            at++;
            read_unicode_escape(&at, end, out);
            continue;
        }
        letter = *at ? strchr(letters, *at) : NULL;
        appendStringInfoChar(out, letter ? meanings[letter - letters] : *at);
        at++;
    }
}

/* ---- second pass: values ------------------------------------------------------------------ */

/* The entry of something that has been written from there on. */
static uint32
entry_of(const Reader *reader, uint32 type, int start)
{
    uint32 length = (uint32)(reader->out.len - start);

    if (length > JENTRY_OFFLENMASK)
        ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                errmsg("a part of a JSON value is too large"),
                errdetail("It would take more than %u bytes.", JENTRY_OFFLENMASK));
    return type | length;
}

static void
append_zeros(StringInfo out, Size n)
{
    if (n > MaxAllocSize)
        memory_limit_refuse();
    enlargeStringInfo(out, (int)n);
    memset(out->data + out->len, 0, n);
    out->len += (int)n;
}

static void
pad_to_int(StringInfo out)
{
    append_zeros(out, INTALIGN(out->len) - out->len);
}

/*
 * Stores an entry of a container. *total is the length of its entries so far; each 32nd entry holds
 * that instead of its own length.
 */
static void
put_entry(Reader *reader, int entries_at, uint32 index, uint32 entry, uint32 *total)
{
    *total += entry & JENTRY_OFFLENMASK;
    if (*total > JENTRY_OFFLENMASK)
        (void)entry_of(reader, 0, 0); /* everything is larger still */
    if (index % JB_OFFSET_STRIDE == 0)
        entry = (entry & JENTRY_TYPEMASK) | *total | JENTRY_HAS_OFF;
    memcpy(reader->out.data + entries_at + index * sizeof(JEntry), &entry, sizeof(JEntry));
}

/* Starts a container; returns where its entries are. */
static int
put_header(Reader *reader, uint32 header, Size n_entries)
{
    StringInfo out = &reader->out;
    int entries_at;

    pad_to_int(out);
    memory_use_check(&reader->memory, n_entries * sizeof(JEntry));
    appendBinaryStringInfo(out, (const char *)&header, sizeof(header));
    entries_at = out->len;
    append_zeros(out, n_entries * sizeof(JEntry));
    return entries_at;
}

static uint32
write_array(Reader *reader, Place *place)
{
    uint32 count = reader->containers[place->container++].count;
    int start = reader->out.len;
    int entries_at = put_header(reader, count | JB_FARRAY, count);
    uint32 total = 0;

    place->at++;
    for (uint32 i = 0; i < count; i++) {
        if (i > 0)
            expect(reader, place, ',');
        put_entry(reader, entries_at, i, write_value(reader, place), &total);
    }
    expect(reader, place, ']');
    return entry_of(reader, JENTRY_ISCONTAINER, start);
}

static void
read_key(Reader *reader, Place *place, Member *member)
{
    uint32 end;

    if (next_token(reader, place) != '"')
        refuse();
    end = string_end(reader, place->at);
    member->key = reader->text + place->at + 1;
    member->key_length = end - place->at - 2;
    place->at = end;
    if (memchr(member->key, '\\', member->key_length)) {
        StringInfoData plain;

        initStringInfo(&plain);
        append_string(&plain, member->key, member->key + member->key_length);
        member->key = repalloc(plain.data, plain.len + 1);
        member->key_length = plain.len;
    }
}

/* In the order of jsonb, and then by place. */
static int
compare_members(const void *a, const void *b)
{
    const Member *x = a;
    const Member *y = b;
    int order = json_compare_keys(x->key, x->key_length, y->key, y->key_length);

    return order != 0 ? order : (x->value.at > y->value.at) - (x->value.at < y->value.at);
}

static void
free_key(const Reader *reader, Member *member)
{
    if (member->key < reader->text || member->key > reader->text + reader->length)
        pfree((char *)member->key);
}

/* Of members with the same key, the last one counts. Returns how many are left. */
static uint32
sort_members(const Reader *reader, Member *members, uint32 count)
{
    uint32 kept = 0;

    qsort(members, count, sizeof(Member), compare_members);
    for (uint32 i = 0; i < count; i++) {
        if (i + 1 < count && members[i].key_length == members[i + 1].key_length &&
            memcmp(members[i].key, members[i + 1].key, members[i].key_length) == 0)
            free_key(reader, &members[i]);
        else
            members[kept++] = members[i];
    }
    return kept;
}

static Member *
read_members(Reader *reader, Place place, uint32 *count)
{
    uint32 n = reader->containers[place.container++].count;
    Size size = sizeof(Member) * (Size)Max(n, 1);
    Member *members;

    memory_use_check(&reader->memory, size);
    members = MemoryContextAllocHuge(CurrentMemoryContext, size);
    place.at++;
    for (uint32 i = 0; i < n; i++) {
        if (i > 0)
            expect(reader, &place, ',');
        read_key(reader, &place, &members[i]);
        expect(reader, &place, ':');
        members[i].value = place;
        skip_value(reader, &place);
    }
    expect(reader, &place, '}');
    *count = sort_members(reader, members, n);
    return members;
}

static uint32
write_object(Reader *reader, Place *place)
{
    const Container *container = &reader->containers[place->container];
    uint32 count;
    Member *members = read_members(reader, *place, &count);
    int start = reader->out.len;
    int entries_at = put_header(reader, count | JB_FOBJECT, 2 * (Size)count);
    uint32 total = 0;

    for (uint32 i = 0; i < count; i++) {
        appendBinaryStringInfo(&reader->out, members[i].key, (int)members[i].key_length);
        put_entry(reader, entries_at, i, JENTRY_ISSTRING | members[i].key_length, &total);
        free_key(reader, &members[i]);
    }
    for (uint32 i = 0; i < count; i++)
        put_entry(reader, entries_at, count + i, write_value(reader, &members[i].value), &total);
    pfree(members);
    place->at = container->end;
    place->container = container->next;
    return entry_of(reader, JENTRY_ISCONTAINER, start);
}

static uint32
write_number(Reader *reader, Place *place)
{
    uint32 end = scalar_end(reader, place->at);
    char *token = pnstrdup(reader->text + place->at, end - place->at);
    int start = reader->out.len;
    Numeric number = DatumGetNumeric(DirectFunctionCall3(
        numeric_in, CStringGetDatum(token), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));

    pad_to_int(&reader->out);
    appendBinaryStringInfo(&reader->out, (char *)number, VARSIZE_ANY(number));
    pfree(number);
    pfree(token);
    place->at = end;
    return entry_of(reader, JENTRY_ISNUMERIC, start);
}

static uint32
write_word(Reader *reader, Place *place)
{
    static const struct {
        const char *word;
        uint32 entry;
    } words[] = {
        {"null", JENTRY_ISNULL}, {"true", JENTRY_ISBOOL_TRUE}, {"false", JENTRY_ISBOOL_FALSE}};
    uint32 end = scalar_end(reader, place->at);

    for (int i = 0; i < (int)lengthof(words); i++)
        if (end - place->at == strlen(words[i].word) &&
            memcmp(reader->text + place->at, words[i].word, end - place->at) == 0) {
            place->at = end;
            return words[i].entry;
        }
    refuse();
    return 0;
}

static uint32
write_string(Reader *reader, Place *place)
{
    uint32 end = string_end(reader, place->at);
    int start = reader->out.len;

    append_string(&reader->out, reader->text + place->at + 1, reader->text + end - 1);
    place->at = end;
    return entry_of(reader, JENTRY_ISSTRING, start);
}

/* Returns the entry of the value. */
static uint32
write_value(Reader *reader, Place *place)
{
    char c = next_token(reader, place);

    CHECK_FOR_INTERRUPTS();
    memory_use_check(&reader->memory, 0);
    switch (c) {
    case '[': check_stack_depth(); return write_array(reader, place);
    case '{': check_stack_depth(); return write_object(reader, place);
    case '"': return write_string(reader, place);
    case '-': return write_number(reader, place);
    default: return c >= '0' && c <= '9' ? write_number(reader, place) : write_word(reader, place);
    }
}

Jsonb *
json_from_text(const char *text, uint32 length)
{
    Reader reader = {.text = text, .length = length, .allocated = 16};
    Place place = {0, 0};
    uint32 total = 0;
    char c;

    reader.memory = memory_use_begin();
    reader.containers = palloc(sizeof(Container) * reader.allocated);
    find_containers(&reader);
    initStringInfo(&reader.out);
    append_zeros(&reader.out, VARHDRSZ);
    c = next_token(&reader, &place);
    if (c == '[' || c == '{') {
        (void)write_value(&reader, &place);
    } else {
        int entries_at = put_header(&reader, 1 | JB_FARRAY | JB_FSCALAR, 1);

        put_entry(&reader, entries_at, 0, write_value(&reader, &place), &total);
    }
    pfree(reader.containers);
    SET_VARSIZE(reader.out.data, reader.out.len);
    return (Jsonb *)reader.out.data;
}
