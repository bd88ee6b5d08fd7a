/*
 * regex/set.c: sets of code points.
 */
#include "extension/base/compat.h"

#include "extension/base/memory_limit.h"
#include "extension/base/utf8.h"
#include "extension/regex/internal.h"

RegexSet *
regex_set_new(void)
{
    RegexSet *set = palloc(sizeof(RegexSet));

    set->n = 0;
    set->allocated = 4;
    set->ranges = palloc(sizeof(RegexRange) * set->allocated);
    return set;
}

void
regex_set_add(RegexSet *set, uint32 low, uint32 high)
{
    if (set->n == set->allocated) {
        set->allocated *= 2;
        memory_limit_check(sizeof(RegexRange) * set->allocated);
        set->ranges = repalloc(set->ranges, sizeof(RegexRange) * set->allocated);
    }
    set->ranges[set->n].low = low;
    set->ranges[set->n].high = high;
    set->n++;
}

void
regex_set_add_set(RegexSet *set, const RegexSet *other)
{
    for (int i = 0; i < other->n; i++)
        regex_set_add(set, other->ranges[i].low, other->ranges[i].high);
}

static int
by_low(const void *a, const void *b)
{
    uint32 x = ((const RegexRange *)a)->low;
    uint32 y = ((const RegexRange *)b)->low;

    return (x > y) - (x < y);
}

void
regex_set_normalize(RegexSet *set)
{
    int n = 0;

    qsort(set->ranges, set->n, sizeof(RegexRange), by_low);
    for (int i = 0; i < set->n; i++) {
        RegexRange range = set->ranges[i];

        if (n > 0 && range.low <= set->ranges[n - 1].high + 1)
            set->ranges[n - 1].high = Max(set->ranges[n - 1].high, range.high);
        else
            set->ranges[n++] = range;
    }
    set->n = n;
}

void
regex_set_invert(RegexSet *set)
{
    RegexSet *inverse = regex_set_new();
    uint32 low = 0;

    regex_set_normalize(set);
    for (int i = 0; i < set->n; i++) {
        if (set->ranges[i].low > low)
            regex_set_add(inverse, low, set->ranges[i].low - 1);
        low = set->ranges[i].high + 1;
    }
    if (low <= MAX_CODE_POINT)
        regex_set_add(inverse, low, MAX_CODE_POINT);
    *set = *inverse;
}

bool
regex_set_has(const RegexSet *set, uint32 code_point)
{
    int low = 0;
    int high = set->n - 1;

    while (low <= high) {
        int middle = (low + high) / 2;

        if (code_point < set->ranges[middle].low)
            high = middle - 1;
        else if (code_point > set->ranges[middle].high)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

static RegexSet *
set_of_ranges(const RegexRange *ranges, int n)
{
    RegexSet *set = regex_set_new();

    for (int i = 0; i < n; i++)
        regex_set_add(set, ranges[i].low, ranges[i].high);
    return set;
}

RegexSet *
regex_set_of_class(char letter)
{
    static const RegexRange digits[] = {{'0', '9'}};
    static const RegexRange words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const RegexRange spaces[] = {
        {0x09, 0x0D},     {0x20, 0x20},     {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
        {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    RegexSet *set;

    switch (letter | 0x20) {
    case 'd': set = set_of_ranges(digits, lengthof(digits)); break;
    case 'w': set = set_of_ranges(words, lengthof(words)); break;
    default: set = set_of_ranges(spaces, lengthof(spaces)); break;
    }
    if (letter == 'D' || letter == 'W' || letter == 'S')
        regex_set_invert(set);
    return set;
}

RegexSet *
regex_set_of_dot(void)
{
    static const RegexRange line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
    RegexSet *set = set_of_ranges(line_ends, lengthof(line_ends));

    regex_set_invert(set);
    return set;
}
