/*
 * metrics.h: what the agent counts for Prometheus.
 */
#ifndef AGENT_AGENT_METRICS_H
#define AGENT_AGENT_METRICS_H

#include "agent/acoustic/classify.h"
#include "agent/acoustic/table.h"
#include "common/buf.h"

typedef struct agent_metrics agent_metrics;

/* Every series that is known beforehand is there at zero. */
agent_metrics *agent_metrics_new(void);
void agent_metrics_free(agent_metrics *m);

void agent_metrics_note_request(agent_metrics *m, acoustic_table table, bool is_deletion,
                                failure_class status, double duration_s);
void agent_metrics_note_synced(agent_metrics *m);
/* At the end of a cycle. Values below zero are not known, and left as they were. */
void agent_metrics_note_cycle(agent_metrics *m, double duration_s, double backlog, double retries,
                              double age_s);
void agent_metrics_show_in_flight(agent_metrics *m, int in_flight, int allowed);
/* Why the line stands still; CLASS_SUCCESS: it runs. */
void agent_metrics_show_stop(agent_metrics *m, failure_class reason);

/* Appends all, in the text format. */
void agent_metrics_write(const agent_metrics *m, buf *out);

#endif
