/*
 * Can a run be kept apart from nodag on this machine? `nodag-train-run --check`, for people, local stacks and probes.
 *
 * Design: no list of what a kernel must allow, which would be wrong somewhere: a real sandbox is made in a temporary folder, and a program that does
 * nothing is run in it.
 *
 * Invariant: nothing is left behind.
 */
#ifndef NODAG_TRAINER_RUN_CHECK_H
#define NODAG_TRAINER_RUN_CHECK_H

#include "base/error.h"
#include "reactors/trainer/run_supervisor.h"

/*
 * Makes a sandbox as runs get it (`self`, `uid` and `gid` of the settings count) and runs `true` in it. ERR_UNSUPPORTED: it cannot be made here, with the
 * reason; ERR_IO: no temporary folder. Main thread, before any loop of the caller's.
 */
int run_check_sandbox(const struct run_settings *settings, struct error *error) MUST_CHECK;

#endif
