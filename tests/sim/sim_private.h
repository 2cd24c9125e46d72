/*
 * What the simulation's own files share: sim.c (processes, checks, the run), sim_people.c (what
 * people do, and their webhooks) and sim_documents.c (what they want).
 */
#ifndef NODAG_TESTS_SIM_SIM_PRIVATE_H
#define NODAG_TESTS_SIM_SIM_PRIVATE_H

#include "base/generator.h"
#include "reactors/classifier/classifier.h"
#include "reactors/historian/historian.h"
#include "reactors/labeler/labeler.h"
#include "tests/sim/sim.h"
#include "tests/sim/world.h"
#include "topics/bus_memory.h"
#include "topics/spec_store.h"

/* Partitions of the simulated topics: few, so that keys meet in them. */
#define SIM_PARTITIONS 3

/* Labelers at a time. */
#define SIM_PROCESSES_MAX 2

/* Matters that texts are about; each speaks for labels of its own. */
#define SIM_MATTERS 5

/* How long people act and things fail, in simulated milliseconds. */
#define SIM_ACTIVE_MS 120000

/* How long after that everything may take to come to rest. Rate limits, backoff (15 min at most)
 * and caches are inside. */
#define SIM_REST_MAX_MS (3LL * 3600 * 1000)

/* One simulated labeler. */
struct sim_process {
    struct sim *sim;              /* borrowed */
    bool alive;                   /* it runs */
    struct bus *bus;              /* owned */
    struct http_client *http;     /* owned */
    struct forge *forge;          /* owned */
    struct labeler *labeler;      /* owned */
    struct labeler_ground ground; /* borrowed parts */
};

/* The simulated historian. */
struct sim_historian {
    bool alive;                     /* it runs */
    struct bus *bus;                /* owned */
    struct historian *historian;    /* owned */
    struct historian_ground ground; /* borrowed parts */
};

/* A person's doing about a label, as its webhook told it first. */
struct sim_told {
    int64_t number;               /* of the issue */
    char label[WORLD_NAME_BYTES]; /* which */
    bool added;                   /* else removed */
    int64_t sequence;             /* in the world's order */
    int64_t offset;               /* on github.events, in the issue's partition */
    int64_t arrived_ms;           /* when it was appended, on the loop's clock */
};

/* What somebody will do about an issue that they opened. */
struct sim_thought {
    int64_t number;    /* of the issue; 0: nothing */
    const char *label; /* that is put there and taken away; static */
    bool labeled;      /* it was put there */
};

/* One history. */
struct sim {
    const struct sim_plan *plan;                     /* borrowed */
    struct sim_result *result;                       /* borrowed */
    struct loop *loop;                               /* owned; seeded by the order */
    struct generator people;                         /* seeded by the people */
    struct bus_memory *cluster;                      /* owned */
    struct world *world;                             /* owned */
    struct sim_process processes[SIM_PROCESSES_MAX]; /* labelers */
    struct sim_historian historian;                  /* not alive unless plan->by_record */
    struct sim_thought thought;                      /* see there */
    struct sim_told *told;                           /* owned */
    size_t told_count;                               /* of them */
    struct spec_store *published;                    /* owned; the records of `specs` */
    struct loop_timer *documents_timer;              /* owned; the next change of documents */
    struct loop_timer *people_timer;                 /* owned; the next doing (concurrent) */
    struct loop_timer *crash_timer;                  /* owned; the next crash or start */
    struct loop_timer *records_timer;                /* owned or NULL; the historian's next one */
    unsigned long deliveries;                        /* distinct ones so far: their ids */
    size_t undecodable;           /* records without an envelope that were delivered */
    struct sim_webhook *webhooks; /* list: on their way */
    bool resting;                 /* faults are over */
};

/* sim.c: labels that the repository has. */
extern const char *const sim_labels[];
/* sim.c: how many. */
extern const size_t sim_label_count;
/* sim.c: prints a line of the history, if it is wanted. */
void sim_tell(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* sim_people.c: the words of each matter. */
extern const char *const sim_words[SIM_MATTERS][4];
/* sim_people.c: one thing that people do, drawn from their seed; its webhooks are on their way
 * afterwards. */
void sim_people_act(struct sim *sim);
/* sim_people.c: one more event of each issue, without any change. */
void sim_people_touch_all(struct sim *sim);
/* sim_people.c: the webhook of a label that nodag wrote is on its way; `sim` is a struct sim. */
void sim_people_tell_write(void *sim, const struct world_issue *issue, const char *label,
                           bool added);
/* sim_people.c: frees webhooks that never arrived. */
void sim_people_release(struct sim *sim);

/* sim_records.c: the historian starts, and is killed and started again now and then. */
void sim_records_begin(struct sim *sim);
/* sim_records.c: the historian starts; it is killed. */
void sim_records_start(struct sim *sim);
/* sim_records.c: see above. */
void sim_records_crash(struct sim *sim);
/* sim_records.c: a labeler looked at an issue by a record; `process` is a struct sim_process. */
void sim_records_looked(void *process, const char *key);
/* sim_records.c: remembers what a webhook that stands at `offset` told of a label. */
void sim_records_note(struct sim *sim, const struct sim_told *told);
/* sim_records.c: returns the first decision that overrides what stood before its event; owned text, NULL: none. */
char *sim_records_check(const struct sim *sim);

/* sim_documents.c: the Labeler document that is in force at rest. */
extern const char sim_document[];
/* sim_documents.c: publishes it, and begins to change it now and then. */
void sim_documents_begin(struct sim *sim);
/* sim_documents.c: ends that, with what it was first. */
void sim_documents_rest(struct sim *sim);
/* sim_documents.c: frees what it has. */
void sim_documents_release(struct sim *sim);

#endif
