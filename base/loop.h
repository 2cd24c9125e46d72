/*
 * The event loop: timers, deferred calls, file descriptors, and the only source of time and chance.
 *
 * Design: one loop for each daemon, on libevent. All timers of the loop live in one heap ordered by
 * (due, number of creation), so that equal times fire in the order in which they were set: with the
 * fake clock a run is a function of its seed. The real loop asks libevent to wake it at the first
 * due time; the simulated loop has no libevent at all and jumps from timer to timer.
 *
 *      loop_new_real()  ── libevent: descriptors, signals ──┐
 *                                                            ├── timer heap, deferred queue, clock,
 * random loop_new_simulated(seed) ── loop_step() by the test ─┘
 *
 * Invariants: callbacks run on the loop's thread and never nest (a timer set for "now" runs after
 * the present callback returned); monotonic time never goes back; nothing in nodag reads a clock or
 * a random source elsewhere.
 */
#ifndef NODAG_BASE_LOOP_H
#define NODAG_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct event_base;

/* An event loop. One thread owns it. */
struct loop;

/* A timer of a loop; it fires once for each time that it is set. */
struct loop_timer;

/* A watched file descriptor. */
struct loop_fd;

/* A callback with the argument that was given with it. Loop thread. */
typedef void (*loop_fn)(void *argument);

/* A callback for a descriptor: which of LOOP_READ and LOOP_WRITE hold. Loop thread. */
typedef void (*loop_fd_fn)(int fd, unsigned what, void *argument);

/* What a descriptor is watched for; also what is true of it in the callback. */
enum loop_fd_what {
    LOOP_READ = 1,  /* readable */
    LOOP_WRITE = 2, /* writable */
};

/* Makes a loop on libevent and the machine's clocks; owned. Aborts if the kernel gives no
 * descriptors. */
struct loop *loop_new_real(void);

/* Makes a loop with a fake clock (monotonic 0, wall `wall_ms` since 1970) and random numbers from
 * `seed`; owned. */
struct loop *loop_new_simulated(uint64_t seed, int64_t wall_ms);

/* Somebody sets the wall clock of a simulated loop by `change_ms`, forward or back; timers do not notice. Loop thread. */
void loop_move_wall(struct loop *loop, int64_t change_ms);

/* Frees the loop; its timers and descriptors must have been freed before. NULL allowed. Loop
 * thread. */
void loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop *, loop_free)

/* Runs until loop_stop(). Real loop only. Loop thread. */
void loop_run(struct loop *loop);

/* Makes loop_run() return after the present callback; before loop_run() it makes that return at
 * once. Loop thread. */
void loop_stop(struct loop *loop);

/*
 * Simulated loop: runs the calls that are deferred now, else jumps the clock to the next timer and
 * runs it. Returns false when nothing is left to run. Loop thread.
 */
bool loop_step(struct loop *loop);

/*
 * Simulated loop: moves the clock forward by `duration_ms` ≥ 0, running all deferred calls and all
 * timers that become due. Aborts if callbacks keep setting each other off while the clock stands
 * still. Loop thread.
 */
void loop_advance(struct loop *loop, int64_t duration_ms);

/* Returns the libevent base of a real loop (borrowed), NULL for a simulated one: for libraries that
 * need it. */
struct event_base *loop_event_base(struct loop *loop);

/* Returns monotonic time in milliseconds, from an arbitrary start ≥ 0. Loop thread. */
int64_t loop_now_ms(const struct loop *loop);

/* Returns wall-clock time in milliseconds since 1970-01-01T00:00:00Z. Loop thread. */
int64_t loop_wall_ms(const struct loop *loop);

/* Returns 64 random bits: getrandom() on a real loop, the seeded generator on a simulated one. Loop
 * thread. */
uint64_t loop_random(struct loop *loop);

/* Returns a number in [0, bound); bound ≥ 1. Loop thread. */
uint64_t loop_random_below(struct loop *loop, uint64_t bound);

/* Calls `function(argument)` soon, after the present callback returned, in order of deferral. Loop
 * thread. */
void loop_defer(struct loop *loop, loop_fn function, void *argument);

/* Forgets the deferred calls with this argument that have not run yet: for owners that are freed.
 * Loop thread. */
void loop_cancel_deferred(struct loop *loop, const void *argument);

/* Makes a timer that is not set; owned. Loop thread. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn function, void *argument);

/* Sets the timer to fire once after `delay_ms` (below 0 counts as 0); replaces an earlier setting.
 * Loop thread. */
void loop_timer_set(struct loop_timer *timer, int64_t delay_ms);

/* Unsets the timer; it does not fire. Loop thread. */
void loop_timer_clear(struct loop_timer *timer);

/* Returns true while the timer is set and has not fired. Loop thread. */
bool loop_timer_is_set(const struct loop_timer *timer);

/* Unsets and frees the timer, also from within its own callback. NULL allowed. Loop thread. */
void loop_timer_free(struct loop_timer *timer);
DEFINE_CLEANUP(struct loop_timer *, loop_timer_free)

/*
 * Watches `fd` (borrowed) for `what` (LOOP_READ | LOOP_WRITE), level-triggered, until freed. Real
 * loop only. Owned result. Loop thread.
 */
struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned what, loop_fd_fn function,
                            void *argument);

/* Stops watching; the descriptor stays open; also from within its own callback. NULL allowed. Loop
 * thread. */
void loop_fd_free(struct loop_fd *watch);
DEFINE_CLEANUP(struct loop_fd *, loop_fd_free)

/* A watched signal. */
struct loop_signal;

/* Calls `function(argument)` on the loop when the process gets `signal_number`. Real loop only;
 * owned. Loop thread. */
struct loop_signal *loop_signal_new(struct loop *loop, int signal_number, loop_fn function,
                                    void *argument);

/* Stops watching the signal; NULL allowed. Loop thread. */
void loop_signal_free(struct loop_signal *signal_watch);

#endif
