/*
 * Addresses and ranges: see address_range.h.
 *
 * Design: texts are copied into a small buffer that ends them, because inet_pton(3) wants a NUL and callers have pieces
 * of headers; what does not fit, or holds a NUL, is no address.
 */
#include "base/address_range.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Bytes and bits of the families. */
#define V4_BYTES 4
#define V4_BITS 32
#define V6_BITS 128

/* Bits before the IPv4 address in its IPv6 dress. */
#define MAPPED_BITS 96

/* Digits of the longest prefix length. */
#define PREFIX_DIGITS_MAX 3

/* Ranges that the array of a set has room for at first. */
#define RANGES_FIRST 16

/* Longest piece of a wrong text that an error shows: a range and a little. */
#define SHOWN_BYTES 60

struct address_ranges {
    struct address_range *items; /* owned */
    size_t count;                /* in use */
    size_t capacity;             /* allocated */
};

/* The first 12 bytes of an IPv4 address in IPv6 dress. */
static const uint8_t mapped_head[ADDRESS_BYTES - V4_BYTES] = {[10] = 0xff, [11] = 0xff};

/* ---- addresses ---- */

int address_parse(const char *text, size_t text_bytes, struct address *ret_address)
{
    char ended[ADDRESS_TEXT_BYTES];
    struct address address = {.is_v4 = false};
    if (text_bytes == 0 || text_bytes >= sizeof(ended) || memchr(text, '\0', text_bytes) != NULL)
        return ERR_INPUT;
    memcpy(ended, text, text_bytes);
    ended[text_bytes] = '\0';
    if (inet_pton(AF_INET, ended, address.bytes) == 1) {
        address.is_v4 = true;
    } else if (inet_pton(AF_INET6, ended, address.bytes) != 1) {
        return ERR_INPUT;
    } else if (memcmp(address.bytes, mapped_head, sizeof(mapped_head)) == 0) {
        const struct address mapped = address;
        address = (struct address){.is_v4 = true};
        memcpy(address.bytes, mapped.bytes + sizeof(mapped_head), V4_BYTES);
    }
    *ret_address = address;
    return 0;
}

void address_to_text(const struct address *address, char ret_text[ADDRESS_TEXT_BYTES])
{
    const char *written = inet_ntop(address->is_v4 ? AF_INET : AF_INET6, address->bytes, ret_text,
                                    ADDRESS_TEXT_BYTES);
    assert(written != NULL);
    (void)written;
}

bool address_equal(const struct address *left, const struct address *right)
{
    return left->is_v4 == right->is_v4 && memcmp(left->bytes, right->bytes, ADDRESS_BYTES) == 0;
}

/* ---- ranges ---- */

/* The address with all bits beyond the prefix set to 0. */
static struct address masked(const struct address *address, unsigned prefix_bits)
{
    struct address result = *address;
    for (unsigned i = 0; i < ADDRESS_BYTES; i++) {
        unsigned kept_bits = prefix_bits > 8 * i ? prefix_bits - 8 * i : 0;
        if (kept_bits < 8)
            result.bytes[i] &= (uint8_t)(0xff00u >> kept_bits);
    }
    return result;
}

/* Reads the digits after the slash; -1 if they are none. */
static int parse_prefix(const char *text, size_t text_bytes)
{
    int prefix = 0;
    if (text_bytes == 0 || text_bytes > PREFIX_DIGITS_MAX || (text[0] == '0' && text_bytes > 1))
        return -1;
    for (size_t i = 0; i < text_bytes; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        prefix = prefix * 10 + (text[i] - '0');
    }
    return prefix;
}

static int not_a_range(const char *text, size_t text_bytes, struct error *error)
{
    return error_set(error, ERR_INPUT,
                     "\"%.*s\" is no address or range of addresses: write 192.0.2.7, 192.0.2.0/24 "
                     "or 2001:db8::/32",
                     (int)(text_bytes < SHOWN_BYTES ? text_bytes : SHOWN_BYTES), text);
}

int address_range_parse(const char *text, size_t text_bytes, struct address_range *ret_range,
                        struct error *error)
{
    const char *slash = memchr(text, '/', text_bytes);
    size_t address_bytes = slash != NULL ? (size_t)(slash - text) : text_bytes;
    struct address address;
    if (address_parse(text, address_bytes, &address) != 0)
        return not_a_range(text, text_bytes, error);
    int most = address.is_v4 ? V4_BITS : V6_BITS;
    int prefix = most;
    if (slash != NULL) {
        prefix = parse_prefix(slash + 1, text_bytes - address_bytes - 1);
        if (address.is_v4 && memchr(text, ':', address_bytes) != NULL)
            prefix -= MAPPED_BITS; /* of an IPv4 address in IPv6 dress the prefix counts its head */
    }
    if (prefix < 0 || prefix > most)
        return not_a_range(text, text_bytes, error);
    struct address_range range = {.first = masked(&address, (unsigned)prefix),
                                  .prefix_bits = (uint8_t)prefix};
    if (!address_equal(&range.first, &address)) {
        char right[ADDRESS_RANGE_TEXT_BYTES];
        address_range_to_text(&range, right);
        return error_set(
            error, ERR_INPUT,
            "\"%.*s\" has bits set beyond its prefix: write %s for the whole range, or "
            "the address alone",
            (int)text_bytes, text, right);
    }
    *ret_range = range;
    return 0;
}

void address_range_to_text(const struct address_range *range,
                           char ret_text[ADDRESS_RANGE_TEXT_BYTES])
{
    address_to_text(&range->first, ret_text);
    size_t address_bytes = strlen(ret_text);
    (void)snprintf(ret_text + address_bytes, ADDRESS_RANGE_TEXT_BYTES - address_bytes, "/%u",
                   (unsigned)range->prefix_bits);
}

bool address_range_contains(const struct address_range *range, const struct address *address)
{
    const struct address head = masked(address, range->prefix_bits);
    return address_equal(&head, &range->first);
}

/* ---- sets ---- */

struct address_ranges *address_ranges_new(void)
{
    return MEM_NEW(struct address_ranges);
}

void address_ranges_free(struct address_ranges *ranges)
{
    if (ranges == NULL)
        return;
    free(ranges->items);
    free(ranges);
}

int address_ranges_add(struct address_ranges *ranges, const struct address_range *range,
                       struct error *error)
{
    if (ranges->count == ADDRESS_RANGES_MAX)
        return error_set(error, ERR_TOO_LARGE, "more than %d ranges of addresses",
                         ADDRESS_RANGES_MAX);
    if (ranges->count == ranges->capacity) {
        ranges->capacity = ranges->capacity == 0 ? RANGES_FIRST : 2 * ranges->capacity;
        ranges->items =
            mem_resize_array(ranges->items, ranges->capacity, sizeof(struct address_range));
    }
    ranges->items[ranges->count++] = *range;
    return 0;
}

size_t address_ranges_count(const struct address_ranges *ranges)
{
    return ranges == NULL ? 0 : ranges->count;
}

const struct address_range *address_ranges_at(const struct address_ranges *ranges, size_t index)
{
    assert(index < address_ranges_count(ranges));
    return &ranges->items[index];
}

bool address_ranges_contain(const struct address_ranges *ranges, const struct address *address)
{
    for (size_t i = 0; i < address_ranges_count(ranges); i++) {
        if (address_range_contains(&ranges->items[i], address))
            return true;
    }
    return false;
}

/* Returns true if each range of `some` stands in `all`. */
static bool is_within(const struct address_ranges *some, const struct address_ranges *all)
{
    for (size_t i = 0; i < address_ranges_count(some); i++) {
        const struct address_range *wanted = &some->items[i];
        bool is_found = false;
        for (size_t j = 0; j < address_ranges_count(all) && !is_found; j++)
            is_found = all->items[j].prefix_bits == wanted->prefix_bits &&
                       address_equal(&all->items[j].first, &wanted->first);
        if (!is_found)
            return false;
    }
    return true;
}

bool address_ranges_equal(const struct address_ranges *left, const struct address_ranges *right)
{
    return is_within(left, right) && is_within(right, left);
}
