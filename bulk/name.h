/* name.h: the name under which a runner has its run in the tables. The agent and the command line
 * make one for each process. */
#ifndef CTMS_BULK_NAME_H
#define CTMS_BULK_NAME_H

#include <stddef.h>

enum { BULK_NAME_SIZE = 128 };

/* Host, process and a random number, as agents have in their leases. */
void bulk_name_runner(char *name, size_t size);

#endif
