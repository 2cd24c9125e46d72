/*
 * Bounded parsing: large bodies are read a piece at a time, so that a dense one does not stall the loop.
 *
 * Design: yajl reads 70 to 800 MB a second, so that 25 MB of dense JSON take a third of a second. A body up to
 * PARSE_PIECE_BYTES is read at once; larger ones queue, first come first served, and the loop reads one piece
 * of the first a turn. First come first served, because half-read bodies help nobody while deadlines run.
 *
 * A token may span pieces: payload_trim() keeps what yajl holds of it, and begins anew with each piece, small.
 *
 * Invariants: one piece a turn over all jobs; `finished` is called once for each job unless it was cancelled;
 * small bodies are finished before parse_queue_start returns.
 */
#ifndef NODAG_INGEST_GITHUB_PARSE_QUEUE_H
#define NODAG_INGEST_GITHUB_PARSE_QUEUE_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "ingest/github/payload.h"

/* Bytes read in one turn of the loop: under two milliseconds for the densest JSON. */
#define PARSE_PIECE_BYTES (128u << 10)

/* The queue. */
struct parse_queue;

/* One body to read; embedded in its owner. */
struct parse_job {
    const char *bytes;       /* the body; borrowed until finished or cancelled */
    size_t byte_count;       /* its length */
    struct payload *payload; /* owned by the job; NULL before the start */
    /* The body was read (0), or is no JSON (ERR_INPUT with text). `payload` holds the values after 0. */
    void (*finished)(struct parse_job *job, int code, const struct error *error);
    size_t read_bytes;           /* internal: how far it is */
    struct parse_queue *queue;   /* internal: where it waits; NULL: nowhere */
    struct parse_job *next;      /* internal: in the queue */
    struct parse_job **previous; /* internal: the link that points here */
};

/* Makes an empty queue; owned. Loop thread. */
struct parse_queue *parse_queue_new(struct loop *loop);

/* Frees the queue; jobs in it are forgotten, not told. NULL allowed. Loop thread. */
void parse_queue_free(struct parse_queue *queue);
DEFINE_CLEANUP(struct parse_queue *, parse_queue_free)

/* Starts a job with `bytes`, `byte_count` and `finished` set and the rest zero. Loop thread. */
void parse_queue_start(struct parse_queue *queue, struct parse_job *job);

/* Takes the job out, if it is in a queue, and frees its payload. Loop thread. */
void parse_job_cancel(struct parse_job *job);

#endif
