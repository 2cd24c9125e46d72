/*
 * What an S3-compatible store's refusals mean: see artefact_s3_answer.h.
 *
 * Design: the body is XML with one <Code>, which is searched, not parsed: it only adds to what the status says. Answers to HEAD have
 * no body; Amazon names the right region in a header there.
 */
#include "reactors/clients/artefact_s3_answer.h"

#include <stdio.h>
#include <string.h>

/* Most bytes of a server's own words in an error. */
#define WORD_MAX_BYTES 60

/* What an advice ends with. */
enum advice_end {
    END_NOTHING,
    END_KEYS,   /* the file of the keys */
    END_CLOCK,  /* the time by the store's clock */
    END_REGION, /* the region that the answer names */
};

/* The codes of which more is known than their status says. */
static const struct refusal {
    const char *code;
    int error;
    const char *advice; /* ends as `end` says */
    enum advice_end end;
} refusals[] = {
    {"SignatureDoesNotMatch", ERR_DENIED,
     "the secret_access_key is not the one of this access_key_id: correct ", END_KEYS},
    {"InvalidAccessKeyId", ERR_DENIED, "the store does not know the access_key_id: correct ",
     END_KEYS},
    {"ExpiredToken", ERR_DENIED, "the session_token is too old: write new keys into ", END_KEYS},
    {"InvalidToken", ERR_DENIED, "the session_token is not valid: write new keys into ", END_KEYS},
    {"AccessDenied", ERR_DENIED,
     "allow s3:GetObject, s3:PutObject and s3:DeleteObject to the keys in ", END_KEYS},
    {"RequestTimeTooSkewed", ERR_DENIED,
     "set the clock of this machine; by the store's clock it is ", END_CLOCK},
    {"NoSuchBucket", ERR_INPUT, "make the bucket, or name another", END_NOTHING},
    {"PermanentRedirect", ERR_INPUT, "set the region to ", END_REGION},
    {"AuthorizationHeaderMalformed", ERR_INPUT, "set the region to ", END_REGION},
    {"TemporaryRedirect", ERR_UNAVAILABLE, "the bucket is new", END_NOTHING},
    {"RequestTimeout", ERR_UNAVAILABLE, "the transfer stood still", END_NOTHING},
    {"IncompleteBody", ERR_UNAVAILABLE, "the transfer was cut", END_NOTHING},
    {"XAmzContentSHA256Mismatch", ERR_IO, "other bytes arrived than were named", END_NOTHING},
    {"BadDigest", ERR_IO, "other bytes arrived than were named", END_NOTHING},
    {"OperationAborted", ERR_CONFLICT, "somebody else works on the bucket", END_NOTHING},
};

bool s3_answer_is_success(const struct http_response *response)
{
    return response->status >= 200 && response->status < 300;
}

/* Copies what stands between <TAG> and the next character that is neither letter, digit nor hyphen; "" if nothing does. */
static void find_word(const char *body, const char *tag, char ret_word[WORD_MAX_BYTES])
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";
    char open_tag[32];
    (void)snprintf(open_tag, sizeof(open_tag), "<%s>", tag);
    const char *found = strstr(body, open_tag);
    found = found != NULL ? found + strlen(open_tag) : "";
    (void)snprintf(ret_word, WORD_MAX_BYTES, "%.*s", (int)strspn(found, allowed), found);
}

bool s3_answer_is_absent(const struct http_response *response)
{
    char code[WORD_MAX_BYTES];
    find_word(response->body, "Code", code);
    return response->status == 404 && strcmp(code, "NoSuchBucket") != 0;
}

/* What the status alone says. */
static struct refusal refusal_by_status(int status)
{
    int error = status == 404                                                      ? ERR_NOT_FOUND
                : status == 401 || status == 403                                   ? ERR_DENIED
                : status == 409                                                    ? ERR_CONFLICT
                : status >= 500 || status == 429 || status == 408 || status == 307 ? ERR_UNAVAILABLE
                                                                                   : ERR_INPUT;
    struct refusal refusal = {.code = "", .error = error, .advice = ""};
    if (error == ERR_DENIED) {
        refusal.advice = "see whether this is allowed to the keys in ";
        refusal.end = END_KEYS;
    }
    return refusal;
}

/* Appends the end of an advice; false: it is not known, and the advice is of no use. */
static bool finish_advice(const struct refusal *refusal, const struct s3_request_name *name,
                          const struct http_response *response, char *ret_end, size_t end_bytes)
{
    char region[WORD_MAX_BYTES];
    const char *end = "";
    if (refusal->end == END_KEYS)
        end = name->credentials_file;
    if (refusal->end == END_CLOCK)
        end = http_response_header(response, "Date");
    if (refusal->end == END_REGION) {
        find_word(response->body, "Region", region);
        end = region[0] != '\0' ? region : http_response_header(response, "x-amz-bucket-region");
    }
    (void)snprintf(ret_end, end_bytes, "%s", end != NULL ? end : "");
    return refusal->advice[0] != '\0' && (refusal->end == END_NOTHING || ret_end[0] != '\0');
}

int s3_answer_refused(const struct s3_request_name *name, const struct http_response *response,
                      struct error *error)
{
    char code[WORD_MAX_BYTES];
    char end[256];
    find_word(response->body, "Code", code);
    struct refusal refusal = refusal_by_status(response->status);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (strcmp(refusals[i].code, code) == 0)
            refusal = refusals[i];
    bool is_elsewhere = response->status == 301 || response->status == 400;
    if (code[0] == '\0' && is_elsewhere) /* HEAD */
        refusal =
            (struct refusal){.error = ERR_INPUT, .advice = "set the region to ", .end = END_REGION};
    bool is_useful = finish_advice(&refusal, name, response, end, sizeof(end));
    return error_set(error, refusal.error, "artefact store: cannot %s %s: it answered %d%s%s%s%s%s",
                     name->doing, name->uri, response->status, code[0] != '\0' ? " " : "", code,
                     is_useful ? "; " : "", is_useful ? refusal.advice : "", is_useful ? end : "");
}
