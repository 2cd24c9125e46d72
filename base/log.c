/*
 * The log: see log.h.
 *
 * Design: a line is built in a buffer on the stack and written by one write(), so that lines of several threads
 * (librdkafka's callbacks, a child that shares the descriptor) do not mix. A field that does not fit is cut or left
 * out and the line says so by `"truncated":true`; the room for that and for the line's end is kept free from the
 * start. One mutex guards the sites' counters and the configuration; the write happens outside it.
 *
 * Invariants: a line is at most LOG_LINE_MAX_BYTES long; the log never blocks the daemon for longer than one
 * write() to a descriptor that blocks, and never fails: what cannot be written is lost.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json_text.h"
#include "base/time_text.h"

/* Longest line, with its line end: what collectors (Docker, Fluent Bit) take without splitting it. */
#define LOG_LINE_MAX_BYTES 16384

/* Longest text of one field before it is cut: enough for a long error text. */
#define LOG_TEXT_MAX_BYTES 4096

/* Longest daemon name that is kept. */
#define LOG_NAME_MAX_BYTES 64

/* What ends every line, and one that lost something. */
#define LOG_END "}\n"
#define LOG_END_TRUNCATED ",\"truncated\":true}\n"

/* A line that is being built. */
struct log_line {
    char data[LOG_LINE_MAX_BYTES]; /* not NUL-terminated */
    size_t size_bytes;             /* in use; ≤ LOG_LINE_MAX_BYTES - sizeof(LOG_END_TRUNCATED) */
    bool truncated;                /* something was cut or left out */
};

static int64_t log_machine_wall_ms(void *argument);
static int64_t log_machine_monotonic_ms(void *argument);

static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static char log_daemon_name[LOG_NAME_MAX_BYTES] = "nodag"; /* written before threads start */
static _Atomic int log_least_level = LOG_LEVEL_INFO;
static _Atomic int log_fd = STDERR_FILENO;
static const struct log_clock log_machine_clock = {.wall_ms = log_machine_wall_ms,
                                                   .monotonic_ms = log_machine_monotonic_ms};
static struct log_clock log_clock = {.wall_ms = log_machine_wall_ms,
                                     .monotonic_ms = log_machine_monotonic_ms};

static int64_t log_read_clock(clockid_t clock)
{
    struct timespec now = {.tv_sec = 0};
    /* check: allow clock_gettime: the log has no loop and any thread may log; log_set_clock replaces it. */
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t log_machine_wall_ms(void *argument)
{
    (void)argument;
    return log_read_clock(CLOCK_REALTIME);
}

static int64_t log_machine_monotonic_ms(void *argument)
{
    (void)argument;
    return log_read_clock(CLOCK_MONOTONIC);
}

void log_configure(const char *daemon_name, enum log_level least_level)
{
    (void)snprintf(log_daemon_name, sizeof(log_daemon_name), "%s", daemon_name);
    atomic_store(&log_least_level, (int)least_level);
}

static const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {
        [LOG_LEVEL_DEBUG] = "debug",
        [LOG_LEVEL_INFO] = "info",
        [LOG_LEVEL_WARNING] = "warning",
        [LOG_LEVEL_ERROR] = "error",
    };
    return names[level];
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
    for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
        if (strcmp(text, log_level_name((enum log_level)level)) == 0) {
            *ret_level = (enum log_level)level;
            return 0;
        }
    }
    return ERR_INPUT;
}

void log_set_fd(int fd)
{
    atomic_store(&log_fd, fd);
}

void log_set_clock(const struct log_clock *clock)
{
    pthread_mutex_lock(&log_mutex);
    log_clock = clock == NULL ? log_machine_clock : *clock;
    pthread_mutex_unlock(&log_mutex);
}

struct log_field log_field_text(const char *name, const char *text)
{
    return log_field_bytes(name, text, text == NULL ? 0 : strlen(text));
}

struct log_field log_field_bytes(const char *name, const char *text, size_t text_bytes)
{
    return (struct log_field){
        .name = name, .kind = LOG_FIELD_TEXT, .text = text, .text_bytes = text_bytes};
}

struct log_field log_field_int(const char *name, int64_t integer)
{
    return (struct log_field){.name = name, .kind = LOG_FIELD_INT, .integer = integer};
}

struct log_field log_field_float(const char *name, double number)
{
    return (struct log_field){.name = name, .kind = LOG_FIELD_FLOAT, .number = number};
}

struct log_field log_field_bool(const char *name, bool truth)
{
    return (struct log_field){.name = name, .kind = LOG_FIELD_BOOL, .integer = truth ? 1 : 0};
}

/* Appends the bytes whole or not at all; always leaves room for the line's end. */
static bool log_put(struct log_line *line, const char *bytes, size_t byte_count)
{
    if (byte_count > LOG_LINE_MAX_BYTES - sizeof(LOG_END_TRUNCATED) - line->size_bytes)
        return false;
    memcpy(line->data + line->size_bytes, bytes, byte_count);
    line->size_bytes += byte_count;
    return true;
}

static bool log_put_text(struct log_line *line, const char *text)
{
    return log_put(line, text, strlen(text));
}

/* Appends a JSON string; a long text is cut at a character. False if even that does not fit. */
static bool log_put_string(struct log_line *line, const char *text, size_t text_bytes)
{
    char escaped[JSON_ESCAPE_BYTES];
    bool fits = log_put_text(line, "\"");
    size_t used = 0;
    while (fits && used < text_bytes && used < LOG_TEXT_MAX_BYTES) {
        used += json_escape(text + used, text_bytes - used, escaped);
        fits = log_put_text(line, escaped);
    }
    if (fits && used < text_bytes) {
        line->truncated = true;
        fits = log_put_text(line, "…");
    }
    return fits && log_put_text(line, "\"");
}

static bool log_put_value(struct log_line *line, const struct log_field *field)
{
    char number[JSON_NUMBER_BYTES];
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        if (field->text == NULL)
            return log_put_text(line, "null");
        return log_put_string(line, field->text, field->text_bytes);
    case LOG_FIELD_INT:
        (void)snprintf(number, sizeof(number), "%lld", (long long)field->integer);
        return log_put_text(line, number);
    case LOG_FIELD_FLOAT:
        json_number_to_text(field->number, number);
        return log_put_text(line, number);
    case LOG_FIELD_BOOL:
        return log_put_text(line, field->integer != 0 ? "true" : "false");
    }
    return false;
}

/* Appends `,"name":value` (`{` before the first), or nothing if the line has no room for all of it. */
static void log_put_field(struct log_line *line, const struct log_field *field)
{
    size_t size_before = line->size_bytes;
    bool fits = log_put_text(line, size_before == 0 ? "{" : ",") &&
                log_put_string(line, field->name, strlen(field->name)) && log_put_text(line, ":") &&
                log_put_value(line, field);
    if (!fits) {
        line->size_bytes = size_before;
        line->truncated = true;
    }
}

/*
 * Counts the line against its site's window. Returns false if it must be left out; else `ret_suppressed` becomes
 * the number of lines that were left out before it. Caller holds the mutex.
 */
static bool log_site_admit(struct log_site *site, int64_t now_ms, unsigned *ret_suppressed)
{
    if (site->lines == 0 || now_ms - site->window_start_ms >= LOG_SITE_WINDOW_MS) {
        site->window_start_ms = now_ms;
        site->lines = 0;
    }
    if (site->lines >= LOG_SITE_BURST) {
        site->suppressed++;
        return false;
    }
    site->lines++;
    *ret_suppressed = site->suppressed;
    site->suppressed = 0;
    return true;
}

/* Writes all bytes unless the descriptor fails or would block: a log must not stop its daemon. */
static void log_send(const char *bytes, size_t byte_count)
{
    int fd = atomic_load(&log_fd);
    for (size_t sent = 0; sent < byte_count;) {
        ssize_t written = write(fd, bytes + sent, byte_count - sent);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        sent += (size_t)written;
    }
}

/* Builds the line: the head that every line has, how many were left out, the caller's fields. */
static void log_compose(struct log_line *line, const char *time_text, enum log_level level,
                        const char *message, unsigned suppressed)
{
    const struct log_field head[] = {
        log_field_text("time", time_text),         log_field_text("level", log_level_name(level)),
        log_field_text("daemon", log_daemon_name), log_field_text("message", message),
        log_field_int("suppressed", suppressed),
    };
    size_t head_count = ARRAY_COUNT(head) - (suppressed > 0 ? 0 : 1);
    for (size_t i = 0; i < head_count; i++)
        log_put_field(line, &head[i]);
}

void log_write(struct log_site *site, enum log_level level, const char *message,
               const struct log_field *fields, size_t field_count)
{
    if ((int)level < atomic_load(&log_least_level))
        return;
    int saved_errno = errno; /* callers log before they look at it */
    unsigned suppressed = 0;
    pthread_mutex_lock(&log_mutex);
    int64_t wall_ms = log_clock.wall_ms(log_clock.argument);
    bool admitted = log_site_admit(site, log_clock.monotonic_ms(log_clock.argument), &suppressed);
    pthread_mutex_unlock(&log_mutex);
    if (!admitted)
        return;

    char time_text[TIME_TEXT_BYTES];
    time_to_text(wall_ms, time_text);
    struct log_line line;
    line.size_bytes = 0;
    line.truncated = false;
    log_compose(&line, time_text, level, message, suppressed);
    for (size_t i = 0; i < field_count; i++)
        log_put_field(&line, &fields[i]);
    const char *end = line.truncated ? LOG_END_TRUNCATED : LOG_END;
    memcpy(line.data + line.size_bytes, end, strlen(end));
    log_send(line.data, line.size_bytes + strlen(end));
    errno = saved_errno;
}
