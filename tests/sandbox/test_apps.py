"""Apps: JWT, installations, their tokens, and what they may see and do."""

import json
import os
import subprocess
import tempfile
import time
import unittest

from fixture import ForgeTest, Key, pad_off


class Apps(ForgeTest):
    def setUp(self):
        super().setUp()
        self.app = self.admin("POST", "apps", {"slug": "nodag", "public_key": Key.public()})
        self.installation = self.admin("POST", "apps/nodag/installations",
                                       {"account": "acme", "repositories": ["acme/rocket"]})["id"]
        self.admin("POST", "repos", {"full_name": "acme/secret", "private": True})
        self.jwt = self.client(Key.jwt(str(self.app["id"])))

    def token(self, body=None):
        made = self.expect(201, self.jwt.post(f"/app/installations/{self.installation}/access_tokens", body))
        return self.client(made["token"]), made

    def test_a_jwt_by_id_or_client_id(self):
        for issuer in (str(self.app["id"]), self.app["id"], self.app["client_id"]):
            self.assertEqual(self.expect(200, self.client(Key.jwt(issuer)).get("/app"))["slug"], "nodag")

    def test_bad_jwts(self):
        now, app = int(time.time()), str(self.app["id"])
        with tempfile.TemporaryDirectory() as folder:
            other = os.path.join(folder, "other.pem")
            subprocess.run(["openssl", "genrsa", "-out", other, "2048"], check=True, capture_output=True)
            foreign = Key.jwt(app, key_path=other)
        unsigned = ".".join((pad_off(b'{"alg":"none"}'), pad_off(json.dumps({"iss": app}).encode()), ""))
        for name, token, status, words in (
                ("another key", foreign, 401, "could not be decoded"),
                ("no algorithm", unsigned, 401, "could not be decoded"),
                ("no JWT", "a.b.c", 401, "could not be decoded"),
                ("over", Key.jwt(app, iat=now - 900, exp=now - 400), 401, "future time"),
                ("too long", Key.jwt(app, exp=now + 3600), 401, "too far in the future"),
                ("from the future", Key.jwt(app, iat=now + 300, exp=now + 600), 401, "Issued at"),
                ("no exp", Key.jwt(app, exp=None), 401, "Expiration time"),
                ("no such App", Key.jwt("123"), 404, "Integration not found")):
            with self.subTest(name):
                self.assertIn(words, self.expect(status, self.client(token).get("/app"))["message"])

    def test_installations_are_found(self):
        for path in ("/repos/acme/rocket/installation", "/orgs/acme/installation",
                     f"/app/installations/{self.installation}"):
            self.assertEqual(self.expect(200, self.jwt.get(path))["id"], self.installation)
        self.expect(404, self.jwt.get("/repos/acme/secret/installation"))
        self.expect(401, self.alice.get("/repos/acme/rocket/installation"))

    def test_a_bot_leaves_its_traces(self):
        bot, _ = self.token()
        self.expect(200, bot.post(self.issue + "/labels", {"labels": ["bug"]}))
        self.expect(201, bot.post(self.issue + "/comments", {"body": "x"}))
        labeled, commented = self.expect(200, bot.get(self.issue + "/timeline"))
        for event in (labeled, commented):
            self.assertEqual((event["actor"]["login"], event["actor"]["type"]), ("nodag[bot]", "Bot"))
            self.assertEqual(event["performed_via_github_app"]["slug"], "nodag")

    def test_what_an_installation_sees(self):
        bot, _ = self.token()
        listed = self.expect(200, bot.get("/installation/repositories?per_page=1"))
        self.assertEqual(([r["full_name"] for r in listed["repositories"]], listed["total_count"]),
                         (["acme/rocket"], 1))
        self.expect(404, bot.get("/repos/acme/secret"))
        self.expect(404, bot.get("/repos/acme/.github/contents/issue_label_bot.yaml"))
        self.expect(403, bot.get("/user"))
        self.admin("PATCH", f"installations/{self.installation}", {"add": ["acme/secret"]})
        self.expect(200, bot.get("/repos/acme/secret"))

    def test_a_public_repository_beyond_is_read_only(self):
        self.admin("POST", "repos", {"full_name": "other/thing"})
        self.act("open", "other/thing", title="x")
        bot, _ = self.token()
        self.expect(200, bot.get("/repos/other/thing/issues/1"))
        body = self.expect(403, bot.post("/repos/other/thing/issues/1/labels", {"labels": ["bug"]}))
        self.assertEqual(body["message"], "Resource not accessible by integration")

    def test_permissions_are_kept(self):
        reader, made = self.token({"permissions": {"issues": "read"}, "repositories": ["rocket"]})
        self.assertEqual([r["name"] for r in made["repositories"]], ["rocket"])
        self.expect(403, reader.post(self.issue + "/labels", {"labels": ["bug"]}))
        self.expect(422, self.jwt.post(f"/app/installations/{self.installation}/access_tokens",
                                       {"permissions": {"administration": "write"}}))
        self.expect(422, self.jwt.post(f"/app/installations/{self.installation}/access_tokens",
                                       {"repositories": ["secret"]}))

    def test_a_token_ends(self):
        self.admin("PATCH", "limits", {"token_ttl_s": 60})
        bot, _ = self.token()
        self.expect(200, bot.get(self.issue))
        self.admin("POST", "clock", {"advance_s": 61})
        self.assertEqual(self.expect(401, bot.get(self.issue))["message"], "Bad credentials")

    def test_suspended_and_uninstalled(self):
        bot, _ = self.token()
        self.admin("PATCH", f"installations/{self.installation}", {"suspended": True})
        self.expect(403, bot.get(self.issue))
        self.expect(403, self.jwt.post(f"/app/installations/{self.installation}/access_tokens"))
        self.admin("DELETE", f"installations/{self.installation}")
        self.expect(401, bot.get(self.issue))
        self.expect(404, self.jwt.get("/repos/acme/rocket/installation"))

    def test_a_locked_issue_takes_no_comment_of_a_bot(self):
        self.act("lock", issue=1)
        bot, _ = self.token()
        self.expect(403, bot.post(self.issue + "/comments", {"body": "x"}))
        self.expect(201, self.alice.post(self.issue + "/comments", {"body": "x"}))

    def test_the_sandbox_can_make_the_key(self):
        made = self.admin("POST", "apps", {"slug": "other"})
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(made["pem"])
            file.flush()
            client = self.client(Key.jwt(made["client_id"], key_path=file.name))
            self.assertEqual(self.expect(200, client.get("/app"))["slug"], "other")


if __name__ == "__main__":
    unittest.main()
