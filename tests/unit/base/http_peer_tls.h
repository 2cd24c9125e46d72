/*
 * TLS for the peers of http_peer.h (a GnuTLS client), and certificates for the servers that they talk to.
 *
 * Design: a peer's receive and transmit go through a GnuTLS session; whichever is called first does the handshake, and
 * until that is complete says EAGAIN. A stream that ends without close_notify is a failure (ECONNRESET), so that
 * wait_closed() proves an orderly end. Certificates are self-signed, of P-256, told apart by their serial number, and
 * written to files in a fresh folder. Nobody verifies them: who is who is looked at by the tests.
 */
#ifndef NODAG_TESTS_UNIT_BASE_HTTP_PEER_TLS_H
#define NODAG_TESTS_UNIT_BASE_HTTP_PEER_TLS_H

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "tests/unit/base/http_peer.h"

/* Longest path of a file below. */
#define CERTIFICATE_PATH_BYTES 64

/* Room for a PEM text below. */
#define CERTIFICATE_PEM_BYTES 8192

/* A day, in seconds. */
#define CERTIFICATE_DAY_S 86400

/* ---- certificates ---- */

/* Where a certificate and its key stand. */
struct certificate_files {
    char folder[CERTIFICATE_PATH_BYTES];
    char certificate[CERTIFICATE_PATH_BYTES + 8];
    char key[CERTIFICATE_PATH_BYTES + 8];
};

/* What is made; serial 0: 1; times are relative to now, 0: yesterday and tomorrow. */
struct certificate_spec {
    unsigned char serial;
    int begins_s;
    int ends_s;
};

static inline void certificate_folder_make(struct certificate_files *files)
{
    (void)snprintf(files->folder, sizeof(files->folder), "/tmp/nodag-tls-XXXXXX");
    assert_non_null(mkdtemp(files->folder));
    (void)snprintf(files->certificate, sizeof(files->certificate), "%s/cert", files->folder);
    (void)snprintf(files->key, sizeof(files->key), "%s/key", files->folder);
}

static inline void certificate_folder_remove(struct certificate_files *files)
{
    (void)unlink(files->certificate);
    (void)unlink(files->key);
    assert_int_equal(rmdir(files->folder), 0);
}

/* Replaces a file at once. */
static inline void certificate_file_put(const char *path, const void *bytes, size_t byte_count)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, byte_count), byte_count);
    assert_int_equal(close(fd), 0);
}

/* Makes a key and a certificate of its own and writes both. */
static inline void certificate_write(const struct certificate_files *files,
                                     const struct certificate_spec *spec)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t certificate = NULL;
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(
                         key, GNUTLS_PK_EC, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    time_t now_s = time(NULL);
    int begins_s = spec->begins_s != 0 ? spec->begins_s : -CERTIFICATE_DAY_S;
    int ends_s = spec->ends_s != 0 ? spec->ends_s : CERTIFICATE_DAY_S;
    const unsigned char serial = spec->serial != 0 ? spec->serial : 1;
    int failed = gnutls_x509_crt_set_version(certificate, 3);
    failed |= gnutls_x509_crt_set_serial(certificate, &serial, 1);
    failed |= gnutls_x509_crt_set_activation_time(certificate, now_s + begins_s);
    failed |= gnutls_x509_crt_set_expiration_time(certificate, now_s + ends_s);
    failed |= gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, "door", 4);
    failed |= gnutls_x509_crt_set_key(certificate, key);
    failed |= gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0);
    assert_int_equal(failed, 0);
    char pem[CERTIFICATE_PEM_BYTES];
    size_t pem_bytes = sizeof(pem);
    assert_int_equal(gnutls_x509_crt_export(certificate, GNUTLS_X509_FMT_PEM, pem, &pem_bytes), 0);
    certificate_file_put(files->certificate, pem, pem_bytes);
    pem_bytes = sizeof(pem);
    assert_int_equal(gnutls_x509_privkey_export_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
                                                      GNUTLS_PKCS_PLAIN, pem, &pem_bytes),
                     0);
    certificate_file_put(files->key, pem, pem_bytes);
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
}

/* ---- the client ---- */

/* The TLS of a peer. */
struct peer_tls {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    bool is_complete; /* the handshake */
};

/* Returns -1 with an errno for a result of GnuTLS. */
static inline ssize_t peer_tls_failed(ssize_t result)
{
    if (result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED)
        errno = EAGAIN;
    else
        errno = result == GNUTLS_E_PREMATURE_TERMINATION ? ECONNRESET : EPROTO;
    return -1;
}

/* Goes on with the handshake. Returns 0 when it is complete, else -1 with errno. */
static inline ssize_t peer_tls_shake(struct peer_tls *tls)
{
    if (tls->is_complete)
        return 0;
    int result = gnutls_handshake(tls->session);
    tls->is_complete = result == GNUTLS_E_SUCCESS;
    return tls->is_complete ? 0 : peer_tls_failed(result);
}

static inline ssize_t peer_tls_receive(struct peer *peer, void *bytes, size_t bytes_max)
{
    struct peer_tls *tls = peer->layer;
    if (peer_tls_shake(tls) != 0)
        return -1;
    ssize_t got_bytes = gnutls_record_recv(tls->session, bytes, bytes_max);
    return got_bytes >= 0 ? got_bytes : peer_tls_failed(got_bytes);
}

static inline ssize_t peer_tls_transmit(struct peer *peer, const void *bytes, size_t byte_count)
{
    struct peer_tls *tls = peer->layer;
    if (byte_count == 0 || peer_tls_shake(tls) != 0)
        return byte_count == 0 ? 0 : -1;
    ssize_t sent_bytes = gnutls_record_send(tls->session, bytes, byte_count);
    return sent_bytes >= 0 ? sent_bytes : peer_tls_failed(sent_bytes);
}

static inline void peer_tls_release(struct peer *peer)
{
    struct peer_tls *tls = peer->layer;
    gnutls_deinit(tls->session);
    gnutls_certificate_free_credentials(tls->credentials);
    free(tls);
}

/* Begins TLS on a fresh peer; `priorities` as GnuTLS writes them, NULL: the usual. */
static inline void peer_start_tls(struct peer *peer, const char *priorities)
{
    struct peer_tls *tls = MEM_NEW(struct peer_tls);
    peer->layer = tls;
    peer->receive = peer_tls_receive;
    peer->transmit = peer_tls_transmit;
    peer->release = peer_tls_release;
    assert_int_equal(fcntl(peer->fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(gnutls_init(&tls->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL),
                     0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&tls->credentials), 0);
    assert_int_equal(gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->credentials),
                     0);
    assert_int_equal(
        gnutls_priority_set_direct(tls->session, priorities != NULL ? priorities : "NORMAL", NULL),
        0);
    gnutls_transport_set_int(tls->session, peer->fd);
    (void)peer_tls_shake(tls);
}

/* Serial number of the certificate that the server showed; the handshake must be complete. */
static inline unsigned char peer_certificate_serial(const struct peer *peer)
{
    const struct peer_tls *tls = peer->layer;
    assert_true(tls->is_complete);
    unsigned count = 0;
    const gnutls_datum_t *peers = gnutls_certificate_get_peers(tls->session, &count);
    assert_true(count > 0);
    gnutls_x509_crt_t certificate = NULL;
    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_import(certificate, peers, GNUTLS_X509_FMT_DER), 0);
    unsigned char serial[32];
    size_t serial_bytes = sizeof(serial);
    assert_int_equal(gnutls_x509_crt_get_serial(certificate, serial, &serial_bytes), 0);
    gnutls_x509_crt_deinit(certificate);
    return serial[serial_bytes - 1];
}

/* Returns true once the handshake of a peer is complete. */
static inline bool is_shaken(void *argument)
{
    const struct peer *peer = argument;
    return ((const struct peer_tls *)peer->layer)->is_complete;
}

#endif
