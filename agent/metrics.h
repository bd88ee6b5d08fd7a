/*
 * metrics.h: what the agent counts for Prometheus. The series are in common/metrics.h; service.c
 * shows and pushes them.
 */
#ifndef AGENT_AGENT_METRICS_H
#define AGENT_AGENT_METRICS_H

#include "acoustic/classify.h"
#include "acoustic/table.h"
#include "agent/queue.h"
#include "bulk/run.h"
#include "common/buf.h"

typedef struct agent_metrics agent_metrics;

/* All series that are known beforehand are there from the start, at zero. */
agent_metrics *agent_metrics_new(void);
void agent_metrics_free(agent_metrics *m);

void agent_metrics_note_request(agent_metrics *m, acoustic_table table, bool is_deletion,
                                failure_class status, double duration_s);
void agent_metrics_note_synced(agent_metrics *m);
/* Call this at the end of a cycle. backlog: null if it is not known; then its metrics stay. */
void agent_metrics_note_cycle(agent_metrics *m, double duration_s, const queue_backlog *backlog);
void agent_metrics_show_in_flight(agent_metrics *m, int in_flight, int allowed);
/* Why the line is stopped; CLASS_SUCCESS: it runs. */
void agent_metrics_show_stop(agent_metrics *m, failure_class reason);

/* How the runs by file are, whoever works on them. */
typedef struct agent_bulk_state {
    const char *state; /* of the open run; null: there is none */
    bool is_running;   /* somebody works on it */
    long long contacts;
    double age_s;
    bool has_failed; /* the last one was given up */
    long long files_left;
} agent_bulk_state;

void agent_metrics_show_bulk(agent_metrics *m, const agent_bulk_state *state);
/* What the runs of this agent have come to: before, of what is counted already, and now. */
void agent_metrics_count_bulk(agent_metrics *m, const bulk_result *before, const bulk_result *now);
void agent_metrics_count_bulk_failure(agent_metrics *m);
void agent_metrics_count_bulk_bytes(agent_metrics *m, long long bytes);

/* Appends all metrics in the text format. */
void agent_metrics_write(const agent_metrics *m, buf *out);

#endif
