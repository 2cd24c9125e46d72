/*
 * Tests of base/digest.c against published vectors (FIPS 180 examples, RFC 4231), whole and in pieces, and of what
 * the texts of digests may look like.
 */
#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/memory.h"

/* SHA-256 of no bytes. */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void assert_digest_is(const uint8_t digest[DIGEST_BYTES], const char *expected)
{
    char text[DIGEST_TEXT_BYTES];
    digest_to_text(digest, text);
    assert_string_equal(text, expected);
}

static void test_sha256_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        const char *digest;
    } cases[] = {
        {"", EMPTY_SHA256},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t digest[DIGEST_BYTES];
        size_t input_bytes = strlen(cases[i].input);
        digest_sha256(cases[i].input, input_bytes, digest);
        assert_digest_is(digest, cases[i].digest);
        /* The same in pieces of every size. */
        for (size_t piece_bytes = 1; piece_bytes <= input_bytes; piece_bytes++) {
            CLEANUP(digest_free) struct digest *running = digest_new();
            for (size_t at = 0; at < input_bytes; at += piece_bytes) {
                size_t left = input_bytes - at;
                digest_update(running, cases[i].input + at,
                              left < piece_bytes ? left : piece_bytes);
            }
            digest_finish(running, digest);
            assert_digest_is(digest, cases[i].digest);
        }
    }
}

static void test_hmac_vectors(void **state)
{
    (void)state;
    static const struct {
        char key_byte; /* repeated; 0: key_text */
        size_t key_bytes;
        const char *key_text;
        const char *input;
        const char *digest;
    } cases[] = {
        {0x0b, 20, NULL, "Hi There",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {0, 0, "Jefe", "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {(char)0xaa, 131, NULL, "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        /* GitHub's own example of a webhook signature. */
        {0, 0, "It's a Secret to Everybody", "Hello, World!",
         "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char key[131];
        uint8_t digest[DIGEST_BYTES];
        size_t key_bytes =
            cases[i].key_text != NULL ? strlen(cases[i].key_text) : cases[i].key_bytes;
        memset(key, cases[i].key_byte, sizeof(key));
        if (cases[i].key_text != NULL)
            memcpy(key, cases[i].key_text, key_bytes);
        CLEANUP(hmac_key_free) struct hmac_key *prepared = hmac_key_new(key, key_bytes);
        CLEANUP(hmac_free) struct hmac *whole = hmac_new(prepared);
        CLEANUP(hmac_free) struct hmac *pieces = hmac_new(prepared);
        hmac_key_free(TAKE(prepared)); /* running ones go on */
        size_t input_bytes = strlen(cases[i].input);
        hmac_update(whole, cases[i].input, input_bytes);
        for (size_t at = 0; at < input_bytes; at++)
            hmac_update(pieces, cases[i].input + at, 1);
        hmac_finish(whole, digest);
        assert_digest_is(digest, cases[i].digest);
        hmac_finish(pieces, digest);
        assert_digest_is(digest, cases[i].digest);
    }
}

static void test_a_key_serves_many(void **state)
{
    (void)state;
    CLEANUP(hmac_key_free) struct hmac_key *key = hmac_key_new("Jefe", 4);
    uint8_t first[DIGEST_BYTES] = {0};
    for (int i = 0; i < 3; i++) {
        uint8_t digest[DIGEST_BYTES];
        CLEANUP(hmac_free) struct hmac *hmac = hmac_new(key);
        hmac_update(hmac, "same", 4);
        hmac_finish(hmac, digest);
        if (i == 0)
            memcpy(first, digest, sizeof(first));
        assert_true(digest_equal(first, digest, DIGEST_BYTES));
    }
}

static void test_texts(void **state)
{
    (void)state;
    static const char upper[] = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    uint8_t digest[DIGEST_BYTES] = {0};
    assert_int_equal(digest_from_text(upper, 64, digest), 0);
    assert_digest_is(digest, EMPTY_SHA256);

    static const struct {
        size_t at; /* replaces the character here */
        char character;
        size_t text_bytes;
    } bad[] = {
        {0, 'g', 64},  {63, ' ', 64}, {32, '\0', 64}, {10, '/', 64}, {10, ':', 64},   {10, '@', 64},
        {10, '`', 64}, {0, 'e', 63},  {0, 'e', 65},   {0, 'e', 0},   {5, '\xc3', 64},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char text[DIGEST_TEXT_BYTES] = EMPTY_SHA256;
        uint8_t untouched[DIGEST_BYTES] = {7};
        text[bad[i].at] = bad[i].character;
        assert_int_equal(digest_from_text(text, bad[i].text_bytes, untouched), ERR_INPUT);
        assert_int_equal(untouched[0], 7);
    }
}

static void test_equal(void **state)
{
    (void)state;
    assert_true(digest_equal("abc", "abc", 3));
    assert_false(digest_equal("abc", "abd", 3));
    assert_false(digest_equal("xbc", "abc", 3));
    assert_true(digest_equal("abc", "abd", 2));
    assert_true(digest_equal("a", "b", 0));
}

static void test_free_accepts_null_and_unfinished(void **state)
{
    (void)state;
    digest_free(NULL);
    hmac_free(NULL);
    hmac_key_free(NULL);
    digest_free(digest_new());
    CLEANUP(hmac_key_free) struct hmac_key *key = hmac_key_new("k", 1);
    hmac_free(hmac_new(key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_vectors),
        cmocka_unit_test(test_hmac_vectors),
        cmocka_unit_test(test_a_key_serves_many),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_free_accepts_null_and_unfinished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
