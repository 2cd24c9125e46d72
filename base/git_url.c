/*
 * URLs of git repositories: see git_url.h.
 *
 * Design: one pass by hand over the few parts that are allowed; whatever is not named here is refused. The
 * user name stays only with ssh, where it is part of the address (git@host).
 */
#include "base/git_url.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

/* One scheme. */
struct scheme_row {
    const char *name;         /* lower-case */
    const char *default_port; /* digits; NULL: none */
};

/* By enum git_scheme. */
static const struct scheme_row schemes[] = {
    [GIT_SCHEME_HTTPS] = {"https", "443"},
    [GIT_SCHEME_HTTP] = {"http", "80"},
    [GIT_SCHEME_SSH] = {"ssh", "22"},
    [GIT_SCHEME_FILE] = {"file", NULL},
};

const char *git_scheme_name(enum git_scheme scheme)
{
    return schemes[scheme].name;
}

static int refuse(struct error *error, const char *text)
{
    return error_set(error, ERR_INPUT, "the repository's URL %s", text);
}

/* Reads "scheme://"; returns what follows, or NULL. */
static const char *read_scheme(const char *text, enum git_scheme *ret_scheme)
{
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        size_t bytes = strlen(schemes[i].name);
        if (strncasecmp(text, schemes[i].name, bytes) == 0 &&
            strncmp(text + bytes, "://", 3) == 0) {
            *ret_scheme = (enum git_scheme)i;
            return text + bytes + 3;
        }
    }
    return NULL;
}

/* What no part may hold: it would be read otherwise by a shell, by ssh, or in a key. */
static int check_characters(const char *text, struct error *error)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~' || strchr("|?#\"'`\\<>^{}$;&*!", *at) != NULL)
            return refuse(error,
                          "may hold letters, digits and -._~/:@%+,=()[] only; percent-encode "
                          "what else is in its path");
        if (*at == '%' && (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2]) ||
                           at[1] < '2' || strncasecmp(at + 1, "7f", 2) == 0))
            return refuse(error, "has a percent sign without two hexadecimal digits, or one that "
                                 "stands for a control character");
    }
    return 0;
}

/* The parts of "user@host:port". */
struct authority {
    const char *user;
    size_t user_bytes;
    const char *host;
    size_t host_bytes;
    const char *port;
    size_t port_bytes;
};

static int split_authority(const char *text, size_t bytes, struct authority *parts,
                           struct error *error)
{
    const char *at = memchr(text, '@', bytes);
    if (at != NULL) {
        parts->user = text;
        parts->user_bytes = (size_t)(at - text);
        bytes -= parts->user_bytes + 1;
        text = at + 1;
        if (memchr(parts->user, ':', parts->user_bytes) != NULL)
            return refuse(error, "must not hold a password: put it into a file and name that by "
                                 "`credentials`");
    }
    size_t host_bytes = bytes;
    const char *bracket = bytes > 0 && text[0] == '[' ? memchr(text, ']', bytes) : NULL;
    const char *colon = bracket != NULL ? memchr(bracket, ':', bytes - (size_t)(bracket - text))
                                        : memchr(text, ':', bytes);
    if (colon != NULL) {
        host_bytes = (size_t)(colon - text);
        parts->port = colon + 1;
        parts->port_bytes = bytes - host_bytes - 1;
    }
    parts->host = text;
    parts->host_bytes = host_bytes;
    return 0;
}

static bool host_is_valid(const struct authority *parts)
{
    if (parts->host_bytes == 0 || parts->host[0] == '-' || parts->host[0] == '.')
        return false;
    bool is_ipv6 = parts->host[0] == '[';
    size_t first = is_ipv6 ? 1 : 0;
    size_t last = is_ipv6 ? parts->host_bytes - 1 : parts->host_bytes;
    if (is_ipv6 && (parts->host_bytes < 4 || parts->host[last] != ']'))
        return false;
    for (size_t i = first; i < last; i++) {
        char character = parts->host[i];
        if (!isalnum((unsigned char)character) && strchr(is_ipv6 ? ":." : "-._", character) == NULL)
            return false;
    }
    return true;
}

static bool port_is_valid(const struct authority *parts)
{
    if (parts->port == NULL)
        return true;
    long port = 0;
    for (size_t i = 0; i < parts->port_bytes; i++) {
        if (!isdigit((unsigned char)parts->port[i]) || i >= 5)
            return false;
        port = port * 10 + (parts->port[i] - '0');
    }
    return port >= 1 && port <= 65535;
}

/* "Octet" for the first part of an IPv4 address only: 127.evil.example is a name. */
static bool is_loopback(const char *host, size_t bytes)
{
    if ((bytes == 9 && strncmp(host, "localhost", 9) == 0) ||
        (bytes == 5 && strncmp(host, "[::1]", 5) == 0))
        return true;
    if (bytes < 7 || strncmp(host, "127.", 4) != 0)
        return false;
    size_t dots = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (host[i] != '.' && !isdigit((unsigned char)host[i]))
            return false;
        dots += host[i] == '.' ? 1 : 0;
    }
    return dots == 3;
}

static int check_user(const struct git_url *url, const struct authority *parts, struct error *error)
{
    if (parts->user == NULL)
        return 0;
    if (url->scheme != GIT_SCHEME_SSH)
        return refuse(error, "must not name a user (it may be a token): put name and password into "
                             "a file and name that by `credentials`");
    if (parts->user_bytes == 0 || parts->user[0] == '-')
        return refuse(error, "names no proper user before the @");
    return 0;
}

/* Reads "user@host:port" into the URL: host, and the text up to the path. */
static int read_authority(const char *text, size_t bytes, struct git_url *url, struct error *error)
{
    struct authority parts = {.host = NULL};
    int code = split_authority(text, bytes, &parts, error);
    if (code == 0)
        code = check_user(url, &parts, error);
    if (code != 0)
        return code;
    if (!host_is_valid(&parts) || !port_is_valid(&parts))
        return refuse(error, "has no proper host or port");
    char port[8] = "";
    const char *usual = schemes[url->scheme].default_port;
    if (parts.port != NULL &&
        (strlen(usual) != parts.port_bytes || strncmp(usual, parts.port, parts.port_bytes) != 0))
        (void)snprintf(port, sizeof(port), ":%.*s", (int)parts.port_bytes, parts.port);
    (void)snprintf(url->host, sizeof(url->host), "%.*s%s", (int)parts.host_bytes, parts.host, port);
    for (char *at = url->host; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    url->is_loopback = is_loopback(url->host, parts.host_bytes);
    (void)snprintf(url->text, sizeof(url->text), "%s://%.*s%s%s", schemes[url->scheme].name,
                   (int)parts.user_bytes, parts.user != NULL ? parts.user : "",
                   parts.user != NULL ? "@" : "", url->host);
    return 0;
}

static int read_path(const char *path, struct git_url *url, struct error *error)
{
    size_t bytes = strlen(path);
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    if (bytes < 2 || path[0] != '/')
        return refuse(error, "has no path: write https://host/owner/name");
    (void)snprintf(url->path, sizeof(url->path), "%.*s", (int)bytes, path);
    size_t used = strlen(url->text);
    (void)snprintf(url->text + used, sizeof(url->text) - used, "%s", url->path);
    return 0;
}

int git_url_parse(const char *text, struct git_url *ret_url, struct error *error)
{
    struct git_url url = {.text = ""};
    if (strlen(text) >= GIT_URL_BYTES)
        return error_set(error, ERR_TOO_LARGE, "the repository's URL is longer than %d characters",
                         GIT_URL_BYTES - 1);
    const char *rest = read_scheme(text, &url.scheme);
    if (rest == NULL)
        return refuse(error, "must begin with https://, ssh://, file:/// or http://; instead of "
                             "git@host:owner/name write ssh://git@host/owner/name");
    int code = check_characters(rest, error);
    if (code != 0)
        return code;
    size_t authority_bytes = strcspn(rest, "/");
    if (url.scheme != GIT_SCHEME_FILE)
        code = read_authority(rest, authority_bytes, &url, error);
    else if (authority_bytes > 0)
        code = refuse(error, "must have three slashes after file: and an absolute path");
    else
        (void)snprintf(url.text, sizeof(url.text), "file://");
    if (code == 0)
        code = read_path(rest + authority_bytes, &url, error);
    if (code == 0)
        *ret_url = url;
    return code;
}

bool git_url_is_named(const struct git_url *url, const char *name, size_t name_bytes)
{
    size_t path_bytes = strlen(url->path);
    if (path_bytes > 4 && strcmp(url->path + path_bytes - 4, ".git") == 0)
        path_bytes -= 4;
    if (name_bytes == 0 || name_bytes >= path_bytes)
        return false;
    const char *end = url->path + path_bytes - name_bytes;
    return end[-1] == '/' && strncasecmp(end, name, name_bytes) == 0;
}
