/*
 * Tests of base/http_tls.c and base/http_tls_connection.c: pairs of files that must be refused and why, the change of
 * the certificate while connections are open, and what arrives at the port that is no HTTP over TLS. That all else of
 * the server holds over TLS is tested by the tests of the server, which run twice (http_bed.h).
 */
#include "base/http_tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/http_server_internal.h"
#include "tests/unit/base/http_bed.h"

/* A time that lies outside of what a clock may be wrong. */
#define LATER_S (HTTP_TLS_CLOCK_LEEWAY_MS / 1000 + 600)

/* What the clients below accept. */
#define ONLY_TLS_1_1 "NORMAL:-VERS-ALL:+VERS-TLS1.1:%VERIFY_ALLOW_BROKEN"
#define ONLY_TLS_1_2 "NORMAL:-VERS-ALL:+VERS-TLS1.2"

/* ---- files ---- */

/* A pair of files as one of the tests spoils it. */
struct files_bed {
    struct loop *loop;
    struct certificate_files files;
    struct buffer key; /* what stands in the key's file before it is spoilt */
};

static void files_open(struct files_bed *bed)
{
    bed->loop = loop_new_real();
    certificate_folder_make(&bed->files);
    certificate_write(&bed->files, &(struct certificate_spec){.serial = 1});
    bed->key = BUFFER_INIT(CERTIFICATE_PEM_BYTES);
    assert_int_equal(file_read(bed->files.key, &bed->key, NULL), 0);
}

static void files_close(struct files_bed *bed)
{
    buffer_release(&bed->key);
    certificate_folder_remove(&bed->files);
    loop_free(bed->loop);
}

/* Puts the key of another certificate in the place of the pair's; below, what else may stand there. */
static void put_other_key(struct files_bed *bed)
{
    CLEANUP(buffer_release) struct buffer chain = BUFFER_INIT(CERTIFICATE_PEM_BYTES);
    assert_int_equal(file_read(bed->files.certificate, &chain, NULL), 0);
    certificate_write(&bed->files, &(struct certificate_spec){.serial = 2});
    certificate_file_put(bed->files.certificate, chain.data, chain.size_bytes);
}

static void put_encrypted_key(struct files_bed *bed)
{
    gnutls_x509_privkey_t key = NULL;
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    const gnutls_datum_t text = {(unsigned char *)bed->key.data, (unsigned)bed->key.size_bytes};
    assert_int_equal(gnutls_x509_privkey_import(key, &text, GNUTLS_X509_FMT_PEM), 0);
    char pem[CERTIFICATE_PEM_BYTES];
    size_t pem_bytes = sizeof(pem);
    assert_int_equal(gnutls_x509_privkey_export_pkcs8(key, GNUTLS_X509_FMT_PEM, "passphrase",
                                                      GNUTLS_PKCS_PBES2_AES_256, pem, &pem_bytes),
                     0);
    certificate_file_put(bed->files.key, pem, pem_bytes);
    gnutls_x509_privkey_deinit(key);
}

static void put_expired(struct files_bed *bed)
{
    const struct certificate_spec spec = {.begins_s = -LATER_S, .ends_s = -1};
    certificate_write(&bed->files, &spec);
}

static void put_future(struct files_bed *bed)
{
    const struct certificate_spec spec = {.begins_s = LATER_S};
    certificate_write(&bed->files, &spec);
}

/* Signed by somebody whose clock is a little ahead. */
static void put_fresh(struct files_bed *bed)
{
    const struct certificate_spec spec = {.begins_s = 60};
    certificate_write(&bed->files, &spec);
}

static void put_no_certificate(struct files_bed *bed)
{
    certificate_file_put(bed->files.certificate, "not PEM\n", 8);
}

static void put_empty_certificate(struct files_bed *bed)
{
    certificate_file_put(bed->files.certificate, "", 0);
}

static void put_broken_certificate(struct files_bed *bed)
{
    static const char text[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    certificate_file_put(bed->files.certificate, text, sizeof(text) - 1);
}

static void put_long_chain(struct files_bed *bed)
{
    CLEANUP(buffer_release) struct buffer one = BUFFER_INIT(CERTIFICATE_PEM_BYTES);
    CLEANUP(buffer_release) struct buffer all = BUFFER_INIT(HTTP_TLS_CHAIN_MAX_BYTES);
    assert_int_equal(file_read(bed->files.certificate, &one, NULL), 0);
    for (int i = 0; i <= HTTP_TLS_CHAIN_MAX; i++)
        assert_int_equal(buffer_append(&all, one.data, one.size_bytes), 0);
    certificate_file_put(bed->files.certificate, all.data, all.size_bytes);
}

static void put_large_certificate(struct files_bed *bed)
{
    char *bytes = mem_alloc(HTTP_TLS_CHAIN_MAX_BYTES + 1);
    certificate_file_put(bed->files.certificate, bytes, HTTP_TLS_CHAIN_MAX_BYTES + 1);
    free(bytes);
}

static void put_no_key(struct files_bed *bed)
{
    certificate_file_put(bed->files.key, "not PEM\n", 8);
}

static void put_empty_key(struct files_bed *bed)
{
    certificate_file_put(bed->files.key, "", 0);
}

static void remove_key(struct files_bed *bed)
{
    assert_int_equal(unlink(bed->files.key), 0);
}

static void remove_certificate(struct files_bed *bed)
{
    assert_int_equal(unlink(bed->files.certificate), 0);
}

static void put_nothing(struct files_bed *bed)
{
    (void)bed;
}

static const struct {
    const char *name;
    void (*spoil)(struct files_bed *bed);
    int code;
    const char *contains; /* in the error, beside a file's path */
    bool key_is_blamed;   /* else the certificate's file */
} files_cases[] = {
    {"whole", put_nothing, 0, NULL, false},
    {"signed a minute ahead", put_fresh, 0, NULL, false},
    {"another's key", put_other_key, ERR_INPUT, "does not belong to", true},
    {"encrypted key", put_encrypted_key, ERR_INPUT, "passphrase", true},
    {"expired", put_expired, ERR_INPUT, "expired at 2", false},
    {"not valid yet", put_future, ERR_INPUT, "not valid before 2", false},
    {"no certificate", put_no_certificate, ERR_INPUT, "BEGIN CERTIFICATE", false},
    {"empty certificate", put_empty_certificate, ERR_INPUT, "BEGIN CERTIFICATE", false},
    {"broken certificate", put_broken_certificate, ERR_INPUT, "BEGIN CERTIFICATE", false},
    {"long chain", put_long_chain, ERR_INPUT, "holds 17 certificates", false},
    {"large certificate", put_large_certificate, ERR_TOO_LARGE, "larger", false},
    {"no key", put_no_key, ERR_INPUT, "BEGIN PRIVATE KEY", true},
    {"empty key", put_empty_key, ERR_INPUT, "empty", true},
    {"key is gone", remove_key, ERR_NOT_FOUND, "No such file", true},
    {"certificate is gone", remove_certificate, ERR_NOT_FOUND, "No such file", false},
};

/* No line of the key's text may stand in an error. */
static void assert_no_key(const struct files_bed *bed, const char *text)
{
    CLEANUP(mem_free) char *lines = mem_copy_text(bed->key.data);
    char *rest = lines;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        if (line[0] != '-' && line[0] != '\0')
            assert_null(strstr(text, line));
}

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(files_cases); i++) {
        print_message("    %s\n", files_cases[i].name);
        struct files_bed bed;
        files_open(&bed);
        files_cases[i].spoil(&bed);
        CLEANUP(http_tls_free) struct http_tls *tls = NULL;
        struct error error = {.code = 0};
        int code = http_tls_new(bed.loop, bed.files.certificate, bed.files.key, &tls, &error);
        assert_int_equal(code, files_cases[i].code);
        assert_int_equal(tls != NULL, code == 0);
        if (code != 0) {
            const char *blamed =
                files_cases[i].key_is_blamed ? bed.files.key : bed.files.certificate;
            assert_non_null(strstr(error.text, blamed));
            assert_non_null(strstr(error.text, files_cases[i].contains));
            assert_no_key(&bed, error.text);
        } else {
            assert_true(http_tls_not_after_ms(tls) > loop_wall_ms(bed.loop));
        }
        files_close(&bed);
    }
}

/* ---- the change of the certificate ---- */

static void ask(struct peer *peer, size_t answers)
{
    peer_send_text(peer, "GET /end HTTP/1.1\r\n" HOST "\r\n");
    wait_answers(peer, answers);
    assert_int_equal(peer_status(peer), 200);
}

/* What a fresh connection is shown. */
static unsigned char shown_serial(struct bed *bed)
{
    struct peer *peer = bed_peer(bed);
    ask(peer, 1);
    unsigned char serial = peer_certificate_serial(peer);
    peer_free(peer);
    return serial;
}

static void test_reload(void **state)
{
    (void)state;
    struct files_bed files;
    files_open(&files);
    assert_int_equal(
        http_tls_new(files.loop, files.files.certificate, files.files.key, &bed_tls, NULL), 0);
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    struct peer *kept = bed_peer(bed);
    ask(kept, 1);
    struct peer *shaking = bed_peer(bed); /* has sent its hello, and got no answer yet */
    assert_int_equal(shown_serial(bed), 1);

    certificate_write(&files.files, &(struct certificate_spec){.serial = 2});
    assert_int_equal(http_tls_reload(bed_tls, NULL), 0);
    assert_int_equal(shown_serial(bed), 2);
    ask(kept, 2);
    assert_int_equal(peer_certificate_serial(kept), 1);
    ask(shaking, 1);

    int64_t not_after_ms = http_tls_not_after_ms(bed_tls);
    put_expired(&files);
    assert_int_equal(http_tls_reload(bed_tls, NULL), ERR_INPUT);
    assert_int_equal(http_tls_not_after_ms(bed_tls), not_after_ms);
    assert_int_equal(shown_serial(bed), 2);
    remove_certificate(&files);
    assert_int_equal(http_tls_reload(bed_tls, NULL), ERR_NOT_FOUND);
    assert_int_equal(shown_serial(bed), 2);

    const struct certificate_spec longer = {.serial = 3, .ends_s = 2 * CERTIFICATE_DAY_S};
    certificate_write(&files.files, &longer);
    assert_int_equal(http_tls_reload(bed_tls, NULL), 0);
    assert_true(http_tls_not_after_ms(bed_tls) > not_after_ms);
    assert_int_equal(shown_serial(bed), 3);
    ask(kept, 3);
    peer_free(kept);
    peer_free(shaking);
    bed_close(bed);
    http_tls_free(bed_tls);
    bed_tls = NULL;
    files_close(&files);
}

/* ---- versions ---- */

static void test_versions(void **state)
{
    (void)state;
    static const struct {
        const char *priorities;
        bool is_served;
        gnutls_protocol_t version;
    } cases[] = {
        {NULL, true, GNUTLS_TLS1_3},
        {ONLY_TLS_1_2, true, GNUTLS_TLS1_2},
        {ONLY_TLS_1_1, false, 0},
    };
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct peer *peer = peer_new(&bed->bench, http_server_port(bed->server));
        peer_start_tls(peer, cases[i].priorities);
        if (cases[i].is_served) {
            ask(peer, 1);
            const struct peer_tls *tls = peer->layer;
            assert_int_equal(gnutls_protocol_get_version(tls->session), cases[i].version);
        } else {
            bench_wait(&bed->bench, is_closed, peer);
            assert_false(is_shaken(peer));
        }
        peer_free(peer);
    }
    bed_close(bed);
}

/* ---- what is no TLS ---- */

/* The record head of a ClientHello of 512 bytes, and no more. */
#define HELLO_BEGUN "\x16\x03\x01\x02\x00\x01"

static void test_strangers_are_closed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t byte_count;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},
        {"POST /end HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 54},
        {"\x00\x00\x00\x00\x00\x00\x00\x00", 8},
        {"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6", 10},
        {"SSH-2.0-OpenSSH_9.2\r\n", 21},
        {"\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9},      /* an empty hello */
        {"\x15\x03\x01\x00\x02\x02\x28", 7},              /* an alert */
        {"\x17\x03\x03\x00\x05hello", 10},                /* data before a hello */
        {"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00", 10}, /* SSL 2 */
    };
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX, .idle_timeout_ms = 1};
    struct bed *bed = bed_open(&settings);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct peer *peer = peer_new(&bed->bench, http_server_port(bed->server));
        peer_send(peer, cases[i].bytes, cases[i].byte_count);
        bench_wait(&bed->bench, is_closed, peer);
        assert_null(strstr(peer_text(peer), "HTTP/1.1"));
        peer_free(peer);
    }
    assert_int_equal(bed->heads, 0);
    assert_int_equal(bed->refusals, 0);
    struct peer *good = bed_peer(bed);
    ask(good, 1);
    peer_free(good);
    bed_close(bed);
}

/* A handshake that is not completed is ended by the idle timeout, also if bytes trickle in; nobody is told. */
static void test_stalled_handshake_is_ended(void **state)
{
    (void)state;
    for (int trickles = 0; trickles <= 1; trickles++) {
        const struct http_server_settings settings = {.idle_timeout_ms = 1};
        struct bed *bed = bed_open(&settings);
        struct peer *peer = peer_new(&bed->bench, http_server_port(bed->server));
        peer_send(peer, HELLO_BEGUN, sizeof(HELLO_BEGUN) - 1);
        for (int i = 0; !peer->closed; i++) {
            bench_wait(&bed->bench, sent_all, peer);
            if (trickles && i < 400)
                peer_send(peer, "\x00", 1);
            else
                bench_wait(&bed->bench, is_closed, peer);
        }
        assert_int_equal(bed->refusals, 0);
        peer_free(peer);
        bed_close(bed);
    }
}

/* As above, by our own deadline, before the library's: what cannot be said to the client is told to nobody. */
static void test_deadline_in_handshake(void **state)
{
    (void)state;
    const struct http_server_settings settings = {.idle_timeout_ms = 50, .request_timeout_ms = 50};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = peer_new(&bed->bench, http_server_port(bed->server));
    peer_send(peer, HELLO_BEGUN, sizeof(HELLO_BEGUN) - 1);
    bench_wait(&bed->bench, is_closed, peer);
    assert_null(strstr(peer_text(peer), "408"));
    assert_int_equal(bed->refusals, 0);
    peer_free(peer);
    bed_close(bed);
}

static bool timer_fired(void *argument)
{
    return *(bool *)argument;
}

static void on_pause(void *argument)
{
    *(bool *)argument = true;
}

/*
 * The library asks to run again at once while a handshake waits for its client: it must not take the processor, nor
 * the time of others.
 */
static void test_stalled_handshakes_harm_nobody(void **state)
{
    (void)state;
    enum { STALLED = 50, PAUSE_MS = 500, RUNS_MAX = 200, GOOD = 20 };
    const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
    struct bed *bed = bed_open(&settings);
    struct peer *stalled[STALLED];
    for (size_t i = 0; i < STALLED; i++) {
        stalled[i] = peer_new(&bed->bench, http_server_port(bed->server));
        peer_send(stalled[i], HELLO_BEGUN, sizeof(HELLO_BEGUN) - 1);
        bench_wait(&bed->bench, sent_all, stalled[i]);
    }
    for (size_t i = 0; i < GOOD; i++)
        assert_int_equal(shown_serial(bed), 1);
    bool is_over = false;
    struct loop_timer *pause = loop_timer_new(bed->bench.loop, on_pause, &is_over);
    uint64_t runs_before = bed->server->run_count;
    loop_timer_set(pause, PAUSE_MS);
    bench_wait(&bed->bench, timer_fired, &is_over);
    assert_true(bed->server->run_count - runs_before < RUNS_MAX);
    loop_timer_free(pause);
    for (size_t i = 0; i < STALLED; i++) {
        assert_false(stalled[i]->closed);
        peer_free(stalled[i]);
    }
    bed_close(bed);
}

/* ---- records ---- */

/* Records are larger than what the server reads at once: the rest of one lies in GnuTLS, where no epoll sees it. */
static void test_large_records(void **state)
{
    (void)state;
    enum { BODY_BYTES = 1000000 };
    const struct http_server_settings settings = {.body_max_bytes = BODY_BYTES,
                                                  .header_max_bytes = 1024};
    struct bed *bed = bed_open(&settings);
    struct peer *peer = bed_peer(bed);
    CLEANUP(mem_free) char *body = mem_alloc(BODY_BYTES);
    memset(body, 'b', BODY_BYTES);
    for (size_t i = 1; i <= 2; i++) {
        peer_send_text(peer, "POST /end HTTP/1.1\r\n" HOST LENGTH(1000000) "\r\n");
        bench_wait(&bed->bench, sent_all, peer);
        peer_send(peer, body, BODY_BYTES);
        wait_answers(peer, i);
        assert_non_null(strstr(peer_text(peer), "saw 1000000 bytes"));
    }
    peer_free(peer);
    bed_close(bed);
}

/* The client says that it will send no more, in the midst of a body: by close_notify, or by the end of the stream. */
static void test_end_within_a_body(void **state)
{
    (void)state;
    for (int says_so = 0; says_so <= 1; says_so++) {
        const struct http_server_settings settings = {.body_max_bytes = BODY_MAX};
        struct bed *bed = bed_open(&settings);
        struct peer *peer = bed_peer(bed);
        peer_send_text(peer, "POST /end HTTP/1.1\r\n" HOST LENGTH(10) "\r\nabc");
        bench_wait(&bed->bench, sent_all, peer);
        if (says_so)
            (void)gnutls_bye(((struct peer_tls *)peer->layer)->session, GNUTLS_SHUT_WR);
        else
            (void)shutdown(peer->fd, SHUT_WR);
        bench_wait(&bed->bench, all_closed, bed);
        bench_wait(&bed->bench, is_closed, peer);
        assert_int_equal(bed->ends, 0);
        assert_int_equal(peer_answer_count(peer), 0);
        peer_free(peer);
        bed_close(bed);
    }
}

int main(void)
{
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_reload),
    };
    const struct CMUnitTest served[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_strangers_are_closed),
        cmocka_unit_test(test_stalled_handshake_is_ended),
        cmocka_unit_test(test_deadline_in_handshake),
        cmocka_unit_test(test_stalled_handshakes_harm_nobody),
        cmocka_unit_test(test_large_records),
        cmocka_unit_test(test_end_within_a_body),
    };
    int failed = cmocka_run_group_tests_name("files", alone, NULL, NULL);
    failed += cmocka_run_group_tests_name("served", served, bed_use_tls, bed_use_plain);
    return failed;
}
