/*
 * auth/secret_cost.h: how much work the secret of an unknown client makes. token.c asks, and tells
 * it which hashes clients have.
 *
 * Hashes of clients may differ in cost. An unknown id costs what one of the clients costs, the same
 * one each time and in each process, so that time does not tell it from a client.
 */
#ifndef CTMS_REST_AUTH_SECRET_COST_H
#define CTMS_REST_AUTH_SECRET_COST_H

#include <stdbool.h>

typedef struct secret_costs secret_costs;

/* Without the key nobody can guess which cost an unknown id has. */
secret_costs *secret_costs_new(const char *secret_key);
void secret_costs_free(secret_costs *costs);

/* The costs are not known, or have been for so long that the clients may be others now. */
bool secret_costs_are_old(const secret_costs *costs, double now_s);
/* What follows is a new list; this is when it was asked for. */
void secret_costs_begin(secret_costs *costs, double now_s);
/* cost: see secret_threads.h. */
void secret_costs_add(secret_costs *costs, const char *cost, long long clients);

/* NULL when there are no clients. Valid until the next list. */
const char *secret_costs_of(const secret_costs *costs, const char *client_id);

#endif
