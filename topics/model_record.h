/*
 * The record of `models`: one version of a model, which a run made.
 *
 * {"model":"m","version":"m-0a1b-1","run":"m-0a1b-1","created_at":"…",
 *  "repository":"https://h/o/r","commit":"8c1…","notebook":"notebooks/train.ipynb",
 *  "artefacts":{"model":{"uri":"…","sha256":"…","size_bytes":1},"dataset":{…},…},
 *  "metrics":{…},"thresholds":{"kind/bug":0.5},
 *  "snapshot":{"sha256":"…","taken_at":"…","offsets":[…]|null},"collected":false}
 *
 * The key is "model/version", the version is the name of the run. `metrics` is what the run wrote, as it
 * is. `snapshot` is the data: the data-set file's hash and when it was folded. `collected`: its artefacts
 * are being removed or are gone; nobody may begin to use it. Only a version whose data was erased at a
 * person's request has the members `erased` (topics/record_erased.h) and `order`: one more than the offset
 * that its first record stood at, because which version is the newest goes by the order of publication.
 *
 * Design: as run_record.h. A record is published after its artefacts are in the store, so it never names
 * what is not there; `collected` is published before they are removed.
 *
 * Invariants: decode(encode(r)) == r; the artefact `model` is there; members are the ones above, a new
 * meaning is a new schema version (ce_dataschema).
 */
#ifndef NODAG_TOPICS_MODEL_RECORD_H
#define NODAG_TOPICS_MODEL_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "topics/envelope.h"
#include "topics/record_erased.h"
#include "topics/record_json.h"
#include "topics/subject.h"

/* Schema of the records, for ce_dataschema. */
#define MODEL_RECORD_SCHEMA "urn:nodag:schema:model:1"

/* ce_type of a record, and of one whose artefacts are collected. */
#define MODEL_RECORD_TYPE "dev.nodag.model"
/* See MODEL_RECORD_TYPE. */
#define MODEL_COLLECTED_TYPE "dev.nodag.model.collected"

/* Largest metrics, as JSON. */
#define MODEL_METRICS_MAX_BYTES ((size_t)4 << 20)

/* Longest ce_id. */
#define MODEL_RECORD_ID_BYTES (SUBJECT_KEY_BYTES + 32)

/* One version; texts are owned. */
struct model_record {
    char *model;         /* of the document */
    char *version;       /* = the run's name */
    char *run;           /* that made it */
    char *repository;    /* of the code */
    char *commit;        /* of the code */
    char *notebook;      /* path in the repository */
    json_t *artefacts;   /* owned object; has `model` */
    json_t *erased;      /* owned: list; NULL: none */
    json_t *metrics;     /* owned object */
    json_t *thresholds;  /* owned object: number by label; may be empty */
    json_t *offsets;     /* owned: of the snapshot; NULL: unknown */
    char *snapshot;      /* SHA-256 of the data-set file; may be empty */
    int64_t snapshot_ms; /* when it was folded, since 1970 */
    int64_t created_ms;  /* since 1970 */
    int64_t order;       /* see above; 0: the offset of this record counts */
    bool collected;      /* see above */
};

/* Makes an empty record; owned. Any thread. */
struct model_record *model_record_new(void);

/* Frees it; NULL allowed. */
void model_record_free(struct model_record *record);
DEFINE_CLEANUP(struct model_record *, model_record_free)

/* Returns an owned copy. Any thread. */
struct model_record *model_record_copy(const struct model_record *record);

/* Returns the record as JSON; owned, its length in ret_bytes (may be NULL). Any thread. */
char *model_record_encode(const struct model_record *record, size_t *ret_bytes);

/* Reads the record of a key; owned. ERR_INPUT with the member. Any thread. */
int model_record_decode(const char *key, size_t key_bytes, const char *value, size_t value_bytes,
                        struct model_record **ret_record, struct error *error) MUST_CHECK;

/* Writes the key "model/version". ERR_TOO_LARGE. Any thread. */
int model_record_key(const struct model_record *record, char ret_key[SUBJECT_KEY_BYTES]) MUST_CHECK;

/* Makes the envelope as of `now_ms`; texts are borrowed from the record and `id`. Any thread. */
struct event model_record_envelope(const struct model_record *record, int64_t now_ms,
                                   char id[MODEL_RECORD_ID_BYTES]);

/*
 * Takes the thresholds from metrics: of the labels of a list of {name, threshold}. An object, empty
 * where there are none; new reference. Any thread.
 */
json_t *model_thresholds_of(const json_t *metrics);

#endif
