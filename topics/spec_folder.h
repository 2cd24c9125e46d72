/*
 * Documents from a folder: what `--specs DIR` and `nodag specs check` read.
 *
 * Design: all files that end in .yaml or .yml, in the folder and those below it, but nothing that
 * begins with a dot (editors' files, and the folders behind Kubernetes' mounted configuration). Read
 * whole, in the order of their paths. What cannot be read becomes a file with a fault, not a
 * failure: the rest counts.
 *
 * Invariants: bounded in files, depth and bytes; nothing outside the folder is read but where a
 * symbolic link leads.
 */
#ifndef NODAG_TOPICS_SPEC_FOLDER_H
#define NODAG_TOPICS_SPEC_FOLDER_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/spec_set.h"

/* Most files that are read. */
#define SPEC_FOLDER_FILES_MAX 1000

/* Deepest folder below the one that is named. */
#define SPEC_FOLDER_DEPTH_MAX 8

/* Most bytes of all files. */
#define SPEC_FOLDER_MAX_BYTES (64u << 20)

/* What a folder holds. */
struct spec_folder {
    char *path;              /* owned; as it was named */
    struct spec_file *files; /* owned, and so are its texts */
    size_t file_count;       /* how many */
    char **watched;          /* owned: the files and folders whose change matters */
    size_t watched_count;    /* how many */
    size_t bytes;            /* of all files */
};

/*
 * Reads a folder, or a single file whatever its name ends in. Owned result. ERR_NOT_FOUND,
 * ERR_DENIED, ERR_IO with the path where the folder itself cannot be read; ERR_TOO_LARGE over the
 * limits. Blocks for as long as small files take. Any thread.
 */
int spec_folder_read(const char *path, struct spec_folder **ret_folder,
                     struct error *error) MUST_CHECK;

/* Frees it; NULL allowed. */
void spec_folder_free(struct spec_folder *folder);
DEFINE_CLEANUP(struct spec_folder *, spec_folder_free)

#endif
