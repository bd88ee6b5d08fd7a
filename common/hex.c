/* hex.c: hexadecimal digits. */
#include "common/hex.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>

#include "common/clock.h"

int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

void
hex_write_id(char id[HEX_ID_LENGTH + 1])
{
    uint64_t parts[2] = {0};

    if (getrandom(parts, sizeof(parts), GRND_NONBLOCK) != sizeof(parts))
        parts[0] = (uint64_t)(clock_now_s() * 1e9);
    snprintf(id, HEX_ID_LENGTH + 1, "%016" PRIx64 "%016" PRIx64, parts[0], parts[1]);
}
