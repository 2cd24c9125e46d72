/*
 * nodag specs schema: the form of a kind, as JSON Schema for editors or as Markdown for people; both
 * from the table that validation uses.
 */
#include <stdio.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "topics/spec_schema.h"
#include "topics/specs_command.h"
#include "topics/topics_command.h"

/* What the command line says. */
struct schema_settings {
    const char *format; /* --format */
};

static const struct option_row rows[] = {
    {.name = "format",
     .letter = 'f',
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct schema_settings, format),
     .choices = "json|markdown",
     .default_value = "json",
     .group = "Output",
     .help = "JSON Schema (draft 2020-12), or a table of all fields for people."},
};

static const struct option_program program = {
    .name = "nodag specs schema",
    .summary = "Prints the form of a kind: Model, Deployment or Labeler.",
    .usage = "[OPTION…] KIND",
    .description = "Editors that know YAML take the schema and complete and check while one types: "
                   "a first line such as # yaml-language-server: $schema=labeler.schema.json, or "
                   "their settings. The schema says less than `nodag specs check`.",
    .examples = "nodag specs schema Labeler > labeler.schema.json\n"
                "nodag specs schema Model --format markdown",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
    .positional_least = 1,
    .positional_most = 1,
};

int specs_schema(int argc, char **argv)
{
    struct schema_settings settings = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&program, argc, argv, &settings, &first, &status))
        return status;
    enum spec_kind kind = SPEC_KIND_COUNT;
    struct error error = {0};
    if (spec_kind_from_name(argv[first], &kind) != 0) {
        const char *near = spec_kind_nearest(argv[first]);
        (void)error_set(&error, ERR_USAGE, "there is no kind \"%s\"; %s%s%s", argv[first],
                        near != NULL ? "did you mean " : "write Model, Deployment or Labeler",
                        near != NULL ? near : "", near != NULL ? "?" : "");
        return command_fail(&program, &error);
    }
    if (strcmp(settings.format, "markdown") == 0) {
        CLEANUP(mem_free) char *text = spec_schema_describe(kind);
        (void)fputs(text, stdout);
        return EXIT_STATUS_OK;
    }
    CLEANUP(json_release) json_t *schema = spec_schema_make(kind);
    CLEANUP(mem_free) char *text = json_dumps(schema, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    (void)puts(text);
    return EXIT_STATUS_OK;
}
