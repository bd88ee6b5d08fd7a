/*
 * preload.c: loaded into a backend together with AddressSanitizer's runtime, which looks for this
 * symbol at its first allocation. That allocation happens inside bindtextdomain(), which holds a
 * lock. If the symbol were missing, the error message would wait for the same lock forever.
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
