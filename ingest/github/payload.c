/*
 * The extraction of a payload's few values: see payload.h.
 *
 * Design: PAYLOAD_TABLE's paths are made into a tree once. While yajl calls back, `frames` holds the node of each open
 * object as long as it lies on a path; below an object or array that lies on none only `depth` is counted.
 *
 *      text:   {"repository": {"owner": {"login": "octo"}, "topics": ["a"]}}
 *      depth:  1              2         3                           3
 *      frames: [root]         [repository] [owner]                  (off the paths)
 *
 * yajl's own check of UTF-8 lets overlong forms and surrogates pass and costs more than reading the bytes here, so that
 * it is turned off and utf8.h decides.
 *
 * Invariants: frame_count ≤ depth; frame_count < depth means "off the paths"; `wanted` and `wants_time` are set
 * between a member's name and its value only.
 */
#include "ingest/github/payload.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "ingest/github/json_trim.h"

/*
 * Most nodes of the tree of paths; a static assertion would need the tree at compile time, so that path_add
 * asserts it.
 */
#define PATH_NODES_MAX 256

/* Deepest path: installation.account.login is three, and one for the top. */
#define PATH_DEPTH_MAX 4

/* Depth of the objects whose members may tell a time: the top one and its members. */
#define TIME_DEPTH_MAX 2

/* First allocation for kept values: a usual payload keeps about 700 bytes. */
#define MEMORY_FIRST_BYTES 1024

/* Longest number of seconds since 1970 that is read as a time; the year 9999 has 12 digits. */
#define TIME_DIGITS_MAX 12

/* 9999-12-31T23:59:59Z, the last second that can be written as RFC 3339. */
#define TIME_MOST_S 253402300799

/* Digits of the largest id: 63 bits. */
#define ID_DIGITS_MAX 19

/* What a payload handed through yajl's `void *` starts with. */
#define PAYLOAD_MAGIC 0x9a710adu

/* Index of "no node": it has no name, no field and no children, and is every link that leads nowhere. */
#define NODE_NONE 0

/* Index of the node that stands for the top of the payload. */
#define NODE_TOP 1

/* One name on a path. */
struct path_node {
    const char *name;         /* borrowed from PAYLOAD_TABLE, not NUL-terminated */
    size_t name_bytes;        /* length */
    enum payload_field field; /* what ends here, or PAYLOAD_NONE */
    uint8_t first_child;      /* or NODE_NONE */
    uint8_t next_sibling;     /* or NODE_NONE */
};

/* The tree of paths: made once, constant afterwards. */
static struct path_node path_nodes[PATH_NODES_MAX];
static size_t path_node_count;

/* One kept value. */
struct payload_value {
    enum payload_kind kind;
    size_t offset; /* of its text in memory */
    size_t bytes;  /* length of its text */
};

struct payload {
    unsigned magic;
    yajl_handle yajl; /* owned */
    struct utf8 utf8;
    struct json_trim trim;
    bool is_trimmed;    /* payload_trim() was called */
    uint64_t fed_bytes; /* of the text, before what yajl reads now */
    size_t depth;       /* open objects and arrays */
    size_t frame_count; /* how many of them, from the top, are objects on a path */
    uint8_t frames
        [PATH_DEPTH_MAX]; /* their nodes; NODE_NONE for a member of the top that no path names */
    uint8_t wanted;       /* node of the value that comes next, or NODE_NONE */
    bool wants_time;      /* the value that comes next may be the latest time */
    bool is_too_deep;     /* why yajl was cancelled */
    int64_t latest_ms;    /* or -1 */
    bool seen[PATH_NODES_MAX]; /* nodes whose name was read, to find repeated members */
    struct payload_value values[PAYLOAD_FIELD_COUNT];
    struct buffer memory; /* the texts of the values */
};

/* ---- the tree of paths ---- */

static uint8_t path_child(uint8_t parent, const char *name, size_t name_bytes)
{
    uint8_t node = path_nodes[parent].first_child;
    while (node != NODE_NONE && (path_nodes[node].name_bytes != name_bytes ||
                                 memcmp(path_nodes[node].name, name, name_bytes) != 0))
        node = path_nodes[node].next_sibling;
    return node;
}

static uint8_t path_child_or_new(uint8_t parent, const char *name, size_t name_bytes)
{
    uint8_t node = path_child(parent, name, name_bytes);
    if (node != NODE_NONE)
        return node;
    assert(path_node_count < PATH_NODES_MAX);
    node = (uint8_t)path_node_count++;
    path_nodes[node] = (struct path_node){
        .name = name, .name_bytes = name_bytes, .next_sibling = path_nodes[parent].first_child};
    path_nodes[parent].first_child = node;
    return node;
}

static void path_add(enum payload_field field, const char *path)
{
    uint8_t node = NODE_TOP;
    for (size_t depth = 1;; depth++) {
        assert(depth < PATH_DEPTH_MAX);
        size_t name_bytes = strcspn(path, ".");
        node = path_child_or_new(node, path, name_bytes);
        if (path[name_bytes] == '\0')
            break;
        path += name_bytes + 1;
    }
    path_nodes[node].field = field;
}

static void path_make_tree(void)
{
    if (path_node_count > 0)
        return;
    path_node_count = NODE_TOP + 1;
#define PAYLOAD_ADD_PATH(name, path) path_add(name, path);
    PAYLOAD_TABLE(PAYLOAD_ADD_PATH)
#undef PAYLOAD_ADD_PATH
}

/* ---- values ---- */

/* Reads digits that fill the text as a number of at most `digits_max` digits; -1 if they do not. */
static int64_t digits_read(const char *text, size_t text_bytes, size_t digits_max)
{
    int64_t value = 0;
    if (text_bytes == 0 || text_bytes > digits_max || (text[0] == '0' && text_bytes > 1))
        return -1;
    for (size_t i = 0; i < text_bytes; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text[i] - '0', &value))
            return -1;
    }
    return value;
}

/* Reads a time as payload_time_ms does. */
static int64_t time_read(enum payload_kind kind, const char *text, size_t text_bytes)
{
    int64_t wall_ms = -1;
    if (kind == PAYLOAD_IS_NUMBER) {
        int64_t seconds = digits_read(text, text_bytes, TIME_DIGITS_MAX);
        return seconds < 0 || seconds > TIME_MOST_S ? -1 : seconds * 1000;
    }
    if (kind != PAYLOAD_IS_TEXT || time_from_text(text, text_bytes, &wall_ms) != 0)
        return -1;
    return wall_ms;
}

/* Makes absent what was kept for a node and all below it: its member came again. */
static void forget_subtree(struct payload *payload, uint8_t node)
{
    payload->seen[node] = false;
    payload->values[path_nodes[node].field] = (struct payload_value){0};
    for (uint8_t child = path_nodes[node].first_child; child != NODE_NONE;
         child = path_nodes[child].next_sibling)
        forget_subtree(payload, child);
}

/* Notes the value that a member's name announced. Text is NULL for kinds that have none. */
static void keep_value(struct payload *payload, enum payload_kind kind, const char *text,
                       size_t text_bytes)
{
    if (payload->wants_time && text_bytes <= PAYLOAD_VALUE_MAX_BYTES) {
        int64_t wall_ms = time_read(kind, text, text_bytes);
        if (wall_ms > payload->latest_ms)
            payload->latest_ms = wall_ms;
    }
    enum payload_field field = path_nodes[payload->wanted].field;
    payload->wanted = NODE_NONE;
    payload->wants_time = false;
    if (field == PAYLOAD_NONE)
        return;
    struct payload_value value = {
        .kind = kind, .offset = payload->memory.size_bytes, .bytes = text_bytes};
    if (text_bytes > PAYLOAD_VALUE_MAX_BYTES ||
        (text_bytes > 0 && buffer_append(&payload->memory, text, text_bytes) != 0))
        value = (struct payload_value){.kind = PAYLOAD_IS_UNUSABLE};
    payload->values[field] = value;
}

/* ---- what yajl calls ---- */

/* yajl's callbacks return this to go on, or to be cancelled. */
enum { YAJL_CANCEL = 0, YAJL_GO_ON = 1 };

static struct payload *payload_of(void *context)
{
    return CAST_CHECKED(struct payload, context, PAYLOAD_MAGIC);
}

static int on_null(void *context)
{
    keep_value(payload_of(context), PAYLOAD_IS_NULL, NULL, 0);
    return YAJL_GO_ON;
}

static int on_boolean(void *context, int truth)
{
    (void)truth;
    keep_value(payload_of(context), PAYLOAD_IS_BOOLEAN, NULL, 0);
    return YAJL_GO_ON;
}

static int on_number(void *context, const char *text, size_t text_bytes)
{
    keep_value(payload_of(context), PAYLOAD_IS_NUMBER, text, text_bytes);
    return YAJL_GO_ON;
}

static int on_string(void *context, const unsigned char *text, size_t text_bytes)
{
    keep_value(payload_of(context), PAYLOAD_IS_TEXT, (const char *)text, text_bytes);
    return YAJL_GO_ON;
}

/* Counts one level more. Returns false if it is one too many. */
static bool go_down(struct payload *payload)
{
    payload->is_too_deep = payload->depth == PAYLOAD_DEPTH_MAX;
    payload->depth++;
    return !payload->is_too_deep;
}

/*
 * Returns true if the object that begins is on a path, or is a member of the top: times are looked for in all
 * of those.
 */
static bool is_followed(const struct payload *payload)
{
    if (payload->frame_count != payload->depth || payload->depth == PATH_DEPTH_MAX)
        return false;
    return payload->depth < TIME_DEPTH_MAX || payload->wanted != NODE_NONE;
}

static int on_start_map(void *context)
{
    struct payload *payload = payload_of(context);
    if (is_followed(payload))
        payload->frames[payload->frame_count++] = payload->depth == 0 ? NODE_TOP : payload->wanted;
    keep_value(payload, PAYLOAD_IS_CONTAINER, NULL, 0);
    return go_down(payload) ? YAJL_GO_ON : YAJL_CANCEL;
}

static int on_start_array(void *context)
{
    struct payload *payload = payload_of(context);
    keep_value(payload, PAYLOAD_IS_CONTAINER, NULL, 0);
    return go_down(payload) ? YAJL_GO_ON : YAJL_CANCEL;
}

static int on_end(void *context)
{
    struct payload *payload = payload_of(context);
    assert(payload->depth > 0);
    if (payload->frame_count == payload->depth)
        payload->frame_count--;
    payload->depth--;
    return YAJL_GO_ON;
}

/* Returns true for the names by which GitHub says when something happened; times to come (due_on, …) are not in it. */
static bool is_time_name(const char *name, size_t name_bytes)
{
    static const char *const stems[] = {
        "updated",   "created",  "pushed",    "completed", "started",   "submitted",
        "published", "closed",   "merged",    "deleted",   "starred",   "dismissed",
        "fixed",     "resolved", "suspended", "archived",  "withdrawn", "run_started"};
    static const char ending[] = "_at";
    const size_t ending_bytes = sizeof(ending) - 1;
    if (text_equals((struct text){.data = name, .bytes = name_bytes}, "timestamp"))
        return true;
    if (name_bytes <= ending_bytes ||
        memcmp(name + name_bytes - ending_bytes, ending, ending_bytes) != 0)
        return false;
    struct text stem = {.data = name, .bytes = name_bytes - ending_bytes};
    for (size_t i = 0; i < ARRAY_COUNT(stems); i++) {
        if (text_equals(stem, stems[i]))
            return true;
    }
    return false;
}

static int on_map_key(void *context, const unsigned char *key, size_t key_bytes)
{
    struct payload *payload = payload_of(context);
    if (payload->frame_count != payload->depth)
        return YAJL_GO_ON;
    const char *name = (const char *)key;
    uint8_t node = path_child(payload->frames[payload->frame_count - 1], name, key_bytes);
    if (node != NODE_NONE && payload->seen[node])
        forget_subtree(payload, node);
    payload->seen[node] = node != NODE_NONE;
    payload->wanted = node;
    payload->wants_time = payload->depth <= TIME_DEPTH_MAX && is_time_name(name, key_bytes);
    return YAJL_GO_ON;
}

static const yajl_callbacks payload_callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_start_map,
    .yajl_map_key = on_map_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_start_array,
    .yajl_end_array = on_end,
};

/* ---- the interface ---- */

struct payload *payload_new(void)
{
    path_make_tree();
    struct payload *payload = MEM_NEW(struct payload);
    payload->magic = PAYLOAD_MAGIC;
    payload->latest_ms = -1;
    payload->memory = BUFFER_INIT(PAYLOAD_MEMORY_MAX_BYTES);
    int code = buffer_reserve(&payload->memory, MEMORY_FIRST_BYTES);
    assert(code == 0);
    (void)code;
    payload->yajl = yajl_alloc(&payload_callbacks, NULL, payload);
    if (payload->yajl == NULL)
        abort(); /* as base/memory.h: an allocation failed */
    (void)yajl_config(payload->yajl, yajl_dont_validate_strings, 1);
    return payload;
}

void payload_free(struct payload *payload)
{
    if (payload == NULL)
        return;
    yajl_free(payload->yajl);
    buffer_release(&payload->memory);
    free(payload);
}

/* Says what yajl found wrong; its text without details holds nothing of the payload. */
static int yajl_failed(struct payload *payload, size_t byte_in_piece, struct error *error)
{
    unsigned char *text = yajl_get_error(payload->yajl, 0, NULL, 0);
    size_t text_bytes = strcspn((const char *)text, "\n");
    int code = error_set(error, ERR_INPUT, "the body is not JSON near byte %llu: %.*s",
                         (unsigned long long)(payload->fed_bytes + byte_in_piece), (int)text_bytes,
                         (const char *)text);
    yajl_free_error(payload->yajl, text);
    return code;
}

/* Gives yajl bytes of the text. */
static int feed_yajl(struct payload *payload, const char *bytes, size_t byte_count,
                     struct error *error)
{
    yajl_status status = yajl_parse(payload->yajl, (const unsigned char *)bytes, byte_count);
    if (status == yajl_status_ok) {
        payload->fed_bytes += byte_count;
        return 0;
    }
    if (payload->is_too_deep)
        return error_set(error, ERR_INPUT, "the body's JSON is nested deeper than %d levels",
                         PAYLOAD_DEPTH_MAX);
    return yajl_failed(payload, yajl_get_bytes_consumed(payload->yajl), error);
}

/* Gives yajl what json_trim.h leaves of a piece. */
static int feed_trimmed(struct payload *payload, const char *bytes, size_t byte_count,
                        struct error *error)
{
    while (byte_count > 0) {
        struct json_trim_cut cut = json_trim_next(&payload->trim, bytes, byte_count);
        int code = feed_yajl(payload, bytes, cut.keep_bytes, error);
        if (code != 0)
            return code;
        payload->fed_bytes += cut.drop_bytes;
        if (cut.is_broken)
            return error_set(error, ERR_INPUT,
                             "the body is not JSON near byte %llu: a control character or an "
                             "unknown escape in a string",
                             (unsigned long long)payload->fed_bytes);
        bytes += cut.keep_bytes + cut.drop_bytes;
        byte_count -= cut.keep_bytes + cut.drop_bytes;
    }
    return 0;
}

void payload_trim(struct payload *payload)
{
    assert(payload->fed_bytes == 0 && payload->utf8.left == 0);
    payload->is_trimmed = true;
    payload->trim = (struct json_trim){.string_bytes = PAYLOAD_TOKEN_MAX_BYTES,
                                       .digits = PAYLOAD_VALUE_MAX_BYTES + 1};
}

int payload_feed(struct payload *payload, const char *bytes, size_t byte_count, struct error *error)
{
    size_t checked_bytes = utf8_feed(&payload->utf8, (const uint8_t *)bytes, byte_count);
    if (checked_bytes < byte_count)
        return error_set(error, ERR_INPUT, "the body is not JSON: byte %llu is not valid UTF-8",
                         (unsigned long long)(payload->fed_bytes + checked_bytes));
    return payload->is_trimmed ? feed_trimmed(payload, bytes, byte_count, error)
                               : feed_yajl(payload, bytes, byte_count, error);
}

int payload_finish(struct payload *payload, struct error *error)
{
    if (payload->utf8.left > 0)
        return error_set(error, ERR_INPUT, "the body is not JSON: it ends within a UTF-8 sequence");
    if (yajl_complete_parse(payload->yajl) != yajl_status_ok)
        return yajl_failed(payload, 0, error);
    return 0;
}

enum payload_kind payload_kind(const struct payload *payload, enum payload_field field)
{
    assert(field > PAYLOAD_NONE && field < PAYLOAD_FIELD_COUNT);
    return payload->values[field].kind;
}

struct text payload_text(const struct payload *payload, enum payload_field field)
{
    assert(field < PAYLOAD_FIELD_COUNT);
    const struct payload_value *value = &payload->values[field];
    if ((value->kind != PAYLOAD_IS_TEXT && value->kind != PAYLOAD_IS_NUMBER) || value->bytes == 0)
        return (struct text){0};
    return (struct text){.data = payload->memory.data + value->offset, .bytes = value->bytes};
}

int64_t payload_latest_ms(const struct payload *payload)
{
    return payload->latest_ms;
}

int64_t payload_time_ms(const struct payload *payload, enum payload_field field)
{
    struct text text = payload_text(payload, field);
    return text.data == NULL ? -1 : time_read(payload_kind(payload, field), text.data, text.bytes);
}

int64_t payload_id(const struct payload *payload, enum payload_field field)
{
    struct text text = payload_text(payload, field);
    if (text.data == NULL || payload_kind(payload, field) != PAYLOAD_IS_NUMBER)
        return 0;
    int64_t id = digits_read(text.data, text.bytes, ID_DIGITS_MAX);
    return id > 0 ? id : 0;
}
