/*
 * Whose request it is: see client_address.h.
 *
 * Design: a walk over the entries from the last of the last line to the first of the first; each step yields one entry
 * and says whether there was one.
 */
#include "ingest/github/client_address.h"

#include <string.h>

/* Digits of the largest port. */
#define PORT_DIGITS_MAX 5

/* A place in the header: what lies before it is still to be read. */
struct walk {
    const char *const *lines;
    size_t line;  /* lines before it are whole; 0: all is read */
    size_t bytes; /* of the line before it that are still to be read */
    bool is_open; /* an entry of that line ends there, even if it is empty */
};

/* Puts the walk at the end of the line before. */
static void walk_to_line(struct walk *walk)
{
    walk->is_open = walk->line > 0;
    walk->bytes = walk->is_open ? strlen(walk->lines[walk->line - 1]) : 0;
}

/* Yields the next entry to the left without the white space around it; false: there is none. */
static bool walk_next(struct walk *walk, const char **ret_text, size_t *ret_bytes)
{
    if (!walk->is_open)
        return false;
    const char *line = walk->lines[walk->line - 1];
    size_t end = walk->bytes;
    const char *comma = memrchr(line, ',', end);
    size_t start = comma != NULL ? (size_t)(comma - line) + 1 : 0;
    if (comma != NULL) {
        walk->bytes = start - 1;
    } else {
        walk->line--;
        walk_to_line(walk);
    }
    while (start < end && (line[start] == ' ' || line[start] == '\t'))
        start++;
    while (end > start && (line[end - 1] == ' ' || line[end - 1] == '\t'))
        end--;
    *ret_text = line + start;
    *ret_bytes = end - start;
    return true;
}

/* Returns true if the text is a colon and a port. */
static bool is_port(const char *text, size_t text_bytes)
{
    if (text_bytes < 2 || text_bytes > 1 + PORT_DIGITS_MAX || text[0] != ':')
        return false;
    for (size_t i = 1; i < text_bytes; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
    }
    return true;
}

/* Reads an entry: an address of either family, or one with a port, an IPv6 address then in brackets. */
static int parse_entry(const char *text, size_t text_bytes, struct address *ret_address)
{
    if (text_bytes > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', text_bytes);
        if (close == NULL)
            return ERR_INPUT;
        size_t rest_bytes = text_bytes - (size_t)(close + 1 - text);
        if (rest_bytes > 0 && !is_port(close + 1, rest_bytes))
            return ERR_INPUT;
        /* Brackets are for IPv6, also for IPv4 in its dress. */
        if (memchr(text, ':', (size_t)(close - text)) == NULL)
            return ERR_INPUT;
        return address_parse(text + 1, (size_t)(close - text) - 1, ret_address);
    }
    const char *colon = memchr(text, ':', text_bytes);
    bool is_last_colon = colon != NULL && memrchr(text, ':', text_bytes) == colon;
    size_t address_bytes = is_last_colon ? (size_t)(colon - text) : text_bytes;
    if (is_last_colon && !is_port(colon, text_bytes - address_bytes))
        return ERR_INPUT;
    return address_parse(text, address_bytes, ret_address);
}

bool client_find(const struct address *peer, const struct address_ranges *trusted,
                 const char *const *lines, size_t line_count, struct client *ret_client)
{
    struct client client = {.address = *peer, .peer = *peer, .is_known = true};
    *ret_client = client;
    if (line_count == 0 || !address_ranges_contain(trusted, peer))
        return true;
    struct walk walk = {.lines = lines, .line = line_count};
    const char *entry = NULL;
    size_t entry_bytes = 0;
    client.is_known = line_count <= CLIENT_LINES_MAX;
    if (client.is_known)
        walk_to_line(&walk);
    for (size_t hops = 0; walk_next(&walk, &entry, &entry_bytes); hops++) {
        client.is_known =
            hops < CLIENT_HOPS_MAX && parse_entry(entry, entry_bytes, &client.address) == 0;
        if (!client.is_known || !address_ranges_contain(trusted, &client.address))
            break;
    }
    if (!client.is_known)
        client.address = *peer;
    *ret_client = client;
    return client.is_known;
}
