/*
 * Between run_sandbox.c, which starts, and run_sandbox_root.c, which builds what is seen inside.
 *
 * Invariant: these functions run in the sandbox's own processes only, never in the supervisor.
 */
#ifndef NODAG_TRAINER_RUN_SANDBOX_PRIVATE_H
#define NODAG_TRAINER_RUN_SANDBOX_PRIVATE_H

#include "base/error.h"
#include "reactors/trainer/run_sandbox.h"

/* Builds the root, enters it and leaves the old one. In init, before rights are dropped. ERR_IO, ERR_DENIED with what failed. */
int sandbox_enter_root(const struct sandbox *sandbox, struct error *error) MUST_CHECK;

/* Refuses system calls that make namespaces, mounts, keys, or reach far into the kernel; for this process and its children. Needs no new privileges.
 * ERR_UNSUPPORTED. */
int sandbox_filter_calls(struct error *error) MUST_CHECK;

#endif
