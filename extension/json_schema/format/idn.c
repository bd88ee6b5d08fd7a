/*
 * json_schema/format/idn.c: labels of internationalised host names: Punycode (RFC 3492), the code
 * points that they may contain (RFC 5892), and their directions (RFC 5893).
 */
#include "extension/base/compat.h"

#include "extension/base/utf8.h"
#include "extension/json_schema/format/format.h"
#include "extension/regex/property.h"

/* ---- Punycode --------------------------------------------------------------------------- */

#define BASE 36
#define T_MINIMUM 1
#define T_MAXIMUM 26
#define SKEW 38
#define DAMP 700

static int
digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0' + 26;
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? c - 'a' : -1;
}

static uint32
adapt(uint32 delta, uint32 n_points, bool is_first)
{
    uint32 k = 0;

    delta = is_first ? delta / DAMP : delta / 2;
    delta += delta / n_points;
    while (delta > ((BASE - T_MINIMUM) * T_MAXIMUM) / 2) {
        delta /= BASE - T_MINIMUM;
        k += BASE;
    }
    return k + (BASE - T_MINIMUM + 1) * delta / (delta + SKEW);
}

/* Reads a number of variable length and adds it to *i; false on a mistake. */
static bool
take_delta(const char **at, const char *end, uint32 bias, uint64 *i)
{
    uint64 weight = 1;

    for (uint32 k = BASE;; k += BASE) {
        int digit = *at < end ? digit_value(*(*at)++) : -1;
        uint32 t = k <= bias ? T_MINIMUM : k >= bias + T_MAXIMUM ? T_MAXIMUM : k - bias;

        if (digit < 0 || weight > PG_UINT32_MAX)
            return false;
        *i += digit * weight;
        if ((uint32)digit < t)
            return *i <= PG_UINT32_MAX;
        weight *= BASE - t;
    }
}

int
format_decode_punycode(const char *text, uint32 length, uint32 *points, int limit)
{
    const char *end = text + length;
    const char *at = end;
    uint32 c = 128;
    uint32 bias = 72;
    uint64 i = 0;
    int n = 0;

    while (at > text && at[-1] != '-')
        at--;
    for (const char *p = text; p < at - 1; p++) {
        if (n == limit)
            return -1;
        points[n++] = (unsigned char)*p;
    }
    while (at < end) {
        uint64 old = i;

        if (n == limit || !take_delta(&at, end, bias, &i))
            return -1;
        bias = adapt((uint32)(i - old), n + 1, old == 0);
        c += (uint32)(i / (n + 1));
        i %= n + 1;
        if (c > MAX_CODE_POINT)
            return -1;
        memmove(points + i + 1, points + i, sizeof(uint32) * (n - i));
        points[i++] = c;
        n++;
    }
    return n;
}

static char
digit_of(uint32 value)
{
    return value < 26 ? 'a' + value : '0' + (value - 26);
}

static bool
put(char *text, int limit, int *n, char c)
{
    if (*n >= limit)
        return false;
    text[(*n)++] = c;
    return true;
}

static bool
put_delta(char *text, int limit, int *n, uint32 delta, uint32 bias)
{
    for (uint32 k = BASE;; k += BASE) {
        uint32 t = k <= bias ? T_MINIMUM : k >= bias + T_MAXIMUM ? T_MAXIMUM : k - bias;

        if (delta < t)
            return put(text, limit, n, digit_of(delta));
        if (!put(text, limit, n, digit_of(t + (delta - t) % (BASE - t))))
            return false;
        delta = (delta - t) / (BASE - t);
    }
}

/* The smallest code point that is not less than the floor. */
static uint32
next_code_point(const uint32 *points, int n, uint32 floor)
{
    uint32 next = PG_UINT32_MAX;

    for (int i = 0; i < n; i++)
        if (points[i] >= floor && points[i] < next)
            next = points[i];
    return next;
}

int
format_encode_punycode(const uint32 *points, int n, char *text, int limit)
{
    uint32 c = 128;
    uint32 delta = 0;
    uint32 bias = 72;
    int n_basic = 0;
    int n_done;
    int length = 0;

    for (int i = 0; i < n; i++)
        if (points[i] < 128) {
            if (!put(text, limit, &length, (char)points[i]))
                return -1;
            n_basic++;
        }
    if (n_basic > 0 && !put(text, limit, &length, '-'))
        return -1;
    n_done = n_basic;
    while (n_done < n) {
        uint32 next = next_code_point(points, n, c);

        delta += (next - c) * (n_done + 1);
        c = next;
        for (int i = 0; i < n; i++) {
            if (points[i] < c)
                delta++;
            if (points[i] != c)
                continue;
            if (!put_delta(text, limit, &length, delta, bias))
                return -1;
            bias = adapt(delta, n_done + 1, n_done == n_basic);
            delta = 0;
            n_done++;
        }
        delta++;
        c++;
    }
    return length;
}

/* ---- code points ------------------------------------------------------------------------- */

static bool
has_script(const char *script, uint32 c)
{
    /* The rules only ask about Greek and Hebrew, and whether a code point is in their blocks. */
    if (strcmp(script, "Greek") == 0)
        return (c >= 0x370 && c <= 0x3FF && c != 0x37E && c != 0x385 && c != 0x387) ||
               (c >= 0x1F00 && c <= 0x1FFE);
    return c >= 0x591 && c <= 0x5F4;
}

static bool
is_kana_or_han(uint32 c)
{
    return (c >= 0x3041 && c <= 0x309F && c != 0x3099 && c != 0x309A) ||
           (c >= 0x30A1 && c <= 0x30FF && c != 0x30FB && c != 0x30FC) ||
           (c >= 0x31F0 && c <= 0x31FF) || c == 0x3005 || c == 0x3007 ||
           (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) ||
           (c >= 0xF900 && c <= 0xFAD9) || (c >= 0x20000 && c <= 0x3134A);
}

static bool
any_in(const uint32 *points, int n, uint32 low, uint32 high)
{
    for (int i = 0; i < n; i++)
        if (points[i] >= low && points[i] <= high)
            return true;
    return false;
}

/* RFC 5892, appendix A.1: a non-joiner is allowed between letters that join. */
static bool
joins(const uint32 *points, int n, int at)
{
    int before = at - 1;
    int after = at + 1;

    while (before >= 0 && regex_property_has("Joining_T", points[before]))
        before--;
    while (after < n && regex_property_has("Joining_T", points[after]))
        after++;
    return before >= 0 && after < n &&
           (regex_property_has("Joining_L", points[before]) ||
            regex_property_has("Joining_D", points[before])) &&
           (regex_property_has("Joining_R", points[after]) ||
            regex_property_has("Joining_D", points[after]));
}

/* RFC 5892, appendix A: code points that are only allowed next to certain others. */
static bool
is_allowed_in_context(const uint32 *points, int n, int at)
{
    uint32 before = at > 0 ? points[at - 1] : 0;
    uint32 after = at + 1 < n ? points[at + 1] : 0;
    uint32 c = points[at];

    switch (c) {
    case 0x200C: return regex_property_has("Virama", before) || joins(points, n, at);
    case 0x200D: return regex_property_has("Virama", before);
    case 0xB7: return before == 'l' && after == 'l';
    case 0x375: return has_script("Greek", after);
    case 0x5F3:
    case 0x5F4: return has_script("Hebrew", before);
    case 0x30FB:
        for (int i = 0; i < n; i++)
            if (is_kana_or_han(points[i]))
                return true;
        return false;
    default: break;
    }
    if (c >= 0x660 && c <= 0x669)
        return !any_in(points, n, 0x6F0, 0x6F9);
    if (c >= 0x6F0 && c <= 0x6F9)
        return !any_in(points, n, 0x660, 0x669);
    return false;
}

/* ---- directions ------------------------------------------------------------------------- */

static bool
has_direction(uint32 c, const char *const *classes)
{
    for (; *classes; classes++)
        if (regex_property_has(*classes, c))
            return true;
    return false;
}

static const char *const right[] = {"Bidi_R", "Bidi_AL", NULL};

bool
format_is_right_to_left(const uint32 *points, int n)
{
    for (int i = 0; i < n; i++)
        if (has_direction(points[i], right) || regex_property_has("Bidi_AN", points[i]))
            return true;
    return false;
}

static bool
ends_with(const uint32 *points, int n, const char *const *classes)
{
    while (n > 0 && regex_property_has("Bidi_NSM", points[n - 1]))
        n--;
    return n > 0 && has_direction(points[n - 1], classes);
}

/* RFC 5893, section 2. */
static bool
is_well_directed(const uint32 *points, int n)
{
    static const char *const right_to_left[] = {"Bidi_R",  "Bidi_AL",  "Bidi_AN", "Bidi_EN",
                                                "Bidi_ES", "Bidi_CS",  "Bidi_ET", "Bidi_ON",
                                                "Bidi_BN", "Bidi_NSM", NULL};
    static const char *const left_to_right[] = {"Bidi_L",  "Bidi_EN",  "Bidi_ES",
                                                "Bidi_CS", "Bidi_ET",  "Bidi_ON",
                                                "Bidi_BN", "Bidi_NSM", NULL};
    static const char *const right_ends[] = {"Bidi_R", "Bidi_AL", "Bidi_EN", "Bidi_AN", NULL};
    static const char *const left_ends[] = {"Bidi_L", "Bidi_EN", NULL};
    bool has_en = false;
    bool has_an = false;
    bool starts_right = has_direction(points[0], right);

    if (!starts_right && !regex_property_has("Bidi_L", points[0]))
        return false;
    for (int i = 0; i < n; i++) {
        has_en |= regex_property_has("Bidi_EN", points[i]);
        has_an |= regex_property_has("Bidi_AN", points[i]);
    }
    for (int i = 0; i < n; i++)
        if (!has_direction(points[i], starts_right ? right_to_left : left_to_right))
            return false;
    return ends_with(points, n, starts_right ? right_ends : left_ends) && !(has_en && has_an);
}

bool
format_idn_label(const uint32 *points, int n, bool is_bidirectional)
{
    char encoded[FORMAT_LABEL_LIMIT];
    bool is_ascii = true;

    if (n == 0 || points[0] == '-' || points[n - 1] == '-')
        return false;
    if (n >= 4 && points[2] == '-' && points[3] == '-')
        return false;
    if (regex_property_has("Mark", points[0]))
        return false;
    for (int i = 0; i < n; i++) {
        uint32 c = points[i] >= 'A' && points[i] <= 'Z' ? points[i] | 0x20 : points[i];

        is_ascii &= c < 0x80;
        if (!regex_property_has("Label", c) && !is_allowed_in_context(points, n, i))
            return false;
    }
    /* A label has a limit in bytes, and "xn--" takes 4 of them. */
    if (!is_ascii && format_encode_punycode(points, n, encoded, FORMAT_LABEL_LIMIT - 4) < 0)
        return false;
    return !is_bidirectional || is_well_directed(points, n);
}
