/*
 * Versions of models: what the topic says, which are fetched, and what a damaged, missing, collected or
 * too large one means. Over a file store and a cache in a folder of the test's own, on a simulated loop.
 */
#include "reactors/labeler/versions.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/unit/reactors/labeler/trained.h"
#include "topics/model_record.h"

/* Longest path of a test's file. */
#define PATH_BYTES 256

/* Two contents. */
static struct trained panics;
static struct trained glitches;

/* One test's world. */
struct world {
    char folder[64];           /* of this test */
    char store[128];           /* URL of the artefacts */
    char cache[128];           /* folder */
    struct loop *loop;         /* simulated */
    struct metrics *metrics;   /* its own */
    struct versions *versions; /* under test */
    struct versions_settings settings;
    int64_t offset;   /* of the next record */
    unsigned changes; /* calls of `changed` */
};

static int begin(void **state)
{
    (void)state;
    static const struct trained_label first[] = {{"kind/bug", "panic crash"},
                                                 {"kind/feature", "please support"}};
    static const struct trained_label second[] = {{"kind/bug", "glitch hiccup"},
                                                  {"area/x", "xylophone xenon"}};
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return trained_make(first, ARRAY_COUNT(first), &panics) &&
                   trained_make(second, ARRAY_COUNT(second), &glitches)
               ? 0
               : -1;
}

static int end(void **state)
{
    (void)state;
    mem_free(panics.bytes);
    mem_free(glitches.bytes);
    return 0;
}

static void count_change(void *argument)
{
    struct world *world = argument;
    world->changes++;
}

static void open_versions(struct world *world)
{
    struct error error = {0};
    world->metrics = metrics_new();
    if (versions_new(world->loop, NULL, world->metrics, &world->settings, count_change, world,
                     &world->versions, &error) != 0)
        fail_msg("%s", error.text);
}

static int setup(void **state)
{
    struct world *world = MEM_NEW(struct world);
    (void)snprintf(world->folder, sizeof(world->folder), "/tmp/nodag-versions-XXXXXX");
    if (mkdtemp(world->folder) == NULL)
        return -1;
    (void)snprintf(world->store, sizeof(world->store), "file://%s/store", world->folder);
    (void)snprintf(world->cache, sizeof(world->cache), "%s/deep/cache", world->folder);
    world->loop = loop_new_simulated(7, 1700000000000);
    world->settings = (struct versions_settings){
        .artefacts = {.url = world->store},
        .cache = {.folder = world->cache, .most_bytes = 64 << 20},
    };
    open_versions(world);
    *state = world;
    return 0;
}

static void close_versions(struct world *world)
{
    versions_free(world->versions);
    metrics_free(world->metrics);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static int teardown(void **state)
{
    struct world *world = *state;
    close_versions(world);
    loop_free(world->loop);
    int code = nftw(world->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    mem_free(world);
    return code;
}

static void sha256_of(const struct trained *content, char ret_text[DIGEST_TEXT_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(content->bytes, content->byte_count, digest);
    digest_to_text(digest, ret_text);
}

/* Writes `bytes` where the store has `content`; NULL: removes it. */
static void store(const struct world *world, const struct trained *content, const void *bytes)
{
    char sha256[DIGEST_TEXT_BYTES];
    char path[PATH_BYTES];
    sha256_of(content, sha256);
    (void)snprintf(path, sizeof(path), "%s/store", world->folder);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/store/sha256", world->folder);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/store/sha256/%.2s", world->folder, sha256);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/store/sha256/%.2s/%s", world->folder, sha256, sha256);
    if (bytes == NULL) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, content->byte_count, file), content->byte_count);
    assert_int_equal(fclose(file), 0);
}

static void apply(struct world *world, const char *key, const char *value)
{
    struct bus_record record = {.topic = TOPIC_MODELS,
                                .offset = world->offset++,
                                .key = key,
                                .key_bytes = strlen(key),
                                .value = value,
                                .value_bytes = value != NULL ? strlen(value) : 0};
    versions_apply(world->versions, &record);
}

/* Publishes the record of a version of the model `m`. */
static void publish(struct world *world, const char *version, const struct trained *content,
                    bool collected)
{
    char sha256[DIGEST_TEXT_BYTES];
    sha256_of(content, sha256);
    CLEANUP(model_record_free) struct model_record *record = model_record_new();
    record->model = mem_copy_text("m");
    record->version = mem_copy_text(version);
    record->run = mem_copy_text(version);
    record->repository = mem_copy_text("https://h/o/r");
    record->commit = mem_copy_text("8c1");
    record->notebook = mem_copy_text("train.ipynb");
    record->snapshot = mem_copy_text(sha256);
    record->snapshot_ms = record->created_ms = 1700000000000;
    record->collected = collected;
    record->artefacts = json_pack("{s:{s:s,s:s,s:I}}", "model", "uri", "file:///x", "sha256",
                                  sha256, "size_bytes", (json_int_t)content->byte_count);
    char key[SUBJECT_KEY_BYTES];
    assert_int_equal(model_record_key(record, key), 0);
    CLEANUP(mem_free) char *value = model_record_encode(record, NULL);
    apply(world, key, value);
}

static void want(struct world *world, const char *name)
{
    versions_want(world->versions, &name, 1);
}

/* Asserts that a version is the content, loaded. */
static void assert_loaded(const struct world *world, const char *version,
                          const struct trained *content)
{
    char sha256[DIGEST_TEXT_BYTES];
    const struct classifier *classifier = versions_find(world->versions, version);
    if (classifier == NULL) {
        struct error error = {0};
        (void)!versions_why_not(world->versions, version, &error);
        fail_msg("not loaded: %s", error.text);
    }
    sha256_of(content, sha256);
    assert_string_equal(classifier_sha256(classifier), sha256);
}

/* Asserts why a version cannot be used. */
static void assert_why(const struct world *world, const char *version, int code, const char *part)
{
    struct error error = {0};
    assert_null(versions_find(world->versions, version));
    assert_int_equal(versions_why_not(world->versions, version, &error), code);
    if (strstr(error.text, part) == NULL)
        fail_msg("expected \"%s\" in: %s", part, error.text);
}

static double metric_of(const struct world *world, const char *line)
{
    struct buffer text = BUFFER_INIT(1u << 16);
    assert_int_equal(metrics_print(world->metrics, &text), 0);
    const char *found = strstr(text.data, line);
    double value = found != NULL ? strtod(found + strlen(line), NULL) : 0;
    buffer_release(&text);
    return value;
}

/* Files of the cache. */
static size_t cached(const struct world *world)
{
    size_t count = 0;
    DIR *entries = opendir(world->cache);
    for (struct dirent *entry = entries != NULL ? readdir(entries) : NULL; entry != NULL;
         entry = readdir(entries))
        count += entry->d_name[0] != '.' ? 1 : 0;
    if (entries != NULL)
        (void)closedir(entries);
    return count;
}

#define AT_ONCE_MS 900 /* before any second try */
#define LATER_MS 130000

/* --- tests --- */

/* In whatever order document, record and artefact come, the version is there in the end. */
static void test_any_order(void **state)
{
    static const char *const orders[] = {"wrs", "wsr", "rws", "rsw", "swr", "srw"};
    struct world *world = *state;
    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        char version[16];
        (void)snprintf(version, sizeof(version), "v%zu", i);
        const struct trained *content = i % 2 == 0 ? &panics : &glitches;
        for (const char *step = orders[i]; *step != '\0'; step++) {
            if (*step == 'w')
                want(world, version);
            else if (*step == 'r')
                publish(world, version, content, false);
            else
                store(world, content, content->bytes);
            loop_advance(world->loop, AT_ONCE_MS);
        }
        loop_advance(world->loop, LATER_MS);
        assert_loaded(world, version, content);
        assert_int_equal(world->changes, i + 1);
        assert_true(metric_of(world, "nodag_labeler_versions{state=\"loaded\"} ") == 1);
        store(world, content, NULL);
    }
    assert_int_equal(cached(world), 2);
    assert_true(metric_of(world, "nodag_labeler_model_fetches_total{result=\"fetched\"} ") == 2);
    assert_true(metric_of(world, "nodag_labeler_model_fetches_total{result=\"cached\"} ") == 4);
}

static void test_not_there(void **state)
{
    struct world *world = *state;
    want(world, "v1");
    loop_advance(world->loop, AT_ONCE_MS);
    assert_why(world, "v1", ERR_UNAVAILABLE, "version v1 is not on the topic models");
    store(world, &panics, panics.bytes);
    publish(world, "v1", &panics, false);
    assert_why(world, "v1", ERR_UNAVAILABLE, "version v1 is being fetched");
    apply(world, "m/v1", NULL); /* a tombstone, while it is being fetched */
    loop_advance(world->loop, LATER_MS);
    assert_why(world, "v1", ERR_UNAVAILABLE, "version v1 is not on the topic models");
    assert_int_equal(world->changes, 0);
}

/* A collected one is not begun with; one that is in use stays. */
static void test_collected(void **state)
{
    struct world *world = *state;
    store(world, &panics, panics.bytes);
    publish(world, "v1", &panics, true);
    want(world, "v1");
    loop_advance(world->loop, LATER_MS);
    assert_why(world, "v1", ERR_NOT_FOUND, "version v1 is collected");
    publish(world, "v2", &panics, false);
    want(world, "v2");
    loop_advance(world->loop, AT_ONCE_MS);
    publish(world, "v2", &panics, true);
    loop_advance(world->loop, LATER_MS);
    assert_loaded(world, "v2", &panics);
    assert_true(metric_of(world, "nodag_labeler_versions{state=\"collected\"} ") == 1);
}

/* What the store has under a name is not what the name says; then it is. */
static void test_damaged(void **state)
{
    struct world *world = *state;
    CLEANUP(mem_free) char *bad = mem_copy_bytes(panics.bytes, panics.byte_count);
    bad[panics.byte_count / 2] ^= 1;
    store(world, &panics, bad);
    publish(world, "v1", &panics, false);
    want(world, "v1");
    loop_advance(world->loop, AT_ONCE_MS);
    assert_why(world, "v1", ERR_CORRUPT, "version v1: its artefact cannot be fetched: ");
    assert_why(world, "v1", ERR_CORRUPT, "is damaged: its SHA-256 is");
    assert_int_equal(cached(world), 0);
    store(world, &panics, panics.bytes);
    loop_advance(world->loop, LATER_MS);
    assert_loaded(world, "v1", &panics);
}

/* What has the right SHA-256 and is no model: it is not kept. */
static void test_no_model(void **state)
{
    struct world *world = *state;
    static char text[] = "no model at all";
    const struct trained content = {.bytes = text, .byte_count = sizeof(text) - 1};
    store(world, &content, content.bytes);
    publish(world, "v1", &content, false);
    want(world, "v1");
    loop_advance(world->loop, AT_ONCE_MS);
    assert_why(world, "v1", ERR_CORRUPT, "version v1: its artefact cannot be used: ");
    assert_int_equal(cached(world), 0);
}

/* Tries come rarely after a while, the rarer where a person must mend something, and at once when a
 * person asks. */
static void test_backoff(void **state)
{
    struct world *world = *state;
    static const char failed[] = "nodag_labeler_model_fetches_total{result=\"failed\"} ";
    publish(world, "v1", &panics, false);
    want(world, "v1");
    loop_advance(world->loop, 3600000);
    double away = metric_of(world, failed);
    assert_true(away > 3600000.0 / VERSIONS_BACKOFF_MOST_MS && away < 150);
    assert_why(world, "v1", ERR_UNAVAILABLE, "cannot be fetched");
    versions_retry(world->versions);
    loop_advance(world->loop, 10);
    assert_true(metric_of(world, failed) == away + 1);
}

/* Changes a weight in the cache's file of the first content. `sealed`: with a checksum that holds again,
 * so that it is a good model of another SHA-256. */
static void spoil(const struct world *world, bool sealed)
{
    char sha256[DIGEST_TEXT_BYTES];
    char path[PATH_BYTES];
    CLEANUP(mem_free) char *bytes = mem_copy_bytes(panics.bytes, panics.byte_count);
    bytes[panics.byte_count - DIGEST_BYTES - 16] ^= 1;
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(bytes, panics.byte_count - DIGEST_BYTES, digest);
    if (sealed)
        memcpy(bytes + panics.byte_count - DIGEST_BYTES, digest, DIGEST_BYTES);
    sha256_of(&panics, sha256);
    (void)snprintf(path, sizeof(path), "%s/%s.model", world->cache, sha256);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, panics.byte_count, file), panics.byte_count);
    assert_int_equal(fclose(file), 0);
}

/* A file of the cache that went bad is fetched again; without a store the good one is enough. */
static void test_cache(void **state)
{
    struct world *world = *state;
    store(world, &panics, panics.bytes);
    publish(world, "v1", &panics, false);
    want(world, "v1");
    loop_advance(world->loop, LATER_MS);
    close_versions(world);
    store(world, &panics, NULL);

    open_versions(world);
    publish(world, "v1", &panics, false);
    want(world, "v1");
    loop_advance(world->loop, AT_ONCE_MS);
    assert_loaded(world, "v1", &panics);
    close_versions(world);

    spoil(world, false);
    open_versions(world);
    publish(world, "v1", &panics, false);
    want(world, "v1");
    loop_advance(world->loop, AT_ONCE_MS);
    assert_why(world, "v1", ERR_UNAVAILABLE, "cannot be fetched");
    store(world, &panics, panics.bytes);
    loop_advance(world->loop, LATER_MS);
    assert_loaded(world, "v1", &panics);
    close_versions(world);

    spoil(world, true);
    open_versions(world);
    publish(world, "v1", &panics, false);
    want(world, "v1");
    loop_advance(world->loop, LATER_MS);
    assert_loaded(world, "v1", &panics);
}

/* The same version with another content: the old one serves until the new one is there. */
static void test_other_content(void **state)
{
    struct world *world = *state;
    store(world, &panics, panics.bytes);
    publish(world, "v1", &panics, false);
    want(world, "v1");
    loop_advance(world->loop, AT_ONCE_MS);
    publish(world, "v1", &glitches, false);
    loop_advance(world->loop, AT_ONCE_MS);
    assert_loaded(world, "v1", &panics);
    store(world, &glitches, glitches.bytes);
    loop_advance(world->loop, LATER_MS);
    assert_loaded(world, "v1", &glitches);
}

/* The folder's limit: what is not wanted goes, oldest first; what is wanted never does. */
static void test_room(void **state)
{
    struct world *world = *state;
    const char *both[] = {"v1", "v2"};
    close_versions(world);
    world->settings.cache.most_bytes =
        (int64_t)(panics.byte_count + glitches.byte_count) - 1; /* room for one of them */
    open_versions(world);
    store(world, &panics, panics.bytes);
    store(world, &glitches, glitches.bytes);
    publish(world, "v1", &panics, false);
    publish(world, "v2", &glitches, false);
    want(world, "v1");
    loop_advance(world->loop, AT_ONCE_MS);
    versions_want(world->versions, both, 2);
    loop_advance(world->loop, AT_ONCE_MS);
    assert_loaded(world, "v1", &panics);
    assert_why(world, "v2", ERR_TOO_LARGE, "has no room for");
    want(world, "v2");
    loop_advance(world->loop, 2 * VERSIONS_BACKOFF_MENDED_MS);
    assert_loaded(world, "v2", &glitches);
    assert_int_equal(cached(world), 1);
}

/* What is freed while it is being fetched leaves nothing behind. */
static void test_let_go(void **state)
{
    struct world *world = *state;
    store(world, &panics, panics.bytes);
    publish(world, "v1", &panics, false);
    want(world, "v1");
    while (metric_of(world, "nodag_labeler_versions{state=\"fetching\"} ") != 1)
        assert_true(loop_step(world->loop));
    assert_int_equal(cached(world), 1);
    versions_want(world->versions, NULL, 0);
    assert_int_equal(cached(world), 0);
    assert_null(versions_find(world->versions, "v1"));
    loop_advance(world->loop, LATER_MS);
    assert_int_equal(world->changes, 0);
}

/* Records that are none change nothing. */
static void test_records_that_are_none(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *key;
        const char *value;
    } cases[] = {
        {"m/v1", "{}"}, {"m/v1", "?"}, {"m/v1", ""},       {"", "{}"},
        {"v1", NULL},   {"m/", NULL},  {"other/v1", NULL}, {"/v1", NULL},
    };
    store(world, &panics, panics.bytes);
    publish(world, "v1", &panics, false);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        apply(world, cases[i].key, cases[i].value);
    want(world, "v1");
    loop_advance(world->loop, AT_ONCE_MS);
    assert_loaded(world, "v1", &panics);
}

#define VERSIONS_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VERSIONS_TEST(test_any_order),
        VERSIONS_TEST(test_not_there),
        VERSIONS_TEST(test_collected),
        VERSIONS_TEST(test_no_model),
        VERSIONS_TEST(test_damaged),
        VERSIONS_TEST(test_backoff),
        VERSIONS_TEST(test_cache),
        VERSIONS_TEST(test_other_content),
        VERSIONS_TEST(test_room),
        VERSIONS_TEST(test_let_go),
        VERSIONS_TEST(test_records_that_are_none),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
