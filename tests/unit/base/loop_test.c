/*
 * Tests of base/loop.c: the order of timers and deferred calls, freeing from within callbacks, fairness between
 * deferred calls and descriptors, signals, and that the simulated loop is a function of its seed.
 *
 * Callbacks write a letter into a trace; what is asserted is the trace. The real loop's tests wait for conditions
 * and are stopped by GUARD_MS only if those never come.
 */
#include "base/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/memory.h"

/* Longest time that a test on the real loop may take before it has failed. */
#define GUARD_MS 10000

/* Wall clock at the start of simulated loops. */
#define START_WALL_MS 1700000000000

/* What callbacks wrote. */
static char trace[256];

static void trace_add(char letter)
{
    size_t length = strlen(trace);
    assert_true(length + 1 < sizeof(trace));
    trace[length] = letter;
    trace[length + 1] = '\0';
}

static int trace_setup(void **state)
{
    (void)state;
    trace[0] = '\0';
    return 0;
}

/* Writes the letter that `argument` points to. */
static void on_letter(void *argument)
{
    trace_add(*(const char *)argument);
}

static void test_timers_fire_in_order(void **state)
{
    (void)state;
    static const char letters[] = "abcdef";
    static const int64_t delays_ms[] = {30, 10, 20, 10, -5, 10};
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, START_WALL_MS);
    struct loop_timer *timers[ARRAY_COUNT(delays_ms)];
    for (size_t i = 0; i < ARRAY_COUNT(timers); i++) {
        timers[i] = loop_timer_new(loop, on_letter, (void *)&letters[i]);
        assert_false(loop_timer_is_set(timers[i]));
        loop_timer_set(timers[i], delays_ms[i]);
    }
    loop_timer_set(timers[1], 10); /* set again: now behind its equals */
    loop_timer_clear(timers[3]);
    assert_false(loop_timer_is_set(timers[3]));
    while (loop_step(loop))
        continue;
    assert_string_equal(trace, "efbca");
    assert_int_equal(loop_now_ms(loop), 30);
    assert_int_equal(loop_wall_ms(loop), START_WALL_MS + 30);
    for (size_t i = 0; i < ARRAY_COUNT(timers); i++)
        loop_timer_free(timers[i]);
}

/* A timer of the heap test; `due_ms` as the test knows it. */
struct heap_probe {
    struct loop *loop;
    struct loop_timer *timer;
    int64_t due_ms;
    unsigned fired;
};

static void on_probe(void *argument)
{
    struct heap_probe *probe = argument;
    assert_int_equal(loop_now_ms(probe->loop), probe->due_ms);
    probe->fired++;
}

static void test_heap_with_many_timers(void **state)
{
    (void)state;
    enum { PROBES = 2000, MOVES = 10000, DELAY_MS = 500 };
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(7, 0);
    struct heap_probe *probes = mem_alloc_array(PROBES, sizeof(*probes));
    for (size_t i = 0; i < PROBES; i++) {
        probes[i].loop = loop;
        probes[i].timer = loop_timer_new(loop, on_probe, &probes[i]);
    }
    for (size_t i = 0; i < MOVES; i++) {
        struct heap_probe *probe = &probes[loop_random_below(loop, PROBES)];
        if (loop_random_below(loop, 3) == 0) {
            loop_timer_clear(probe->timer);
            continue;
        }
        probe->due_ms = (int64_t)loop_random_below(loop, DELAY_MS);
        loop_timer_set(probe->timer, probe->due_ms);
    }
    size_t set_count = 0;
    for (size_t i = 0; i < PROBES; i++)
        set_count += loop_timer_is_set(probes[i].timer);
    assert_true(set_count > 0 && set_count < PROBES);
    loop_advance(loop, DELAY_MS);
    size_t fired_count = 0;
    for (size_t i = 0; i < PROBES; i++) {
        assert_false(loop_timer_is_set(probes[i].timer));
        assert_in_range(probes[i].fired, 0, 1);
        fired_count += probes[i].fired;
        loop_timer_free(probes[i].timer);
    }
    assert_int_equal(fired_count, set_count);
    free(probes);
}

/* What the nesting test's callbacks share. */
struct nest {
    struct loop *loop;
    struct loop_timer *timer;
};

static void on_nested_defer(void *argument)
{
    (void)argument;
    trace_add('d');
}

static void on_nested_timer(void *argument)
{
    struct nest *nest = argument;
    trace_add('(');
    loop_defer(nest->loop, on_nested_defer, nest);
    loop_timer_set(nest->timer, 0);
    trace_add(')');
    if (strlen(trace) > 6)
        loop_timer_clear(nest->timer);
}

static void test_callbacks_do_not_nest(void **state)
{
    (void)state;
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 0);
    struct nest nest = {.loop = loop};
    nest.timer = loop_timer_new(loop, on_nested_timer, &nest);
    loop_timer_set(nest.timer, 5);
    loop_advance(loop, 5);
    assert_string_equal(trace, "()d()d()d");
    assert_int_equal(loop_now_ms(loop), 5);
    loop_timer_free(nest.timer);
}

static void test_deferred_order_and_cancel(void **state)
{
    (void)state;
    static const char letters[] = "abc";
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 0);
    for (int round = 0; round < 40; round++) /* makes the ring grow and wrap */
        for (size_t i = 0; i < 3; i++)
            loop_defer(loop, on_letter, (void *)&letters[i]);
    loop_cancel_deferred(loop, &letters[1]);
    assert_string_equal(trace, "");
    assert_true(loop_step(loop));
    assert_false(loop_step(loop));
    assert_int_equal(strlen(trace), 80);
    for (size_t i = 0; i < 80; i++)
        assert_int_equal(trace[i], i % 2 == 0 ? 'a' : 'c');
}

static void on_free_self(void *argument)
{
    struct loop_timer **timer = argument;
    loop_timer_free(*timer);
    *timer = NULL;
    trace_add('f');
}

static void test_timer_frees_itself(void **state)
{
    (void)state;
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 0);
    struct loop_timer *timer = NULL;
    timer = loop_timer_new(loop, on_free_self, &timer);
    loop_timer_set(timer, 1);
    loop_advance(loop, 1);
    assert_null(timer);
    assert_string_equal(trace, "f");
}

static void test_advance_stops_between_timers(void **state)
{
    (void)state;
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 0);
    struct loop_timer *timer = loop_timer_new(loop, on_letter, (void *)"x");
    loop_timer_set(timer, 100);
    loop_advance(loop, 99);
    assert_string_equal(trace, "");
    assert_int_equal(loop_now_ms(loop), 99);
    loop_advance(loop, 1);
    assert_string_equal(trace, "x");
    loop_timer_set(timer, INT64_MAX); /* for ever, and no overflow */
    assert_true(loop_timer_is_set(timer));
    loop_timer_free(timer);
}

static void test_random_is_function_of_seed(void **state)
{
    (void)state;
    enum { DRAWS = 100 };
    CLEANUP(loop_free) struct loop *left = loop_new_simulated(42, 0);
    CLEANUP(loop_free) struct loop *right = loop_new_simulated(42, 5);
    CLEANUP(loop_free) struct loop *other = loop_new_simulated(43, 0);
    unsigned same_as_other = 0;
    for (int i = 0; i < DRAWS; i++) {
        uint64_t drawn = loop_random(left);
        assert_true(drawn == loop_random(right));
        same_as_other += drawn == loop_random(other);
    }
    assert_int_equal(same_as_other, 0);
}

static void check_random_below(struct loop *loop)
{
    enum { BOUND = 5, DRAWS = 5000, LEAST = 800 };
    unsigned counts[BOUND] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint64_t drawn = loop_random_below(loop, BOUND);
        assert_in_range(drawn, 0, BOUND - 1);
        counts[drawn]++;
    }
    for (size_t i = 0; i < BOUND; i++)
        assert_true(counts[i] > LEAST);
    assert_int_equal(loop_random_below(loop, 1), 0);
    (void)loop_random_below(loop, UINT64_MAX);
}

static void test_random_below(void **state)
{
    (void)state;
    CLEANUP(loop_free) struct loop *simulated = loop_new_simulated(1, 0);
    check_random_below(simulated);
    CLEANUP(loop_free) struct loop *real = loop_new_real();
    check_random_below(real);
}

/* What tests on the real loop share. */
struct real {
    struct loop *loop;
    struct loop_timer *guard;
    struct loop_timer *timer;
    struct loop_fd *watch;
    int pipe_fds[2];
    unsigned calls;
};

static void on_guard(void *argument)
{
    struct real *real = argument;
    trace_add('!');
    loop_stop(real->loop);
}

static int real_setup(void **state)
{
    struct real *real = MEM_NEW(struct real);
    real->loop = loop_new_real();
    real->guard = loop_timer_new(real->loop, on_guard, real);
    loop_timer_set(real->guard, GUARD_MS);
    if (pipe(real->pipe_fds) != 0)
        return -1;
    *state = real;
    return trace_setup(state);
}

static int real_teardown(void **state)
{
    struct real *real = *state;
    loop_timer_free(real->guard);
    loop_timer_free(real->timer);
    loop_fd_free(real->watch);
    close(real->pipe_fds[0]);
    close(real->pipe_fds[1]);
    loop_free(real->loop);
    free(real);
    return 0;
}

static void on_stop(void *argument)
{
    struct real *real = argument;
    trace_add('s');
    loop_stop(real->loop);
}

static void test_real_timer(void **state)
{
    struct real *real = *state;
    real->timer = loop_timer_new(real->loop, on_stop, real);
    int64_t before_ms = loop_now_ms(real->loop);
    loop_timer_set(real->timer, 20);
    loop_run(real->loop);
    assert_string_equal(trace, "s");
    assert_true(loop_now_ms(real->loop) >= before_ms + 20);
    assert_true(loop_wall_ms(real->loop) > START_WALL_MS);
    assert_non_null(loop_event_base(real->loop));
}

static void test_real_deferred_before_run(void **state)
{
    struct real *real = *state;
    loop_defer(real->loop, on_letter, (void *)"a");
    loop_defer(real->loop, on_stop, real);
    loop_defer(real->loop, on_letter, (void *)"b"); /* stays: the loop was stopped */
    loop_run(real->loop);
    assert_string_equal(trace, "as");
    loop_defer(real->loop, on_stop, real);
    loop_run(real->loop);
    assert_string_equal(trace, "asbs");
}

static void test_real_stop_before_run(void **state)
{
    struct real *real = *state;
    loop_stop(real->loop);
    loop_run(real->loop);
    assert_string_equal(trace, "");
}

static void on_defer_again(void *argument)
{
    struct real *real = argument;
    real->calls++;
    loop_defer(real->loop, on_defer_again, real);
}

static void on_timer_again(void *argument)
{
    struct real *real = argument;
    loop_timer_set(real->timer, 0);
}

static void on_readable(int fd, unsigned what, void *argument)
{
    struct real *real = argument;
    char byte = 0;
    assert_true(what == LOOP_READ);
    assert_int_equal(read(fd, &byte, 1), 1);
    trace_add(byte);
    if (byte == 'z') {
        loop_fd_free(real->watch);
        real->watch = NULL;
        loop_defer(real->loop, on_stop, real);
    }
}

static void test_runaways_do_not_starve_descriptors(void **state)
{
    struct real *real = *state;
    real->watch = loop_fd_new(real->loop, real->pipe_fds[0], LOOP_READ, on_readable, real);
    real->timer = loop_timer_new(real->loop, on_timer_again, real);
    loop_timer_set(real->timer, 0);
    loop_defer(real->loop, on_defer_again, real);
    assert_int_equal(write(real->pipe_fds[1], "xyz", 3), 3);
    loop_run(real->loop);
    assert_string_equal(trace, "xyzs");
    assert_true(real->calls > 0);
    loop_cancel_deferred(real->loop, real);
}

static void on_writable(int fd, unsigned what, void *argument)
{
    struct real *real = argument;
    assert_true(what == LOOP_WRITE);
    assert_int_equal(fd, real->pipe_fds[1]);
    trace_add('w');
    loop_stop(real->loop);
}

static void test_real_writable(void **state)
{
    struct real *real = *state;
    real->watch = loop_fd_new(real->loop, real->pipe_fds[1], LOOP_WRITE, on_writable, real);
    loop_run(real->loop);
    assert_string_equal(trace, "w");
}

static void test_real_signal(void **state)
{
    struct real *real = *state;
    struct loop_signal *watch = loop_signal_new(real->loop, SIGUSR1, on_stop, real);
    assert_int_equal(raise(SIGUSR1), 0);
    loop_run(real->loop);
    loop_signal_free(watch);
    assert_string_equal(trace, "s");
}

static void test_earlier_timer_rearms(void **state)
{
    struct real *real = *state;
    struct loop_timer *later = loop_timer_new(real->loop, on_letter, (void *)"l");
    loop_timer_set(later, GUARD_MS / 2);
    real->timer = loop_timer_new(real->loop, on_stop, real);
    loop_timer_set(real->timer, 1); /* before the one that the kernel was told of */
    loop_run(real->loop);
    assert_string_equal(trace, "s");
    loop_timer_clear(later);
    loop_timer_set(real->timer, 1); /* after a clear that left the old wake-up behind */
    loop_run(real->loop);
    assert_string_equal(trace, "ss");
    loop_timer_free(later);
}

int main(void)
{
#define REAL_TEST(function) cmocka_unit_test_setup_teardown(function, real_setup, real_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_timers_fire_in_order, trace_setup),
        cmocka_unit_test_setup(test_heap_with_many_timers, trace_setup),
        cmocka_unit_test_setup(test_callbacks_do_not_nest, trace_setup),
        cmocka_unit_test_setup(test_deferred_order_and_cancel, trace_setup),
        cmocka_unit_test_setup(test_timer_frees_itself, trace_setup),
        cmocka_unit_test_setup(test_advance_stops_between_timers, trace_setup),
        cmocka_unit_test_setup(test_random_is_function_of_seed, trace_setup),
        cmocka_unit_test_setup(test_random_below, trace_setup),
        REAL_TEST(test_real_timer),
        REAL_TEST(test_real_deferred_before_run),
        REAL_TEST(test_real_stop_before_run),
        REAL_TEST(test_runaways_do_not_starve_descriptors),
        REAL_TEST(test_real_writable),
        REAL_TEST(test_real_signal),
        REAL_TEST(test_earlier_timer_rearms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
