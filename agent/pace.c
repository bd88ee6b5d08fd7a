/* pace.c: see pace.h. */
#include "agent/pace.h"

#include "common/clock.h"

#define PAUSE_MIN_S 0.2
#define PAUSE_MAX_S 60.0

void
pace_init(pace *p, int limit)
{
    *p = (pace){.window = limit};
}

int
pace_allowed(const pace *p, int limit, double now_s)
{
    if (now_s < p->paused_until_s)
        return 0;
    if (p->troubles > 0)
        return limit < 1 ? limit : 1;
    return p->window < limit ? (int)p->window : limit;
}

double
pace_wait_s(const pace *p, double now_s)
{
    return now_s < p->paused_until_s ? p->paused_until_s - now_s : 0;
}

void
pace_note_success(pace *p, int limit, double now_s)
{
    p->troubles = 0;
    p->paused_until_s = 0;
    p->last_success_s = now_s;
    p->window += 1 / p->window;
    if (p->window > limit)
        p->window = limit;
}

void
pace_note_trouble(pace *p, bool is_news, double started_s, double now_s)
{
    /* Requests that were in flight at the same time meet the same trouble, so it counts only
     * once. */
    if (started_s < p->decreased_at_s)
        return;
    p->decreased_at_s = now_s;
    p->window = p->window / 2 > 1 ? p->window / 2 : 1;
    if (is_news || p->troubles == 0)
        p->troubles++;
    p->paused_until_s = now_s + clock_backoff_s(PAUSE_MIN_S, PAUSE_MAX_S, p->troubles - 1);
}

bool
pace_is_healthy_since(const pace *p, double then_s)
{
    return p->last_success_s > then_s;
}
