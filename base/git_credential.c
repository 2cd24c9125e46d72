/*
 * git's credential helper: see git_credential.h.
 */
#include "base/git_credential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/git_command.h"
#include "base/memory.h"
#include "base/option.h"

/* The user name where the file holds a token only. */
#define TOKEN_USER "x-access-token"

bool git_credential_is_asked(int argc, char **argv)
{
    return argc >= 2 && strcmp(argv[1], GIT_HELPER_ARGUMENT) == 0;
}

/* Copies the value of a line NAME=value into `value`, which stays as it is if there is none. */
static void read_line(const char *lines, const char *name, char *value, size_t value_bytes)
{
    size_t name_bytes = strlen(name);
    for (const char *line = lines; *line != '\0';) {
        size_t bytes = strcspn(line, "\r\n");
        if (bytes > name_bytes && strncmp(line, name, name_bytes) == 0 && line[name_bytes] == '=')
            (void)snprintf(value, value_bytes, "%.*s", (int)(bytes - name_bytes - 1),
                           line + name_bytes + 1);
        line += bytes;
        line += strspn(line, "\r\n");
    }
}

static bool is_for(const char *question, const char *origin)
{
    char protocol[16] = "";
    char host[GIT_URL_BYTES] = "";
    read_line(question, "protocol", protocol, sizeof(protocol));
    read_line(question, "host", host, sizeof(host));
    CLEANUP(mem_free) char *asked = mem_format("%s://%s", protocol, host);
    return strcmp(asked, origin) == 0;
}

int git_credential_answer(const char *question, const char *origin, const struct buffer *secret,
                          struct buffer *answer, struct error *error)
{
    if (!is_for(question, origin))
        return 0;
    char user[GIT_CREDENTIAL_MAX_BYTES] = TOKEN_USER;
    char password[GIT_CREDENTIAL_MAX_BYTES] = "";
    const char *text = secret->data != NULL ? secret->data : "";
    int code = 0;
    if (strchr(text, '\n') == NULL && strncmp(text, "password=", 9) != 0) {
        (void)snprintf(password, sizeof(password), "%s", text);
    } else {
        read_line(text, "username", user, sizeof(user));
        read_line(text, "password", password, sizeof(password));
    }
    if (user[0] == '\0' || password[0] == '\0' || strlen(text) != secret->size_bytes)
        code = error_set(error, ERR_INPUT,
                         "credentials are one line with a token, or lines username=NAME and "
                         "password=SECRET");
    if (code == 0)
        code = buffer_append_format(answer, "username=%s\npassword=%s\n", user, password);
    explicit_bzero(password, sizeof(password));
    return code;
}

/* Reads git's question to its end. */
static int read_question(char question[GIT_CREDENTIAL_MAX_BYTES])
{
    size_t count = 0;
    for (;;) {
        ssize_t got = read(STDIN_FILENO, question + count, GIT_CREDENTIAL_MAX_BYTES - 1 - count);
        if (got < 0)
            return ERR_IO;
        if (got == 0)
            break;
        count += (size_t)got;
        if (count == GIT_CREDENTIAL_MAX_BYTES - 1)
            return ERR_TOO_LARGE;
    }
    question[count] = '\0';
    return strlen(question) == count ? 0 : ERR_INPUT;
}

static void wipe(struct buffer *buffer)
{
    if (buffer->data != NULL)
        explicit_bzero(buffer->data, buffer->capacity_bytes);
    buffer_release(buffer);
}

static int answer_question(const char *file, const char *origin, struct error *error)
{
    char question[GIT_CREDENTIAL_MAX_BYTES];
    struct buffer secret = BUFFER_INIT(GIT_CREDENTIAL_MAX_BYTES);
    struct buffer answer = BUFFER_INIT(3 * GIT_CREDENTIAL_MAX_BYTES);
    int code = read_question(question);
    if (code != 0)
        return error_set(error, code, "git's question cannot be read: %s", err_text(code));
    code = buffer_reserve(&secret, GIT_CREDENTIAL_MAX_BYTES);
    if (code == 0)
        code = buffer_reserve(&answer, 3 * GIT_CREDENTIAL_MAX_BYTES);
    if (code == 0)
        code = file_read_secret(file, &secret, error);
    if (code == 0)
        code = git_credential_answer(question, origin, &secret, &answer, error);
    if (code == 0 && answer.size_bytes > 0 &&
        write(STDOUT_FILENO, answer.data, answer.size_bytes) != (ssize_t)answer.size_bytes)
        code = error_set(error, ERR_IO, "git does not take the answer");
    wipe(&secret);
    wipe(&answer);
    return code;
}

int git_credential_main(int argc, char **argv)
{
    const char *file = getenv(GIT_HELPER_FILE_VARIABLE);
    const char *origin = getenv(GIT_HELPER_ORIGIN_VARIABLE);
    if (argc < 3 || strcmp(argv[2], "get") != 0)
        return EXIT_STATUS_OK; /* `store` and `erase` are none of our business */
    if (file == NULL || origin == NULL)
        return EXIT_STATUS_FAILED;
    struct error error = {.code = 0};
    int code = answer_question(file, origin, &error);
    if (code != 0)
        (void)fprintf(stderr, "credentials: %s\n", error.text);
    return code == 0 ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}
