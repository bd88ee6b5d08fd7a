/* hash.c: one hash of strings, for tables in memory. */
#include "common/hash.h"

uint64_t
hash_string(uint64_t seed, const char *text)
{
    uint64_t hash = 14695981039346656037ULL ^ seed;

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211ULL;
    return hash ^ hash >> 29;
}
