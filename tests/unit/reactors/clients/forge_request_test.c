/*
 * Tests of the parts that stand alone: URLs, Link headers, texts that are shown, the bounded map,
 * the cache, the JWT.
 */
#include "reactors/clients/forge_call.h"

#include "tests/unit/reactors/clients/forge_fixture.h"

static void test_next_page(void **state)
{
    (void)state;
    static const struct {
        const char *link;
        const char *next; /* NULL: none */
        int code;
    } rows[] = {
        {NULL, NULL, 0},
        {"", NULL, 0},
        {"nonsense", NULL, 0},
        {"<https://x/api/v3/2", NULL, 0},
        {"<https://x/api/v3/2>", NULL, 0},
        {"<https://x/api/v3/2>; rel=\"prev\"", NULL, 0},
        {"<https://x/api/v3/2>; rel=\"nextish\"", NULL, 0},
        {"<https://x/api/v3/2>; rel=\"next\"", "https://x/api/v3/2", 0},
        {"<https://x/api/v3/2>;REL=NEXT", "https://x/api/v3/2", 0},
        {"<https://x/api/v3/1>; rel=\"prev\", <https://x/2?a=1,2&b=%20>; title=x; rel=\"last "
         "next\"",
         "https://x/2?a=1,2&b=%20", 0},
        {"<HTTPS://X/2>; rel=next", "HTTPS://X/2", 0},
        {"<https://x/a b>; rel=next", NULL, ERR_INPUT},
        {"<http://x/2>; rel=next", NULL, ERR_INPUT},
        {"<https://x:8443/2>; rel=next", NULL, ERR_INPUT},
        {"<https://x.evil/2>; rel=next", NULL, ERR_INPUT},
        {"<https://x@evil/2>; rel=next", NULL, ERR_INPUT},
        {"<//evil/2>; rel=next", NULL, ERR_INPUT},
        {"</2>; rel=next", NULL, ERR_INPUT},
        {"<javascript:x>; rel=next", NULL, ERR_INPUT},
        {"<>; rel=next", NULL, ERR_INPUT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        CLEANUP(mem_free) char *next = NULL;
        int code = forge_url_next_page("https://x/api/v3", rows[i].link, &next, NULL);
        bool is_same =
            rows[i].next == NULL ? next == NULL : next != NULL && strcmp(next, rows[i].next) == 0;
        if (code != rows[i].code || !is_same)
            fail_msg("row %zu: %s, %s", i, err_name(code), next != NULL ? next : "(none)");
    }
}

static void test_urls_of_settings(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"https://api.github.com", "https://api.github.com"},
        {"https://h:8443/api/v3//", "https://h:8443/api/v3"},
        {"http://[::1]:80/", "http://[::1]:80"},
        {"HTTPS://H", "HTTPS://H"},
        {"", NULL},
        {"api.github.com", NULL},
        {"https:///x", NULL},
        {"https://h#x", NULL},
        {"https://h/\x7f", NULL},
        {"https://h/\xc3\xbc", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        CLEANUP(mem_free) char *url = NULL;
        int code = forge_url_normalise(rows[i][0], &url, NULL);
        assert_int_equal(code, rows[i][1] != NULL ? 0 : ERR_USAGE);
        if (code == 0)
            assert_string_equal(url, rows[i][1]);
    }
}

static void test_long_names(void **state)
{
    (void)state;
    char long_name[10001];
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    CLEANUP(mem_free) char *encoded = NULL;
    assert_int_equal(forge_url_encode_segment(long_name, &encoded), ERR_TOO_LARGE);
    assert_int_equal(forge_url_encode_path(long_name, &encoded), ERR_TOO_LARGE);
    long_name[1] = '/';
    assert_false(forge_url_is_repository(long_name));
    long_name[FORGE_REPOSITORY_BYTES - 1] = '\0';
    assert_true(forge_url_is_repository(long_name));
}

static void test_clean_text(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"abc", "abc"},
        {"a\r\nb\x7f\x1b", "a  b  "},
        {"abcdefgh", "abcdefg"},
        {"abcdef\xc3\xbc", "abcdef"},
        {"abcde\xc3\xbc", "abcde\xc3\xbc"},
        {"abcd\xf0\x9f\x98\x80x", "abcd"},
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char text[8];
        forge_answer_clean_text(rows[i][0], sizeof(text), text);
        assert_string_equal(text, rows[i][1]);
    }
}

/* ---- map ---- */

static size_t freed_count;

static void count_free(void *value)
{
    freed_count++;
    free(value);
}

static bool is_value(const void *value, const void *argument)
{
    return strcmp(value, argument) == 0;
}

static void test_map(void **state)
{
    (void)state;
    freed_count = 0;
    struct forge_map *map = forge_map_new(3, count_free);
    assert_false(forge_map_remove_oldest(map));
    assert_null(forge_map_find(map, "a"));
    forge_map_put(map, "a", mem_copy_text("1"));
    forge_map_put(map, "b", mem_copy_text("2"));
    forge_map_put(map, "c", mem_copy_text("3"));
    assert_string_equal(forge_map_find(map, "a"), "1"); /* now b is the oldest */
    forge_map_put(map, "d", mem_copy_text("4"));
    assert_null(forge_map_find(map, "b"));
    assert_int_equal(freed_count, 1);
    forge_map_put(map, "c", mem_copy_text("1"));
    assert_int_equal(freed_count, 2);
    assert_int_equal(forge_map_count(map), 3);
    forge_map_remove_if(map, is_value, "1");
    assert_int_equal(forge_map_count(map), 1);
    assert_string_equal(forge_map_find(map, "d"), "4");
    forge_map_free(map);
    forge_map_free(NULL);
    assert_int_equal(freed_count, 5);
}

/* ---- cache ---- */

static void test_cache(void **state)
{
    (void)state;
    CLEANUP(forge_cache_free) struct forge_cache *cache = forge_cache_new();
    static const char *const bad_etags[] = {NULL, "", "\"a\r\nX: y\"", "\"\xc3\xbc\"", "\"a b\""};
    for (size_t i = 0; i < ARRAY_COUNT(bad_etags); i++) {
        forge_cache_put(cache, 0, "u", &(struct forge_cached){.etag = bad_etags[i], .body = "b"});
        assert_null(forge_cache_find(cache, 0, "u"));
    }
    forge_cache_put(cache, 0, "u", &(struct forge_cached){"\"e\"", "body", 4, "link"});
    assert_null(forge_cache_find(cache, 1, "u"));
    const struct forge_cached *kept = forge_cache_find(cache, 0, "u");
    assert_string_equal(kept->etag, "\"e\"");
    assert_string_equal(kept->body, "body");
    assert_string_equal(kept->link, "link");
    CLEANUP(mem_free) char *large = mem_alloc(FORGE_CACHE_BODY_MAX_BYTES + 1);
    forge_cache_put(cache, 0, "v",
                    &(struct forge_cached){"\"e\"", large, FORGE_CACHE_BODY_MAX_BYTES + 1, NULL});
    assert_null(forge_cache_find(cache, 0, "v"));
    /* As many of the largest as fit, and one more: the first goes. */
    for (size_t i = 0; i < FORGE_CACHE_MAX_BYTES / FORGE_CACHE_BODY_MAX_BYTES; i++) {
        CLEANUP(mem_free) char *url = mem_format("%zu", i);
        forge_cache_put(cache, 0, url,
                        &(struct forge_cached){"\"e\"", large, FORGE_CACHE_BODY_MAX_BYTES, NULL});
    }
    assert_null(forge_cache_find(cache, 0, "u"));
    assert_non_null(forge_cache_find(cache, 0, "0"));
}

/* ---- JWT ---- */

static void test_jwt(void **state)
{
    (void)state;
    fixture_write_key(fixture_key_file, fixture_key);
    CLEANUP(forge_key_free) struct forge_key *key = NULL;
    CLEANUP(forge_key_free) struct forge_key *same_key = NULL;
    assert_int_equal(forge_key_read(fixture_key_file, &key, NULL), 0);
    /* PKCS#8, as other tools write it. */
    BIO *file = BIO_new_file(fixture_key_file, "w");
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(file, fixture_key, NULL, NULL, 0, NULL, NULL),
                     1);
    BIO_free(file);
    assert_int_equal(forge_key_read(fixture_key_file, &same_key, NULL), 0);
    assert_true(forge_key_equal(key, same_key));
    CLEANUP(forge_secret_free) char *jwt = NULL;
    assert_int_equal(forge_jwt_sign(key, "1234", FIXTURE_WALL_MS, &jwt, NULL), 0);
    CLEANUP(mem_free) char *header = mem_format("Bearer %s", jwt);
    fixture_check_jwt(fixture_key, header, FIXTURE_WALL_MS);
    assert_null(strpbrk(jwt, "+/="));
}

/* Keys that GitHub Apps do not have. */
static void test_wrong_keys(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {EVP_RSA_gen(1024), EVP_EC_gen("P-256")};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        BIO *file = BIO_new_file(fixture_key_file, "w");
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(file, keys[i], NULL, NULL, 0, NULL, NULL),
                         1);
        BIO_free(file);
        EVP_PKEY_free(keys[i]);
        struct forge_key *key = NULL;
        struct error error = {0};
        assert_int_equal(forge_key_read(fixture_key_file, &key, &error), ERR_INPUT);
        assert_non_null(strstr(error.text, "RSA with at least 2048 bits"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_page),  cmocka_unit_test(test_urls_of_settings),
        cmocka_unit_test(test_long_names), cmocka_unit_test(test_clean_text),
        cmocka_unit_test(test_map),        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_jwt),        cmocka_unit_test(test_wrong_keys),
    };
    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
