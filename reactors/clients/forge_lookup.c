/*
 * Lookups: calls that other calls wait for, each at most once at a time.
 * Source: GitHub REST API, "REST API endpoints for GitHub Apps" (/app, /repos/…/installation,
 * /app/installations/…/access_tokens), "… for users" (/user), "… for repositories".
 *
 *   identity      who are we: the App's slug with "[bot]", or the token's login
 *   installation  which installation includes a repository: 200 it does, 404 none does
 *   token         a token of an installation; 404: it is gone, so what is known of its repositories
 *                 is forgotten
 *   visibility    token: whether the repository can be read. App: the installation lookup answers
 *                 that too
 *
 * The answer goes into the forge (login, places, credentials), and who waited looks there again.
 */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/clients/forge_call.h"

/*
 * How old what is known about a repository may be to judge a 404 by it: five minutes after a
 * repository was taken out of an installation, its 404 may still pass for "no such file".
 */
#define PROOF_VISIBLE_MS 300000

/* Likewise for "not visible", which sends people looking for a reason. */
#define PROOF_HIDDEN_MS 60000

/* Status of "none". */
#define STATUS_NOT_FOUND 404

/* Longest installation token. */
#define INSTALLATION_TOKEN_MAX_BYTES 1024

/* ---- what the answers say ---- */

static int read_identity(struct forge_call *lookup, int status, const json_t *body,
                         struct error *error)
{
    (void)status;
    struct forge *forge = lookup->forge;
    bool is_app = forge->mode == FORGE_MODE_APP;
    const char *name = NULL;
    int code = json_get_text(body, is_app ? "slug" : "login", &name, error);
    if (code != 0)
        return ERR_INPUT;
    free(forge->login);
    forge->login = is_app ? mem_format("%s[bot]", name) : mem_copy_text(name);
    return 0;
}

static int read_installation(struct forge_call *lookup, int status, const json_t *body,
                             struct error *error)
{
    if (status == STATUS_NOT_FOUND) {
        forge_auth_set_place(lookup->forge, lookup->repository, 0, false);
        return 0;
    }
    int64_t id = 0;
    int code = json_get_int(body, "id", &id, error);
    if (code != 0 || id <= 0)
        return error_set(error, ERR_INPUT, "the installation has no id");
    forge_auth_set_place(lookup->forge, lookup->repository, id, true);
    return 0;
}

static bool is_place_of(const void *value, const void *argument)
{
    const struct forge_place *place = value;
    const int64_t *installation_id = argument;
    return place->installation_id == *installation_id;
}

/* A token becomes a header's value: nothing but visible ASCII may be in it. */
static bool token_is_usable(const char *token)
{
    size_t length = strlen(token);
    if (length == 0 || length > INSTALLATION_TOKEN_MAX_BYTES)
        return false;
    for (const char *place = token; *place != '\0'; place++) {
        if (*place < 0x21 || *place > 0x7e)
            return false;
    }
    return true;
}

static int read_token(struct forge_call *lookup, int status, const json_t *body,
                      struct error *error)
{
    struct forge *forge = lookup->forge;
    if (status == STATUS_NOT_FOUND) {
        forge_map_remove_if(forge->places, is_place_of, &lookup->subject_id);
        return 0;
    }
    const char *token = NULL;
    const char *expires_at = NULL;
    int64_t expires_wall_ms = 0;
    int code = json_get_text(body, "token", &token, error);
    if (code == 0)
        code = json_get_text(body, "expires_at", &expires_at, error);
    if (code != 0)
        return ERR_INPUT;
    if (!token_is_usable(token))
        return error_set(error, ERR_INPUT, "the token has characters that tokens do not have");
    code = time_from_text(expires_at, strlen(expires_at), &expires_wall_ms);
    if (code != 0)
        return error_set(error, ERR_INPUT, "expires_at is not a time");
    struct forge_credential *credential = forge_auth_installation(forge, lookup->subject_id);
    forge_secret_free(credential->token);
    credential->token = mem_copy_text(token);
    credential->expires_ms = loop_now_ms(forge->loop) + expires_wall_ms - lookup->answer_time_ms;
    credential->generation++;
    return 0;
}

static int read_visibility(struct forge_call *lookup, int status, const json_t *body,
                           struct error *error)
{
    (void)body;
    (void)error;
    forge_auth_set_place(lookup->forge, lookup->repository, 0, status != STATUS_NOT_FOUND);
    return 0;
}

static const struct forge_operation identity_lookup = {
    .name = "learn which login is nodag's own",
    .method = "GET",
    .read = read_identity,
};

static const struct forge_operation installation_lookup = {
    .name = "find the App's installation for",
    .method = "GET",
    .absent_is_answer = true,
    .read = read_installation,
};

static const struct forge_operation token_lookup = {
    .name = "get a token of",
    .method = "POST",
    .absent_is_answer = true,
    .read = read_token,
};

static const struct forge_operation visibility_lookup = {
    .name = "learn whether one can see",
    .method = "GET",
    .absent_is_answer = true,
    .is_conditional = true,
    .read = read_visibility,
};

/* ---- one at a time ---- */

static bool is_same_place(const char *left, const char *right)
{
    return left == right || (left != NULL && right != NULL && strcasecmp(left, right) == 0);
}

/*
 * Makes the call wait for such a lookup that is under way, else for a new one; `url_taken` is the
 * new one's.
 */
static void join_lookup(struct forge_call *call, const struct forge_operation *operation,
                        const char *repository, int64_t subject_id, char *url_taken)
{
    struct forge *forge = call->forge;
    for (struct forge_call *other = forge->calls; other != NULL; other = other->next) {
        if (other->operation == operation && other->subject_id == subject_id &&
            is_same_place(other->repository, repository)) {
            free(url_taken);
            forge_call_wait(call, other);
            return;
        }
    }
    struct forge_call *lookup = forge_call_new(forge, operation, repository, NULL);
    lookup->subject_id = subject_id;
    lookup->url = url_taken;
    if (repository != NULL)
        forge_call_set_what(lookup, mem_copy_text(repository));
    else if (subject_id != 0)
        forge_call_set_what(lookup, mem_format("installation %" PRId64, subject_id));
    forge_call_wait(call, forge_call_start(lookup));
}

void forge_lookup_identity(struct forge_call *call)
{
    const char *path = call->forge->mode == FORGE_MODE_APP ? "/app" : "/user";
    join_lookup(call, &identity_lookup, NULL, 0, mem_format("%s%s", call->forge->api_url, path));
}

void forge_lookup_installation(struct forge_call *call)
{
    join_lookup(call, &installation_lookup, call->repository, 0,
                mem_format("%s/repos/%s/installation", call->forge->api_url, call->repository));
}

void forge_lookup_token(struct forge_call *call, int64_t installation_id)
{
    join_lookup(call, &token_lookup, NULL, installation_id,
                mem_format("%s/app/installations/%" PRId64 "/access_tokens", call->forge->api_url,
                           installation_id));
}

bool forge_lookup_was_token(const struct forge_call *call)
{
    return call->last_lookup == &token_lookup;
}

void forge_lookup_visibility(struct forge_call *call)
{
    struct forge *forge = call->forge;
    const struct forge_place *place = forge_auth_place(forge, call->repository);
    if (place != NULL) {
        int64_t age_ms = loop_now_ms(forge->loop) - place->checked_ms;
        if (age_ms < (place->is_visible ? PROOF_VISIBLE_MS : PROOF_HIDDEN_MS))
            return;
    }
    if (forge->mode == FORGE_MODE_APP)
        forge_lookup_installation(call);
    else
        join_lookup(call, &visibility_lookup, call->repository, 0,
                    mem_format("%s/repos/%s", forge->api_url, call->repository));
}
