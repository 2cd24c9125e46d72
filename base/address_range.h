/*
 * IP addresses and ranges of them (CIDR): who may come in, which proxy is believed.
 *
 * Design: an address is its bytes and its family. An IPv4 address in IPv6 dress (::ffff:192.0.2.1, RFC 4291 §2.5.5.2),
 * which is how a socket that listens on :: shows IPv4 clients, is the IPv4 address, and a range of such addresses is
 * the range of IPv4; a range of IPv6 never holds an IPv4 address, however wide it is. Digits are read by inet_pton(3),
 * which takes no leading zeros, no abbreviations and no zone ids. A range whose address has bits set beyond its prefix
 * is refused, because nobody can tell which of two things its author meant.
 *
 * A set of ranges is an array that is walked: the lists here (proxies, GitHub's hooks) have some twenty entries, and
 * ADDRESS_RANGES_MAX comparisons of 16 bytes take a few microseconds.
 *
 * Invariants: pure functions of their arguments; what was read can be written and read again, and is the same.
 */
#ifndef NODAG_BASE_ADDRESS_RANGE_H
#define NODAG_BASE_ADDRESS_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Bytes of an IPv6 address; an IPv4 address uses the first 4. */
#define ADDRESS_BYTES 16

/* Room for an address as text with its NUL: INET6_ADDRSTRLEN. */
#define ADDRESS_TEXT_BYTES 46

/* Room for a range as text with its NUL: an address, a slash, three digits. */
#define ADDRESS_RANGE_TEXT_BYTES (ADDRESS_TEXT_BYTES + 4)

/* Most ranges of one set: a limit against lists that are walked for every request. */
#define ADDRESS_RANGES_MAX 1024

/* An address. Bytes beyond those of the family are 0. */
struct address {
    bool is_v4;                   /* IPv4, also where it came in IPv6 dress */
    uint8_t bytes[ADDRESS_BYTES]; /* network order */
};

/* All addresses that share the first bits with one. */
struct address_range {
    struct address first; /* bits beyond the prefix are 0 */
    uint8_t prefix_bits;  /* 0..32 or 0..128 */
};

/* A set of ranges. */
struct address_ranges;

/*
 * Reads a numeric address of either family; `text` need not end with a NUL. ERR_INPUT for anything else: zone ids,
 * ports, brackets, spaces, leading zeros. Any thread.
 */
int address_parse(const char *text, size_t text_bytes, struct address *ret_address) MUST_CHECK;

/* Writes an address: dotted, or as RFC 5952 has it. Any thread. */
void address_to_text(const struct address *address, char ret_text[ADDRESS_TEXT_BYTES]);

/* Returns true if both are the same address. Any thread. */
bool address_equal(const struct address *left, const struct address *right);

/*
 * Reads ADDRESS/BITS, or an address alone, which is a range of one; `text` need not end with a NUL. ERR_INPUT with a
 * text for people; where bits beyond the prefix are set it says what would be right. Any thread.
 */
int address_range_parse(const char *text, size_t text_bytes, struct address_range *ret_range,
                        struct error *error) MUST_CHECK;

/* Writes ADDRESS/BITS. Any thread. */
void address_range_to_text(const struct address_range *range,
                           char ret_text[ADDRESS_RANGE_TEXT_BYTES]);

/* Returns true if the range holds the address. Any thread. */
bool address_range_contains(const struct address_range *range, const struct address *address);

/* Makes an empty set; owned. Any thread. */
struct address_ranges *address_ranges_new(void);

/* Frees a set; NULL allowed. Any thread. */
void address_ranges_free(struct address_ranges *ranges);
DEFINE_CLEANUP(struct address_ranges *, address_ranges_free)

/* Adds a range (copied). ERR_TOO_LARGE beyond ADDRESS_RANGES_MAX, with a text. Owner's thread. */
int address_ranges_add(struct address_ranges *ranges, const struct address_range *range,
                       struct error *error) MUST_CHECK;

/* Returns how many ranges were added; NULL is the empty set, as for all functions below. Any thread. */
size_t address_ranges_count(const struct address_ranges *ranges);

/* Returns the range at `index` < count, in the order of adding; borrowed. Any thread. */
const struct address_range *address_ranges_at(const struct address_ranges *ranges, size_t index);

/* Returns true if any of the ranges holds the address. Any thread. */
bool address_ranges_contain(const struct address_ranges *ranges, const struct address *address);

/* Returns true if each range of either set is also in the other, in whatever order. Any thread. */
bool address_ranges_equal(const struct address_ranges *left, const struct address_ranges *right);

#endif
