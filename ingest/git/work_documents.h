/*
 * The worker's reading of documents: the files of one commit that a source's paths name.
 *
 * Design: the tree is walked once for the names, then each file is read. What is wrong with a file is said in
 * its place and keeps no other from being read; what is wrong with the whole (no such commit, more than
 * WORK_FILES_MAX files) fails the request, so that nobody takes a part for all.
 *
 * Invariants: of a commit always the same is read; at most WORK_FILES_MAX_BYTES of text are answered, in the
 * order of git's trees, and files beyond that have a fault that says so.
 */
#ifndef NODAG_INGEST_GIT_WORK_DOCUMENTS_H
#define NODAG_INGEST_GIT_WORK_DOCUMENTS_H

#include <jansson.h>

#include "base/error.h"

/*
 * Does the request "documents" of work.h with the mirror in `folder`; sets members of `answer`. ERR_INPUT,
 * ERR_NOT_FOUND, ERR_CORRUPT, ERR_TOO_LARGE. Blocks for as long as reading takes. Main thread.
 */
int work_do_documents(const json_t *request, const char *folder, json_t *answer,
                      struct error *error) MUST_CHECK;

#endif
