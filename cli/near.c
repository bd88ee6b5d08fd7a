/* near.c: names within a small edit distance; see near.h. */
#include "cli/near.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

static bool
is_same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/*
 * The number of characters (bytes) to insert, remove, replace, or swap with their neighbour, so
 * that a becomes b. Both are shorter than NEAR_SIZE.
 */
static int
edit_distance(const char *a, const char *b)
{
    int rows[3][NEAR_SIZE]; /* of the last three prefixes of a: to each prefix of b */
    int b_length = (int)strlen(b);
    int i;

    for (int j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (i = 1; a[i - 1]; i++) {
        const int *two_before = rows[(i + 1) % 3];
        const int *before = rows[(i - 1) % 3];
        int *row = rows[i % 3];

        row[0] = i;
        for (int j = 1; j <= b_length; j++) {
            row[j] = before[j - 1] + !is_same(a[i - 1], b[j - 1]);
            row[j] = MIN(row[j], MIN(before[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && is_same(a[i - 1], b[j - 2]) && is_same(a[i - 2], b[j - 1]))
                row[j] = MIN(row[j], two_before[j - 2] + 1);
        }
    }
    return rows[(i - 1) % 3][b_length];
}

/* A third of what was given may be wrong, or its end be missing. INT_MAX: not near. */
static int
distance_to(const char *given, const char *name)
{
    int length = (int)strlen(given);
    int limit = MAX(1, length / 3);
    int distance = INT_MAX;

    if ((int)strlen(name) <= length + limit)
        distance = edit_distance(given, name);
    /* One wrong letter of one leaves nothing to go by. */
    if (distance <= limit && distance < length)
        return distance;
    return length >= 3 && strncasecmp(given, name, (size_t)length) == 0 ? limit : INT_MAX;
}

void
near_begin(near_names *near, const char *given)
{
    *near = (near_names){.given = given};
}

void
near_offer_as(near_names *near, const char *compared, const char *name)
{
    int distance;
    int place;

    if (strlen(near->given) >= NEAR_SIZE || strlen(compared) >= NEAR_SIZE ||
        strlen(name) >= NEAR_SIZE)
        return;
    distance = distance_to(near->given, compared);
    for (int i = 0; i < near->count; i++)
        if (strcmp(near->names[i], name) == 0)
            return;
    place = near->count;
    while (place > 0 && near->distances[place - 1] > distance)
        place--;
    if (distance == INT_MAX || place == NEAR_COUNT)
        return;
    near->count = MIN(near->count + 1, NEAR_COUNT);
    for (int i = near->count - 1; i > place; i--) {
        memcpy(near->names[i], near->names[i - 1], NEAR_SIZE);
        near->distances[i] = near->distances[i - 1];
    }
    strcpy(near->names[place], name); /* NOLINT: its length is checked above */
    near->distances[place] = distance;
}

void
near_offer(near_names *near, const char *name)
{
    near_offer_as(near, name, name);
}

bool
near_offer_rows(near_names *near, const PGresult *result)
{
    bool is_among = false;

    for (int i = 0; i < PQntuples(result); i++) {
        near_offer(near, PQgetvalue(result, i, 0));
        is_among |= strcmp(PQgetvalue(result, i, 0), near->given) == 0;
    }
    return is_among;
}

const char *
near_question(near_names *near)
{
    size_t length = 0;

    near->question[0] = '\0';
    for (int i = 0; i < near->count; i++) {
        const char *before = i == 0 ? "; did you mean " : i == near->count - 1 ? " or " : ", ";

        length +=
            (size_t)snprintf(near->question + length, sizeof(near->question) - length, "%s\"%s\"%s",
                             before, near->names[i], i == near->count - 1 ? "?" : "");
    }
    return near->question;
}
