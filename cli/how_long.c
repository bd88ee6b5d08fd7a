/* how_long.c: see how_long.h. */
#include "cli/how_long.h"

void
how_long_append(buf *text, double seconds)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
    size_t unit = 0;
    double number;

    while (seconds < 2 * units[unit].seconds && units[unit].seconds > 1)
        unit++;
    number = seconds < 1 ? 1 : seconds / units[unit].seconds;
    buf_printf(text, "about %.0f %s%s", number, units[unit].name, number < 1.5 ? "" : "s");
}
