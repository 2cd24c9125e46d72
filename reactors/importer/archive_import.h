/*
 * Files of GH Archive, read one after the other and published as history events.
 *
 * Design: a slice of lines a turn of the loop, so that acknowledgements and signals are seen; what may be in flight is
 * bounded, and reading pauses there. Nothing is remembered between runs: the same file again makes
 * the same events.
 *
 * Invariants: `ended` is told once, last, when nothing is in flight; events are published in the order of
 * the lines.
 */
#ifndef NODAG_IMPORTER_ARCHIVE_IMPORT_H
#define NODAG_IMPORTER_ARCHIVE_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "reactors/importer/archive_event.h"
#include "topics/bus.h"

/* What to import; everything borrowed for the import's life. */
struct archive_import_settings {
    const char *const *files; /* paths, in the order to be read */
    size_t file_count;        /* of them */
    const char *const *globs; /* which repositories */
    size_t glob_count;        /* of them */
    bool keep_going;          /* pass over what is damaged, and count it */
};

/* How far it is; borrowed for the callback. */
struct archive_import_progress {
    size_t file;                      /* which file is read, from 0; file_count at the end */
    uint64_t file_bytes;              /* compressed bytes that were read of it */
    size_t lines;                     /* in all */
    size_t kinds[ARCHIVE_LINE_COUNT]; /* lines by what they are */
    size_t published;                 /* events acknowledged */
    size_t skipped;                   /* lines or rests of files that were passed over as damaged */
};

/* Whom to tell; loop thread. */
struct archive_import_handler {
    /* Something of the progress changed. */
    void (*progress)(void *argument, const struct archive_import_progress *progress);
    /* Something was passed over; one line. */
    void (*noticed)(void *argument, const char *text);
    /* It is over: 0, ERR_CANCELLED after archive_import_stop, or why not. */
    void (*ended)(void *argument, int code, const struct error *error);
};

/* An import. */
struct archive_import;

/* Makes and starts one; everything borrowed. Owned. Loop thread. */
struct archive_import *archive_import_new(struct loop *loop, struct bus *bus, const char *source,
                                          const struct archive_import_settings *settings,
                                          const struct archive_import_handler *handler,
                                          void *argument);

/* Frees it; the bus must have been freed before if it has not ended. NULL allowed. Loop thread. */
void archive_import_free(struct archive_import *import);
DEFINE_CLEANUP(struct archive_import *, archive_import_free)

/* Stops: what is published is waited for, then `ended` is told ERR_CANCELLED. Loop thread. */
void archive_import_stop(struct archive_import *import);

#endif
