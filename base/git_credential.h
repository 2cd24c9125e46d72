/*
 * git's credential helper: gives git the password of a repository, from a file, and only to the repository's own host.
 *
 * Design: git runs a helper with the word `get` and writes on its input for whom it asks
 * (gitcredentials(7), git-credential(1): lines name=value). Each daemon that fetches is its own helper:
 * called with GIT_HELPER_ARGUMENT its main() hands over to git_credential_main, which reads the file named
 * by a variable of its environment (git_command.h) and answers if protocol and host are those of the
 * repository's URL. So a redirect to another host gets nothing.
 *
 * The file holds either one line, a token (the name is then "x-access-token", as GitHub wants it and other
 * hosts accept), or two lines `username=NAME` and `password=SECRET`. It is read anew each time, so that a
 * rotated one counts at once.
 *
 * Invariant: the secret goes to standard output and nowhere else, and is wiped from memory.
 */
#ifndef NODAG_BASE_GIT_CREDENTIAL_H
#define NODAG_BASE_GIT_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

/* The first argument that makes an executable the helper. */
#define GIT_HELPER_ARGUMENT "git-credential-helper"

/* Largest file of credentials, and largest question. */
#define GIT_CREDENTIAL_MAX_BYTES 16384

/* Returns true if the arguments are a helper's. Before anything else. */
bool git_credential_is_asked(int argc, char **argv);

/* Answers on standard output; returns the exit status of the process. Main thread. */
int git_credential_main(int argc, char **argv);

/*
 * Writes the answer to `question` (git's lines) into `answer`: nothing if it is for another origin than
 * `origin` ("https://host:port"). `secret` is the file's text. ERR_INPUT if that is malformed. Any thread.
 */
int git_credential_answer(const char *question, const char *origin, const struct buffer *secret,
                          struct buffer *answer, struct error *error) MUST_CHECK;

#endif
