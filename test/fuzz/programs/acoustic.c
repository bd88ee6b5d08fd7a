/* Answers of Acoustic's XML API.
 * uses: acoustic/answer.c acoustic/import.c acoustic/reader.c acoustic/xml.c */
#include <string.h>

#include "acoustic/answer.h"
#include "acoustic/import.h"
#include "test/fuzz/programs/fuzz.h"

static void
check_job(const acoustic_job *job)
{
    FUZZ_CHECK(memchr(job->job_id, '\0', sizeof(job->job_id)));
    FUZZ_CHECK(memchr(job->description, '\0', sizeof(job->description)));
    FUZZ_CHECK(strchr(job->description, '\n') == NULL);
    FUZZ_CHECK(strchr(job->results_file, '/') == NULL && job->results_file[0] != '.');
    FUZZ_CHECK(strchr(job->error_file, '/') == NULL && job->error_file[0] != '.');
    FUZZ_CHECK(job->total_rows >= -1 && job->bad_records >= -1 && job->bad_addresses >= -1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    acoustic_answer answer;
    acoustic_job job;

    acoustic_answer_read(&answer, (const char *)data, size);
    FUZZ_CHECK(strchr(answer.text, '\n') == NULL || answer.result != ACOUSTIC_FAULT);
    FUZZ_CHECK(answer.failures != NULL || answer.failure_count == 0);
    for (size_t i = 0; i < answer.failure_count; i++)
        FUZZ_CHECK(memchr(answer.failures[i].email_id, '\0', sizeof(answer.failures[i].email_id)));
    acoustic_answer_free(&answer);
    acoustic_job_read(&job, (const char *)data, size);
    check_job(&job);
    return 0;
}
