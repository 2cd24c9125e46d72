/*
 * run.json: what a run is to do, as the trainer decided it.
 *
 * Design: one JSON object, read strictly: an unknown member is an error, because a misspelt limit would be no limit.
 *
 *      run, model, cause     texts: names of the run, of the model, and what made it stale; for people
 *      attempt               whole number
 *      repository            https://, http://, ssh:// or file:// URL, or an absolute path
 *      commit                full hash
 *      notebook              path in the repository
 *      requirements          path in the repository; default: requirements.txt beside the notebook if it is there, else
 *                            the supervisor's own
 *      parameters            object: for the notebook
 *      network               true: the notebook may open connections beyond loopback; default false
 *      deadline_ms           longest duration of the run; default RUN_DEADLINE_DEFAULT_MS
 *      memory_bytes          most memory of all its processes; default RUN_MEMORY_DEFAULT_BYTES
 *      output_bytes          most bytes that it writes, log included; default RUN_OUTPUT_DEFAULT_BYTES
 *      dataset               {file}, or {argv}: a command line that the supervisor runs with its own rights; the
 *                            argument RUN_DATASET_PLACE stands for the file to write (JSON lines)
 *      artefacts             {url, endpoint?, region?, credentials_file?}: reactors/clients/artefacts.h
 *      git                   {credentials?, known_hosts?, ca?}: base/git_command.h; default none
 *
 * Invariant: texts and lists borrow from the JSON, which the spec owns.
 */
#ifndef NODAG_TRAINER_RUN_SPEC_H
#define NODAG_TRAINER_RUN_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/git_url.h"

/* Longest duration where the document names none, and the most that it may name. */
#define RUN_DEADLINE_DEFAULT_MS ((int64_t)2 * 3600 * 1000)
/* See above. */
#define RUN_DEADLINE_MOST_MS ((int64_t)7 * 24 * 3600 * 1000)

/* Memory where the document names none: the data of a large organisation takes a quarter of it. */
#define RUN_MEMORY_DEFAULT_BYTES ((int64_t)4 << 30)
/* Least that a kernel with matplotlib starts with. */
#define RUN_MEMORY_LEAST_BYTES ((int64_t)128 << 20)

/* Output where the document names none. */
#define RUN_OUTPUT_DEFAULT_BYTES ((int64_t)2 << 30)
/* Least: the checkout counts too. */
#define RUN_OUTPUT_LEAST_BYTES ((int64_t)1 << 20)

/* What both may be at most. */
#define RUN_BYTES_MOST ((int64_t)1 << 42)

/* The argument of dataset.argv that stands for the file to write. */
#define RUN_DATASET_PLACE "{file}"

/* Most arguments of dataset.argv. */
#define RUN_DATASET_WORDS_MAX 64

/* A run: the members above. */
struct run_spec {
    json_t *json;                      /* owned */
    const char *run;                   /* name */
    const char *model;                 /* name */
    struct git_url repository;         /* read */
    const char *commit;                /* full hash */
    const char *notebook;              /* path inside */
    const char *requirements;          /* path inside; NULL: none named */
    json_t *parameters;                /* borrowed; an object, or NULL */
    bool network;                      /* beyond loopback */
    int64_t deadline_ms;               /* > 0 */
    int64_t memory_bytes;              /* ≥ RUN_MEMORY_LEAST_BYTES */
    int64_t output_bytes;              /* ≥ RUN_OUTPUT_LEAST_BYTES */
    const char *dataset_file;          /* NULL: dataset_argv */
    json_t *dataset_argv;              /* borrowed; an array of texts, or NULL */
    const char *artefacts_url;         /* where to */
    const char *artefacts_endpoint;    /* NULL: none */
    const char *artefacts_region;      /* NULL: none */
    const char *artefacts_credentials; /* NULL: none */
    const char *git_credentials;       /* NULL: none */
    const char *git_known_hosts;       /* NULL: none */
    const char *git_ca;                /* NULL: none */
};

/* Reads a spec from JSON (borrowed; referenced). ERR_INPUT, ERR_TOO_LARGE with a text that names the member; then there is nothing to release. Any
 * thread. */
int run_spec_read(json_t *json, struct run_spec *ret_spec, struct error *error) MUST_CHECK;

/* Frees what a spec owns. */
void run_spec_release(struct run_spec *spec);

/* Returns true if the path is relative, not empty, and has no part "", "." or "..". Any thread. */
bool run_path_is_inside(const char *path);

#endif
