/*
 * The form in which a model's freshness is asked and told over HTTP: that of kubeflow/code-intelligence's
 * ModelSync, so that its lambda can be asked and its controller can watch nodag.
 *
 *      {"kind":"NeedsSync","apiVersion":"v1alpha1","needsSync":true,"parameters":{"name":"…"},"errors":[]}
 *
 * Source: kubeflow/code-intelligence, Label_Microservice/go/cmd/automl/pkg/server/server.go.
 *
 * Design: read leniently in what does not matter (kind and apiVersion may be absent, other members are
 * passed over), strictly in what does: needsSync must be a truth, parameters plain values.
 *
 * Invariants: pure functions; nothing in an answer is larger than the limits below.
 */
#ifndef NODAG_TRAINER_NEEDS_SYNC_H
#define NODAG_TRAINER_NEEDS_SYNC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Largest answer. */
#define NEEDS_SYNC_MAX_BYTES ((size_t)64 << 10)

/* Most parameters, and the longest name or text of one. */
#define NEEDS_SYNC_PARAMETERS_MAX 64
/* See above. */
#define NEEDS_SYNC_TEXT_MAX_BYTES 1000

/* An answer. */
struct needs_sync {
    bool needs_sync;    /* … */
    json_t *parameters; /* owned: object of texts, numbers and truths; NULL: none */
};

/*
 * Reads an answer; to be released. ERR_INPUT with what is wrong; also where `errors` says that the lambda
 * itself does not know. Any thread.
 */
int needs_sync_read(const char *text, size_t text_bytes, struct needs_sync *ret_answer,
                    struct error *error) MUST_CHECK;

/* Frees what an answer owns. */
void needs_sync_release(struct needs_sync *answer);

/* The cleanup function behind CLEANUP(needs_sync_release). */
static inline __attribute__((unused)) void needs_sync_release_cleanup(struct needs_sync *answer)
{
    needs_sync_release(answer);
}

/*
 * Writes an answer: `parameters` (object, borrowed) and `fault` (a text for `errors`; NULL: none). Owned,
 * its length in ret_bytes. Any thread.
 */
char *needs_sync_write(bool needs_sync, json_t *parameters, const char *fault, size_t *ret_bytes);

#endif
