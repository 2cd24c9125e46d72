/*
 * Tests of the checks of a delivery's head.
 *
 * Design: a good head, and a table of changes to it with the answer that each must get.
 */
#include "ingest/github/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define GUID "72d3162e-cc78-11e3-81ab-4c9367dc0958"
#define HEX16 "0123456789abcdef"
#define SIGNATURE "sha256=" HEX16 HEX16 HEX16 HEX16

/* A head as GitHub sends it. */
#define GOOD                                                                                       \
    .event = "issues", .delivery = GUID, .hook_id = "109948940", .target_type = "repository",      \
    .target_id = "186853002", .content_type = "application/json", .signature = SIGNATURE

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"

static const struct {
    const char *name;
    struct head_input input;
    int status; /* 0: accepted */
} cases[] = {
    {"as sent", {GOOD}, 0},
    {"charset", {GOOD, .content_type = "application/json; charset=utf-8"}, 0},
    {"charset without space", {GOOD, .content_type = "Application/JSON;charset=UTF-8"}, 0},
    {"space before parameter", {GOOD, .content_type = "application/json ; charset=utf-8"}, 0},
    {"no hook", {GOOD, .hook_id = NULL}, 0},
    {"no target", {GOOD, .target_type = NULL, .target_id = NULL}, 0},
    {"capital GUID", {GOOD, .delivery = "72D3162E-CC78-11E3-81AB-4C9367DC0958"}, 0},
    {"event with underscore and digit", {GOOD, .event = "projects_v2_item"}, 0},

    {"no event", {GOOD, .event = NULL}, 400},
    {"empty event", {GOOD, .event = ""}, 400},
    {"capital event", {GOOD, .event = "Issues"}, 400},
    {"event with space", {GOOD, .event = "issues "}, 400},
    {"event begins with digit", {GOOD, .event = "2issues"}, 400},
    {"event begins with underscore", {GOOD, .event = "_issues"}, 400},
    {"event with path", {GOOD, .event = "../issues"}, 400},
    {"longest event",
     {GOOD, .event = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
     0},
    {"long event",
     {GOOD, .event = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
     400},
    {"no delivery", {GOOD, .delivery = NULL}, 400},
    {"empty delivery", {GOOD, .delivery = ""}, 400},
    {"short delivery", {GOOD, .delivery = "72d3162e-cc78-11e3-81ab-4c9367dc095"}, 400},
    {"long delivery", {GOOD, .delivery = GUID "0"}, 400},
    {"delivery without hyphens", {GOOD, .delivery = "72d3162ecc7811e381ab4c9367dc0958"}, 400},
    {"delivery with misplaced hyphen",
     {GOOD, .delivery = "72d3162ec-c78-11e3-81ab-4c9367dc0958"},
     400},
    {"delivery not hexadecimal", {GOOD, .delivery = "72d3162g-cc78-11e3-81ab-4c9367dc0958"}, 400},
    {"delivery in braces", {GOOD, .delivery = "{72d3162e-cc78-11e3-81ab-4c9367dc09}"}, 400},
    {"hook no number", {GOOD, .hook_id = "12a"}, 400},
    {"hook negative", {GOOD, .hook_id = "-1"}, 400},
    {"hook empty", {GOOD, .hook_id = ""}, 400},
    {"hook long", {GOOD, .hook_id = "123456789012345678901"}, 400},
    {"target no number", {GOOD, .target_id = "x"}, 400},
    {"target type capital", {GOOD, .target_type = "Repository"}, 400},
    {"target type with space", {GOOD, .target_type = "a b"}, 400},
    {"hook twice", {GOOD, .repeated_header = "X-GitHub-Hook-ID"}, 400},

    {"no content type", {GOOD, .content_type = NULL}, 415},
    {"form", {GOOD, .content_type = "application/x-www-form-urlencoded"}, 415},
    {"text", {GOOD, .content_type = "text/json"}, 415},
    {"longer type", {GOOD, .content_type = "application/jsonp"}, 415},
    {"suffix", {GOOD, .content_type = "application/json+x"}, 415},
    {"shorter type", {GOOD, .content_type = "application/jso"}, 415},

    {"no signature", {GOOD, .signature = NULL}, 401},
    {"empty signature", {GOOD, .signature = ""}, 401},
    {"signature without prefix", {GOOD, .signature = HEX16 HEX16 HEX16 HEX16}, 401},
    {"SHA-1", {GOOD, .signature = "sha1=0123456789abcdef0123456789abcdef01234567"}, 401},
    {"prefix alone", {GOOD, .signature = "sha256="}, 401},
    {"short signature", {GOOD, .signature = "sha256=" HEX16 HEX16 HEX16 "0123456789abcde"}, 401},
    {"long signature", {GOOD, .signature = SIGNATURE "0"}, 401},
    {"signature not hexadecimal",
     {GOOD, .signature = "sha256=" HEX16 HEX16 HEX16 "0123456789abcdeg"},
     401},
    {"signature twice", {GOOD, .repeated_header = "X-Hub-Signature-256"}, 401},

    /* The order: what comes first in the table of answers is said first. */
    {"all missing", {.event = NULL}, 400},
    {"form without signature",
     {GOOD, .content_type = "application/x-www-form-urlencoded", .signature = NULL},
     415},
};

#pragma GCC diagnostic pop

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct delivery_head head;
        struct refusal refusal = {0};
        int code = head_read(&cases[i].input, &head, &refusal);
        if (refusal.status != cases[i].status || (code == 0) != (cases[i].status == 0))
            fail_msg("%s: status %d instead of %d", cases[i].name, refusal.status, cases[i].status);
        if (code != 0 && strlen(refusal.text) < 20)
            fail_msg("%s: the refusal says nothing", cases[i].name);
    }
}

static void test_content(void **state)
{
    (void)state;
    const struct head_input input = {GOOD};
    struct delivery_head head;
    struct refusal refusal;
    assert_int_equal(head_read(&input, &head, &refusal), 0);
    static const uint8_t guid[HEAD_GUID_BYTES] = {0x72, 0xd3, 0x16, 0x2e, 0xcc, 0x78, 0x11, 0xe3,
                                                  0x81, 0xab, 0x4c, 0x93, 0x67, 0xdc, 0x09, 0x58};
    assert_memory_equal(head.guid, guid, sizeof(guid));
    assert_true(text_equals(head.event, "issues"));
    assert_true(text_equals(head.delivery, GUID));
    assert_true(text_equals(head.hook_id, "109948940"));
    assert_true(text_equals(head.target_type, "repository"));
    assert_true(text_equals(head.target_id, "186853002"));
    assert_true(text_equals(head.signature, SIGNATURE));
    assert_int_equal(head.mac[0], 0x01);
    assert_int_equal(head.mac[31], 0xef);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
