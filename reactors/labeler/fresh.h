/*
 * Issues that were just opened, as the topic `issues` has them: what saves the reads of an issue's first
 * look.
 *
 *   github.events ──note──▶ `opened` was seen, and the newest offset of its key ──┐
 *   issues ───────────────▶ the historian's newest record of the key ─────────────┴─▶ judge ─▶ a job
 *
 * Design: people must win, so a record is used only where it cannot hide what somebody did:
 *   - this process saw the issue being opened, some time after it got the partition: what a former owner
 *     may have begun is looked at on the forge;
 *   - the record covers every event of the issue that this process has seen (its newest event stands at
 *     that offset or later; the historian folds a key's events in their order), and the process still
 *     reads the partition (kernel_work_is_current: the labeler asks);
 *   - its newest event is the only one of its second: GitHub's times do not say more, and webhooks arrive in any
 *     order;
 *   - nobody ever took a label away from it, and nodag put none there;
 *   - it was created minutes ago: so long can something be on its way that nobody has heard of;
 *   - it is open, in this repository, and has its text.
 * A job waits FRESH_WAIT_MS for such a record and looks at the forge otherwise. A record is given out once:
 * every further look at the issue is one at the forge, and in this mode a label that somebody removes
 * brings such a look (the labeler routes `unlabeled`).
 *
 * Only what is written from now on is read, so a start costs nothing however many issues there are.
 *
 * Invariants: FRESH_BYTES_MAX of records at most, the oldest go; of a partition that was given up nothing
 * is known.
 */
#ifndef NODAG_LABELER_FRESH_H
#define NODAG_LABELER_FRESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/option.h"
#include "topics/bus.h"
#include "topics/issue_record.h"

/* How old an issue may be, in milliseconds. */
#define FRESH_AGE_MS (2LL * 60 * 1000)

/* How far the forge's clock may be ahead, in milliseconds. */
#define FRESH_SKEW_MS (30LL * 1000)

/* How long a job waits for a record, in milliseconds: the historian needs some hundredths of a second. */
#define FRESH_WAIT_MS 2000

/* After so many waits in a row without any record of the topic nobody waits until there is one: no historian
 * is at work. */
#define FRESH_MISSED_MAX 10

/* Most bytes of records in memory: some thousand issues' texts. */
#define FRESH_BYTES_MAX ((size_t)32 << 20)

/* Most issues in memory. */
#define FRESH_COUNT_MAX 20000

/* Settings. */
struct fresh_settings {
    const char *history; /* --history: "issues", or "forge": nothing of this is used */
    int64_t
        settle_ms; /* --history-settle: events that came into Kafka sooner than this after a partition
                            was taken over are looked at on the forge */
};

/* Rows for option tables: `type` is the settings struct, `member` its struct fresh_settings. */
#define FRESH_OPTION_ROWS(type, member)                                                            \
    {.name = "history",                                                                            \
     .kind = OPTION_CHOICE,                                                                        \
     .offset = offsetof(type, member.history),                                                     \
     .choices = "forge|issues",                                                                    \
     .default_value = "forge",                                                                     \
     .group = "Reading",                                                                           \
     .help =                                                                                       \
         "Where the first look at a new issue finds its text and who did what to its labels: "     \
         "the forge (two reads), or the historian's topic issues (none) where that covers all "    \
         "that was heard of the issue; for documents with `comment: silent`. The same for all "    \
         "replicas."},                                                                             \
    {                                                                                              \
        .name = "history-settle", .kind = OPTION_DURATION,                                         \
        .offset = offsetof(type, member.settle_ms), .default_value = "1m", .least = 0,             \
        .most = 86400000,                                                                          \
        .help = "With --history issues: how long after a partition was taken over the forge is "   \
                "asked all the same, because the replica before may have begun. Longer than the "  \
                "machines' clocks differ."                                                         \
    }

/* What a record is worth for a first look. */
enum fresh_verdict {
    FRESH_USABLE, /* it says all that a look at the forge would */
    FRESH_BEHIND, /* it does not cover all events yet, or is not there */
    FRESH_NEVER,  /* the forge must be asked */
};

/* The memory. */
struct fresh;

/* A job that waits; borrowed until its callback ran. */
struct fresh_waiter;

/* Tells a job: the record (borrowed for the call), or NULL: the forge must be asked. Loop thread. */
typedef void (*fresh_fn)(void *argument, const struct issue_record *record);

/*
 * Says what a record is worth. `repository` is owner/name, `offset` the newest event of the key that is
 * known, `now_ms` the wall clock. Any thread.
 */
enum fresh_verdict fresh_judge(const struct issue_record *record, const char *repository,
                               int64_t offset, int64_t now_ms);

/* Makes an empty one; `loop` and `bus` are borrowed. Owned. The codes of bus_read. Loop thread. */
int fresh_new(struct loop *loop, struct bus *bus, const struct fresh_settings *settings,
              struct fresh **ret_fresh, struct error *error) MUST_CHECK;

/* Forgets all and frees; its waiters must have been cancelled. NULL allowed. Loop thread. */
void fresh_free(struct fresh *fresh);
DEFINE_CLEANUP(struct fresh *, fresh_free)

/* Takes note of a record of github.events, whatever it is. Loop thread. */
void fresh_note(struct fresh *fresh, const struct bus_record *record, const struct event *event);

/* Forgets a partition. Loop thread. */
void fresh_forget(struct fresh *fresh, int32_t partition);

/*
 * Asks for the record of a key in a repository (both copied); `offset` is the newest event that the job
 * covers. `done` runs later, once. Loop thread.
 */
struct fresh_waiter *fresh_ask(struct fresh *fresh, const char *key, const char *repository,
                               int64_t offset, fresh_fn done, void *argument);

/*
 * Returns true if a job has asked for the key's record and the key is still remembered: nodag may have acted on it although no
 * record of its decision has come back yet. Loop thread.
 */
bool fresh_was_asked(const struct fresh *fresh, const char *key);

/* Withdraws a waiter: its callback will not run. Loop thread. */
void fresh_cancel(struct fresh_waiter *waiter);

#endif
