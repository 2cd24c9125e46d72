/*
 * The heap of a loop's timers: internal to base/loop.c.
 *
 * Design: a binary heap of pointers in an array that grows; each timer knows its place, so that setting and
 * clearing one cost O(log n) wherever it is.
 *
 *      items:   [0]                    the first to fire
 *             [1]   [2]                children of [n]: [2n+1] and [2n+2]
 *           [3] [4] [5] [6]
 *
 * Invariants: items[i]->place == i; a parent is before its children by (due, sequence); a timer that is not in the
 * heap has the place TIMER_HEAP_NOWHERE.
 */
#ifndef NODAG_BASE_TIMER_HEAP_H
#define NODAG_BASE_TIMER_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

/* Place of a timer that is in no heap. */
#define TIMER_HEAP_NOWHERE SIZE_MAX

/* A timer, as loop.h declares it. */
struct loop_timer {
    struct loop *loop; /* borrowed */
    loop_fn function;  /* what to call when it is due */
    void *argument;    /* with what */
    int64_t due_ms;    /* monotonic time; valid while in the heap */
    uint64_t sequence; /* order among equal times; valid while in the heap */
    size_t place;      /* index in the heap, or TIMER_HEAP_NOWHERE */
};

/* A heap; all zero is an empty one. */
struct timer_heap {
    struct loop_timer **items; /* owned array of borrowed timers */
    size_t count;              /* how many are in it */
    size_t capacity;           /* how many the array can hold */
};

/* Adds a timer (borrowed) that is in no heap. Loop thread. */
void timer_heap_add(struct timer_heap *heap, struct loop_timer *timer);

/* Takes a timer out. Loop thread. */
void timer_heap_remove(struct timer_heap *heap, struct loop_timer *timer);

/* Frees the array; the timers stay. Loop thread. */
void timer_heap_release(struct timer_heap *heap);

#endif
