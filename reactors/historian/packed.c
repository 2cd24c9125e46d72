/*
 * Registers in few bytes: see packed.h.
 */
#include "reactors/historian/packed.h"

#include <assert.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "reactors/historian/fold.h"

/* Most bytes of one issue: every label at its longest, with both stamps full. */
#define PACKED_MAX_BYTES ((size_t)2 << 20)

/* Bits of a varint's byte, and the bit that says that another follows. */
#define VARINT_BITS 7
/* See above. */
#define VARINT_MORE 0x80u

/* Bytes of a hash. */
#define HASH_BYTES sizeof(uint64_t)

/* Flags of a record and of a label. */
enum packed_flag {
    PACKED_PRIVATE = 1, /* record: its repository is */
    PACKED_GONE = 2,    /* record: a reason and a stamp follow */
    PACKED_ERASED = 4,  /* record: when its text was erased, and its names */
    PACKED_LISTED = 1,  /* label: it is */
    PACKED_ADDED = 2,   /* label: an action follows */
    PACKED_REMOVED = 4, /* label: another one follows */
    PACKED_KNOWN = 1,   /* action: a login follows */
    PACKED_HASHED = 2,  /* action: hashes follow, because they are not just its own */
};

/* Bits below an action's actor in its flags. */
#define PACKED_ACTOR_SHIFT 2

/* Bytes being read. */
struct packed_reader {
    const uint8_t *at;  /* next byte */
    const uint8_t *end; /* after the last */
};

/* ---- writing ---- */

static void put_bytes(struct buffer *buffer, const void *bytes, size_t byte_count)
{
    int code = buffer_append(buffer, bytes, byte_count);
    assert(code == 0);
    (void)code;
}

static void put_number(struct buffer *buffer, int64_t number)
{
    uint8_t bytes[10];
    size_t count = 0;
    uint64_t rest = (uint64_t)number;
    assert(number >= 0);
    do {
        bytes[count] = (uint8_t)(rest & (VARINT_MORE - 1));
        rest >>= VARINT_BITS;
        if (rest > 0)
            bytes[count] |= VARINT_MORE;
        count++;
    } while (rest > 0);
    put_bytes(buffer, bytes, count);
}

static void put_text(struct buffer *buffer, const char *text)
{
    size_t text_bytes = strlen(text);
    put_number(buffer, (int64_t)text_bytes);
    put_bytes(buffer, text, text_bytes);
}

/* Never is 0. */
static void put_moment(struct buffer *buffer, const struct issue_stamp *stamp)
{
    put_number(buffer, stamp->time_ms + 1);
    if (stamp->time_ms >= 0)
        put_number(buffer, stamp->offset);
}

static void put_ids(struct buffer *buffer, const struct issue_stamp *stamp)
{
    put_number(buffer, (int64_t)stamp->id_count);
    put_bytes(buffer, stamp->ids, stamp->id_count * HASH_BYTES);
}

static bool is_own_hash(const struct issue_label *label, const struct issue_action *action)
{
    return action->stamp.id_count == 1 &&
           action->stamp.ids[0] == fold_hash_action(label->name, action == &label->added,
                                                    action->stamp.time_ms, action->by,
                                                    action->login);
}

static void put_action(struct buffer *buffer, const struct issue_label *label,
                       const struct issue_action *action)
{
    bool is_hashed = !is_own_hash(label, action);
    put_number(buffer, (action->login != NULL ? PACKED_KNOWN : 0) |
                           (is_hashed ? PACKED_HASHED : 0) |
                           (int64_t)action->by << PACKED_ACTOR_SHIFT);
    put_moment(buffer, &action->stamp);
    if (is_hashed)
        put_ids(buffer, &action->stamp);
    if (action->login != NULL)
        put_text(buffer, action->login);
}

static void put_label(struct buffer *buffer, const struct issue_label *label)
{
    bool is_added = label->added.stamp.time_ms >= 0;
    bool is_removed = label->removed.stamp.time_ms >= 0;
    put_text(buffer, label->name);
    put_number(buffer, (label->listed ? PACKED_LISTED : 0) | (is_added ? PACKED_ADDED : 0) |
                           (is_removed ? PACKED_REMOVED : 0));
    if (is_added)
        put_action(buffer, label, &label->added);
    if (is_removed)
        put_action(buffer, label, &label->removed);
}

uint8_t *packed_write(const struct issue_record *record, size_t *ret_bytes)
{
    struct buffer buffer = BUFFER_INIT(PACKED_MAX_BYTES);
    bool is_erased = record->erased_ms != 0 || record->names_erased_ms != 0;
    put_number(&buffer, record->owner_id > 0 ? record->owner_id : 0);
    put_number(&buffer, (record->is_private ? PACKED_PRIVATE : 0) |
                            (record->gone != ISSUE_LIVE ? PACKED_GONE : 0) |
                            (is_erased ? PACKED_ERASED : 0));
    put_moment(&buffer, &record->as_of);
    put_ids(&buffer, &record->as_of);
    if (record->gone != ISSUE_LIVE) {
        put_number(&buffer, (int64_t)record->gone);
        put_moment(&buffer, &record->gone_since);
        put_ids(&buffer, &record->gone_since);
    }
    if (is_erased) {
        put_number(&buffer, record->erased_ms);
        put_number(&buffer, record->names_erased_ms);
    }
    put_number(&buffer, (int64_t)record->label_count);
    for (size_t i = 0; i < record->label_count; i++)
        put_label(&buffer, &record->labels[i]);
    *ret_bytes = buffer.size_bytes;
    return (uint8_t *)buffer_take(&buffer);
}

/* ---- reading ---- */

static int64_t get_number(struct packed_reader *reader)
{
    uint64_t number = 0;
    for (unsigned shift = 0;; shift += VARINT_BITS) {
        assert(reader->at < reader->end && shift < 64);
        uint8_t byte = *reader->at++;
        number |= (uint64_t)(byte & (VARINT_MORE - 1)) << shift;
        if ((byte & VARINT_MORE) == 0)
            return (int64_t)number;
    }
}

static char *get_text(struct packed_reader *reader)
{
    size_t text_bytes = (size_t)get_number(reader);
    assert(text_bytes <= (size_t)(reader->end - reader->at));
    char *text = mem_copy_bytes(reader->at, text_bytes);
    reader->at += text_bytes;
    return text;
}

static void get_moment(struct packed_reader *reader, struct issue_stamp *stamp)
{
    stamp->time_ms = get_number(reader) - 1;
    if (stamp->time_ms >= 0)
        stamp->offset = get_number(reader);
}

static void get_ids(struct packed_reader *reader, struct issue_stamp *stamp)
{
    stamp->id_count = (size_t)get_number(reader);
    assert(stamp->id_count <= ISSUE_STAMP_IDS_MAX);
    memcpy(stamp->ids, reader->at, stamp->id_count * HASH_BYTES);
    reader->at += stamp->id_count * HASH_BYTES;
}

static void get_action(struct packed_reader *reader, const struct issue_label *label,
                       struct issue_action *action)
{
    int64_t flags = get_number(reader);
    action->by = (enum issue_actor)(flags >> PACKED_ACTOR_SHIFT);
    get_moment(reader, &action->stamp);
    if ((flags & PACKED_HASHED) != 0)
        get_ids(reader, &action->stamp);
    if ((flags & PACKED_KNOWN) != 0)
        action->login = get_text(reader);
    if ((flags & PACKED_HASHED) == 0) {
        action->stamp.id_count = 1;
        action->stamp.ids[0] = fold_hash_action(label->name, action == &label->added,
                                                action->stamp.time_ms, action->by, action->login);
    }
}

static void get_label(struct packed_reader *reader, struct issue_record *record)
{
    CLEANUP(mem_free) char *name = get_text(reader);
    struct issue_label *label = issue_record_put_label(record, name);
    assert(label != NULL);
    int64_t flags = get_number(reader);
    label->listed = (flags & PACKED_LISTED) != 0;
    if ((flags & PACKED_ADDED) != 0)
        get_action(reader, label, &label->added);
    if ((flags & PACKED_REMOVED) != 0)
        get_action(reader, label, &label->removed);
}

struct issue_record *packed_read(const uint8_t *bytes, size_t byte_count, int64_t repository_id,
                                 int64_t number)
{
    struct packed_reader reader = {.at = bytes, .end = bytes + byte_count};
    struct issue_record *record = issue_record_new(repository_id, number);
    record->owner_id = get_number(&reader);
    int64_t flags = get_number(&reader);
    record->is_private = (flags & PACKED_PRIVATE) != 0;
    get_moment(&reader, &record->as_of);
    get_ids(&reader, &record->as_of);
    if ((flags & PACKED_GONE) != 0) {
        record->gone = (enum issue_gone)get_number(&reader);
        get_moment(&reader, &record->gone_since);
        get_ids(&reader, &record->gone_since);
    }
    if ((flags & PACKED_ERASED) != 0) {
        record->erased_ms = get_number(&reader);
        record->names_erased_ms = get_number(&reader);
    }
    int64_t label_count = get_number(&reader);
    for (int64_t i = 0; i < label_count; i++)
        get_label(&reader, record);
    assert(reader.at == reader.end);
    return record;
}

int64_t packed_owner(const uint8_t *bytes, size_t byte_count)
{
    struct packed_reader reader = {.at = bytes, .end = bytes + byte_count};
    return get_number(&reader);
}
