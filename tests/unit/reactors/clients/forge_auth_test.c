/*
 * Tests of authentication: settings, the App's JWT, installation tokens and their renewal, 401,
 * and secret files that change.
 */
#include "reactors/clients/forge.h"

#include "tests/unit/reactors/clients/forge_fixture.h"

/* The answer to every question about an issue here. */
#define ISSUE_BODY                                                                                 \
    "{\"number\":7,\"state\":\"open\",\"created_at\":\"2026-10-31T08:00:00Z\",\"labels\":[],"      \
    "\"repository_url\":\"" FIXTURE_URL "/repos/o/r\",\"title\":\"T\"}"
/* How it is printed. */
#define ISSUE_PRINTED "o/r#7 open 2026-10-31T08:00:00Z \"T\" \"\";"

/* Exchanges of the App. */
#define INSTALLATION                                                                               \
    {                                                                                              \
        "GET /repos/o/r/installation", .sent = "Authorization: JWT", .body = "{\"id\":55}"         \
    }
/* See above: a token until a time of 2026-11-01. */
#define TOKEN(name, until)                                                                         \
    {                                                                                              \
        "POST /app/installations/55/access_tokens",                                                \
            .sent = "Authorization: JWT\nbody: -", .status = 201,                                  \
            .body = "{\"token\":\"" name "\",\"expires_at\":\"2026-11-01T" until "Z\"}"            \
    }
/* See above. */
#define ISSUE(token)                                                                               \
    {                                                                                              \
        "GET /repos/o/r/issues/7", .sent = "Authorization: Bearer " token, .body = ISSUE_BODY      \
    }
/* See above: the token is refused. */
#define REFUSED(token)                                                                             \
    {                                                                                              \
        "GET /repos/o/r/issues/7", .sent = "Authorization: Bearer " token, .status = 401,          \
                                   .body = "{\"message\":\"Bad credentials\"}"                     \
    }

/* What most tests ask. */
#define ASK_ISSUE_7                                                                                \
    {                                                                                              \
        .ask = ASK_ISSUE                                                                           \
    }

static const struct question ask_issue = ASK_ISSUE_7;

static const struct {
    struct forge_settings settings;
    bool has_token_file;
    bool has_key_file;
    const char *token; /* in the token file */
    const char *key;   /* in the key file; NULL: a good key */
    int code;
    const char *text;
} setting_rows[] = {
    {.settings = {.api_url = "ftp://x"}, .code = ERR_USAGE, .text = "--forge-url"},
    {.settings = {.api_url = "https://"}, .code = ERR_USAGE, .text = "--forge-url"},
    {.settings = {.api_url = "https://u:p@x"}, .code = ERR_USAGE, .text = "byte 12"},
    {.settings = {.api_url = "https://x/?a"}, .code = ERR_USAGE, .text = "--forge-url"},
    {.settings = {.api_url = "https://x y"}, .code = ERR_USAGE, .text = "--forge-url"},
    {.settings = {.app_id = "1"}, .code = ERR_USAGE, .text = "belong together"},
    {.has_key_file = true, .code = ERR_USAGE, .text = "belong together"},
    {.settings = {.app_id = "1"},
     .has_key_file = true,
     .has_token_file = true,
     .token = "t",
     .code = ERR_USAGE,
     .text = "cannot be used together"},
    {.settings = {.app_id = "1\",\"x"},
     .has_key_file = true,
     .code = ERR_USAGE,
     .text = "--forge-app-id"},
    {.settings = {.app_id = ""}, .has_key_file = true, .code = ERR_USAGE, .text = "--forge-app-id"},
    {.settings = {.token_file = "/nonexistent/token"},
     .code = ERR_NOT_FOUND,
     .text = "/nonexistent/token"},
    {.has_token_file = true, .token = "", .code = ERR_INPUT, .text = "forge-token"},
    {.has_token_file = true, .token = "a b\n", .code = ERR_INPUT, .text = "at byte 2"},
    {.has_token_file = true, .token = "a\r\nX: b\n", .code = ERR_INPUT, .text = "at byte 2"},
    {.settings = {.app_id = "Iv1.a-b_c"},
     .has_key_file = true,
     .key = "nonsense",
     .code = ERR_INPUT,
     .text = "holds no private key"},
    {.settings = {.app_id = "1"},
     .has_key_file = true,
     .key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
            "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\nAAAA\n"
            "-----END RSA PRIVATE KEY-----\n",
     .code = ERR_INPUT,
     .text = "without a passphrase"},
    {.settings = {.app_id = "Iv1.a-b_c"}, .has_key_file = true},
    {.has_token_file = true, .token = "t\n"},
    {.settings = {.api_url = "http://127.0.0.1:8080///"}},
    {.settings = {.login = "x"}},
};

static void test_settings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(setting_rows); i++) {
        CLEANUP(loop_free) struct loop *loop = loop_new_simulated(1, FIXTURE_WALL_MS);
        struct http_fake fake;
        http_fake_init(&fake, loop, NULL, NULL);
        struct forge_settings settings = setting_rows[i].settings;
        settings.writes_per_hour = 1;
        if (settings.api_url == NULL)
            settings.api_url = "https://api.test";
        if (setting_rows[i].has_token_file)
            settings.token_file = fixture_token_file;
        if (setting_rows[i].has_key_file)
            settings.app_key_file = fixture_key_file;
        fixture_write_file(fixture_token_file,
                           setting_rows[i].token != NULL ? setting_rows[i].token : "");
        fixture_write_key(fixture_key_file, fixture_key);
        if (setting_rows[i].key != NULL)
            fixture_write_file(fixture_key_file, setting_rows[i].key);
        CLEANUP(forge_free) struct forge *forge = NULL;
        struct error error = {0};
        int code = forge_new(loop, &fake.client, &settings, NULL, &forge, &error);
        if (code != setting_rows[i].code ||
            (setting_rows[i].text != NULL && strstr(error.text, setting_rows[i].text) == NULL))
            fail_msg("row %zu: %s: %s", i, err_name(code), error.text);
        assert_true((forge != NULL) == (code == 0));
    }
}

static void test_identity(void **state)
{
    (void)state;
    static const struct forge_case cases[] = {
        {.name = "App",
         .mode = FIXTURE_APP_MODE,
         .question = {.ask = ASK_IDENTITY},
         .script = {{"GET /app", .sent = "Authorization: JWT", .body = "{\"slug\":\"label-bot\"}"}},
         .printed = "label-bot[bot];"},
        {.name = "token",
         .question = {.ask = ASK_IDENTITY},
         .script = {{"GET /user", .sent = "Authorization: Bearer " FIXTURE_TOKEN,
                     .body = "{\"login\":\"ann\"}"}},
         .printed = "ann;"},
        {.name = "set by hand",
         .login = "eve",
         .question = {.ask = ASK_IDENTITY},
         .printed = "eve;"},
        {.name = "nobody",
         .mode = FIXTURE_NONE_MODE,
         .question = {.ask = ASK_IDENTITY},
         .printed = "ERR_DENIED;"},
        {.name = "no login",
         .question = {.ask = ASK_IDENTITY},
         .script = {{"GET /user", .body = "{\"login\":7}"}},
         .printed = "ERR_INPUT;"},
        {.name = "away",
         .question = {.ask = ASK_IDENTITY},
         .script = {{"GET /user", .code = ERR_UNAVAILABLE}},
         .printed = "ERR_UNAVAILABLE;"},
    };
    fixture_run_cases(cases, ARRAY_COUNT(cases));
}

static void test_identity_is_asked_once(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        {"GET /user", .code = ERR_TIMEOUT, .delay_ms = 5},
        {"GET /user", .body = "{\"login\":\"ann\"}", .delay_ms = 5},
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "identity once", FIXTURE_TOKEN_MODE, NULL, script);
    static const struct question ask = {.ask = ASK_IDENTITY};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++)
            (void)fixture_ask(&fixture, &ask);
        fixture_run(&fixture);
    }
    assert_string_equal(fixture.printed,
                        "ERR_TIMEOUT;ERR_TIMEOUT;ERR_TIMEOUT;ann;ann;ann;ann;ann;ann;");
    fixture_release(&fixture);
}

static const struct forge_case app_cases[] = {
    {.name = "installation, token, question",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {INSTALLATION, TOKEN("secret-a", "13:00:00"), ISSUE("secret-a")},
     .printed = ISSUE_PRINTED},
    {.name = "not installed",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {{"GET /repos/o/r/installation", .status = 404}},
     .printed = "ERR_DENIED;",
     .error_text = "cannot read the issue o/r#7: the GitHub App 1234 is not installed"},
    {.name = "installation cannot be looked up",
     .mode = FIXTURE_APP_MODE,
     .question = {.ask = ASK_ADD},
     .script = {{"GET /repos/o/r/installation", .status = 500}},
     .printed = "ERR_UNAVAILABLE;",
     .error_text = "cannot find the App's installation for o/r: the forge answered 500"},
    {.name = "suspended",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {INSTALLATION,
                {"POST /app/installations/55/access_tokens", .status = 403,
                 .body = "{\"message\":\"This installation has been suspended\"}"}},
     .printed = "ERR_DENIED;",
     .error_text = "suspended"},
    {.name = "a token's request is lost: no effect is unsure",
     .mode = FIXTURE_APP_MODE,
     .question = {.ask = ASK_COMMENT},
     .script = {INSTALLATION, {"POST /app/installations/55/access_tokens", .code = ERR_TIMEOUT}},
     .printed = "ERR_TIMEOUT;"},
    {.name = "installation without id",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {{"GET /repos/o/r/installation", .body = "{\"id\":-1}"}},
     .printed = "ERR_INPUT;"},
    {.name = "hostile token",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {INSTALLATION, TOKEN("secret\\r\\nX: y", "13:00:00")},
     .printed = "ERR_INPUT;",
     .error_text = "characters that tokens do not have"},
    {.name = "token without end",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {INSTALLATION, TOKEN("secret-a", "never")},
     .printed = "ERR_INPUT;",
     .error_text = "expires_at"},
    {.name = "installation is gone and was made anew",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {INSTALLATION,
                {"POST /app/installations/55/access_tokens", .status = 404},
                {"GET /repos/o/r/installation", .body = "{\"id\":56}"},
                {"POST /app/installations/56/access_tokens", .status = 201,
                 .body = "{\"token\":\"secret-b\",\"expires_at\":\"2026-11-01T13:00:00Z\"}"},
                ISSUE("secret-b")},
     .printed = ISSUE_PRINTED},
    {.name = "a forge that gives installations and denies them ends",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {INSTALLATION,
                {"POST /app/installations/55/access_tokens", .status = 404},
                INSTALLATION,
                {"POST /app/installations/55/access_tokens", .status = 404},
                INSTALLATION,
                {"POST /app/installations/55/access_tokens", .status = 404},
                INSTALLATION,
                {"POST /app/installations/55/access_tokens", .status = 404},
                INSTALLATION},
     .printed = "ERR_UNAVAILABLE;"},
    {.name = "a token that ends at once is used, not asked for again and again",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {INSTALLATION, TOKEN("secret-a", "12:00:01"), ISSUE("secret-a")},
     .printed = ISSUE_PRINTED},
    {.name = "401, then a fresh token",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {INSTALLATION, TOKEN("secret-a", "13:00:00"), REFUSED("secret-a"),
                TOKEN("secret-b", "13:00:00"), ISSUE("secret-b")},
     .printed = ISSUE_PRINTED},
    {.name = "401 twice",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {INSTALLATION, TOKEN("secret-a", "13:00:00"), REFUSED("secret-a"),
                TOKEN("secret-b", "13:00:00"), REFUSED("secret-b")},
     .printed = "ERR_DENIED;",
     .error_text = "401: Bad credentials; renew the token"},
    {.name = "the JWT is refused and the key is what it was",
     .mode = FIXTURE_APP_MODE,
     .question = ASK_ISSUE_7,
     .script = {{"GET /repos/o/r/installation", .sent = "Authorization: JWT", .status = 401,
                 .body =
                     "{\"message\":\"'Expiration time' claim ('exp') is too far in the future\"}"}},
     .printed = "ERR_DENIED;",
     .error_text = "too far in the future; renew"},
};

static void test_app(void **state)
{
    (void)state;
    fixture_run_cases(app_cases, ARRAY_COUNT(app_cases));
}

/*
 * A hundred calls at once: one installation lookup, one token, and one renewal before the token
 * ends.
 */
static void test_one_renewal(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        {"GET /repos/o/r/installation", .body = "{\"id\":55}", .delay_ms = 10},
        {"POST /app/installations/55/access_tokens", .status = 201, .delay_ms = 10,
         .body = "{\"token\":\"secret-a\",\"expires_at\":\"2026-11-01T13:00:00Z\"}"},
        ISSUE("secret-a"),
        ISSUE("secret-a"),
        ISSUE("secret-a"),
        /* 54:59 later the token is still used. */
        ISSUE("secret-a"),
        /* 55:01 after the start it has less than five minutes. */
        {"POST /app/installations/55/access_tokens", .status = 201, .delay_ms = 10,
         .body = "{\"token\":\"secret-b\",\"expires_at\":\"2026-11-01T13:55:00Z\"}"},
        ISSUE("secret-b"),
        ISSUE("secret-b"),
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "one renewal", FIXTURE_APP_MODE, NULL, script);
    for (int i = 0; i < 3; i++)
        (void)fixture_ask(&fixture, &ask_issue);
    fixture_run(&fixture);
    loop_advance(fixture.loop, (54 * 60 + 59) * 1000 - loop_now_ms(fixture.loop));
    (void)fixture_ask(&fixture, &ask_issue);
    fixture_run(&fixture);
    loop_advance(fixture.loop, 2000);
    (void)fixture_ask(&fixture, &ask_issue);
    (void)fixture_ask(&fixture, &ask_issue);
    fixture_run(&fixture);
    assert_string_equal(
        fixture.printed,
        ISSUE_PRINTED ISSUE_PRINTED ISSUE_PRINTED ISSUE_PRINTED ISSUE_PRINTED ISSUE_PRINTED);
    fixture_release(&fixture);
}

/* The forge's clock is an hour behind ours: its token lives as long by its own. */
static void test_forge_clock(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        INSTALLATION,
        {"POST /app/installations/55/access_tokens", .status = 201,
         .headers = "Date: Sun, 01 Nov 2026 11:00:00 GMT",
         .body = "{\"token\":\"secret-a\",\"expires_at\":\"2026-11-01T12:00:00Z\"}"},
        ISSUE("secret-a"),
        ISSUE("secret-a"),
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "forge's clock", FIXTURE_APP_MODE, NULL, script);
    (void)fixture_ask(&fixture, &ask_issue);
    fixture_run(&fixture);
    loop_advance(fixture.loop, 50 * 60 * 1000);
    (void)fixture_ask(&fixture, &ask_issue);
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, ISSUE_PRINTED ISSUE_PRINTED);
    fixture_release(&fixture);
}

/* Three calls meet 401 with one old token: it is replaced once. */
static void test_one_refresh(void **state)
{
    (void)state;
#define REFUSED_AT(delay)                                                                          \
    {                                                                                              \
        "GET /repos/o/r/issues/7", .sent = "Authorization: Bearer secret-a", .status = 401,        \
                                   .delay_ms = (delay)                                             \
    }
    static const struct exchange script[] = {
        INSTALLATION,      TOKEN("secret-a", "13:00:00"),
        REFUSED_AT(1),     REFUSED_AT(2),
        REFUSED_AT(900),   TOKEN("secret-b", "13:00:00"),
        ISSUE("secret-b"), ISSUE("secret-b"),
        ISSUE("secret-b"), {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "one refresh", FIXTURE_APP_MODE, NULL, script);
    for (int i = 0; i < 3; i++)
        (void)fixture_ask(&fixture, &ask_issue);
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, ISSUE_PRINTED ISSUE_PRINTED ISSUE_PRINTED);
    fixture_release(&fixture);
}

static void test_token_file_changes(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        REFUSED(FIXTURE_TOKEN),                           /* the file is as it was */
        REFUSED(FIXTURE_TOKEN),   ISSUE(FIXTURE_TOKEN_2), /* it has changed */
        REFUSED(FIXTURE_TOKEN_2),                         /* it is gone */
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "token file", FIXTURE_TOKEN_MODE, NULL, script);
    (void)fixture_ask(&fixture, &ask_issue);
    fixture_run(&fixture);
    fixture_write_file(fixture_token_file, FIXTURE_TOKEN_2);
    (void)fixture_ask(&fixture, &ask_issue);
    fixture_run(&fixture);
    fixture_write_file(fixture_token_file, "");
    (void)fixture_ask(&fixture, &ask_issue);
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, "ERR_DENIED;" ISSUE_PRINTED "ERR_DENIED;");
    fixture_release(&fixture);
}

/*
 * The App's key is replaced: the old one's JWT gets 401, the new one's is verified by the new
 * public key.
 */
static void test_key_file_changes(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        {"GET /app", .status = 401},
        {"GET /app", .sent = "Authorization: JWT", .body = "{\"slug\":\"b\"}"},
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "key file", FIXTURE_APP_MODE, NULL, script);
    EVP_PKEY *old_key = fixture_key;
    fixture_key = EVP_RSA_gen(2048);
    fixture_write_key(fixture_key_file, fixture_key);
    (void)fixture_ask(&fixture, &(struct question){.ask = ASK_IDENTITY});
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, "b[bot];");
    EVP_PKEY_free(old_key);
    fixture_release(&fixture);
}

/* Names differ in case only: one installation, one lookup. */
static void test_case_of_names(void **state)
{
    (void)state;
    static const struct exchange script[] = {
        INSTALLATION,
        TOKEN("secret-a", "13:00:00"),
        ISSUE("secret-a"),
        {"GET /repos/O/R/issues/7", .sent = "Authorization: Bearer secret-a", .body = ISSUE_BODY},
        {.request = NULL},
    };
    struct fixture fixture;
    fixture_init(&fixture, "case of names", FIXTURE_APP_MODE, NULL, script);
    (void)fixture_ask(&fixture, &ask_issue);
    fixture_run(&fixture);
    (void)fixture_ask(&fixture, &(struct question){.ask = ASK_ISSUE, .repository = "O/R"});
    fixture_run(&fixture);
    assert_string_equal(fixture.printed, ISSUE_PRINTED ISSUE_PRINTED);
    fixture_release(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_identity_is_asked_once),
        cmocka_unit_test(test_app),
        cmocka_unit_test(test_one_renewal),
        cmocka_unit_test(test_forge_clock),
        cmocka_unit_test(test_one_refresh),
        cmocka_unit_test(test_token_file_changes),
        cmocka_unit_test(test_key_file_changes),
        cmocka_unit_test(test_case_of_names),
    };
    return cmocka_run_group_tests(tests, fixture_begin, fixture_end);
}
