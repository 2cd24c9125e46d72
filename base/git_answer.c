/*
 * What git says: see git_answer.h.
 *
 * The messages below are git 2.39's; another version's other words end as ERR_IO, which is retried like the rest.
 */
#include "base/git_answer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

/* How much of git's words is shown: the last ones, which say what was fatal. */
#define WORDS_MAX_BYTES 360

/* ---- names ---- */

bool git_id_is_valid(const char *id, size_t id_bytes)
{
    if (id_bytes != 40 && id_bytes != 64)
        return false;
    for (size_t i = 0; i < id_bytes; i++)
        if (!((id[i] >= '0' && id[i] <= '9') || (id[i] >= 'a' && id[i] <= 'f')))
            return false;
    return true;
}

/* One component of a name, between slashes. */
static bool component_is_valid(const char *text, size_t bytes)
{
    static const char lock[] = ".lock";
    size_t lock_bytes = sizeof(lock) - 1;
    if (bytes == 0 || text[0] == '.')
        return false;
    return bytes < lock_bytes || memcmp(text + bytes - lock_bytes, lock, lock_bytes) != 0;
}

bool git_ref_is_valid(const char *ref, size_t ref_bytes)
{
    if (ref_bytes >= GIT_REF_BYTES || ref_bytes <= 10 || !utf8_is_valid(ref, ref_bytes))
        return false;
    if (memcmp(ref, "refs/heads/", 11) != 0 && memcmp(ref, "refs/tags/", 10) != 0)
        return false;
    size_t start = 0;
    for (size_t i = 0; i <= ref_bytes; i++) {
        if (i == ref_bytes || ref[i] == '/') {
            if (!component_is_valid(ref + start, i - start))
                return false;
            start = i + 1;
            continue;
        }
        unsigned char byte = (unsigned char)ref[i];
        bool is_control = byte == 0xc2 && (unsigned char)ref[i + 1] < 0xa0; /* U+0080–U+009F */
        if (byte <= ' ' || byte == 0x7f || is_control || strchr("~^:?*[\\", byte) != NULL)
            return false;
        if (i > 0 && ((byte == '.' && ref[i - 1] == '.') || (byte == '{' && ref[i - 1] == '@')))
            return false;
    }
    return ref[ref_bytes - 1] != '.';
}

/* ---- the list ---- */

void git_list_release(struct git_list *list)
{
    free(list->items);
    free(list->text);
    *list = (struct git_list){.items = NULL};
}

static int compare_heads(const void *left, const void *right)
{
    return strcmp(((const struct git_head *)left)->ref, ((const struct git_head *)right)->ref);
}

/* Takes in one line of the list's own text; its end is a NUL already. */
static int take_line(struct git_list *list, char *line, size_t line_bytes)
{
    char *tab = memchr(line, '\t', line_bytes);
    size_t id_bytes = tab == NULL ? 0 : (size_t)(tab - line);
    if (!git_id_is_valid(line, id_bytes))
        return ERR_INPUT;
    if (!git_ref_is_valid(tab + 1, line_bytes - id_bytes - 1)) {
        list->skipped++;
        return 0;
    }
    struct git_head *head = &list->items[list->count++];
    head->ref = tab + 1;
    memcpy(head->id, line, id_bytes);
    head->id[id_bytes] = '\0';
    return 0;
}

static size_t count_lines(const char *text, size_t bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += text[i] == '\n' ? 1 : 0;
    return count;
}

int git_list_parse(const char *text, size_t text_bytes, struct git_list *ret_list,
                   struct error *error)
{
    CLEANUP(git_list_release) struct git_list list = {.items = NULL};
    size_t lines = count_lines(text, text_bytes);
    if (lines > GIT_HEADS_MAX)
        return error_set(error, ERR_TOO_LARGE, "the repository has more than %d branches and tags",
                         GIT_HEADS_MAX);
    if (text_bytes > 0 && text[text_bytes - 1] != '\n')
        return error_set(error, ERR_INPUT, "git ls-remote: the last line is cut");
    list.text = mem_copy_bytes(text, text_bytes);
    list.items = mem_alloc_array(lines + 1, sizeof(*list.items));
    size_t at = 0;
    for (size_t line = 1; line <= lines; line++) {
        size_t bytes = strcspn(list.text + at, "\n");
        if (list.text[at + bytes] != '\n' || take_line(&list, list.text + at, bytes) != 0)
            return error_set(error, ERR_INPUT, "git ls-remote: line %zu is no object and ref",
                             line);
        list.text[at + bytes] = '\0';
        at += bytes + 1;
    }
    if (list.count > 0)
        qsort(list.items, list.count, sizeof(*list.items), compare_heads);
    for (size_t i = 1; i < list.count; i++)
        if (compare_heads(&list.items[i - 1], &list.items[i]) == 0)
            return error_set(error, ERR_INPUT, "git ls-remote: a ref stands twice");
    *ret_list = list;
    list = (struct git_list){.items = NULL};
    return 0;
}

const struct git_head *git_list_find(const struct git_list *list, const char *ref)
{
    const struct git_head wanted = {.ref = ref};
    if (list->count == 0)
        return NULL;
    return bsearch(&wanted, list->items, list->count, sizeof(*list->items), compare_heads);
}

/* ---- failures ---- */

/* A message and what it means; the first that is found counts. */
static const struct {
    const char *message;
    int code;
} messages[] = {
    {"No space left on device", ERR_IO},
    {"File size limit exceeded", ERR_TOO_LARGE},
    {"died of signal 25", ERR_TOO_LARGE}, /* SIGXFSZ */
    {"couldn't find remote ref", ERR_CONFLICT},
    {"not our ref", ERR_CONFLICT},
    {"unadvertised object", ERR_CONFLICT},
    {"Unable to create '", ERR_CONFLICT},
    {"cannot lock ref", ERR_CONFLICT},
    {"unable to update local ref", ERR_CONFLICT},
    {"Host key verification failed", ERR_DENIED},
    {"Permission denied", ERR_DENIED},
    {"Authentication failed", ERR_DENIED},
    {"could not read Username", ERR_DENIED},
    {"could not read Password", ERR_DENIED},
    {"returned error: 403", ERR_DENIED},
    {"dubious ownership", ERR_DENIED},
    {"not allowed", ERR_DENIED}, /* transport 'x' not allowed */
    {"Repository not found", ERR_NOT_FOUND},
    {"does not appear to be a git repository", ERR_NOT_FOUND},
    {"does not exist", ERR_NOT_FOUND},
    {"fsck error", ERR_CORRUPT},
    {"bad object", ERR_CORRUPT},
    {"bad pack", ERR_CORRUPT},
    {"bad config", ERR_CORRUPT},
    {"not a git repository", ERR_CORRUPT}, /* the mirror: remotes say "does not appear" */
    {"did not send all necessary objects", ERR_CORRUPT},
    {"unresolved delta", ERR_CORRUPT},
    {"COLLISION", ERR_CORRUPT},
    {"corrupt", ERR_CORRUPT},
    {"inflate", ERR_CORRUPT},
    {"missing blob", ERR_CORRUPT},
    {"missing tree", ERR_CORRUPT},
    {"unable to read", ERR_CORRUPT},
    {"Could not read ", ERR_CORRUPT},
    {"Failed to traverse parents", ERR_CORRUPT},
    {"' not found", ERR_NOT_FOUND},
    {"returned error: 404", ERR_NOT_FOUND},
    {"unable to access", ERR_UNAVAILABLE},
    {"Could not resolve host", ERR_UNAVAILABLE},
    {"Connection refused", ERR_UNAVAILABLE},
    {"Connection timed out", ERR_UNAVAILABLE},
    {"Connection reset", ERR_UNAVAILABLE},
    {"Connection closed", ERR_UNAVAILABLE},
    {"early EOF", ERR_UNAVAILABLE},
    {"RPC failed", ERR_UNAVAILABLE},
    {"hung up", ERR_UNAVAILABLE},
    {"unexpected disconnect", ERR_UNAVAILABLE},
    {"expected flush", ERR_UNAVAILABLE},
};

static int class_of(const char *words)
{
    for (size_t i = 0; i < ARRAY_COUNT(messages); i++)
        if (strstr(words, messages[i].message) != NULL)
            return messages[i].code;
    return ERR_IO;
}

/* Copies the end of git's words onto one line. */
static void copy_words(const char *text, size_t bytes, char ret_words[WORDS_MAX_BYTES])
{
    while (bytes > 0 && (unsigned char)text[bytes - 1] <= ' ')
        bytes--;
    size_t start = bytes >= WORDS_MAX_BYTES ? bytes - WORDS_MAX_BYTES + 1 : 0;
    size_t count = 0;
    for (size_t i = start; i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '\n')
            ret_words[count++] = ';';
        else
            ret_words[count++] = byte < ' ' || byte == 0x7f ? ' ' : text[i];
    }
    ret_words[count] = '\0';
    utf8_clean(ret_words);
}

int git_failure(const struct child_result *result, struct error *error)
{
    if (result->code == 0 && result->exit_status == 0)
        return 0;
    char words[WORDS_MAX_BYTES];
    copy_words(result->errors, result->errors_bytes, words);
    const char *said = words[0] != '\0' ? words : "git said nothing";
    if (result->code == ERR_TIMEOUT)
        return error_set(error, ERR_TIMEOUT, "git was ended after %lld ms: %s",
                         (long long)result->run_ms, said);
    if (result->code != 0)
        return error_set(error, result->code, "%s: %s", err_text(result->code), said);
    if (result->exit_signal == SIGXFSZ)
        return error_set(error, ERR_TOO_LARGE, "a file of the mirror became too large: %s", said);
    if (result->exit_signal != 0)
        return error_set(error, ERR_IO, "git was ended by signal %d: %s", result->exit_signal,
                         said);
    return error_set(error, class_of(result->errors), "%s", said);
}
