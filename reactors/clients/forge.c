/*
 * The forge client: settings, life, and who we are. See forge.h for what it promises and
 * forge_call.h for how it is made.
 */
#include "reactors/clients/forge.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/clients/forge_call.h"

/*
 * Most installations whose tokens and limits are remembered; one for each organisation that uses
 * the App.
 */
#define INSTALLATIONS_MAX 1024

/* Most repositories whose installation is remembered. */
#define PLACES_MAX 4096

/* Longest App id or client id; today's have 20 characters. */
#define APP_ID_MAX_BYTES 64

/* ---- settings ---- */

static bool is_app_id(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > APP_ID_MAX_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && strchr(".-_", text[i]) == NULL)
            return false;
    }
    return true;
}

/* Finds out how the settings let us prove who we are. */
static int choose_mode(const struct forge_settings *settings, enum forge_mode *ret_mode,
                       struct error *error)
{
    bool has_app = settings->app_id != NULL || settings->app_key_file != NULL;
    if (has_app && settings->token_file != NULL)
        return error_set(
            error, ERR_USAGE,
            "--forge-token-file and --forge-app-id cannot be used together; choose the "
            "token of a machine account or a GitHub App");
    if (has_app && (settings->app_id == NULL || settings->app_key_file == NULL))
        return error_set(
            error, ERR_USAGE,
            "--forge-app-id and --forge-app-key-file belong together; both stand on the "
            "App's settings page");
    if (has_app && !is_app_id(settings->app_id))
        return error_set(error, ERR_USAGE,
                         "--forge-app-id: an App id is a number, a client id letters and digits");
    if (has_app)
        *ret_mode = FORGE_MODE_APP;
    else
        *ret_mode = settings->token_file != NULL ? FORGE_MODE_TOKEN : FORGE_MODE_NONE;
    return 0;
}

static void declare_metrics(struct forge *forge, struct metrics *metrics)
{
    static const char *const by_request[] = {"method", "status", NULL};
    static const char *const by_credential[] = {"credential", NULL};
    static const char *const by_limit[] = {"limit", NULL};
    if (metrics == NULL)
        return;
    forge->metrics = (struct forge_metrics){
        .requests =
            metrics_declare(metrics, METRICS_COUNTER, "nodag_forge_requests_total",
                            "Requests to the forge by method and class of status.", by_request),
        .remaining = metrics_declare(metrics, METRICS_GAUGE, "nodag_forge_rate_limit_remaining",
                                     "Requests left in the forge's present hour, as last told.",
                                     by_credential),
        .deferred =
            metrics_declare(metrics, METRICS_COUNTER, "nodag_forge_deferred_total",
                            "Requests not made, or refused, for the sake of a limit.", by_limit),
        .not_modified = metrics_single(metrics_declare(
            metrics, METRICS_COUNTER, "nodag_forge_not_modified_total",
            "Conditional requests answered by 304, which cost no rate limit.", NULL)),
        .writes = metrics_single(
            metrics_declare(metrics, METRICS_COUNTER, "nodag_forge_writes_total",
                            "Requests that counted against the budget of writes.", NULL)),
    };
}

/* ---- life ---- */

int forge_new(struct loop *loop, struct http_client *http, const struct forge_settings *settings,
              struct metrics *metrics, struct forge **ret_forge, struct error *error)
{
    assert(settings->api_url != NULL && settings->writes_per_hour >= 1);
    CLEANUP(forge_free) struct forge *forge = MEM_NEW(struct forge);
    forge->loop = loop;
    forge->http = http;
    int code = choose_mode(settings, &forge->mode, error);
    if (code == 0)
        code = forge_url_normalise(settings->api_url, &forge->api_url, error);
    if (code != 0)
        return code;
    forge->token_file = mem_copy_text(settings->token_file);
    forge->app_id = mem_copy_text(settings->app_id);
    forge->app_key_file = mem_copy_text(settings->app_key_file);
    forge->login = mem_copy_text(settings->login);
    code = forge_auth_load(forge, error);
    if (code != 0)
        return code;
    forge->installations = forge_map_new(INSTALLATIONS_MAX, forge_auth_credential_free);
    forge->places = forge_map_new(PLACES_MAX, free);
    forge->cache = forge_cache_new();
    forge->budget = forge_budget_new((size_t)settings->writes_per_hour);
    declare_metrics(forge, metrics);
    *ret_forge = TAKE(forge);
    return 0;
}

void forge_free(struct forge *forge)
{
    if (forge == NULL)
        return;
    while (forge->calls != NULL)
        forge_call_drop(forge->calls);
    forge_budget_free(forge->budget);
    forge_cache_free(forge->cache);
    forge_map_free(forge->places);
    forge_map_free(forge->installations);
    forge_secret_free(forge->own.token);
    forge_key_free(forge->key);
    free(forge->login);
    free(forge->app_key_file);
    free(forge->app_id);
    free(forge->token_file);
    free(forge->api_url);
    free(forge);
}

void forge_cancel(struct forge *forge, struct forge_call *call)
{
    assert(call->forge == forge);
    (void)forge;
    forge_call_drop(call);
}

/* ---- who we are ---- */

static void deliver_identity(struct forge_call *call, const struct forge_result *result)
{
    call->done.text(call->argument, result, result->code == 0 ? call->forge->login : NULL);
}

static const struct forge_operation identity_operation = {
    .name = "learn nodag's own login",
    .needs_identity = true,
    .deliver = deliver_identity,
};

struct forge_call *forge_get_identity(struct forge *forge, forge_text_fn done, void *argument)
{
    struct forge_call *call = forge_call_new(forge, &identity_operation, NULL, argument);
    call->done.text = done;
    return forge_call_start(call);
}
