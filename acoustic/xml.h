/*
 * acoustic/xml.h: builds the bodies of requests to the XML API. contact.c and send.c call it;
 * answers are read by acoustic/answer.h.
 *
 * Requests are written in pieces: the columns of a row are turned into XML once, when they come
 * from the database, and are put together into requests later.
 *
 * Values may contain anything. What XML cannot represent (control characters, U+FFFE and U+FFFF,
 * bytes that are not UTF-8) becomes a space or U+FFFD. This matters, because a document that
 * Acoustic cannot parse would look like a mistake in the configuration and stop the whole line.
 */
#ifndef CTMS_ACOUSTIC_XML_H
#define CTMS_ACOUSTIC_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

/* A text, or the value of an attribute in double quotes. */
void acoustic_xml_append_text(buf *out, const char *text);
/* A COLUMN of AddRecipient. An empty value has no VALUE element; the usual clients of the API do
 * the same. */
void acoustic_xml_append_main_column(buf *out, const char *name, const char *value);
/* True if the columns of a main row contain a COLUMN with that name. */
bool acoustic_xml_has_main_column(const buf *columns, const char *name);
/* A COLUMN of a relational row; columns stand between <ROW> and </ROW>. */
void acoustic_xml_append_row_column(buf *out, const char *name, const char *value);
/* A KEY_COLUMN of a relational row that is to be deleted. */
void acoustic_xml_append_key_column(buf *out, const char *name, const char *value);
/* Writes the envelope around the columns of a contact. */
void acoustic_xml_add_recipient(buf *out, long long list_id, const char *email_id,
                                const char *columns, size_t length);
/* Writes a request that removes the contact. */
void acoustic_xml_remove_recipient(buf *out, long long list_id, const char *email_id);
/* Writes the envelope around rows: begin, then acoustic_xml_append_row() for each, then end. */
void acoustic_xml_begin_rows(buf *out, long long table_id, bool is_deletion);
void acoustic_xml_append_row(buf *out, const char *columns, size_t length);
void acoustic_xml_end_rows(buf *out, bool is_deletion);

#endif
