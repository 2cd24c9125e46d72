/*
 * Fuzz target: any bytes as the value of an event of `github.events`. The first byte chooses the kind of event; what is accepted can
 * be folded, twice with the same result, and makes a record that is read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/historian/change.h"
#include "reactors/historian/fold.h"

/* The key of all events here. */
#define KEY "1#7"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static const char *const types[] = {
    "com.github.issue.opened",
    "com.github.issue.labeled",
    "com.github.issue.unlabeled",
    "com.github.issue.deleted",
    "com.github.issue.transferred",
    "com.github.issue_comment.created",
    HISTORY_ISSUE_TYPE,
    HISTORY_WITHDRAWN_TYPE,
    "com.github.installation.deleted",
    "com.github.repository.deleted",
    HISTORY_ERASED_TYPE,
};

static void check_fold(const struct bus_record *record, const struct event *event)
{
    struct issue_record *issue = issue_record_new(1, 7);
    bool is_erased = false;
    struct error error = {0};
    for (int pass = 0; pass < 2; pass++) {
        struct fold_change *change = NULL;
        int code = change_read(record, event, "nodag[bot]", &change, &error);
        if (code != 0 || change == NULL) {
            require(pass == 0 && (code == 0 || (code == ERR_INPUT && error.text[0] != '\0')));
            break;
        }
        is_erased = change->erased_ms != 0;
        bool changed = fold_apply(issue, change);
        require(changed == (pass == 0));
        fold_change_free(change);
        if (pass == 0)
            continue;
        size_t bytes = 0;
        struct issue_record *again = NULL;
        char *value = issue_record_encode(issue, &bytes);
        require(issue_record_decode(KEY, strlen(KEY), value, bytes, &again, &error) == 0);
        require(!is_erased || (again->title.bytes == 0 && again->author_login == NULL));
        mem_free(value);
        issue_record_free(again);
    }
    issue_record_free(issue);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    if (byte_count == 0)
        return 0;
    const struct event event = {.id = text_of("id"),
                                .source = text_of("s"),
                                .type = text_of(types[bytes[0] % ARRAY_COUNT(types)]),
                                .has_time = true,
                                .time_ms = 1600000000000};
    CLEANUP(mem_free) char *value = mem_copy_bytes(bytes + 1, byte_count - 1);
    const struct bus_record record = {.key = KEY,
                                      .key_bytes = strlen(KEY),
                                      .value = value,
                                      .value_bytes = byte_count - 1,
                                      .offset = 4};
    enum change_scope scope = change_scope_of(&record, &event);
    require(scope != CHANGE_NOTHING);
    if (scope == CHANGE_ISSUE) {
        check_fold(&record, &event);
        return 0;
    }
    struct history_withdrawal withdrawal = {.repositories = NULL};
    int64_t time_ms = 0;
    struct error error = {0};
    if (change_read_withdrawal(&record, &event, &withdrawal, &time_ms, &error) == 0)
        mem_free(withdrawal.repositories);
    else
        require(error.text[0] != '\0');
    return 0;
}
