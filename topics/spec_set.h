/*
 * From the files of all sources to the records of `specs`: which to publish, which to delete.
 *
 *      sources (files as they are now) ─┐
 *                                       ├─▶ spec_plan_make ─▶ records and tombstones that differ
 *      records as they were published ──┘
 *
 * Design: a pure function over everything at once, because what is right depends on the rest: two
 * documents of one name, two Deployments on one branch. The rules:
 *   - a valid document is published, and its record keeps when that was first so;
 *   - an invalid one is published beside the last valid one, which stays in force;
 *   - a document that is gone is deleted; but if its file cannot be read, or holds a document whose
 *     kind or name cannot be read, nobody knows that it is gone: it stays in force, with that
 *     reason beside it;
 *   - of a source that could not be read at all (is_known false) everything stays as it is;
 *   - of two documents with one key the one that is in force stays so, and the other is named as
 *     invalid beside it; if neither is, neither counts;
 *   - a document whose name its source may not define is a fault of its file and has no part in its
 *     key; other breaches of `allow` make it invalid; what is in force and breaches what its source
 *     may define by now, or whose source is not configured any more, does not stay.
 *
 * Invariants: a plan that was carried out is followed by an empty one; the order of the sources and
 * files makes no difference to what is in force.
 */
#ifndef NODAG_TOPICS_SPEC_SET_H
#define NODAG_TOPICS_SPEC_SET_H

#include "topics/spec_allow.h"
#include "topics/spec_check.h"
#include "topics/spec_record.h"
#include "topics/spec_store.h"

/* One file of a source; everything borrowed. */
struct spec_file {
    const char *path;  /* within the repository */
    const char *text;  /* content; NULL: it cannot be read, see `fault` */
    size_t text_bytes; /* length */
    const char *fault; /* NULL, or why it cannot be read: "larger than 1 MiB; split it" */
};

/* One source; everything borrowed. */
struct spec_source {
    const char *repository;          /* URL without secrets, or a folder */
    const char *branch;              /* NULL: none */
    const char *commit;              /* that the files are of; NULL: none */
    bool is_known;                   /* false: could not be read; its documents stay as they are */
    enum spec_strictness strictness; /* how its documents are judged */
    struct spec_allow allow;         /* what it may define */
    const struct spec_file *files;   /* those in its watched paths */
    size_t file_count;               /* how many */
};

/* One record to publish. */
struct spec_change {
    char key[SUBJECT_KEY_BYTES]; /* printable */
    struct spec_record *record;  /* owned; NULL: tombstone */
};

/* What to publish; nothing that is as it was. */
struct spec_plan {
    size_t change_count;         /* how many */
    struct spec_change *changes; /* owned; by key, each once */
};

/*
 * Compares sources with what was published (`previous`: the fold of the topic). `now_ms` since 1970
 * becomes first_published of what is new. Owned result. Any thread.
 */
struct spec_plan *spec_plan_make(const struct spec_source *sources, size_t source_count,
                                 const struct spec_store *previous, int64_t now_ms);

/* Frees a plan; NULL allowed. */
void spec_plan_free(struct spec_plan *plan);
DEFINE_CLEANUP(struct spec_plan *, spec_plan_free)

#endif
