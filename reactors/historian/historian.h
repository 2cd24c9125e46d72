/*
 * The historian: every issue has one current record on the topic `issues`.
 *
 *   github.events ──▶ changes held by key ──▶ fold with what the shelf has ──▶ record on `issues`
 *                                                 ▲                                │
 *                     `issues`, read at boot ─────┴──── shelf: registers ◀─────────┘
 *
 * Design: a reactor on the kernel. The kernel hands a key, and the historian is a fold of events: so
 * it keeps of each event what it says (the kernel's `take`) until the key runs. Then one record is
 * published for all that was held, and the events are finished when the broker has it. Its memory is
 * the topic `issues` itself: of each issue the registers without the texts (packed.h), and where the
 * record stands. A late event that changes a label and not the text needs the old text: it is read
 * back from there.
 *
 * What takes many issues away (a repository deleted or made private, an installation removed) stands
 * in one partition, its issues in all: who owns the event spreads it over the partitions
 * (topics/history_event.h), and each owner withdraws its own. A transferred issue takes its history
 * along: the owner of the old key publishes an event for the new one.
 *
 * A record of a private repository stands only where a document names the repository literally, or
 * --keep-private does; otherwise it has a tombstone, or never had a record. Names of repositories are
 * as of the newest event of each issue: a rename does not rewrite records, because keys are ids.
 *
 * Invariants:
 *   - an event is finished only after the broker has what follows from it;
 *   - the record is a function of the events that were delivered, whatever their order and however
 *     often;
 *   - nothing is in memory of what is not owned; texts only of events that are not finished.
 */
#ifndef NODAG_HISTORIAN_HISTORIAN_H
#define NODAG_HISTORIAN_HISTORIAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/option.h"
#include "reactors/kernel/kernel.h"
#include "topics/bus.h"

/* What the historian stands on; everything borrowed for its life. */
struct historian_ground {
    struct loop *loop;                    /* time */
    struct bus *bus;                      /* topics */
    struct metrics *metrics;              /* NULL: none */
    const struct kernel_settings *kernel; /* reconciling; concurrency ≥ 2 */
    const char *own_login; /* nodag's account at the forge, "nodag[bot]"; NULL: unknown */
    const struct option_list
        *keep_private; /* owner/name of private repositories that are recorded; NULL: none */
};

/* The historian. */
struct historian;

/* Starts; owned. ERR_INPUT, ERR_DENIED from the bus. Loop thread. */
int historian_new(const struct historian_ground *ground, struct historian **ret_historian,
                  struct error *error) MUST_CHECK;

/* Finishes what is under way, leaves the group and calls `drained(argument)`. Loop thread. */
void historian_drain(struct historian *historian, void (*drained)(void *argument), void *argument);

/* Abandons everything and frees; NULL allowed. Loop thread. */
void historian_free(struct historian *historian);
DEFINE_CLEANUP(struct historian *, historian_free)

/* Returns why it is not ready, NULL if it is; static storage. Loop thread. */
const char *historian_unready_reason(const struct historian *historian);

/* Calls `changed(argument)` whenever that may have changed. Loop thread. */
void historian_on_ready(struct historian *historian, loop_fn changed, void *argument);

/* Counts, for tests and benchmarks. */
struct historian_counts {
    size_t issues;               /* rows in memory, gone ones among them */
    size_t issue_bytes;          /* that they take */
    size_t held;                 /* keys with changes that wait */
    size_t records;              /* published */
    size_t tombstones;           /* published */
    size_t read_back;            /* records read again for their texts */
    size_t nothing_new;          /* runs without anything to publish */
    struct kernel_counts kernel; /* the kernel's */
};

/* Fills the counts. Loop thread. */
void historian_count(const struct historian *historian, struct historian_counts *ret_counts);

#endif
