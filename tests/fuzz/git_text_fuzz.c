/*
 * Fuzz target: what git and people write as lines: URLs, the answer of ls-remote, questions for
 * credentials, git's last words.
 *
 * Invariants under test: a URL that is accepted is a fixed point and fits into a key; the heads of a list
 * are sorted, valid and found; words for a log are one line.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/git_answer.h"
#include "base/git_credential.h"
#include "base/git_url.h"
#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_url(const char *text)
{
    struct git_url url;
    struct git_url again;
    if (git_url_parse(text, &url, NULL) != 0)
        return;
    assert(strchr(url.text, '|') == NULL && strlen(url.text) < GIT_URL_BYTES);
    int code = git_url_parse(url.text, &again, NULL);
    assert(code == 0 && strcmp(url.text, again.text) == 0);
    (void)code;
    (void)git_url_is_named(&url, text, strlen(text));
}

static void try_list(const char *text, size_t bytes)
{
    CLEANUP(git_list_release) struct git_list list = {.items = NULL};
    if (git_list_parse(text, bytes, &list, NULL) != 0)
        return;
    for (size_t i = 0; i < list.count; i++) {
        assert(git_ref_is_valid(list.items[i].ref, strlen(list.items[i].ref)));
        assert(git_id_is_valid(list.items[i].id, strlen(list.items[i].id)));
        assert(i == 0 || strcmp(list.items[i - 1].ref, list.items[i].ref) < 0);
        assert(git_list_find(&list, list.items[i].ref) == &list.items[i]);
    }
}

static void try_credential(const char *text)
{
    CLEANUP(buffer_release) struct buffer secret = BUFFER_INIT(GIT_CREDENTIAL_MAX_BYTES);
    CLEANUP(buffer_release) struct buffer answer = BUFFER_INIT(3 * GIT_CREDENTIAL_MAX_BYTES);
    if (strlen(text) >= GIT_CREDENTIAL_MAX_BYTES || buffer_append_text(&secret, text) != 0)
        return;
    int code = git_credential_answer(text, "https://h", &secret, &answer, NULL);
    buffer_clear(&answer);
    code = git_credential_answer("protocol=https\nhost=h\n", "https://h", &secret, &answer, NULL);
    assert((code == 0) == (answer.size_bytes > 0));
    (void)code;
}

static void try_words(const char *text, size_t bytes)
{
    const struct child_result result = {.exit_status = 1, .errors = text, .errors_bytes = bytes};
    struct error error;
    int code = git_failure(&result, &error);
    assert(code < 0 && strchr(error.text, '\n') == NULL);
    (void)code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(mem_free) char *text = mem_copy_bytes(data, size);
    try_url(text);
    try_list(text, size);
    try_credential(text);
    try_words(text, size);
    return 0;
}
