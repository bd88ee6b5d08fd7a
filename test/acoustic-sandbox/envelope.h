/*
 * envelope.h: reads the XML of a request to /XMLAPI. api.c calls it.
 *
 * It knows the form of the operations that the sandbox serves, but not their meaning. Names are
 * case sensitive, as they are at Acoustic. An unknown element makes the whole envelope invalid.
 */
#ifndef CTMS_TEST_ACOUSTIC_SANDBOX_ENVELOPE_H
#define CTMS_TEST_ACOUSTIC_SANDBOX_ENVELOPE_H

#include "test/acoustic-sandbox/row.h"

struct envelope {
    bool is_valid;
    char operation[40];
    char table_id[32]; /* LIST_ID or TABLE_ID, as text */
    bool update_if_found;
    bool has_created_from;
    char map_file[128], source_file[128], encoding[16]; /* of ImportList and ImportTable */
    char job_id[32];                                    /* of GetJobStatus */
    struct row sync_fields;
    struct row *rows; /* AddRecipient and RemoveRecipient have one */
    size_t row_count;
    size_t row_size;
};

/* Always fills the envelope; the caller frees it with envelope_free(). */
void envelope_read(struct envelope *envelope, const char *xml, size_t len);
void envelope_free(struct envelope *envelope);

#endif
