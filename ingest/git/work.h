/*
 * What is done with mirrors, in a process of its own: this daemon's executable, called with WORK_ARGUMENT.
 *
 * Design: libgit2 reads files for as long as it takes, and what it reads was written by strangers. So no
 * mirror is opened in the daemon: a child does it, under a deadline, and a crash or an endless history ends
 * a child. A request is one JSON text on its standard input, the answer one on its standard output; a
 * failure is status 1 and "CODE: text" on standard error.
 *
 *      {"do":"prepare","folder":"…","config":"…"}                         → {"bytes":N}
 *      {"do":"describe","folder":"…","repository":"…","moves":[…]}        → {"bytes":N,"results":[…]}
 *                                                             one for each move, in their order
 *      {"do":"discard","folder":"…"}                                      → {}
 *      {"do":"documents","folder":"…","commit":"…","paths":["…"],"lenient":false}
 *                                                                         → {"files":[…],"skipped":N}
 *
 *      a move     {"ref":"…","old":"…"|null,"move":7,"deleted":false}
 *      a result   {"push":{…}} (topics/git_push.h), or {"unmoved":true}, or {"code":"ERR_CORRUPT","text":"…"}
 *
 *      a file     {"path":"…","text":"…"} or {"path":"…","fault":"…"}: why it cannot be read. Only names that
 *                 end in .yaml or .yml; `skipped` are those whose path is no UTF-8. A damaged object fails
 *                 the request, or, if it is lenient, becomes the fault of its file
 *
 * Invariants: one answer for each request; a move that cannot be described does not keep others from being described.
 */
#ifndef NODAG_INGEST_GIT_WORK_H
#define NODAG_INGEST_GIT_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/child.h"
#include "base/error.h"
#include "base/git_answer.h"
#include "base/json_text.h"
#include "ingest/git/config.h"
#include "topics/git_push.h"
#include "topics/spec_set.h"

/* The first argument that makes this executable the worker. */
#define WORK_ARGUMENT "git-work"

/* Most moves of one request: bounds the answer and the memory of reading it. */
#define WORK_MOVES_MAX 64

/* Largest request. */
#define WORK_REQUEST_MAX_BYTES (4u << 20)

/*
 * Largest answer: what is read as JSON. Some ten megabytes are usual for the most moves; over it fewer are
 * asked for at once.
 */
#define WORK_ANSWER_MAX_BYTES JSON_TEXT_MAX_BYTES

/* Most files of a source, and most bytes of all of them: written as JSON they fit into an answer. */
#define WORK_FILES_MAX 1000
/* See above. */
#define WORK_FILES_MAX_BYTES (4u << 20)

/* A head that is to be described. */
struct work_move {
    const char *ref;    /* borrowed */
    const char *old_id; /* borrowed; "": not known */
    int64_t move;       /* number that the push gets */
    bool is_deleted;    /* the remote has it no more */
};

/* What came of one. */
struct work_result {
    int code;             /* 0, or why it could not be described */
    bool is_unmoved;      /* it stands where it was */
    struct git_push push; /* where code is 0 and it moved; owned */
    const char *text;     /* where code is not 0; borrowed from the answer */
};

/* An answer that was read. */
struct work_answer {
    int64_t bytes;               /* of the mirror; -1: not said */
    struct work_result *results; /* owned */
    size_t count;                /* how many */
    json_t *memory;              /* owned */
};

/* Files that were read. */
struct work_documents {
    struct spec_file *files; /* owned; texts are borrowed from `memory` */
    size_t count;            /* how many */
    int64_t skipped;         /* files that were left out for their names */
    json_t *memory;          /* owned */
};

/* Return a request's text, its length in `ret_bytes`; owned. Loop thread. */
char *work_write_prepare(const char *folder, const char *config, size_t *ret_bytes);
/* See above; `count` ≤ WORK_MOVES_MAX. */
char *work_write_describe(const char *folder, const char *repository, const struct work_move *moves,
                          size_t count, size_t *ret_bytes);
/* See above. */
char *work_write_discard(const char *folder, size_t *ret_bytes);
/* See above. */
char *work_write_documents(const char *folder, const char *commit, const struct patterns *paths,
                           bool is_lenient, size_t *ret_bytes);

/*
 * Reads what a worker answered; `count` is how many moves were asked for. To be released. The worker's own
 * code and text if it failed; ERR_BUG for an answer that is none. Loop thread.
 */
int work_read_answer(const struct child_result *result, size_t count,
                     struct work_answer *ret_answer, struct error *error) MUST_CHECK;

/*
 * Reads the answer to `documents`; to be released. As work_read_answer; ERR_NOT_FOUND if the mirror does not
 * have the commit, ERR_CORRUPT, ERR_TOO_LARGE over WORK_FILES_MAX. Loop thread.
 */
int work_read_documents(const struct child_result *result, struct work_documents *ret_documents,
                        struct error *error) MUST_CHECK;

/* Frees what it owns and empties it. */
void work_documents_release(struct work_documents *documents);

/* The cleanup function behind CLEANUP(work_documents_release). */
static inline __attribute__((unused)) void
work_documents_release_cleanup(struct work_documents *documents)
{
    work_documents_release(documents);
}

/* Frees what an answer owns. */
void work_answer_release(struct work_answer *answer);

/* The cleanup function behind CLEANUP(work_answer_release). */
static inline __attribute__((unused)) void work_answer_release_cleanup(struct work_answer *answer)
{
    work_answer_release(answer);
}

/* Returns true if the arguments are a worker's. Before anything else. */
bool work_is_asked(int argc, char **argv);

/* Does one request; returns the exit status of the process. Main thread. */
int work_main(void);

#endif
