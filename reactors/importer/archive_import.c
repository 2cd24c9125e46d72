/*
 * Importing files of GH Archive: see archive_import.h.
 */
#include "reactors/importer/archive_import.h"

#include <string.h>

#include "base/memory.h"
#include "reactors/importer/archive_reader.h"
#include "reactors/importer/publisher.h"

/* What passes through `void *` starts with it. */
#define IMPORT_MAGIC 0x1a90a4c4u

/* Most lines, and bytes of lines, of one turn of the loop: some milliseconds. */
#define SLICE_LINES_MAX 2000
/* See above. */
#define SLICE_BYTES_MAX ((size_t)8 << 20)

/* Until the next try where the producer's queue is full. */
#define FULL_WAIT_MS 100

struct archive_import {
    unsigned magic;
    struct loop *loop;           /* borrowed */
    struct publisher *publisher; /* owned */
    struct archive_import_settings settings;
    struct archive_import_handler handler;
    void *argument; /* theirs */

    struct archive_reader *reader; /* owned; NULL between files */
    struct history_issue waiting;  /* owned; read, and the queue was full */
    bool has_waiting;
    struct loop_timer *timer; /* owned; set: the queue was full */
    struct error error;       /* why it ends */
    bool is_ending;           /* nothing more is read */
    bool has_ended;

    struct archive_import_progress progress;
};

/* ---- the end ---- */

/* Nothing more is read; the first reason counts. */
static void import_close(struct archive_import *import, int code, const char *text)
{
    if (!import->is_ending && code != 0)
        (void)error_set(&import->error, code, "%s", text);
    import->is_ending = true;
}

static void import_tell_progress(struct archive_import *import)
{
    import->progress.published = publisher_count(import->publisher);
    import->handler.progress(import->argument, &import->progress);
}

static void import_end_if_settled(struct archive_import *import)
{
    if (publisher_in_flight(import->publisher) > 0 || import->has_ended)
        return;
    import->has_ended = true;
    int failure = publisher_take_failure(import->publisher);
    if (failure != 0 && import->error.code == 0)
        (void)error_set(&import->error, failure, "Kafka did not take an event: %s",
                        err_text(failure));
    import_tell_progress(import);
    import->handler.ended(import->argument, import->error.code, &import->error);
}

/* ---- lines ---- */

/* Something is damaged: ends, or goes on after it was told. */
static void import_skip(struct archive_import *import, const struct error *error)
{
    if (!import->settings.keep_going) {
        CLEANUP(mem_free)
        char *text = mem_format("%s; --keep-going passes over such things", error->text);
        import_close(import, error->code, text);
        return;
    }
    import->progress.skipped++;
    import->handler.noticed(import->argument, error->text);
}

static void import_skip_line(struct archive_import *import, struct error *error)
{
    (void)error_prefix(error, error->code, "%s: line %zu",
                       import->settings.files[import->progress.file],
                       archive_reader_line(import->reader));
    import_skip(import, error);
}

/* Publishes what waits. False: the queue is full. */
static bool import_publish(struct archive_import *import)
{
    struct error error = {0};
    int code = publisher_send(import->publisher, &import->waiting, &error);
    if (code == ERR_QUEUE_FULL)
        return false;
    if (code == ERR_INPUT || code == ERR_TOO_LARGE)
        import_skip_line(import, &error);
    else if (code != 0)
        import_close(import, code, error.text);
    history_issue_release(&import->waiting);
    import->has_waiting = false;
    return true;
}

static void import_take_line(struct archive_import *import, const char *line, size_t line_bytes)
{
    struct error error = {0};
    enum archive_line kind = ARCHIVE_OTHER;
    import->progress.lines++;
    int code = archive_event_read(line, line_bytes, import->settings.globs,
                                  import->settings.glob_count, &kind, &import->waiting, &error);
    if (code != 0) {
        import_skip_line(import, &error);
        return;
    }
    import->progress.kinds[kind]++;
    import->has_waiting = kind == ARCHIVE_ISSUE;
}

/* ---- files ---- */

static void import_finish_file(struct archive_import *import)
{
    archive_reader_free(import->reader);
    import->reader = NULL;
    import->progress.file++;
    import->progress.file_bytes = 0;
}

static void import_open_file(struct archive_import *import)
{
    struct error error = {0};
    if (import->progress.file == import->settings.file_count) {
        import_close(import, 0, NULL);
        return;
    }
    if (archive_reader_open(import->settings.files[import->progress.file], &import->reader,
                            &error) == 0)
        return;
    import_skip(import, &error);
    if (!import->is_ending)
        import->progress.file++;
}

/* Reads the next line. Returns how many bytes it has. */
static size_t import_read_line(struct archive_import *import)
{
    const char *line = NULL;
    size_t line_bytes = 0;
    struct error error = {0};
    int code = archive_reader_next(import->reader, &line, &line_bytes, &error);
    import->progress.file_bytes = archive_reader_bytes(import->reader);
    if (code == 0 && line != NULL) {
        import_take_line(import, line, line_bytes);
        return line_bytes;
    }
    if (code != 0)
        import_skip(import, &error);
    if (code != ERR_TOO_LARGE && !import->is_ending)
        import_finish_file(import);
    return code == ERR_TOO_LARGE ? ARCHIVE_LINE_MAX_BYTES : 0;
}

/* ---- turns ---- */

/* One turn: a slice of lines. */
static void import_turn(void *argument)
{
    struct archive_import *import = CAST_CHECKED(struct archive_import, argument, IMPORT_MAGIC);
    size_t slice_bytes = 0;
    for (size_t i = 0; i < SLICE_LINES_MAX && slice_bytes < SLICE_BYTES_MAX; i++) {
        if (import->is_ending)
            break;
        if (import->has_waiting && !import_publish(import)) {
            loop_timer_set(import->timer, FULL_WAIT_MS);
            return;
        }
        if (import->is_ending)
            break;
        if (import->reader == NULL)
            import_open_file(import);
        else
            slice_bytes += import_read_line(import);
    }
    if (import->is_ending) {
        import_end_if_settled(import);
        return;
    }
    import_tell_progress(import);
    loop_defer(import->loop, import_turn, import);
}

static void import_on_acknowledged(void *argument)
{
    struct archive_import *import = CAST_CHECKED(struct archive_import, argument, IMPORT_MAGIC);
    int failure = publisher_take_failure(import->publisher);
    if (failure != 0) {
        CLEANUP(mem_free)
        char *text = mem_format("Kafka did not take an event: %s; what is there already is not "
                                "doubled when the same files are imported again",
                                err_text(failure));
        import_close(import, failure, text);
    }
    if (import->is_ending)
        import_end_if_settled(import);
}

struct archive_import *archive_import_new(struct loop *loop, struct bus *bus, const char *source,
                                          const struct archive_import_settings *settings,
                                          const struct archive_import_handler *handler,
                                          void *argument)
{
    struct archive_import *import = MEM_NEW(struct archive_import);
    import->magic = IMPORT_MAGIC;
    import->loop = loop;
    import->publisher = publisher_new(bus, source, import_on_acknowledged, import);
    import->settings = *settings;
    import->handler = *handler;
    import->argument = argument;
    import->timer = loop_timer_new(loop, import_turn, import);
    loop_defer(loop, import_turn, import);
    return import;
}

void archive_import_free(struct archive_import *import)
{
    if (import == NULL)
        return;
    loop_cancel_deferred(import->loop, import);
    loop_timer_free(import->timer);
    archive_reader_free(import->reader);
    history_issue_release(&import->waiting);
    publisher_free(import->publisher);
    import->magic = 0;
    mem_free(import);
}

void archive_import_stop(struct archive_import *import)
{
    import_close(import, ERR_CANCELLED, "stopped");
    loop_timer_clear(import->timer);
    loop_cancel_deferred(import->loop, import);
    loop_defer(import->loop, import_turn, import);
}
