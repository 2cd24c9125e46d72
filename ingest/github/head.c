/*
 * The checks of a delivery's head: see head.h.
 *
 * Design: one function for each header, called in the order in which the answers' table promises them, each saying in
 * its refusal what was expected. What a stranger sent is never repeated in the text.
 */
#include "ingest/github/head.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/signature.h"

/* The one media type that is taken: with the form type GitHub would sign and send something else. */
#define MEDIA_TYPE "application/json"

int refusal_set(struct refusal *refusal, int status, enum reason reason, const char *format, ...)
{
    refusal->status = status;
    refusal->reason = reason;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(refusal->text, sizeof(refusal->text), format, arguments);
    va_end(arguments);
    return ERR_INPUT;
}

const char *reason_text(enum reason reason)
{
    static const char *const texts[] = {
#define REASON_TEXT(name, text) [name] = text,
        HEAD_REASON_TABLE(REASON_TEXT)
#undef REASON_TEXT
    };
    return texts[reason];
}

/* Returns true if `text` has 1..most bytes, all of them in `allowed`. */
static bool consists_of(const char *text, const char *allowed, size_t most)
{
    size_t text_bytes = strnlen(text, most + 1);
    return text_bytes > 0 && text_bytes <= most && strspn(text, allowed) == text_bytes;
}

static int read_event(const struct head_input *input, struct delivery_head *head,
                      struct refusal *refusal)
{
    if (input->event == NULL)
        return refusal_set(
            refusal, 400, REASON_HEADER,
            "the header X-GitHub-Event is missing: this address takes GitHub's webhook "
            "deliveries only");
    if (!consists_of(input->event, "abcdefghijklmnopqrstuvwxyz0123456789_", HEAD_EVENT_MAX_BYTES) ||
        input->event[0] < 'a')
        return refusal_set(
            refusal, 400, REASON_HEADER,
            "the header X-GitHub-Event is malformed: expected an event's name, lower-case "
            "letters, digits and underscores, at most %d",
            HEAD_EVENT_MAX_BYTES);
    head->event = text_of(input->event);
    return 0;
}

/* Reads a GUID, 8-4-4-4-12 hexadecimal digits (RFC 9562 §4). */
static bool read_guid(const char *text, uint8_t ret_guid[HEAD_GUID_BYTES])
{
    if (strnlen(text, HEAD_DELIVERY_BYTES + 1) != HEAD_DELIVERY_BYTES)
        return false;
    size_t byte = 0;
    for (size_t at = 0; at < HEAD_DELIVERY_BYTES;) {
        if (at == 8 || at == 13 || at == 18 || at == 23) {
            if (text[at++] != '-')
                return false;
            continue;
        }
        int high = hex_value(text[at]);
        int low = hex_value(text[at + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_guid[byte++] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    return true;
}

static int read_delivery(const struct head_input *input, struct delivery_head *head,
                         struct refusal *refusal)
{
    if (input->delivery == NULL)
        return refusal_set(
            refusal, 400, REASON_HEADER,
            "the header X-GitHub-Delivery is missing: it names the delivery by a GUID");
    if (!read_guid(input->delivery, head->guid))
        return refusal_set(refusal, 400, REASON_HEADER,
                           "the header X-GitHub-Delivery is malformed: expected a GUID such as "
                           "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    head->delivery = text_of(input->delivery);
    return 0;
}

/* Reads an id that may be absent. */
static int read_id(const char *name, const char *value, struct text *ret_id,
                   struct refusal *refusal)
{
    if (value == NULL)
        return 0;
    if (!consists_of(value, "0123456789", HEAD_ID_MAX_BYTES))
        return refusal_set(refusal, 400, REASON_HEADER,
                           "the header %s is malformed: expected a decimal number", name);
    *ret_id = text_of(value);
    return 0;
}

/* Hook and target choose the secret; GitHub sends them always, Enterprise Server since 3.0 and some tools never. */
static int read_origin(const struct head_input *input, struct delivery_head *head,
                       struct refusal *refusal)
{
    int code = read_id("X-GitHub-Hook-ID", input->hook_id, &head->hook_id, refusal);
    if (code == 0)
        code = read_id("X-GitHub-Hook-Installation-Target-ID", input->target_id, &head->target_id,
                       refusal);
    if (code != 0 || input->target_type == NULL)
        return code;
    if (!consists_of(input->target_type, "abcdefghijklmnopqrstuvwxyz_", HEAD_TARGET_TYPE_MAX_BYTES))
        return refusal_set(
            refusal, 400, REASON_HEADER,
            "the header X-GitHub-Hook-Installation-Target-Type is malformed: expected "
            "repository, organization, integration or the like");
    head->target_type = text_of(input->target_type);
    return 0;
}

/* Checks the media type (RFC 9110 §8.3): case does not matter, parameters such as a charset may follow. */
static int check_content_type(const struct head_input *input, struct refusal *refusal)
{
    const char *value = input->content_type;
    size_t type_bytes = sizeof(MEDIA_TYPE) - 1;
    if (value != NULL && strncasecmp(value, MEDIA_TYPE, type_bytes) == 0) {
        const char *rest = value + type_bytes;
        rest += strspn(rest, " \t");
        if (*rest == '\0' || *rest == ';')
            return 0;
    }
    return refusal_set(refusal, 415, REASON_CONTENT_TYPE,
                       "the content type must be application/json: set \"Content type\" to "
                       "application/json in the webhook's settings");
}

static int read_signature(const struct head_input *input, struct delivery_head *head,
                          struct refusal *refusal)
{
    const char *value = input->signature;
    if (value == NULL)
        return refusal_set(refusal, 401, REASON_SIGNATURE,
                           "the header " SIGNATURE_HEADER
                           " is missing: set a secret in the webhook's "
                           "settings, the same as configured here");
    if (signature_parse(value, head->mac) != 0)
        return refusal_set(refusal, 401, REASON_SIGNATURE,
                           "the header " SIGNATURE_HEADER " is malformed: expected sha256= and %d "
                           "hexadecimal digits",
                           2 * DIGEST_BYTES);
    head->signature = text_of(value);
    return 0;
}

int head_read(const struct head_input *input, struct delivery_head *ret_head,
              struct refusal *ret_refusal)
{
    struct delivery_head head = {0};
    if (input->repeated_header != NULL) {
        bool is_signature = strcasecmp(input->repeated_header, SIGNATURE_HEADER) == 0;
        return refusal_set(ret_refusal, is_signature ? 401 : 400,
                           is_signature ? REASON_SIGNATURE : REASON_HEADER,
                           "the header %s was sent more than once", input->repeated_header);
    }
    int code = read_event(input, &head, ret_refusal);
    if (code == 0)
        code = read_delivery(input, &head, ret_refusal);
    if (code == 0)
        code = read_origin(input, &head, ret_refusal);
    if (code == 0)
        code = check_content_type(input, ret_refusal);
    if (code == 0)
        code = read_signature(input, &head, ret_refusal);
    if (code == 0)
        *ret_head = head;
    return code;
}
