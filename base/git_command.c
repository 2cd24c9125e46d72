/*
 * git's network commands: see git_command.h.
 */
#include "base/git_command.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/git_credential.h"
#include "base/memory.h"

/*
 * A connection that carries less than this many bytes a second, for so long, is given up: below the
 * deadline of a fetch.
 */
#define LOW_SPEED_BYTES 100
/* See above, in seconds. */
#define LOW_SPEED_S 60

/* ssh gives up a connection that is not made within so many seconds, … */
#define SSH_CONNECT_S 20
/* … or one whose other side answers none of three questions asked after so many seconds of silence. */
#define SSH_ALIVE_S 15

/* Largest text of refs on a fetch's input. */
#define INPUT_MAX_BYTES ((size_t)GIT_FETCH_MAX * (GIT_REF_BYTES + GIT_MIRROR_REF_BYTES + 8))

/* Largest configuration file. */
#define CONFIG_MAX_BYTES 65536

/* Variables of the daemon that a child may need: programs, proxies, certificates. */
static const char *const passed_on[] = {
    "PATH",     "http_proxy", "https_proxy", "HTTPS_PROXY",   "no_proxy",
    "NO_PROXY", "all_proxy",  "ALL_PROXY",   "SSL_CERT_FILE", "SSL_CERT_DIR"};

/*
 * Settings of every mirror. Objects are checked as they come; what is ignored there are faults of old tools
 * that many real repositories have in their history, and that harm nobody.
 */
static const char fixed_config[] =
    "# Written by nodag; changes are lost.\n"
    "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tlogAllRefUpdates = false\n"
    "[gc]\n\tauto = 0\n\tautoDetach = false\n\tpruneExpire = now\n\treflogExpire = now\n"
    "[maintenance]\n\tauto = false\n"
    "[pack]\n\tthreads = 1\n\twindowMemory = 100m\n"
    "[index]\n\tthreads = false\n"
    "[protocol]\n\tversion = 2\n"
    "[transfer]\n\tfsckObjects = true\n\tcredentialsInUrl = die\n\tbundleURI = false\n"
    "[fetch]\n\tfsckObjects = true\n\trecurseSubmodules = false\n\twriteCommitGraph = "
    "false\n\tparallel = 1\n"
    "[fetch \"fsck\"]\n\tzeroPaddedFilemode = ignore\n\tmissingSpaceBeforeDate = ignore\n"
    "\tbadTimezone = ignore\n\tmissingTaggerEntry = ignore\n\tmissingNameBeforeEmail = ignore\n"
    "\tmissingSpaceBeforeEmail = ignore\n\tmultipleAuthors = ignore\n\tbadTagName = ignore\n"
    "[submodule]\n\trecurse = false\n"
    "[http]\n\tfollowRedirects = initial\n\tdelegation = none\n";

/* ---- checks ---- */

/* ssh expands %, ~ and ${…} in paths and splits at spaces; git's configuration and the shell have their own quoting. */
static int check_path(const char *what, const char *path, struct error *error)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=,@:";
    if (path == NULL)
        return 0;
    if (path[0] != '/' || strspn(path, allowed) != strlen(path))
        return error_set(
            error, ERR_INPUT,
            "`%s: %s`: the path must be absolute and hold letters, digits and ._-+=,@:/ "
            "only, because ssh and shells would read other characters",
            what, path);
    return 0;
}

int git_access_check(const struct git_access *access, struct error *error)
{
    bool is_ssh = access->url.scheme == GIT_SCHEME_SSH;
    if (is_ssh && access->known_hosts_file == NULL)
        return error_set(
            error, ERR_INPUT,
            "%s needs `known_hosts`: a file with the host's keys (ssh-keyscan prints them; "
            "compare them with what the host's owner publishes)",
            access->url.text);
    if (!is_ssh && access->known_hosts_file != NULL)
        return error_set(error, ERR_INPUT, "%s: `known_hosts` is for ssh:// only",
                         access->url.text);
    if (access->url.scheme != GIT_SCHEME_HTTPS && access->ca_file != NULL)
        return error_set(error, ERR_INPUT, "%s: `ca` is for https:// only", access->url.text);
    if (access->url.scheme == GIT_SCHEME_FILE && access->credentials_file != NULL)
        return error_set(error, ERR_INPUT, "%s: a file:// repository takes no `credentials`",
                         access->url.text);
    if (access->url.scheme == GIT_SCHEME_HTTP && access->credentials_file != NULL &&
        !access->url.is_loopback)
        return error_set(error, ERR_INPUT,
                         "%s: `credentials` would be sent unencrypted; use https://",
                         access->url.text);
    int code = check_path("credentials", access->credentials_file, error);
    if (code == 0)
        code = check_path("known_hosts", access->known_hosts_file, error);
    if (code == 0)
        code = check_path("ca", access->ca_file, error);
    return code;
}

/* ---- building ---- */

static const char *own(struct git_command *command, char *text)
{
    assert(command->owned_count < CHILD_WORDS_MAX);
    command->owned[command->owned_count++] = text;
    return text;
}

static void add_variable(struct git_command *command, const char *name, const char *value)
{
    assert(command->env_count + 1 < CHILD_WORDS_MAX);
    command->env[command->env_count++] = own(command, mem_format("%s=%s", name, value));
}

/* The ssh command line, for a shell; the paths were checked. */
static char *ssh_text(const struct git_access *access)
{
    CLEANUP(mem_free)
    char *identity = access->credentials_file != NULL
                         ? mem_format(" -o IdentitiesOnly=yes -i %s", access->credentials_file)
                         : mem_copy_text(" -o PubkeyAuthentication=no");
    return mem_format(
        "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=%s "
        "-o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o IdentityAgent=none -o "
        "ForwardAgent=no "
        "-o ForwardX11=no -o ControlMaster=no -o ControlPath=none -o PermitLocalCommand=no "
        "-o ConnectTimeout=%d -o ServerAliveInterval=%d -o ServerAliveCountMax=3%s",
        access->known_hosts_file, SSH_CONNECT_S, SSH_ALIVE_S, identity);
}

static void add_environment(struct git_command *command, const struct git_access *access,
                            const char *mirror)
{
    for (size_t i = 0; i < ARRAY_COUNT(passed_on); i++) {
        const char *value = getenv(passed_on[i]);
        if (value != NULL)
            add_variable(command, passed_on[i], value);
    }
    add_variable(command, "HOME", mirror);
    add_variable(command, "LC_ALL", "C");
    add_variable(command, "GIT_DIR", mirror);
    add_variable(command, "GIT_CONFIG_NOSYSTEM", "1");
    command->env[command->env_count++] =
        own(command, mem_format("GIT_CONFIG_GLOBAL=%s/%s", mirror, GIT_MIRROR_CONFIG));
    add_variable(command, "GIT_TERMINAL_PROMPT", "0");
    add_variable(command, "GIT_ASKPASS", "/bin/false");
    add_variable(command, "GIT_NO_REPLACE_OBJECTS", "1");
    add_variable(command, "GIT_ALLOW_PROTOCOL",
                 access->url.scheme == GIT_SCHEME_HTTP ? "http:https"
                                                       : git_scheme_name(access->url.scheme));
    if (access->url.scheme == GIT_SCHEME_SSH) {
        CLEANUP(mem_free) char *ssh = ssh_text(access);
        add_variable(command, "GIT_SSH_COMMAND", ssh);
        add_variable(command, "GIT_SSH_VARIANT", "ssh");
    } else if (access->credentials_file != NULL) {
        add_variable(command, GIT_HELPER_FILE_VARIABLE, access->credentials_file);
        CLEANUP(mem_free)
        char *origin = mem_format("%s://%s", git_scheme_name(access->url.scheme), access->url.host);
        add_variable(command, GIT_HELPER_ORIGIN_VARIABLE, origin);
    }
}

/* Everything but the words of the command line. */
static void begin(struct git_command *command, const struct git_access *access, const char *mirror,
                  const struct git_command_limits *limits)
{
    memset(command, 0, sizeof(*command));
    add_environment(command, access, mirror);
    command->spec = (struct child_spec){
        .argv = command->argv,
        .env = command->env,
        .folder = own(command, mem_copy_text(mirror)),
        .deadline_ms = limits->deadline_ms,
        .errors_max_bytes = GIT_ERRORS_MAX_BYTES,
        .limits = {.file_max_bytes = limits->file_max_bytes},
    };
}

static void set_words(struct git_command *command, const char *const *words, size_t count)
{
    assert(count < CHILD_WORDS_MAX);
    for (size_t i = 0; i < count; i++)
        command->argv[i] = own(command, mem_copy_text(words[i]));
}

void git_command_list(struct git_command *command, const struct git_access *access,
                      const char *mirror, const struct git_command_limits *limits)
{
    const char *const words[] = {"git",    "ls-remote", "--quiet", "--heads",
                                 "--tags", "--refs",    "--",      access->url.text};
    begin(command, access, mirror, limits);
    set_words(command, words, ARRAY_COUNT(words));
    command->spec.output_max_bytes = GIT_LIST_MAX_BYTES;
}

void git_mirror_ref(const char *ref, char ret_name[GIT_MIRROR_REF_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    char text[DIGEST_TEXT_BYTES];
    digest_sha256(ref, strlen(ref), digest);
    digest_to_text(digest, text);
    (void)snprintf(ret_name, GIT_MIRROR_REF_BYTES, "%s%s", GIT_MIRROR_REFS, text);
}

void git_command_fetch(struct git_command *command, const struct git_access *access,
                       const char *mirror, const char *const *refs, size_t ref_count,
                       const struct git_command_limits *limits)
{
    const char *const words[] = {"git",
                                 "fetch",
                                 "--quiet",
                                 "--no-tags",
                                 "--no-write-fetch-head",
                                 "--no-auto-maintenance",
                                 "--no-recurse-submodules",
                                 "--no-show-forced-updates",
                                 "--stdin",
                                 "--",
                                 access->url.text};
    assert(ref_count >= 1 && ref_count <= GIT_FETCH_MAX);
    struct buffer input = BUFFER_INIT(INPUT_MAX_BYTES);
    int code = 0;
    for (size_t i = 0; i < ref_count && code == 0; i++) {
        char name[GIT_MIRROR_REF_BYTES];
        assert(git_ref_is_valid(refs[i], strlen(refs[i])));
        git_mirror_ref(refs[i], name);
        code = buffer_append_format(&input, "+%s:%s\n", refs[i], name);
    }
    assert(code == 0); /* valid refs fit */
    begin(command, access, mirror, limits);
    set_words(command, words, ARRAY_COUNT(words));
    command->spec.input_bytes = input.size_bytes;
    command->input = buffer_take(&input);
    command->spec.input = command->input;
}

void git_command_fetch_commit(struct git_command *command, const struct git_access *access,
                              const char *mirror, const char *commit,
                              const struct git_command_limits *limits)
{
    char name[GIT_MIRROR_REF_BYTES];
    git_mirror_ref(commit, name);
    CLEANUP(mem_free) char *wanted = mem_format("+%s:%s", commit, name);
    const char *const words[] = {"git",
                                 "fetch",
                                 "--quiet",
                                 "--no-tags",
                                 "--depth=1",
                                 "--no-write-fetch-head",
                                 "--no-auto-maintenance",
                                 "--no-recurse-submodules",
                                 "--",
                                 access->url.text,
                                 wanted};
    begin(command, access, mirror, limits);
    set_words(command, words, ARRAY_COUNT(words));
}

void git_command_checkout(struct git_command *command, const struct git_access *access,
                          const char *mirror, const char *commit, const char *folder,
                          const struct git_command_limits *limits)
{
    CLEANUP(mem_free) char *work_tree = mem_format("--work-tree=%s", folder);
    const char *const words[] = {"git",     work_tree, "checkout", "--quiet",
                                 "--force", commit,    "--",       "."};
    begin(command, access, mirror, limits);
    set_words(command, words, ARRAY_COUNT(words));
}

void git_command_gc(struct git_command *command, const struct git_access *access,
                    const char *mirror, const struct git_command_limits *limits)
{
    const char *const words[] = {"git", "gc", "--quiet", "--prune=now"};
    begin(command, access, mirror, limits);
    set_words(command, words, ARRAY_COUNT(words));
}

void git_command_release(struct git_command *command)
{
    for (size_t i = 0; i < command->owned_count; i++)
        free(command->owned[i]);
    free(command->input);
    *command = (struct git_command){.env_count = 0};
}

/* ---- configuration ---- */

/* Appends `\tname = "value"`. */
static int append_value(struct buffer *text, const char *name, const char *value)
{
    int code = buffer_append_format(text, "\t%s = \"", name);
    for (; code == 0 && *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            code = buffer_append(text, "\\", 1);
        if (code == 0)
            code = buffer_append(text, value, 1);
    }
    return code == 0 ? buffer_append_text(text, "\"\n") : code;
}

/* The helper's command line for a shell; the program's path is quoted. */
static char *helper_text(const char *program)
{
    struct buffer text = BUFFER_INIT(CONFIG_MAX_BYTES);
    int code = buffer_append_text(&text, "!'");
    for (; code == 0 && *program != '\0'; program++)
        code = *program == '\'' ? buffer_append_text(&text, "'\\''")
                                : buffer_append(&text, program, 1);
    if (code == 0)
        code = buffer_append_format(&text, "' %s", GIT_HELPER_ARGUMENT);
    assert(code == 0);
    (void)code;
    return buffer_take(&text);
}

char *git_config_text(const struct git_access *access)
{
    struct buffer text = BUFFER_INIT(CONFIG_MAX_BYTES);
    int code = buffer_append_text(&text, fixed_config);
    if (code == 0)
        code = buffer_append_format(&text, "\tlowSpeedLimit = %d\n\tlowSpeedTime = %d\n",
                                    LOW_SPEED_BYTES, LOW_SPEED_S);
    if (code == 0 && access->ca_file != NULL)
        code = append_value(&text, "sslCAInfo", access->ca_file);
    if (code == 0)
        code = buffer_append_text(&text, "[credential]\n\thelper = \n");
    if (code == 0 && access->credentials_file != NULL && access->helper_program != NULL) {
        CLEANUP(mem_free) char *helper = helper_text(access->helper_program);
        code = append_value(&text, "helper", helper);
    }
    if (code == 0 && access->url.scheme == GIT_SCHEME_FILE) {
        code = buffer_append_text(&text, "[safe]\n");
        if (code == 0)
            code = append_value(&text, "directory", access->url.path);
        CLEANUP(mem_free) char *work_tree = mem_format("%s/.git", access->url.path);
        if (code == 0)
            code = append_value(&text, "directory", work_tree);
    }
    assert(code == 0);
    (void)code;
    return buffer_take(&text);
}
