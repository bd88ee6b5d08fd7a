/* near.c: names within a small edit distance; see near.h. */
#include "cli/near.h"

#include <ctype.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include "common/utf8.h"

/* A name as characters; a byte that is not UTF-8 is one of its own. */
typedef struct word {
    uint32_t characters[NEAR_SIZE];
    int length;
} word;

static word
split(const char *name)
{
    const unsigned char *text = (const unsigned char *)name;
    size_t left = strlen(name);
    word result = {.length = 0};

    while (left > 0 && result.length < NEAR_SIZE) {
        size_t length = utf8_character_length(text, left);
        uint32_t character = length > 1 ? utf8_code_point(text, length) : *text;

        result.characters[result.length++] =
            character < 128 ? (uint32_t)tolower((int)character) : character;
        text += length > 0 ? length : 1;
        left -= length > 0 ? length : 1;
    }
    return result;
}

/*
 * The number of characters to insert, remove, replace, or swap with their neighbour, so that a
 * becomes b. Both are shorter than NEAR_SIZE.
 */
static int
edit_distance(const word *a, const word *b)
{
    int rows[3][NEAR_SIZE]; /* of the last three prefixes of a: to each prefix of b */

    for (int j = 0; j <= b->length; j++)
        rows[0][j] = j;
    for (int i = 1; i <= a->length; i++) {
        const uint32_t *x = &a->characters[i - 1];
        const int *two_before = rows[(i + 1) % 3];
        const int *before = rows[(i - 1) % 3];
        int *row = rows[i % 3];

        row[0] = i;
        for (int j = 1; j <= b->length; j++) {
            const uint32_t *y = &b->characters[j - 1];

            row[j] = before[j - 1] + (*x != *y);
            row[j] = MIN(row[j], MIN(before[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && x[0] == y[-1] && x[-1] == y[0])
                row[j] = MIN(row[j], two_before[j - 2] + 1);
        }
    }
    return rows[a->length % 3][b->length];
}

/* A third of what was given may be wrong, or its end be missing. INT_MAX: not near. */
static int
distance_to(const char *given, const char *name)
{
    word a = split(given);
    word b = split(name);
    int limit = MAX(1, a.length / 3);
    int distance = INT_MAX;

    if (b.length <= a.length + limit)
        distance = edit_distance(&a, &b);
    /* One wrong letter of one leaves nothing to go by. */
    if (distance <= limit && distance < a.length)
        return distance;
    return a.length >= 3 && strncasecmp(given, name, strlen(given)) == 0 ? limit : INT_MAX;
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

const char *
near_twin(const near_names *near)
{
    return near->count > 0 && near->distances[0] <= 1 ? near->names[0] : NULL;
}
