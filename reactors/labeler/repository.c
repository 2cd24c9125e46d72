/*
 * What the labeler knows of a repository: see repository.h.
 *
 *   repositories_get ─▶ entry fresh? ─ yes ─▶ tell (deferred)
 *                          │ no
 *                          ▼
 *      READ_REPOSITORY ─▶ READ_LABELS ─▶ READ_ORGANISATION ─▶ READ_OWN ─▶ tell all waiters
 *
 * While an invalid configuration stands, a timer looks again each REPOSITORY_FRESH_MS, so that a
 * mended file wakes the issues that wait.
 */
#include "reactors/labeler/repository.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>
#include <utlist.h>

#include "base/log.h"
#include "base/memory.h"

/* The steps of one look. */
enum repository_step {
    REPOSITORY_IDLE,              /* no look under way */
    REPOSITORY_READ_REPOSITORY,   /* id, name now, archived */
    REPOSITORY_READ_LABELS,       /* names of its labels */
    REPOSITORY_READ_ORGANISATION, /* OWNER/.github: .github/issue_label_bot.yaml */
    REPOSITORY_READ_OWN,          /* its own */
};

struct repository_waiter {
    struct repository_entry *entry; /* whose */
    repository_fn done;             /* whom to tell */
    void *argument;                 /* with what */
    unsigned round;                 /* of the entry, when it began to wait */
    struct repository_waiter *next; /* in entry->waiters */
    struct repository_waiter *prev; /* likewise */
};

struct repository_entry {
    struct repositories *all;          /* borrowed */
    char *name;                        /* owned; lower case: the key */
    enum repository_step step;         /* of the look under way */
    struct forge_call *call;           /* of the step; NULL between */
    bool was_read;                     /* a look has ended, well or by an invalid file */
    int64_t read_ms;                   /* when */
    bool touched;                      /* something happened that no look knows yet */
    bool invalid;                      /* the configuration was invalid at the last look */
    bool stuck;                        /* not visible, or refused: a person must act */
    char *invalid_text;                /* owned; why */
    bool organisation_hidden;          /* OWNER/.github was not visible */
    char *full_name;                   /* owned */
    int64_t id;                        /* of the repository */
    bool is_archived;                  /* see struct repository */
    char **labels;                     /* owned list of owned names */
    size_t label_count;                /* of them */
    int64_t labels_read_ms;            /* when */
    bool labels_only;                  /* the look under way reads nothing but labels */
    char *default_branch;              /* owned; pushes to others change nothing */
    struct bot_config *config;         /* owned; of the last good look */
    struct bot_config *next_config;    /* owned; of the look under way */
    struct loop_timer *recheck;        /* owned; while invalid */
    struct repository_waiter *waiters; /* list, in order of arrival */
    unsigned round;                    /* how often waiters were told */
    bool telling;                      /* they are being told: the entry must stay */
    UT_hash_handle hh;                 /* by name, in order of use */
};

struct repositories {
    struct loop *loop;                                /* borrowed */
    struct forge *forge;                              /* borrowed */
    struct metric *invalid_metric;                    /* NULL without metrics */
    struct repository_entry *entries;                 /* hash */
    void (*mended)(void *argument, const char *name); /* see repositories_on_mended */
    void *mended_argument;                            /* likewise */
};

static void repository_look(struct repository_entry *entry);

struct repositories *repositories_new(struct loop *loop, struct forge *forge,
                                      struct metrics *metrics)
{
    struct repositories *all = MEM_NEW(struct repositories);
    all->loop = loop;
    all->forge = forge;
    if (metrics != NULL)
        all->invalid_metric = metrics_single(metrics_declare(
            metrics, METRICS_GAUGE, "nodag_labeler_repositories_invalid",
            "Repositories whose issue_label_bot.yaml is invalid: their issues wait.", NULL));
    return all;
}

static void repository_free_labels(struct repository_entry *entry)
{
    for (size_t i = 0; i < entry->label_count; i++)
        mem_free(entry->labels[i]);
    mem_free(entry->labels);
    entry->labels = NULL;
    entry->label_count = 0;
}

static void repository_set_invalid(struct repository_entry *entry, bool invalid)
{
    if (entry->invalid != invalid && entry->all->invalid_metric != NULL)
        metric_add(entry->all->invalid_metric, invalid ? 1 : -1);
    entry->invalid = invalid;
}

static void repository_drop(struct repository_entry *entry)
{
    struct repository_waiter *waiter = NULL;
    struct repository_waiter *rest = NULL;
    if (entry->call != NULL)
        forge_cancel(entry->all->forge, entry->call);
    DL_FOREACH_SAFE(entry->waiters, waiter, rest)
    mem_free(waiter);
    repository_set_invalid(entry, false);
    loop_cancel_deferred(entry->all->loop, entry);
    loop_timer_free(entry->recheck);
    HASH_DEL(entry->all->entries, entry);
    repository_free_labels(entry);
    bot_config_free(entry->config);
    bot_config_free(entry->next_config);
    mem_free(entry->invalid_text);
    mem_free(entry->full_name);
    mem_free(entry->default_branch);
    mem_free(entry->name);
    mem_free(entry);
}

void repositories_free(struct repositories *all)
{
    if (all == NULL)
        return;
    struct repository_entry *entry = NULL;
    struct repository_entry *rest = NULL;
    HASH_ITER(hh, all->entries, entry, rest)
    repository_drop(entry);
    mem_free(all);
}

/* --- the end of a look --- */

static void repository_tell(struct repository_entry *entry, int code, int64_t retry_after_ms,
                            const char *text)
{
    struct repository repository = {
        .full_name = entry->full_name,
        .id = entry->id,
        .is_archived = entry->is_archived,
        .labels = (const char *const *)entry->labels,
        .label_count = entry->label_count,
        .config = entry->config,
    };
    unsigned round = entry->round++; /* who comes from here on waits for the next round */
    entry->telling = true;
    while (entry->waiters != NULL && entry->waiters->round == round) {
        struct repository_waiter *waiter = entry->waiters;
        DL_DELETE(entry->waiters, waiter);
        waiter->done(waiter->argument, code, retry_after_ms, code == 0 ? &repository : NULL, text);
        mem_free(waiter);
    }
    entry->telling = false;
}

static void repository_end(struct repository_entry *entry, int code, int64_t retry_after_ms,
                           const char *text)
{
    entry->step = REPOSITORY_IDLE;
    bot_config_free(TAKE(entry->next_config));
    repository_tell(entry, code, retry_after_ms, text);
}

static void repository_recheck(void *argument)
{
    struct repository_entry *entry = argument;
    if (entry->step == REPOSITORY_IDLE)
        repository_look(entry);
}

static void repository_set_recheck(struct repository_entry *entry, int64_t delay_ms)
{
    if (entry->recheck == NULL)
        entry->recheck = loop_timer_new(entry->all->loop, repository_recheck, entry);
    loop_timer_set(entry->recheck, delay_ms);
}

/* The configuration is there and wrong: said once for each text, and looked at again later. */
static void repository_end_invalid(struct repository_entry *entry, const char *text)
{
    if (!entry->invalid || strcmp(entry->invalid_text, text) != 0)
        LOG_ERROR(
            "a repository's issue_label_bot.yaml is invalid; its issues wait until it is mended",
            LOG_TEXT("repository", entry->full_name), LOG_TEXT("reason", text));
    mem_free(entry->invalid_text);
    entry->invalid_text = mem_copy_text(text);
    repository_set_invalid(entry, true);
    entry->was_read = true;
    entry->read_ms = loop_now_ms(entry->all->loop);
    repository_set_recheck(entry, entry->touched ? 0 : REPOSITORY_FRESH_MS);
    repository_end(entry, ERR_INPUT, 0, entry->invalid_text);
}

static void repository_end_well(struct repository_entry *entry)
{
    bool mended = entry->invalid || entry->stuck;
    repository_set_invalid(entry, false);
    entry->stuck = false;
    loop_timer_free(TAKE(entry->recheck));
    bot_config_free(entry->config);
    entry->config = TAKE(entry->next_config);
    entry->was_read = true;
    entry->read_ms = loop_now_ms(entry->all->loop);
    repository_end(entry, 0, 0, "");
    if (mended && entry->all->mended != NULL)
        entry->all->mended(entry->all->mended_argument, entry->name);
}

static void repository_end_failed(struct repository_entry *entry, const struct forge_result *result)
{
    entry->touched = true; /* what made this look necessary still does */
    entry->stuck = entry->stuck || !err_is_retriable(result->code);
    if (entry->invalid || entry->stuck)
        repository_set_recheck(entry, REPOSITORY_FRESH_MS);
    repository_end(entry, result->code, result->retry_after_ms, result->error->text);
}

/* --- the steps of a look --- */

/* True if the name (of a repository) begins with the owner of `full_name`. */
static bool repository_has_owner(const char *name, const char *full_name)
{
    size_t owner_bytes = strcspn(full_name, "/") + 1;
    return strncasecmp(name, full_name, owner_bytes) == 0;
}

/* The organisation's `.github` counts as absent; said once for each organisation. */
static void repository_note_hidden(struct repository_entry *entry)
{
    bool known = false;
    for (const struct repository_entry *other = entry->all->entries; other != NULL && !known;
         other = other->hh.next)
        known = other->organisation_hidden && repository_has_owner(other->name, entry->name);
    entry->organisation_hidden = true;
    if (!known)
        LOG_WARNING("the organisation's .github repository is not visible to nodag: counted as "
                    "absent; give the App access to it if it has an issue_label_bot.yaml",
                    LOG_TEXT("repository", entry->full_name));
}

static void repository_read_file(struct repository_entry *entry, enum repository_step step);

static void repository_on_file(void *argument, const struct forge_result *result, const char *bytes,
                               size_t byte_count)
{
    struct repository_entry *entry = argument;
    bool is_own = entry->step == REPOSITORY_READ_OWN;
    entry->call = NULL;
    if (result->code == ERR_INPUT || result->code == ERR_TOO_LARGE) {
        repository_end_invalid(entry, result->error->text); /* a folder, a link, too large … */
        return;
    }
    if (result->code == ERR_DENIED && result->is_hidden && !is_own) {
        repository_note_hidden(entry);
    } else if (result->code != 0 && result->code != ERR_NOT_FOUND) {
        repository_end_failed(entry, result);
        return;
    }
    if (result->code == 0) {
        struct error error = {0};
        const char *slash = strchr(entry->full_name, '/');
        char *source = is_own ? mem_format("%s/%s", entry->full_name, BOT_CONFIG_PATH)
                              : mem_format("%.*s/.github/%s", (int)(slash - entry->full_name),
                                           entry->full_name, BOT_CONFIG_PATH);
        int code = bot_config_merge(entry->next_config, source, bytes, byte_count, &error);
        mem_free(source);
        if (code != 0) {
            repository_end_invalid(entry, error.text);
            return;
        }
    }
    if (is_own)
        repository_end_well(entry);
    else
        repository_read_file(entry, REPOSITORY_READ_OWN);
}

static void repository_read_file(struct repository_entry *entry, enum repository_step step)
{
    char owner[FORGE_REPOSITORY_BYTES];
    size_t owner_bytes = strcspn(entry->full_name, "/");
    (void)snprintf(owner, sizeof(owner), "%.*s/.github", (int)owner_bytes, entry->full_name);
    entry->step = step;
    bool is_own = step == REPOSITORY_READ_OWN;
    entry->call = forge_get_file(entry->all->forge, is_own ? entry->full_name : owner,
                                 BOT_CONFIG_PATH, repository_on_file, entry);
}

static void repository_on_labels(void *argument, const struct forge_result *result,
                                 const char *const *names, size_t count)
{
    struct repository_entry *entry = argument;
    entry->call = NULL;
    if (result->code != 0) {
        repository_end_failed(entry, result);
        return;
    }
    repository_free_labels(entry);
    entry->labels = mem_alloc_array(count, sizeof(entry->labels[0]));
    for (size_t i = 0; i < count; i++)
        entry->labels[entry->label_count++] = mem_copy_text(names[i]);
    entry->labels_read_ms = loop_now_ms(entry->all->loop);
    if (entry->labels_only) {
        repository_end(entry, 0, 0, "");
        return;
    }
    bot_config_free(entry->next_config);
    entry->next_config = bot_config_new();
    repository_read_file(entry, REPOSITORY_READ_ORGANISATION);
}

static void repository_read_labels(struct repository_entry *entry, bool labels_only)
{
    entry->labels_only = labels_only;
    entry->step = REPOSITORY_READ_LABELS;
    entry->call =
        forge_list_labels(entry->all->forge, entry->full_name, repository_on_labels, entry);
}

static void repository_on_repository(void *argument, const struct forge_result *result,
                                     const struct forge_repository *repository)
{
    struct repository_entry *entry = argument;
    entry->call = NULL;
    if (result->code != 0) {
        repository_end_failed(entry, result);
        return;
    }
    mem_free(entry->full_name);
    entry->full_name = mem_copy_text(repository->full_name);
    entry->id = repository->id;
    entry->is_archived = repository->is_archived;
    mem_free(entry->default_branch);
    entry->default_branch = mem_copy_text(repository->default_branch);
    repository_read_labels(entry, false);
}

static void repository_look(struct repository_entry *entry)
{
    entry->touched = false;
    entry->step = REPOSITORY_READ_REPOSITORY;
    entry->call =
        forge_get_repository(entry->all->forge, entry->name, repository_on_repository, entry);
}

/* --- asking --- */

static bool repository_is_fresh(const struct repository_entry *entry)
{
    return entry->was_read && !entry->touched &&
           loop_now_ms(entry->all->loop) - entry->read_ms < REPOSITORY_FRESH_MS;
}

static void repository_tell_fresh(void *argument)
{
    struct repository_entry *entry = argument;
    if (entry->step == REPOSITORY_IDLE)
        repository_tell(entry, entry->invalid ? ERR_INPUT : 0, 0,
                        entry->invalid ? entry->invalid_text : "");
}

static struct repository_entry *repository_find(struct repositories *all, const char *name,
                                                char *lower)
{
    size_t length = strlen(name);
    for (size_t i = 0; i <= length && i < FORGE_REPOSITORY_BYTES; i++)
        lower[i] = (char)tolower((unsigned char)name[i]);
    lower[FORGE_REPOSITORY_BYTES - 1] = '\0';
    struct repository_entry *entry = NULL;
    HASH_FIND_STR(all->entries, lower, entry);
    return entry;
}

/* Drops the entry that was used longest ago and that nobody waits for. */
static void repository_make_room(struct repositories *all)
{
    if (HASH_COUNT(all->entries) < REPOSITORY_COUNT_MAX)
        return;
    for (struct repository_entry *entry = all->entries; entry != NULL; entry = entry->hh.next) {
        if (entry->step == REPOSITORY_IDLE && entry->waiters == NULL && !entry->telling) {
            repository_drop(entry);
            return;
        }
    }
}

/* Adds a waiter, and starts a look where what is known is older than it may be. */
static struct repository_waiter *repository_wait(struct repositories *all, const char *name,
                                                 int64_t labels_fresh_ms, repository_fn done,
                                                 void *argument)
{
    char lower[FORGE_REPOSITORY_BYTES];
    struct repository_entry *entry = repository_find(all, name, lower);
    if (entry == NULL) {
        repository_make_room(all);
        entry = MEM_NEW(struct repository_entry);
        entry->all = all;
        entry->name = mem_copy_text(lower);
    } else {
        HASH_DEL(all->entries, entry); /* to the end: order of use */
    }
    HASH_ADD_KEYPTR(hh, all->entries, entry->name, strlen(entry->name), entry);
    struct repository_waiter *waiter = MEM_NEW(struct repository_waiter);
    *waiter = (struct repository_waiter){
        .entry = entry, .done = done, .argument = argument, .round = entry->round};
    DL_APPEND(entry->waiters, waiter);
    if (entry->step != REPOSITORY_IDLE)
        return waiter;
    if (!repository_is_fresh(entry))
        repository_look(entry);
    else if (!entry->invalid && loop_now_ms(all->loop) - entry->labels_read_ms >= labels_fresh_ms)
        repository_read_labels(entry, true);
    else
        loop_defer(all->loop, repository_tell_fresh, entry);
    return waiter;
}

struct repository_waiter *repositories_get(struct repositories *all, const char *name,
                                           repository_fn done, void *argument)
{
    return repository_wait(all, name, REPOSITORY_FRESH_MS, done, argument);
}

struct repository_waiter *repositories_get_for_adding(struct repositories *all, const char *name,
                                                      repository_fn done, void *argument)
{
    return repository_wait(all, name, REPOSITORY_LABELS_FRESH_MS, done, argument);
}

void repositories_cancel(struct repositories *all, struct repository_waiter *waiter)
{
    (void)all;
    DL_DELETE(waiter->entry->waiters, waiter);
    mem_free(waiter);
}

static void repository_touch(struct repository_entry *entry)
{
    entry->touched = true;
    if ((entry->invalid || entry->stuck) && entry->step == REPOSITORY_IDLE)
        repository_look(entry);
}

/* True if a push to this ref (NULL: no push) can have changed what is known of the repository. */
static bool repository_is_concerned(const struct repository_entry *entry, const char *ref)
{
    static const char heads[] = "refs/heads/";
    if (ref == NULL || entry->default_branch == NULL || entry->default_branch[0] == '\0')
        return true;
    return strncmp(ref, heads, sizeof(heads) - 1) == 0 &&
           strcmp(ref + sizeof(heads) - 1, entry->default_branch) == 0;
}

void repositories_touch(struct repositories *all, const char *name, const char *ref)
{
    char lower[FORGE_REPOSITORY_BYTES];
    struct repository_entry *entry = repository_find(all, name, lower);
    const char *slash = strchr(lower, '/');
    if (slash != NULL && strcmp(slash, "/.github") == 0) {
        for (entry = all->entries; entry != NULL; entry = entry->hh.next)
            if (repository_has_owner(entry->name, lower))
                repository_touch(entry);
    } else if (entry != NULL && repository_is_concerned(entry, ref)) {
        repository_touch(entry);
    }
}

void repositories_on_mended(struct repositories *all,
                            void (*changed)(void *argument, const char *name), void *argument)
{
    all->mended = changed;
    all->mended_argument = argument;
}
