/*
 * The offset ledger: see ledger.h. A ring of slots in rising offset order; finishing finds its slot
 * by bisection and drops finished slots from the front.
 */
#include "reactors/kernel/ledger.h"

#include <assert.h>

#include "base/memory.h"

/* Slots of a ledger's first allocation; it doubles from there, bounded by the kernel's limit on
 * unfinished events. */
#define LEDGER_FIRST_SLOTS 16

static struct ledger_slot *ledger_slot_at(const struct ledger *ledger, size_t index)
{
    return &ledger->slots[(ledger->head + index) & (ledger->capacity - 1)];
}

static void ledger_note_delivery(struct ledger *ledger, int64_t offset)
{
    assert(offset >= 0 && (!ledger->started || offset >= ledger->next_offset));
    ledger->started = true;
    ledger->next_offset = offset + 1;
}

void ledger_skip(struct ledger *ledger, int64_t offset)
{
    ledger_note_delivery(ledger, offset);
}

static void ledger_grow(struct ledger *ledger)
{
    size_t capacity = ledger->capacity == 0 ? LEDGER_FIRST_SLOTS : ledger->capacity * 2;
    struct ledger_slot *slots = mem_alloc_array(capacity, sizeof(*slots));
    for (size_t i = 0; i < ledger->count; i++)
        slots[i] = *ledger_slot_at(ledger, i);
    mem_free(ledger->slots);
    ledger->slots = slots;
    ledger->capacity = capacity;
    ledger->head = 0;
}

void ledger_begin(struct ledger *ledger, int64_t offset)
{
    ledger_note_delivery(ledger, offset);
    if (ledger->count == ledger->capacity)
        ledger_grow(ledger);
    *ledger_slot_at(ledger, ledger->count) = (struct ledger_slot){.offset = offset};
    ledger->count++;
    ledger->unfinished++;
}

static struct ledger_slot *ledger_find(const struct ledger *ledger, int64_t offset)
{
    size_t low = 0;
    size_t high = ledger->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ledger_slot_at(ledger, middle)->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    assert(low < ledger->count && ledger_slot_at(ledger, low)->offset == offset);
    return ledger_slot_at(ledger, low);
}

void ledger_finish(struct ledger *ledger, int64_t offset)
{
    struct ledger_slot *slot = ledger_find(ledger, offset);
    assert(!slot->finished);
    slot->finished = true;
    ledger->unfinished--;
    while (ledger->count > 0 && ledger_slot_at(ledger, 0)->finished) {
        ledger->head = (ledger->head + 1) & (ledger->capacity - 1);
        ledger->count--;
    }
}

bool ledger_storable(const struct ledger *ledger, int64_t *ret_next_offset)
{
    if (!ledger->started)
        return false;
    *ret_next_offset = ledger->count > 0 ? ledger_slot_at(ledger, 0)->offset : ledger->next_offset;
    return true;
}

size_t ledger_unfinished(const struct ledger *ledger)
{
    return ledger->unfinished;
}

void ledger_release(struct ledger *ledger)
{
    mem_free(ledger->slots);
    *ledger = (struct ledger){0};
}
