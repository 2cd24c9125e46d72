/*
 * The tables of spec_schema.h: every field of every kind, once. What a value looks like is
 * spec_value.c's; what fields mean together is spec_meaning.c's.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "topics/spec_schema.h"

/* Bounds of durations. */
#define SECOND_MS 1000.0
#define MINUTE_MS (60.0 * SECOND_MS)
#define DAY_MS (24.0 * 60.0 * MINUTE_MS)

/* What every document begins with. */
#define SPEC_HEAD(kind_name, name_help)                                                            \
    {.path = "apiVersion",                                                                         \
     .type = SPEC_CHOICE,                                                                          \
     .is_required = true,                                                                          \
     .choices = SPEC_API_VERSION,                                                                  \
     .help = "Version of this form: " SPEC_API_VERSION "."},                                       \
        {.path = "kind",                                                                           \
         .type = SPEC_CHOICE,                                                                      \
         .is_required = true,                                                                      \
         .choices = kind_name,                                                                     \
         .help = "What the document is."},                                                         \
        {.path = "metadata",                                                                       \
         .type = SPEC_OBJECT,                                                                      \
         .is_required = true,                                                                      \
         .help = "What the document is called."},                                                  \
        {.path = "metadata.name", .type = SPEC_NAME, .is_required = true, .help = name_help},      \
    {                                                                                              \
        .path = "spec", .type = SPEC_OBJECT, .is_required = true, .help = "What is kept true."     \
    }

static const struct spec_field model_fields[] = {
    SPEC_HEAD("Model", "The model's name; no two Models share one."),
    {.path = "spec.data",
     .type = SPEC_OBJECT,
     .is_required = true,
     .help = "The issues that the model is trained on."},
    {.path = "spec.data.repositories",
     .type = SPEC_REPOSITORY,
     .is_list = true,
     .is_required = true,
     .help = "Whose issues; globs are allowed."},
    {.path = "spec.data.maxAge",
     .type = SPEC_DURATION,
     .least = DAY_MS,
     .most = 36500 * DAY_MS,
     .help = "Older issues are left out. Without it all count."},
    {.path = "spec.labels",
     .type = SPEC_OBJECT,
     .is_required = true,
     .help = "Which labels are learnt."},
    {.path = "spec.labels.include",
     .type = SPEC_LABEL,
     .is_list = true,
     .is_required = true,
     .help = "Labels or globs; nothing else is learnt."},
    {.path = "spec.labels.minExamples",
     .type = SPEC_INTEGER,
     .default_value = "30",
     .least = 1,
     .most = 1000000,
     .help = "Issues that must carry a label before it is learnt."},
    {.path = "spec.fresh",
     .type = SPEC_OBJECT,
     .help = "What makes the model stale: any of these. Without it a model that exists is fresh."},
    {.path = "spec.fresh.maxAge",
     .type = SPEC_DURATION,
     .least = MINUTE_MS,
     .most = 36500 * DAY_MS,
     .help = "The model is older than this."},
    {.path = "spec.fresh.newLabels",
     .type = SPEC_INTEGER,
     .least = 1,
     .most = 1000000000,
     .help = "People changed so many labels since the data that it was trained on."},
    {.path = "spec.fresh.onPush",
     .type = SPEC_GLOB,
     .is_list = true,
     .help = "Files that match differ between the model's code commit and the head."},
    {.path = "spec.fresh.needsSyncUrl",
     .type = SPEC_HTTP_URL,
     .help = "This service says that it is stale."},
    {.path = "spec.train",
     .type = SPEC_OBJECT,
     .is_required = true,
     .help = "How a model is made."},
    {.path = "spec.train.notebook",
     .type = SPEC_FILE,
     .is_required = true,
     .help = "The notebook that is run, in the document's repository."},
    {.path = "spec.train.parameters",
     .type = SPEC_MAP,
     .most = 64,
     .help = "Values of the notebook's parameters."},
    {.path = "spec.train.executor",
     .type = SPEC_CHOICE,
     .default_value = "local",
     .choices = "local|kubernetes-job|tekton-pipelinerun",
     .help = "Where it runs."},
    {.path = "spec.train.deadline",
     .type = SPEC_DURATION,
     .default_value = "2h",
     .least = SECOND_MS,
     .most = 30 * DAY_MS,
     .help = "A run that takes longer is ended and counts as failed."},
    {.path = "spec.train.network",
     .type = SPEC_BOOL,
     .default_value = "false",
     .help = "Whether the run may open connections beyond loopback."},
    {.path = "spec.suspend",
     .type = SPEC_BOOL,
     .default_value = "false",
     .help = "true cancels what runs and starts nothing."},
    {.path = "spec.history", .type = SPEC_OBJECT, .help = "How many finished runs are kept."},
    {.path = "spec.history.successful",
     .type = SPEC_INTEGER,
     .default_value = "10",
     .least = 1,
     .most = 10000,
     .help = "Successful ones."},
    {.path = "spec.history.failed",
     .type = SPEC_INTEGER,
     .default_value = "10",
     .least = 0,
     .most = 10000,
     .help = "Failed ones."},
};

static const struct spec_field deployment_fields[] = {
    SPEC_HEAD("Deployment", "The deployment's name; no two Deployments share one."),
    {.path = "spec.model",
     .type = SPEC_NAME,
     .is_required = true,
     .help = "The Model whose best version is deployed."},
    {.path = "spec.target",
     .type = SPEC_OBJECT,
     .is_required = true,
     .help = "The configuration that names the version."},
    {.path = "spec.target.repository",
     .type = SPEC_GIT_URL,
     .is_required = true,
     .help = "Where it lies."},
    {.path = "spec.target.base",
     .type = SPEC_BRANCH,
     .help = "Branch that pull requests go to. Without it the repository's default branch."},
    {.path = "spec.target.file", .type = SPEC_FILE, .is_required = true, .help = "The YAML file."},
    {.path = "spec.target.path",
     .type = SPEC_TARGET_PATH,
     .is_required = true,
     .help = "The value in it: keys, [N], [field=value], and #kind/name before them where the file "
             "has several documents."},
    {.path = "spec.hydrate",
     .type = SPEC_TEXT,
     .help = "Command that is run in a work tree before the commit, such as `make hydrate-prod`."},
    {.path = "spec.pullRequest", .type = SPEC_OBJECT, .help = "How the change is proposed."},
    {.path = "spec.pullRequest.branch",
     .type = SPEC_BRANCH,
     .help = "Branch of the pull request; it belongs to this document. Without it nodag/NAME."},
    {.path = "spec.pullRequest.merge",
     .type = SPEC_CHOICE,
     .default_value = "manual",
     .choices = "manual|when-green",
     .help = "Who merges it: people, or nodag once its checks have passed."},
    {.path = "spec.pin", .type = SPEC_VERSION, .help = "The version to stay on."},
    {.path = "spec.veto",
     .type = SPEC_VERSION,
     .is_list = true,
     .help = "Versions that are never proposed."},
    {.path = "spec.gate", .type = SPEC_OBJECT, .help = "How good a version must be."},
    {.path = "spec.gate.metric",
     .type = SPEC_TEXT,
     .default_value = "f1_macro",
     .help = "Metric of the model's record that is compared."},
    {.path = "spec.gate.atLeast",
     .type = SPEC_NUMBER,
     .least = 0,
     .most = 1,
     .help = "Least value."},
    {.path = "spec.gate.notWorseThanCurrentBy",
     .type = SPEC_NUMBER,
     .least = 0,
     .most = 1,
     .help = "How much worse than the current version it may be."},
    {.path = "spec.rollout", .type = SPEC_OBJECT, .help = "When it counts as rolled out."},
    {.path = "spec.rollout.evidence",
     .type = SPEC_CHOICE,
     .default_value = "serving",
     .choices = "serving|cluster",
     .help = "Labelers say that they serve it, or the cluster's objects have it."},
    {.path = "spec.rollout.deadline",
     .type = SPEC_DURATION,
     .default_value = "15m",
     .least = SECOND_MS,
     .most = 30 * DAY_MS,
     .help = "After the merge; later a person is told."},
    {.path = "spec.rollout.configMap",
     .type = SPEC_TEXT,
     .help = "NAMESPACE/NAME of the ConfigMap; for `evidence: cluster`."},
    {.path = "spec.rollout.workload",
     .type = SPEC_TEXT,
     .help = "NAMESPACE/NAME of the workload that uses it; for `evidence: cluster`."},
};

static const struct spec_field labeler_fields[] = {
    SPEC_HEAD("Labeler", "The labeler's name; no two Labelers share one."),
    {.path = "spec.repositories",
     .type = SPEC_REPOSITORY,
     .is_list = true,
     .is_required = true,
     .help = "Whose issues are labelled; globs are allowed. No two Labelers may match one "
             "repository."},
    {.path = "spec.labels",
     .type = SPEC_OBJECT,
     .is_required = true,
     .help = "Which labels may be written."},
    {.path = "spec.labels.include",
     .type = SPEC_LABEL,
     .is_list = true,
     .is_required = true,
     .help = "Labels or globs; nothing else is ever written. Labels on which automation elsewhere "
             "acts (lgtm, ok-to-test, do-not-merge/…) only where they are named literally."},
    {.path = "spec.models",
     .type = SPEC_OBJECT,
     .is_list = true,
     .is_required = true,
     .least = 1,
     .most = 16,
     .help = "Where the model comes from: exactly one of from, model and file for each. Several: "
             "the union of their labels, the highest probability where they share one."},
    {.path = "spec.models[].from",
     .type = SPEC_NAME,
     .help = "A Deployment: what it has rolled out."},
    {.path = "spec.models[].model", .type = SPEC_VERSION, .help = "A version."},
    {.path = "spec.models[].file",
     .type = SPEC_TEXT,
     .help = "A model file where the labeler runs."},
    {.path = "spec.since",
     .type = SPEC_TIME,
     .help = "Events from before are not acted on. Without it when the document was first "
             "published; required in a document that is read from a folder."},
    {.path = "spec.relabel",
     .type = SPEC_CHOICE,
     .default_value = "none",
     .choices = "none|open",
     .help = "When the model changes: nothing, or open issues are looked at again."},
    {.path = "spec.comment",
     .type = SPEC_CHOICE,
     .default_value = "silent",
     .choices = "silent|edit",
     .help = "No comment under the issue, or one, edited."},
    {.path = "spec.audit", .type = SPEC_OBJECT, .help = "How quality is measured."},
    {.path = "spec.audit.holdback",
     .type = SPEC_PERCENT,
     .default_value = "0",
     .help = "Share of the issues that is predicted and never written, so that people's labels "
             "can be compared."},
};

static const struct spec_kind_row kinds[SPEC_KIND_COUNT] = {
    [SPEC_MODEL] = {.name = "Model",
                    .summary = "A fresh model exists: the trainer keeps this true.",
                    .fields = model_fields,
                    .field_count = ARRAY_COUNT(model_fields)},
    [SPEC_DEPLOYMENT] = {.name = "Deployment",
                         .summary = "The configuration names the best model: the deployer keeps "
                                    "this true.",
                         .fields = deployment_fields,
                         .field_count = ARRAY_COUNT(deployment_fields)},
    [SPEC_LABELER] = {.name = "Labeler",
                      .summary = "Open issues carry the labels that the deployed model predicts: "
                                 "the labeler keeps this true.",
                      .fields = labeler_fields,
                      .field_count = ARRAY_COUNT(labeler_fields)},
};

const struct spec_kind_row *spec_kind_row(enum spec_kind kind)
{
    return &kinds[kind];
}

int spec_kind_from_name(const char *name, enum spec_kind *ret_kind)
{
    for (size_t i = 0; i < SPEC_KIND_COUNT; i++) {
        if (strcmp(kinds[i].name, name) != 0)
            continue;
        *ret_kind = (enum spec_kind)i;
        return 0;
    }
    return ERR_NOT_FOUND;
}

const char *spec_kind_nearest(const char *name)
{
    const char *names[SPEC_KIND_COUNT];
    for (size_t i = 0; i < SPEC_KIND_COUNT; i++)
        names[i] = kinds[i].name;
    return nearest_name(name, names, ARRAY_COUNT(names));
}
