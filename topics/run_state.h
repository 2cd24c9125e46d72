/*
 * The states of a run: PENDING → RUNNING → one of the others, which it never leaves.
 *
 * Invariant: pure functions; the table is the only list.
 */
#ifndef NODAG_TOPICS_RUN_STATE_H
#define NODAG_TOPICS_RUN_STATE_H

#include <stdbool.h>

/* States of a run: enum name, name in records, whether it is terminal. */
#define RUN_STATE_TABLE(X)                                                                         \
    X(RUN_PENDING, "PENDING", false)    /* decided and recorded, not started */                    \
    X(RUN_RUNNING, "RUNNING", false)    /* its supervisor was started */                           \
    X(RUN_SUCCEEDED, "SUCCEEDED", true) /* it left a model */                                      \
    X(RUN_FAILED, "FAILED", true)       /* it ended without one */                                 \
    X(RUN_CANCELLED, "CANCELLED", true) /* a person did not want it any more */                    \
    X(RUN_LOST, "LOST", true)           /* its supervisor is gone and left no result */

/* See RUN_STATE_TABLE. */
enum run_state {
#define RUN_STATE_ENUM(name, text, terminal) name, /* see RUN_STATE_TABLE */
    RUN_STATE_TABLE(RUN_STATE_ENUM)
#undef RUN_STATE_ENUM
        RUN_STATE_COUNT, /* how many */
};

/* Returns a state's name in records; static. Any thread. */
const char *run_state_name(enum run_state state);

/* Finds a state by its name; false: there is none of that name. Any thread. */
bool run_state_from_name(const char *name, enum run_state *ret_state);

/* Returns true for the states that a run never leaves. Any thread. */
bool run_state_is_terminal(enum run_state state);

#endif
