/* The signed payloads that loads send: see pool.h for the file's format. */
#include "tests/bench/ingest/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

/* Cuts the head line (NUL-terminated, changed) into its three words. Returns false if it has no three. */
static bool cut_head(char *line, struct payload_item *item)
{
    char *end = NULL;
    item->body_bytes = strtoul(line, &end, 10);
    if (end == line || *end != ' ')
        return false;
    char *space = strchr(end + 1, ' ');
    if (space == NULL)
        return false;
    *space = '\0';
    item->key = end + 1;
    item->signature = space + 1;
    return true;
}

/* Takes one payload from `*at`, which moves behind it. Returns false if there is none. */
static bool take_item(char **at, char *end, struct payload_item *item)
{
    char *newline = memchr(*at, '\n', (size_t)(end - *at));
    if (newline == NULL)
        return false;
    *newline = '\0';
    if (!cut_head(*at, item) || item->body_bytes >= (size_t)(end - newline - 1))
        return false;
    item->body = newline + 1;
    *at = newline + 1 + item->body_bytes + 1;
    return (*at)[-1] == '\n';
}

int pool_read(const char *path, struct pool *ret_pool, struct error *error)
{
    struct pool pool = {.text = BUFFER_INIT(POOL_FILE_MAX_BYTES)};
    int code = file_read(path, &pool.text, error);
    if (code != 0)
        return code;
    pool.items = mem_alloc_array(POOL_PAYLOADS_MAX, sizeof(*pool.items));
    char *at = pool.text.data;
    char *end = at == NULL ? NULL : at + pool.text.size_bytes;
    while (at < end && pool.count < POOL_PAYLOADS_MAX) {
        if (!take_item(&at, end, &pool.items[pool.count])) {
            code = error_set(error, ERR_INPUT, "%s: payload %zu is not as pool.h says", path,
                             pool.count + 1);
            break;
        }
        pool.count++;
    }
    if (code == 0 && pool.count == 0)
        code = error_set(error, ERR_INPUT, "%s: there is no payload in it", path);
    if (code != 0) {
        pool_release(&pool);
        return code;
    }
    *ret_pool = pool;
    return 0;
}

void pool_release(struct pool *pool)
{
    free(TAKE(pool->items));
    buffer_release(&pool->text);
}
