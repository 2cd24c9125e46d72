/*
 * The record of `runs`: one training run of a model, from the decision to its end.
 *
 * {"run":"m-0a1b-1","model":"m","cause":"0a1b…","stale":["no-model"],"attempt":1,
 *  "executor":"local","host":"trainer-0","state":"RUNNING","reason":"…","spec_sha256":"…",
 *  "repository":"https://h/o/r","commit":"8c1…","notebook":"notebooks/train.ipynb",
 *  "created_at":"…","started_at":"…"|null,"ended_at":null,"deadline_ms":7200000,
 *  "artefacts":{"notebook":{"uri":"…","sha256":"…","size_bytes":1}},"collected":false}
 *
 * The key is the run's name. `stale` are the reasons why it was begun, `reason` is why it is in its
 * state. `artefacts` are what it left, under the names that its supervisor gave them: notebook, html,
 * log, model, metrics, predictions, dataset. `collected`: its artefacts are being removed or are gone;
 * they stay listed until they are gone. Only a record of a run whose data was erased at a person's request
 * has the member `erased`: topics/record_erased.h.
 *
 * Design: a struct of owned texts and JSON parts; equal records are equal bytes. An event of it is told
 * by run and state: each state is entered once, so that a repetition is the same event.
 *
 * Invariants: decode(encode(r)) == r; a terminal state has an ended_at, no other has; members are the
 * ones above, a new meaning is a new schema version (ce_dataschema).
 */
#ifndef NODAG_TOPICS_RUN_RECORD_H
#define NODAG_TOPICS_RUN_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/envelope.h"
#include "topics/record_erased.h"
#include "topics/record_json.h"
#include "topics/run_state.h"
#include "topics/subject.h"

/* Schema of the records, for ce_dataschema. */
#define RUN_RECORD_SCHEMA "urn:nodag:schema:run:1"

/* ce_type of a record before its state's name. */
#define RUN_RECORD_TYPE "dev.nodag.run."

/* Most reasons of a record. */
#define RUN_RECORD_LIST_MAX 32

/* Longest ce_id. */
#define RUN_RECORD_ID_BYTES (SUBJECT_KEY_BYTES + 32)

/* One run; texts are owned. */
struct run_record {
    char *run;            /* name */
    char *model;          /* of the document */
    char *cause;          /* what made the model stale, as a hash */
    char *executor;       /* local, kubernetes-job, tekton-pipelinerun */
    char *host;           /* where its supervisor was started */
    char *reason;         /* why it is in its state; may be empty */
    char *spec_sha256;    /* of the document */
    char *repository;     /* of the code */
    char *commit;         /* of the code */
    char *notebook;       /* path in the repository */
    json_t *stale;        /* owned: list of texts; NULL: empty */
    json_t *artefacts;    /* owned: object of {uri, sha256, size_bytes} by name; NULL: none */
    json_t *erased;       /* owned: list; NULL: none */
    enum run_state state; /* … */
    uint32_t attempt;     /* of its cause; from 1 */
    int64_t created_ms;   /* since 1970 */
    int64_t started_ms;   /* 0: not yet */
    int64_t ended_ms;     /* 0: not yet */
    int64_t deadline_ms;  /* longest duration */
    bool collected;       /* see above */
};

/* Makes an empty record, PENDING; owned. Any thread. */
struct run_record *run_record_new(void);

/* Frees it; NULL allowed. */
void run_record_free(struct run_record *record);
DEFINE_CLEANUP(struct run_record *, run_record_free)

/* Returns an owned copy. Any thread. */
struct run_record *run_record_copy(const struct run_record *record);

/* Returns the record as JSON; owned, its length in ret_bytes (may be NULL). Any thread. */
char *run_record_encode(const struct run_record *record, size_t *ret_bytes);

/* Reads the record of a key; owned. ERR_INPUT with the member. Any thread. */
int run_record_decode(const char *key, size_t key_bytes, const char *value, size_t value_bytes,
                      struct run_record **ret_record, struct error *error) MUST_CHECK;

/*
 * Makes the envelope of a record as of `now_ms`, or of its tombstone; texts are borrowed from the record
 * and `id`. Any thread.
 */
struct event run_record_envelope(const struct run_record *record, bool is_tombstone, int64_t now_ms,
                                 char id[RUN_RECORD_ID_BYTES]);

#endif
