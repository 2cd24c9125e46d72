/*
 * Paths to one value in a YAML file: `target.path` of a Deployment.
 *
 *      /orgs/[name=kubeflow]/model            key, item by a field's value, key
 *      /images/[0]/newTag                     key, Nth item (from 0), key
 *      #ConfigMap/bot/data/model              the same in one document of several, by kind and name
 *
 * Design: parsing only; whoever has a tree walks it. Steps point into the text.
 *
 * Invariant: a pure function; a path has at least one step.
 */
#ifndef NODAG_TOPICS_SPEC_PATH_H
#define NODAG_TOPICS_SPEC_PATH_H

#include <stddef.h>

#include "base/error.h"
#include "topics/envelope.h"

/* Most steps of a path: deeper than any configuration that people keep by hand. */
#define SPEC_PATH_STEPS_MAX 16

/* Largest index of [N]. */
#define SPEC_PATH_INDEX_MAX 9999

/* How a step goes on. */
enum spec_path_kind {
    SPEC_PATH_KEY,   /* the value of the key `name` of a mapping */
    SPEC_PATH_INDEX, /* item `index` of a list, from 0 */
    SPEC_PATH_MATCH, /* the item of a list whose field `name` has the value `value` */
};

/* One step; texts are borrowed from the parsed text. */
struct spec_path_step {
    enum spec_path_kind kind; /* see there */
    struct text name;         /* KEY, MATCH */
    struct text value;        /* MATCH */
    size_t index;             /* INDEX: 0..SPEC_PATH_INDEX_MAX */
};

/* A parsed path. */
struct spec_path {
    struct text document_kind;                        /* of `#kind/name`; absent: the only one */
    struct text document_name;                        /* likewise */
    size_t step_count;                                /* 1..SPEC_PATH_STEPS_MAX */
    struct spec_path_step steps[SPEC_PATH_STEPS_MAX]; /* from the root */
};

/* Reads a path; ERR_INPUT if it is none. Any thread. */
int spec_path_parse(const char *text, struct spec_path *ret_path) MUST_CHECK;

#endif
