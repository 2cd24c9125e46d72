/*
 * Tests of a run's directory: what is seen of it as files and the lock come and go, with real locks of real processes.
 */
#include "reactors/trainer/run_directory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/json_text.h"
#include "base/memory.h"

/* A folder for one test; owned. */
static char *new_folder(void)
{
    char name[] = "/tmp/run-directory-XXXXXX";
    assert_non_null(mkdtemp(name));
    return mem_format("%s/run", name);
}

static enum run_sight see(const char *folder)
{
    struct error error = {0};
    struct run_result result = {.json = NULL};
    enum run_sight sight = RUN_SIGHT_ELSEWHERE;
    int code = run_directory_observe(folder, &sight, &result, &error);
    if (code != 0)
        fail_msg("%s", error.text);
    run_result_release(&result);
    return sight;
}

static void write_json(const char *folder, const char *name, const char *text)
{
    struct error error = {0};
    CLEANUP(json_release) json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    assert_int_equal(run_directory_write(folder, name, json, &error), 0);
}

static void create(const char *folder)
{
    struct error error = {0};
    CLEANUP(json_release) json_t *spec = json_object();
    assert_int_equal(run_directory_create(folder, spec, &error), 0);
}

/* A process that takes the directory and waits; returns when it has it. */
static pid_t start_holder(const char *folder)
{
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct error error = {0};
        int fd = -1;
        if (run_directory_take(folder, &fd, &error) != 0 || write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    return pid;
}

static void test_life_and_death(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *folder = new_folder();
    struct error error = {0};
    int fd = -1;
    assert_int_equal(see(folder), RUN_SIGHT_ABSENT);
    create(folder);
    assert_int_equal(see(folder), RUN_SIGHT_ABSENT); /* nobody came yet */
    create(folder);                                  /* so it may be written again */
    pid_t holder = start_holder(folder);
    assert_int_equal(see(folder), RUN_SIGHT_RUNNING);
    assert_int_equal(see(folder), RUN_SIGHT_RUNNING); /* looking has not taken it */
    assert_int_equal(run_directory_take(folder, &fd, &error), ERR_CONFLICT);
    CLEANUP(json_release) json_t *spec = json_object();
    assert_int_equal(run_directory_create(folder, spec, &error), ERR_CONFLICT);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_int_equal(see(folder), RUN_SIGHT_GONE);
    assert_int_equal(run_directory_take(folder, &fd, &error), ERR_CONFLICT); /* never twice */
}

static void test_result(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *folder = new_folder();
    struct error error = {0};
    struct run_result result = {.json = NULL};
    enum run_sight sight = RUN_SIGHT_ABSENT;
    int fd = -1;
    create(folder);
    assert_int_equal(run_directory_take(folder, &fd, &error), 0);
    write_json(
        folder, RUN_FILE_RESULT,
        "{\"state\":\"FAILED\",\"reason\":\"it rained\",\"started_at\":\"2026-01-01T00:00:00Z\","
        "\"ended_at\":\"2026-01-01T00:01:00Z\",\"artefacts\":{}}");
    assert_int_equal(run_directory_observe(folder, &sight, &result, &error), 0);
    assert_int_equal(sight, RUN_SIGHT_FINISHED);
    assert_int_equal(result.state, RUN_FAILED);
    assert_string_equal(result.reason, "it rained");
    assert_int_equal(result.ended_ms - result.started_ms, 60000);
    run_result_release(&result);
    (void)close(fd);
    assert_int_equal(see(folder),
                     RUN_SIGHT_FINISHED); /* the lock is free, and it does not matter */
}

static void test_results_that_are_none(void **state)
{
    static const char *const texts[] = {
        "[]",
        "{}",
        "{\"state\":\"LOST\",\"started_at\":\"2026-01-01\",\"ended_at\":\"2026-01-01\"}",
        "{\"state\":\"RUNNING\",\"started_at\":\"2026-01-01\",\"ended_at\":\"2026-01-01\"}",
        "{\"state\":\"FAILED\",\"started_at\":7,\"ended_at\":\"2026-01-01\"}",
        "{\"state\":\"FAILED\",\"started_at\":\"2026-01-01\",\"ended_at\":\"soon\"}",
    };
    (void)state;
    CLEANUP(mem_free) char *folder = new_folder();
    create(folder);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct error error = {0};
        struct run_result result = {.json = NULL};
        enum run_sight sight = RUN_SIGHT_ELSEWHERE;
        write_json(folder, RUN_FILE_RESULT, texts[i]);
        assert_int_equal(run_directory_observe(folder, &sight, &result, &error), ERR_CORRUPT);
        assert_int_equal(error.code, ERR_CORRUPT);
        assert_int_equal(sight, RUN_SIGHT_ELSEWHERE);
    }
}

/* Those that store share it, whoever removes has it alone; it falls with its holder. */
static void test_uploads_lock(void **state)
{
    (void)state;
    char runs[] = "/tmp/run-uploads-XXXXXX";
    struct error error = {0};
    int first = -1;
    int second = -1;
    int alone = -1;
    assert_non_null(mkdtemp(runs));
    assert_int_equal(run_uploads_lock(runs, false, &first, &error), 0);
    assert_int_equal(run_uploads_lock(runs, false, &second, &error), 0);
    assert_int_equal(run_uploads_lock(runs, true, &alone, &error), ERR_CONFLICT);
    (void)close(first);
    assert_int_equal(run_uploads_lock(runs, true, &alone, &error), ERR_CONFLICT);
    (void)close(second);
    assert_int_equal(run_uploads_lock(runs, true, &alone, &error), 0);
    assert_int_equal(run_uploads_lock(runs, false, &first, &error), ERR_CONFLICT);
    assert_int_equal(run_uploads_lock(runs, true, &first, &error), ERR_CONFLICT);
    (void)close(alone);
    CLEANUP(mem_free) char *path = mem_format("%s/" RUN_UPLOADS_LOCK, runs);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(runs), 0);
    assert_int_equal(run_uploads_lock(runs, true, &alone, &error), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_and_death),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_results_that_are_none),
        cmocka_unit_test(test_uploads_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
