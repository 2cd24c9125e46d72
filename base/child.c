/*
 * Children on the loop: see child.h.
 *
 *      WAITING ──place──▶ RUNNING ──SIGTERM──▶ ENDING ──leader reaped──┐
 *         │                  └──────────leader reaped──────────────────┤
 *         └─could not start, stopped─▶ done                            ▼
 *                                                     GOING: SIGKILL to the group's rest, pipes read
 *                                                                      │ group empty, or CHILD_GONE_MS
 *                                                                      ▼
 *                                                                     done
 *
 * Design: SIGCHLD wakes; then each child's leader and group are asked for by waitpid(2) with their own numbers, never
 * with -1: a library of the process may wait for children of its own. The daemon is a subreaper, so whatever is left of
 * a group when its leader is gone becomes our child and is reaped with the group. A group's number is
 * used only while the group has members, so that it cannot have become somebody else's.
 *
 * Invariants: one list holds every child; `running_count` counts those whose process exists; a child leaves the list
 * before its `done` runs.
 */
#include "base/child.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/child_guard.h"
#include "base/child_start.h"
#include "base/memory.h"

/* Read from a pipe at once, and how often in a row, so that a child that talks without end starves nobody. */
#define READ_BYTES 65536
/* See READ_BYTES. */
#define READS_PER_TURN 16

/* What the structs that pass through `void *` start with. */
#define CHILDREN_MAGIC 0xc41d1e4u
/* See above. */
#define CHILD_MAGIC 0xc41d001u

/* Where a child is. */
enum child_state {
    CHILD_WAITING, /* for a place */
    CHILD_RUNNING, /* its leader runs */
    CHILD_ENDING,  /* it was told to end */
    CHILD_GOING,   /* its leader is reaped, the rest of the group is killed */
    CHILD_DONE,    /* `done` is to be called */
};

/* One of the two pipes of a child. */
struct child_pipe {
    int fd;                /* owned; -1: none or at its end */
    struct loop_fd *watch; /* owned */
    struct buffer bytes;   /* what was kept */
    size_t max_bytes;      /* how much is kept */
    bool keeps_end;        /* of what is too much: the end, else the start */
    bool overflowed;       /* more came than is kept */
};

struct child {
    unsigned magic;
    struct real_children *children; /* borrowed */
    enum child_state state;
    struct child_spec spec; /* all that it points to is owned */
    child_done_fn done;     /* NULL: abandoned */
    void *argument;         /* of done */
    pid_t pid;              /* of leader and group; valid from RUNNING on */
    struct child_pipe output;
    struct child_pipe errors;
    struct loop_timer *timer; /* owned: deadline, grace, or wait for the group */
    int64_t started_ms;
    int64_t ended_ms;
    int code;        /* as in the result */
    int status;      /* of waitpid */
    bool was_reaped; /* status is valid */
    struct error start_error;
    struct child *next;      /* in the list, oldest first */
    struct child **previous; /* the link that points here */
};

/* The real implementation. */
struct real_children {
    struct children children; /* first: the interface */
    unsigned magic;
    struct loop *loop;          /* borrowed */
    struct loop_signal *signal; /* owned: SIGCHLD */
    struct child_guard guard;
    struct child *first;      /* list of all */
    struct child **last_link; /* where the next one is hung in */
    size_t running_max;
    size_t running_count;
    size_t waiting_count;
};

static void children_fill(struct real_children *children);

/* ---- pipes ---- */

static void pipe_close(struct child_pipe *end)
{
    loop_fd_free(end->watch);
    end->watch = NULL;
    if (end->fd >= 0)
        (void)close(end->fd);
    end->fd = -1;
}

/* Keeps what may be kept of the bytes. */
static void pipe_keep(struct child_pipe *end, const char *bytes, size_t byte_count)
{
    size_t room = end->max_bytes - end->bytes.size_bytes;
    if (byte_count <= room) {
        int code = buffer_append(&end->bytes, bytes, byte_count);
        assert(code == 0);
        (void)code;
        return;
    }
    end->overflowed = true;
    if (!end->keeps_end)
        return;
    size_t from_new = byte_count < end->max_bytes ? byte_count : end->max_bytes;
    size_t from_old = end->max_bytes - from_new;
    struct buffer kept = BUFFER_INIT(end->max_bytes);
    int code = 0;
    if (from_old > 0)
        code = buffer_append(&kept, end->bytes.data + end->bytes.size_bytes - from_old, from_old);
    if (code == 0)
        code = buffer_append(&kept, bytes + byte_count - from_new, from_new);
    assert(code == 0);
    (void)code;
    buffer_release(&end->bytes);
    end->bytes = kept;
}

/* Reads what is there. */
static void pipe_read(struct child_pipe *end)
{
    char bytes[READ_BYTES];
    for (int i = 0; i < READS_PER_TURN && end->fd >= 0; i++) {
        ssize_t got = read(end->fd, bytes, sizeof(bytes));
        if (got > 0)
            pipe_keep(end, bytes, (size_t)got);
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
            pipe_close(end);
        else
            return;
    }
}

/* ---- ending ---- */

static void child_signal_group(const struct child *child, int number)
{
    (void)kill(-child->pid, number); /* ESRCH: nobody is left */
}

/* Asks a running child to end for a reason. */
static void child_end(struct child *child, int code)
{
    if (child->state != CHILD_RUNNING)
        return;
    child->state = CHILD_ENDING;
    child->code = code;
    child_signal_group(child, SIGTERM);
    int64_t grace_ms = child->spec.grace_ms > 0 ? child->spec.grace_ms : CHILD_GRACE_MS;
    loop_timer_set(child->timer, grace_ms);
}

static void child_unlink(struct child *child)
{
    *child->previous = child->next;
    if (child->next != NULL)
        child->next->previous = child->previous;
    else
        child->children->last_link = child->previous;
}

static void child_free(struct child *child)
{
    loop_cancel_deferred(child->children->loop, child);
    loop_timer_free(child->timer);
    pipe_close(&child->output);
    pipe_close(&child->errors);
    buffer_release(&child->output.bytes);
    buffer_release(&child->errors.bytes);
    child_spec_release(&child->spec);
    child->magic = 0;
    free(child);
}

static void child_tell(struct child *child)
{
    struct child_result result = {
        .code = child->code,
        .exit_status =
            child->was_reaped && WIFEXITED(child->status) ? WEXITSTATUS(child->status) : -1,
        .exit_signal =
            child->was_reaped && WIFSIGNALED(child->status) ? WTERMSIG(child->status) : 0,
        .output = child->output.bytes.data != NULL ? child->output.bytes.data : "",
        .output_bytes = child->output.bytes.size_bytes,
        .errors = child->errors.bytes.data != NULL ? child->errors.bytes.data : "",
        .errors_bytes = child->errors.bytes.size_bytes,
        .run_ms = child->ended_ms - child->started_ms,
    };
    if (child->start_error.code != 0) {
        result.errors = child->start_error.text;
        result.errors_bytes = strlen(child->start_error.text);
    }
    child->done(child->argument, &result);
}

/* The deferred end: nothing of it is left. */
static void child_on_done(void *argument)
{
    struct child *child = CAST_CHECKED(struct child, argument, CHILD_MAGIC);
    struct real_children *children = child->children;
    child_unlink(child);
    children_fill(children);
    if (child->done != NULL)
        child_tell(child);
    child_free(child);
}

static void child_finish(struct child *child, int code)
{
    assert(child->state != CHILD_DONE);
    if (child->state == CHILD_WAITING)
        child->children->waiting_count--;
    else
        child->children->running_count--;
    child->state = CHILD_DONE;
    child->code = code;
    child->ended_ms = loop_now_ms(child->children->loop);
    loop_timer_clear(child->timer);
    loop_defer(child->children->loop, child_on_done, child);
}

/* Reaps what has ended of a group whose leader is reaped; true when nobody is left. */
static bool group_is_empty(const struct child *child)
{
    while (waitpid(-child->pid, NULL, WNOHANG) > 0)
        continue;
    bool is_empty = kill(-child->pid, 0) != 0 && errno == ESRCH;
    if (is_empty)
        child_guard_withdraw(&child->children->guard, child->pid);
    return is_empty;
}

static void child_look_at_group(struct child *child)
{
    if (!group_is_empty(child))
        return;
    pipe_read(&child->output);
    pipe_read(&child->errors);
    if (child->code == 0 && child->output.overflowed)
        child->code = ERR_TOO_LARGE;
    child_finish(child, child->code);
}

/* Looks whether the leader has ended, and what is left of the group. */
static void child_look(struct child *child)
{
    if (child->state == CHILD_RUNNING || child->state == CHILD_ENDING) {
        int status = 0;
        pid_t ended = waitpid(child->pid, &status, WNOHANG);
        if (ended == 0 || (ended < 0 && errno != ECHILD))
            return;
        child->was_reaped = ended == child->pid;
        child->status = status;
        child->state = CHILD_GOING;
        child_signal_group(child, SIGKILL);
        loop_timer_set(child->timer, CHILD_GONE_MS);
    }
    if (child->state == CHILD_GOING)
        child_look_at_group(child);
}

static void on_sigchld(void *argument)
{
    struct real_children *children = CAST_CHECKED(struct real_children, argument, CHILDREN_MAGIC);
    struct child *next = NULL;
    for (struct child *child = children->first; child != NULL; child = next) {
        next = child->next;
        child_look(child);
    }
}

static void child_on_timer(void *argument)
{
    struct child *child = CAST_CHECKED(struct child, argument, CHILD_MAGIC);
    if (child->state == CHILD_RUNNING)
        child_end(child, ERR_TIMEOUT);
    else if (child->state == CHILD_ENDING)
        child_signal_group(child, SIGKILL);
    else if (child->state == CHILD_GOING)
        child_finish(child, child->code);
}

/* ---- beginning ---- */

static void child_on_readable(int fd, unsigned what, void *argument)
{
    (void)what;
    struct child *child = CAST_CHECKED(struct child, argument, CHILD_MAGIC);
    pipe_read(fd == child->output.fd ? &child->output : &child->errors);
    if (child->output.overflowed)
        child_end(child, ERR_TOO_LARGE);
}

static void pipe_open(struct child *child, struct child_pipe *end, int fd)
{
    end->fd = fd;
    end->bytes = BUFFER_INIT(end->max_bytes);
    if (fd >= 0)
        end->watch = loop_fd_new(child->children->loop, fd, LOOP_READ, child_on_readable, child);
}

static void child_run(struct child *child)
{
    struct real_children *children = child->children;
    struct child_process process;
    child->started_ms = loop_now_ms(children->loop);
    int code = child_process_start(&child->spec, &children->guard, &process, &child->start_error);
    if (code != 0) {
        child_finish(child, code);
        return;
    }
    child->state = CHILD_RUNNING;
    child->pid = process.pid;
    children->waiting_count--;
    children->running_count++;
    pipe_open(child, &child->output, process.output_fd);
    pipe_open(child, &child->errors, process.errors_fd);
    loop_timer_set(child->timer, child->spec.deadline_ms);
}

/* Gives free places to those who wait. */
static void children_fill(struct real_children *children)
{
    struct child *next = NULL;
    for (struct child *child = children->first; child != NULL && children->waiting_count > 0 &&
                                                children->running_count < children->running_max;
         child = next) {
        next = child->next;
        if (child->state == CHILD_WAITING)
            child_run(child);
    }
}

static void child_on_begin(void *argument)
{
    struct child *child = CAST_CHECKED(struct child, argument, CHILD_MAGIC);
    children_fill(child->children);
}

static struct child *real_start(struct children *interface, const struct child_spec *spec,
                                child_done_fn done, void *argument)
{
    struct real_children *children =
        CAST_CHECKED(struct real_children, (void *)interface, CHILDREN_MAGIC);
    assert(done != NULL && spec->argv != NULL && spec->argv[0] != NULL && spec->deadline_ms > 0);
    struct child *child = MEM_NEW(struct child);
    child->magic = CHILD_MAGIC;
    child->children = children;
    child_spec_copy(spec, &child->spec);
    child->done = done;
    child->argument = argument;
    child->output = (struct child_pipe){.fd = -1, .max_bytes = spec->output_max_bytes};
    child->errors =
        (struct child_pipe){.fd = -1, .max_bytes = spec->errors_max_bytes, .keeps_end = true};
    child->timer = loop_timer_new(children->loop, child_on_timer, child);
    child->previous = children->last_link;
    *children->last_link = child;
    children->last_link = &child->next;
    children->waiting_count++;
    if (children->waiting_count > CHILD_WAITING_MAX)
        child_finish(child,
                     error_set(&child->start_error, ERR_QUEUE_FULL, "too many children wait"));
    else
        loop_defer(children->loop, child_on_begin, child);
    return child;
}

static void real_stop(struct children *interface, struct child *child)
{
    (void)interface;
    assert(child->magic == CHILD_MAGIC);
    if (child->state == CHILD_WAITING)
        child_finish(child, ERR_CANCELLED);
    else
        child_end(child, ERR_CANCELLED);
}

static void real_abandon(struct children *interface, struct child *child)
{
    (void)interface;
    assert(child->magic == CHILD_MAGIC);
    child->done = NULL;
    if (child->state == CHILD_WAITING)
        child_finish(child, ERR_CANCELLED);
    else if (child->state == CHILD_RUNNING || child->state == CHILD_ENDING)
        child_signal_group(child, SIGKILL);
}

static pid_t real_process_id(const struct children *interface, const struct child *child)
{
    (void)interface;
    assert(child->magic == CHILD_MAGIC);
    return child->pid;
}

struct children *children_new(struct loop *loop, size_t running_max)
{
    assert(running_max >= 1 && running_max <= CHILD_RUNNING_MAX);
    struct real_children *children = MEM_NEW(struct real_children);
    children->children = (struct children){.start = real_start,
                                           .stop = real_stop,
                                           .abandon = real_abandon,
                                           .process_id = real_process_id};
    children->magic = CHILDREN_MAGIC;
    children->loop = loop;
    children->last_link = &children->first;
    children->running_max = running_max;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    child_guard_start(&children->guard);
    children->signal = loop_signal_new(loop, SIGCHLD, on_sigchld, children);
    return &children->children;
}

/* Kills and reaps a child without its callback. The kernel needs a moment for that at most. */
static void child_destroy(struct child *child)
{
    if (child->state == CHILD_RUNNING || child->state == CHILD_ENDING) {
        child_signal_group(child, SIGKILL);
        (void)waitpid(child->pid, NULL, 0);
    }
    if (child->state != CHILD_WAITING && child->state != CHILD_DONE)
        (void)group_is_empty(child);
    child_unlink(child);
    child_free(child);
}

void children_free(struct children *interface)
{
    if (interface == NULL)
        return;
    struct real_children *children =
        CAST_CHECKED(struct real_children, (void *)interface, CHILDREN_MAGIC);
    while (children->first != NULL)
        child_destroy(children->first);
    loop_signal_free(children->signal);
    child_guard_end(&children->guard);
    children->magic = 0;
    free(children);
}

size_t children_running(const struct children *interface)
{
    return ((const struct real_children *)interface)->running_count;
}

size_t children_waiting(const struct children *interface)
{
    return ((const struct real_children *)interface)->waiting_count;
}
