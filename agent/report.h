/*
 * report.h: what the agent reports: a log line for each contact, a log line for each cycle, and the
 * health file. sync.c calls it.
 *
 * A cycle lasts from one report to the next: until the work at hand is done, or until the loop
 * interval has passed.
 */
#ifndef AGENT_REPORT_H
#define AGENT_REPORT_H

#include "agent/catalog.h"
#include "agent/contact.h"
#include "agent/metrics.h"
#include "agent/queue.h"
#include "agent/settings.h"

#define REPORT_SYNC "ctms.bin.acoustic_sync"
#define REPORT_SERVICE "ctms.acoustic_service"
#define REPORT_BULK "ctms.bin.acoustic_bulk"

typedef struct report {
    const agent_settings *settings;
    agent_metrics *metrics;
    catalog *known; /* belongs to the caller */
    double cycle_began_s;
    long count_total, count_synced, count_retry, count_skipped, count_exception;
    bool is_health_failing; /* logged already */
} report;

/* known must outlive the report. */
void report_init(report *r, const agent_settings *settings, agent_metrics *metrics, catalog *known);
void report_start(const report *r);
/* Logs the outcome of a contact that was sent, or that needed no sending. */
void report_contact(report *r, const contact *c);
bool report_has_work(const report *r);
/* Logs the cycle and begins the next. backlog: null if it is not known. */
void report_cycle(report *r, const queue_backlog *backlog);
/* Writes the time to the health file, if one is configured. */
void report_health(report *r);

#endif
