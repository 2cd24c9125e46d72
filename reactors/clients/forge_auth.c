/*
 * Secrets and credentials: as whom a call asks.
 * Source: GitHub, "Authenticating as a GitHub App", "Authenticating as a GitHub App installation".
 *
 *   token   one credential for everything
 *   App     own credential (a JWT for each request) ── finds ──▶ installation of a repository
 *                                                   ── makes ──▶ its token, renewed before it ends
 *
 * Secrets come from files. They are read at the start, and again when a 401 says that they are out
 * of date; if the file has not changed, asking again would be in vain and the call ends with
 * ERR_DENIED.
 */
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "reactors/clients/forge_call.h"

/* Longest token: GitHub documents 255 characters for the longest kind. */
#define TOKEN_MAX_BYTES 1024

/*
 * A token that ends within this is renewed first, so that none ends on its way or by a clock that
 * differs.
 */
#define TOKEN_MARGIN_MS 300000

/* How long a repository's installation is believed; a wrong one shows by 401, 403 or 404. */
#define PLACE_INCLUDED_MS 3600000

/*
 * How long "the App is not installed there" is believed: people add a repository and expect that
 * it works.
 */
#define PLACE_ABSENT_MS 60000

/*
 * Lookups that one call may wait for: identity, installation, token, and once more after each can
 * be refused.
 */
#define LOOKUPS_MAX 8

/* Longest key of the map of installations: a 64-bit number. */
#define INSTALLATION_KEY_BYTES 24

/* Wipes a secret from a buffer when its scope is left. */
static void secret_buffer_cleanup(struct buffer *buffer)
{
    if (buffer->data != NULL)
        OPENSSL_cleanse(buffer->data, buffer->capacity_bytes);
    buffer_release(buffer);
}

/* ---- secret files ---- */

static int read_token(const char *path, char **ret_token, struct error *error)
{
    __attribute__((cleanup(secret_buffer_cleanup))) struct buffer text =
        BUFFER_INIT(TOKEN_MAX_BYTES);
    int code = file_read_secret(path, &text, error);
    if (code != 0)
        return code;
    for (size_t i = 0; i < text.size_bytes; i++) {
        if (!isgraph((unsigned char)text.data[i]))
            return error_set(
                error, ERR_INPUT,
                "%s does not hold a token alone: there is a space, a line end or another "
                "character that tokens do not have at byte %zu",
                path, i + 1);
    }
    *ret_token = buffer_take(&text);
    return 0;
}

int forge_auth_load(struct forge *forge, struct error *error)
{
    forge->own.expires_ms = INT64_MAX;
    switch (forge->mode) {
    case FORGE_MODE_TOKEN:
        return read_token(forge->token_file, &forge->own.token, error);
    case FORGE_MODE_APP:
        return forge_key_read(forge->app_key_file, &forge->key, error);
    case FORGE_MODE_NONE:
        break;
    }
    return 0;
}

/* Reads the token again; true if it is another one now. */
static bool replace_token(struct forge *forge)
{
    CLEANUP(forge_secret_free) char *token = NULL;
    int code = read_token(forge->token_file, &token, NULL);
    if (code != 0)
        return false;
    size_t token_bytes = strlen(token);
    if (token_bytes == strlen(forge->own.token) &&
        CRYPTO_memcmp(token, forge->own.token, token_bytes) == 0)
        return false;
    forge_secret_free(forge->own.token);
    forge->own.token = TAKE(token);
    forge->own.generation++;
    return true;
}

/* Reads the App's key again; true if it is another one now. */
static bool replace_key(struct forge *forge)
{
    CLEANUP(forge_key_free) struct forge_key *key = NULL;
    int code = forge_key_read(forge->app_key_file, &key, NULL);
    if (code != 0 || forge_key_equal(key, forge->key))
        return false;
    forge_key_free(forge->key);
    forge->key = TAKE(key);
    forge->own.generation++;
    return true;
}

bool forge_auth_refresh(struct forge_call *call)
{
    struct forge *forge = call->forge;
    struct forge_credential *credential = forge_auth_credential(forge, call->installation_id);
    if (credential == NULL || credential->generation != call->generation)
        return true;
    if (call->installation_id != 0) {
        forge_secret_free(TAKE(credential->token));
        credential->generation++;
        return true;
    }
    switch (forge->mode) {
    case FORGE_MODE_TOKEN:
        return replace_token(forge);
    case FORGE_MODE_APP:
        return replace_key(forge);
    case FORGE_MODE_NONE:
        break;
    }
    return false;
}

/* ---- credentials ---- */

void forge_auth_credential_free(void *argument)
{
    struct forge_credential *credential = argument;
    forge_secret_free(credential->token);
    free(credential);
}

static void write_installation_key(char key[INSTALLATION_KEY_BYTES], int64_t installation_id)
{
    (void)snprintf(key, INSTALLATION_KEY_BYTES, "%" PRId64, installation_id);
}

static struct metric *make_remaining_metric(struct forge *forge, const char *name)
{
    if (forge->metrics.remaining == NULL)
        return NULL;
    return metrics_series(forge->metrics.remaining, (const char *const[]){name});
}

struct forge_credential *forge_auth_credential(struct forge *forge, int64_t installation_id)
{
    static const char *const names[] = {
        [FORGE_MODE_NONE] = "none",
        [FORGE_MODE_TOKEN] = "token",
        [FORGE_MODE_APP] = "app",
    };
    if (installation_id == 0) {
        if (forge->own.remaining == NULL)
            forge->own.remaining = make_remaining_metric(forge, names[forge->mode]);
        return &forge->own;
    }
    char key[INSTALLATION_KEY_BYTES];
    write_installation_key(key, installation_id);
    return forge_map_find(forge->installations, key);
}

struct forge_credential *forge_auth_installation(struct forge *forge, int64_t installation_id)
{
    assert(installation_id != 0);
    struct forge_credential *credential = forge_auth_credential(forge, installation_id);
    if (credential != NULL)
        return credential;
    char key[INSTALLATION_KEY_BYTES];
    write_installation_key(key, installation_id);
    credential = MEM_NEW(struct forge_credential);
    credential->remaining = make_remaining_metric(forge, key);
    forge_map_put(forge->installations, key, credential);
    return credential;
}

int forge_auth_header(struct forge_call *call, char **ret_value, struct error *error)
{
    struct forge *forge = call->forge;
    const struct forge_credential *credential = forge_auth_credential(forge, call->installation_id);
    assert(credential != NULL);
    CLEANUP(forge_secret_free) char *jwt = NULL;
    const char *token = credential->token;
    if (call->installation_id == 0 && forge->mode == FORGE_MODE_APP) {
        int code =
            forge_jwt_sign(forge->key, forge->app_id, loop_wall_ms(forge->loop), &jwt, error);
        if (code != 0)
            return code;
        token = jwt;
    }
    *ret_value = token == NULL ? NULL : mem_format("Bearer %s", token);
    return 0;
}

/* ---- repositories ---- */

/* GitHub does not tell upper from lower case in names. */
static void write_place_key(char key[FORGE_REPOSITORY_BYTES], const char *repository)
{
    size_t i = 0;
    for (; repository[i] != '\0' && i + 1 < FORGE_REPOSITORY_BYTES; i++)
        key[i] = (char)tolower((unsigned char)repository[i]);
    key[i] = '\0';
}

struct forge_place *forge_auth_place(struct forge *forge, const char *repository)
{
    char key[FORGE_REPOSITORY_BYTES];
    write_place_key(key, repository);
    return forge_map_find(forge->places, key);
}

void forge_auth_set_place(struct forge *forge, const char *repository, int64_t installation_id,
                          bool is_visible)
{
    char key[FORGE_REPOSITORY_BYTES];
    write_place_key(key, repository);
    struct forge_place *place = MEM_NEW(struct forge_place);
    place->installation_id = installation_id;
    place->is_visible = is_visible;
    place->checked_ms = loop_now_ms(forge->loop);
    forge_map_put(forge->places, key, place);
}

/* ---- what a call needs ---- */

static enum forge_progress prepare_identity(struct forge_call *call)
{
    if (call->forge->login != NULL)
        return FORGE_READY;
    if (call->forge->mode == FORGE_MODE_NONE) {
        (void)forge_call_fail(
            call, ERR_DENIED,
            "without a token or an App nodag has no login; set --forge-token-file, "
            "--forge-app-id with --forge-app-key-file, or --forge-login");
        return FORGE_FAILED;
    }
    forge_lookup_identity(call);
    return FORGE_WAITS;
}

static enum forge_progress fail_outside(struct forge_call *call)
{
    int code = call->operation->hidden_is_absent ? ERR_NOT_FOUND : ERR_DENIED;
    (void)forge_call_fail(call, code,
                          "the GitHub App %s is not installed for this repository; an owner can "
                          "add it on the App's installation page",
                          call->forge->app_id);
    call->outcome.is_hidden = code == ERR_DENIED;
    return FORGE_FAILED;
}

static enum forge_progress prepare_installation(struct forge_call *call)
{
    struct forge *forge = call->forge;
    int64_t now_ms = loop_now_ms(forge->loop);
    const struct forge_place *place = forge_auth_place(forge, call->repository);
    int64_t believed_ms = place != NULL && place->is_visible ? PLACE_INCLUDED_MS : PLACE_ABSENT_MS;
    if (place == NULL || now_ms - place->checked_ms >= believed_ms) {
        forge_lookup_installation(call);
        return FORGE_WAITS;
    }
    if (!place->is_visible)
        return fail_outside(call);
    int64_t installation_id = place->installation_id;
    const struct forge_credential *credential = forge_auth_installation(forge, installation_id);
    bool is_fresh = credential->expires_ms - now_ms > TOKEN_MARGIN_MS;
    if (credential->token == NULL || (!is_fresh && !forge_lookup_was_token(call))) {
        forge_lookup_token(call, installation_id);
        return FORGE_WAITS;
    }
    call->installation_id = installation_id;
    return FORGE_READY;
}

enum forge_progress forge_auth_prepare(struct forge_call *call)
{
    if (call->lookup_count > LOOKUPS_MAX) {
        (void)forge_call_fail(
            call, ERR_UNAVAILABLE,
            "the forge keeps giving tokens or installations that it then refuses");
        return FORGE_FAILED;
    }
    if (call->operation->needs_identity) {
        enum forge_progress progress = prepare_identity(call);
        if (progress != FORGE_READY)
            return progress;
    }
    if (call->operation->scope == FORGE_SCOPE_REPOSITORY && call->forge->mode == FORGE_MODE_APP)
        return prepare_installation(call);
    call->installation_id = 0;
    return FORGE_READY;
}
