/*
 * nodag-bench-load: sends signed deliveries over N kept connections, one outstanding on each, and times them.
 *
 * Design: one thread, epoll, nothing allocated or signed while it measures, so that it takes little of the processor
 * that it shares with what it measures: a delivery is one sendmsg (head and body), one recv and its share of an
 * epoll_wait. Every delivery has a GUID of its own; payloads come from the pool in turn. A time runs from before the
 * first byte was sent until the answer was read whole.
 *
 * Prints one line of JSON (see meter.h), with `cpu_s`, its own processor time. Any answer but 202, a connection that
 * is closed, or no answer for STALLED_MS ends it with exit status 1 and a text on stderr.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/option.h"
#include "tests/bench/ingest/meter.h"
#include "tests/bench/ingest/pool.h"

/* Largest head of a request, and largest answer: what is measured sends a few hundred bytes. */
#define HEAD_BYTES 1024
#define ANSWER_BYTES 4096

/* Most connections. */
#define CONNECTIONS_MAX 4096

/* Events taken from epoll at once. */
#define EVENTS_MAX 64

/* Without any answer for so long the server is taken for dead: longer than every deadline of the door. */
#define STALLED_MS 20000

/* The answer to a delivery that was published. */
#define STATUS_ACCEPTED 202

struct load_settings {
    struct meter_settings meter;
    const char *pool;
    int64_t port;
    int64_t connections;
    const char *path;
};

/* One connection with the delivery that is under way on it. */
struct connection {
    int fd;                    /* owned */
    int64_t started_us;        /* of the delivery */
    struct iovec parts[2];     /* what is still to be sent: head and body */
    size_t answer_bytes;       /* read so far */
    bool waits_to_write;       /* epoll watches for room */
    char head[HEAD_BYTES];     /* of the request */
    char answer[ANSWER_BYTES]; /* NUL-terminated */
};

struct load {
    const struct load_settings *settings; /* borrowed */
    struct pool pool;
    struct meter meter;
    struct connection *connections; /* owned */
    size_t connection_count;        /* that are open */
    int epoll_fd;                   /* owned */
    uint32_t run_id;                /* makes GUIDs distinct between runs */
    uint64_t next;                  /* delivery */
    size_t outstanding;             /* now */
    struct error *error;            /* borrowed: the first that went wrong */
};

#define AT(member) offsetof(struct load_settings, member)

/* clang-format off: a row is an option */
static const struct option_row load_rows[] = {
    POOL_OPTION_ROW(struct load_settings, pool, "Load"),
    {.name = "port",
     .kind = OPTION_INTEGER,
     .offset = AT(port),
     .required = true,
     .least = 1,
     .most = 65535,
     .help = "Where the door listens on 127.0.0.1."},
    {.name = "path",
     .kind = OPTION_TEXT,
     .offset = AT(path),
     .default_value = "/webhooks/github",
     .help = "Path that takes deliveries."},
    {.name = "connections",
     .kind = OPTION_INTEGER,
     .offset = AT(connections),
     .default_value = "16",
     .least = 1,
     .most = CONNECTIONS_MAX,
     .help = "How many, each with one delivery outstanding."},
    METER_OPTION_ROWS(struct load_settings, meter),
};
/* clang-format on */

static void fail(struct load *load, const char *what, int number)
{
    if (load->error->code == 0)
        (void)error_set(load->error, ERR_UNAVAILABLE, "%s%s%s", what, number == 0 ? "" : ": ",
                        number == 0 ? "" : strerror(number));
}

/* ---- sending ---- */

static void watch(struct load *load, struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(load->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        fail(load, "epoll_ctl", errno);
}

/* Sends what there is room for; comes again when there is more. */
static void send_rest(struct load *load, struct connection *connection)
{
    struct msghdr message = {.msg_iov = connection->parts, .msg_iovlen = 2};
    ssize_t sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) {
        fail(load, "sending", errno);
        return;
    }
    size_t left = 0;
    for (size_t i = 0; i < 2; i++) {
        struct iovec *part = &connection->parts[i];
        size_t taken = sent > 0 && (size_t)sent > part->iov_len ? part->iov_len
                                                                : (size_t)(sent > 0 ? sent : 0);
        part->iov_base = (char *)part->iov_base + taken;
        part->iov_len -= taken;
        sent -= (ssize_t)taken;
        left += part->iov_len;
    }
    if ((left > 0) != connection->waits_to_write) {
        connection->waits_to_write = left > 0;
        watch(load, connection, left > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

/* Begins the next delivery on a connection. */
static void deliver_next(struct load *load, struct connection *connection)
{
    uint64_t number = load->next++;
    const struct payload_item *item = &load->pool.items[number % load->pool.count];
    int head_bytes =
        snprintf(connection->head, HEAD_BYTES,
                 "POST %s HTTP/1.1\r\n"
                 "Host: 127.0.0.1\r\n"
                 "User-Agent: GitHub-Hookshot/0000000\r\n"
                 "Accept: */*\r\n"
                 "Content-Type: application/json\r\n"
                 "X-GitHub-Event: issues\r\n"
                 "X-GitHub-Delivery: %08" PRIx32 "-0000-4000-8000-%012" PRIx64 "\r\n"
                 "X-GitHub-Hook-ID: 109948940\r\n"
                 "X-GitHub-Hook-Installation-Target-Type: repository\r\n"
                 "X-GitHub-Hook-Installation-Target-ID: 186853002\r\n"
                 "X-Hub-Signature-256: %s\r\n"
                 "Content-Length: %zu\r\n\r\n",
                 load->settings->path, load->run_id, number, item->signature, item->body_bytes);
    if (head_bytes >= HEAD_BYTES) {
        fail(load, "the head is too long", 0);
        return;
    }
    connection->parts[0] = (struct iovec){connection->head, (size_t)head_bytes};
    connection->parts[1] = (struct iovec){(void *)(uintptr_t)item->body, item->body_bytes};
    connection->answer_bytes = 0;
    load->outstanding++;
    connection->started_us = meter_now_us();
    send_rest(load, connection);
}

/* ---- answers ---- */

/* Returns how many bytes the whole answer has; 0: its head is not there yet, -1: it is not understood. */
static ssize_t answer_size(const char *answer)
{
    static const char length_name[] = "Content-Length:";
    const char *end = strstr(answer, "\r\n\r\n");
    if (end == NULL)
        return 0;
    const char *length = strcasestr(answer, length_name);
    if (length == NULL || length > end)
        return -1;
    return (end + 4 - answer) + (ssize_t)strtoul(length + strlen(length_name), NULL, 10);
}

static void answer_complete(struct load *load, struct connection *connection)
{
    static const char version[] = "HTTP/1.1 ";
    int64_t now_us = meter_now_us();
    load->outstanding--;
    long status = strncmp(connection->answer, version, strlen(version)) == 0
                      ? strtol(connection->answer + strlen(version), NULL, 10)
                      : 0;
    if (status != STATUS_ACCEPTED) {
        (void)error_set(load->error, ERR_UNAVAILABLE, "delivery %" PRIu64 " was answered: %s",
                        load->meter.count, connection->answer);
        return;
    }
    meter_note(&load->meter, connection->started_us, now_us);
    if (!meter_is_over(&load->meter, now_us))
        deliver_next(load, connection);
}

static void read_answer(struct load *load, struct connection *connection)
{
    size_t room = ANSWER_BYTES - 1 - connection->answer_bytes;
    ssize_t got =
        recv(connection->fd, connection->answer + connection->answer_bytes, room, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        fail(load, got == 0 ? "a connection was closed" : "reading", got == 0 ? 0 : errno);
        return;
    }
    connection->answer_bytes += (size_t)got;
    connection->answer[connection->answer_bytes] = '\0';
    ssize_t whole = answer_size(connection->answer);
    if (whole < 0 || whole >= ANSWER_BYTES)
        fail(load, "an answer has no Content-Length, or a large one", 0);
    else if (whole > 0 && connection->answer_bytes >= (size_t)whole)
        answer_complete(load, connection);
}

/* ---- the run ---- */

static void open_connections(struct load *load)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)load->settings->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int one = 1;
    size_t wanted = (size_t)load->settings->connections;
    load->connections = mem_alloc_array(wanted, sizeof(*load->connections));
    while (load->connection_count < wanted && load->error->code == 0) {
        struct connection *connection = &load->connections[load->connection_count];
        connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connection->fd < 0) {
            fail(load, "socket", errno);
            return;
        }
        load->connection_count++;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (connect(connection->fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
            setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
            epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
            fail(load, "connecting", errno);
    }
}

/* One wait and what came of it. */
static void turn(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(load->epoll_fd, events, EVENTS_MAX, STALLED_MS);
    if (count == 0)
        fail(load, "no answer came for a long time", 0);
    if (count < 0 && errno != EINTR)
        fail(load, "epoll_wait", errno);
    for (int i = 0; i < count && load->error->code == 0; i++) {
        struct connection *connection = events[i].data.ptr;
        if ((events[i].events & EPOLLOUT) != 0)
            send_rest(load, connection);
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            read_answer(load, connection);
    }
}

static void run(struct load *load)
{
    if (pool_read(load->settings->pool, &load->pool, load->error) != 0)
        return;
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load->run_id = (uint32_t)meter_now_us();
    open_connections(load);
    double cpu_before_s = meter_cpu_s();
    meter_start(&load->meter, &load->settings->meter);
    for (size_t i = 0; i < load->connection_count && load->error->code == 0; i++)
        deliver_next(load, &load->connections[i]);
    while (load->outstanding > 0 && load->error->code == 0)
        turn(load);
    if (load->error->code == 0 && !meter_print(&load->meter, stdout, meter_cpu_s() - cpu_before_s))
        fail(load, "nothing was answered in the measured time", 0);
}

int main(int argc, char **argv)
{
    static const struct option_program program = {
        .name = "nodag-bench-load",
        .summary = "sends signed webhook deliveries over kept connections and times them",
        .usage = "[OPTION…]",
        .rows = load_rows,
        .row_count = ARRAY_COUNT(load_rows),
    };
    struct load_settings settings = {0};
    struct error error = {0};
    struct load load = {.settings = &settings, .epoll_fd = -1, .error = &error};
    int status = EXIT_STATUS_OK;
    if (!option_begin(&program, argc, argv, &settings, NULL, &status))
        return status;
    run(&load);
    if (error.code != 0)
        (void)fprintf(stderr, "%s: %s\n", program.name, error.text);
    for (size_t i = 0; i < load.connection_count; i++)
        (void)close(load.connections[i].fd);
    free(load.connections);
    if (load.epoll_fd >= 0)
        (void)close(load.epoll_fd);
    pool_release(&load.pool);
    meter_release(&load.meter);
    return error.code == 0 ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}
