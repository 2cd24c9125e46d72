/*
 * The open table of the rows of a partition: see shelf.h.
 */
#include "reactors/historian/shelf.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"

/* Places of the first table: a power of two. */
#define SHELF_FIRST_PLACES 64

struct shelf {
    struct shelf_row **slots; /* owned, each */
    size_t places;            /* a power of two, or 0 */
    size_t count;             /* rows */
    size_t row_bytes;         /* of all rows */
    uint64_t moves;           /* see shelf_moves */
};

/* Mixes both numbers well: repositories have neighbouring ids, and issues neighbouring numbers. */
static size_t shelf_hash(int64_t repository_id, int64_t number)
{
    uint64_t mixed = (uint64_t)repository_id * 0x9e3779b97f4a7c15u + (uint64_t)number;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return (size_t)(mixed ^ (mixed >> 31));
}

struct shelf *shelf_new(void)
{
    return MEM_NEW(struct shelf);
}

void shelf_free(struct shelf *shelf)
{
    if (shelf == NULL)
        return;
    for (size_t i = 0; i < shelf->places; i++)
        mem_free(shelf->slots[i]);
    mem_free(shelf->slots);
    mem_free(shelf);
}

/* The place of an issue, or the empty one where it belongs. There are places. */
static size_t shelf_place(const struct shelf *shelf, int64_t repository_id, int64_t number)
{
    size_t mask = shelf->places - 1;
    size_t place = shelf_hash(repository_id, number) & mask;
    for (; shelf->slots[place] != NULL; place = (place + 1) & mask)
        if (shelf->slots[place]->repository_id == repository_id &&
            shelf->slots[place]->number == number)
            break;
    return place;
}

static void shelf_grow(struct shelf *shelf)
{
    struct shelf_row **old = shelf->slots;
    size_t old_places = shelf->places;
    shelf->places = old_places == 0 ? SHELF_FIRST_PLACES : old_places * 2;
    shelf->slots = mem_alloc_array(shelf->places, sizeof(struct shelf_row *));
    for (size_t i = 0; i < old_places; i++)
        if (old[i] != NULL)
            shelf->slots[shelf_place(shelf, old[i]->repository_id, old[i]->number)] = old[i];
    mem_free(old);
    shelf->moves++;
}

const struct shelf_row *shelf_find(const struct shelf *shelf, int64_t repository_id, int64_t number)
{
    return shelf->places == 0 ? NULL : shelf->slots[shelf_place(shelf, repository_id, number)];
}

void shelf_put(struct shelf *shelf, int64_t repository_id, int64_t number, int64_t offset,
               const uint8_t *packed, size_t packed_bytes)
{
    if (shelf->places < (shelf->count + 1) * 2)
        shelf_grow(shelf);
    struct shelf_row **slot = &shelf->slots[shelf_place(shelf, repository_id, number)];
    struct shelf_row *row = mem_alloc(sizeof(*row) + packed_bytes);
    *row = (struct shelf_row){.repository_id = repository_id,
                              .number = number,
                              .offset = offset,
                              .packed_bytes = packed_bytes};
    memcpy(row->packed, packed, packed_bytes);
    if (*slot == NULL)
        shelf->count++;
    else
        shelf->row_bytes -= sizeof(*row) + (*slot)->packed_bytes;
    shelf->row_bytes += sizeof(*row) + packed_bytes;
    mem_free(*slot);
    *slot = row;
}

/* Moves up what stands behind an emptied place, so that no probe ends too early. */
static void shelf_close_gap(struct shelf *shelf, size_t empty)
{
    size_t mask = shelf->places - 1;
    for (size_t at = (empty + 1) & mask; shelf->slots[at] != NULL; at = (at + 1) & mask) {
        const struct shelf_row *row = shelf->slots[at];
        size_t home = shelf_hash(row->repository_id, row->number) & mask;
        if (((at - home) & mask) < ((at - empty) & mask))
            continue; /* its home lies behind the gap: it is found without passing that */
        shelf->slots[empty] = TAKE(shelf->slots[at]);
        empty = at;
    }
}

void shelf_remove(struct shelf *shelf, int64_t repository_id, int64_t number)
{
    if (shelf->places == 0)
        return;
    size_t place = shelf_place(shelf, repository_id, number);
    if (shelf->slots[place] == NULL)
        return;
    shelf->count--;
    shelf->row_bytes -= sizeof(struct shelf_row) + shelf->slots[place]->packed_bytes;
    mem_free(TAKE(shelf->slots[place]));
    shelf_close_gap(shelf, place);
    shelf->moves++;
}

size_t shelf_places(const struct shelf *shelf)
{
    return shelf->places;
}

const struct shelf_row *shelf_at(const struct shelf *shelf, size_t place)
{
    assert(place < shelf->places);
    return shelf->slots[place];
}

uint64_t shelf_moves(const struct shelf *shelf)
{
    return shelf->moves;
}

size_t shelf_count(const struct shelf *shelf)
{
    return shelf->count;
}

size_t shelf_bytes(const struct shelf *shelf)
{
    return sizeof(*shelf) + shelf->places * sizeof(struct shelf_row *) + shelf->row_bytes;
}
