/*
 * What the two halves of the plan share: spec_set.c reads the sources and settles who may have which
 * key and branch; spec_plan.c makes records of it and compares them with what was published.
 */
#ifndef NODAG_TOPICS_SPEC_SET_PRIVATE_H
#define NODAG_TOPICS_SPEC_SET_PRIVATE_H

#include "topics/spec_document.h"
#include "topics/spec_set.h"

/* One file as it was read. */
struct set_file {
    const struct spec_source *source; /* borrowed */
    const struct spec_file *file;     /* borrowed */
    struct spec_file_documents *read; /* owned */
    bool is_unreadable; /* something in it has no readable key: what is missing may be that */
};

/* One document that its source may call so. */
struct set_candidate {
    struct set_file *file;          /* where it stands */
    struct spec_document *document; /* borrowed from the file */
    bool is_winner;                 /* it stands for its key */
};

/* Everything as it is now. */
struct set {
    const struct spec_source *sources; /* borrowed */
    size_t source_count;               /* how many */
    const struct spec_store *previous; /* borrowed */
    struct set_file *files;            /* owned */
    size_t file_count;                 /* how many */
    struct set_candidate *candidates;  /* owned; by key, then by place */
    size_t candidate_count;            /* how many */
};

/* Reads all sources; duplicates and other breaches are said in the documents' errors. */
void set_read(struct set *set);

/* Frees what set_read made. */
void set_release(struct set *set);

/* Returns the configured source of a place, or NULL. */
const struct spec_source *set_source(const struct set *set, const struct spec_place *place);

/* Returns true if what is in force under a key may stay: its source is configured and allows it. */
bool set_may_stay(const struct set *set, const char *key, const struct spec_record *record);

/* Returns where the candidates of the key at `first` end. */
size_t set_group_end(const struct set *set, size_t first);

/* The place of a file's line; texts borrowed. */
struct spec_place set_place(const struct set_file *file, int line);

#endif
