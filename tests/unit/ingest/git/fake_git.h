/*
 * Children played by a test: a remote in memory that answers ls-remote, fetch, gc and the worker's requests,
 * with faults by chance.
 *
 * Design: `struct fake_git` implements struct children on the simulated loop. A fetch copies the asked heads
 * from remote to mirror; the worker describes from the mirror. What the daemon sees is what the real programs
 * would say; moves carry no commits. Faults, in 1/1000 of the children: `fails` (status 128, unavailable),
 * `hangs` (until its deadline), `corrupt` (a fetch brings damaged objects, or documents are damaged). The
 * remote may move between any two children, so that a fetch brings another state than was listed.
 *
 * Invariant: a function of the loop's seed and the calls.
 */
#ifndef NODAG_TESTS_UNIT_INGEST_GIT_FAKE_GIT_H
#define NODAG_TESTS_UNIT_INGEST_GIT_FAKE_GIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/child.h"
#include "base/git_command.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "ingest/git/work.h"
#include "topics/git_push.h"

/* Refs of the remote: refs/heads/b0 … */
#define FAKE_REFS 6

/* Longest run of a child that does not hang. */
#define FAKE_RUN_MS 200

/* A repository: the number that each ref stands at; 0: it is not there. */
struct fake_repository {
    unsigned states[FAKE_REFS];
};

/* Faults, in 1/1000. */
struct fake_faults {
    unsigned fails;
    unsigned hangs;
    unsigned corrupt;
};

/* The players. */
struct fake_git {
    struct children children; /* first: the interface */
    struct loop *loop;
    struct fake_repository remote;
    struct fake_repository mirror;
    struct fake_faults faults;
    /* The files of a commit: appends {"path", "text"} to `files`; NULL: there are none. */
    void (*documents)(unsigned ref, unsigned state, json_t *files);
    size_t documents_read; /* requests so far */
    bool is_empty;         /* the remote says that it has nothing */
    unsigned broken_ref; /* fetches that ask for this ref bring damaged objects; FAKE_REFS: none */
    size_t running;      /* now */
    size_t running_most; /* ever */
    size_t listed;       /* ls-remotes so far */
    size_t discarded;    /* mirrors thrown away */
    struct child *first; /* list */
};

struct child {
    struct fake_git *git;
    struct child *next;
    struct loop_timer *timer;
    child_done_fn done;
    void *argument;
    char *program; /* what it is: ls-remote, fetch, gc, git-work */
    char *input;
    size_t input_bytes;
    int fault; /* 0, or the code that it ends with */
};

static inline void fake_id(unsigned ref, unsigned state, char ret_id[41])
{
    (void)snprintf(ret_id, 41, "%08x%032x", ref, state);
}

static inline unsigned fake_state(const char *id)
{
    return id == NULL || id[0] == '\0' ? 0 : (unsigned)strtoul(id + 8, NULL, 16);
}

static inline unsigned fake_ref(const char *ref)
{
    assert_int_equal(strncmp(ref, "refs/heads/b", 12), 0);
    return (unsigned)strtoul(ref + 12, NULL, 10);
}

/* What a child says; owned by the caller. */
struct fake_answer {
    int status;
    struct buffer output;
    char errors[128];
};

static inline void fake_list(struct fake_git *git, struct fake_answer *answer)
{
    git->listed++;
    for (unsigned i = 0; i < FAKE_REFS && !git->is_empty; i++) {
        char id[41];
        fake_id(i, git->remote.states[i], id);
        if (git->remote.states[i] != 0)
            assert_int_equal(buffer_append_format(&answer->output, "%s\trefs/heads/b%u\n", id, i),
                             0);
    }
}

static inline void fake_fail(struct fake_answer *answer, const char *text)
{
    answer->status = 128;
    (void)snprintf(answer->errors, sizeof(answer->errors), "%s\n", text);
}

static inline void fake_fetch(struct child *child, struct fake_answer *answer)
{
    struct fake_git *git = child->git;
    for (unsigned i = 0; i < FAKE_REFS; i++) {
        char asked[64];
        (void)snprintf(asked, sizeof(asked), "+refs/heads/b%u:", i);
        if (strstr(child->input, asked) == NULL)
            continue;
        if (git->remote.states[i] == 0)
            fake_fail(answer, "fatal: couldn't find remote ref");
        else if (i == git->broken_ref || loop_random_below(git->loop, 1000) < git->faults.corrupt)
            fake_fail(answer, "fatal: fsck error in packed object");
        if (answer->status != 0)
            return;
    }
    for (unsigned i = 0; i < FAKE_REFS; i++) {
        char asked[64];
        (void)snprintf(asked, sizeof(asked), "+refs/heads/b%u:", i);
        if (strstr(child->input, asked) != NULL)
            git->mirror.states[i] = git->remote.states[i];
    }
}

static inline json_t *fake_describe(struct fake_git *git, const json_t *move,
                                    const char *repository)
{
    const char *ref = json_text_or(move, "ref", "");
    const char *old = json_text_or(move, "old", NULL);
    bool is_deleted = json_is_true(json_object_get(move, "deleted"));
    unsigned state = git->mirror.states[fake_ref(ref)];
    char id[41];
    fake_id(fake_ref(ref), state, id);
    if (!is_deleted && state == 0)
        return json_pack("{s:s, s:s}", "code", "ERR_CORRUPT", "text", "not there");
    if (!is_deleted && old != NULL && strcmp(old, id) == 0)
        return json_pack("{s:b}", "unmoved", 1);
    if (is_deleted)
        git->mirror.states[fake_ref(ref)] = 0;
    const struct git_push push = {.repository = repository,
                                  .ref = ref,
                                  .old_id = old,
                                  .new_id = is_deleted ? NULL : id,
                                  .move = json_int_or(move, "move", 0)};
    size_t bytes = 0;
    json_t *value = NULL;
    CLEANUP(mem_free) char *text = git_push_write(&push, &bytes);
    assert_int_equal(json_read(text, bytes, &value, NULL), 0);
    return json_pack("{s:o}", "push", value);
}

static inline void fake_documents(struct fake_git *git, const json_t *request, json_t *result,
                                  struct fake_answer *answer)
{
    const char *commit = json_text_or(request, "commit", "");
    char ref_text[9];
    (void)snprintf(ref_text, sizeof(ref_text), "%s", commit);
    unsigned ref = (unsigned)strtoul(ref_text, NULL, 16);
    json_t *files = json_array();
    (void)json_object_set_new(result, "files", files);
    git->documents_read++;
    if (git->mirror.states[ref] != fake_state(commit)) {
        answer->status = 1;
        (void)snprintf(answer->errors, sizeof(answer->errors), "ERR_NOT_FOUND: no such commit\n");
    } else if (loop_random_below(git->loop, 1000) < git->faults.corrupt) {
        answer->status = 1;
        (void)snprintf(answer->errors, sizeof(answer->errors), "ERR_CORRUPT: damaged\n");
    } else if (git->documents != NULL) {
        git->documents(ref, fake_state(commit), files);
    }
}

static inline void fake_work(struct child *child, struct fake_answer *answer)
{
    struct fake_git *git = child->git;
    CLEANUP(json_release) json_t *request = NULL;
    CLEANUP(json_release) json_t *result = json_pack("{s:i}", "bytes", 1000);
    assert_int_equal(json_read(child->input, child->input_bytes, &request, NULL), 0);
    const char *what = json_text_or(request, "do", "");
    if (strcmp(what, "discard") == 0) {
        git->mirror = (struct fake_repository){.states = {0}};
        git->discarded++;
    } else if (strcmp(what, "documents") == 0) {
        fake_documents(git, request, result, answer);
    } else if (strcmp(what, "describe") == 0) {
        json_t *results = json_array();
        json_t *moves = json_object_get(request, "moves");
        for (size_t i = 0; i < json_array_size(moves); i++)
            (void)json_array_append_new(results,
                                        fake_describe(git, json_array_get(moves, i),
                                                      json_text_or(request, "repository", "")));
        (void)json_object_set_new(result, "results", results);
    }
    size_t bytes = 0;
    CLEANUP(mem_free) char *text = json_write(result, &bytes);
    assert_int_equal(buffer_append(&answer->output, text, bytes), 0);
}

static inline void fake_unlink(struct child *child)
{
    struct child **link = &child->git->first;
    while (*link != child)
        link = &(*link)->next;
    *link = child->next;
    child->git->running--;
    loop_timer_free(child->timer);
}

static inline void fake_free(struct child *child)
{
    free(child->program);
    free(child->input);
    free(child);
}

static inline void fake_on_timer(void *argument)
{
    struct child *child = argument;
    struct fake_answer answer = {.output = BUFFER_INIT(1 << 20)};
    assert_int_equal(buffer_append_text(&answer.output, ""), 0);
    if (child->fault == ERR_UNAVAILABLE)
        fake_fail(&answer, strcmp(child->program, WORK_ARGUMENT) == 0 ? "ERR_IO: x"
                                                                      : "fatal: unable to access");
    else if (child->fault == 0 && strcmp(child->program, "ls-remote") == 0)
        fake_list(child->git, &answer);
    else if (child->fault == 0 && strcmp(child->program, "fetch") == 0)
        fake_fetch(child, &answer);
    else if (child->fault == 0 && strcmp(child->program, WORK_ARGUMENT) == 0)
        fake_work(child, &answer);
    const struct child_result result = {.code = child->fault == ERR_TIMEOUT ? ERR_TIMEOUT : 0,
                                        .exit_status =
                                            child->fault == ERR_TIMEOUT ? -1 : answer.status,
                                        .output = answer.output.data,
                                        .output_bytes = answer.output.size_bytes,
                                        .errors = answer.errors,
                                        .errors_bytes = strlen(answer.errors)};
    fake_unlink(child);
    child->done(child->argument, &result);
    buffer_release(&answer.output);
    fake_free(child);
}

static inline struct child *fake_start(struct children *children, const struct child_spec *spec,
                                       child_done_fn done, void *argument)
{
    struct fake_git *git = (struct fake_git *)children;
    struct child *child = MEM_NEW(struct child);
    child->git = git;
    child->done = done;
    child->argument = argument;
    child->program = mem_copy_text(spec->argv[1]);
    child->input = mem_copy_bytes(spec->input != NULL ? spec->input : "", spec->input_bytes);
    child->input_bytes = spec->input_bytes;
    child->next = git->first;
    git->first = child;
    git->running++;
    if (git->running > git->running_most)
        git->running_most = git->running;
    uint64_t chance = loop_random_below(git->loop, 1000);
    if (chance < git->faults.fails)
        child->fault = ERR_UNAVAILABLE;
    else if (chance < git->faults.fails + git->faults.hangs)
        child->fault = ERR_TIMEOUT;
    child->timer = loop_timer_new(git->loop, fake_on_timer, child);
    loop_timer_set(child->timer, child->fault == ERR_TIMEOUT
                                     ? spec->deadline_ms
                                     : (int64_t)loop_random_below(git->loop, FAKE_RUN_MS));
    return child;
}

static inline void fake_abandon(struct children *children, struct child *child)
{
    (void)children;
    fake_unlink(child);
    fake_free(child);
}

static inline void fake_git_open(struct fake_git *git, struct loop *loop)
{
    *git = (struct fake_git){
        .children = {.start = fake_start, .stop = fake_abandon, .abandon = fake_abandon},
        .loop = loop,
        .broken_ref = FAKE_REFS};
}

#endif
