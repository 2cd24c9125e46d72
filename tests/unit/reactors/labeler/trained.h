/*
 * Small models for the labeler's tests, trained in the process in a moment.
 *
 * Design: a model is described by pairs of a label and the words that speak for it; the training
 * data has them in an order drawn from a fixed seed, with a number that makes every row another
 * text, and with times that pass, so that every label reaches its precision target. The same pairs
 * give the same bytes.
 *
 * Invariant: what trained_load() returns borrows the bytes of its struct trained: free the model
 * first.
 */
#ifndef NODAG_TESTS_UNIT_REACTORS_LABELER_TRAINED_H
#define NODAG_TESTS_UNIT_REACTORS_LABELER_TRAINED_H

#include <stddef.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/generator.h"
#include "base/memory.h"
#include "reactors/classifier/dataset.h"
#include "reactors/classifier/train.h"

/* Rows of the training data: enough for a handful of labels to reach their precision target. */
#define TRAINED_ROWS 300

/* Largest training data. */
#define TRAINED_DATA_MAX_BYTES (256u << 10)

/* The repository that the training data comes from. */
#define TRAINED_REPOSITORY "o/r"

/* A label and the words that speak for it. */
struct trained_label {
    const char *label; /* several are separated by ';' */
    const char *words; /* separated by spaces */
};

/* A model file's bytes. */
struct trained {
    void *bytes;       /* owned; free with mem_free */
    size_t byte_count; /* length */
};

/* Trains a model that knows these labels. False, and a line on standard error, if it cannot be
 * trained. */
static inline bool trained_make(const struct trained_label *labels, size_t count,
                                struct trained *ret_trained)
{
    struct buffer text = BUFFER_INIT(TRAINED_DATA_MAX_BYTES);
    struct generator generator;
    generator_seed(&generator, count);
    (void)!buffer_append_text(&text, "repo,created_at,label,title,body\n");
    for (unsigned row = 0; row < TRAINED_ROWS; row++) {
        const struct trained_label *one = &labels[generator_next(&generator) % count];
        (void)!buffer_append_format(
            &text,
            TRAINED_REPOSITORY ",2026-%02u-%02u %02u:00:00,%s,it happens,%s again in build%u\n",
            1 + row / 30, 1 + row % 28, row % 24, one->label, one->words, row);
    }
    CLEANUP(dataset_free) struct dataset *dataset = NULL;
    struct error error = {0};
    int code = dataset_read_bytes("trained.csv", text.data, text.size_bytes, &dataset, &error);
    buffer_release(&text);
    if (code == 0) {
        CLEANUP(mem_free)
        const struct dataset_row **rows = mem_alloc_array(dataset->row_count, sizeof(*rows));
        for (size_t i = 0; i < dataset->row_count; i++)
            rows[i] = &dataset->rows[i];
        struct train_config config;
        train_config_init(&config);
        code = train_model(dataset, rows, dataset->row_count, &config, NULL, NULL,
                           &ret_trained->bytes, &ret_trained->byte_count, &error);
    }
    if (code != 0)
        fprintf(stderr, "the test's model cannot be trained: %s\n", error.text);
    return code == 0;
}

/* Loads it; owned. NULL, and a line on standard error, if it cannot be loaded. */
static inline struct classifier *trained_load(const struct trained *trained)
{
    struct classifier *classifier = NULL;
    struct error error = {0};
    if (classifier_load_bytes(trained->bytes, trained->byte_count, &classifier, &error) != 0)
        fprintf(stderr, "the test's model cannot be loaded: %s\n", error.text);
    return classifier;
}

#endif
