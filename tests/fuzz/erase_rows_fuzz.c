/*
 * Fuzz target: any bytes as a data set of the store. The first byte is the size of the pieces that it comes in. Where nothing is to go the
 * same bytes come out; where rows go, what comes out is a data set of which nothing is to go any more, whatever the pieces were.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "reactors/historian/erase_rows.h"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

/* One pass. */
struct pass {
    struct buffer out;
    bool takes_odd; /* rows with an odd number go */
};

static bool is_wanted(void *argument, const char *repository, int64_t number, int64_t created_ms)
{
    const struct pass *pass = argument;
    require(repository != NULL || (number > 0 && created_ms >= 0)); /* else nobody can tell */
    require(repository == NULL || repository[0] != '\0');
    require(number >= 0 && created_ms >= -1);
    return pass->takes_odd && number % 2 == 1;
}

static int take(void *argument, const char *bytes, size_t byte_count, struct error *error)
{
    struct pass *pass = argument;
    (void)error;
    require(buffer_append(&pass->out, bytes, byte_count) == 0);
    return 0;
}

static struct erase_rows_counts run(struct pass *pass, const char *bytes, size_t byte_count,
                                    size_t piece)
{
    static const struct erase_rows_handler handler = {.is_wanted = is_wanted, .write = take};
    struct erase_rows_counts counts = {.kept = 0};
    struct erase_rows *rows = erase_rows_new(&handler, pass);
    pass->out = BUFFER_INIT((size_t)64 << 20);
    for (size_t from = 0; from < byte_count; from += piece)
        require(erase_rows_feed(rows, bytes + from,
                                byte_count - from < piece ? byte_count - from : piece, NULL) == 0);
    require(erase_rows_end(rows, &counts, NULL) == 0);
    erase_rows_free(rows);
    return counts;
}

static bool equals(const struct buffer *buffer, const char *bytes, size_t byte_count)
{
    return buffer->size_bytes == byte_count &&
           (byte_count == 0 || memcmp(buffer->data, bytes, byte_count) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    if (byte_count == 0)
        return 0;
    const char *data = (const char *)bytes + 1;
    size_t data_bytes = byte_count - 1;
    struct pass same = {.takes_odd = false};
    struct pass odd = {.takes_odd = true};
    struct pass whole = {.takes_odd = true};
    struct pass again = {.takes_odd = true};
    struct erase_rows_counts counts = run(&same, data, data_bytes, (size_t)bytes[0] + 1);
    require(counts.erased == 0 && equals(&same.out, data, data_bytes));
    size_t rows = counts.kept;
    counts = run(&odd, data, data_bytes, (size_t)bytes[0] + 1);
    require(counts.kept + counts.erased == rows && counts.untold <= counts.kept);
    (void)run(&whole, data, data_bytes, data_bytes + 1);
    require(equals(&whole.out, odd.out.data, odd.out.size_bytes));
    size_t kept = counts.kept;
    counts = run(&again, odd.out.data, odd.out.size_bytes, 7);
    require(equals(&again.out, odd.out.data, odd.out.size_bytes) || counts.erased > 0);
    require(counts.kept <= kept);
    buffer_release(&same.out);
    buffer_release(&odd.out);
    buffer_release(&whole.out);
    buffer_release(&again.out);
    return 0;
}
