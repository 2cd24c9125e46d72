/*
 * The certificate that a TLS server shows: a chain and its key, read from two PEM files, read again on demand.
 *
 * Design: a daemon makes one `struct http_tls`, hands it to its HTTP server (http_server.h) and reloads it when the files
 * change or at SIGHUP. A pair that was read is counted: each connection holds the one that it began with, so a reload
 * touches new connections only. GnuTLS does the work, because libmicrohttpd's TLS is GnuTLS.
 *
 * Accepted are a chain of at most HTTP_TLS_CHAIN_MAX certificates, the server's own first, and a key without a
 * passphrase, as ACME clients, cert-manager and `openssl req -x509 -nodes` write them. Whether a client can trust the
 * chain is not looked at: a server cannot know.
 *
 * Invariants: the pair in force is whole: the key belongs to the certificate, which was within its time when it was read;
 * a reload that fails changes nothing; the text of a key is wiped after it was read and stands in no error.
 * Source: the GnuTLS manual, "Certificate credentials"; RFC 5280 §4.1.2.5 (validity); RFC 7468 (PEM).
 */
#ifndef NODAG_BASE_HTTP_TLS_H
#define NODAG_BASE_HTTP_TLS_H

#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"

/* Most certificates of a chain: the server's own, a few between, the root. */
#define HTTP_TLS_CHAIN_MAX 16

/* Largest file of a chain; a certificate has 1 to 4 KB. */
#define HTTP_TLS_CHAIN_MAX_BYTES 131072

/* Largest file of a key: 16,384 bits of RSA have 13 KB. */
#define HTTP_TLS_KEY_MAX_BYTES 32768

/* How far the clock may be behind that of whoever signed: a fresh certificate shall not be refused. */
#define HTTP_TLS_CLOCK_LEEWAY_MS 300000

/* A certificate with its key, and where they are read from. */
struct http_tls;

/*
 * Reads a certificate chain and its key; owned. The paths are copied. ERR_NOT_FOUND, ERR_DENIED, ERR_IO, ERR_TOO_LARGE
 * with the file; ERR_INPUT, with the file and what to do: no PEM, no certificate, a key that cannot be used or is
 * encrypted, a key of another certificate, a certificate that has expired or is not valid yet. Loop thread.
 */
int http_tls_new(const struct loop *loop, const char *certificate_file, const char *key_file,
                 struct http_tls **ret_tls, struct error *error) MUST_CHECK;

/*
 * Reads both files again: connections accepted from now on get what was read. On failure the pair in force stays.
 * Errors as http_tls_new. Loop thread.
 */
int http_tls_reload(struct http_tls *tls, struct error *error) MUST_CHECK;

/* Returns when the server's own certificate expires, in milliseconds since 1970. Loop thread. */
int64_t http_tls_not_after_ms(const struct http_tls *tls);

/* Frees it; the server must have been freed before. NULL allowed. Loop thread. */
void http_tls_free(struct http_tls *tls);
DEFINE_CLEANUP(struct http_tls *, http_tls_free)

#endif
