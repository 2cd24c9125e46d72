/*
 * The event loop: see loop.h.
 *
 * Design: timers and deferred calls are ours and the same for both kinds of loop; only what wakes them differs.
 *
 *      timers    a heap ordered by (due, sequence): timer_heap.h
 *      deferred  a ring that grows; a cancelled call stays in it with its function set to NULL
 *
 * Real loop: libevent holds the watched descriptors and signals and one timer event, `wake`, armed for the first
 * due time of the heap. Setting a timer touches libevent only if it becomes the first; a timer that is
 * cleared leaves `wake` as it is, which costs one idle wake-up at most. After each callback the deferred calls run
 * at once, without a turn through the kernel, but at most LOOP_CALLS_PER_TURN of them; what is left waits for
 * the next turn, so that a chain of deferred calls cannot starve the descriptors. libevent's coarse clock may wake
 * us a few milliseconds early or late; early finds nothing due and arms again.
 *
 * Simulated loop: no libevent; the clock is a number that loop_step() and loop_advance() move.
 *
 * Invariants: `running_callback` is true exactly while a callback runs, and none is entered while it is;
 * armed_due_ms is never later than the first due time while work is pending.
 */
#include "base/loop.h"

#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/generator.h"
#include "base/memory.h"
#include "base/timer_heap.h"

/* Deferred calls, and likewise timers, that run before descriptors get their turn. */
#define LOOP_CALLS_PER_TURN 256

/* Deferred calls waiting at once: every owner bounds its own, so more than this is a runaway. */
#define LOOP_DEFERRED_MAX ((size_t)1 << 24)

/* First size of the ring of deferred calls; a power of two, and it stays one. */
#define LOOP_FIRST_COUNT 64

/* Random numbers fetched by one getrandom(): 256 bytes are the most that it gives uninterrupted by signals. */
#define LOOP_RANDOM_COUNT 32

/* Calls at one instant of the simulated clock after which loop_advance() takes it for a livelock. */
#define LOOP_LIVELOCK_CALLS 10000000

/* `armed_due_ms` of a loop whose wake event is not set. */
#define LOOP_NEVER INT64_MAX

/* What a watched descriptor and a watched signal start with: they travel through libevent's `void *`. */
#define LOOP_FD_MAGIC 0x10f0fd01u
#define LOOP_SIGNAL_MAGIC 0x10f05160u

struct loop_fd {
    unsigned magic;
    struct loop *loop;   /* borrowed */
    struct event *event; /* owned */
    loop_fd_fn function;
    void *argument;
};

struct loop_signal {
    unsigned magic;
    struct loop *loop;   /* borrowed */
    struct event *event; /* owned */
    loop_fn function;
    void *argument;
};

/* A deferred call; `function` is NULL once it was cancelled. */
struct loop_call {
    loop_fn function;
    void *argument;
};

struct loop {
    struct event_base *base;  /* owned; NULL: simulated */
    struct event *wake;       /* owned; NULL: simulated */
    int64_t armed_due_ms;     /* when `wake` goes off, or LOOP_NEVER */
    bool running_callback;    /* a callback is on the stack */
    bool stopping;            /* loop_stop() was called and loop_run() has not returned yet */
    struct timer_heap timers; /* those that are set */
    uint64_t next_sequence;
    struct loop_call *calls; /* owned ring */
    size_t call_first;
    size_t call_count;
    size_t call_capacity;
    size_t thing_count; /* timers and watches not freed yet */
    int64_t simulated_now_ms;
    int64_t simulated_start_wall_ms;
    struct generator generator;          /* random numbers of a simulated loop */
    uint64_t randoms[LOOP_RANDOM_COUNT]; /* unused random numbers of a real loop */
    size_t random_count;                 /* how many of them */
};

static _Noreturn void loop_abort(const char *what)
{
    fprintf(stderr, "nodag: the event loop cannot go on: %s\n", what);
    abort();
}

static int64_t read_clock_ms(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0)
        loop_abort("clock_gettime failed");
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t loop_now_ms(const struct loop *loop)
{
    return loop->base != NULL ? read_clock_ms(CLOCK_MONOTONIC) : loop->simulated_now_ms;
}

int64_t loop_wall_ms(const struct loop *loop)
{
    if (loop->base != NULL)
        return read_clock_ms(CLOCK_REALTIME);
    return loop->simulated_start_wall_ms + loop->simulated_now_ms;
}

uint64_t loop_random(struct loop *loop)
{
    if (loop->base == NULL)
        return generator_next(&loop->generator);
    if (loop->random_count == 0) {
        ssize_t got_bytes = getrandom(loop->randoms, sizeof(loop->randoms), 0);
        if (got_bytes != (ssize_t)sizeof(loop->randoms))
            loop_abort("getrandom failed");
        loop->random_count = LOOP_RANDOM_COUNT;
    }
    loop->random_count--;
    uint64_t result = loop->randoms[loop->random_count];
    loop->randoms[loop->random_count] = 0;
    return result;
}

uint64_t loop_random_below(struct loop *loop, uint64_t bound)
{
    assert(bound >= 1);
    /* The lowest 2^64 mod bound values are thrown away, so that every remainder is as likely. */
    uint64_t reject_below = (UINT64_MAX - bound + 1) % bound;
    for (;;) {
        uint64_t random = loop_random(loop);
        if (random >= reject_below)
            return random % bound;
    }
}

/* Makes sure that a real loop wakes for what is pending: deferred calls at once, else the first timer. */
static void loop_arm(struct loop *loop)
{
    if (loop->base == NULL)
        return;
    int64_t due_ms = LOOP_NEVER;
    if (loop->call_count > 0)
        due_ms = 0;
    else if (loop->timers.count > 0)
        due_ms = loop->timers.items[0]->due_ms;
    if (due_ms >= loop->armed_due_ms)
        return;
    int64_t delay_ms = due_ms - loop_now_ms(loop);
    if (delay_ms < 0)
        delay_ms = 0;
    const struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
    if (evtimer_add(loop->wake, &delay) != 0)
        loop_abort("evtimer_add failed");
    loop->armed_due_ms = due_ms;
}

/* Runs the oldest deferred call. */
static void loop_run_call(struct loop *loop)
{
    struct loop_call call = loop->calls[loop->call_first];
    loop->call_first = (loop->call_first + 1) & (loop->call_capacity - 1);
    loop->call_count--;
    if (call.function == NULL)
        return;
    loop->running_callback = true;
    call.function(call.argument);
    loop->running_callback = false;
}

/* Runs the first timer of the heap, which may free itself. */
static void loop_run_timer(struct loop *loop)
{
    struct loop_timer *timer = loop->timers.items[0];
    timer_heap_remove(&loop->timers, timer);
    loop->running_callback = true;
    timer->function(timer->argument);
    loop->running_callback = false;
}

/* Real loop: runs deferred calls within the budget. */
static void loop_run_calls(struct loop *loop)
{
    for (int i = 0; i < LOOP_CALLS_PER_TURN && loop->call_count > 0 && !loop->stopping; i++)
        loop_run_call(loop);
}

/* Real loop: what follows the callback of a descriptor or signal. */
static void loop_after_callback(struct loop *loop)
{
    loop->running_callback = false;
    loop_run_calls(loop);
    loop_arm(loop);
}

/* The real loop's wake event: something is due. */
static void loop_on_wake(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct loop *loop = argument;
    loop->armed_due_ms = LOOP_NEVER;
    loop_run_calls(loop);
    int64_t now_ms = loop_now_ms(loop);
    for (int i = 0; i < LOOP_CALLS_PER_TURN && loop->timers.count > 0 && !loop->stopping; i++) {
        if (loop->timers.items[0]->due_ms > now_ms)
            break;
        loop_run_timer(loop);
        loop_run_calls(loop);
    }
    loop_arm(loop);
}

/* ---- making, running, stopping ---- */

struct loop *loop_new_real(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        loop_abort("event_config_new failed");
    /* One thread owns the loop; environment variables do not choose its back end. */
    int failed = event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
    struct loop *loop = MEM_NEW(struct loop);
    loop->base = failed != 0 ? NULL : event_base_new_with_config(config);
    event_config_free(config);
    if (loop->base == NULL)
        loop_abort("event_base_new failed: is the limit of open files reached?");
    loop->wake = evtimer_new(loop->base, loop_on_wake, loop);
    if (loop->wake == NULL)
        loop_abort("evtimer_new failed");
    loop->armed_due_ms = LOOP_NEVER;
    return loop;
}

struct loop *loop_new_simulated(uint64_t seed, int64_t wall_ms)
{
    struct loop *loop = MEM_NEW(struct loop);
    loop->simulated_start_wall_ms = wall_ms;
    generator_seed(&loop->generator, seed);
    return loop;
}

void loop_move_wall(struct loop *loop, int64_t change_ms)
{
    loop->simulated_start_wall_ms += change_ms;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    assert(!loop->running_callback);
    assert(loop->thing_count ==
           0); /* a timer or watch outlives its loop: its owner was not freed */
    if (loop->base != NULL) {
        event_free(loop->wake);
        event_base_free(loop->base);
    }
    timer_heap_release(&loop->timers);
    free(loop->calls);
    free(loop);
}

void loop_run(struct loop *loop)
{
    assert(loop->base != NULL && !loop->running_callback);
    loop_arm(loop);
    while (!loop->stopping)
        (void)event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    loop->stopping = false;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
    if (loop->base != NULL)
        (void)event_base_loopbreak(loop->base);
}

bool loop_step(struct loop *loop)
{
    assert(loop->base == NULL && !loop->running_callback);
    if (loop->call_count > 0) {
        for (size_t left = loop->call_count; left > 0; left--)
            loop_run_call(loop);
        return true;
    }
    if (loop->timers.count == 0)
        return false;
    if (loop->timers.items[0]->due_ms > loop->simulated_now_ms)
        loop->simulated_now_ms = loop->timers.items[0]->due_ms;
    loop_run_timer(loop);
    return true;
}

void loop_advance(struct loop *loop, int64_t duration_ms)
{
    assert(loop->base == NULL && duration_ms >= 0);
    int64_t target_ms = loop->simulated_now_ms + duration_ms;
    int64_t instant_ms = loop->simulated_now_ms;
    unsigned calls = 0;
    while (loop->call_count > 0 ||
           (loop->timers.count > 0 && loop->timers.items[0]->due_ms <= target_ms)) {
        (void)loop_step(loop);
        calls = loop->simulated_now_ms == instant_ms ? calls + 1 : 0;
        instant_ms = loop->simulated_now_ms;
        if (calls > LOOP_LIVELOCK_CALLS)
            loop_abort("simulated time stands still: callbacks keep setting each other off");
    }
    loop->simulated_now_ms = target_ms;
}

struct event_base *loop_event_base(struct loop *loop)
{
    return loop->base;
}

/* ---- deferred calls ---- */

static void loop_grow_calls(struct loop *loop)
{
    size_t capacity = loop->call_capacity > 0 ? loop->call_capacity * 2 : LOOP_FIRST_COUNT;
    assert(capacity <= LOOP_DEFERRED_MAX);
    struct loop_call *calls = mem_alloc_array(capacity, sizeof(*calls));
    for (size_t i = 0; i < loop->call_count; i++)
        calls[i] = loop->calls[(loop->call_first + i) & (loop->call_capacity - 1)];
    free(loop->calls);
    loop->calls = calls;
    loop->call_first = 0;
    loop->call_capacity = capacity;
}

void loop_defer(struct loop *loop, loop_fn function, void *argument)
{
    assert(function != NULL);
    if (loop->call_count == loop->call_capacity)
        loop_grow_calls(loop);
    size_t place = (loop->call_first + loop->call_count) & (loop->call_capacity - 1);
    loop->calls[place] = (struct loop_call){.function = function, .argument = argument};
    loop->call_count++;
    /* Within a callback the loop arms itself when it returns. */
    if (!loop->running_callback)
        loop_arm(loop);
}

void loop_cancel_deferred(struct loop *loop, const void *argument)
{
    for (size_t i = 0; i < loop->call_count; i++) {
        struct loop_call *call = &loop->calls[(loop->call_first + i) & (loop->call_capacity - 1)];
        if (call->argument == argument)
            call->function = NULL;
    }
}

/* ---- timers ---- */

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn function, void *argument)
{
    assert(function != NULL);
    struct loop_timer *timer = MEM_NEW(struct loop_timer);
    timer->loop = loop;
    timer->function = function;
    timer->argument = argument;
    timer->place = TIMER_HEAP_NOWHERE;
    loop->thing_count++;
    return timer;
}

void loop_timer_set(struct loop_timer *timer, int64_t delay_ms)
{
    struct loop *loop = timer->loop;
    if (delay_ms < 0)
        delay_ms = 0;
    loop_timer_clear(timer);
    int64_t due_ms = 0;
    if (__builtin_add_overflow(loop_now_ms(loop), delay_ms, &due_ms))
        due_ms = LOOP_NEVER - 1;
    timer->due_ms = due_ms;
    timer->sequence = loop->next_sequence++;
    timer_heap_add(&loop->timers, timer);
    if (!loop->running_callback)
        loop_arm(loop);
}

void loop_timer_clear(struct loop_timer *timer)
{
    if (timer->place != TIMER_HEAP_NOWHERE)
        timer_heap_remove(&timer->loop->timers, timer);
}

bool loop_timer_is_set(const struct loop_timer *timer)
{
    return timer->place != TIMER_HEAP_NOWHERE;
}

void loop_timer_free(struct loop_timer *timer)
{
    if (timer == NULL)
        return;
    loop_timer_clear(timer);
    timer->loop->thing_count--;
    free(timer);
}

/* ---- descriptors and signals ---- */

static void loop_on_fd(evutil_socket_t fd, short events, void *argument)
{
    struct loop_fd *watch = CAST_CHECKED(struct loop_fd, argument, LOOP_FD_MAGIC);
    struct loop *loop = watch->loop;
    unsigned what = 0;
    if ((events & EV_READ) != 0)
        what |= LOOP_READ;
    if ((events & EV_WRITE) != 0)
        what |= LOOP_WRITE;
    loop->running_callback = true;
    watch->function(fd, what, watch->argument);
    loop_after_callback(loop); /* the watch may be gone now */
}

struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned what, loop_fd_fn function,
                            void *argument)
{
    assert(loop->base != NULL && function != NULL);
    assert(fd >= 0 && (what & (LOOP_READ | LOOP_WRITE)) != 0);
    struct loop_fd *watch = MEM_NEW(struct loop_fd);
    watch->magic = LOOP_FD_MAGIC;
    watch->loop = loop;
    watch->function = function;
    watch->argument = argument;
    short events = EV_PERSIST;
    if ((what & LOOP_READ) != 0)
        events |= EV_READ;
    if ((what & LOOP_WRITE) != 0)
        events |= EV_WRITE;
    watch->event = event_new(loop->base, fd, events, loop_on_fd, watch);
    if (watch->event == NULL || event_add(watch->event, NULL) != 0)
        loop_abort("a descriptor cannot be watched");
    loop->thing_count++;
    return watch;
}

void loop_fd_free(struct loop_fd *watch)
{
    if (watch == NULL)
        return;
    event_free(watch->event);
    watch->loop->thing_count--;
    watch->magic = 0;
    free(watch);
}

static void loop_on_signal(evutil_socket_t signal_number, short events, void *argument)
{
    (void)signal_number;
    (void)events;
    struct loop_signal *watch = CAST_CHECKED(struct loop_signal, argument, LOOP_SIGNAL_MAGIC);
    struct loop *loop = watch->loop;
    loop->running_callback = true;
    watch->function(watch->argument);
    loop_after_callback(loop);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signal_number, loop_fn function,
                                    void *argument)
{
    assert(loop->base != NULL && function != NULL);
    struct loop_signal *watch = MEM_NEW(struct loop_signal);
    watch->magic = LOOP_SIGNAL_MAGIC;
    watch->loop = loop;
    watch->function = function;
    watch->argument = argument;
    watch->event = evsignal_new(loop->base, signal_number, loop_on_signal, watch);
    if (watch->event == NULL || evsignal_add(watch->event, NULL) != 0)
        loop_abort("a signal cannot be watched");
    loop->thing_count++;
    return watch;
}

void loop_signal_free(struct loop_signal *signal_watch)
{
    if (signal_watch == NULL)
        return;
    event_free(signal_watch->event);
    signal_watch->loop->thing_count--;
    signal_watch->magic = 0;
    free(signal_watch);
}
