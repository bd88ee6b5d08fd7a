/* hash.h: one hash of strings, for tables in memory. */
#ifndef CTMS_COMMON_HASH_H
#define CTMS_COMMON_HASH_H

#include <stdint.h>

/* FNV-1a, its high bits folded into the low ones. Whoever knows the seed can make strings meet. */
uint64_t hash_string(uint64_t seed, const char *text);

#endif
