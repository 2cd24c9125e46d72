/*
 * Addresses and listening sockets of the HTTP server.
 *
 * Design: the socket is opened here and handed to the library, which would only say that it could not: a person
 * needs to know whether the port is taken, forbidden or not of this machine.
 */
#include "base/http_server_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections that wait in the kernel to be accepted. */
#define HTTP_BACKLOG 1024

/* Largest port number. */
#define HTTP_PORT_MAX 65535

int http_address_parse(const char *text, char ret_host[HTTP_HOST_BYTES], uint16_t *ret_port,
                       struct error *error)
{
    const char *colon = strrchr(text, ':');
    const char *host = text;
    size_t host_bytes = colon != NULL ? (size_t)(colon - text) : 0;
    if (host_bytes >= 2 && host[0] == '[' && host[host_bytes - 1] == ']') {
        host++;
        host_bytes -= 2;
    } else if (memchr(host, ':', host_bytes) != NULL) {
        colon = NULL; /* an IPv6 address without brackets */
    }
    const char *digits = colon != NULL ? colon + 1 : "";
    size_t digit_count = strspn(digits, "0123456789");
    unsigned long port = strtoul(digits, NULL, 10);
    if (host_bytes == 0 || host_bytes >= HTTP_HOST_BYTES || digit_count == 0 ||
        digits[digit_count] != '\0' || port > HTTP_PORT_MAX)
        return error_set(error, ERR_INPUT,
                         "\"%s\" is no address with a port; write 127.0.0.1:8080, 0.0.0.0:8080 or "
                         "[::]:8080 (port 0: any free one)",
                         text);
    memcpy(ret_host, host, host_bytes);
    ret_host[host_bytes] = '\0';
    *ret_port = (uint16_t)port;
    return 0;
}

/* Reads a numeric address of either family. */
static int parse_address(const char *text, uint16_t port, struct sockaddr_storage *ret_address,
                         socklen_t *ret_bytes, struct error *error)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&storage;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *ret_bytes = sizeof(*v4);
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        *ret_bytes = sizeof(*v6);
    } else {
        return error_set(error, ERR_INPUT,
                         "cannot listen on \"%s\": give a numeric address, such as 127.0.0.1, "
                         "0.0.0.0 or ::",
                         text);
    }
    *ret_address = storage;
    return 0;
}

/* Says why listening failed. */
static int listen_error(struct error *error, const char *address, uint16_t port, int cause)
{
    int code = ERR_IO;
    const char *hint = "";
    if (cause == EADDRINUSE) {
        code = ERR_UNAVAILABLE;
        hint = "; stop what uses the port, or choose another (0: any free one)";
    } else if (cause == EACCES || cause == EPERM) {
        code = ERR_DENIED;
        hint = "; choose a port from 1024 on";
    } else if (cause == EADDRNOTAVAIL) {
        code = ERR_INPUT;
        hint = "; no interface of this machine has that address";
    }
    return error_set(error, code, "cannot listen on %s port %u: %s%s", address, (unsigned)port,
                     strerror(cause), hint);
}

int http_listen(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port,
                struct error *error)
{
    struct sockaddr_storage name;
    socklen_t name_bytes = 0;
    int code = parse_address(address, port, &name, &name_bytes, error);
    if (code != 0)
        return code;
    struct sockaddr *name_pointer = (struct sockaddr *)(void *)&name;
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return listen_error(error, address, port, errno);
    const int on = 1;
    int failed = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (failed == 0)
        failed = bind(fd, name_pointer, name_bytes);
    if (failed == 0)
        failed = listen(fd, HTTP_BACKLOG);
    if (failed == 0)
        failed = getsockname(fd, name_pointer, &name_bytes);
    if (failed != 0) {
        int cause = errno;
        (void)close(fd);
        return listen_error(error, address, port, cause);
    }
    *ret_port =
        ntohs(name.ss_family == AF_INET ? ((struct sockaddr_in *)(void *)&name)->sin_port
                                        : ((struct sockaddr_in6 *)(void *)&name)->sin6_port);
    *ret_fd = fd;
    return 0;
}
