/*
 * The store of `nodag erase`: data sets, and what quotes them. See erase_command.h.
 *
 * Design: a data set is fetched into a folder of the command's own, locked and emptied at its start, so that
 * what a killed command left there does not stay; files are unlinked as soon as they are open.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/historian/erase_command.h"
#include "reactors/historian/erase_rows.h"
#include "topics/record_erased.h"
#include "topics/record_json.h"

/* Bytes of a data set that are read at a time. */
#define SLICE_BYTES ((size_t)1 << 20)

/* Name of a copy within the folder. */
#define COPY_NAME "data"

/* ---- the folder ---- */

static int folder_failed(const struct erase_command *command, const char *doing,
                         struct error *error)
{
    return error_set(error, ERR_IO, "%s: cannot %s: %s; --scratch names another folder",
                     command->scratch, doing, strerrordesc_np(errno));
}

/* Removes what a command that was killed left behind. There are only files. */
static void folder_empty(int folder_fd)
{
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        (void)unlinkat(folder_fd, entry->d_name, 0);
    (void)closedir(folder);
}

/* A folder that is another's, or not to be trusted, is never emptied. */
static int folder_leave(struct erase_command *command, int code)
{
    (void)close(command->scratch_fd);
    command->scratch_fd = -1;
    return code;
}

static int folder_open(struct erase_command *command, struct error *error)
{
    struct stat state;
    command->scratch =
        mem_format("%s/nodag-erase-%u", command->settings->scratch, (unsigned)geteuid());
    if (mkdir(command->scratch, 0700) != 0 && errno != EEXIST)
        return folder_failed(command, "be made", error);
    command->scratch_fd = open(command->scratch, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (command->scratch_fd < 0)
        return folder_failed(command, "be opened", error);
    if (fstat(command->scratch_fd, &state) != 0)
        return folder_leave(command, folder_failed(command, "be looked at", error));
    if (state.st_uid != geteuid() || (state.st_mode & 077) != 0)
        return folder_leave(
            command,
            error_set(error, ERR_DENIED,
                      "%s: others may write there; remove it, or --scratch names another folder",
                      command->scratch));
    if (flock(command->scratch_fd, LOCK_EX | LOCK_NB) != 0)
        return folder_leave(command, error_set(error, ERR_CONFLICT,
                                               "%s: another nodag erase is at work there",
                                               command->scratch));
    folder_empty(command->scratch_fd);
    return 0;
}

/* ---- calls ---- */

/* One call of the store. */
struct call {
    struct erase_command *command; /* borrowed */
    int code;                      /* what came of it */
    struct artefact artefact;      /* of it */
    struct error error;            /* of it */
    bool is_over;                  /* … */
};

static void call_over(void *argument, int code, const struct artefact *artefact,
                      const struct error *error)
{
    struct call *call = argument;
    call->code = code;
    if (code == 0)
        call->artefact = *artefact;
    else
        call->error = *error;
    call->is_over = true;
    loop_stop(call->command->loop);
}

static int call_run(struct call *call, struct error *error)
{
    while (!call->is_over)
        loop_run(call->command->loop);
    if (call->code != 0)
        *error = call->error;
    return call->code;
}

/* What is not there may be in another store: the records that name it say where it was put. */
static int check_place(const struct erase_command *command, const char *sha256, struct error *error)
{
    const char *url = command->settings->artefacts.url;
    size_t count = 0;
    size_t url_bytes = strlen(url);
    while (url_bytes > 0 && url[url_bytes - 1] == '/')
        url_bytes--;
    CLEANUP(mem_free) struct erase_record *list = erase_records_list(command->records, &count);
    for (size_t i = 0; i < count; i++) {
        const char *named = erase_record_dataset(list[i].value);
        const char *uri =
            record_artefact_text(json_object_get(list[i].value, "artefacts"), "dataset", "uri");
        if (named == NULL || strcmp(named, sha256) != 0 ||
            json_is_true(json_object_get(list[i].value, "collected")) ||
            (strncmp(uri, url, url_bytes) == 0 && uri[url_bytes] == '/'))
            continue;
        return error_set(error, ERR_USAGE,
                         "%s: its data set %.200s is not in %.100s; --artefacts says which store "
                         "the trainer has",
                         list[i].key, uri, url);
    }
    return 0;
}

static int store_open(struct erase_command *command, struct error *error)
{
    static const struct http_client_settings http = {.user_agent = "nodag/" NODAG_VERSION};
    if (command->store != NULL)
        return 0;
    int code = folder_open(command, error);
    if (code == 0 && strncmp(command->settings->artefacts.url, "file:", 5) != 0)
        command->http = http_client_new_curl(command->loop, &http);
    return code == 0 ? artefact_store_new(command->loop, command->http,
                                          &command->settings->artefacts, &command->store, error)
                     : code;
}

void erase_store_close(struct erase_command *command)
{
    artefact_store_free(command->store);
    http_client_free_curl(command->http);
    if (command->scratch_fd >= 0) {
        folder_empty(command->scratch_fd);
        (void)rmdir(command->scratch);
        (void)close(command->scratch_fd);
    }
    mem_free(command->scratch);
    mem_free(command->datasets);
}

/* ---- one data set ---- */

/* A data set being copied. */
struct copying {
    struct erase_command *command; /* borrowed */
    int to_fd;                     /* borrowed; -1: only counted */
};

static bool is_wanted(void *argument, const char *repository, int64_t number, int64_t created_ms)
{
    const struct copying *copying = argument;
    return erase_found_has_row(copying->command->found, repository, number, created_ms);
}

static int write_all(void *argument, const char *bytes, size_t byte_count, struct error *error)
{
    const struct copying *copying = argument;
    for (size_t written = 0; copying->to_fd >= 0 && written < byte_count;) {
        ssize_t count = write(copying->to_fd, bytes + written, byte_count - written);
        if (count < 0 && errno != EINTR)
            return folder_failed(copying->command, "write", error);
        written += count > 0 ? (size_t)count : 0;
    }
    return 0;
}

static int filter(struct copying *copying, int from_fd, struct erase_rows_counts *ret_counts,
                  struct error *error)
{
    static const struct erase_rows_handler handler = {.is_wanted = is_wanted, .write = write_all};
    CLEANUP(erase_rows_free) struct erase_rows *rows = erase_rows_new(&handler, copying);
    CLEANUP(mem_free) char *slice = mem_alloc(SLICE_BYTES);
    int code = 0;
    for (;;) {
        ssize_t count = read(from_fd, slice, SLICE_BYTES);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return folder_failed(copying->command, "read", error);
        if (count == 0)
            return erase_rows_end(rows, ret_counts, error);
        code = erase_rows_feed(rows, slice, (size_t)count, error);
        if (code != 0)
            return code;
    }
}

/* Fetches a data set and passes it through the filter. ERR_NOT_FOUND: the store does not have it. */
static int fetch(struct erase_command *command, const char *sha256, int to_fd,
                 struct erase_rows_counts *ret_counts, struct error *error)
{
    struct call call = {.command = command};
    struct copying copying = {.command = command, .to_fd = to_fd};
    CLEANUP(mem_free) char *path = mem_format("%s/%s", command->scratch, COPY_NAME);
    erase_show(command, "looking through data set %.12s", sha256);
    (void)artefact_get(command->store, sha256, path, call_over, &call);
    int code = call_run(&call, error);
    if (code != 0)
        return code;
    int from_fd = openat(command->scratch_fd, COPY_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    (void)unlinkat(command->scratch_fd, COPY_NAME, 0);
    if (from_fd < 0)
        return folder_failed(command, "read", error);
    code = filter(&copying, from_fd, ret_counts, error);
    (void)close(from_fd);
    return code == 0 ? 0 : error_prefix(error, code, "data set %.12s", sha256);
}

/* ---- looking ---- */

static struct erase_dataset *dataset_open(struct erase_command *command, const char *sha256)
{
    for (size_t i = 0; i < command->dataset_count; i++)
        if (strcmp(command->datasets[i].sha256, sha256) == 0)
            return &command->datasets[i];
    command->datasets = mem_resize_array(command->datasets, command->dataset_count + 1,
                                         sizeof(struct erase_dataset));
    struct erase_dataset *dataset = &command->datasets[command->dataset_count++];
    *dataset = (struct erase_dataset){.rows = 0};
    memcpy(dataset->sha256, sha256, sizeof(dataset->sha256));
    return dataset;
}

/* Counts the rows that are to go. What is gone has none, but may have a successor: see dataset_replace. */
static int dataset_look(struct erase_command *command, struct erase_dataset *dataset,
                        struct error *error)
{
    struct erase_rows_counts counts = {.kept = 0};
    if (dataset->version == erase_found_version(command->found))
        return 0;
    int code = fetch(command, dataset->sha256, -1, &counts, error);
    dataset->is_missing = code == ERR_NOT_FOUND;
    if (dataset->is_missing && erase_records_successor(command->records, dataset->sha256) == NULL)
        code = check_place(command, dataset->sha256, error);
    if (code != 0 && code != ERR_NOT_FOUND)
        return code;
    dataset->version = erase_found_version(command->found);
    dataset->rows = counts.erased;
    dataset->untold = counts.untold;
    return 0;
}

int erase_look(struct erase_command *command, struct error *error)
{
    size_t count = 0;
    int code = 0;
    for (size_t i = 0; i < command->dataset_count; i++)
        command->datasets[i].is_named = false;
    char **list = erase_records_datasets(command->records, &count);
    if (count > 0)
        code = store_open(command, error);
    for (size_t i = 0; i < count; i++) {
        if (code == 0) {
            struct erase_dataset *dataset = dataset_open(command, list[i]);
            dataset->is_named = true;
            code = dataset_look(command, dataset, error);
        }
        mem_free(list[i]);
    }
    mem_free(list);
    return code;
}

/* ---- replacing ---- */

/* Rewrites every record that names a data set; its artefact `instead` is stored. */
static int rewrite_records(struct erase_command *command, const char *sha256, const json_t *instead,
                           int64_t rows, struct error *error)
{
    size_t count = 0;
    int code = 0;
    CLEANUP(mem_free) struct erase_record *list = erase_records_list(command->records, &count);
    for (size_t i = 0; i < count && code == 0; i++) {
        const char *named = erase_record_dataset(list[i].value);
        if (named == NULL || strcmp(named, sha256) != 0)
            continue;
        erase_show(command, "rewriting the record of %s", list[i].key);
        code =
            erase_publish(command, &list[i],
                          erase_record_redact(&list[i], instead, rows, command->request_ms), error);
    }
    return code;
}

/* Stores a data set without its rows; its artefact is a new reference. */
static int store_without(struct erase_command *command, struct erase_dataset *dataset,
                         json_t **ret_artefact, struct error *error)
{
    struct call call = {.command = command};
    struct erase_rows_counts counts = {.kept = 0};
    int fd = open(command->scratch, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return folder_failed(command, "write", error);
    int code = fetch(command, dataset->sha256, fd, &counts, error);
    if (code != 0) {
        (void)close(fd);
        return code;
    }
    (void)artefact_put(command->store, fd, call_over, &call); /* takes fd */
    code = call_run(&call, error);
    if (code != 0)
        return code;
    dataset->rows = counts.erased;
    memcpy(dataset->replaced, call.artefact.sha256, sizeof(dataset->replaced));
    *ret_artefact =
        json_pack("{s:s, s:s, s:I}", "uri", call.artefact.uri, "sha256", call.artefact.sha256,
                  "size_bytes", (json_int_t)call.artefact.size_bytes);
    return 0;
}

/* A data set that is gone was erased if another record says so: a run used it that ended later. */
static int replace_missing(struct erase_command *command, const struct erase_dataset *dataset,
                           struct error *error)
{
    const json_t *successor = erase_records_successor(command->records, dataset->sha256);
    if (successor == NULL)
        return 0;
    CLEANUP(json_release) json_t *instead = json_incref((json_t *)(uintptr_t)successor);
    return rewrite_records(command, dataset->sha256, instead, 0, error);
}

static int dataset_replace(struct erase_command *command, struct erase_dataset *dataset,
                           struct error *error)
{
    CLEANUP(json_release) json_t *instead = NULL;
    if (dataset->is_missing)
        return replace_missing(command, dataset, error);
    if (dataset->rows == 0)
        return 0;
    int code = store_without(command, dataset, &instead, error);
    return code == 0
               ? rewrite_records(command, dataset->sha256, instead, (int64_t)dataset->rows, error)
               : code;
}

int erase_replace(struct erase_command *command, struct error *error)
{
    int code = 0;
    for (size_t i = 0; i < command->dataset_count && code == 0; i++)
        if (command->datasets[i].is_named)
            code = dataset_replace(command, &command->datasets[i], error);
    return code;
}

/* ---- removing ---- */

int erase_remove(struct erase_command *command, struct error *error)
{
    size_t count = 0;
    char **list = erase_records_leftovers(command->records, &count);
    int code = count > 0 ? store_open(command, error) : 0;
    for (size_t i = 0; i < count; i++) {
        if (code == 0) {
            struct call call = {.command = command};
            erase_show(command, "removing %.12s", list[i]);
            (void)artefact_remove(command->store, list[i], call_over, &call);
            code = call_run(&call, error);
            command->removed += code == 0;
        }
        mem_free(list[i]);
    }
    mem_free(list);
    return code;
}
