/*
 * bulk_main.h: `ctms-agent --bulk`: the process that works on waves by file. The agent starts it
 * (bulk.c), because its calls block. main.c calls it.
 */
#ifndef AGENT_BULK_MAIN_H
#define AGENT_BULK_MAIN_H

#include "common/config.h"

typedef enum bulk_main_mode {
    BULK_MAIN_NONE,   /* this process is an agent */
    BULK_MAIN_BEGIN,  /* works on the whole bulk lane */
    BULK_MAIN_RESUME, /* only goes on with a run that nobody works on */
} bulk_main_mode;

#define BULK_MAIN_BEGIN_ARGUMENT "--bulk=begin"
#define BULK_MAIN_RESUME_ARGUMENT "--bulk=resume"

/* Takes the argument out of argv. */
bulk_main_mode bulk_main_take_argument(int *argc, char **argv);
/* Works, and returns the exit status. */
int bulk_main_run(const config *c, bulk_main_mode mode);

#endif
