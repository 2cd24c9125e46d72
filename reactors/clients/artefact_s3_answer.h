/*
 * What an S3-compatible store's refusals mean: internal to reactors/clients/artefact_s3*.c.
 *
 * Invariant: a text says what was to be done, where, how it was answered, and, where that is known, what to do next; it
 * never has a key.
 */
#ifndef NODAG_CLIENTS_ARTEFACT_S3_ANSWER_H
#define NODAG_CLIENTS_ARTEFACT_S3_ANSWER_H

#include <stdbool.h>

#include "base/error.h"
#include "base/http_client.h"

/* What was asked, for the text; all borrowed. */
struct s3_request_name {
    const char *doing;            /* a verb: "store" */
    const char *uri;              /* of the artefact */
    const char *credentials_file; /* whose keys were used */
};

/* Returns true for 2xx. Any thread. */
bool s3_answer_is_success(const struct http_response *response);

/* Returns true if the answer says that there is no such object; false for a bucket that is not there. Any thread. */
bool s3_answer_is_absent(const struct http_response *response);

/*
 * Sets `error` from an answer that is no success, by the store's error code or else by its status, and returns it: ERR_NOT_FOUND,
 * ERR_DENIED, ERR_INPUT (settings), ERR_UNAVAILABLE, ERR_CONFLICT or ERR_IO. Source: Amazon S3 API Reference, Error Responses. Any
 * thread.
 */
int s3_answer_refused(const struct s3_request_name *name, const struct http_response *response,
                      struct error *error);

#endif
