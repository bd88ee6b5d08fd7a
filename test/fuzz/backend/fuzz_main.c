/* fuzz_main.c: the SQL functions that fuzz and replay, and the list of targets; see fuzz.h. */
#include "test/fuzz/backend/fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include "catalog/pg_type.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* Inputs are small, so a target that needs longer hangs. */
#define INPUT_LIMIT_MS 10000

static const FuzzTarget targets[] = {
    {"schema", fuzz_schema, true},  {"compare", fuzz_compare, true},
    {"regex", fuzz_regex, false},   {"pointer", fuzz_pointer, false},
    {"format", fuzz_format, false}, {"number", fuzz_number, false},
    {"text", fuzz_text, false},     {"contact", fuzz_contact, true},
};
static const FuzzTarget *target;
static int64 n_cancelled;

void
fuzz_finding(const char *file, int line, const char *what)
{
    fprintf(stderr, "fuzz: FINDING at %s:%d: does not hold: %s\n", file, line, what);
    abort();
}

/* ---- inputs -------------------------------------------------------------------------- */

bool
fuzz_is_text(const char *data, size_t size)
{
    return pg_verify_mbstr(PG_UTF8, data, size, true);
}

char *
fuzz_split(const char *data, size_t size, const char **rest, size_t *rest_size)
{
    const char *newline = memchr(data, '\n', size);
    size_t length = newline ? (size_t)(newline - data) : size;
    char *copy;

    *rest_size = newline ? size - length - 1 : 0;
    copy = palloc(*rest_size);
    if (*rest_size > 0)
        memcpy(copy, newline + 1, *rest_size);
    *rest = copy;
    return pnstrdup(data, length);
}

Jsonb *
fuzz_jsonb(const char *text)
{
    return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

typedef struct Input {
    const char *data;
    size_t size;
} Input;

static void
run_input(void *argument)
{
    const Input *input = argument;

    target->run(input->data, input->size);
}

static int
test_one_input(const uint8 *data, size_t size)
{
    MemoryContext context = fuzz_context_create(TopMemoryContext, "fuzz", ALLOCSET_DEFAULT_SIZES);
    MemoryContext old = MemoryContextSwitchTo(context);
    Input input = {(const char *)data, size};

    if (fuzz_try(run_input, &input, INPUT_LIMIT_MS) == FUZZ_CANCELLED) {
        fprintf(stderr, "fuzz: an input took more than %d ms\n", INPUT_LIMIT_MS);
        n_cancelled++;
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(context);
    return 0;
}

static void
choose_target(const char *name)
{
    target = NULL;
    for (size_t i = 0; i < lengthof(targets); i++)
        if (strcmp(targets[i].name, name) == 0)
            target = &targets[i];
    if (!target)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("no fuzz target \"%s\"", name));
}

/* ---- replay -------------------------------------------------------------------------- */

static bool
replay_file(const char *path)
{
    struct stat status;
    FILE *file;
    uint8 *data;
    size_t size;

    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    file = fopen(path, "rb");
    if (!file)
        ereport(ERROR, errcode_for_file_access(), errmsg("could not open \"%s\": %m", path));
    /* Not a byte more than the input, so that valgrind notices reads beyond it. */
    data = malloc(Max(status.st_size, 1));
    size = fread(data, 1, status.st_size, file);
    fclose(file);
    test_one_input(data, size);
    free(data);
    return true;
}

/* Runs each file of the folder and returns how many there were. Warns of those that took too
 * long. */
PG_FUNCTION_INFO_V1(ctms_fuzz_replay);
PGDLLEXPORT Datum
ctms_fuzz_replay(PG_FUNCTION_ARGS)
{
    char *folder = text_to_cstring(PG_GETARG_TEXT_PP(1));
    int32 n_files = 0;
    struct dirent *entry;
    DIR *directory;

    choose_target(text_to_cstring(PG_GETARG_TEXT_PP(0)));
    n_cancelled = 0;
    directory = opendir(folder);
    if (!directory)
        ereport(ERROR, errcode_for_file_access(), errmsg("could not open \"%s\": %m", folder));
    while ((entry = readdir(directory))) {
        char *path = psprintf("%s/%s", folder, entry->d_name);

        n_files += replay_file(path);
    }
    closedir(directory);
    if (n_cancelled > 0)
        ereport(ERROR, errmsg("%lld inputs took too long", (long long)n_cancelled));
    PG_RETURN_INT32(n_files);
}

/* ---- libFuzzer ----------------------------------------------------------------------- */

#ifdef CTMS_LIBFUZZER

extern int
LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8 *data, size_t size));
extern size_t LLVMFuzzerMutate(uint8 *data, size_t size, size_t max_size);
extern PGDLLEXPORT size_t LLVMFuzzerCustomMutator(uint8 *data, size_t size, size_t max_size,
                                                  unsigned seed);
extern PGDLLEXPORT size_t LLVMFuzzerCustomCrossOver(const uint8 *data, size_t size,
                                                    const uint8 *other, size_t other_size,
                                                    uint8 *out, size_t max_size, unsigned seed);

size_t
LLVMFuzzerCustomMutator(uint8 *data, size_t size, size_t max_size, unsigned seed)
{
    if (!target->is_json || seed % 16 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    return fuzz_mutate_json(data, size, max_size, seed, LLVMFuzzerMutate);
}

size_t
LLVMFuzzerCustomCrossOver(const uint8 *data, size_t size, const uint8 *other, size_t other_size,
                          uint8 *out, size_t max_size, unsigned seed)
{
    size_t kept;

    if (target->is_json)
        return fuzz_cross_json(data, size, other, other_size, out, max_size, seed);
    /* The beginning of one input and the end of the other. */
    kept = size > 0 ? seed % (size + 1) : 0;
    kept = Min(kept, max_size);
    memmove(out, data, kept);
    other_size = Min(other_size, max_size - kept);
    memmove(out + kept, other, other_size);
    return kept + other_size;
}

/* From here on the process belongs to libFuzzer, which ends it. */
PG_FUNCTION_INFO_V1(ctms_fuzz);
PGDLLEXPORT Datum
ctms_fuzz(PG_FUNCTION_ARGS)
{
    static const int signals[] = {SIGABRT, SIGALRM, SIGFPE, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
    Datum *elements;
    int n_elements;
    char **arguments;
    int n_arguments = 0;

    choose_target(text_to_cstring(PG_GETARG_TEXT_PP(0)));
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL,
                      &n_elements);
    arguments = palloc0(sizeof(char *) * (n_elements + 2));
    arguments[n_arguments++] = "ctms_fuzz";
    for (int i = 0; i < n_elements; i++)
        arguments[n_arguments++] = TextDatumGetCString(elements[i]);
    /* libFuzzer does not replace existing handlers, and these are PostgreSQL's. */
    for (size_t i = 0; i < lengthof(signals); i++)
        pqsignal(signals[i], SIG_DFL);
    /* A single-user backend does not set the base of its stack. */
    set_stack_base();
    LLVMFuzzerRunDriver(&n_arguments, &arguments, test_one_input);
    _exit(0);
}

#endif
