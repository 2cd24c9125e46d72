/*
 * The states of a run: see run_state.h.
 */
#include "topics/run_state.h"

#include <string.h>

static const struct {
    const char *name;
    bool terminal;
} run_states[] = {
#define RUN_STATE_ROW(name, text, terminal) {text, terminal}, /* see RUN_STATE_TABLE */
    RUN_STATE_TABLE(RUN_STATE_ROW)
#undef RUN_STATE_ROW
};

const char *run_state_name(enum run_state state)
{
    return run_states[state].name;
}

bool run_state_from_name(const char *name, enum run_state *ret_state)
{
    for (int i = 0; i < RUN_STATE_COUNT; i++) {
        if (strcmp(run_states[i].name, name) == 0) {
            *ret_state = (enum run_state)i;
            return true;
        }
    }
    return false;
}

bool run_state_is_terminal(enum run_state state)
{
    return run_states[state].terminal;
}
