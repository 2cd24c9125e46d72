/*
 * Fuzz target: GitHub's answer about its addresses.
 *
 * Asserted: what is refused says why; what is taken has ranges, none of them everything, and can be written and read
 * again as the same set.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/github/hook_ranges.h"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    CLEANUP(address_ranges_free) struct address_ranges *ranges = NULL;
    CLEANUP(address_ranges_free) struct address_ranges *again = address_ranges_new();
    struct error error = {0};
    if (hook_ranges_parse((const char *)bytes, byte_count, &ranges, &error) != 0) {
        require(ranges == NULL && error.text[0] != '\0');
        return 0;
    }
    size_t count = address_ranges_count(ranges);
    require(count >= 1 && count <= ADDRESS_RANGES_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct address_range *range = address_ranges_at(ranges, i);
        char text[ADDRESS_RANGE_TEXT_BYTES];
        struct address_range read;
        require(range->prefix_bits > 0 && address_ranges_contain(ranges, &range->first));
        address_range_to_text(range, text);
        require(address_range_parse(text, strlen(text), &read, NULL) == 0);
        require(address_ranges_add(again, &read, NULL) == 0);
    }
    require(address_ranges_equal(ranges, again));
    return 0;
}
