/*
 * What an import saw of one second: see seen.h.
 */
#include "reactors/importer/seen.h"

#include "base/memory.h"
#include "topics/issue_record.h"

/* First size of the list: one page. */
#define SEEN_FIRST_COUNT 128

/* One issue. */
struct seen_item {
    int64_t number;
    int64_t updated_ms;
    uint64_t hash; /* of what it said */
};

struct seen {
    struct seen_item *items; /* owned */
    size_t count;
    size_t capacity;
};

struct seen *seen_new(void)
{
    return MEM_NEW(struct seen);
}

void seen_free(struct seen *seen)
{
    if (seen == NULL)
        return;
    mem_free(seen->items);
    mem_free(seen);
}

void seen_add(struct seen *seen, int64_t number, int64_t updated_ms, const char *value,
              size_t value_bytes)
{
    if (seen->count == seen->capacity) {
        seen->capacity = seen->capacity == 0 ? SEEN_FIRST_COUNT : seen->capacity * 2;
        seen->items = mem_resize_array(seen->items, seen->capacity, sizeof(*seen->items));
    }
    seen->items[seen->count++] = (struct seen_item){
        .number = number, .updated_ms = updated_ms, .hash = issue_hash_id(value, value_bytes)};
}

bool seen_has(const struct seen *seen, int64_t number, int64_t updated_ms, const char *value,
              size_t value_bytes)
{
    for (size_t i = seen->count; i-- > 0;) {
        const struct seen_item *item = &seen->items[i];
        if (item->number == number && item->updated_ms == updated_ms)
            return item->hash == issue_hash_id(value, value_bytes);
    }
    return false;
}

size_t seen_count(const struct seen *seen)
{
    return seen->count;
}

void seen_cut(struct seen *seen, size_t count)
{
    seen->count = count < seen->count ? count : seen->count;
}

void seen_forget_before(struct seen *seen, int64_t time_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < seen->count; i++) {
        if (seen->items[i].updated_ms >= time_ms)
            seen->items[kept++] = seen->items[i];
    }
    seen->count = kept;
}
