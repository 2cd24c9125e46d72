/*
 * Fuzz target: any bytes on a connection to the door: HTTP, the head's checks, the signature, the payload, the answer.
 *
 * Design: the real HTTP server and the real door; a pair of sockets instead of a network and a bus that keeps what it
 * is given. Two characters say how the rest is sent: the first, into how large pieces it is cut; the second, what the
 * bus makes of records and whether the client shuts its side down. In the rest, each run of 64 letters S stands for the
 * signature of what follows its head, so that a changed body stays a signed one and the fuzzer sees what lies behind.
 * The loop turns until nothing moves any more; time limits do not pass.
 *
 * Asserted: whatever is published has a right signature over exactly its bytes; nothing but whole answers with statuses
 * of the table in http_server.h and delivery.h comes back, and no more good ones than records were acknowledged or
 * repeated; a request with both lengths is never taken; and nothing is left: no request, no byte counted.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/http_server_internal.h"
#include "base/log.h"
#include "base/memory.h"
#include "ingest/github/delivery.h"
#include "ingest/github/door.h"

/* The secret of all hooks. */
#define SECRET "fuzz"

/* Limits of the server and the door: small, so that small inputs reach them. */
#define HEADER_MAX_BYTES 2048
#define BODY_MAX_BYTES 3000
#define BODIES_MAX_BYTES 4000

/* A time limit that does not pass. */
#define LONG_MS 600000

/* Turns without any movement after which nothing more is expected, and turns at all. */
#define QUIET_TURNS 3
#define TURNS_MAX 3000

/* Records that the bus keeps of one input; more are refused. */
#define RECORDS_MAX 64

/* Most bytes of answers to one input. */
#define ANSWERS_MAX_BYTES ((size_t)1 << 20)

/* Characters at the start of an input that say how it is sent. */
#define CONTROL_BYTES 2

/* Bits of the second of them. */
enum {
    BUS_REFUSES = 1, /* its queue is full */
    BUS_FAILS = 2,   /* the broker does not acknowledge */
    BUS_LATE = 4,    /* it does so after the client is gone */
    SHUTS_DOWN = 8,  /* the client closes its side behind the last byte */
};

/* One record on its way. */
struct record {
    bus_delivered_fn delivered;
    void *argument;
    char *value; /* owned */
};

/* Everything of one input. */
struct bed {
    struct bus bus; /* first: what the door gets */
    struct loop *loop;
    struct metrics *metrics;
    struct door *door;
    struct http_server *server;
    unsigned control;
    struct record records[RECORDS_MAX];
    size_t record_count;
    size_t done_count; /* of them, the door was told */
    struct buffer answers;
};

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

/* ---- the signature ---- */

/* Writes the signature of some bytes as 64 digits. */
static void sign(const char *bytes, size_t byte_count, char ret_text[DIGEST_TEXT_BYTES])
{
    CLEANUP(hmac_key_free) struct hmac_key *key = hmac_key_new(SECRET, strlen(SECRET));
    CLEANUP(hmac_free) struct hmac *hmac = hmac_new(key);
    uint8_t mac[DIGEST_BYTES];
    hmac_update(hmac, bytes, byte_count);
    hmac_finish(hmac, mac);
    digest_to_text(mac, ret_text);
}

/* Returns the length of the body behind a head: what its last Content-Length says, or all that is left. */
static size_t body_bytes_of(const char *head, const char *body, const char *end)
{
    static const char name[] = "Content-Length: ";
    size_t left = (size_t)(end - body);
    const char *line = memmem(head, (size_t)(body - head), name, sizeof(name) - 1);
    if (line == NULL)
        return left;
    size_t length = strtoul(line + sizeof(name) - 1, NULL, 10); /* the text ends with a NUL */
    return length < left ? length : left;
}

/* Replaces each run of the letter S by the signature of the body of its request. */
static void put_signatures(char *text, size_t text_bytes)
{
    const char *const end = text + text_bytes;
    char run[2 * DIGEST_BYTES];
    memset(run, 'S', sizeof(run));
    char *head = text;
    for (;;) {
        char *place = memmem(head, (size_t)(end - head), run, sizeof(run));
        char *body = place == NULL ? NULL : memmem(place, (size_t)(end - place), "\r\n\r\n", 4);
        if (body == NULL)
            return;
        body += 4;
        char digits[DIGEST_TEXT_BYTES];
        size_t body_bytes = body_bytes_of(head, body, end);
        sign(body, body_bytes, digits);
        memcpy(place, digits, sizeof(run));
        head = body + body_bytes;
    }
}

/* ---- the bus ---- */

/* Takes a record whose signature is right. */
static int keep_record(struct bus *bus, const struct bus_message *message,
                       bus_delivered_fn delivered, void *argument)
{
    struct bed *bed = (struct bed *)(void *)bus;
    struct event event;
    struct error error;
    char digits[DIGEST_TEXT_BYTES];
    require(message->topic == TOPIC_GITHUB_EVENTS && message->take_value && message->key_bytes > 0);
    require(message->value_bytes <= BODY_MAX_BYTES);
    require(envelope_decode(message->headers, message->header_count, &event, &error) == 0);
    sign(message->value, message->value_bytes, digits);
    require(event.signature.bytes == strlen("sha256=") + 2 * DIGEST_BYTES &&
            strncasecmp(event.signature.data + strlen("sha256="), digits, 2 * DIGEST_BYTES) == 0);
    if ((bed->control & BUS_REFUSES) != 0 || bed->record_count == RECORDS_MAX)
        return ERR_QUEUE_FULL;
    bed->records[bed->record_count++] = (struct record){
        .delivered = delivered, .argument = argument, .value = (char *)(uintptr_t)message->value};
    return 0;
}

/* Tells the door what came of the records. */
static void finish_records(struct bed *bed)
{
    while (bed->done_count < bed->record_count) {
        struct record *record = &bed->records[bed->done_count++];
        record->delivered(record->argument, (bed->control & BUS_FAILS) != 0 ? ERR_TIMEOUT : 0, 0,
                          0);
    }
}

/* ---- the connection ---- */

/* Reads what the server has sent. Returns false if there was nothing. */
static bool read_answers(struct bed *bed, int fd)
{
    char piece[4096];
    ssize_t got_bytes = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
    if (got_bytes <= 0)
        return false;
    int code = buffer_append(&bed->answers, piece, (size_t)got_bytes);
    require(code == 0);
    return true;
}

/* Turns the loop until nothing moves any more. */
static void settle(struct bed *bed, int fd)
{
    int quiet = 0;
    for (int i = 0; i < TURNS_MAX && quiet < QUIET_TURNS; i++) {
        uint64_t runs = bed->server->run_count;
        size_t bytes = bed->server->bodies_bytes;
        (void)event_base_loop(loop_event_base(bed->loop), EVLOOP_NONBLOCK);
        bool has_moved = fd >= 0 && read_answers(bed, fd);
        if ((bed->control & BUS_LATE) == 0 && bed->done_count < bed->record_count) {
            finish_records(bed);
            has_moved = true;
        }
        has_moved =
            has_moved || bed->server->run_count != runs || bed->server->bodies_bytes != bytes;
        quiet = has_moved ? 0 : quiet + 1;
    }
}

/* Makes a connection that the server believes to come from the network; returns the client's end. */
static int open_connection(struct bed *bed)
{
    int pair[2];
    int failed = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
    require(failed == 0);
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    enum MHD_Result added =
        MHD_add_connection(bed->server->mhd, pair[1],
                           (const struct sockaddr *)(const void *)&address, sizeof(address));
    require(added == MHD_YES);
    http_server_run_soon(bed->server);
    return pair[0];
}

/* Sends the text in pieces, and reads; gives up when the server takes no more. */
static void send_text(struct bed *bed, int fd, const char *text, size_t text_bytes,
                      size_t piece_bytes)
{
    for (size_t at = 0; at < text_bytes;) {
        size_t left = text_bytes - at;
        ssize_t sent_bytes =
            send(fd, text + at, left < piece_bytes ? left : piece_bytes, MSG_NOSIGNAL);
        if (sent_bytes < 0 && errno != EAGAIN)
            break;
        at += sent_bytes > 0 ? (size_t)sent_bytes : 0;
        size_t before = bed->answers.size_bytes;
        settle(bed, fd);
        if (sent_bytes < 0 && before == bed->answers.size_bytes)
            break; /* it neither reads nor writes: our input is over */
    }
    if ((bed->control & SHUTS_DOWN) != 0)
        (void)shutdown(fd, SHUT_WR);
    settle(bed, fd);
}

/* ---- what came back ---- */

static bool is_known_status(long status)
{
    static const long known[] = {100, 202, 400, 401, 403, 404, 405, 413, 414,
                                 415, 417, 429, 431, 500, 501, 503, 505};
    for (size_t i = 0; i < ARRAY_COUNT(known); i++)
        if (known[i] == status)
            return true;
    return false;
}

/* Looks at one answer; returns what follows it. The last may be cut where we stopped reading. */
static const char *check_answer(const char *answer, const char *end, long *ret_status)
{
    static const char name[] = "Content-Length: ";
    require(strncmp(answer, "HTTP/1.", 7) == 0);
    *ret_status = strtol(answer + strlen("HTTP/1.1 "), NULL, 10);
    require(is_known_status(*ret_status));
    const char *body = strstr(answer, "\r\n\r\n");
    if (body == NULL)
        return end;
    body += 4;
    const char *line = strstr(answer, name);
    require(*ret_status == 100 || (line != NULL && line < body));
    /* libmicrohttpd 0.9.75 writes the head of its refusals of a Content-Length twice. */
    if (*ret_status == 100 || strncmp(body, "HTTP/1.", 7) == 0)
        return body;
    size_t body_bytes = strtoul(line + sizeof(name) - 1, NULL, 10);
    return body_bytes < (size_t)(end - body) ? body + body_bytes : end;
}

/* Returns how many answers were good, and the status of the first. */
static size_t check_answers(const struct buffer *answers, long *ret_first)
{
    size_t good_count = 0;
    *ret_first = 0;
    if (answers->size_bytes == 0)
        return 0;
    const char *next = answers->data;
    const char *end = next + answers->size_bytes;
    require(strlen(next) == answers->size_bytes); /* nothing of the client's is repeated to it */
    while (next < end) {
        long status = 0;
        next = check_answer(next, end, &status);
        good_count += status == 202;
        if (*ret_first == 0)
            *ret_first = status;
    }
    return good_count;
}

/* Returns true if a header of the first head begins so; the name in any case. */
static bool first_head_has(const char *text, const char *name)
{
    const char *end = strstr(text, "\r\n\r\n");
    size_t name_bytes = strlen(name);
    for (const char *line = strstr(text, "\r\n"); line != NULL && end != NULL && line < end;
         line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, name_bytes) == 0)
            return true;
    return false;
}

/* ---- one input ---- */

/* Every file holds the one secret. */
static int read_secret(const char *path, struct buffer *secret, struct error *error)
{
    (void)path;
    (void)error;
    return buffer_append_text(secret, SECRET);
}

/* The one secret, for the events of one organisation; owned. */
static struct secrets *make_secrets(void)
{
    static const char text[] = "secrets:\n- {id: default, file: x, organisations: [octo]}\n";
    const struct secrets_source source = {.path = "secrets.yaml",
                                          .text = text,
                                          .text_bytes = sizeof(text) - 1,
                                          .read_secret = read_secret};
    struct secrets *secrets = NULL;
    struct error error;
    int code = secrets_parse(&source, &secrets, &error);
    require(code == 0);
    return secrets;
}

static void bed_open(struct bed *bed, unsigned control)
{
    struct error error;
    const struct door_settings door = {.path = "/webhooks/github",
                                       .body_max_bytes = BODY_MAX_BYTES,
                                       .answer_deadline_ms = LONG_MS};
    const struct http_server_settings server = {.body_max_bytes = BODY_MAX_BYTES,
                                                .bodies_max_bytes = BODIES_MAX_BYTES,
                                                .header_max_bytes = HEADER_MAX_BYTES,
                                                .idle_timeout_ms = LONG_MS,
                                                .request_timeout_ms = LONG_MS};
    *bed = (struct bed){
        .bus.publish = keep_record, .control = control, .answers = BUFFER_INIT(ANSWERS_MAX_BYTES)};
    bed->loop = loop_new_real();
    bed->metrics = metrics_new();
    bed->door = door_new(bed->loop, &bed->bus, bed->metrics, &door);
    int code =
        http_server_new(bed->loop, &server, &delivery_handler, bed->door, &bed->server, &error);
    require(code == 0);
    door_take_secrets(bed->door, make_secrets());
}

static void bed_close(struct bed *bed)
{
    http_server_free(bed->server);
    door_free(bed->door);
    metrics_free(bed->metrics);
    loop_free(bed->loop);
    for (size_t i = 0; i < bed->record_count; i++)
        free(bed->records[i].value);
    buffer_release(&bed->answers);
}

/* Sends the text over one connection and asserts what must hold. */
static void try_text(struct bed *bed, const char *text, size_t text_bytes, size_t piece_bytes)
{
    int fd = open_connection(bed);
    send_text(bed, fd, text, text_bytes, piece_bytes);
    (void)close(fd);
    settle(bed, -1);
    finish_records(bed);
    settle(bed, -1);
    require(bed->server->exchange_count == 0 && bed->server->bodies_bytes == 0);
    require(bed->door->delivery_count == 0 && bed->door->publication_count == 0);
    long first = 0;
    size_t good_count = check_answers(&bed->answers, &first);
    if (good_count > 0)
        require(bed->record_count > 0 && (bed->control & (BUS_FAILS | BUS_LATE)) == 0);
    if (first_head_has(text, "Content-Length:") && first_head_has(text, "Transfer-Encoding:"))
        require(first != 202);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    static int null_fd = -1;
    if (null_fd < 0) {
        null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        log_set_fd(null_fd); /* refusals are logged, with a limit to their rate */
    }
    if (byte_count < CONTROL_BYTES)
        return 0;
    CLEANUP(mem_free)
    char *text = mem_copy_bytes(bytes + CONTROL_BYTES, byte_count - CONTROL_BYTES);
    size_t text_bytes = byte_count - CONTROL_BYTES;
    put_signatures(text, text_bytes);
    struct bed bed;
    bed_open(&bed, bytes[1]);
    size_t cut = bytes[0] & 15;
    try_text(&bed, text, text_bytes, cut == 0 ? text_bytes + 1 : cut * cut);
    bed_close(&bed);
    return 0;
}
