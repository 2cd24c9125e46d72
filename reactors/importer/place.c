/*
 * The place of an import: see place.h.
 */
#include "reactors/importer/place.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"

/* Largest such file: a URL, a name and two numbers. */
#define PLACE_FILE_MAX_BYTES 8192

static int read_members(const json_t *root, const char *forge, const char *repository,
                        int64_t *ret_repository_id, int64_t *ret_place_ms, struct error *error)
{
    const char *place = json_text_or(root, "place", "");
    const char *other_forge = json_text_or(root, "forge", "");
    const char *other = json_text_or(root, "repository", "");
    int64_t repository_id = json_int_or(root, "repository_id", 0);
    int64_t place_ms = 0;
    if (repository_id <= 0 || time_from_text(place, strlen(place), &place_ms) != 0)
        return error_set(error, ERR_INPUT, "it is not the place of an import");
    if (strcmp(other_forge, forge) != 0 || strcasecmp(other, repository) != 0)
        return error_set(error, ERR_INPUT,
                         "it is the place of %.200s at %.100s; give each import a file of its own",
                         other, other_forge);
    *ret_repository_id = repository_id;
    *ret_place_ms = place_ms;
    return 0;
}

int place_read(const char *path, const char *forge, const char *repository,
               int64_t *ret_repository_id, int64_t *ret_place_ms, struct error *error)
{
    CLEANUP(buffer_release) struct buffer bytes = BUFFER_INIT(PLACE_FILE_MAX_BYTES);
    CLEANUP(json_release) json_t *root = NULL;
    int code = file_read(path, &bytes, error);
    if (code == ERR_NOT_FOUND) {
        *ret_repository_id = 0;
        *ret_place_ms = 0;
        return 0;
    }
    if (code != 0)
        return code;
    code = json_read(bytes.data != NULL ? bytes.data : "", bytes.size_bytes, &root, error);
    if (code == 0)
        code = read_members(root, forge, repository, ret_repository_id, ret_place_ms, error);
    return code == 0 ? 0 : error_prefix(error, ERR_INPUT, "%s", path);
}

int place_write(const char *path, const char *forge, const char *repository, int64_t repository_id,
                int64_t place_ms, struct error *error)
{
    char place[TIME_TEXT_BYTES];
    time_to_text(place_ms, place);
    CLEANUP(json_release)
    json_t *root = json_pack("{s:s, s:s, s:I, s:s}", "forge", forge, "repository", repository,
                             "repository_id", (json_int_t)repository_id, "place", place);
    size_t text_bytes = 0;
    CLEANUP(mem_free) char *text = json_write(root, &text_bytes);
    return file_write_atomically(path, text, text_bytes, error);
}
