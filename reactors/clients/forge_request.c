/*
 * URLs and headers of the forge's requests.
 * Sources: RFC 3986 (URLs), RFC 8288 (Link); GitHub REST API, "Getting started" (headers), "API
 * versions", "Using pagination".
 *
 * Only what was checked or encoded gets into a URL: names of repositories are checked against
 * GitHub's alphabet, file paths and labels are percent-encoded, numbers are numbers.
 */
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "reactors/clients/forge_call.h"

/* Time limit of one request: GitHub itself gives up on a request after ten seconds. */
#define REQUEST_TIMEOUT_MS 20000

/* Answers' format and the version of the API that this client was written to. */
#define ACCEPT "application/vnd.github+json"
/* See above. */
#define API_VERSION "2022-11-28"

/* Longest Link header that is looked at. */
#define LINK_MAX_BYTES 8192

/* ---- URLs ---- */

/*
 * Returns what follows scheme and authority in a URL, or NULL if it is not http or https with a
 * host.
 */
static const char *find_path(const char *url)
{
    size_t scheme_bytes = 0;
    if (strncasecmp(url, "https://", 8) == 0)
        scheme_bytes = 8;
    else if (strncasecmp(url, "http://", 7) == 0)
        scheme_bytes = 7;
    size_t host_bytes = scheme_bytes == 0 ? 0 : strcspn(url + scheme_bytes, "/?#");
    return host_bytes == 0 ? NULL : url + scheme_bytes + host_bytes;
}

int forge_url_normalise(const char *url, char **ret_url, struct error *error)
{
    const char *path = find_path(url);
    if (path == NULL)
        return error_set(
            error, ERR_USAGE,
            "--forge-url: \"%s\" is not an http or https URL with a host; give for example "
            "https://api.github.com or https://HOST/api/v3",
            url);
    for (const char *place = url; *place != '\0'; place++) {
        if (!isgraph((unsigned char)*place) || strchr("?#@\"<>\\", *place) != NULL)
            return error_set(
                error, ERR_USAGE,
                "--forge-url: the character at byte %zu has no place there; a user name, "
                "a query and spaces are not allowed",
                (size_t)(place - url) + 1);
    }
    size_t length = strlen(url);
    while (length > (size_t)(path - url) && url[length - 1] == '/')
        length--;
    if (length > FORGE_URL_MAX_BYTES / 4)
        return error_set(error, ERR_USAGE, "--forge-url: longer than %d bytes",
                         FORGE_URL_MAX_BYTES / 4);
    *ret_url = mem_copy_bytes(url, length);
    return 0;
}

/* True for a name of GitHub's alphabet that is no step in a path. */
static bool is_name(const char *name, size_t length)
{
    if (length == 0 || (length == 1 && name[0] == '.') ||
        (length == 2 && name[0] == '.' && name[1] == '.'))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char letter = (unsigned char)name[i];
        bool is_plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                        (letter >= '0' && letter <= '9');
        if (!is_plain && letter != '.' && letter != '-' && letter != '_')
            return false;
    }
    return true;
}

bool forge_url_is_repository(const char *repository)
{
    const char *slash = strchr(repository, '/');
    return slash != NULL && strlen(repository) < FORGE_REPOSITORY_BYTES &&
           is_name(repository, (size_t)(slash - repository)) &&
           is_name(slash + 1, strlen(slash + 1));
}

int forge_url_encode_segment(const char *segment, char **ret_encoded)
{
    if (segment[0] == '\0' || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
        return ERR_INPUT;
    CLEANUP(buffer_release) struct buffer encoded = BUFFER_INIT(FORGE_URL_MAX_BYTES / 2);
    int code = http_append_encoded(&encoded, segment);
    if (code != 0)
        return code;
    *ret_encoded = buffer_take(&encoded);
    return 0;
}

int forge_url_encode_path(const char *path, char **ret_encoded)
{
    CLEANUP(buffer_release) struct buffer encoded = BUFFER_INIT(FORGE_URL_MAX_BYTES / 2);
    for (const char *place = path;; place++) {
        size_t length = strcspn(place, "/");
        CLEANUP(mem_free) char *segment = mem_copy_bytes(place, length);
        CLEANUP(mem_free) char *encoded_segment = NULL;
        int code = forge_url_encode_segment(segment, &encoded_segment);
        if (code == 0 && place != path)
            code = buffer_append_text(&encoded, "/");
        if (code == 0)
            code = buffer_append_text(&encoded, encoded_segment);
        if (code != 0)
            return code;
        place += length;
        if (*place == '\0')
            break;
    }
    *ret_encoded = buffer_take(&encoded);
    return 0;
}

/* ---- pages ---- */

static bool is_same_origin(const char *left, const char *right)
{
    const char *left_path = find_path(left);
    const char *right_path = find_path(right);
    return left_path != NULL && right_path != NULL && left_path - left == right_path - right &&
           strncasecmp(left, right, (size_t)(left_path - left)) == 0;
}

/*
 * True if the parameters of one link (from after '>' to `length`) have rel="next", among others
 * perhaps.
 */
static bool is_rel_next(const char *parameters, size_t length)
{
    CLEANUP(mem_free) char *text = mem_copy_bytes(parameters, length);
    char *rest = text;
    for (char *parameter = strsep(&rest, ";"); parameter != NULL; parameter = strsep(&rest, ";")) {
        parameter += strspn(parameter, " \t");
        if (strncasecmp(parameter, "rel=", 4) != 0)
            continue;
        char *relations = parameter + 4;
        for (char *name = strsep(&relations, "\" \t"); name != NULL;
             name = strsep(&relations, "\" \t")) {
            if (strcasecmp(name, "next") == 0)
                return true;
        }
    }
    return false;
}

/* Finds the target of rel="next"; NULL if there is none. Owned. */
static char *find_next_link(const char *link)
{
    const char *place = link;
    while ((place = strchr(place, '<')) != NULL) {
        const char *target = place + 1;
        const char *target_end = strchr(target, '>');
        if (target_end == NULL)
            return NULL;
        size_t parameter_bytes = strcspn(target_end, "<");
        if (is_rel_next(target_end + 1, parameter_bytes - 1))
            return mem_copy_bytes(target, (size_t)(target_end - target));
        place = target_end;
    }
    return NULL;
}

int forge_url_next_page(const char *api_url, const char *link, char **ret_url, struct error *error)
{
    *ret_url = NULL;
    if (link == NULL || strlen(link) > LINK_MAX_BYTES)
        return 0;
    CLEANUP(mem_free) char *next = find_next_link(link);
    if (next == NULL)
        return 0;
    bool is_clean = strlen(next) < FORGE_URL_MAX_BYTES;
    for (const char *place = next; *place != '\0' && is_clean; place++)
        is_clean = isgraph((unsigned char)*place) != 0;
    if (!is_clean)
        return error_set(error, ERR_INPUT, "the link to the next page is not a URL");
    if (!is_same_origin(next, api_url)) {
        char shown[FORGE_REPOSITORY_BYTES];
        forge_answer_clean_text(next, sizeof(shown), shown);
        return error_set(
            error, ERR_INPUT,
            "the link to the next page leads from %s to another place, %s; set --forge-url "
            "to the address under which the forge knows itself",
            api_url, shown);
    }
    *ret_url = TAKE(next);
    return 0;
}

/* ---- sending ---- */

static void add_header(struct http_request *request, const char *name, const char *value)
{
    assert(request->header_count < HTTP_REQUEST_HEADERS_MAX);
    request->headers[request->header_count++] = (struct http_header){name, value};
}

int forge_request_send(struct forge_call *call, http_done_fn done, struct error *error)
{
    struct forge *forge = call->forge;
    const struct forge_operation *operation = call->operation;
    CLEANUP(forge_secret_free) char *authorization = NULL;
    int code = forge_auth_header(call, &authorization, error);
    if (code != 0)
        return code;
    struct http_request request = {
        .method = operation->method,
        .url = call->url,
        .body = call->body,
        .body_bytes = call->body != NULL ? strlen(call->body) : 0,
        .timeout_ms = REQUEST_TIMEOUT_MS,
        .body_max_bytes =
            operation->answer_max_bytes != 0 ? operation->answer_max_bytes : FORGE_ANSWER_MAX_BYTES,
    };
    add_header(&request, "Accept", ACCEPT);
    add_header(&request, "X-GitHub-Api-Version", API_VERSION);
    add_header(&request, "User-Agent", "nodag/" NODAG_VERSION);
    if (authorization != NULL)
        add_header(&request, "Authorization", authorization);
    if (call->body != NULL)
        add_header(&request, "Content-Type", "application/json");
    const struct forge_cached *cached = NULL;
    if (operation->is_conditional)
        cached = forge_cache_find(forge->cache, call->installation_id, call->url);
    if (cached != NULL)
        add_header(&request, "If-None-Match", cached->etag);
    call->is_conditional_now = cached != NULL;
    call->generation = forge_auth_credential(forge, call->installation_id)->generation;
    call->http = http_send(forge->http, &request, done, call);
    return 0;
}
