/*
 * Tests of base/git_mirror.c, git_command.c and git_describe.c over real repositories: git makes them in a
 * temporary folder, the
 * commands under test list and fetch them by file://, and what was described is compared with what git itself says.
 *
 * The main table is a story: each row pushes something and says what the move must be.
 */
#include "base/git_describe.h"

#include <fcntl.h>
#include <setjmp.h>
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

#include "base/child.h"
#include "base/file.h"
#include "base/git_command.h"
#include "base/memory.h"

/* Longest run of one git command. */
#define COMMAND_MS 60000

/* A repository, its mirror and what reaches it. */
struct bench {
    struct loop *loop;
    struct children *children;
    char folder[64]; /* of everything */
    char *work;      /* owned: a work tree */
    char *mirror;    /* owned */
    struct git_access access;
    int code; /* of the last command */
    struct error error;
    struct git_list list; /* of the last listing */
};

/* ---- making ---- */

/* Runs a shell script in the work tree; asserts that it works. */
static void run(const struct bench *bench, const char *script)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (chdir(bench->work) != 0)
            _exit(126);
        (void)setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
        (void)setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
        (void)execl("/bin/sh", "sh", "-e", "-c", script, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("%s ended with %d", script, status);
}

/* What a script prints, without its line end; owned. */
static char *ask(const struct bench *bench, const char *script)
{
    CLEANUP(mem_free) char *path = mem_format("%s/answer", bench->folder);
    CLEANUP(mem_free) char *command = mem_format("{ %s ; } > %s", script, path);
    struct buffer text = BUFFER_INIT(1 << 20);
    run(bench, command);
    assert_int_equal(file_read(path, &text, NULL), 0);
    if (text.size_bytes > 0)
        text.data[text.size_bytes - 1] = '\0';
    return buffer_take(&text);
}

static void bench_open(struct bench *bench)
{
    static const char *const script =
        "git init -q -b main . && git config user.name 'A \"U\" Thor' && git config user.email "
        "a@example.org && "
        "git config commit.gpgsign false && git config receive.denyCurrentBranch ignore";
    *bench = (struct bench){.folder = "/tmp/nodag-mirror-XXXXXX"};
    assert_non_null(mkdtemp(bench->folder));
    bench->loop = loop_new_real();
    bench->children = children_new(bench->loop, 2);
    bench->work = mem_format("%s/work", bench->folder);
    assert_int_equal(mkdir(bench->work, 0700), 0);
    run(bench, script);
    CLEANUP(mem_free) char *url = mem_format("file://%s", bench->work);
    assert_int_equal(git_url_parse(url, &bench->access.url, NULL), 0);
    bench->mirror = git_mirror_folder(bench->folder, &bench->access.url);
    assert_int_equal(git_access_check(&bench->access, NULL), 0);
    CLEANUP(mem_free) char *config = git_config_text(&bench->access);
    if (git_mirror_prepare(bench->mirror, config, &bench->error) != 0)
        fail_msg("%s", bench->error.text);
}

static void bench_close(struct bench *bench)
{
    git_list_release(&bench->list);
    assert_int_equal(git_mirror_discard(bench->folder, NULL), 0);
    assert_int_not_equal(access(bench->folder, F_OK), 0);
    assert_int_equal(git_mirror_discard(bench->folder, NULL), 0);
    children_free(bench->children);
    loop_free(bench->loop);
    free(bench->work);
    free(bench->mirror);
}

static void on_done(void *argument, const struct child_result *result)
{
    struct bench *bench = argument;
    bench->code = git_failure(result, &bench->error);
    git_list_release(&bench->list);
    if (bench->code == 0)
        bench->code =
            git_list_parse(result->output, result->output_bytes, &bench->list, &bench->error);
    loop_stop(bench->loop);
}

static int run_command(struct bench *bench, struct git_command *command)
{
    child_start(bench->children, &command->spec, on_done, bench);
    loop_run(bench->loop);
    git_command_release(command);
    return bench->code;
}

static int list(struct bench *bench)
{
    const struct git_command_limits limits = {.deadline_ms = COMMAND_MS};
    struct git_command command;
    git_command_list(&command, &bench->access, bench->mirror, &limits);
    return run_command(bench, &command);
}

static int fetch(struct bench *bench, const char *const *refs, size_t count, int64_t file_max_bytes)
{
    const struct git_command_limits limits = {.deadline_ms = COMMAND_MS,
                                              .file_max_bytes = file_max_bytes};
    struct git_command command;
    git_command_fetch(&command, &bench->access, bench->mirror, refs, count, &limits);
    return run_command(bench, &command);
}

static void fetch_one(struct bench *bench, const char *ref)
{
    if (fetch(bench, &ref, 1, 0) != 0)
        fail_msg("%s: %s", ref, bench->error.text);
}

/* ---- the story ---- */

/* One push. */
static const struct row {
    const char *name;
    const char *script; /* in the work tree */
    const char *ref;
    bool is_new; /* the ref was not known before */
    bool forced;
    const char *commits; /* git command that prints the ids expected, newest first; NULL: none */
    bool commits_truncated;
    const char *paths; /* expected, separated by spaces */
    bool paths_truncated;
} rows[] = {
    {"first commit", "echo 1 >a && git add a && git commit -qm 'one \xff two'", "refs/heads/main",
     true, false, "git rev-parse HEAD", false, "", true},
    {"a commit", "echo 2 >a && mkdir d && echo 1 >d/b && git add . && git commit -qm two",
     "refs/heads/main", false, false, "git rev-parse HEAD", false, "a d/b", false},
    {"three commits", "for i in 3 4 5; do echo $i >a && git commit -qam $i; done",
     "refs/heads/main", false, false, "git rev-list -3 HEAD", false, "a", false},
    {"a branch of an old state", "git branch old HEAD~2", "refs/heads/old", true, false,
     "git rev-parse old", true, "", true},
    {"a deleted file", "git rm -q d/b && git commit -qm rm", "refs/heads/main", false, false,
     "git rev-parse HEAD", false, "d/b", false},
    {"a force push",
     "git reset -q --hard HEAD~2 && echo x >c && git add c && git commit -qm forced",
     "refs/heads/main", false, true, "git rev-parse HEAD", false, "a c d/b", false},
    {"back by two", "git reset -q --hard HEAD~1", "refs/heads/main", false, true, NULL, false, "c",
     false},
    {"a light tag", "git tag light", "refs/tags/light", true, false, "git rev-parse HEAD", true, "",
     true},
    {"an annotated tag", "git tag -am words heavy", "refs/tags/heavy", true, false,
     "git rev-parse HEAD", true, "", true},
    {"the same commit tagged anew", "git tag -fam 'other words' heavy", "refs/tags/heavy", false,
     false, NULL, false, "", false},
    {"a tag of a tree", "git tag tree HEAD^{tree}", "refs/tags/tree", true, false, NULL, false, "",
     false},
    {"unrelated history",
     "git checkout -q --orphan other && git commit -qm root && git branch -f main && git checkout "
     "-q main && git branch -D other",
     "refs/heads/main", false, true, "git rev-parse HEAD", false, "", false},
    {"a merge",
     "git checkout -q -b side && echo s >s && git add s && git commit -qm s && git checkout -q "
     "main && echo m >m && git add m && "
     "git commit -qm m && git merge -q -m merged side",
     "refs/heads/main", false, false, "git rev-list --topo-order -3 HEAD", false, "m s", false},
    {"names that exclude each other",
     "git branch old/er HEAD 2>/dev/null || git branch -m old old/er", "refs/heads/old/er", true,
     false, "git rev-parse old/er", true, "", true},
    {"more commits than are listed",
     "for i in $(seq 251); do echo \"commit refs/heads/many\ncommitter A <a> $i +0000\ndata "
     "2\nm$i\nM 100644 inline f$i\n"
     "data 1\nx\"; done | sed 's/^data 2$/data 0/;/^m[0-9]/d' | git fast-import --quiet --force; "
     "git branch many2 many~251 2>/dev/null || true",
     "refs/heads/many", true, false, "git rev-parse many", true, "", true},
};

static void check_commits(const struct bench *bench, const struct row *row,
                          const struct git_move *move)
{
    CLEANUP(mem_free)
    char *expected = row->commits != NULL ? ask(bench, row->commits) : mem_copy_text("");
    struct buffer found = BUFFER_INIT(1 << 20);
    assert_int_equal(buffer_append_text(&found, ""), 0);
    for (size_t i = 0; i < move->commit_count; i++)
        assert_int_equal(
            buffer_append_format(&found, "%s%s", i > 0 ? "\n" : "", move->commits[i].id), 0);
    /* In one second git and libgit2 may order siblings differently: the newest must agree, and the set. */
    assert_int_equal(strlen(found.data), strlen(expected));
    assert_memory_equal(found.data, expected, expected[0] != '\0' ? 40 : 0);
    for (size_t i = 0; i < move->commit_count; i++)
        assert_non_null(strstr(expected, move->commits[i].id));
    buffer_release(&found);
}

static void check_paths(const struct row *row, const struct git_move *move)
{
    struct buffer found = BUFFER_INIT(1 << 20);
    assert_int_equal(buffer_append_text(&found, ""), 0);
    for (size_t i = 0; i < move->path_count; i++)
        assert_int_equal(buffer_append_format(&found, "%s%s", i > 0 ? " " : "", move->paths[i]), 0);
    assert_string_equal(found.data, row->paths);
    buffer_release(&found);
}

static void check_row(struct bench *bench, struct git_mirror *mirror, const struct row *row)
{
    char old[GIT_ID_BYTES] = "";
    CLEANUP(git_move_release) struct git_move move = {.paths = NULL};
    print_message("%s\n", row->name);
    int known = git_mirror_head(mirror, row->ref, old, NULL);
    assert_int_equal(known, row->is_new ? ERR_NOT_FOUND : 0);
    run(bench, row->script);
    assert_int_equal(list(bench), 0);
    const struct git_head *head = git_list_find(&bench->list, row->ref);
    assert_non_null(head);
    char id[GIT_ID_BYTES];
    (void)snprintf(id, sizeof(id), "%s", head->id);
    fetch_one(bench, row->ref);
    if (git_describe_move(mirror, row->ref, old, &move, &bench->error) != 0)
        fail_msg("%s", bench->error.text);
    assert_string_equal(move.new_id, id);
    assert_int_equal(move.forced, row->forced);
    assert_int_equal(move.commits_truncated, row->commits_truncated);
    assert_int_equal(move.paths_truncated, row->paths_truncated);
    check_commits(bench, row, &move);
    check_paths(row, &move);
}

static void test_story(void **state)
{
    (void)state;
    struct bench bench;
    struct git_mirror *mirror = NULL;
    bench_open(&bench);
    assert_int_equal(git_mirror_open(bench.mirror, &mirror, NULL), 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        check_row(&bench, mirror, &rows[i]);
    git_mirror_free(mirror);
    bench_close(&bench);
}

/* ---- bounds, texts, forgetting ---- */

static void test_bounds(void **state)
{
    (void)state;
    struct bench bench;
    CLEANUP(git_mirror_free) struct git_mirror *mirror = NULL;
    bench_open(&bench);
    run(&bench, "git commit -q --allow-empty -m base");
    fetch_one(&bench, "refs/heads/main");
    assert_int_equal(git_mirror_open(bench.mirror, &mirror, NULL), 0);
    char old[GIT_ID_BYTES];
    assert_int_equal(git_mirror_head(mirror, "refs/heads/main", old, NULL), 0);
    /* 251 commits of 12 files each: one commit and 12 paths too many. */
    run(&bench, "for i in $(seq 251); do echo 'commit refs/heads/main'; echo \"committer Ann <a@x> "
                "$((1000000000 + i)) +0000\"; "
                "printf 'data 4\\nm%03d\\n' $i; [ $i -gt 1 ] || echo 'from refs/heads/main^0'; "
                "for j in 1 2 3 4 5 6 7 8 9 a b c; do echo \"M 100644 inline f$i$j\"; printf 'data "
                "1\\nx\\n'; done; done | git fast-import --quiet");
    fetch_one(&bench, "refs/heads/main");
    CLEANUP(git_move_release) struct git_move move = {.paths = NULL};
    assert_int_equal(git_describe_move(mirror, "refs/heads/main", old, &move, NULL), 0);
    assert_int_equal(move.commit_count, GIT_MOVE_COMMITS_MAX);
    assert_true(move.commits_truncated);
    assert_int_equal(move.path_count, GIT_MOVE_PATHS_MAX);
    assert_true(move.paths_truncated);
    assert_string_equal(move.commits[0].subject, "m251");
    assert_string_equal(move.commits[0].author, "Ann");
    assert_int_equal(move.commits[0].time_ms, 1000000251000);
    assert_true(move.has_time);
    assert_int_equal(move.time_ms, 1000000251000);
    /* A state that the mirror does not have any more is no ancestor. */
    git_move_release(&move);
    assert_int_equal(git_describe_move(mirror, "refs/heads/main",
                                       "0123456789012345678901234567890123456789", &move, NULL),
                     0);
    assert_true(move.forced);
    assert_int_equal(move.commit_count, 1);
    assert_true(move.commits_truncated && move.paths_truncated);
    assert_int_equal(git_mirror_forget(mirror, "refs/heads/main", NULL), 0);
    assert_int_equal(git_mirror_forget(mirror, "refs/heads/main", NULL), 0);
    git_move_release(&move);
    assert_int_equal(git_describe_move(mirror, "refs/heads/main", old, &move, NULL), ERR_NOT_FOUND);
    assert_true(git_mirror_bytes(bench.mirror) > 10000);
    bench_close(&bench);
}

/* ---- failures ---- */

static void test_failures(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    assert_int_equal(list(&bench),
                     0); /* an empty repository has no heads, and that is no failure */
    assert_int_equal(bench.list.count, 0);
    run(&bench, "dd if=/dev/urandom of=big bs=100000 count=1 2>/dev/null && git add big && git "
                "commit -qm big");
    static const char *const refs[] = {"refs/heads/main", "refs/heads/none"};
    assert_int_equal(fetch(&bench, refs, 2, 0), ERR_CONFLICT);
    assert_int_equal(fetch(&bench, refs, 1, 50000), ERR_TOO_LARGE);
    /* What that left is removed, and the next fetch is whole. */
    CLEANUP(mem_free)
    char *lock =
        mem_format("touch %s/refs/x.lock %s/objects/pack/tmp_pack_x", bench.mirror, bench.mirror);
    CLEANUP(mem_free)
    char *left = mem_format("find %s -name 'tmp_*' -o -name '*.lock'", bench.mirror);
    CLEANUP(mem_free) char *config = git_config_text(&bench.access);
    run(&bench, lock);
    assert_int_equal(git_mirror_prepare(bench.mirror, config, NULL), 0);
    CLEANUP(mem_free) char *found = ask(&bench, left);
    assert_string_equal(found, "");
    assert_int_equal(fetch(&bench, refs, 1, 0), 0);
    /* The remote loses an object. */
    run(&bench, "echo 2 >a && git add a && git commit -qm 2 && rm -f .git/objects/$(git rev-parse "
                "HEAD:a | sed 's,^..,&/,')");
    assert_int_equal(fetch(&bench, refs, 1, 0), ERR_CORRUPT);
    /* A commit without author and committer. */
    run(&bench, "git update-ref refs/heads/odd $(printf 'tree %s\\n\\nx\\n' $(git rev-parse "
                "HEAD~1^{tree}) | "
                "git hash-object -t commit -w --stdin --literally)");
    static const char *const odd[] = {"refs/heads/odd"};
    assert_int_equal(fetch(&bench, odd, 1, 0), ERR_CORRUPT);
    CLEANUP(mem_free)
    char *gone = mem_format("mv %s %s-gone && mkdir %s", bench.work, bench.work, bench.work);
    run(&bench, gone);
    assert_int_equal(list(&bench), ERR_NOT_FOUND);
    bench_close(&bench);
}

/* A mirror that is broken is told from a remote that is. */
static void test_broken_mirror(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    CLEANUP(mem_free) char *config = git_config_text(&bench.access);
    CLEANUP(mem_free) char *spoil = mem_format("rm -r %s/objects", bench.mirror);
    run(&bench, "git commit -q --allow-empty -m x");
    fetch_one(&bench, "refs/heads/main");
    run(&bench, spoil);
    assert_int_equal(git_mirror_prepare(bench.mirror, config, &bench.error), ERR_CORRUPT);
    assert_int_equal(git_mirror_discard(bench.mirror, NULL), 0);
    assert_int_equal(git_mirror_prepare(bench.mirror, config, NULL), 0);
    fetch_one(&bench, "refs/heads/main");
    bench_close(&bench);
}

static void test_gc_keeps_heads(void **state)
{
    (void)state;
    struct bench bench;
    CLEANUP(git_mirror_free) struct git_mirror *mirror = NULL;
    const struct git_command_limits limits = {.deadline_ms = COMMAND_MS};
    struct git_command command;
    char id[GIT_ID_BYTES];
    bench_open(&bench);
    run(&bench, "git commit -q --allow-empty -m x");
    fetch_one(&bench, "refs/heads/main");
    git_command_gc(&command, &bench.access, bench.mirror, &limits);
    assert_int_equal(run_command(&bench, &command), 0);
    assert_int_equal(git_mirror_open(bench.mirror, &mirror, NULL), 0);
    CLEANUP(git_move_release) struct git_move move = {.paths = NULL};
    assert_int_equal(git_mirror_head(mirror, "refs/heads/main", id, NULL), 0);
    assert_int_equal(git_describe_move(mirror, "refs/heads/main", "", &move, NULL), 0);
    bench_close(&bench);
}

/* ---- reading files ---- */

static bool on_file(void *argument, const char *path, int64_t bytes)
{
    struct buffer *seen = argument;
    assert_int_equal(buffer_append_format(seen, "%s=%lld ", path, (long long)bytes), 0);
    return strcmp(path, "d/stop") != 0;
}

static void test_files(void **state)
{
    (void)state;
    struct bench bench;
    CLEANUP(git_mirror_free) struct git_mirror *mirror = NULL;
    bench_open(&bench);
    run(&bench, "mkdir -p d/e && printf 123 >a && printf 4567 >d/e/f && ln -s a link && git add . "
                "&& git commit -qm 1 && git tag -am t t");
    fetch_one(&bench, "refs/tags/t");
    assert_int_equal(git_mirror_open(bench.mirror, &mirror, NULL), 0);
    char id[GIT_ID_BYTES];
    assert_int_equal(git_mirror_head(mirror, "refs/tags/t", id, NULL), 0);
    CLEANUP(buffer_release) struct buffer seen = BUFFER_INIT(1000);
    assert_int_equal(git_mirror_walk(mirror, id, on_file, &seen, NULL), 0);
    assert_string_equal(seen.data, "a=3 d/e/f=4 ");
    CLEANUP(buffer_release) struct buffer content = BUFFER_INIT(4);
    assert_int_equal(git_mirror_read(mirror, id, "d/e/f", &content, NULL), 0);
    assert_string_equal(content.data, "4567");
    assert_int_equal(git_mirror_read(mirror, id, "a", &content, NULL), 0);
    assert_string_equal(content.data, "123");
    struct buffer small = BUFFER_INIT(3);
    assert_int_equal(git_mirror_read(mirror, id, "d/e/f", &small, NULL), ERR_TOO_LARGE);
    assert_int_equal(git_mirror_read(mirror, id, "d/e", &content, NULL), ERR_INPUT);
    assert_int_equal(git_mirror_read(mirror, id, "link", &content, NULL), ERR_INPUT);
    assert_int_equal(git_mirror_read(mirror, id, "none", &content, NULL), ERR_NOT_FOUND);
    assert_int_equal(
        git_mirror_read(mirror, "0123456789012345678901234567890123456789", "a", &content, NULL),
        ERR_NOT_FOUND);
    bench_close(&bench);
}

/* ---- what git is told ---- */

static void test_access(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *credentials;
        const char *known_hosts;
        bool is_fine;
    } access_rows[] = {
        {"https://h/a", "/run/token", NULL, true},
        {"https://h/a", NULL, NULL, true},
        {"http://h/a", "/run/token", NULL, false},
        {"http://127.0.0.1/a", "/run/token", NULL, true},
        {"ssh://h/a", "/run/key", "/run/hosts", true},
        {"ssh://h/a", "/run/key", NULL, false},
        {"ssh://h/a", "/run/key", "hosts", false},
        {"ssh://h/a", "/run/key x", "/run/hosts", false},
        {"ssh://h/a", "/run/%h", "/run/hosts", false},
        {"file:///a", "/run/token", NULL, false},
        {"https://h/a", NULL, "/run/hosts", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(access_rows); i++) {
        struct git_access access = {.credentials_file = access_rows[i].credentials,
                                    .known_hosts_file = access_rows[i].known_hosts};
        assert_int_equal(git_url_parse(access_rows[i].url, &access.url, NULL), 0);
        if ((git_access_check(&access, NULL) == 0) != access_rows[i].is_fine)
            fail_msg("row %zu: %s", i, access_rows[i].url);
    }
}

/* No secret's content and nothing of the user's environment reaches a child; the helper is quoted for the shell. */
static void test_environment(void **state)
{
    (void)state;
    struct git_access access = {.credentials_file = "/run/token",
                                .helper_program = "/opt/it's/nodag \"x\""};
    const struct git_command_limits limits = {.deadline_ms = 1};
    struct git_command command;
    assert_int_equal(git_url_parse("https://h.example:8443/a", &access.url, NULL), 0);
    (void)setenv("GIT_TRACE", "1", 1);
    git_command_list(&command, &access, "/m", &limits);
    bool has_origin = false;
    for (size_t i = 0; command.spec.env[i] != NULL; i++) {
        assert_true(strncmp(command.spec.env[i], "GIT_TRACE", 9) != 0);
        has_origin = has_origin || strcmp(command.spec.env[i], GIT_HELPER_ORIGIN_VARIABLE
                                          "=https://h.example:8443") == 0;
    }
    assert_true(has_origin);
    assert_string_equal(command.spec.argv[7], "https://h.example:8443/a");
    git_command_release(&command);
    CLEANUP(mem_free) char *config = git_config_text(&access);
    assert_non_null(
        strstr(config, "helper = \"!'/opt/it'\\\\''s/nodag \\\"x\\\"' git-credential-helper\""));
    (void)unsetenv("GIT_TRACE");
}

static void test_lock(void **state)
{
    (void)state;
    char folder[] = "/tmp/nodag-mirror-XXXXXX";
    assert_non_null(mkdtemp(folder));
    CLEANUP(mem_free) char *path = mem_format("%s/state", folder);
    int first = -1;
    int second = -1;
    assert_int_equal(git_state_lock(path, &first, NULL), 0);
    assert_int_equal(git_state_lock(path, &second, NULL), ERR_CONFLICT);
    (void)close(first);
    assert_int_equal(git_state_lock(path, &second, NULL), 0);
    (void)close(second);
    assert_int_equal(git_mirror_discard(folder, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_story),          cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_failures),       cmocka_unit_test(test_broken_mirror),
        cmocka_unit_test(test_gc_keeps_heads), cmocka_unit_test(test_files),
        cmocka_unit_test(test_access),         cmocka_unit_test(test_environment),
        cmocka_unit_test(test_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
