/*
 * The labeler's plan: (desired, observed) → what to add, remove and say. Pure: no input, no output,
 * no clock.
 *
 * Design: every label that a model knows gets one decision with a verdict; the lists of labels to
 * add and to remove and the fate of the comment follow from the verdicts. The order of the checks
 * is the order of who wins: people first, then the owners' configuration, then the document, then
 * the model.
 *
 * Whose a label is: of the timeline's entries for a label, the newest one that is not nodag's own
 * decides. A person (or another bot) who removed it: never added again. One who added it, or a
 * label there without any entry: never removed. Only what nodag itself put there, and nobody
 * touched since, may be removed when the model no longer predicts it.
 *
 * A write of nodag's that lands late (sent, then cut off) may come after a person's decision. It is seen in the order of the entries and
 * undone: what was added after somebody removed it is removed, what was removed after somebody added it is added again. A label whose newest
 * entry says that it was added, and that is not there, was deleted from the repository by somebody: it counts as removed.
 *
 * Invariants: `add` holds only labels that exist in the repository, are included and allowed, are
 * not on the issue, and were not removed by anybody else; `remove` holds only labels that are on
 * the issue by nodag's own hand; nothing is written on a held-back issue. One exception to all of
 * them: undoing a late write gives a person's decision back as it was, whatever document, model and
 * holdback say now.
 */
#ifndef NODAG_LABELER_PLAN_H
#define NODAG_LABELER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* Most labels that are considered: what all models of a document know. */
#define PLAN_LABELS_MAX 2000

/* Verdicts: enum name, text that people read in comments and records. */
#define PLAN_VERDICTS(X)                                                                           \
    X(PLAN_ADD, "predicted above its threshold")                                                   \
    X(PLAN_KEEP, "predicted, and already there")                                                   \
    X(PLAN_REMOVE, "nodag added it, and it is not predicted any more")                             \
    X(PLAN_TAKE_BACK, "nodag added it too late: somebody had removed it")                          \
    X(PLAN_GIVE_BACK, "nodag removed it too late: somebody had added it")                          \
    X(PLAN_BELOW, "below its threshold")                                                           \
    X(PLAN_NOT_BEST, "another label of its group is more likely")                                  \
    X(PLAN_NOT_PREDICTABLE, "the model does not reach its precision target for it")                \
    X(PLAN_NOT_INCLUDED, "not included by the Labeler document")                                   \
    X(PLAN_TRIGGER, "automation elsewhere acts on it; it must be included by its literal name")    \
    X(PLAN_NOT_ALLOWED, "not among the repository's predicted-labels")                             \
    X(PLAN_NO_SUCH_LABEL, "the repository has no such label")                                      \
    X(PLAN_REMOVED_BY_PERSON, "somebody removed it")                                               \
    X(PLAN_ADDED_BY_PERSON, "not predicted, and somebody put it there")                            \
    X(PLAN_HELD_BACK, "predicted, held back for the audit")

/* See PLAN_VERDICTS. */
enum plan_verdict {
#define PLAN_VERDICT_ENUM(name, text) name, /* see PLAN_VERDICTS */
    PLAN_VERDICTS(PLAN_VERDICT_ENUM)
#undef PLAN_VERDICT_ENUM
};

/* What the model says of one label, with what document and repository say of writing it. Texts
 * borrowed. */
struct plan_candidate {
    const char *label;    /* the model's name */
    const char *written;  /* name after alias */
    double probability;   /* 0..1 */
    double threshold;     /* from which it is predicted */
    bool predicted;       /* above the threshold and the best of its group */
    bool predictable;     /* the model may predict it at all */
    bool included;        /* the document includes it */
    bool trigger;         /* it is a trigger label that is not named literally */
    bool allowed;         /* the repository's configuration allows it */
    const char *existing; /* the repository's spelling of it; NULL: there is no such label */
    const char *model;    /* version of the model that says so */
};

/* What the timeline says last of one label. Texts borrowed. */
struct plan_label_event {
    const char *label; /* name */
    bool added;        /* labeled, else unlabeled */
    bool is_own;       /* by nodag */
    const char *actor; /* login */
    int64_t time_ms;   /* when */
};

/* All that is desired and observed. Everything borrowed. */
struct plan_input {
    const struct plan_candidate *candidates; /* one for each label of the models */
    size_t candidate_count;                  /* of them */
    const char *const *present;              /* labels on the issue now */
    size_t present_count;                    /* of them */
    const struct plan_label_event *events;   /* label entries of the timeline, oldest first */
    size_t event_count;                      /* of them */
    bool held_back;                          /* predicted, never written */
    bool comment_wanted;                     /* the document says `comment: edit` */
    int64_t own_comment_id;                  /* nodag's comment as it stands there; 0: none */
    int64_t known_comment_id; /* the one that nodag wrote according to its records; 0: none */
};

/* What became of one candidate; order as in the input. */
struct plan_decision {
    enum plan_verdict verdict; /* see there */
    const char *by;            /* who decided otherwise; NULL: nobody. Borrowed from the input */
};

/* What happens to the comment. */
enum plan_comment {
    PLAN_COMMENT_NONE,   /* nothing */
    PLAN_COMMENT_CREATE, /* there is none yet */
    PLAN_COMMENT_EDIT,   /* own_comment_id is brought up to date */
};

/* The plan; owned, texts borrowed from the input. */
struct plan {
    struct plan_decision *decisions; /* one for each candidate */
    size_t decision_count;           /* of them */
    const char **add;                /* labels for the one POST */
    size_t add_count;                /* of them */
    const char **remove;             /* labels for single DELETEs */
    size_t remove_count;             /* of them */
    enum plan_comment comment;       /* what happens to the comment */
    bool comment_deleted; /* nodag's comment was deleted by somebody: not written again */
};

/* Makes the plan. Owned by the caller. Any thread. */
struct plan *plan_make(const struct plan_input *input);

/* Frees a plan; NULL allowed. */
void plan_free(struct plan *plan);
DEFINE_CLEANUP(struct plan *, plan_free)

/* Returns why a label that is not predicted is not: PLAN_NOT_PREDICTABLE, PLAN_NOT_BEST or
 * PLAN_BELOW. Any thread. */
enum plan_verdict plan_why_not_predicted(const struct plan_candidate *candidate);

/* Returns the name of a verdict as records have it: "ADD", "HELD_BACK" …; static storage. */
const char *plan_verdict_name(enum plan_verdict verdict);

/* Returns the text of a verdict; static storage. */
const char *plan_verdict_text(enum plan_verdict verdict);

#endif
