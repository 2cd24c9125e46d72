/*
 * When a repository is looked at, and what follows a failure: see repository.h. What a look does is in
 * repository_look.c.
 *
 * Pauses: after a look that worked the interval, give or take a tenth; after the n-th failure in a row the
 * interval doubled n times, give or take a quarter, up to backoff_max_ms; after a size limit
 * REPOSITORY_OVERSIZED_MS. A wake shortens a pause, but not below wake_interval_ms from the last beginning,
 * doubled with each failure, too.
 */
#include "ingest/git/repository.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/git_command.h"
#include "base/git_mirror.h"
#include "base/log.h"
#include "base/memory.h"
#include "ingest/git/repository_private.h"

/* Failures that double a pause: more would overflow, and the maximum is reached long before. */
#define DOUBLINGS_MAX 20

/* Standard error of a worker that is kept. */
#define WORK_ERRORS_MAX_BYTES 8192

/* Most heads of a round and of a batch at first. */
#define ROUND_MAX GIT_FETCH_MAX

static void on_timer(void *argument);

/* ---- states ---- */

void repository_set_state(struct repository *repository, enum repository_state state)
{
    static const char *const texts[] = {
#define STATE_TEXT(name, text) [name] = (text),
        REPOSITORY_STATE_TABLE(STATE_TEXT)
#undef STATE_TEXT
    };
    assert(repository->state != state || state == REPOSITORY_DESCRIBING ||
           state == REPOSITORY_FETCHING || state == REPOSITORY_READING);
    LOG_DEBUG("state", LOG_TEXT("repository", repository->config->url.text),
              LOG_TEXT("from", texts[repository->state]), LOG_TEXT("to", texts[state]));
    repository->state = state;
}

static int64_t doubled(int64_t ms, unsigned times, int64_t most_ms)
{
    for (unsigned i = 0; i < times && i < DOUBLINGS_MAX && ms < most_ms; i++)
        ms *= 2;
    return ms < most_ms ? ms : most_ms;
}

/* `ms` give or take a `share`-th of it, by chance. */
static int64_t jittered(const struct repository *repository, int64_t ms, int64_t share)
{
    uint64_t spread = (uint64_t)(2 * (ms / share) + 1);
    return ms - ms / share + (int64_t)loop_random_below(repository->world->loop, spread);
}

static int64_t pause_ms(const struct repository *repository)
{
    int64_t interval_ms = repository->config->interval_ms;
    int64_t most_ms = repository->world->settings.backoff_max_ms;
    if (repository->failures == 0)
        return jittered(repository, interval_ms, 10);
    if (repository->is_oversized)
        return jittered(repository, REPOSITORY_OVERSIZED_MS, 4);
    return jittered(
        repository,
        doubled(interval_ms, repository->failures, most_ms > interval_ms ? most_ms : interval_ms),
        4);
}

static void set_timer(struct repository *repository, int64_t delay_ms, const char *source)
{
    if (repository->is_stopped)
        return;
    repository->source = source;
    loop_timer_set(repository->timer, delay_ms);
}

void repository_wake(struct repository *repository, int64_t delay_ms, const char *source)
{
    if (repository->is_stopped)
        return;
    if (repository->state != REPOSITORY_IDLE) {
        repository->wake_again = true;
        repository->source = source;
        return;
    }
    const struct repository_settings *settings = &repository->world->settings;
    if (repository->is_oversized)
        return;
    int64_t now_ms = loop_now_ms(repository->world->loop);
    int64_t apart_ms =
        doubled(settings->wake_interval_ms, repository->failures, settings->backoff_max_ms);
    int64_t soonest_ms = repository->began_ms + apart_ms - now_ms;
    set_timer(repository, delay_ms > soonest_ms ? delay_ms : soonest_ms, source);
}

/* ---- children ---- */

void repository_access(const struct repository *repository, struct git_access *ret_access)
{
    *ret_access = (struct git_access){
        .url = repository->config->url,
        .credentials_file = repository->config->credentials_file,
        .known_hosts_file = repository->config->known_hosts_file,
        .ca_file = repository->config->ca_file,
        .helper_program = repository->world->settings.program,
    };
}

static void run(struct repository *repository, enum repository_state state,
                const struct child_spec *spec, child_done_fn done)
{
    assert(repository->child == NULL);
    repository_set_state(repository, state);
    repository->pool =
        repository->failures == 0 ? repository->world->children : repository->world->suspects;
    repository->child = child_start(repository->pool, spec, done, repository);
}

void repository_run_git(struct repository *repository, enum repository_state state,
                        struct git_command *command, child_done_fn done)
{
    run(repository, state, &command->spec, done);
    git_command_release(command);
}

void repository_run_work(struct repository *repository, enum repository_state state, char *request,
                         size_t request_bytes, child_done_fn done)
{
    const struct repository_settings *settings = &repository->world->settings;
    const char *const argv[] = {settings->program, WORK_ARGUMENT, NULL};
    static const char *const env[] = {"LC_ALL=C", "PATH=/usr/bin:/bin", NULL};
    const struct child_spec spec = {
        .argv = argv,
        .env = env,
        .folder = settings->state,
        .input = request,
        .input_bytes = request_bytes,
        .deadline_ms = settings->work_deadline_ms,
        .output_max_bytes = WORK_ANSWER_MAX_BYTES,
        .errors_max_bytes = WORK_ERRORS_MAX_BYTES,
    };
    run(repository, state, &spec, done);
    free(request);
}

/* ---- the mirror ---- */

void repository_note_bytes(struct repository *repository, int64_t bytes)
{
    if (bytes >= 0)
        git_metrics_set(repository->world->metrics->mirror_bytes, repository->config->url.text,
                        (double)bytes);
}

static void begin_look(struct repository *repository);

static void on_discarded(void *argument, const struct child_result *result)
{
    struct repository *repository = CAST_CHECKED(struct repository, argument, REPOSITORY_MAGIC);
    struct error error = {.text = ""};
    CLEANUP(work_answer_release) struct work_answer answer = {.count = 0};
    repository->child = NULL;
    int code = work_read_answer(result, 0, &answer, &error);
    if (code != 0)
        repository_fail(repository, code == ERR_CORRUPT ? ERR_IO : code, &error);
    else
        begin_look(repository);
}

/* Throws the mirror away and looks again at once. */
static void renew(struct repository *repository)
{
    size_t bytes = 0;
    repository->is_renewed = true;
    repository->is_prepared = false;
    char *request = work_write_discard(repository->mirror, &bytes);
    repository_run_work(repository, REPOSITORY_DISCARDING, request, bytes, on_discarded);
}

static void on_prepared(void *argument, const struct child_result *result)
{
    struct repository *repository = CAST_CHECKED(struct repository, argument, REPOSITORY_MAGIC);
    struct error error = {.text = ""};
    CLEANUP(work_answer_release) struct work_answer answer = {.count = 0};
    repository->child = NULL;
    int code = work_read_answer(result, 0, &answer, &error);
    if (code != 0) {
        repository_fail(repository, code, &error);
        return;
    }
    int64_t most = repository->world->settings.mirror_max_bytes;
    repository->is_prepared = true;
    repository_note_bytes(repository, answer.bytes);
    if (answer.bytes <= most) {
        repository_list(repository);
        return;
    }
    code = error_set(&error, ERR_TOO_LARGE,
                     "the mirror has %lld bytes, more than --mirror-max; raise that",
                     (long long)answer.bytes);
    repository_fail(repository, code, &error);
}

static void begin_look(struct repository *repository)
{
    repository_forget_plan(repository);
    repository->batch_max = WORK_MOVES_MAX;
    if (repository->is_prepared) {
        repository_list(repository);
        return;
    }
    struct git_access access;
    repository_access(repository, &access);
    CLEANUP(mem_free) char *config = git_config_text(&access);
    size_t bytes = 0;
    char *request = work_write_prepare(repository->mirror, config, &bytes);
    repository_run_work(repository, REPOSITORY_PREPARING, request, bytes, on_prepared);
}

static void on_timer(void *argument)
{
    struct repository *repository = CAST_CHECKED(struct repository, argument, REPOSITORY_MAGIC);
    assert(repository->state == REPOSITORY_IDLE && !repository->is_stopped);
    if (!heads_loaded(repository->world->heads)) {
        set_timer(repository, HEADS_RETRY_MS, repository->source);
        return;
    }
    git_metrics_count(repository->world->metrics->wakes, repository->source);
    repository->began_ms = loop_now_ms(repository->world->loop);
    repository->wake_again = false;
    repository->is_oversized = false;
    begin_look(repository);
}

/* ---- the end of a look ---- */

/* Back to rest. */
static void finish(struct repository *repository, int64_t delay_ms)
{
    struct repository_world *world = repository->world;
    int64_t took_ms = loop_now_ms(world->loop) - repository->began_ms;
    const char *source = repository->source;
    bool wake_again = repository->wake_again;
    metric_observe(world->metrics->look_seconds, (double)took_ms / 1000.0);
    git_metrics_set(world->metrics->failing, repository->config->url.text, repository->failures);
    repository_forget_plan(repository);
    repository_set_state(repository, REPOSITORY_IDLE);
    set_timer(repository, delay_ms, "timer");
    repository->wake_again = false;
    if (wake_again)
        repository_wake(repository, 0, source);
    if (world->reader != NULL)
        world->reader->looked(world->reader_argument, repository->config->url.text);
}

void repository_succeed(struct repository *repository)
{
    struct git_metrics *metrics = repository->world->metrics;
    const char *url = repository->config->url.text;
    if (repository->failures > 0)
        LOG_INFO("the repository can be read again", LOG_TEXT("repository", url),
                 LOG_INT("failures", repository->failures));
    if (repository->published > 0)
        LOG_INFO("pushes published", LOG_TEXT("repository", url),
                 LOG_INT("count", repository->published));
    repository->failures = 0;
    repository->is_renewed = false;
    git_metrics_count(metrics->looks, repository->published > 0 ? "moved" : "unmoved");
    git_metrics_set(metrics->last_success, url,
                    (double)loop_wall_ms(repository->world->loop) / 1000.0);
    finish(repository, pause_ms(repository));
}

void repository_fail(struct repository *repository, int code, const struct error *error)
{
    struct git_metrics *metrics = repository->world->metrics;
    const char *url = repository->config->url.text;
    if (code == ERR_CORRUPT && !repository->is_renewed) {
        LOG_WARNING("damaged objects; the mirror is made anew", LOG_TEXT("repository", url),
                    LOG_TEXT("detail", error->text));
        renew(repository);
        return;
    }
    bool was_publishing = repository->state == REPOSITORY_PUBLISHING;
    repository->failures++;
    repository->is_oversized = code == ERR_TOO_LARGE;
    repository->is_prepared = false; /* whatever it was may have left something behind */
    git_metrics_count(metrics->looks, "failed");
    git_metrics_failure(metrics, url, code);
    int64_t delay_ms = pause_ms(repository);
    if (was_publishing)
        delay_ms = jittered(
            repository, doubled(REPOSITORY_PUBLISH_AGAIN_MS, repository->failures, delay_ms), 4);
    LOG_WARNING("a look at the repository failed", LOG_TEXT("repository", url),
                LOG_TEXT("error", err_name(code)), LOG_TEXT("detail", error->text),
                LOG_INT("failures", repository->failures),
                LOG_INT("published", repository->published), LOG_INT("again_ms", delay_ms));
    finish(repository, delay_ms);
}

/* ---- making ---- */

struct repository *repository_new(struct repository_world *world,
                                  const struct repository_config *config)
{
    struct repository *repository = MEM_NEW(struct repository);
    repository->magic = REPOSITORY_MAGIC;
    repository->world = world;
    repository->config = repository_config_copy(config);
    repository->mirror = git_mirror_folder(world->settings.state, &config->url);
    repository->timer = loop_timer_new(world->loop, on_timer, repository);
    repository->source = "timer";
    repository->began_ms = loop_now_ms(world->loop) - CONFIG_INTERVAL_MOST_MS;
    repository->round_max = ROUND_MAX;
    git_metrics_set(world->metrics->failing, config->url.text, 0);
    return repository;
}

void repository_stop(struct repository *repository)
{
    repository->is_stopped = true;
    loop_timer_clear(repository->timer);
    if (repository->child != NULL)
        child_abandon(repository->pool, TAKE(repository->child));
}

void repository_free(struct repository *repository)
{
    if (repository == NULL)
        return;
    repository_stop(repository);
    repository_detach_publications(repository);
    repository_forget_plan(repository);
    loop_timer_free(repository->timer);
    repository_config_free(repository->config);
    free(repository->mirror);
    repository->magic = 0;
    free(repository);
}

void repository_configure(struct repository *repository, const struct repository_config *config)
{
    if (repository_config_equal(repository->config, config))
        return;
    assert(strcmp(repository->config->url.text, config->url.text) == 0);
    repository_config_free(repository->config);
    repository->config = repository_config_copy(config);
    repository->is_prepared = false; /* its configuration file may differ */
    repository->is_oversized = false;
    repository_wake(repository, 0, "timer");
}

const struct repository_config *repository_config_of(const struct repository *repository)
{
    return repository->config;
}

const char *repository_mirror(const struct repository *repository)
{
    return repository->mirror;
}
