/*
 * Tests of reactors/classifier/features.c and space.c: which features an issue has, that template
 * lines are found and kept apart, that repositories are crossed, and that a vector's blocks have
 * the length that the configuration says.
 */
#include "reactors/classifier/features.h"

#include <math.h>

#include "tests/unit/reactors/classifier/sample.h"

#include "reactors/classifier/space.h"

/* Returns a bag with texts for an issue without template lines, owned. */
static struct feature_bag *extract(const struct features_config *config,
                                   const struct classifier_issue *issue)
{
    const struct template_lines none = {0};
    struct feature_bag *bag = features_bag_new(true);
    features_extract(config, &none, issue, bag);
    return bag;
}

/* How often a bag has a text in a block. */
static uint32_t count_of(const struct feature_bag *bag, enum feature_block block, const char *text)
{
    for (size_t e = 0; e < bag->count; e++)
        if (bag->entries[e].block == block && bag->entries[e].text_bytes == strlen(text) &&
            memcmp(bag->texts + bag->entries[e].text_offset, text, strlen(text)) == 0)
            return bag->entries[e].count;
    return 0;
}

static void test_features_of_an_issue(void **state)
{
    (void)state;
    static const struct {
        enum feature_block block;
        const char *text;
        uint32_t count;
    } cases[] = {
        {FEATURE_TITLE_WORDS, "page", 1},
        {FEATURE_TITLE_WORDS, "^ the", 1},
        {FEATURE_TITLE_WORDS, "the login", 1},
        {FEATURE_TITLE_WORDS, "login-page", 1},
        {FEATURE_TITLE_WORDS, "the login-page", 0}, /* a whole stands by itself */
        {FEATURE_TITLE_WORDS, "again", 0},
        {FEATURE_BODY_WORDS, "again", 3},
        {FEATURE_BODY_WORDS, "again and", 2},
        {FEATURE_BODY_WORDS, "again and again", 0}, /* pairs are the longest */
        {FEATURE_BODY_WORDS, "<code>", 1},
        {FEATURE_BODY_WORDS, "code words", 0},
        {FEATURE_CODE_WORDS, "code words", 1},
        {FEATURE_ALL_PIECES, " pa", 1},
        {FEATURE_ALL_PIECES, "again", 3},
        {FEATURE_ALL_PIECES, "gain ", 3},
        {FEATURE_ALL_PIECES, "he", 0},
        {FEATURE_ALL_PIECES, " again", 0},
        {FEATURE_ALL_PIECES, "cod", 0},   /* placeholders and code have no pieces */
        {FEATURE_TITLE_PIECES, "pag", 0}, /* left out by the configuration */
        {FEATURE_FORM_LINES, "tell us", 1},
        {FEATURE_FORM_LINES, "bug report", 1},
        {FEATURE_BODY_WORDS, "report", 0}, /* a comment is the template's */
        {FEATURE_SHAPE, "4+ words of title", 1},
        {FEATURE_SHAPE, "1+ code blocks", 1},
        {FEATURE_SHAPE, "1+ questions", 1},
        {FEATURE_SHAPE, "no links", 1},
    };
    struct features_config config;
    features_config_init(&config);
    struct classifier_issue issue = sample_issue(
        "a/b", "The login-page",
        "<!-- Bug report\n ** Tell us -->Again and again and again?\n```\ncode words\n```\n");
    CLEANUP(features_bag_free) struct feature_bag *bag = extract(&config, &issue);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        if (count_of(bag, cases[i].block, cases[i].text) != cases[i].count)
            fail_msg("%s \"%s\": %u times and not %u", features_block_key(cases[i].block),
                     cases[i].text, count_of(bag, cases[i].block, cases[i].text), cases[i].count);
}

static void test_pieces_are_whole_characters(void **state)
{
    (void)state;
    struct features_config config;
    features_config_init(&config);
    struct classifier_issue issue = sample_issue("a/b", "größe", "");
    CLEANUP(features_bag_free) struct feature_bag *bag = extract(&config, &issue);
    assert_int_equal(count_of(bag, FEATURE_ALL_PIECES, "röß"), 1);
    assert_int_equal(count_of(bag, FEATURE_ALL_PIECES, " grö"), 1);
    assert_int_equal(count_of(bag, FEATURE_ALL_PIECES, "öße "), 1);
    assert_int_equal(count_of(bag, FEATURE_ALL_PIECES, "\xc3\xb6\xc3"), 0);
}

static void test_a_bag_grows_and_is_reused(void **state)
{
    (void)state;
    struct features_config config;
    features_config_init(&config);
    struct buffer body = BUFFER_INIT(1 << 16);
    for (int w = 0; w < 1500; w++)
        assert_int_equal(buffer_append_format(&body, "w%ca%cx%c ", 'a' + w % 26, 'a' + w / 26 % 26,
                                              'a' + w / 676),
                         0);
    struct classifier_issue large = sample_issue("a/b", "", body.data);
    struct classifier_issue small = sample_issue("a/b", "one", "");
    const struct template_lines none = {0};
    CLEANUP(features_bag_free) struct feature_bag *bag = extract(&config, &large);
    CLEANUP(features_bag_free) struct feature_bag *again = extract(&config, &large);
    assert_true(bag->count > 2000);
    features_extract(&config, &none, &small, bag);
    assert_int_equal(count_of(bag, FEATURE_TITLE_WORDS, "one"), 1);
    assert_int_equal(count_of(bag, FEATURE_BODY_WORDS, "waaaxa"), 0);
    features_extract(&config, &none, &large, bag);
    assert_int_equal(bag->count, again->count);
    for (size_t e = 0; e < bag->count; e++)
        assert_true(bag->entries[e].hash == again->entries[e].hash &&
                    bag->entries[e].count == again->entries[e].count);
    buffer_release(&body);
}

static void test_repository_names(void **state)
{
    (void)state;
    assert_true(features_repository_hash("Owner/Name") == features_repository_hash("owner/name"));
    assert_true(features_repository_hash("owner/name") != features_repository_hash("owner/names"));
    assert_true(features_owner_hash("Owner/a") == features_owner_hash("owner/b"));
    assert_true(features_owner_hash("owner/a") != features_repository_hash("owner"));
    assert_int_equal(features_repository_hash(NULL), 0);
    assert_int_equal(features_repository_hash(""), 0);
    assert_int_equal(features_owner_hash("no owner"), 0);
    assert_int_equal(features_owner_hash(NULL), 0);
}

/* The space of the sample, and its data set. */
struct learnt {
    struct dataset *dataset;           /* owned */
    struct space_builder *builder;     /* owned */
    const struct feature_space *space; /* borrowed */
};

static void learn(struct learnt *ret_learnt, const struct features_config *config)
{
    ret_learnt->dataset = sample_dataset();
    CLEANUP(mem_free) const struct dataset_row **rows = sample_rows(ret_learnt->dataset);
    ret_learnt->builder = space_learn(config, rows, ret_learnt->dataset->row_count);
    ret_learnt->space = space_of(ret_learnt->builder);
}

static void forget(struct learnt *learnt)
{
    space_builder_free(learnt->builder);
    dataset_free(learnt->dataset);
}

static void test_template_lines_are_found(void **state)
{
    (void)state;
    struct features_config config;
    features_config_init(&config);
    struct learnt learnt;
    learn(&learnt, &config);
    /*
     * In every issue of both repositories stands "### What happened"; so unknown repositories know
     * it too.
     */
    static const char *const repositories[] = {"one/alpha", "two/beta", "un/known", NULL};
    for (size_t r = 0; r < ARRAY_COUNT(repositories); r++) {
        CLEANUP(features_bag_free) struct feature_bag *bag = features_bag_new(true);
        struct classifier_issue issue =
            sample_issue(repositories[r], "T", "## what  HAPPENED:\nsomething happened\n");
        features_extract(&config, &learnt.space->templates, &issue, bag);
        assert_int_equal(count_of(bag, FEATURE_FORM_LINES, "what happened"), 1);
        assert_int_equal(count_of(bag, FEATURE_BODY_WORDS, "what"), 0);
        assert_int_equal(count_of(bag, FEATURE_BODY_WORDS, "happened"), 1);
    }
    forget(&learnt);
}

static void test_blocks_have_their_length(void **state)
{
    (void)state;
    struct features_config config;
    features_config_init(&config);
    config.block_weight[FEATURE_BODY_WORDS] = 0.25;
    struct learnt learnt;
    learn(&learnt, &config);
    CLEANUP(features_bag_free) struct feature_bag *bag = features_bag_new(false);
    struct space_vector vector = {0};
    for (size_t r = 0; r < learnt.dataset->row_count; r += 17)
        for (int known = 0; known < 2; known++) {
            struct classifier_issue issue = dataset_issue(&learnt.dataset->rows[r]);
            const char *repository = known ? issue.repository : "un/known";
            double squares[FEATURE_BLOCK_COUNT] = {0};
            features_extract(&config, &learnt.space->templates, &issue, bag);
            space_vectorise(learnt.space, bag, repository, &vector);
            for (size_t v = 0; v < vector.count; v++)
                squares[bag->entries[vector.values[v].entry].block] +=
                    pow((double)vector.values[v].value, 2);
            /* Copies for the repository add at most as much again, weighed. */
            double most = known ? 1 + config.cross_weight * config.cross_weight : 1;
            double title = squares[FEATURE_TITLE_WORDS];
            double body = squares[FEATURE_BODY_WORDS] / (0.25 * 0.25);
            assert_true(title > 0.999 && title < most + 0.001 && body > 0.999 &&
                        body < most + 0.001);
            assert_true(known == 0 || title > 1.1);
        }
    space_vector_release(&vector);
    forget(&learnt);
}

static void test_one_repository_is_not_crossed(void **state)
{
    (void)state;
    struct features_config config;
    features_config_init(&config);
    CLEANUP(dataset_free) struct dataset *dataset = sample_dataset();
    CLEANUP(mem_free) const struct dataset_row **rows = sample_rows(dataset);
    size_t count = 0;
    for (size_t r = 0; r < dataset->row_count; r++)
        if (strcmp(rows[r]->repository, "one/alpha") == 0)
            rows[count++] = rows[r];
    CLEANUP(space_builder_free) struct space_builder *one = space_learn(&config, rows, count);
    assert_int_equal(space_of(one)->crossed_count, 0);
    CLEANUP(mem_free) const struct dataset_row **all = sample_rows(dataset);
    CLEANUP(space_builder_free)
    struct space_builder *two = space_learn(&config, all, dataset->row_count);
    assert_int_equal(space_of(two)->crossed_count,
                     2); /* owners of one repository each are not crossed */
    for (size_t r = 0; r < dataset->row_count; r++)
        memcpy(dataset->rows[r].repository, "one/", strlen("one/"));
    CLEANUP(space_builder_free)
    struct space_builder *owned = space_learn(&config, all, dataset->row_count);
    assert_int_equal(space_of(owned)->templates.repository_count, 2);
    assert_int_equal(space_of(owned)->crossed_count, 2); /* nor an owner of all */
}

static void test_index_covers_all(void **state)
{
    (void)state;
    static const uint64_t hashes[] = {
        0, 1, UINT64_C(1) << 50, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
    CLEANUP(mem_free) uint32_t *buckets = mem_alloc_array(SPACE_BUCKETS, sizeof(*buckets));
    space_index(hashes, ARRAY_COUNT(hashes), buckets);
    assert_int_equal(buckets[0], 0);
    assert_int_equal(buckets[1], 2);
    assert_int_equal(buckets[SPACE_BUCKETS - 2], 4);
    assert_int_equal(buckets[SPACE_BUCKETS - 1], ARRAY_COUNT(hashes));
    space_index(hashes, 0, buckets);
    assert_int_equal(buckets[SPACE_BUCKETS - 1], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features_of_an_issue),
        cmocka_unit_test(test_pieces_are_whole_characters),
        cmocka_unit_test(test_a_bag_grows_and_is_reused),
        cmocka_unit_test(test_repository_names),
        cmocka_unit_test(test_template_lines_are_found),
        cmocka_unit_test(test_blocks_have_their_length),
        cmocka_unit_test(test_one_repository_is_not_crossed),
        cmocka_unit_test(test_index_covers_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
