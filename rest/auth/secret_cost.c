/* auth/secret_cost.c: draws lots that come out the same each time; see secret_cost.h. */
#include "rest/auth/secret_cost.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

#define OLD_S 60.0
/* The key signs tokens too, but none of those contains a NUL. */
#define PURPOSE "cost of a client"

typedef struct known_cost {
    char *cost;
    long long clients;
} known_cost;

struct secret_costs {
    char *key;
    double known_since_s; /* 0: not known */
    known_cost *list;
    size_t count;
    long long clients;
};

secret_costs *
secret_costs_new(const char *secret_key)
{
    secret_costs *costs = xcalloc(1, sizeof(*costs));

    costs->key = xstrdup(secret_key);
    return costs;
}

static void
clear(secret_costs *costs)
{
    while (costs->count > 0)
        free(costs->list[--costs->count].cost);
    costs->clients = 0;
}

void
secret_costs_free(secret_costs *costs)
{
    if (costs == NULL)
        return;
    clear(costs);
    free(costs->list);
    explicit_bzero(costs->key, strlen(costs->key));
    free(costs->key);
    free(costs);
}

bool
secret_costs_are_old(const secret_costs *costs, double now_s)
{
    return costs->known_since_s == 0 || now_s - costs->known_since_s > OLD_S;
}

void
secret_costs_begin(secret_costs *costs, double now_s)
{
    clear(costs);
    costs->known_since_s = now_s;
}

void
secret_costs_add(secret_costs *costs, const char *cost, long long clients)
{
    costs->list = xrealloc(costs->list, (costs->count + 1) * sizeof(*costs->list));
    costs->list[costs->count++] = (known_cost){.cost = xstrdup(cost), .clients = clients};
    costs->clients += clients;
}

/* From 0 to below 1, with as many bits as a double holds. */
static double
draw_lot(const char *key, const char *client_id)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    buf text = BUF_INIT;
    uint64_t number;

    buf_append(&text, PURPOSE, sizeof(PURPOSE));
    buf_append_string(&text, client_id);
    HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)text.data, text.length, digest,
         NULL);
    buf_free(&text);
    memcpy(&number, digest, sizeof(number));
    return (double)(number >> 11) / 9007199254740992.0;
}

const char *
secret_costs_of(const secret_costs *costs, const char *client_id)
{
    double place = draw_lot(costs->key, client_id) * (double)costs->clients;
    size_t i = 0;

    if (costs->count == 0)
        return NULL;
    while (i + 1 < costs->count && place >= (double)costs->list[i].clients)
        place -= (double)costs->list[i++].clients;
    return costs->list[i].cost;
}
