/*
 * http-load: sends requests to an HTTP server over a number of kept connections, one request at a
 * time on each, and prints how many were answered and how fast. bench/ calls it.
 *
 * usage: http-load PORT CONNECTIONS SECONDS TEMPLATE [LINES]
 *
 * TEMPLATE is a file with a whole request. In it {n} is replaced by a number that is different each
 * time, {line} by a random line of the file LINES, and {length} by the length of the body.
 *
 * SIGTERM ends it before SECONDS are over; what was answered until then is printed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"

#define ANSWER_MAX (8 * 1024 * 1024)
#define SAMPLES_MAX (16 * 1024 * 1024)

typedef struct client {
    int fd;
    double asked_s;
    double first_byte_s; /* 0: not arrived yet */
    buf answer;
} client;

static struct {
    struct sockaddr_in server;
    char *head, *body; /* of the template */
    char **lines;
    size_t line_count;
    unsigned long long asked;
    unsigned long long statuses[600];
    unsigned long long bytes;
    float *samples, *first_bytes; /* seconds until the whole answer, and until its first byte */
    size_t sample_count;
    unsigned long long broken; /* connections that ended */
} load;

static volatile sig_atomic_t is_told_to_end;

static void
on_signal(int number)
{
    (void)number;
    is_told_to_end = 1;
}

static void __attribute__((noreturn)) give_up(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- the request ------------------------------------------------------------------ */

static char *
read_file(const char *path)
{
    FILE *in = fopen(path, "r");
    buf content = BUF_INIT;
    char piece[4096];
    size_t count;

    if (in == NULL)
        give_up(path);
    while ((count = fread(piece, 1, sizeof(piece), in)) > 0)
        buf_append(&content, piece, count);
    fclose(in);
    return buf_steal(&content);
}

static void
read_lines(const char *path)
{
    char *text = read_file(path);
    size_t capacity = 0;

    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (load.line_count == capacity) {
            capacity = capacity ? capacity * 2 : 1024;
            load.lines = xrealloc(load.lines, capacity * sizeof(char *));
        }
        load.lines[load.line_count++] = line;
    }
}

/* Lines of the head may end in the editor's way; they are sent with CRLF. */
static void
read_template(const char *path)
{
    char *text = read_file(path);
    char *blank = strstr(text, "\n\n");
    buf head = BUF_INIT;

    load.body = blank ? blank + 2 : text + strlen(text);
    if (blank != NULL)
        *blank = '\0';
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\n')
            buf_append_char(&head, '\r');
        buf_append_char(&head, *c);
    }
    buf_append_string(&head, "\r\n\r\n");
    load.head = buf_steal(&head);
}

static void
fill_in(buf *out, const char *template, const char *line, size_t length)
{
    while (*template != '\0') {
        size_t plain = strcspn(template, "{");

        buf_append(out, template, plain);
        template += plain;
        if (strncmp(template, "{n}", 3) == 0) {
            buf_printf(out, "%llu", load.asked);
            template += 3;
        } else if (strncmp(template, "{line}", 6) == 0) {
            buf_append_string(out, line);
            template += 6;
        } else if (strncmp(template, "{length}", 8) == 0) {
            buf_printf(out, "%zu", length);
            template += 8;
        } else if (*template != '\0') {
            buf_append_char(out, *template ++);
        }
    }
}

static void
ask(client *c)
{
    static buf request = BUF_INIT, body = BUF_INIT;
    const char *line = load.line_count ? load.lines[(size_t)random() % load.line_count] : "";

    load.asked++;
    buf_reset(&request);
    buf_reset(&body);
    fill_in(&body, load.body, line, 0);
    fill_in(&request, load.head, line, body.length);
    buf_append(&request, buf_text(&body), body.length);
    buf_reset(&c->answer);
    c->asked_s = clock_now_s();
    /* Requests are small, so the socket takes them whole. */
    if (send(c->fd, request.data, request.length, MSG_NOSIGNAL) != (ssize_t)request.length)
        give_up("send");
}

/* ---- the answer --------------------------------------------------------------------- */

/* A chunked answer ends with an empty chunk; our answers have no trailers. */
static bool
ends_with_last_chunk(const buf *answer)
{
    static const char last[] = "\r\n0\r\n\r\n";
    size_t length = sizeof(last) - 1;

    return answer->length > length &&
           memcmp(answer->data + answer->length - length, last, length) == 0;
}

static bool
is_whole(const buf *answer)
{
    const char *end = strstr(buf_text(answer), "\r\n\r\n");
    const char *length = end ? strcasestr(answer->data, "\r\nContent-Length: ") : NULL;

    if (end == NULL)
        return false;
    if (length == NULL || length > end)
        return ends_with_last_chunk(answer);
    return answer->length >= (size_t)(end - answer->data) + 4 + strtoul(length + 18, NULL, 10);
}

static void
count_answer(const client *c)
{
    int status = atoi(c->answer.data + 9);

    load.statuses[status > 0 && status < 600 ? status : 0]++;
    load.bytes += c->answer.length;
    if (load.sample_count < SAMPLES_MAX) {
        load.samples[load.sample_count] = (float)(clock_now_s() - c->asked_s);
        load.first_bytes[load.sample_count++] = (float)(c->first_byte_s - c->asked_s);
    }
}

static void
connect_client(client *c, int poller)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int yes = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&load.server, sizeof(load.server)) != 0)
        give_up("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) != 0)
        give_up("epoll_ctl");
}

static void
take_bytes(client *c, int poller)
{
    static char piece[256 * 1024];
    ssize_t count = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT);

    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0) {
        load.broken++;
        close(c->fd);
        connect_client(c, poller);
        ask(c);
        return;
    }
    if (c->answer.length == 0)
        c->first_byte_s = clock_now_s();
    buf_append(&c->answer, piece, (size_t)count);
    if (!is_whole(&c->answer))
        return;
    count_answer(c);
    ask(c);
}

static int
compare_samples(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;

    return left < right ? -1 : left > right;
}

static double
percentile_ms(const float *samples, double part)
{
    if (load.sample_count == 0)
        return 0;
    return samples[(size_t)((double)(load.sample_count - 1) * part)] * 1000.0;
}

int
main(int argc, char **argv)
{
    int count = argc > 2 ? atoi(argv[2]) : 0;
    int poller = epoll_create1(0);
    struct epoll_event events[64];
    client *clients;
    double begin, end;

    if (argc < 5 || count < 1) {
        fprintf(stderr, "usage: http-load PORT CONNECTIONS SECONDS TEMPLATE [LINES]\n");
        return 2;
    }
    signal(SIGTERM, on_signal);
    load.server.sin_family = AF_INET;
    load.server.sin_port = htons((unsigned short)atoi(argv[1]));
    load.server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    read_template(argv[4]);
    if (argc > 5)
        read_lines(argv[5]);
    /* The numbers must differ from those of an earlier run. */
    load.asked = (unsigned long long)time(NULL) * 1000000;
    load.samples = xmalloc(SAMPLES_MAX * sizeof(float));
    load.first_bytes = xmalloc(SAMPLES_MAX * sizeof(float));
    clients = xcalloc((size_t)count, sizeof(client));
    for (int i = 0; i < count; i++)
        connect_client(&clients[i], poller);
    begin = clock_now_s();
    end = begin + atof(argv[3]);
    for (int i = 0; i < count; i++)
        ask(&clients[i]);
    while (clock_now_s() < end && !is_told_to_end) {
        int ready = epoll_wait(poller, events, 64, 100);

        for (int i = 0; i < ready; i++)
            take_bytes(events[i].data.ptr, poller);
    }
    end = clock_now_s();
    qsort(load.samples, load.sample_count, sizeof(float), compare_samples);
    qsort(load.first_bytes, load.sample_count, sizeof(float), compare_samples);
    printf("rps=%.0f p50_ms=%.3f p99_ms=%.3f first_byte_ms=%.3f mb_s=%.1f broken=%llu",
           (double)load.sample_count / (end - begin), percentile_ms(load.samples, .5),
           percentile_ms(load.samples, .99), percentile_ms(load.first_bytes, .5),
           (double)load.bytes / (end - begin) / 1e6, load.broken);
    for (int i = 0; i < 600; i++) {
        if (load.statuses[i] > 0)
            printf(" %d=%llu", i, load.statuses[i]);
    }
    printf("\n");
    return 0;
}
