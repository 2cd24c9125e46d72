/*
 * The heap of timers: see timer_heap.h.
 */
#include "base/timer_heap.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

/* First size of the array: more than most daemons ever set. */
#define TIMER_HEAP_FIRST_COUNT 64

static bool timer_before(const struct loop_timer *left, const struct loop_timer *right)
{
    if (left->due_ms != right->due_ms)
        return left->due_ms < right->due_ms;
    return left->sequence < right->sequence;
}

static void heap_put(struct timer_heap *heap, size_t place, struct loop_timer *timer)
{
    heap->items[place] = timer;
    timer->place = place;
}

static void heap_sift_up(struct timer_heap *heap, struct loop_timer *timer, size_t place)
{
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        if (!timer_before(timer, heap->items[parent]))
            break;
        heap_put(heap, place, heap->items[parent]);
        place = parent;
    }
    heap_put(heap, place, timer);
}

static void heap_sift_down(struct timer_heap *heap, struct loop_timer *timer, size_t place)
{
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && timer_before(heap->items[child + 1], heap->items[child]))
            child++;
        if (!timer_before(heap->items[child], timer))
            break;
        heap_put(heap, place, heap->items[child]);
        place = child;
    }
    heap_put(heap, place, timer);
}

void timer_heap_add(struct timer_heap *heap, struct loop_timer *timer)
{
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity > 0 ? heap->capacity * 2 : TIMER_HEAP_FIRST_COUNT;
        heap->items = mem_resize_array(heap->items, heap->capacity, sizeof(struct loop_timer *));
    }
    heap->count++;
    heap_sift_up(heap, timer, heap->count - 1);
}

void timer_heap_remove(struct timer_heap *heap, struct loop_timer *timer)
{
    size_t place = timer->place;
    assert(place < heap->count && heap->items[place] == timer);
    timer->place = TIMER_HEAP_NOWHERE;
    heap->count--;
    if (place == heap->count)
        return;
    struct loop_timer *last = heap->items[heap->count];
    heap_sift_up(heap, last, place);
    heap_sift_down(heap, last, last->place);
}

void timer_heap_release(struct timer_heap *heap)
{
    free(heap->items);
    *heap = (struct timer_heap){.items = NULL};
}
