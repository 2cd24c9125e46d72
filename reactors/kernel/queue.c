/*
 * Keys and their states: see the picture in kernel_private.h.
 *
 * Design: every key in memory is in one hash; those that want to run are in one of two lists of
 * their partition, asked-for before sweep. The lists are the partition's so that keys that may not
 * run yet (its tables are still being read) are not passed over one by one for each key that may.
 * A waiting key has a timer of the loop, whose heap is the delay heap.
 *
 * Invariants: queue_set_state is the only writer of work->state, of the lists and of the counts; a
 * key is in a list exactly while READY; a list is in the order of its turns.
 */
#include <assert.h>
#include <string.h>
#include <utlist.h>

#include "base/memory.h"
#include "reactors/kernel/kernel_private.h"

/* Offsets of a key's first allocation: most keys have one event at a time. */
#define QUEUE_FIRST_OFFSETS 2

struct kernel_work *queue_find(struct kernel *kernel, const char *key)
{
    struct kernel_work *work = NULL;
    HASH_FIND_STR(kernel->works, key, work);
    return work;
}

static bool queue_may_follow(enum work_state from, enum work_state to)
{
    switch (from) {
    case WORK_READY:
        return to == WORK_RUNNING || to == WORK_WAITING || to == WORK_STALLED;
    case WORK_RUNNING:
        return to == WORK_SETTLING;
    case WORK_SETTLING:
        return to == WORK_READY || to == WORK_WAITING || to == WORK_STALLED;
    case WORK_WAITING:
    case WORK_STALLED:
        return to == WORK_READY || to == WORK_WAITING || to == WORK_STALLED;
    }
    return false;
}

static struct kernel_work **queue_list(struct kernel_work *work)
{
    return &work->home->ready[work->sweep ? 1 : 0];
}

static void queue_line_up(struct kernel_work *work)
{
    work->turn = work->kernel->next_turn++;
    DL_APPEND(*queue_list(work), work);
}

void queue_set_state(struct kernel_work *work, enum work_state state)
{
    struct kernel *kernel = work->kernel;
    assert(queue_may_follow(work->state, state));
    if (work->state == WORK_READY)
        DL_DELETE(*queue_list(work), work);
    kernel->state_counts[work->state]--;
    work->state = state;
    kernel->state_counts[state]++;
    if (state == WORK_READY) {
        queue_line_up(work);
        kernel_run_soon(kernel);
    }
}

struct kernel_work *queue_add(struct kernel_partition *home, const char *key, const char *note,
                              bool sweep)
{
    struct kernel *kernel = home->kernel;
    struct kernel_work *work = MEM_NEW(struct kernel_work);
    *work = (struct kernel_work){
        .magic = KERNEL_WORK_MAGIC,
        .kernel = kernel,
        .home = home,
        .state = WORK_READY,
        .key = mem_copy_text(key),
        .note = mem_copy_text(note != NULL ? note : ""),
        .sweep = sweep,
    };
    HASH_ADD_KEYPTR(hh, kernel->works, work->key, strlen(work->key), work);
    home->works++;
    kernel->state_counts[WORK_READY]++;
    queue_line_up(work);
    kernel_run_soon(kernel);
    return work;
}

void queue_wake(struct kernel_work *work)
{
    switch (work->state) {
    case WORK_READY:
        if (work->sweep) {
            DL_DELETE(*queue_list(work), work);
            work->sweep = false;
            queue_line_up(work);
        }
        break;
    case WORK_RUNNING:
    case WORK_SETTLING:
        work->again = true;
        break;
    case WORK_WAITING:
    case WORK_STALLED:
        loop_timer_free(TAKE(work->timer));
        work->sweep = false;
        queue_set_state(work, WORK_READY);
        break;
    }
}

void queue_drop(struct kernel_work *work)
{
    struct kernel *kernel = work->kernel;
    if (work->state == WORK_RUNNING)
        kernel->reactor->abandon(kernel->self, work);
    settle_forget_publishes(work);
    if (work->state == WORK_READY)
        DL_DELETE(*queue_list(work), work);
    kernel->state_counts[work->state]--;
    work->home->works--;
    HASH_DEL(kernel->works, work);
    loop_timer_free(work->timer);
    mem_free(work->offsets);
    mem_free(work->key);
    mem_free(work->note);
    mem_free(work->event_id);
    mem_free(work->run_event_id);
    mem_free(work->reason);
    work->magic = 0;
    mem_free(work);
}

void queue_set_timer(struct kernel_work *work, int64_t delay_ms, loop_fn function)
{
    loop_timer_free(work->timer);
    work->timer = loop_timer_new(work->kernel->loop, function, work);
    loop_timer_set(work->timer, delay_ms);
}

void queue_add_offset(struct kernel_work *work, int64_t offset)
{
    if (work->offset_count == work->offset_capacity) {
        work->offset_capacity =
            work->offset_capacity == 0 ? QUEUE_FIRST_OFFSETS : work->offset_capacity * 2;
        work->offsets =
            mem_resize_array(work->offsets, work->offset_capacity, sizeof(work->offsets[0]));
    }
    work->offsets[work->offset_count++] = offset;
}

void queue_set_note(struct kernel_work *work, const char *note)
{
    if (note == NULL || note[0] == '\0')
        return;
    mem_free(work->note);
    work->note = mem_copy_text(note);
}
