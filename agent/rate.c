/* rate.c: see rate.h. Time in which nothing waits does not count: it says nothing of how long a
 * backlog will take. */
#include "agent/rate.h"

/* What happened so long ago counts about a third of what happens now. */
#define WEIGHT_S 60.0
/* Less than this tells nothing. */
#define BUSY_MIN_S 1.0
/* After this time Acoustic, and the number of agents, may have changed. */
#define LATELY_S 300.0

void
rate_note_contact(rate *r)
{
    r->contacts += r->is_busy;
}

void
rate_note_turn(rate *r, bool is_busy, double now_s)
{
    double passed_s = now_s - r->turn_s;
    double weight = WEIGHT_S / (WEIGHT_S + passed_s);

    if (r->is_busy) {
        r->contacts *= weight;
        r->busy_s = (r->busy_s + passed_s) * weight;
        r->last_s = now_s;
    }
    r->turn_s = now_s;
    r->is_busy = is_busy;
}

double
rate_per_second(const rate *r, double now_s)
{
    if (r->busy_s < BUSY_MIN_S || now_s > r->last_s + LATELY_S)
        return 0;
    return r->contacts / r->busy_s;
}
