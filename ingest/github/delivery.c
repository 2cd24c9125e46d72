/*
 * One request at the door: see delivery.h.
 *
 * Design: a request that its head refuses never becomes a `struct delivery`. One that is accepted moves through
 * the states below; delivery_answer is the only place that answers it, logs a refusal and counts.
 *
 *      RECEIVING ──on_end──▶ PARSING ──▶ PUBLISHING ──▶ ANSWERED
 *          └───────────────────┴─────────────┴─────────────▲   refused, deadline, drained
 *
 * Why the deadline: GitHub waits 10 s for an answer. The bus gives a record up after --message-timeout; the
 * deadline is the promise that holds if that is set too long or the parse queue is full. A record that is
 * acknowledged after it is remembered as published, so that the redelivery is answered 202 and not published
 * again.
 */
#include "ingest/github/delivery.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/signature.h"
#include "ingest/github/github_event.h"

/* What a sender is told to wait after a 503 or 429: a broker's restart takes about that long. */
#define RETRY_AFTER_S "5"

/* First size of a body's buffer if the head declares none. */
#define BODY_FIRST_BYTES ((size_t)16 << 10)

/* Most that is allocated on the word of a head; beyond it the buffer grows as bytes arrive. */
#define BODY_TRUSTED_BYTES ((size_t)256 << 10)

/* Room for an answer's JSON. */
#define ANSWER_BYTES (HEAD_DELIVERY_BYTES + 32)

/* What a delivery handed through the server's `void *` starts with. */
#define DELIVERY_MAGIC 0xde11fe41u

/* Where a delivery is. */
enum delivery_state {
    DELIVERY_RECEIVING,  /* its body arrives */
    DELIVERY_PARSING,    /* the signature matched; the body is read */
    DELIVERY_PUBLISHING, /* it waits for the broker */
    DELIVERY_ANSWERED,   /* done */
};

struct delivery {
    unsigned magic;
    enum delivery_state state;
    struct door *door;              /* borrowed */
    struct http_exchange *exchange; /* borrowed until on_close */
    struct client client;           /* whose request it is */
    struct delivery_head head;      /* texts borrowed from the exchange */
    int64_t started_ms;             /* monotonic time of the head */
    int64_t received_wall_ms;       /* wall time of the head */
    struct secrets *secrets;        /* held: the set that the candidates are of */
    size_t candidate_count;         /* 1..SECRETS_CANDIDATES_MAX */
    const struct secret *candidates[SECRETS_CANDIDATES_MAX];
    struct hmac *hmacs[SECRETS_CANDIDATES_MAX]; /* owned; one for each candidate */
    const struct secret *matched;               /* the candidate that signed, or NULL */
    struct buffer body;                         /* owned until it is published */
    struct parse_job parse;
    struct dedup_waiter waiter;
    struct loop_timer *deadline; /* owned; set from on_end on */
    struct delivery *next;       /* in the door's list */
    struct delivery **previous;  /* the link that points here; NULL: not in the list any more */
};

/* ---- answering ---- */

/* What is logged and counted of a request, accepted or not. */
struct outcome {
    const struct client *client;      /* whose request it is */
    const struct delivery_head *head; /* NULL: its headers were refused */
    int64_t started_ms;               /* monotonic time of the head */
};

/* Logs a refusal, a place in the code for each reason, so that a flood of one kind does not silence another. */
static void log_refusal(const struct outcome *outcome, const struct refusal *refusal)
{
    static struct log_site sites[REASON_COUNT];
    char client[ADDRESS_TEXT_BYTES];
    char peer[ADDRESS_TEXT_BYTES];
    struct text none = {0};
    struct text delivery = outcome->head != NULL ? outcome->head->delivery : none;
    struct text event = outcome->head != NULL ? outcome->head->event : none;
    struct text hook = outcome->head != NULL ? outcome->head->hook_id : none;
    address_to_text(&outcome->client->address, client);
    address_to_text(&outcome->client->peer, peer);
    const struct log_field fields[] = {
        LOG_INT("status", refusal->status),
        LOG_TEXT("reason", reason_text(refusal->reason)),
        LOG_TEXT("detail", refusal->text),
        LOG_BYTES("delivery", delivery.data, delivery.bytes),
        LOG_BYTES("event", event.data, event.bytes),
        LOG_BYTES("hook", hook.data, hook.bytes),
        LOG_TEXT("client", client),
        LOG_TEXT("peer", peer), /* last: said where a proxy stands between */
    };
    bool is_direct = address_equal(&outcome->client->address, &outcome->client->peer);
    log_write(&sites[refusal->reason], LOG_LEVEL_WARNING, "delivery refused", fields,
              ARRAY_COUNT(fields) - (is_direct ? 1 : 0));
}

/* Answers with a refusal, logs it and counts it. */
static void answer_refusal(struct door *door, struct http_exchange *exchange,
                           const struct outcome *outcome, const struct refusal *refusal)
{
    char body[ERROR_TEXT_BYTES + 2];
    int body_bytes = snprintf(body, sizeof(body), "%s\n", refusal->text);
    struct http_answer answer = {
        .status = refusal->status, .body = body, .body_bytes = (size_t)body_bytes};
    if (refusal->status == 405) {
        answer.headers[0].name = "Allow";
        answer.headers[0].value = "POST";
    } else if (refusal->status == 503 || refusal->status == 429) {
        answer.headers[0].name = "Retry-After";
        answer.headers[0].value = RETRY_AFTER_S;
    }
    log_refusal(outcome, refusal);
    door_metrics_answer(door->metrics, refusal->status, refusal->reason,
                        loop_now_ms(door->loop) - outcome->started_ms);
    http_answer(exchange, &answer);
}

/* Ends what is under way for a delivery, but not the delivery. */
static void delivery_settle(struct delivery *delivery)
{
    delivery->state = DELIVERY_ANSWERED;
    loop_timer_clear(delivery->deadline);
    dedup_leave(&delivery->waiter);
    parse_job_cancel(&delivery->parse);
    buffer_release(&delivery->body);
}

static void delivery_refuse(struct delivery *delivery, const struct refusal *refusal)
{
    const struct outcome outcome = {
        .client = &delivery->client, .head = &delivery->head, .started_ms = delivery->started_ms};
    delivery_settle(delivery);
    answer_refusal(delivery->door, delivery->exchange, &outcome, refusal);
}

/* Refuses with a text that needs no arguments. */
static void delivery_refuse_text(struct delivery *delivery, int status, enum reason reason,
                                 const char *text)
{
    struct refusal refusal;
    (void)refusal_set(&refusal, status, reason, "%s", text);
    delivery_refuse(delivery, &refusal);
}

static void delivery_accept(struct delivery *delivery, enum reason reason)
{
    char body[ANSWER_BYTES];
    int body_bytes = snprintf(body, sizeof(body), "{\"delivery\": \"%.*s\"}\n",
                              (int)delivery->head.delivery.bytes, delivery->head.delivery.data);
    const struct http_answer answer = {.status = 202,
                                       .content_type = "application/json",
                                       .body = body,
                                       .body_bytes = (size_t)body_bytes};
    delivery_settle(delivery);
    LOG_DEBUG("delivery accepted", LOG_TEXT("reason", reason_text(reason)),
              LOG_BYTES("delivery", delivery->head.delivery.data, delivery->head.delivery.bytes),
              LOG_BYTES("event", delivery->head.event.data, delivery->head.event.bytes));
    door_metrics_answer(delivery->door->metrics, answer.status, reason,
                        loop_now_ms(delivery->door->loop) - delivery->started_ms);
    http_answer(delivery->exchange, &answer);
}

/* ---- the head ---- */

/* Returns a header that may be sent once; notes in `input` if it was sent more often. */
static const char *single_header(const struct http_exchange *exchange, const char *name,
                                 struct head_input *input)
{
    const char *value = NULL;
    if (http_exchange_header_values(exchange, name, &value, 1) > 1)
        input->repeated_header = name;
    return value;
}

/* Checks that the client has not too many requests under way. */
static int check_client_limit(const struct door *door, const struct client *client,
                              struct refusal *ret_refusal)
{
    size_t limit = door->settings.requests_per_client_max;
    size_t count = 0;
    for (const struct delivery *delivery = door->first_delivery; delivery != NULL && count < limit;
         delivery = delivery->next)
        count += delivery->state != DELIVERY_ANSWERED &&
                 address_equal(&delivery->client.address, &client->address);
    if (limit == 0 || count < limit)
        return 0;
    return refusal_set(ret_refusal, 429, REASON_CLIENT_LIMIT,
                       "too many requests of this client are under way; deliver again later");
}

/* Checks path, method and headers. */
static int check_head(const struct door *door, const struct http_exchange *exchange,
                      struct delivery_head *ret_head, struct refusal *ret_refusal)
{
    if (strcmp(http_exchange_path(exchange), door->settings.path) != 0)
        return refusal_set(ret_refusal, 404, REASON_PATH,
                           "there is nothing here: deliveries go to %s", door->settings.path);
    if (strcmp(http_exchange_method(exchange), "POST") != 0)
        return refusal_set(ret_refusal, 405, REASON_METHOD, "deliveries are sent with POST");
    if (door->is_draining)
        return refusal_set(ret_refusal, 503, REASON_DRAINING,
                           "this process is shutting down; another one will take the delivery");
    struct head_input input = {0};
    input.event = single_header(exchange, "X-GitHub-Event", &input);
    input.delivery = single_header(exchange, "X-GitHub-Delivery", &input);
    input.hook_id = single_header(exchange, "X-GitHub-Hook-ID", &input);
    input.target_type = single_header(exchange, "X-GitHub-Hook-Installation-Target-Type", &input);
    input.target_id = single_header(exchange, "X-GitHub-Hook-Installation-Target-ID", &input);
    input.content_type = single_header(exchange, "Content-Type", &input);
    input.signature = single_header(exchange, SIGNATURE_HEADER, &input);
    return head_read(&input, ret_head, ret_refusal);
}

/* Finds the candidates and starts their HMACs. Returns false if there is none. */
static bool start_candidates(struct delivery *delivery)
{
    delivery->candidate_count =
        secrets_candidates(delivery->secrets, &delivery->head, delivery->candidates);
    for (size_t i = 0; i < delivery->candidate_count; i++)
        delivery->hmacs[i] = hmac_new(delivery->candidates[i]->key);
    return delivery->candidate_count > 0;
}

static void on_deadline(void *argument);
static void on_parsed(struct parse_job *job, int code, const struct error *error);
static void on_published(struct dedup_waiter *waiter, int code);

/* Makes a delivery for an accepted head and puts it into the door's list. */
static struct delivery *delivery_new(struct door *door, struct http_exchange *exchange,
                                     const struct client *client, const struct delivery_head *head)
{
    struct delivery *delivery = MEM_NEW(struct delivery);
    delivery->magic = DELIVERY_MAGIC;
    delivery->door = door;
    delivery->exchange = exchange;
    delivery->client = *client;
    delivery->head = *head;
    delivery->started_ms = loop_now_ms(door->loop);
    delivery->received_wall_ms = loop_wall_ms(door->loop);
    delivery->secrets = secrets_hold(door->secrets);
    delivery->body = BUFFER_INIT(door->settings.body_max_bytes);
    delivery->parse.finished = on_parsed;
    delivery->waiter.finished = on_published;
    delivery->deadline = loop_timer_new(door->loop, on_deadline, delivery);
    delivery->next = door->first_delivery;
    delivery->previous = &door->first_delivery;
    if (delivery->next != NULL)
        delivery->next->previous = &delivery->next;
    door->first_delivery = delivery;
    door->delivery_count++;
    return delivery;
}

/* Takes a delivery out of the door's list: nobody waits for it any more. */
static void delivery_unlist(struct delivery *delivery)
{
    if (delivery->previous == NULL)
        return;
    *delivery->previous = delivery->next;
    if (delivery->next != NULL)
        delivery->next->previous = delivery->previous;
    delivery->previous = NULL;
    delivery->door->delivery_count--;
}

static void delivery_free(struct delivery *delivery)
{
    delivery_settle(delivery);
    delivery_unlist(delivery);
    for (size_t i = 0; i < delivery->candidate_count; i++)
        hmac_free(delivery->hmacs[i]);
    secrets_free(delivery->secrets);
    loop_timer_free(delivery->deadline);
    delivery->magic = 0;
    free(delivery);
}

static void *on_head(void *argument, struct http_exchange *exchange)
{
    struct door *door = argument;
    struct client client;
    struct delivery_head head;
    struct refusal refusal;
    int code = admission_judge(door->settings.admission, exchange, &client, &refusal);
    if (code == 0)
        code = check_head(door, exchange, &head, &refusal);
    if (code == 0)
        code = check_client_limit(door, &client, &refusal);
    if (code != 0) {
        const struct outcome outcome = {
            .client = &client, .head = NULL, .started_ms = loop_now_ms(door->loop)};
        answer_refusal(door, exchange, &outcome, &refusal);
        return NULL;
    }
    struct delivery *delivery = delivery_new(door, exchange, &client, &head);
    if (!start_candidates(delivery)) {
        delivery_refuse_text(
            delivery, 401, REASON_SIGNATURE,
            "no secret is configured for this hook or target, and there is no default");
        return delivery;
    }
    int64_t declared = http_exchange_content_length(exchange);
    size_t body_bytes = declared < 0 ? BODY_FIRST_BYTES : (size_t)declared;
    if (body_bytes > BODY_TRUSTED_BYTES)
        body_bytes = BODY_TRUSTED_BYTES;
    if (declared < 0 && body_bytes > door->settings.body_max_bytes)
        body_bytes = door->settings.body_max_bytes;
    if (body_bytes > 0 && buffer_reserve(&delivery->body, body_bytes) != 0)
        delivery_refuse_text(delivery, 413, REASON_SIZE, "the body is over the size limit");
    return delivery;
}

/* ---- the body ---- */

static void on_body(void *request, struct http_exchange *exchange, const char *bytes,
                    size_t byte_count)
{
    (void)exchange;
    struct delivery *delivery = CAST_CHECKED(struct delivery, request, DELIVERY_MAGIC);
    for (size_t i = 0; i < delivery->candidate_count; i++)
        hmac_update(delivery->hmacs[i], bytes, byte_count);
    if (buffer_append(&delivery->body, bytes, byte_count) != 0)
        delivery_refuse_text(delivery, 413, REASON_SIZE, "the body is over the size limit");
}

/* Compares with every candidate, so that the time does not tell which one it was; each comparison is constant-time. */
static void match_signature(struct delivery *delivery)
{
    for (size_t i = 0; i < delivery->candidate_count; i++) {
        uint8_t mac[DIGEST_BYTES];
        hmac_finish(delivery->hmacs[i], mac);
        bool is_equal = digest_equal(mac, delivery->head.mac, sizeof(mac));
        if (is_equal && delivery->matched == NULL)
            delivery->matched = delivery->candidates[i];
    }
}

static void on_end(void *request, struct http_exchange *exchange)
{
    (void)exchange;
    struct delivery *delivery = CAST_CHECKED(struct delivery, request, DELIVERY_MAGIC);
    struct door *door = delivery->door;
    match_signature(delivery);
    if (delivery->matched == NULL) {
        delivery_refuse_text(
            delivery, 401, REASON_SIGNATURE,
            "the signature does not match: the webhook's secret must be the same as "
            "configured here for this hook");
        return;
    }
    door_metrics_secret_matched(door->metrics, delivery->matched->id, loop_wall_ms(door->loop));
    delivery->state = DELIVERY_PARSING;
    loop_timer_set(delivery->deadline, door->settings.answer_deadline_ms);
    delivery->parse.bytes = delivery->body.data != NULL ? delivery->body.data : "";
    delivery->parse.byte_count = delivery->body.size_bytes;
    parse_queue_start(door->parse_queue, &delivery->parse);
}

/* ---- publishing ---- */

/* Makes the event and hands it to the bus together with the body. */
static void publish(struct delivery *delivery, struct dedup_entry *entry)
{
    struct door *door = delivery->door;
    struct github_event event;
    struct event_headers headers;
    struct error error;
    github_event_make(&delivery->head, delivery->parse.payload, delivery->matched->id,
                      delivery->received_wall_ms, &event);
    int code = envelope_encode(&event.envelope, &headers, &error);
    assert(code == 0); /* github_event_make promises it */
    (void)code;
    size_t body_bytes = delivery->body.size_bytes;
    const struct bus_message message = {
        .topic = TOPIC_GITHUB_EVENTS,
        .partition = BUS_PARTITION_BY_KEY,
        .key = event.key,
        .key_bytes = event.key_bytes,
        .value = buffer_take(&delivery->body),
        .value_bytes = body_bytes,
        .take_value = true,
        .headers = headers.items,
        .header_count = headers.count,
    };
    door_publish(door, entry, &message, github_event_label(delivery->head.event));
}

static void on_parsed(struct parse_job *job, int code, const struct error *error)
{
    struct delivery *delivery =
        (struct delivery *)(void *)((char *)job - offsetof(struct delivery, parse));
    struct door *door = delivery->door;
    struct error outside;
    if (code != 0) {
        delivery_refuse_text(delivery, 400, REASON_JSON, error->text);
        return;
    }
    if (scope_check(&delivery->matched->scope, job->payload, &outside) != 0) {
        delivery_refuse_text(delivery, 403, REASON_SCOPE, outside.text);
        return;
    }
    struct dedup_entry *entry = NULL;
    struct dedup_key key = dedup_key_of(&delivery->head);
    delivery->state = DELIVERY_PUBLISHING;
    switch (dedup_begin(door->dedup, &key, &delivery->waiter, &entry)) {
    case DEDUP_PUBLISHED:
        delivery_accept(delivery, REASON_REPEATED);
        break;
    case DEDUP_IN_FLIGHT:
        break;
    case DEDUP_FIRST:
        publish(delivery, entry);
        break;
    }
}

/* The record was acknowledged, or not. */
static void on_published(struct dedup_waiter *waiter, int code)
{
    struct delivery *delivery =
        (struct delivery *)(void *)((char *)waiter - offsetof(struct delivery, waiter));
    if (code == 0)
        delivery_accept(delivery, REASON_PUBLISHED);
    else if (code == ERR_QUEUE_FULL)
        delivery_refuse_text(delivery, 503, REASON_QUEUE_FULL,
                             "too many records wait for the broker; deliver again later");
    else if (code == ERR_TOO_LARGE)
        delivery_refuse_text(delivery, 413, REASON_SIZE,
                             "the record is over the topic's size limit");
    else
        delivery_refuse_text(delivery, 503, REASON_BROKER,
                             "the broker did not acknowledge the record; deliver again later");
}

static void on_deadline(void *argument)
{
    delivery_refuse_text(argument, 503, REASON_DEADLINE,
                         "the record was not acknowledged in time; deliver again later");
}

void delivery_cut_unfinished(struct door *door)
{
    struct delivery *next = NULL;
    for (struct delivery *delivery = door->first_delivery; delivery != NULL; delivery = next) {
        next = delivery->next;
        if (delivery->state != DELIVERY_RECEIVING)
            continue;
        delivery_refuse_text(delivery, 503, REASON_DRAINING,
                             "this process is shutting down; deliver again");
        /* The server may hold the answer back until the rest of the body has come. */
        delivery_unlist(delivery);
    }
    door_check_drained(door);
}

static void on_close(void *request, struct http_exchange *exchange)
{
    (void)exchange;
    if (request == NULL)
        return;
    struct delivery *delivery = CAST_CHECKED(struct delivery, request, DELIVERY_MAGIC);
    struct door *door = delivery->door;
    if (delivery->state != DELIVERY_ANSWERED)
        door_metrics_answer(door->metrics, 0, REASON_CLOSED,
                            loop_now_ms(door->loop) - delivery->started_ms);
    delivery_free(delivery);
    door_check_drained(door);
}

static void on_refuse(void *argument, int status)
{
    struct door *door = argument;
    door_metrics_server_refusal(door->metrics, status);
}

const struct http_handler delivery_handler = {
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_close = on_close,
    .on_refuse = on_refuse,
};
