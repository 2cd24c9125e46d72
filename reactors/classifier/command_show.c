/*
 * `nodag model show`: what a model says of itself: where it comes from, its labels, which are never
 * predicted and why.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/classifier/classifier.h"
#include "reactors/classifier/command.h"
#include "reactors/classifier/model_file.h"
#include "reactors/classifier/table.h"

/* What the command line says. */
struct show_settings {
    const char *model; /* file */
    bool json;         /* print the header as it is */
};

static const struct option_row ROWS[] = {
    {.name = "model",
     .kind = OPTION_FILE,
     .offset = offsetof(struct show_settings, model),
     .required = true,
     .help = "The model file."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct show_settings, json),
     .help = "Print the model's header as it stands in the file, with all figures."},
};

static const struct option_program PROGRAM = {
    .name = "nodag model show",
    .summary = "print what a model says of itself",
    .examples = "  nodag model show --model labels.model\n"
                "  nodag model show --model labels.model --json | jq .training\n",
    .rows = ROWS,
    .row_count = ARRAY_COUNT(ROWS),
};

static void print_provenance(const struct classifier *classifier)
{
    struct error error = {0};
    CLEANUP(json_release) json_t *header = NULL;
    const char *text = classifier_header_json(classifier);
    if (json_read(text, strlen(text), &header, &error) != 0)
        return; /* cannot be: the load has read it */
    const json_t *training = json_object_get(header, "training");
    const json_t *held_out = json_object_get(training, "held_out");
    const struct feature_space *space = classifier_space(classifier);
    printf("version    %s (SHA-256 %s)\n", classifier_version(classifier),
           classifier_sha256(classifier));
    printf("made by    nodag %s\n", json_text_or(header, "nodag", "?"));
    printf(
        "data       %lld rows, %s to %s, SHA-256 %s\n", (long long)json_int_or(training, "rows", 0),
        json_text_or(training, "first_created_at", "?"),
        json_text_or(training, "last_created_at", "?"), json_text_or(training, "data_sha256", "?"));
    printf("target     precision %.2f on %lld held-out rows in %lld blocks by %s\n",
           json_number_value(json_object_get(training, "precision_target")),
           (long long)json_int_or(held_out, "rows", 0),
           (long long)json_int_or(held_out, "blocks", 0), json_text_or(held_out, "by", "?"));
    printf("features   %zu, %zu template lines, %zu repositories, %zu of them and their owners "
           "crossed with the text\n\n",
           space->count, space->templates.count, space->templates.repository_count,
           space->crossed_count);
}

static int show(const struct show_settings *settings, struct error *error)
{
    CLEANUP(classifier_free) struct classifier *classifier = NULL;
    int result = classifier_load(settings->model, &classifier, error);
    if (result != 0)
        return result;
    if (settings->json) {
        printf("%s\n", classifier_header_json(classifier));
        return 0;
    }
    print_provenance(classifier);
    table_print_model(stdout, classifier);
    return 0;
}

int command_show(int argc, char **argv)
{
    struct show_settings settings = {0};
    struct error error = {0};
    int status = 0;
    if (!option_begin(&PROGRAM, argc, argv, &settings, NULL, &status))
        return status;
    return show(&settings, &error) == 0 ? EXIT_STATUS_OK : command_fail(&error);
}
