/*
 * log.c: one line for each event on standard output, as MozLog JSON or as text for people; see
 * log.h.
 *
 * Processes that were forked after log_open() share a lock, and only its holder writes. A line that
 * needs several writes (it is longer than a pipe takes in one piece, or a socket took a part of it)
 * is thus never mixed with another: the holder keeps the lock until the line is complete. Nobody
 * waits for the lock; whoever does not get it keeps its lines until the next log_flush(). A holder
 * that dies leaves the lock to the next one, which ends the torn line first.
 */
#include "common/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"

/* Bytes that may wait while nobody reads standard output. */
#define WAITING_MAX (1024 * 1024)
#define FLUSH_AT (16 * 1024)
/* A pipe that is ready takes this many bytes, in one piece. */
#define WRITE_MAX PIPE_BUF
#define CLOSE_MS 1000
/* log_close() tries again after this time while another process writes. */
#define CLOSE_STEP_MS 10

/* What the processes share. */
typedef struct turn {
    pthread_mutex_t lock;
    bool is_in_line; /* a line has been written in part */
} turn;

struct log_line {
    log_level level;
    char type[64];
    struct timespec time;
    buf fields; /* JSON: `"name": value, …`; for people: `name=value …` */
};

static struct {
    bool is_mozlog;
    bool is_buffered;
    log_level level;
    int fd;
    pid_t pid;
    char hostname[256];
    buf waiting;
    unsigned long long dropped;
    log_line line;
    buf message;
    turn *turn; /* NULL: there was no memory to share */
    bool has_turn;
} state = {.is_mozlog = true, .level = LOG_LEVEL_INFO, .fd = 1};

/* NULL for a number that is not a level. */
static const char *
level_name(log_level level)
{
    switch (level) {
    case LOG_LEVEL_CRITICAL: return "CRITICAL";
    case LOG_LEVEL_ERROR: return "ERROR";
    case LOG_LEVEL_WARNING: return "WARNING";
    case LOG_LEVEL_INFO: return "INFO";
    case LOG_LEVEL_DEBUG: return "DEBUG";
    }
    return NULL;
}

static void
make_turn(void)
{
    pthread_mutexattr_t how;
    turn *made =
        mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (made == MAP_FAILED)
        return;
    pthread_mutexattr_init(&how);
    pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&made->lock, &how);
    pthread_mutexattr_destroy(&how);
    state.turn = made;
}

void
log_open(bool is_mozlog, const char *name)
{
    state.is_mozlog = is_mozlog;
    for (log_level level = 0; name != NULL && level <= LOG_LEVEL_DEBUG; level++) {
        if (level_name(level) != NULL && strcasecmp(level_name(level), name) == 0)
            state.level = level;
    }
    if (gethostname(state.hostname, sizeof(state.hostname) - 1) != 0)
        state.hostname[0] = '\0';
    state.pid = getpid();
    if (state.turn == NULL)
        make_turn();
}

void
log_set_fd(int fd)
{
    state.fd = fd;
}

void
log_after_fork(void)
{
    buf_reset(&state.waiting);
    state.dropped = 0;
    state.has_turn = false; /* if there is one, it is the parent's */
    state.pid = getpid();
}

void
log_set_buffered(bool is_buffered)
{
    state.is_buffered = is_buffered;
}

bool
log_is_enabled(log_level level)
{
    return level <= state.level;
}

/* How many bytes to write next: whole lines of at most WRITE_MAX bytes, unless one line is
 * longer. */
static size_t
next_chunk(const char *data, size_t length)
{
    const char *end;

    if (length <= WRITE_MAX)
        return length;
    end = memrchr(data, '\n', WRITE_MAX);
    return end ? (size_t)(end - data) + 1 : WRITE_MAX;
}

/* Returns false if another process has the turn. */
static bool
take_turn(void)
{
    int error;

    if (state.has_turn || state.turn == NULL)
        return true;
    error = pthread_mutex_trylock(&state.turn->lock);
    if (error == EOWNERDEAD)
        pthread_mutex_consistent(&state.turn->lock);
    else if (error != 0)
        return false;
    state.has_turn = true;
    return true;
}

static void
give_turn(void)
{
    if (state.has_turn)
        pthread_mutex_unlock(&state.turn->lock);
    state.has_turn = false;
}

/* Returns how many bytes were written, 0 or less if that was not possible in time. */
static ssize_t
write_when_ready(const char *data, size_t length, int timeout_ms)
{
    struct pollfd poller = {.fd = state.fd, .events = POLLOUT};

    if (poll(&poller, 1, timeout_ms) <= 0 || !(poller.revents & POLLOUT))
        return -1;
    /* If we die here, nobody knows how much of it was written. */
    if (state.turn != NULL)
        state.turn->is_in_line = true;
    return write(state.fd, data, length);
}

/* Ends a line that a process which is gone has not completed. */
static bool
end_torn_line(int timeout_ms)
{
    if (state.turn == NULL || !state.turn->is_in_line)
        return true;
    if (write_when_ready("\n", 1, timeout_ms) != 1)
        return false;
    state.turn->is_in_line = false;
    return true;
}

/* Writes what waits, as far as that is possible. We have the turn. Returns false if it stopped in a
 * line. */
static bool
write_waiting(bool is_in_line, int timeout_ms)
{
    size_t done = 0;

    while (done < state.waiting.length) {
        const char *data = state.waiting.data + done;
        ssize_t written =
            write_when_ready(data, next_chunk(data, state.waiting.length - done), timeout_ms);

        if (written > 0) {
            done += (size_t)written;
            is_in_line = state.waiting.data[done - 1] != '\n';
        }
        if (state.turn != NULL)
            state.turn->is_in_line = is_in_line;
        if (written <= 0)
            break;
    }
    buf_consume(&state.waiting, done);
    return !is_in_line;
}

/* Returns false if another process has the turn. */
static bool
flush_for(int timeout_ms)
{
    bool is_in_line = state.has_turn;

    if (!take_turn())
        return false;
    if ((is_in_line || end_torn_line(timeout_ms)) && !write_waiting(is_in_line, timeout_ms))
        return true;
    give_turn();
    return true;
}

void
log_flush(void)
{
    if (state.waiting.length > 0)
        flush_for(0);
}

void
log_close(void)
{
    for (int waited_ms = 0;
         state.waiting.length > 0 && waited_ms < CLOSE_MS && !flush_for(CLOSE_MS);
         waited_ms += CLOSE_STEP_MS)
        poll(NULL, 0, CLOSE_STEP_MS);
    give_turn();
    buf_free(&state.waiting);
    buf_free(&state.line.fields);
    buf_free(&state.message);
}

log_line *
log_begin(log_level level, const char *type)
{
    log_line *line = &state.line;

    if (!log_is_enabled(level))
        return NULL;
    line->level = level;
    strncpy(line->type, type, sizeof(line->type) - 1);
    clock_gettime(CLOCK_REALTIME, &line->time);
    buf_reset(&line->fields);
    return line;
}

static void
append_name(log_line *line, const char *name)
{
    if (state.is_mozlog) {
        buf_append_json_string(&line->fields, name);
        buf_append(&line->fields, ": ", 2);
    } else {
        buf_printf(&line->fields, "%s=", name);
    }
}

static void
append_separator(log_line *line)
{
    buf_append_string(&line->fields, state.is_mozlog ? ", " : " ");
}

void
log_string_n(log_line *line, const char *name, const char *value, size_t length)
{
    if (line == NULL)
        return;
    append_name(line, name);
    buf_append_json(&line->fields, value, length);
    append_separator(line);
}

void
log_string(log_line *line, const char *name, const char *value)
{
    if (line == NULL)
        return;
    append_name(line, name);
    buf_append_json_string(&line->fields, value);
    append_separator(line);
}

void
log_int(log_line *line, const char *name, long long value)
{
    if (line == NULL)
        return;
    append_name(line, name);
    buf_printf(&line->fields, "%lld", value);
    append_separator(line);
}

void
log_real(log_line *line, const char *name, double value)
{
    if (line == NULL)
        return;
    append_name(line, name);
    buf_printf(&line->fields, "%.6f", value);
    append_separator(line);
}

void
log_bool(log_line *line, const char *name, bool value)
{
    if (line == NULL)
        return;
    append_name(line, name);
    buf_append_string(&line->fields, value ? "true" : "false");
    append_separator(line);
}

/* A line of the log is one line, whatever is in it. */
static void
blank_line_breaks(buf *text, size_t start)
{
    for (size_t i = start; i < text->length; i++) {
        if (text->data[i] == '\n' || text->data[i] == '\r' || text->data[i] == '\t')
            text->data[i] = ' ';
    }
}

void
log_json(log_line *line, const char *name, const char *value, size_t length)
{
    size_t start;

    if (line == NULL)
        return;
    append_name(line, name);
    start = line->fields.length;
    buf_append_json_text(&line->fields, value, length);
    blank_line_breaks(&line->fields, start);
    append_separator(line);
}

static void
format_mozlog(buf *out, const log_line *line, const buf *message)
{
    buf_printf(out, "{\"Timestamp\": %lld%09ld, \"Type\": ", (long long)line->time.tv_sec,
               line->time.tv_nsec);
    buf_append_json_string(out, line->type);
    buf_append_string(out, ", \"Logger\": \"ctms\", \"Hostname\": ");
    buf_append_json_string(out, state.hostname);
    buf_printf(out, ", \"EnvVersion\": \"2.0\", \"Severity\": %d, \"Pid\": %d, \"Fields\": {",
               (int)line->level, (int)state.pid);
    buf_append(out, buf_text(&line->fields), line->fields.length);
    buf_append_string(out, "\"msg\": ");
    buf_append_json(out, buf_text(message), message->length);
    buf_append_string(out, "}}\n");
}

static void
format_for_people(buf *out, const log_line *line, const buf *message)
{
    char when[32];
    struct tm parts;

    localtime_r(&line->time.tv_sec, &parts);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &parts);
    buf_printf(out, "%s.%03ld %-8s %s: ", when, line->time.tv_nsec / 1000000,
               level_name(line->level), line->type);
    buf_append_visible(out, buf_text(message), message->length);
    if (line->fields.length > 0) {
        buf_append_string(out, "  ");
        buf_append(out, line->fields.data, line->fields.length - 1);
    }
    buf_append_char(out, '\n');
}

/* Logs how many lines were dropped, in a line of its own. */
static void
format_dropped(void)
{
    log_line line = {.level = LOG_LEVEL_WARNING, .type = "ctms.log", .fields = BUF_INIT};
    buf message = BUF_INIT;

    clock_gettime(CLOCK_REALTIME, &line.time);
    buf_printf(&message, "%llu log lines dropped: nobody read them in time", state.dropped);
    (state.is_mozlog ? format_mozlog : format_for_people)(&state.waiting, &line, &message);
    buf_free(&message);
    state.dropped = 0;
}

void
log_end(log_line *line, const char *format, ...)
{
    va_list args;

    if (line == NULL)
        return;
    buf_reset(&state.message);
    va_start(args, format);
    buf_vprintf(&state.message, format, args);
    va_end(args);
    if (!state.is_mozlog)
        blank_line_breaks(&state.message, 0);

    if (state.waiting.length + line->fields.length + state.message.length > WAITING_MAX) {
        log_flush();
        if (state.waiting.length + line->fields.length + state.message.length > WAITING_MAX) {
            state.dropped++;
            return;
        }
    }
    if (state.dropped > 0)
        format_dropped();
    (state.is_mozlog ? format_mozlog : format_for_people)(&state.waiting, line, &state.message);
    if (!state.is_buffered || state.waiting.length >= FLUSH_AT || line->level <= LOG_LEVEL_WARNING)
        log_flush();
}

void
log_message(log_level level, const char *type, const char *format, ...)
{
    log_line *line = log_begin(level, type);
    buf message = BUF_INIT;
    va_list args;

    if (line == NULL)
        return;
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    log_end(line, "%s", buf_text(&message));
    buf_free(&message);
}
