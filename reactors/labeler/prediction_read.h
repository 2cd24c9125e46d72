/*
 * What is read back of a record of `predictions` (prediction.c writes it): the few members that the
 * labeler remembers of each issue.
 *
 * Design: a start reads every record of the topic, a million and more, and needs three small members
 * of each: so they are streamed (yajl), and no tree is built. A tree took four fifths of a start's time.
 *
 * Invariant: a record that is not one JSON object gives nothing, whatever stood before the damage.
 */
#ifndef NODAG_LABELER_PREDICTION_READ_H
#define NODAG_LABELER_PREDICTION_READ_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "reactors/clients/forge.h"

/* What is remembered of a decision. A member that is absent, or no text or whole number as it should
 * be, is "" or 0. */
struct prediction_brief {
    char repository[FORGE_REPOSITORY_BYTES]; /* owner/name; "" also where longer than any can be */
    int64_t comment_id;                      /* nodag's comment; 0: none */
    uint64_t model_hash; /* of the version that decided; see prediction_hash_model */
};

/* Reads a record's value. ERR_INPUT if it is not one JSON object. Any thread. */
int prediction_read(const char *value, size_t value_bytes,
                    struct prediction_brief *ret_brief) MUST_CHECK;

/* Returns what stands for the text of a model version. Any thread. */
uint64_t prediction_hash_model(const char *version, size_t version_bytes);

#endif
