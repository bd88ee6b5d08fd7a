/* hash.h: one hash of strings, for tables in memory. */
#ifndef CTMS_COMMON_HASH_H
#define CTMS_COMMON_HASH_H

#include <stdint.h>

/* FNV-1a, with its high bits folded into the low ones. Anyone who knows the seed can construct
 * strings that collide. */
uint64_t hash_string(uint64_t seed, const char *text);

#endif
