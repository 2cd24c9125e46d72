/*
 * Tests of the artefact stores: one contract for both, and what is each one's own.
 *
 * The S3 store talks through the real HTTP client to a server in this process that keeps objects in memory and can fail:
 * `status` answers every request, `cut` shortens a GET's body, `changed` gives other bytes of the same length. It checks
 * that the digest in the signature is the body's; the signature itself is checked by a real server in the integration
 * tests.
 */
#include "reactors/clients/artefacts.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/http_server.h"
#include "tests/unit/base/http_peer.h"

/* What is stored. */
#define CONTENT "a model"

/* Objects that the server keeps. */
#define OBJECTS_MAX 8

/* Large enough for several pieces of libcurl's and several slices of a copy. */
#define LARGE_BYTES ((size_t)5 << 20)

/* Largest object at the server. */
#define OBJECT_MAX_BYTES ((size_t)8 << 20)

/* One object at the server. */
struct object {
    char *path; /* owned; NULL: free */
    struct buffer bytes;
};

/* A store, its server, and what came of the calls. */
struct bed {
    struct bench bench;
    char folder[64];
    char credentials[96];
    struct http_server *server;
    struct http_client *http;
    struct artefact_store *store;
    struct object objects[OBJECTS_MAX];
    int status;          /* that every request gets; 0: as it should be */
    const char *refusal; /* the body of such answers */
    bool cut;
    bool changed;
    unsigned puts;
    char authorization[512]; /* of the last request */
    unsigned done;
    int code;
    struct artefact artefact;
    char error_text[ERROR_TEXT_BYTES];
};

/* ---- the server ---- */

/* A request at the server. */
struct served {
    struct bed *bed;
    struct buffer body;
};

/* Strict servers look at each header that is named as signed, and refuse where one is not there. */
static void check_signed_headers(const char *authorization, struct http_exchange *exchange)
{
    const char *names = strstr(authorization, "SignedHeaders=");
    assert_non_null(names);
    names += strlen("SignedHeaders=");
    CLEANUP(mem_free) char *copy = mem_format("%.*s", (int)strcspn(names, ","), names);
    char *rest = NULL;
    for (char *name = strtok_r(copy, ";", &rest); name != NULL; name = strtok_r(NULL, ";", &rest))
        if (http_exchange_header(exchange, name) == NULL)
            fail_msg("%s is signed, and not sent", name);
}

static void *on_head(void *argument, struct http_exchange *exchange)
{
    struct served *served = MEM_NEW(struct served);
    served->bed = argument;
    served->body = BUFFER_INIT(OBJECT_MAX_BYTES);
    const char *text = http_exchange_header(exchange, "Authorization");
    (void)snprintf(served->bed->authorization, sizeof(served->bed->authorization), "%s",
                   text != NULL ? text : "");
    check_signed_headers(served->bed->authorization, exchange);
    return served;
}

static void on_body(void *request, struct http_exchange *exchange, const char *bytes,
                    size_t byte_count)
{
    (void)exchange;
    struct served *served = request;
    assert_int_equal(buffer_append(&served->body, bytes, byte_count), 0);
}

static struct object *find(struct bed *bed, const char *path)
{
    for (size_t i = 0; i < OBJECTS_MAX; i++)
        if (bed->objects[i].path != NULL && strcmp(bed->objects[i].path, path) == 0)
            return &bed->objects[i];
    return NULL;
}

static void drop(struct object *object)
{
    free(object->path);
    object->path = NULL;
    buffer_release(&object->bytes);
}

static void serve_put(struct served *served, struct http_exchange *exchange)
{
    struct bed *bed = served->bed;
    uint8_t digest[DIGEST_BYTES];
    char text[DIGEST_TEXT_BYTES];
    digest_sha256(served->body.data, served->body.size_bytes, digest);
    digest_to_text(digest, text);
    bed->puts++;
    if (strcmp(text, http_exchange_header(exchange, "x-amz-content-sha256")) != 0) {
        http_answer_text(exchange, 400, "<Error><Code>XAmzContentSHA256Mismatch</Code></Error>");
        return;
    }
    struct object *object = find(bed, http_exchange_path(exchange));
    for (size_t i = 0; object == NULL && i < OBJECTS_MAX; i++)
        if (bed->objects[i].path == NULL)
            object = &bed->objects[i];
    assert_non_null(object);
    drop(object);
    object->path = mem_copy_text(http_exchange_path(exchange));
    object->bytes = served->body;
    served->body = BUFFER_INIT(OBJECT_MAX_BYTES);
    http_answer_text(exchange, 200, "%s", "");
}

static void serve_get(struct bed *bed, const struct object *object, struct http_exchange *exchange)
{
    CLEANUP(mem_free) char *bytes = mem_copy_bytes(object->bytes.data, object->bytes.size_bytes);
    struct http_answer answer = {
        .status = 200, .body = bytes, .body_bytes = object->bytes.size_bytes - (bed->cut ? 1 : 0)};
    if (bed->changed)
        bytes[0] ^= 1;
    http_answer(exchange, &answer);
}

static void on_end(void *request, struct http_exchange *exchange)
{
    struct served *served = request;
    struct bed *bed = served->bed;
    const char *method = http_exchange_method(exchange);
    struct object *object = find(bed, http_exchange_path(exchange));
    if (bed->status != 0)
        http_answer_text(exchange, bed->status, "%s", bed->refusal);
    else if (strcmp(method, "PUT") == 0)
        serve_put(served, exchange);
    else if (object == NULL)
        http_answer_text(exchange, 404, "<Error><Code>NoSuchKey</Code></Error>");
    else if (strcmp(method, "GET") == 0)
        serve_get(bed, object, exchange);
    else if (strcmp(method, "HEAD") == 0) /* the library sends the length only */
        serve_get(bed, object, exchange);
    else {
        drop(object);
        http_answer_text(exchange, 204, "%s", "");
    }
}

static void on_close(void *request, struct http_exchange *exchange)
{
    (void)exchange;
    struct served *served = request;
    buffer_release(&served->body);
    free(served);
}

/* ---- the bed ---- */

static void open_folder(struct bed *bed)
{
    bench_open(&bed->bench);
    (void)snprintf(bed->folder, sizeof(bed->folder), "/tmp/nodag-artefacts-XXXXXX");
    assert_non_null(mkdtemp(bed->folder));
}

static int open_file(void **state)
{
    struct bed *bed = MEM_NEW(struct bed);
    struct error error = {0};
    *state = bed;
    open_folder(bed);
    CLEANUP(mem_free) char *url = mem_format("file://%s/store/of/artefacts/", bed->folder);
    struct artefact_settings settings = {.url = url};
    assert_int_equal(artefact_store_new(bed->bench.loop, NULL, &settings, &bed->store, &error), 0);
    return 0;
}

static int open_s3(void **state)
{
    static const struct http_handler handler = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_close = on_close};
    static const char keys[] = "access_key_id: AKEXAMPLE\nsecret_access_key: very/secret\n";
    struct bed *bed = MEM_NEW(struct bed);
    struct error error = {0};
    *state = bed;
    bed->refusal = "<Error><Code>NotToday</Code></Error>";
    open_folder(bed);
    struct http_server_settings limits = {.body_max_bytes = OBJECT_MAX_BYTES};
    assert_int_equal(http_server_new(bed->bench.loop, &limits, &handler, bed, &bed->server, &error),
                     0);
    bed->http = http_client_new_curl(bed->bench.loop, &(struct http_client_settings){0});
    (void)snprintf(bed->credentials, sizeof(bed->credentials), "%s/keys", bed->folder);
    assert_int_equal(file_write_atomically(bed->credentials, keys, strlen(keys), &error), 0);
    CLEANUP(mem_free)
    char *endpoint = mem_format("http://127.0.0.1:%u/", http_server_port(bed->server));
    struct artefact_settings settings = {.url = "s3://bucket/some/prefix",
                                         .endpoint = endpoint,
                                         .credentials_file = bed->credentials};
    assert_int_equal(artefact_store_new(bed->bench.loop, bed->http, &settings, &bed->store, &error),
                     0);
    return 0;
}

static int remove_one(const char *path, const struct stat *state, int kind, struct FTW *where)
{
    (void)state;
    (void)kind;
    (void)where;
    return remove(path);
}

static int close_bed(void **state)
{
    struct bed *bed = *state;
    artefact_store_free(bed->store);
    http_client_free_curl(bed->http);
    http_server_free(bed->server);
    for (size_t i = 0; i < OBJECTS_MAX; i++)
        drop(&bed->objects[i]);
    assert_int_equal(nftw(bed->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    bench_close(&bed->bench);
    free(bed);
    return 0;
}

static void on_done(void *argument, int code, const struct artefact *artefact,
                    const struct error *error)
{
    struct bed *bed = argument;
    bed->done++;
    bed->code = code;
    assert_int_equal(code != 0, artefact == NULL);
    if (code == 0)
        bed->artefact = *artefact;
    (void)snprintf(bed->error_text, sizeof(bed->error_text), "%s", error->text);
}

static bool is_done(void *argument)
{
    return ((struct bed *)argument)->done > 0;
}

static void wait_done(struct bed *bed)
{
    assert_int_equal(bed->done, 0); /* never from within the call */
    bench_wait(&bed->bench, is_done, bed);
    assert_int_equal(bed->done, 1);
    bed->done = 0;
}

/* Stores bytes; the result is in the bed. */
static void put(struct bed *bed, const void *bytes, size_t byte_count)
{
    CLEANUP(mem_free) char *path = mem_format("%s/source", bed->folder);
    struct error error = {0};
    assert_int_equal(file_write_atomically(path, bytes, byte_count, &error), 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    (void)artefact_put(bed->store, fd, on_done, bed);
    wait_done(bed);
}

/* Fetches; what came is in `got`. */
static void get(struct bed *bed, const char *sha256, struct buffer *got)
{
    CLEANUP(mem_free) char *path = mem_format("%s/target", bed->folder);
    struct error error = {0};
    (void)artefact_get(bed->store, sha256, path, on_done, bed);
    wait_done(bed);
    int code = file_read(path, got, &error);
    assert_int_equal(code == 0, bed->code == 0);
    (void)unlink(path);
}

static void remove_it(struct bed *bed, const char *sha256)
{
    (void)artefact_remove(bed->store, sha256, on_done, bed);
    wait_done(bed);
}

/* ---- the contract ---- */

static void test_what_was_put_can_be_got_until_it_is_removed(void **state)
{
    struct bed *bed = *state;
    char *large = mem_alloc(LARGE_BYTES);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        large[i] = (char)(i * 7 + i / 251);
    const struct {
        const char *bytes;
        size_t byte_count;
    } cases[] = {{CONTENT, strlen(CONTENT)}, {"", 0}, {large, LARGE_BYTES}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buffer got = BUFFER_INIT(OBJECT_MAX_BYTES);
        uint8_t digest[DIGEST_BYTES];
        char sha256[DIGEST_TEXT_BYTES];
        digest_sha256(cases[i].bytes, cases[i].byte_count, digest);
        digest_to_text(digest, sha256);
        for (unsigned time = 0; time < 2; time++) { /* a second put changes nothing */
            put(bed, cases[i].bytes, cases[i].byte_count);
            assert_string_equal(bed->error_text, "");
            assert_string_equal(bed->artefact.sha256, sha256);
            assert_int_equal(bed->artefact.size_bytes, cases[i].byte_count);
            assert_non_null(strstr(bed->artefact.uri, sha256));
        }
        get(bed, sha256, &got);
        assert_int_equal(bed->code, 0);
        assert_int_equal(got.size_bytes, cases[i].byte_count);
        if (got.size_bytes > 0)
            assert_memory_equal(got.data, cases[i].bytes, got.size_bytes);
        for (unsigned time = 0; time < 2; time++) {
            remove_it(bed, sha256);
            assert_int_equal(bed->code, 0);
        }
        get(bed, sha256, &got);
        assert_int_equal(bed->code, ERR_NOT_FOUND);
        buffer_release(&got);
    }
    free(large);
}

static void test_what_is_no_file_or_no_digest_is_refused(void **state)
{
    struct bed *bed = *state;
    int pipe_fds[2];
    struct buffer got = BUFFER_INIT(16);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    (void)artefact_put(bed->store, pipe_fds[0], on_done, bed);
    wait_done(bed);
    assert_int_equal(bed->code, ERR_INPUT);
    (void)close(pipe_fds[1]);
    get(bed, "../../etc/passwd", &got);
    assert_int_equal(bed->code, ERR_INPUT);
    remove_it(bed, "abc");
    assert_int_equal(bed->code, ERR_INPUT);
    buffer_release(&got);
}

static void test_a_cancelled_call_says_nothing(void **state)
{
    struct bed *bed = *state;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct artefact_call *call = artefact_put(bed->store, fd, on_done, bed);
    artefact_cancel(bed->store, call);
    put(bed, CONTENT, strlen(CONTENT)); /* done once, for this one */
    assert_int_equal(bed->code, 0);
}

/* ---- folders ---- */

static void test_damage_in_a_folder_is_seen(void **state)
{
    struct bed *bed = *state;
    struct buffer got = BUFFER_INIT(64);
    struct error error = {0};
    put(bed, CONTENT, strlen(CONTENT));
    assert_int_equal(
        file_write_atomically(bed->artefact.uri + strlen("file://"), "another", 7, &error), 0);
    get(bed, bed->artefact.sha256, &got);
    assert_int_equal(bed->code, ERR_CORRUPT);
    buffer_release(&got);
}

static void test_wrong_settings(void **state)
{
    (void)state;
    const struct artefact_settings wrong[] = {
        {.url = "/srv"},
        {.url = "file://relative"},
        {.url = "file:///proc/nothing/here"},
        {.url = "s3://", .credentials_file = "x"},
        {.url = "s3://bucket//x", .credentials_file = "x"},
        {.url = "s3://bucket/../x", .credentials_file = "x"},
        {.url = "s3://bucket/a b", .credentials_file = "x"},
        {.url = "s3://bucket/", .credentials_file = "x"},
        {.url = "s3://bucket"},
        {.url = "s3://bucket", .credentials_file = "x", .region = "a:b"},
        {.url = "s3://bucket", .credentials_file = "x", .region = ""},
        {.url = "s3://bucket", .credentials_file = "x", .endpoint = "localhost:9000"},
        {.url = "s3://bucket", .credentials_file = "x", .endpoint = "https://"},
        {.url = "s3://bucket", .credentials_file = "x", .endpoint = "https:///bucket"},
        {.url = "s3://bucket", .credentials_file = "x", .endpoint = "https://me@host"},
        {.url = "s3://bucket", .credentials_file = "x", .endpoint = "https://host/?x"},
    };
    CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, 0);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct error error = {0};
        struct artefact_store *store = NULL;
        if (artefact_store_new(loop, NULL, &wrong[i], &store, &error) == 0)
            fail_msg("%s was accepted", wrong[i].url);
        assert_string_not_equal(error.text, "");
    }
}

/* ---- S3 ---- */

static void test_s3_is_signed_and_sends_only_what_is_not_there(void **state)
{
    struct bed *bed = *state;
    put(bed, CONTENT, strlen(CONTENT));
    put(bed, CONTENT, strlen(CONTENT));
    assert_int_equal(bed->puts, 1);
    assert_int_equal(strncmp(bed->artefact.uri, "s3://bucket/some/prefix/sha256/",
                             strlen("s3://bucket/some/prefix/sha256/")),
                     0);
    assert_non_null(strstr(bed->authorization, "AWS4-HMAC-SHA256 Credential=AKEXAMPLE/"));
    assert_non_null(strstr(bed->authorization, "/us-east-1/s3/aws4_request"));
    assert_non_null(strstr(bed->authorization, "x-amz-content-sha256"));
    assert_null(strstr(bed->authorization, "very/secret"));
}

static void test_s3_answers(void **state)
{
    static const struct {
        int status;
        int code;
    } cases[] = {{500, ERR_UNAVAILABLE}, {503, ERR_UNAVAILABLE}, {429, ERR_UNAVAILABLE},
                 {403, ERR_DENIED},      {401, ERR_DENIED},      {400, ERR_INPUT},
                 {301, ERR_INPUT}};
    struct bed *bed = *state;
    struct buffer got = BUFFER_INIT(64);
    put(bed, CONTENT, strlen(CONTENT));
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        bed->status = cases[i].status;
        put(bed, CONTENT, strlen(CONTENT));
        assert_int_equal(bed->code, cases[i].code);
        get(bed, bed->artefact.sha256, &got);
        assert_int_equal(bed->code, cases[i].code);
        assert_non_null(strstr(bed->error_text, "NotToday"));
        remove_it(bed, bed->artefact.sha256);
        assert_int_equal(bed->code, cases[i].code);
    }
    buffer_release(&got);
}

static void test_s3_half_an_object_does_not_count(void **state)
{
    struct bed *bed = *state;
    put(bed, CONTENT, strlen(CONTENT));
    bed->cut = true;
    put(bed, CONTENT, strlen(CONTENT));
    assert_int_equal(bed->code, 0);
    assert_int_equal(bed->puts, 2);
}

static void test_s3_damage_is_seen(void **state)
{
    struct bed *bed = *state;
    struct buffer got = BUFFER_INIT(64);
    put(bed, CONTENT, strlen(CONTENT));
    bed->cut = true;
    get(bed, bed->artefact.sha256, &got);
    assert_int_equal(bed->code, ERR_CORRUPT);
    bed->cut = false;
    bed->changed = true;
    get(bed, bed->artefact.sha256, &got);
    assert_int_equal(bed->code, ERR_CORRUPT);
    buffer_release(&got);
}

static void test_s3_keys_are_read_again_and_must_be_there(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {{"access_key_id: NEW\n", "secret_access_key"},
                 {"access_key_id: a:b\nsecret_access_key: c\n", "access_key_id"},
                 {"access_key: NEW\nsecret_access_key: very/secret\n", "access_key"},
                 {"- a list\n", ""},
                 {"", "YAML"}};
    struct bed *bed = *state;
    struct error error = {0};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(
            file_write_atomically(bed->credentials, cases[i].text, strlen(cases[i].text), &error),
            0);
        put(bed, CONTENT, strlen(CONTENT));
        assert_int_equal(bed->code, ERR_INPUT);
        assert_non_null(strstr(bed->error_text, cases[i].says));
        assert_null(strstr(bed->error_text, "very/secret"));
    }
    static const char rotated[] =
        "access_key_id: ROTATED\nsecret_access_key: x\nsession_token: tok\n";
    assert_int_equal(file_write_atomically(bed->credentials, rotated, strlen(rotated), &error), 0);
    put(bed, CONTENT, strlen(CONTENT));
    assert_int_equal(bed->code, 0);
    assert_non_null(strstr(bed->authorization, "Credential=ROTATED/"));
    assert_non_null(strstr(bed->authorization, "x-amz-security-token"));
}

#define ON_FILE(test)                                                                              \
    {                                                                                              \
        "file: " #test, test, open_file, close_bed, NULL                                           \
    }
#define ON_S3(test)                                                                                \
    {                                                                                              \
        "s3: " #test, test, open_s3, close_bed, NULL                                               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_FILE(test_what_was_put_can_be_got_until_it_is_removed),
        ON_FILE(test_what_is_no_file_or_no_digest_is_refused),
        ON_FILE(test_a_cancelled_call_says_nothing),
        ON_FILE(test_damage_in_a_folder_is_seen),
        ON_S3(test_what_was_put_can_be_got_until_it_is_removed),
        ON_S3(test_what_is_no_file_or_no_digest_is_refused),
        ON_S3(test_a_cancelled_call_says_nothing),
        ON_S3(test_s3_is_signed_and_sends_only_what_is_not_there),
        ON_S3(test_s3_answers),
        ON_S3(test_s3_half_an_object_does_not_count),
        ON_S3(test_s3_damage_is_seen),
        ON_S3(test_s3_keys_are_read_again_and_must_be_there),
        cmocka_unit_test(test_wrong_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
