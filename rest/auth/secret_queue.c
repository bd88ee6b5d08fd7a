/* auth/secret_queue.c: a tree of shares whose leaves are the checks that wait; see
 * secret_queue.h. */
#include "rest/auth/secret_queue.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

static void
append(secret_turn *parent, secret_turn *turn)
{
    turn->parent = parent;
    turn->next = NULL;
    turn->previous = parent->last;
    if (parent->last != NULL)
        parent->last->next = turn;
    else
        parent->first = turn;
    parent->last = turn;
}

static void
unlink_turn(secret_turn *turn)
{
    secret_turn *parent = turn->parent;

    if (turn->previous != NULL)
        turn->previous->next = turn->next;
    else
        parent->first = turn->next;
    if (turn->next != NULL)
        turn->next->previous = turn->previous;
    else
        parent->last = turn->previous;
    turn->parent = turn->previous = turn->next = NULL;
}

static secret_turn *
find_share(secret_turn *parent, const char *name)
{
    secret_turn *share;

    for (share = parent->first; share != NULL; share = share->next) {
        if (strcmp(share->name, name) == 0)
            return share;
    }
    share = xcalloc(1, sizeof(*share));
    share->name = xstrdup(name);
    append(parent, share);
    return share;
}

/* What came last to the fullest share below a share; among equals, to that which came last. */
static secret_turn *
last_of_fullest(secret_turn *share)
{
    while (share->first != NULL) {
        secret_turn *fullest = share->last;

        for (secret_turn *one = fullest; one != NULL; one = one->previous) {
            if (one->count > fullest->count)
                fullest = one;
        }
        share = fullest;
    }
    return share;
}

secret_turn *
secret_queue_add(secret_queue *queue, secret_turn *turn, const char *address, const char *id)
{
    secret_turn *of_address = find_share(&queue->root, address);
    secret_turn *of_id = find_share(of_address, id);
    secret_turn *loser = NULL;

    turn->count = 1;
    append(of_id, turn);
    for (secret_turn *share = of_id; share != NULL; share = share->parent)
        share->count++;
    if (of_id->count > queue->id_max)
        loser = turn;
    else if (of_address->count > queue->address_max)
        loser = last_of_fullest(of_address);
    else if (queue->root.count > queue->all_max)
        loser = last_of_fullest(&queue->root);
    if (loser != NULL)
        secret_queue_remove(loser);
    return loser;
}

void
secret_queue_remove(secret_turn *turn)
{
    secret_turn *share = turn->parent;

    unlink_turn(turn);
    while (share != NULL) {
        secret_turn *parent = share->parent;

        if (--share->count == 0 && parent != NULL) {
            unlink_turn(share);
            free(share->name);
            free(share);
        }
        share = parent;
    }
}

static secret_turn *
least_served(secret_queue *queue)
{
    secret_turn *chosen = queue->root.last;
    double earliest_s = queue->last_s(queue->arg, chosen->name);

    for (secret_turn *one = chosen->previous; one != NULL; one = one->previous) {
        double last_s = queue->last_s(queue->arg, one->name);

        if (last_s < earliest_s) {
            chosen = one;
            earliest_s = last_s;
        }
    }
    return chosen;
}

static secret_turn *
choose(secret_queue *queue, secret_turn *share)
{
    secret_turn *chosen = share->first;

    share->was_newest = !share->was_newest;
    if (share->was_newest)
        return share == &queue->root ? least_served(queue) : share->last;
    if (chosen->next != NULL) {
        /* It has its turn: the others are before it now. */
        unlink_turn(chosen);
        append(share, chosen);
    }
    return chosen;
}

secret_turn *
secret_queue_take(secret_queue *queue)
{
    secret_turn *turn = &queue->root;

    if (turn->count == 0)
        return NULL;
    while (turn->first != NULL)
        turn = choose(queue, turn);
    secret_queue_remove(turn);
    return turn;
}
