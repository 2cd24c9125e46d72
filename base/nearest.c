/*
 * The nearest known name: see nearest.h. The distance is computed row by row over two arrays of fixed size, so a
 * name from outside costs neither memory nor more than 64 × 64 steps a candidate.
 */
#include "base/nearest.h"

#include <stdint.h>
#include <string.h>

/* Most characters that may differ between a name and its neighbour. */
#define NEAREST_DISTANCE_MAX 3

/* One character in so many may differ. */
#define NEAREST_SHARE 3

static size_t nearest_least(size_t first, size_t second, size_t third)
{
    size_t least = first < second ? first : second;
    return least < third ? least : third;
}

static size_t nearest_distance(const char *left, size_t left_bytes, const char *right,
                               size_t right_bytes)
{
    size_t previous[NEAREST_NAME_MAX_BYTES + 1];
    size_t present[NEAREST_NAME_MAX_BYTES + 1];
    for (size_t j = 0; j <= right_bytes; j++)
        previous[j] = j;
    for (size_t i = 1; i <= left_bytes; i++) {
        present[0] = i;
        for (size_t j = 1; j <= right_bytes; j++) {
            size_t change = left[i - 1] == right[j - 1] ? 0 : 1;
            present[j] =
                nearest_least(previous[j] + 1, present[j - 1] + 1, previous[j - 1] + change);
        }
        memcpy(previous, present, (right_bytes + 1) * sizeof(previous[0]));
    }
    return previous[right_bytes];
}

const char *nearest_name(const char *name, const char *const *known, size_t known_count)
{
    size_t name_bytes = strlen(name);
    if (name_bytes > NEAREST_NAME_MAX_BYTES)
        return NULL;
    size_t allowed = name_bytes / NEAREST_SHARE;
    if (allowed < 1)
        allowed = 1;
    if (allowed > NEAREST_DISTANCE_MAX)
        allowed = NEAREST_DISTANCE_MAX;
    const char *nearest = NULL;
    size_t nearest_so_far = allowed + 1;
    for (size_t i = 0; i < known_count; i++) {
        size_t known_bytes = known[i] == NULL ? SIZE_MAX : strlen(known[i]);
        if (known_bytes > NEAREST_NAME_MAX_BYTES)
            continue;
        size_t distance = nearest_distance(name, name_bytes, known[i], known_bytes);
        if (distance < nearest_so_far && distance < name_bytes) {
            nearest = known[i];
            nearest_so_far = distance;
        }
    }
    return nearest;
}
