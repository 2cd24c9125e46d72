/*
 * Reading a decision back: see prediction_read.h.
 *
 * Design: only members of the outermost object count (depth 1); `member` says which one the next
 * value belongs to.
 */
#include "reactors/labeler/prediction_read.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/cleanup.h"
#include "base/digest.h"

/* Digits of the longest whole number, its sign and a NUL. */
#define READ_NUMBER_BYTES 24

/* yajl's callbacks return this to go on, or to be cancelled. */
enum { READ_CANCEL = 0, READ_GO_ON = 1 };

/* Whose value comes next. */
enum read_member {
    READ_OTHER,      /* one that nobody wants */
    READ_REPOSITORY, /* "repository" */
    READ_COMMENT_ID, /* "comment_id" */
    READ_MODEL,      /* "model" */
};

/* Names of the members. */
static const char *const read_names[] = {
    [READ_REPOSITORY] = "repository", [READ_COMMENT_ID] = "comment_id", [READ_MODEL] = "model"};

/* A reading. */
struct read_state {
    struct prediction_brief brief; /* so far */
    enum read_member member;       /* at depth 1 */
    size_t depth;                  /* objects and lists that are open */
};

uint64_t prediction_hash_model(const char *version, size_t version_bytes)
{
    uint8_t digest[DIGEST_BYTES];
    uint64_t hash = 0;
    digest_sha256(version, version_bytes, digest);
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

/* The member that a value at this place belongs to. */
static enum read_member read_take_member(struct read_state *state)
{
    enum read_member member = state->depth == 1 ? state->member : READ_OTHER;
    state->member = READ_OTHER;
    return member;
}

static int read_on_key(void *context, const unsigned char *key, size_t key_bytes)
{
    struct read_state *state = context;
    state->member = READ_OTHER;
    for (size_t i = READ_REPOSITORY; i < ARRAY_COUNT(read_names); i++)
        if (key_bytes == strlen(read_names[i]) && memcmp(key, read_names[i], key_bytes) == 0)
            state->member = (enum read_member)i;
    return READ_GO_ON;
}

static int read_on_string(void *context, const unsigned char *text, size_t text_bytes)
{
    struct read_state *state = context;
    struct prediction_brief *brief = &state->brief;
    enum read_member member = read_take_member(state);
    if (member != READ_OTHER && memchr(text, '\0', text_bytes) != NULL)
        member = READ_OTHER; /* no text of ours */
    if (member == READ_MODEL) {
        brief->model_hash = prediction_hash_model((const char *)text, text_bytes);
    } else if (member == READ_REPOSITORY && text_bytes < sizeof(brief->repository)) {
        memcpy(brief->repository, text, text_bytes);
        brief->repository[text_bytes] = '\0';
    }
    return state->depth > 0 ? READ_GO_ON : READ_CANCEL;
}

static int read_on_number(void *context, const char *digits, size_t digit_count)
{
    struct read_state *state = context;
    char text[READ_NUMBER_BYTES];
    enum read_member member = read_take_member(state);
    if (member == READ_COMMENT_ID && digit_count < sizeof(text)) {
        char *end = NULL;
        memcpy(text, digits, digit_count);
        text[digit_count] = '\0';
        errno = 0;
        long long number = strtoll(text, &end, 10);
        if (errno == 0 && *end == '\0') /* 1.5 and 1e3 are no whole numbers */
            state->brief.comment_id = number;
    }
    return state->depth > 0 ? READ_GO_ON : READ_CANCEL;
}

static int read_on_nothing(void *context)
{
    struct read_state *state = context;
    (void)read_take_member(state);
    return state->depth > 0 ? READ_GO_ON : READ_CANCEL;
}

static int read_on_boolean(void *context, int truth)
{
    (void)truth;
    return read_on_nothing(context);
}

static int read_on_object(void *context)
{
    struct read_state *state = context;
    state->depth++;
    return READ_GO_ON;
}

static int read_on_list(void *context)
{
    struct read_state *state = context;
    return state->depth++ > 0 ? READ_GO_ON : READ_CANCEL;
}

static int read_on_end(void *context)
{
    struct read_state *state = context;
    state->depth--;
    return READ_GO_ON;
}

static const yajl_callbacks read_callbacks = {
    .yajl_null = read_on_nothing,
    .yajl_boolean = read_on_boolean,
    .yajl_number = read_on_number,
    .yajl_string = read_on_string,
    .yajl_start_map = read_on_object,
    .yajl_map_key = read_on_key,
    .yajl_end_map = read_on_end,
    .yajl_start_array = read_on_list,
    .yajl_end_array = read_on_end,
};

int prediction_read(const char *value, size_t value_bytes, struct prediction_brief *ret_brief)
{
    struct read_state state = {.brief = {.model_hash = prediction_hash_model("", 0)}};
    yajl_handle yajl = yajl_alloc(&read_callbacks, NULL, &state);
    if (yajl == NULL)
        abort(); /* as base/memory.h: an allocation failed */
    yajl_status status = yajl_parse(yajl, (const unsigned char *)value, value_bytes);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(yajl);
    yajl_free(yajl);
    if (status != yajl_status_ok)
        return ERR_INPUT;
    *ret_brief = state.brief;
    return 0;
}
