/*
 * contact/body_parse.c: ctms.parse_body(), which parses every body that the REST server gets.
 *
 * It uses PostgreSQL's JSON lexer with its own semantic actions, because the input function of
 * jsonb has four faults here: it does not report the offset of an error, it puts pieces of the
 * text into its messages, it accepts numbers whose text is a hundred kilobytes long ("1e99999"),
 * and a body of many small objects takes two hundred times its own memory.
 */
#include "extension/base/compat.h"

#include "extension/base/errors.h"
#include "extension/contact/body_error.h"
#include "extension/contact/body_parse.h"
#include "extension/json/from_text.h"

#include "common/jsonapi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#define MAX_BODY_BYTES (4 * 1024 * 1024)
#define MAX_DEPTH 128
/*
 * Larger than the exponent of any double. Digits that are written out are only limited by what
 * numeric can hold.
 */
#define MAX_EXPONENT 400
/* What numeric can hold before and after the point. */
#define MAX_INTEGER_DIGITS 131072
#define MAX_FRACTION_DIGITS 16383

typedef struct ParseState {
    JsonLexContext *lex;
    int depth;
} ParseState;

static void
raise_at(JsonLexContext *lex, const char *at, const char *message)
{
    BodyErrors errors;
    int bytes = at == NULL ? (int)lex->input_length : (int)(at - lex->input);
    BodyPlace place = body_index(&body_root, pg_mbstrlen_with_len(lex->input, bytes));

    body_errors_init(&errors);
    body_error_add(&errors, &place, "value_error.jsondecode", "%s", message);
    body_errors_raise(&errors);
}

/* A message that never contains a piece of the body, as that of json_errdetail() would. */
static const char *
describe_parse_error(JsonParseErrorType error)
{
    switch (error) {
    case JSON_ESCAPING_INVALID: return "invalid escape sequence in a string";
    case JSON_ESCAPING_REQUIRED: return "control character in a string";
    case JSON_EXPECTED_ARRAY_FIRST: return "expected an array element or \"]\"";
    case JSON_EXPECTED_ARRAY_NEXT: return "expected \",\" or \"]\"";
    case JSON_EXPECTED_COLON: return "expected \":\"";
    case JSON_EXPECTED_END: return "expected the end of input";
    case JSON_EXPECTED_JSON: return "expected a JSON value";
    case JSON_EXPECTED_MORE: return "the input ends unexpectedly";
    case JSON_EXPECTED_OBJECT_FIRST: return "expected a string or \"}\"";
    case JSON_EXPECTED_OBJECT_NEXT: return "expected \",\" or \"}\"";
    case JSON_EXPECTED_STRING: return "expected a string";
    case JSON_UNICODE_CODE_POINT_ZERO: return "the NUL character is not allowed";
    case JSON_UNICODE_ESCAPE_FORMAT: return "\"\\u\" must be followed by four hexadecimal digits";
    case JSON_UNICODE_HIGH_SURROGATE:
    case JSON_UNICODE_LOW_SURROGATE: return "lone surrogate in a string";
    default: return "invalid JSON";
    }
}

/* ---- numbers --------------------------------------------------------------- */

/* The text is a JSON number. Returns NULL, or what is absurd about it. */
static const char *
check_number(const char *token)
{
    const char *at = token;
    int integer_digits = 0;
    int fraction_digits = 0;
    int exponent = 0;

    if (*at == '-')
        at++;
    for (; isdigit((unsigned char)*at); at++)
        integer_digits++;
    if (*at == '.')
        for (at++; isdigit((unsigned char)*at); at++)
            fraction_digits++;
    if (*at == 'e' || *at == 'E') {
        at++;
        if (*at == '+' || *at == '-')
            at++;
        for (; isdigit((unsigned char)*at) && exponent <= MAX_EXPONENT; at++)
            exponent = exponent * 10 + (*at - '0');
    }
    if (exponent > MAX_EXPONENT)
        return "number out of range";
    if (integer_digits + exponent > MAX_INTEGER_DIGITS ||
        fraction_digits + exponent > MAX_FRACTION_DIGITS)
        return "number with too many digits";
    return NULL;
}

static void
refuse_absurd_number(const ParseState *state, const char *token)
{
    const char *problem = check_number(token);

    /* The lexer is already at the next token, so the start of this one is computed. */
    if (problem != NULL)
        raise_at(state->lex, state->lex->prev_token_terminator - strlen(token), problem);
}

/* ---- semantic actions --------------------------------------------------------- */

/* Begins an object or array; the lexer is at its bracket. */
static JSON_ACTION
container_start(void *semstate)
{
    ParseState *state = semstate;

    CHECK_FOR_INTERRUPTS();
    if (++state->depth > MAX_DEPTH)
        raise_at(state->lex, state->lex->token_start,
                 psprintf("nested deeper than %d levels", MAX_DEPTH));
    JSON_ACTION_DONE;
}

static JSON_ACTION
container_end(void *semstate)
{
    ParseState *state = semstate;

    state->depth--;
    JSON_ACTION_DONE;
}

static JSON_ACTION
scalar(void *semstate, char *token, JsonTokenType type)
{
    if (type == JSON_TOKEN_NUMBER)
        refuse_absurd_number(semstate, token);
    pfree(token);
    JSON_ACTION_DONE;
}

/* ---- entry ------------------------------------------------------------------- */

Jsonb *
body_parse(text *body)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    ParseState state = {0};
    JsonSemAction actions = {.semstate = &state,
                             .object_start = container_start,
                             .object_end = container_end,
                             .array_start = container_start,
                             .array_end = container_end,
                             .scalar = scalar};
    char *json = body == NULL ? pstrdup("") : VARDATA_ANY(body);
    int length = body == NULL ? 0 : VARSIZE_ANY_EXHDR(body);
    JsonParseErrorType error;

    if (length >= 3 && GetDatabaseEncoding() == PG_UTF8 && memcmp(json, byte_order_mark, 3) == 0) {
        json += 3;
        length -= 3;
    }
    state.lex = json_lexer(json, length);
    if (length > MAX_BODY_BYTES)
        raise_at(state.lex, json, psprintf("longer than %d bytes", MAX_BODY_BYTES));
    error = pg_parse_json(state.lex, &actions);
    if (error != JSON_SUCCESS)
        raise_at(state.lex, state.lex->token_start, describe_parse_error(error));
    return json_from_text(json, (uint32)length);
}

PG_FUNCTION_INFO_V1(ctms_parse_body);

Datum
ctms_parse_body(PG_FUNCTION_ARGS)
{
    text *body = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);

    PG_RETURN_JSONB_P(body_parse(body));
}
