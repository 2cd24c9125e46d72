/*
 * Whose request it is: the address of the TCP connection, or what a trusted proxy's header says.
 *
 * Design: a proxy appends to X-Forwarded-For the address from which it got the request, behind what was there before.
 * So the header is read from its right end: as long as the address that handed the request on is a trusted proxy, the
 * entry that it wrote is believed and looked at next. The first address that is no trusted proxy is the client; what
 * stands to the left of it was written by that client and proves nothing.
 *
 *      X-Forwarded-For: 192.30.252.1, 203.0.113.9, 10.0.0.2        connection from 10.0.0.1
 *                       └ anybody's word    └ client    └───────── trusted: 10.0.0.0/8 ──┘
 *
 * A header from a connection that is not trusted is not looked at. Where all are trusted the leftmost is the client: a
 * machine behind the same proxy. An entry that is reached and is no address (`unknown`, a name, nothing between two
 * commas), or more than CLIENT_HOPS_MAX of them, makes the client unknown: whoever keeps an allow-list must refuse such
 * a request. All lines of a repeated header count, in order (RFC 9110 §5.3): who reads only the first or the last line
 * believes what a client sent, or misses what a proxy appended. Entries may have a port, as some load balancers write:
 * 192.0.2.1:5000, [2001:db8::1]:5000. `Forwarded` (RFC 7239), with its quoting and hidden names, is not read.
 *
 * libmicrohttpd 0.9.75 ends a header's value at a NUL byte and does not say so: a proxy must refuse such requests, as
 * RFC 9110 §5.5 has it and nginx, HAProxy, Envoy, Apache and Go do.
 *
 * Invariants: a pure function; what a client sends never changes the result beyond the client's own choice not to be
 * known.
 */
#ifndef NODAG_INGEST_GITHUB_CLIENT_ADDRESS_H
#define NODAG_INGEST_GITHUB_CLIENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address_range.h"

/* Most entries that are looked at: far more proxies than anybody has in a row. */
#define CLIENT_HOPS_MAX 32

/* Most lines of the header: each proxy may add one, and the client some. */
#define CLIENT_LINES_MAX 32

/* Whose request it is. */
struct client {
    struct address address; /* the client's; the peer's where it is not known */
    struct address peer;    /* the other end of the TCP connection */
    bool is_known;          /* false: a trusted proxy's header did not say who */
};

/*
 * Finds the client of a connection from `peer` whose header was sent in `line_count` lines (values, in order; of more
 * than CLIENT_LINES_MAX only the count is looked at). Returns whether it is known. Any thread.
 */
bool client_find(const struct address *peer, const struct address_ranges *trusted,
                 const char *const *lines, size_t line_count, struct client *ret_client);

#endif
