/*
 * Fuzz target: any bytes as a record of `issues`. What is accepted keeps the promises of issue_record.h: it is written and read again,
 * equal to the byte; its registers survive packing; applying it to itself changes nothing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/historian/fold.h"
#include "reactors/historian/packed.h"
#include "topics/issue_record.h"

/* The key of all records here. */
#define KEY "1#7"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static struct issue_record *read_again(const char *value, size_t value_bytes)
{
    struct issue_record *record = NULL;
    require(issue_record_decode(KEY, strlen(KEY), value, value_bytes, &record, NULL) == 0);
    return record;
}

static void check_packing(const struct issue_record *record)
{
    size_t packed_bytes = 0;
    size_t again_bytes = 0;
    CLEANUP(mem_free) uint8_t *packed = packed_write(record, &packed_bytes);
    CLEANUP(issue_record_free)
    struct issue_record *unpacked = packed_read(packed, packed_bytes, 1, 7);
    CLEANUP(mem_free) uint8_t *again = packed_write(unpacked, &again_bytes);
    require(again_bytes == packed_bytes && memcmp(again, packed, packed_bytes) == 0);
    require(packed_owner(packed, packed_bytes) == record->owner_id);
    require(unpacked->label_count == record->label_count);
    require(issue_record_is_live(unpacked) == issue_record_is_live(record));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    struct error error = {0};
    CLEANUP(issue_record_free) struct issue_record *record = NULL;
    if (issue_record_decode(KEY, strlen(KEY), (const char *)bytes, byte_count, &record, &error) !=
        0) {
        require(error.text[0] != '\0');
        return 0;
    }
    size_t value_bytes = 0;
    size_t again_bytes = 0;
    CLEANUP(mem_free) char *value = issue_record_encode(record, &value_bytes);
    CLEANUP(issue_record_free) struct issue_record *twin = read_again(value, value_bytes);
    CLEANUP(mem_free) char *again = issue_record_encode(twin, &again_bytes);
    require(value_bytes == again_bytes && memcmp(value, again, value_bytes) == 0);
    check_packing(record);
    (void)fold_join(record,
                    twin); /* a record whose stamps have the same id twice may still change */
    CLEANUP(issue_record_free) struct issue_record *third = read_again(value, value_bytes);
    CLEANUP(mem_free) char *joined = issue_record_encode(record, &again_bytes);
    require(value_bytes == again_bytes && memcmp(value, joined, value_bytes) == 0);
    require((fold_join(record, third) & (FOLD_TOOK | FOLD_KEPT)) == 0);
    return 0;
}
