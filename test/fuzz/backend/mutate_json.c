/*
 * mutate_json.c: mutations that keep an input JSON: parts are moved, removed, repeated, or replaced
 * by keywords and values that matter to schemas.
 *
 * libFuzzer calls it outside of any query, so nothing here may raise an error. All memory is one
 * arena that is freed at the end.
 */
#include "test/fuzz/backend/fuzz.h"

#define MAX_DEPTH 60
#define MAX_NODES 4000

typedef struct JsonPart {
    char kind;  /* '{', '[', or 's' for a value without parts */
    char *text; /* of 's' */
    char *name; /* as JSON text, for members of an object */
    int n;
    int allocated;
    struct JsonPart **parts;
} JsonPart;

typedef struct Mutation {
    const char *at;
    const char *end;
    uint64 random;
    char *arena;
    size_t used;
    size_t size;
    bool failed; /* not JSON, or no room */
    JsonPart *nodes[MAX_NODES];
    int n_nodes;
} Mutation;

static Mutation *m;

/* ---- useful values ------------------------------------------------------------------ */

static const char *const values[] = {"null",
                                     "true",
                                     "false",
                                     "0",
                                     "-0",
                                     "1",
                                     "-1",
                                     "2",
                                     "1.0",
                                     "0.01",
                                     "1e2",
                                     "1e131071",
                                     "1e-16383",
                                     "99999999999999999999",
                                     "9007199254740993",
                                     "10000",
                                     "9999.9999",
                                     "\"\"",
                                     "\"a\"",
                                     "\"\\u00e9\"",
                                     "\"\\ud83d\\ude00\"",
                                     "[]",
                                     "{}",
                                     "[1,1.0]",
                                     "[[],{}]",
                                     "{\"a\":1}",
                                     "{\"a\":{\"a\":{}}}",
                                     "[0,[1],[2,3]]",
                                     "\"2020-02-30\"",
                                     "\"\\\\p{L}+$\"",
                                     "\"foo/~1~0\""};

typedef struct KeywordSample {
    const char *name;
    const char *values[6];
} KeywordSample;

static const KeywordSample keywords[] = {
    {"\"type\"", {"\"string\"", "\"object\"", "[\"integer\",\"null\"]", "\"number\"", "\"array\""}},
    {"\"$ref\"", {"\"#\"", "\"#/$defs/a\"", "\"#a\"", "\"other\"", "\"#/properties/a\""}},
    {"\"$dynamicRef\"", {"\"#a\"", "\"#\"", "\"other#a\""}},
    {"\"$recursiveRef\"", {"\"#\""}},
    {"\"$recursiveAnchor\"", {"true", "false"}},
    {"\"$dynamicAnchor\"", {"\"a\"", "\"b\""}},
    {"\"$anchor\"", {"\"a\"", "\"b\""}},
    {"\"$id\"", {"\"other\"", "\"urn:fuzz:other\"", "\"http://x/y/\"", "\"#a\""}},
    {"\"id\"", {"\"other\"", "\"#a\""}},
    {"\"$schema\"",
     {"\"https://json-schema.org/draft/2020-12/schema\"",
      "\"https://json-schema.org/draft/2019-09/schema\"",
      "\"http://json-schema.org/draft-07/schema#\"", "\"http://json-schema.org/draft-06/schema#\"",
      "\"http://json-schema.org/draft-04/schema#\""}},
    {"\"$defs\"", {"{\"a\":{\"type\":\"string\"}}", "{\"a\":{\"$anchor\":\"a\"}}"}},
    {"\"definitions\"", {"{\"a\":{\"type\":\"string\"}}"}},
    {"\"properties\"", {"{\"a\":{}}", "{\"a\":false,\"bb\":{\"type\":\"null\"}}"}},
    {"\"patternProperties\"", {"{\"^a\":{\"type\":\"string\"}}", "{\"\":{}}", "{\".\":false}"}},
    {"\"additionalProperties\"", {"false", "{\"type\":\"string\"}", "true"}},
    {"\"unevaluatedProperties\"", {"false", "{\"type\":\"string\"}"}},
    {"\"unevaluatedItems\"", {"false", "{\"type\":\"string\"}"}},
    {"\"propertyNames\"", {"{\"maxLength\":1}", "false", "{\"pattern\":\"a\"}"}},
    {"\"required\"", {"[\"a\"]", "[]", "[\"a\",\"bb\"]"}},
    {"\"dependentRequired\"", {"{\"a\":[\"bb\"]}"}},
    {"\"dependentSchemas\"", {"{\"a\":{\"required\":[\"bb\"]}}", "{\"a\":false}"}},
    {"\"dependencies\"", {"{\"a\":[\"bb\"]}", "{\"a\":{\"minProperties\":2}}"}},
    {"\"items\"", {"{\"type\":\"string\"}", "false", "[{},{\"type\":\"null\"}]"}},
    {"\"prefixItems\"", {"[{\"type\":\"string\"},true]"}},
    {"\"additionalItems\"", {"false", "{\"type\":\"string\"}"}},
    {"\"contains\"", {"{\"type\":\"string\"}", "true", "false"}},
    {"\"minContains\"", {"0", "2"}},
    {"\"maxContains\"", {"0", "1"}},
    {"\"allOf\"", {"[{}]", "[{\"type\":\"string\"},false]"}},
    {"\"anyOf\"", {"[{\"type\":\"string\"},{\"minimum\":1}]", "[false,{}]"}},
    {"\"oneOf\"", {"[{\"type\":\"string\"},{\"type\":\"number\"}]", "[true,true]"}},
    {"\"not\"", {"{}", "false", "{\"required\":[\"a\"]}"}},
    {"\"if\"", {"{\"type\":\"object\"}", "true", "false"}},
    {"\"then\"", {"{\"required\":[\"a\"]}", "false"}},
    {"\"else\"", {"{\"maxItems\":1}", "false"}},
    {"\"enum\"", {"[1,\"a\",null]", "[]", "[[],{}]"}},
    {"\"const\"", {"1", "\"a\"", "{}", "[1.0]"}},
    {"\"minimum\"", {"0", "1.5", "1e400"}},
    {"\"maximum\"", {"0", "10"}},
    {"\"exclusiveMinimum\"", {"0", "true"}},
    {"\"exclusiveMaximum\"", {"1", "true"}},
    {"\"multipleOf\"", {"0.01", "2", "1e-400"}},
    {"\"minLength\"", {"1", "2.0"}},
    {"\"maxLength\"", {"0", "3"}},
    {"\"pattern\"", {"\"^a\"", "\"a|b\"", "\"(?=a)\"", "\"\\\\p{Lu}\"", "\"^[a-z]{2,3}$\""}},
    {"\"format\"", {"\"date-time\"", "\"idn-hostname\"", "\"uri\"", "\"regex\"", "\"ipv6\""}},
    {"\"minItems\"", {"1", "2"}},
    {"\"maxItems\"", {"0", "1"}},
    {"\"uniqueItems\"", {"true", "false"}},
    {"\"minProperties\"", {"1", "2"}},
    {"\"maxProperties\"", {"0", "1"}},
    {"\"a\"", {"1", "\"x\"", "{}"}},
    {"\"bb\"", {"null", "[]"}},
    {"\"$vocabulary\"", {"{\"https://json-schema.org/draft/2020-12/vocab/core\":true}"}},
    {"\"title\"", {"\"t\""}},
    {"\"default\"", {"1"}}};

static const char *const wraps[][2] = {{"\"not\"", NULL},        {"\"allOf\"", "["},
                                       {"\"anyOf\"", "["},       {"\"oneOf\"", "["},
                                       {"\"items\"", NULL},      {"\"contains\"", NULL},
                                       {"\"if\"", NULL},         {"\"a\"", NULL},
                                       {"\"properties\"", "{"},  {"\"patternProperties\"", "{"},
                                       {"\"prefixItems\"", "["}, {"\"dependentSchemas\"", "{"},
                                       {"\"$defs\"", "{"}};

/* ---- arena, chance ------------------------------------------------------------------ */

static void *
take(size_t size)
{
    static char spill[4096];
    void *taken;

    size = MAXALIGN(size);
    if (m->used + size > m->size) {
        m->failed = true;
        return memset(spill, 0, sizeof(spill));
    }
    taken = m->arena + m->used;
    m->used += size;
    return memset(taken, 0, size);
}

static uint32
below(uint32 n)
{
    m->random = m->random * UINT64CONST(6364136223846793005) + UINT64CONST(1442695040888963407);
    return n == 0 ? 0 : (uint32)(m->random >> 33) % n;
}

static char *
keep_text(const char *text, size_t length)
{
    char *copy = take(length + 1);

    if (!m->failed)
        memcpy(copy, text, length);
    return copy;
}

/* ---- tree --------------------------------------------------------------------------- */

static JsonPart *
new_node(char kind)
{
    JsonPart *node = take(sizeof(JsonPart));

    node->kind = kind;
    if (m->n_nodes >= MAX_NODES)
        m->failed = true;
    else
        m->nodes[m->n_nodes++] = node;
    return node;
}

static void
insert_part(JsonPart *node, int at, JsonPart *part)
{
    if (node->n == node->allocated) {
        JsonPart **more = take(sizeof(JsonPart *) * (node->allocated * 2 + 4));

        if (m->failed)
            return;
        if (node->n > 0)
            memcpy(more, node->parts, sizeof(JsonPart *) * node->n);
        node->parts = more;
        node->allocated = node->allocated * 2 + 4;
    }
    memmove(node->parts + at + 1, node->parts + at, sizeof(JsonPart *) * (node->n - at));
    node->parts[at] = part;
    node->n++;
}

static char
peek(void)
{
    while (m->at < m->end && strchr(" \t\r\n", *m->at) && *m->at)
        m->at++;
    return m->at < m->end ? *m->at : '\0';
}

static char *
read_scalar(void)
{
    const char *start = m->at;

    if (peek() == '"') {
        start = m->at++;
        while (m->at < m->end && *m->at != '"')
            m->at += *m->at == '\\' ? 2 : 1;
        m->at++;
        if (m->at > m->end) {
            m->failed = true;
            m->at = m->end;
        }
    } else {
        start = m->at;
        while (m->at < m->end && !strchr(",:]} \t\r\n", *m->at))
            m->at++;
        m->failed |= m->at == start;
    }
    return keep_text(start, m->at - start);
}

static JsonPart *
read_node(int depth)
{
    char open = peek();
    char close = open == '{' ? '}' : ']';
    JsonPart *node;

    if (depth > MAX_DEPTH)
        m->failed = true;
    if (open != '{' && open != '[') {
        node = new_node('s');
        node->text = read_scalar();
        return node;
    }
    node = new_node(open);
    m->at++;
    while (!m->failed && peek() != close) {
        char *name = NULL;
        JsonPart *part;

        if (open == '{') {
            name = read_scalar();
            m->failed |= peek() != ':';
            m->at++;
        }
        if (m->failed)
            break;
        part = read_node(depth + 1);
        part->name = name;
        insert_part(node, node->n, part);
        if (peek() == ',')
            m->at++;
        else
            m->failed |= peek() != close;
    }
    m->at++;
    return node;
}

static JsonPart *
read_text(const char *text, size_t size)
{
    m->at = text;
    m->end = text + size;
    return read_node(0);
}

static JsonPart *
copy_node(const JsonPart *from, int depth)
{
    JsonPart *copy = new_node(from->kind);

    copy->text = from->text;
    copy->name = from->name;
    for (int i = 0; i < from->n && !m->failed && depth < MAX_DEPTH; i++)
        insert_part(copy, i, copy_node(from->parts[i], depth + 1));
    return copy;
}

/* ---- writing ------------------------------------------------------------------------ */

typedef struct Output {
    uint8 *data;
    size_t size;
    size_t limit;
} Output;

static void
put(Output *out, const char *text)
{
    size_t length = text ? strlen(text) : 0;

    if (out->size + length > out->limit) {
        m->failed = true;
        return;
    }
    memcpy(out->data + out->size, text, length);
    out->size += length;
}

static void
write_node(Output *out, const JsonPart *node, int depth)
{
    if (depth > 4 * MAX_DEPTH || m->failed) {
        m->failed = true;
        return;
    }
    if (node->kind == 's') {
        put(out, node->text);
        return;
    }
    put(out, node->kind == '{' ? "{" : "[");
    for (int i = 0; i < node->n; i++) {
        put(out, i > 0 ? "," : "");
        if (node->kind == '{') {
            put(out, node->parts[i]->name ? node->parts[i]->name : "\"a\"");
            put(out, ":");
        }
        write_node(out, node->parts[i], depth + 1);
    }
    put(out, node->kind == '{' ? "}" : "]");
}

/* ---- mutations ---------------------------------------------------------------------- */

static JsonPart *
any_node(void)
{
    return m->nodes[below(m->n_nodes)];
}

/* Replaces the node; its name stays. */
static void
become(JsonPart *node, const JsonPart *other)
{
    char *name = node->name;

    *node = *copy_node(other, 0);
    node->name = name;
}

static JsonPart *
any_value(void)
{
    const char *text = values[below(lengthof(values))];

    return read_text(text, strlen(text));
}

static void
add_keyword(JsonPart *node)
{
    const KeywordSample *keyword = &keywords[below(lengthof(keywords))];
    int n = 0;
    const char *text;
    JsonPart *part;

    while (n < (int)lengthof(keyword->values) && keyword->values[n])
        n++;
    text = keyword->values[below(n)];
    if (node->kind != '{') {
        node->kind = '{';
        node->n = 0;
    }
    part = read_text(text, strlen(text));
    part->name = (char *)keyword->name;
    insert_part(node, below(node->n + 1), part);
}

static void
wrap(JsonPart *node)
{
    const char *const *how = wraps[below(lengthof(wraps))];
    JsonPart *inner = copy_node(node, 0);
    JsonPart *outer = new_node('{');
    char *name = node->name;

    inner->name = "\"a\"";
    if (how[1]) {
        JsonPart *middle = new_node(how[1][0]);

        insert_part(middle, 0, inner);
        inner = middle;
    }
    inner->name = (char *)how[0];
    insert_part(outer, 0, inner);
    *node = *outer;
    node->name = name;
}

/* Mutates the bytes of a string or number; the result is made JSON again. */
static void
mutate_scalar(JsonPart *node, FuzzMutateBytes mutate)
{
    uint8 bytes[256];
    size_t size;
    char *text;
    size_t length = 0;

    if (node->kind != 's' || strlen(node->text) > sizeof(bytes) / 2)
        return;
    size = strlen(node->text);
    memcpy(bytes, node->text, size);
    size = mutate(bytes, size, sizeof(bytes));
    text = take(6 * sizeof(bytes) + 3);
    if (node->text[0] != '"') {
        for (size_t i = 0; i < size; i++)
            if (memchr("0123456789-+.eE", bytes[i], 15))
                text[length++] = bytes[i];
        node->text = length > 0 ? text : "0";
        return;
    }
    text[length++] = '"';
    for (size_t i = 1; i + 1 < size; i++) {
        if (bytes[i] < 0x20 || bytes[i] == '"')
            length += sprintf(text + length, "\\u00%02x", Max(bytes[i], 1));
        else if (bytes[i] == '\\' && !memchr("\\/bfnrt", i + 2 < size ? bytes[i + 1] : 'x', 7))
            length += sprintf(text + length, "\\\\");
        else if (bytes[i] == '\\') {
            text[length++] = bytes[i++];
            text[length++] = bytes[i];
        } else if (bytes[i] < 0x80)
            text[length++] = bytes[i];
        else
            length += sprintf(text + length, "\\u%02x%02x", below(0xD8), bytes[i]);
    }
    text[length++] = '"';
    node->text = text;
}

static void
remove_part(JsonPart *node)
{
    int at = below(node->n);

    if (node->n == 0)
        return;
    memmove(node->parts + at, node->parts + at + 1, sizeof(JsonPart *) * (node->n - at - 1));
    node->n--;
}

static void
mutate_once(FuzzMutateBytes mutate)
{
    JsonPart *node = any_node();

    switch (below(10)) {
    case 0: become(node, any_value()); break;
    case 1: become(node, any_node()); break;
    case 2: remove_part(node); break;
    case 3:
        if (node->kind != 's') {
            JsonPart *copy = copy_node(any_node(), 0);

            copy->name = copy->name ? copy->name : "\"a\"";
            insert_part(node, below(node->n + 1), copy);
        }
        break;
    case 4:
        if (node->name)
            node->name = (char *)keywords[below(lengthof(keywords))].name;
        break;
    case 5: wrap(node); break;
    case 6:
    case 7: mutate_scalar(node, mutate); break;
    default: add_keyword(node); break;
    }
}

/* ---- entries ------------------------------------------------------------------------ */

static void
begin(unsigned seed)
{
    static Mutation mutation;
    static char *arena;

    if (!arena)
        arena = malloc(8 * 1024 * 1024);
    m = &mutation;
    m->arena = arena;
    m->size = arena ? 8 * 1024 * 1024 : 0;
    m->used = 0;
    m->failed = false;
    m->n_nodes = 0;
    m->random = seed;
    below(1);
}

static size_t
finish(const JsonPart *root, uint8 *data, size_t max_size)
{
    Output out = {data, 0, max_size};

    if (!m->failed)
        write_node(&out, root, 0);
    return m->failed ? 0 : out.size;
}

size_t
fuzz_mutate_json(uint8 *data, size_t size, size_t max_size, unsigned seed, FuzzMutateBytes mutate)
{
    JsonPart *root;
    size_t result;

    begin(seed);
    root = read_text((char *)data, size);
    if (m->failed)
        return mutate(data, size, max_size);
    for (uint32 rounds = 1 + below(4); rounds > 0 && !m->failed; rounds--)
        mutate_once(mutate);
    result = finish(root, data, max_size);
    return result > 0 ? result : Min(size, max_size);
}

size_t
fuzz_cross_json(const uint8 *data, size_t size, const uint8 *other, size_t other_size, uint8 *out,
                size_t max_size, unsigned seed)
{
    JsonPart *root;
    JsonPart *place;
    int n;
    size_t result;

    begin(seed);
    root = read_text((const char *)data, size);
    n = m->n_nodes;
    read_text((const char *)other, other_size);
    if (m->failed || n == m->n_nodes)
        return 0;
    place = m->nodes[below(n)];
    become(place, m->nodes[n + below(m->n_nodes - n)]);
    result = finish(root, out, max_size);
    return result;
}
