/* name.c: the name of a runner; see name.h. */
#include "bulk/name.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

void
bulk_name_runner(char *name, size_t size)
{
    char host[80] = "localhost";
    unsigned number = 0;

    if (gethostname(host, sizeof(host)) != 0)
        strcpy(host, "localhost");
    host[sizeof(host) - 1] = '\0';
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = (unsigned)getpid();
    snprintf(name, size, "%s:%d:%08x", host, (int)getpid(), number);
}
