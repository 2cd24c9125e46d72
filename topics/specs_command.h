/*
 * The subcommands of `nodag specs`; private to the command.
 *
 * Design: each is a function with main's signature, in a file of its own; argv[0] is its name. There
 * is none that changes desired state: people change it in git.
 *
 * Invariant: exit statuses are those of base/option.h.
 */
#ifndef NODAG_TOPICS_SPECS_COMMAND_H
#define NODAG_TOPICS_SPECS_COMMAND_H

/* `nodag specs list`, also `nodag specs`. Returns an exit status. Main thread. */
int specs_list(int argc, char **argv);

/* `nodag specs show KIND/NAME`. Returns an exit status. Main thread. */
int specs_show(int argc, char **argv);

/* `nodag specs check FILE|DIR…`. Returns an exit status. Main thread. */
int specs_check(int argc, char **argv);

/* `nodag specs schema KIND`. Returns an exit status. Main thread. */
int specs_schema(int argc, char **argv);

#endif
