/*
 * table.h: the tables at Acoustic that a contact goes to.
 */
#ifndef AGENT_TABLE_H
#define AGENT_TABLE_H

/* In the order in which they are sent: a contact's main row comes before its others. */
typedef enum acoustic_table {
    ACOUSTIC_MAIN,
    ACOUSTIC_NEWSLETTER,
    ACOUSTIC_WAITLIST,
    ACOUSTIC_PRODUCT,
    ACOUSTIC_TABLES,
} acoustic_table;

/* As ctms.acoustic_rows() calls them. */
extern const char *const acoustic_table_names[ACOUSTIC_TABLES];

#endif
