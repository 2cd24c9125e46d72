/*
 * `nodag model explain`: which words made a label likely or unlikely, and how much.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "reactors/classifier/classifier.h"
#include "reactors/classifier/command.h"
#include "reactors/classifier/text.h"

/* Bytes of a title that are repeated. */
#define TITLE_BYTES_SHOWN 200

/* Labels that are explained if none is named. */
#define LABELS_SHOWN 3

/* What the command line says. */
struct explain_settings {
    const char *model; /* file */
    const char *title; /* text */
    const char *body;  /* text, "-" is standard input */
    const char *repo;  /* owner/name */
    const char *data;  /* file to take a row from, NULL: none */
    int64_t row;       /* number of that row, from 1 */
    const char *label; /* which label, NULL: the likeliest */
    int64_t words;     /* reasons to print */
};

static const struct option_row ROWS[] = {
    {.name = "model",
     .kind = OPTION_FILE,
     .offset = offsetof(struct explain_settings, model),
     .required = true,
     .group = "Issue",
     .help = "The model file."},
    {.name = "title",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct explain_settings, title),
     .default_value = "",
     .help = "Title of the issue."},
    {.name = "body",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct explain_settings, body),
     .default_value = "",
     .help = "Body of the issue; - reads it from standard input."},
    {.name = "repo",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct explain_settings, repo),
     .default_value = "",
     .value_name = "OWNER/NAME",
     .help = "Repository of the issue; without it, what all repositories share decides."},
    {.name = "data",
     .kind = OPTION_FILE,
     .offset = offsetof(struct explain_settings, data),
     .help = "Take the issue from a data set instead, with --row."},
    {.name = "row",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct explain_settings, row),
     .default_value = "1",
     .least = 1,
     .most = 1000000,
     .help = "Which row of --data, from 1."},
    {.name = "label",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct explain_settings, label),
     .group = "Output",
     .help = "Explain this label; otherwise the likeliest ones."},
    {.name = "words",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct explain_settings, words),
     .default_value = "12",
     .least = 1,
     .most = 1000,
     .help = "How many words to print for a label."},
};

static const struct option_program PROGRAM = {
    .name = "nodag model explain",
    .summary = "say which words made a label likely, and how much",
    .description = "The figures are log odds: they add up, with the rest and the start, to what "
                   "the probability is made of. "
                   "+0.7 doubles the odds, -0.7 halves them.",
    .examples =
        "  nodag model explain --model labels.model --repo kubeflow/pipelines --title 'UI shows a "
        "blank page'\n"
        "  nodag model explain --model labels.model --repo a/b --title 'Panic' --body - <body.md\n"
        "  nodag model explain --model labels.model --data issues.csv --row 17 --label kind/bug\n",
    .rows = ROWS,
    .row_count = ARRAY_COUNT(ROWS),
};

static int read_body(struct buffer *body, struct error *error)
{
    char chunk[4096];
    size_t got = 0;
    while ((got = fread(chunk, 1, sizeof(chunk), stdin)) > 0) {
        size_t room = body->limit_bytes - body->size_bytes;
        int result =
            buffer_append(body, chunk, got < room ? got : room); /* more is not looked at anyway */
        if (result != 0)
            return error_set(error, result, "standard input cannot be kept");
    }
    return ferror(stdin) ? error_set(error, ERR_IO, "standard input cannot be read") : 0;
}

static void print_label(const struct classifier *classifier, const struct classifier_issue *issue,
                        size_t label_index, const struct classifier_score *score, size_t words)
{
    struct classifier_explanation explanation;
    classifier_explain(classifier, issue, label_index, words, &explanation);
    printf("\n%s: probability %.3f, ", score->label, explanation.probability);
    if (!score->predictable)
        printf("never predicted (%s)\n", classifier_label_at(classifier, label_index)->reason);
    else
        printf("threshold %.3f: %s\n", score->threshold,
               score->predicted ? "predicted" : "not predicted");
    for (size_t r = 0; r < explanation.reason_count; r++)
        printf("  %+7.3f  %-5s  %s\n", explanation.reasons[r].contribution,
               explanation.reasons[r].field, explanation.reasons[r].text);
    printf("  %+7.3f         all other words\n", explanation.rest);
    printf("  %+7.3f         before any word\n", explanation.bias);
    printf("  %+7.3f         sum, as probability %.3f\n", explanation.logit,
           explanation.probability);
    classifier_explanation_free(&explanation);
}

/* The likeliest label that was not printed yet. */
static size_t next_likeliest(const struct classifier_score *scores, const bool *printed,
                             size_t count)
{
    size_t best = count;
    for (size_t l = 0; l < count; l++)
        if (!printed[l] && (best == count || scores[l].probability > scores[best].probability))
            best = l;
    return best;
}

/* Prints the start of a title; what could steer a terminal becomes '?'. */
static void print_title(const struct classifier_issue *issue)
{
    printf("%s: ", issue->repository[0] == '\0' ? "(no repository)" : issue->repository);
    for (size_t i = 0; i < issue->title_bytes && i < TITLE_BYTES_SHOWN;) {
        size_t step = utf8_sequence_bytes(issue->title + i, issue->title_bytes - i);
        bool is_sign = (unsigned char)issue->title[i] < ' ' || issue->title[i] == 0x7f ||
                       (step == 2 && (unsigned char)issue->title[i] == 0xc2 &&
                        (unsigned char)issue->title[i + 1] < 0xa0);
        if (step == 0 || is_sign)
            (void)putchar('?');
        else
            (void)fwrite(issue->title + i, 1, step, stdout);
        i += step == 0 ? 1 : step;
    }
    (void)putchar('\n');
}

static int explain_issue(const struct classifier *classifier, const struct classifier_issue *issue,
                         const struct explain_settings *settings, struct error *error)
{
    size_t count = classifier_label_count(classifier);
    size_t words = (size_t)settings->words;
    CLEANUP(mem_free) struct classifier_score *scores = mem_alloc_array(count, sizeof(*scores));
    CLEANUP(mem_free) bool *printed = mem_alloc_array(count, sizeof(*printed));
    classifier_predict(classifier, issue, scores);
    print_title(issue);
    for (size_t l = 0; settings->label != NULL && l < count; l++) {
        if (strcmp(scores[l].label, settings->label) != 0)
            continue;
        print_label(classifier, issue, l, &scores[l], words);
        return 0;
    }
    if (settings->label != NULL)
        return error_set(error, ERR_INPUT,
                         "the model has no label \"%s\"; `nodag model show` lists them",
                         settings->label);
    for (size_t shown = 0; shown < count && shown < LABELS_SHOWN; shown++) {
        size_t best = next_likeliest(scores, printed, count);
        printed[best] = true;
        print_label(classifier, issue, best, &scores[best], words);
    }
    return 0;
}

static int explain(const struct explain_settings *settings, struct error *error)
{
    CLEANUP(classifier_free) struct classifier *classifier = NULL;
    CLEANUP(dataset_free) struct dataset *dataset = NULL;
    CLEANUP(buffer_release) struct buffer body = BUFFER_INIT(TEXT_BODY_BYTES_MAX);
    struct classifier_issue issue = {.title = settings->title,
                                     .title_bytes = strlen(settings->title),
                                     .body = settings->body,
                                     .body_bytes = strlen(settings->body),
                                     .repository = settings->repo};
    int result = classifier_load(settings->model, &classifier, error);
    if (result == 0 && settings->data != NULL) {
        result = dataset_read(settings->data, &dataset, error);
        if (result == 0 && (size_t)settings->row > dataset->row_count)
            result =
                error_set(error, ERR_INPUT, "%s has %zu rows", settings->data, dataset->row_count);
        if (result == 0)
            issue = dataset_issue(&dataset->rows[settings->row - 1]);
    } else if (result == 0 && strcmp(settings->body, "-") == 0) {
        result = read_body(&body, error);
        issue.body = body.data;
        issue.body_bytes = body.size_bytes;
    }
    return result == 0 ? explain_issue(classifier, &issue, settings, error) : result;
}

int command_explain(int argc, char **argv)
{
    struct explain_settings settings = {0};
    struct error error = {0};
    int status = 0;
    if (!option_begin(&PROGRAM, argc, argv, &settings, NULL, &status))
        return status;
    return explain(&settings, &error) == 0 ? EXIT_STATUS_OK : command_fail(&error);
}
