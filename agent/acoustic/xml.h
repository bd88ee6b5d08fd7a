/*
 * acoustic/xml.h: builds the bodies of requests to the XML API and reads its answers.
 *
 * Requests are written piece by piece: the columns of a row are turned into XML once, when
 * they come from the database, and put together into requests later.
 *
 * Values may hold anything: what XML cannot carry (control characters, U+FFFE and U+FFFF,
 * bytes that are not UTF-8) becomes a space or U+FFFD. A document that Acoustic cannot parse would
 * look like a mistake in the configuration and stop the whole line.
 */
#ifndef AGENT_ACOUSTIC_XML_H
#define AGENT_ACOUSTIC_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/table.h"
#include "common/buf.h"

/* ---- requests --------------------------------------------------------------------- */

/* A COLUMN of AddRecipient. An empty value has no VALUE element, as the API's usual clients
 * send it. */
void acoustic_xml_main_column(buf *out, const char *name, const char *value);
/* Whether there is a COLUMN of that name among those of a main row. */
bool acoustic_xml_has_main_column(const buf *columns, const char *name);
/* A COLUMN of a relational row; columns stand between <ROW> and </ROW>. */
void acoustic_xml_row_column(buf *out, const char *name, const char *value);
/* A KEY_COLUMN of a relational row that is to be deleted. */
void acoustic_xml_key_column(buf *out, const char *name, const char *value);
/* The envelope around the columns of a contact. */
void acoustic_xml_add_recipient(buf *out, long long list_id, const char *email_id,
                                const char *columns, size_t length);
/* Removes the contact. */
void acoustic_xml_remove_recipient(buf *out, long long list_id, const char *email_id);
/* The envelope around rows: begin, then acoustic_xml_row() for each, then end. */
void acoustic_xml_begin_rows(buf *out, long long table_id, bool is_deletion);
void acoustic_xml_row(buf *out, const char *columns, size_t length);
void acoustic_xml_end_rows(buf *out, bool is_deletion);

/* ---- answers ---------------------------------------------------------------------- */

typedef enum acoustic_result {
    ACOUSTIC_UNREADABLE, /* empty, no XML, or XML of another kind */
    ACOUSTIC_SUCCESS,    /* with or without failures of single rows */
    ACOUSTIC_FAULT,
} acoustic_result;

typedef struct acoustic_failure {
    bool is_transient; /* else permanent */
    char description[200];
    char email_id[64]; /* empty when the answer does not name it */
} acoustic_failure;

/* Texts are cut to size, on a single line. */
typedef struct acoustic_answer {
    acoustic_result result;
    long errorid;   /* of a fault; -1 without */
    char class[64]; /* of a fault */
    char text[256]; /* of a fault */
    acoustic_failure *failures;
    size_t failure_count;
} acoustic_answer;

/*
 * Reads whatever came, of any length. Never fails: what cannot be read is
 * ACOUSTIC_UNREADABLE. No document type, entity or network access is allowed to happen.
 * Free with acoustic_answer_free().
 */
void acoustic_answer_read(acoustic_answer *answer, const char *body, size_t length);
void acoustic_answer_free(acoustic_answer *answer);

#endif
