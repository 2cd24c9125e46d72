/*
 * A tiny data set that can be learnt, and a model trained on it: what several tests of the
 * classifier start from.
 *
 * Design: 240 issues of two repositories, one an hour. "bug" issues crash, "feature" issues ask for
 * support; "docs" comes with a word that means it in one repository only; "noise" falls on rows at
 * random and cannot be learnt; "rare" is on three rows.
 */
#ifndef NODAG_TESTS_UNIT_CLASSIFIER_SAMPLE_H
#define NODAG_TESTS_UNIT_CLASSIFIER_SAMPLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "reactors/classifier/train.h"

/* Rows of the sample. */
#define SAMPLE_ROWS 240

/* Largest sample as text. */
#define SAMPLE_BYTES_MAX ((size_t)1 << 20)

/* Returns the sample as CSV, owned. */
static inline char *sample_csv(void)
{
    static const char *const bug_words[] = {"crashes", "panics", "fails", "hangs"};
    static const char *const feature_words[] = {"support", "allow", "add", "provide"};
    static const char *const things[] = {"scheduler", "proxy", "parser", "storage", "page"};
    struct buffer csv = BUFFER_INIT(SAMPLE_BYTES_MAX);
    uint32_t random = 7;
    int result = buffer_append_text(&csv, "repo,created_at,label,title,body\n");
    for (unsigned r = 0; r < SAMPLE_ROWS && result == 0; r++) {
        random = random * 1664525u + 1013904223u;
        bool is_bug = (random >> 16) % 2 == 0;
        bool has_handle = (random >> 20) % 3 == 0;
        bool is_first = r % 2 == 0;
        const char *verb =
            is_bug ? bug_words[(random >> 24) % 4] : feature_words[(random >> 24) % 4];
        result = buffer_append_format(
            &csv,
            "%s,2024-05-%02u %02u:00:00,%s%s%s%s,%s the %s %s,\"### What happened\n\n%s %s%s in "
            "case %u\"\n",
            is_first ? "one/alpha" : "two/beta", 1 + r / 24, r % 24, is_bug ? "bug" : "feature",
            has_handle && is_first ? ";docs" : "", (random >> 12) % 4 == 0 ? ";noise" : "",
            r % 80 == 5 ? ";rare" : "", is_bug ? "It" : "Please", things[r % 5], verb,
            is_bug ? "after an update it" : "it would be good to", verb,
            has_handle ? " handle" : "", r);
    }
    assert_int_equal(result, 0);
    return buffer_take(&csv);
}

/* Returns the sample as a data set, owned. */
static inline struct dataset *sample_dataset(void)
{
    struct error error = {0};
    struct dataset *dataset = NULL;
    CLEANUP(mem_free) char *csv = sample_csv();
    int result = dataset_read_bytes("sample.csv", csv, strlen(csv), &dataset, &error);
    if (result != 0)
        fail_msg("%s", error.text);
    return dataset;
}

/* Returns all rows of a data set, owned array. */
static inline const struct dataset_row **sample_rows(const struct dataset *dataset)
{
    const struct dataset_row **rows = mem_alloc_array(dataset->row_count, sizeof(*rows));
    for (size_t r = 0; r < dataset->row_count; r++)
        rows[r] = &dataset->rows[r];
    return rows;
}

/* Fills in what the sample is trained with. */
static inline void sample_config(struct train_config *config)
{
    train_config_init(config);
    config->examples_min = 10;
}

/* Trains on a data set and returns the bytes of the model, owned. */
static inline void *sample_train(const struct dataset *dataset, const struct train_config *config,
                                 size_t *ret_bytes)
{
    struct error error = {0};
    void *bytes = NULL;
    CLEANUP(mem_free) const struct dataset_row **rows = sample_rows(dataset);
    int result = train_model(dataset, rows, dataset->row_count, config, NULL, NULL, &bytes,
                             ret_bytes, &error);
    if (result != 0)
        fail_msg("%s", error.text);
    return bytes;
}

/* Returns a text as an issue; all borrowed. */
static inline struct classifier_issue sample_issue(const char *repository, const char *title,
                                                   const char *body)
{
    return (struct classifier_issue){.title = title,
                                     .title_bytes = strlen(title),
                                     .body = body,
                                     .body_bytes = strlen(body),
                                     .repository = repository};
}

/* Returns the number of a label of a model; fails the test if there is none. */
static inline size_t sample_label(const struct classifier *classifier, const char *name)
{
    for (size_t l = 0; l < classifier_label_count(classifier); l++)
        if (strcmp(classifier_label_at(classifier, l)->name, name) == 0)
            return l;
    fail_msg("the model has no label %s", name);
    return 0;
}

#endif
