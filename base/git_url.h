/*
 * URLs of git repositories: which are accepted, and the one form under which a repository is known.
 *
 * Design: four schemes, https, http, ssh and file, because each is spoken by a transport whose
 * authentication and limits are set by git_command.h; git's other forms (host:path, ext::, git://, plain
 * paths) are refused with what to write instead. A URL never carries a password: it stands in keys, logs
 * and process lists.
 *
 * Source: RFC 3986; git-clone(1), "GIT URLS".
 *
 * Invariants: a parsed URL is printable ASCII without spaces, quotes, `|`, `?`, `#` or percent-encoded
 * control characters, and its host does not begin with a dash; scheme and host are lower-case, a default
 * port and slashes at the end are gone: two spellings of one URL give the same text.
 */
#ifndef NODAG_BASE_GIT_URL_H
#define NODAG_BASE_GIT_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Longest URL with a NUL: it shares a record's key with a ref. */
#define GIT_URL_BYTES 512

/* How a repository is spoken to. */
enum git_scheme {
    GIT_SCHEME_HTTPS, /* https://host[:port]/path */
    GIT_SCHEME_HTTP,  /* http://…: not encrypted */
    GIT_SCHEME_SSH,   /* ssh://[user@]host[:port]/path */
    GIT_SCHEME_FILE,  /* file:///path */
};

/* A URL that was accepted. */
struct git_url {
    enum git_scheme scheme;
    char text[GIT_URL_BYTES]; /* the whole, in its one form */
    char host[GIT_URL_BYTES]; /* host[:port], as git's credential helpers name it; "" for file */
    char path[GIT_URL_BYTES]; /* with its leading slash */
    bool is_loopback;         /* the host is this machine: localhost, 127.0.0.0/8, ::1 */
};

/*
 * Reads a URL. ERR_INPUT, ERR_TOO_LARGE with a text that says what to write. The URL itself is not in the
 * text if it may hold a password. Any thread.
 */
int git_url_parse(const char *text, struct git_url *ret_url, struct error *error) MUST_CHECK;

/* Returns a scheme's name; static storage. Any thread. */
const char *git_scheme_name(enum git_scheme scheme);

/*
 * Returns true if the path ends with "/OWNER/NAME" or "/OWNER/NAME.git" for the `name` "OWNER/NAME" (not
 * NUL-terminated), in any case: as hosts such as GitHub name repositories. Any thread.
 */
bool git_url_is_named(const struct git_url *url, const char *name, size_t name_bytes);

#endif
