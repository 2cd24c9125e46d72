/*
 * git's network commands as children: what stands on their command lines, in their environment and configuration.
 *
 * Design: network work is done by git itself, which has every transport and is kept secure by Debian; what
 * reaches it is decided here. Nothing of the machine's or the user's configuration is read:
 * GIT_CONFIG_GLOBAL is the mirror's own file (git_mirror.h), GIT_CONFIG_NOSYSTEM is set, the environment is
 * built from nothing. Only the URL's own transport is allowed, hooks are off, objects are checked as they
 * come (transfer.fsckObjects), nobody is asked anything.
 *
 *      https, http   password by a credential helper: this daemon's executable with the argument
 *                    GIT_HELPER_ARGUMENT, which reads the file and answers only for the URL's own scheme,
 *                    host and port (git_credential.h), wherever a redirect leads
 *      ssh           key by -i, host keys by UserKnownHostsFile with StrictHostKeyChecking; no agent, no
 *                    configuration, no forwarding
 *
 * A head is fetched into a ref of its own, refs/nodag/SHA-256 of its name: names that exclude each other (a
 * and a/b) or differ in case only never meet, and a fetch asks for exactly those heads that moved.
 *
 * Sources: git(1), git-config(1), gitcredentials(7), ssh_config(5).
 *
 * Invariants: no secret stands in a command line, a configuration file, a URL or a log; a child runs in the
 * mirror's folder and dies with its group.
 */
#ifndef NODAG_BASE_GIT_COMMAND_H
#define NODAG_BASE_GIT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/child.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/git_answer.h"
#include "base/git_url.h"

/* Where fetched heads are kept in a mirror. */
#define GIT_MIRROR_REFS "refs/nodag/"

/* Room for the name of a head in a mirror, with a NUL. */
#define GIT_MIRROR_REF_BYTES (sizeof(GIT_MIRROR_REFS) + DIGEST_TEXT_BYTES)

/* Name of the configuration file in a mirror. */
#define GIT_MIRROR_CONFIG "nodag.config"

/* End of standard error that is kept. */
#define GIT_ERRORS_MAX_BYTES 8192

/* Most heads that one fetch asks for. */
#define GIT_FETCH_MAX 1000

/* Variables that git's credential helper reads: path of the file, and "scheme://host" of the URL. */
#define GIT_HELPER_FILE_VARIABLE "NODAG_GIT_CREDENTIALS"
/* See above. */
#define GIT_HELPER_ORIGIN_VARIABLE "NODAG_GIT_ORIGIN"

/* How a repository is reached; texts are borrowed. */
struct git_access {
    struct git_url url;
    const char
        *credentials_file; /* https, http: see git_credential.h; ssh: a private key; NULL: none */
    const char *known_hosts_file; /* ssh: required */
    const char *ca_file; /* https: certificate authorities instead of the system's; NULL: those */
    const char
        *helper_program; /* absolute path of an executable whose main calls git_credential_main */
};

/* Limits of a command. */
struct git_command_limits {
    int64_t deadline_ms;    /* then it is ended */
    int64_t file_max_bytes; /* largest file, so largest pack; 0: none */
};

/* A child's spec with its memory. */
struct git_command {
    struct child_spec spec;            /* what to start; borrows from the rest */
    const char *argv[CHILD_WORDS_MAX]; /* borrowed or owned by `owned` */
    const char *env[CHILD_WORDS_MAX];  /* likewise */
    char *owned[CHILD_WORDS_MAX];      /* owned */
    size_t env_count;                  /* how many variables */
    size_t owned_count;                /* how many owned texts */
    char *input;                       /* owned */
};

/*
 * Checks that what the URL's scheme needs is there and that the paths may stand in configuration and ssh
 * options. ERR_INPUT. Any thread.
 */
int git_access_check(const struct git_access *access, struct error *error) MUST_CHECK;

/* Makes `git ls-remote` for branches and tags; to be released. Loop thread. */
void git_command_list(struct git_command *command, const struct git_access *access,
                      const char *mirror, const struct git_command_limits *limits);

/* Makes `git fetch` of 1..GIT_FETCH_MAX refs; to be released. Loop thread. */
void git_command_fetch(struct git_command *command, const struct git_access *access,
                       const char *mirror, const char *const *refs, size_t ref_count,
                       const struct git_command_limits *limits);

/*
 * Makes `git fetch` of one commit (its full hash) without its history, into the ref that git_mirror_ref
 * names for the hash; to be released. Loop thread.
 */
void git_command_fetch_commit(struct git_command *command, const struct git_access *access,
                              const char *mirror, const char *commit,
                              const struct git_command_limits *limits);

/*
 * Makes `git checkout` of all files of a fetched commit into `folder`, which is there and empty; to be
 * released. Loop thread.
 */
void git_command_checkout(struct git_command *command, const struct git_access *access,
                          const char *mirror, const char *commit, const char *folder,
                          const struct git_command_limits *limits);

/* Makes `git gc`, which packs the mirror and drops what no head needs; to be released. Loop thread. */
void git_command_gc(struct git_command *command, const struct git_access *access,
                    const char *mirror, const struct git_command_limits *limits);

/* Frees what a command owns. */
void git_command_release(struct git_command *command);

/* Writes the name that a head has in a mirror. Any thread. */
void git_mirror_ref(const char *ref, char ret_name[GIT_MIRROR_REF_BYTES]);

/* Returns the text of the configuration file of a mirror; owned. Any thread. */
char *git_config_text(const struct git_access *access);

#endif
