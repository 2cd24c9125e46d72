/*
 * The Kafka bus: a thread that asks for metadata.
 *
 * Design: rd_kafka_metadata() blocks for up to its timeout and has no other form, so it runs in a
 * thread of its own. The loop pokes it; it asks for each topic that somebody wants to know of,
 * writes the result under the mutex and wakes the loop by an eventfd. It reads no clock: when to
 * ask again is the loop's matter. The requests also show whether the cluster can be reached.
 *
 *      loop ──poke, ask──▶ (mutex, condition) ──▶ thread ──rd_kafka_metadata──▶ result (mutex) ──eventfd──▶ loop: news
 *
 * Invariants: everything between the threads is guarded by `mutex`; the thread calls nothing of
 * ours; asking does not create topics (allow.auto.create.topics=false).
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"
#include "topics/bus_kafka_private.h"

/* How long one question may take: after this the cluster counts as not reachable. */
#define METADATA_TIMEOUT_MS 2000

/* Guards against a struct of another type. */
#define KAFKA_WATCH_MAGIC 0x6b777463u

struct kafka_watch {
    unsigned magic;
    rd_kafka_t *handle;      /* borrowed */
    int event_fd;            /* owned */
    struct loop_fd *news_fd; /* owned; NULL once detached */
    loop_fn news;            /* after each round */
    void *argument;          /* of news */
    pthread_t thread;        /* joined by kafka_watch_free */
    pthread_mutex_t mutex;   /* guards all that follows */
    pthread_cond_t poked;    /* wanted or stopping changed */
    bool wanted;             /* a round is wanted */
    bool stopping;           /* the thread shall end */
    bool asked[TOPIC_COUNT]; /* for which topics */
    struct kafka_watch_result result;
};

/* ---- the thread ---- */

static rd_kafka_topic_t *open_topic(struct kafka_watch *watch, rd_kafka_topic_t **topics, size_t t)
{
    if (topics[t] == NULL)
        topics[t] = rd_kafka_topic_new(watch->handle, topic_name((enum topic)t), NULL);
    return topics[t];
}

/* Takes the partitions of the one topic that the answer is about. */
static rd_kafka_resp_err_t read_answer(const struct rd_kafka_metadata *metadata, int32_t *ret_count)
{
    rd_kafka_resp_err_t failed = RD_KAFKA_RESP_ERR__PARTIAL;
    if (metadata->topic_cnt == 1) {
        failed = metadata->topics[0].err;
        if (failed == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            *ret_count = 0;
            failed = RD_KAFKA_RESP_ERR_NO_ERROR;
        } else if (failed == RD_KAFKA_RESP_ERR_NO_ERROR) {
            *ret_count = metadata->topics[0].partition_cnt;
        }
    }
    return failed;
}

/* Asks for one topic, or for none: then only whether anybody answers. */
static void ask_one(struct kafka_watch *watch, rd_kafka_topic_t *topic, int32_t *ret_count,
                    struct kafka_watch_result *result)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t failed =
        rd_kafka_metadata(watch->handle, 0, topic, &metadata, METADATA_TIMEOUT_MS);
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR) {
        result->reachable = false;
        (void)snprintf(result->text, sizeof(result->text), "no broker answers: %s",
                       rd_kafka_err2str(failed));
        return;
    }
    if (topic != NULL) {
        failed = read_answer(metadata, ret_count);
        if (kafka_error_code(failed) == ERR_DENIED) {
            result->reachable = false;
            (void)snprintf(result->text, sizeof(result->text), "topic %s: %s",
                           rd_kafka_topic_name(topic), rd_kafka_err2str(failed));
        }
    }
    rd_kafka_metadata_destroy(metadata);
}

/* One round; the mutex is not held. */
static void run_round(struct kafka_watch *watch, const bool *asked, rd_kafka_topic_t **topics,
                      struct kafka_watch_result *result)
{
    bool none = true;
    result->known = true;
    result->reachable = true;
    result->text[0] = '\0';
    for (size_t t = 0; t < TOPIC_COUNT && result->reachable; t++) {
        if (!asked[t])
            continue;
        none = false;
        ask_one(watch, open_topic(watch, topics, t), &result->counts[t], result);
    }
    if (none)
        ask_one(watch, NULL, NULL, result);
}

static void *run_thread(void *argument)
{
    struct kafka_watch *watch = CAST_CHECKED(struct kafka_watch, argument, KAFKA_WATCH_MAGIC);
    rd_kafka_topic_t *topics[TOPIC_COUNT] = {NULL};
    const uint64_t one = 1;
    pthread_mutex_lock(&watch->mutex);
    while (!watch->stopping) {
        if (!watch->wanted) {
            pthread_cond_wait(&watch->poked, &watch->mutex);
            continue;
        }
        bool asked[TOPIC_COUNT];
        struct kafka_watch_result result = watch->result;
        memcpy(asked, watch->asked, sizeof(asked));
        watch->wanted = false;
        pthread_mutex_unlock(&watch->mutex);
        run_round(watch, asked, topics, &result);
        pthread_mutex_lock(&watch->mutex);
        watch->result = result;
        (void)!write(watch->event_fd, &one, sizeof(one));
    }
    pthread_mutex_unlock(&watch->mutex);
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        if (topics[t] != NULL)
            rd_kafka_topic_destroy(topics[t]);
    }
    return NULL;
}

/* ---- the loop's side ---- */

static void watch_on_readable(int fd, unsigned what, void *argument)
{
    (void)what;
    struct kafka_watch *watch = CAST_CHECKED(struct kafka_watch, argument, KAFKA_WATCH_MAGIC);
    uint64_t ignored = 0;
    (void)!read(fd, &ignored, sizeof(ignored));
    watch->news(watch->argument);
}

struct kafka_watch *kafka_watch_new(struct loop *loop, rd_kafka_t *handle, loop_fn news,
                                    void *argument)
{
    struct kafka_watch *watch = MEM_NEW(struct kafka_watch);
    watch->magic = KAFKA_WATCH_MAGIC;
    watch->handle = handle;
    watch->news = news;
    watch->argument = argument;
    for (size_t t = 0; t < TOPIC_COUNT; t++)
        watch->result.counts[t] = -1;
    watch->wanted = true;
    watch->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (watch->event_fd < 0)
        kafka_abort("eventfd failed: is the limit of open files reached?");
    watch->news_fd = loop_fd_new(loop, watch->event_fd, LOOP_READ, watch_on_readable, watch);
    pthread_mutex_init(&watch->mutex, NULL);
    pthread_cond_init(&watch->poked, NULL);
    if (pthread_create(&watch->thread, NULL, run_thread, watch) != 0)
        kafka_abort("pthread_create failed: is the limit of processes reached?");
    return watch;
}

void kafka_watch_ask(struct kafka_watch *watch, enum topic topic)
{
    pthread_mutex_lock(&watch->mutex);
    if (!watch->asked[topic]) {
        watch->asked[topic] = true;
        watch->wanted = true;
        pthread_cond_signal(&watch->poked);
    }
    pthread_mutex_unlock(&watch->mutex);
}

void kafka_watch_poke(struct kafka_watch *watch)
{
    pthread_mutex_lock(&watch->mutex);
    watch->wanted = true;
    pthread_cond_signal(&watch->poked);
    pthread_mutex_unlock(&watch->mutex);
}

void kafka_watch_read(struct kafka_watch *watch, struct kafka_watch_result *ret_result)
{
    pthread_mutex_lock(&watch->mutex);
    *ret_result = watch->result;
    pthread_mutex_unlock(&watch->mutex);
}

void kafka_watch_detach(struct kafka_watch *watch)
{
    loop_fd_free(watch->news_fd);
    watch->news_fd = NULL;
    pthread_mutex_lock(&watch->mutex);
    watch->stopping = true;
    pthread_cond_signal(&watch->poked);
    pthread_mutex_unlock(&watch->mutex);
}

void kafka_watch_free(struct kafka_watch *watch)
{
    if (watch == NULL)
        return;
    assert(watch->news_fd == NULL && watch->stopping);
    (void)pthread_join(watch->thread, NULL);
    (void)close(watch->event_fd);
    pthread_mutex_destroy(&watch->mutex);
    pthread_cond_destroy(&watch->poked);
    watch->magic = 0;
    free(watch);
}
