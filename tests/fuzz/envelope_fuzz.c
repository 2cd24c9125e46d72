/*
 * Fuzz target: any headers and keys, as a stranger with the right to write could put them into a
 * topic.
 *
 * Design: the input is lines, by turns a header's name and its value; a value "-" is one that is
 * null. Asserted: a refusal names something; what is decoded can be encoded and decodes to the
 * same; a value that is read as an issue's key is written back as the same bytes and has the
 * partition that librdkafka gives it; whatever is escaped for a terminal is printable.
 */
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "topics/envelope.h"
#include "topics/subject.h"
#include "topics/text_table.h"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Partitions of the topics that have many. */
#define PARTITIONS 12

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static bool texts_are_equal(struct text left, struct text right)
{
    if (left.data == NULL || right.data == NULL)
        return left.data == right.data;
    return left.bytes == right.bytes && memcmp(left.data, right.data, left.bytes) == 0;
}

static void try_envelope(const struct event_header *headers, size_t header_count)
{
    struct event event;
    struct event again;
    struct event_headers encoded;
    struct error error = {0};
    if (envelope_decode(headers, header_count, &event, &error) != 0) {
        require(error.code == ERR_INPUT && error.text[0] != '\0');
        return;
    }
    require(envelope_encode(&event, &encoded, &error) == 0);
    require(envelope_decode(encoded.items, encoded.count, &again, &error) == 0);
#define REQUIRE_MEMBER(member, header, required)                                                   \
    require(texts_are_equal(event.member, again.member));
    ENVELOPE_TABLE(REQUIRE_MEMBER)
#undef REQUIRE_MEMBER
    require(event.has_time == again.has_time &&
            (!event.has_time || event.time_ms == again.time_ms));
}

static void try_key(const struct event_header *header)
{
    int64_t repository_id = 0;
    int64_t number = 0;
    char key[SUBJECT_KEY_BYTES];
    if (header->value == NULL)
        return;
    require(subject_key_partition(header->value, header->value_bytes, PARTITIONS) ==
            rd_kafka_msg_partitioner_murmur2(NULL, header->value, header->value_bytes, PARTITIONS,
                                             NULL, NULL));
    if (subject_key_parse_issue(header->value, header->value_bytes, &repository_id, &number) != 0)
        return;
    subject_key_issue(repository_id, number, key);
    require(strlen(key) == header->value_bytes &&
            memcmp(key, header->value, header->value_bytes) == 0);
}

static void try_escape(const struct event_header *header)
{
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(SIZE_MAX / 2);
    if (header->value == NULL || text_escape(&buffer, header->value, header->value_bytes) != 0)
        return;
    for (size_t at = 0; at < buffer.size_bytes;) {
        size_t length = text_printable_bytes(buffer.data + at, buffer.size_bytes - at);
        require(length > 0);
        at += length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    struct event_header headers[ENVELOPE_HEADERS_MAX + 1] = {0};
    size_t count = 0;
    CLEANUP(mem_free) char *text = mem_copy_bytes(bytes, byte_count);
    char *end = text + byte_count;
    for (char *name = text; name < end && count < ARRAY_COUNT(headers); count++) {
        char *name_end = memchr(name, '\n', (size_t)(end - name));
        char *value = name_end != NULL ? name_end + 1 : end;
        char *value_end = memchr(value, '\n', (size_t)(end - value));
        if (value_end == NULL)
            value_end = end;
        if (name_end != NULL)
            *name_end = '\0';
        size_t value_bytes = (size_t)(value_end - value);
        bool is_null = value_bytes == 1 && *value == '-';
        headers[count] = (struct event_header){.name = name,
                                               .value = is_null ? NULL : value,
                                               .value_bytes = is_null ? 0 : value_bytes};
        name = value_end + 1;
    }
    try_envelope(headers, count);
    for (size_t i = 0; i < count; i++) {
        try_key(&headers[i]);
        try_escape(&headers[i]);
    }
    return 0;
}
