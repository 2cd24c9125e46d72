/*
 * The documents that were last published: a fold of `specs`, as heads.h is one of `git.pushes`.
 *
 * Design: the topic has one partition, which is read from its beginning and goes on being read. How far it was
 * read is known, so that who published something can wait until the fold has it before comparing again.
 *
 *      specs_begin ─▶ partition count known ─▶ reader from the beginning ─▶ caught up ─▶ loaded
 *
 * Invariant: the records are complete once specs_loaded, up to specs_end.
 */
#ifndef NODAG_INGEST_GIT_SPECS_H
#define NODAG_INGEST_GIT_SPECS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "topics/bus.h"
#include "topics/spec_store.h"

/* How soon the number of partitions is asked for again. */
#define SPECS_RETRY_MS 500

/* The fold. */
struct specs;

/*
 * A repository that a document in force names, with the document's key; `branch` NULL: all branches. Borrowed
 * texts.
 */
typedef void (*spec_named_fn)(void *argument, const char *key, const char *repository,
                              const char *branch);

/* What the owner is told; loop thread. */
struct specs_handler {
    /* Everything that was there at the start was read. Once. */
    void (*loaded)(void *argument);
    /* It cannot be read for now. */
    void (*trouble)(void *argument, const char *reason);
    /* One more record was read; `key`: whose record changed by it, or NULL. */
    void (*advanced)(void *argument, const char *key);
};

/* Makes an empty fold that does not read yet; everything is borrowed. Owned. Loop thread. */
struct specs *specs_new(struct loop *loop, struct bus *bus, const struct specs_handler *handler,
                        void *argument);

/* Begins to read, once; later calls do nothing. Loop thread. */
void specs_begin(struct specs *specs);

/* Stops reading for good: the bus may be freed then. Loop thread. */
void specs_leave(struct specs *specs);

/* Frees it; NULL allowed. Loop thread. */
void specs_free(struct specs *specs);
DEFINE_CLEANUP(struct specs *, specs_free)

/* Returns true once `loaded` was called. Loop thread. */
bool specs_loaded(const struct specs *specs);

/* Returns the offset behind the last record that was read; 0: none. Loop thread. */
int64_t specs_end(const struct specs *specs);

/* Calls `visit` for each repository that a document in force names, by key. Loop thread. */
void specs_visit_named(const struct specs *specs, spec_named_fn visit, void *argument);

/* Counts the keys with a valid document, and those with an invalid one; some have both. Loop thread. */
void specs_count(const struct specs *specs, size_t *ret_valid, size_t *ret_invalid);

/* Returns the records; borrowed. Loop thread. */
const struct spec_store *specs_records(const struct specs *specs);

#endif
