/*
 * What a notebook leaves: files that strangers wrote, read by the supervisor with its own rights.
 *
 * Design: every file is opened below the scratch folder by openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV, and
 * must be a regular file with one name, of bounded size: a link to a secret, a named pipe, a device, a second name of another file
 * is refused. What of an executed notebook is told to people is taken from its JSON, with bounds, as text.
 *
 * Source: nbformat 4, "Code cell outputs" (output_type error: ename, evalue).
 *
 * Invariant: nothing outside the folder is opened, whatever lies in it.
 */
#ifndef NODAG_TRAINER_RUN_OUTPUTS_H
#define NODAG_TRAINER_RUN_OUTPUTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

/* Largest metrics: a thousand labels with all their figures; they go into records. */
#define RUN_METRICS_MAX_BYTES ((size_t)1 << 20)

/* Largest executed notebook that is searched for its failure. */
#define RUN_NOTEBOOK_MAX_BYTES ((size_t)30 << 20)

/* Longest piece of an exception's text in a reason. */
#define RUN_EXCEPTION_BYTES 300

/*
 * Opens a file for reading; `folder` is an absolute path, `path` one inside it. `ret_fd` is owned. ERR_NOT_FOUND; ERR_DENIED (a link, a folder, a device, a
 * second name); ERR_TOO_LARGE. Any thread.
 */
int run_output_open(const char *folder, const char *path, int64_t size_max_bytes, int *ret_fd,
                    struct error *error) MUST_CHECK;

/* Reads such a file into `bytes`, whose limit bounds it. As run_output_open; ERR_IO. Blocks. Any thread. */
int run_output_read(const char *folder, const char *path, struct buffer *bytes,
                    struct error *error) MUST_CHECK;

/* Reads metrics: a JSON object; new reference. As run_output_read; ERR_INPUT. Blocks. Any thread. */
int run_output_metrics(const char *folder, const char *path, json_t **ret_metrics,
                       struct error *error) MUST_CHECK;

/*
 * Looks for the first cell that failed, in the JSON of an executed notebook. True: `ret_text` is a sentence such as "cell In [5] failed: ValueError: …".
 * False: there is none, or the text is no notebook. Any thread.
 */
bool run_notebook_failure(const char *json, size_t json_bytes, char *ret_text, size_t text_bytes);

#endif
