/*
 * TLS of one connection: what the HTTP server does past libmicrohttpd, which drives GnuTLS itself.
 *
 * Design: the library makes a GnuTLS session for each connection and shows it before the handshake. There it is given the
 * certificate that was loaded last, which the connection then holds, so that a reload needs no stop and touches nobody
 * else. The library insists on a way of its own to a certificate when it starts; that is never taken.
 *
 * What the library cannot answer (http_exchange.c) is written as TLS records to the same session, at points at which
 * the library is only reading from it. Before the handshake is complete nothing can be said: the connection is closed.
 *
 * Sessions are not resumed, early data is not taken, and a client that wants to renegotiate is cut: the library's
 * defaults. Invariant: a session is used only until the library frees it, which is before MHD_CONNECTION_NOTIFY_CLOSED.
 * Source: the GnuTLS manual, "Associating the credentials"; the libmicrohttpd manual, MHD_get_connection_info(3).
 */
#include "base/http_server_internal.h"

/* Returns the connection's session, or NULL on plain TCP. */
static gnutls_session_t session_of(const struct http_connection *connection)
{
    if (connection->tls_pair == NULL)
        return NULL;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info != NULL ? info->tls_session : NULL;
}

int http_tls_no_certificate(gnutls_session_t session, const gnutls_datum_t *authorities,
                            int authority_count, const gnutls_pk_algorithm_t *algorithms,
                            int algorithm_count, gnutls_pcert_st **ret_chain,
                            unsigned *ret_chain_count, gnutls_privkey_t *ret_key)
{
    (void)session;
    (void)authorities;
    (void)authority_count;
    (void)algorithms;
    (void)algorithm_count;
    (void)ret_chain;
    (void)ret_chain_count;
    (void)ret_key;
    return -1;
}

void http_tls_begin(struct http_connection *connection)
{
    const struct http_tls *tls = connection->server->settings.tls;
    if (tls == NULL)
        return;
    connection->tls_pair = http_tls_hold(tls);
    gnutls_session_t session = session_of(connection);
    if (session != NULL)
        (void)gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE,
                                     http_tls_pair_credentials(connection->tls_pair));
}

bool http_tls_send(struct http_connection *connection, const char *bytes, size_t byte_count)
{
    gnutls_session_t session = session_of(connection);
    bool is_open = session != NULL;
    while (is_open && byte_count > 0) {
        /* A record at a time; GNUTLS_E_UNAVAILABLE_DURING_HANDSHAKE before the first. */
        ssize_t sent_bytes = gnutls_record_send(session, bytes, byte_count);
        is_open = sent_bytes > 0;
        if (is_open) {
            bytes += sent_bytes;
            byte_count -= (size_t)sent_bytes;
        }
    }
    return is_open;
}

void http_tls_close(struct http_connection *connection)
{
    gnutls_session_t session = session_of(connection);
    if (session != NULL)
        (void)gnutls_bye(session, GNUTLS_SHUT_WR);
}

void http_tls_end(struct http_connection *connection)
{
    http_tls_pair_free(connection->tls_pair);
    connection->tls_pair = NULL;
}
