/*
 * Fuzz target: addresses, ranges, and whose request it is.
 *
 * Design: the input is lines: the peer, then the lines of the header. The trusted proxies are fixed; the peer's line is
 * also read as a range. Asserted: what was read can be written and read again; a header from a peer that is not trusted
 * changes nothing; a client that is known is either no proxy, or everything in the header was one; and what the promise
 * is about: whatever is put before the first line, or before its first entry, changes no client that is no proxy.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "ingest/github/client_address.h"

/* Most lines of an input; more than the code under test looks at. */
#define LINES_MAX (CLIENT_LINES_MAX + 8)

/* Something that a client would like to be. */
#define CLAIM "192.30.252.1"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static void add(struct address_ranges *ranges, const char *text)
{
    struct address_range range;
    require(address_range_parse(text, strlen(text), &range, NULL) == 0);
    require(address_ranges_add(ranges, &range, NULL) == 0);
}

static void check_range(const char *text, size_t text_bytes)
{
    struct address_range range;
    struct address_range again;
    char written[ADDRESS_RANGE_TEXT_BYTES];
    struct error error = {0};
    if (address_range_parse(text, text_bytes, &range, &error) != 0) {
        require(error.text[0] != '\0');
        return;
    }
    require(address_range_contains(&range, &range.first));
    address_range_to_text(&range, written);
    require(address_range_parse(written, strlen(written), &again, NULL) == 0);
    require(again.prefix_bits == range.prefix_bits && address_equal(&again.first, &range.first));
}

/* Puts `before` before the first line, or as the start of it; the client must stay. */
static void check_claim(const struct address *peer, const struct address_ranges *trusted,
                        const char **lines, size_t line_count, const struct client *client)
{
    const char *more[LINES_MAX + 1] = {CLAIM};
    struct client now;
    memcpy(more + 1, lines, line_count * sizeof(lines[0]));
    if (line_count < CLIENT_LINES_MAX)
        require(client_find(peer, trusted, more, line_count + 1, &now) &&
                address_equal(&now.address, &client->address));
    CLEANUP(mem_free) char *longer = mem_format("%s, %s", CLAIM, lines[0]);
    lines[0] = longer;
    require(client_find(peer, trusted, lines, line_count, &now) &&
            address_equal(&now.address, &client->address));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    CLEANUP(mem_free) char *text = mem_copy_bytes(bytes, byte_count);
    CLEANUP(address_ranges_free) struct address_ranges *trusted = address_ranges_new();
    const char *lines[LINES_MAX];
    size_t line_count = 0;
    add(trusted, "10.0.0.0/8");
    add(trusted, "2001:db8::/33");
    char *next = strchr(text, '\n');
    size_t peer_bytes = next != NULL ? (size_t)(next - text) : byte_count;
    while (next != NULL && line_count < LINES_MAX) {
        *next++ = '\0';
        lines[line_count++] = next;
        next = strchr(next, '\n');
    }
    check_range(text, peer_bytes);
    struct address peer;
    struct client client;
    if (address_parse(text, peer_bytes, &peer) != 0)
        return 0;
    bool is_known = client_find(&peer, trusted, lines, line_count, &client);
    bool is_trusted = address_ranges_contain(trusted, &peer);
    require(is_known == client.is_known && address_equal(&client.peer, &peer));
    require((is_known && is_trusted) || address_equal(&client.address, &peer));
    require(is_known || (is_trusted && line_count > 0));
    if (is_known && line_count > 0 && !address_ranges_contain(trusted, &client.address))
        check_claim(&peer, trusted, lines, line_count, &client);
    return 0;
}
