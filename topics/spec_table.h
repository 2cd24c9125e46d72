/*
 * The documents that are in force, for a reactor: a fold of the topic `specs`, or a folder.
 *
 *      topic `specs` ──reader──▶ ┐
 *                                ├─▶ records by key ──▶ changed(key)
 *      folder ──watch, plan────▶ ┘
 *
 * Design: one interface, so that a reactor does not know which it is. The folder goes through the
 * same plan as git's documents do (spec_set.h): the last valid document stays in force, what is gone
 * is gone. The topic is read whole and without a group.
 *
 * Invariants: `changed` is not called before `ready`, and neither from within spec_table_new; the
 * records are complete when `ready` is called.
 */
#ifndef NODAG_TOPICS_SPEC_TABLE_H
#define NODAG_TOPICS_SPEC_TABLE_H

#include <stdbool.h>

#include "base/loop.h"
#include "base/option.h"
#include "topics/bus.h"
#include "topics/spec_store.h"

/* Where documents come from. */
struct spec_table_settings {
    const char *folder; /* --specs: a folder, or one file; NULL: the topic */
};

/* The row for option tables: `type` is the settings struct, `member` its struct spec_table_settings.
 */
#define SPEC_TABLE_OPTION_ROW(type, member)                                                        \
    {                                                                                              \
        .name = "specs", .letter = 'd', .kind = OPTION_FILE,                                       \
        .offset = offsetof(type, member.folder), .value_name = "DIR", .group = "Documents",        \
        .help = "Take the documents from the .yaml files of this folder (or from one file), and "  \
                "look again when they "                                                            \
                "change. Without it they come from the topic specs, where nodag ingest-git "       \
                "publishes those of git repositories."                                             \
    }

/* What the owner is told. */
struct spec_table_handler {
    /* Everything that was there at the start has been read. Once. */
    void (*ready)(void *argument);
    /* The record of a key changed, appeared or went (spec_store_find says). */
    void (*changed)(void *argument, const char *key);
    /* The folder changed and cannot be read now; all stays as it is. */
    void (*failed)(void *argument, const struct error *error);
};

/* The documents. */
struct spec_table;

/*
 * Begins to read; `bus` may be NULL for a folder; handler and argument are borrowed. Owned.
 * ERR_INPUT, ERR_DENIED from the bus; the codes of spec_folder_read for a folder. Loop thread.
 */
int spec_table_new(struct loop *loop, struct bus *bus, const struct spec_table_settings *settings,
                   const struct spec_table_handler *handler, void *argument,
                   struct spec_table **ret_table, struct error *error) MUST_CHECK;

/* Stops and frees; NULL allowed. Loop thread. */
void spec_table_free(struct spec_table *table);
DEFINE_CLEANUP(struct spec_table *, spec_table_free)

/* Returns the records as they are now; borrowed. Loop thread. */
const struct spec_store *spec_table_records(const struct spec_table *table);

/* Returns true once `ready` was called. Loop thread. */
bool spec_table_is_ready(const struct spec_table *table);

/* Reads the folder again at once; nothing to do for the topic. ERR_… as spec_folder_read; then all
 * stays as it is. Loop thread. */
int spec_table_reload(struct spec_table *table, struct error *error) MUST_CHECK;

#endif
