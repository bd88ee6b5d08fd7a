/* hold.c: see hold.h. There are at most as many as requests may be in flight. */
#include "agent/hold.h"

#include <stdlib.h>

#include "common/buf.h"

void
hold_add(holds *h, int count, double until_s)
{
    if (h->count + count > h->size) {
        h->size = 2 * h->size + count;
        h->ends_s = xrealloc(h->ends_s, (size_t)h->size * sizeof(*h->ends_s));
    }
    for (int i = 0; i < count; i++)
        h->ends_s[h->count++] = until_s;
}

int
hold_count(holds *h, double now_s)
{
    int kept = 0;

    for (int i = 0; i < h->count; i++) {
        if (h->ends_s[i] > now_s)
            h->ends_s[kept++] = h->ends_s[i];
    }
    h->count = kept;
    return kept;
}

double
hold_first_end_s(const holds *h)
{
    double first_s = h->count > 0 ? h->ends_s[0] : 0;

    for (int i = 1; i < h->count; i++) {
        if (h->ends_s[i] < first_s)
            first_s = h->ends_s[i];
    }
    return first_s;
}

double
hold_last_end_s(const holds *h)
{
    double last_s = 0;

    for (int i = 0; i < h->count; i++) {
        if (h->ends_s[i] > last_s)
            last_s = h->ends_s[i];
    }
    return last_s;
}

void
hold_free(holds *h)
{
    free(h->ends_s);
    *h = (holds){0};
}
