/*
 * preload.c: loaded into a backend beside AddressSanitizer's runtime, which looks for this
 * symbol on its first allocation. That one happens inside bindtextdomain(), under a lock
 * which the message about a missing symbol would take again, for ever.
 */
char *swift_demangle(const char *name, unsigned long length, char *out, unsigned long *out_size,
                     unsigned flags);

char *
swift_demangle(const char *name, unsigned long length, char *out, unsigned long *out_size,
               unsigned flags)
{
    (void)name;
    (void)length;
    (void)out;
    (void)out_size;
    (void)flags;
    return 0;
}
