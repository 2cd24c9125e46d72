/*
 * How far a command is, for the person who waits: a bar on a terminal, a line now and then elsewhere.
 *
 * Design: on a terminal one line is drawn over itself, cut to the terminal's width. Elsewhere (a log, a
 * pipe) a line is printed at most every PROGRESS_LINE_MS. Everything goes to standard error: results
 * have standard output for themselves.
 */
#ifndef NODAG_IMPORTER_PROGRESS_H
#define NODAG_IMPORTER_PROGRESS_H

#include "base/cleanup.h"
#include "base/loop.h"

/* Between two lines where there is no terminal. */
#define PROGRESS_LINE_MS 10000

/* Between two drawings of the bar: what eyes can follow. */
#define PROGRESS_DRAW_MS 100

/* A progress. */
struct progress;

/* Makes one that writes to standard error; `name` (borrowed) is put before lines. Owned. Loop thread. */
struct progress *progress_new(struct loop *loop, const char *name);

/* Takes the bar away and frees it; NULL allowed. */
void progress_free(struct progress *progress);
DEFINE_CLEANUP(struct progress *, progress_free)

/* Shows how far it is: `share` 0..1, below 0 where that is unknown, and a text of one line. Loop thread. */
void progress_show(struct progress *progress, double share, const char *text);

/* Prints a line that stays. Loop thread. */
void progress_say(struct progress *progress, const char *text);

#endif
