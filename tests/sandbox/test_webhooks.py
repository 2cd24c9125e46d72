"""Webhooks: who hears what, headers and signatures, the list of deliveries, redelivery, misbehaviour."""

import hashlib
import hmac
import json
import unittest
import urllib.parse

from fixture import ForgeTest, Key


class Webhooks(ForgeTest):
    def setUp(self):
        super().setUp()
        self.taker = self.receiver()

    def hook(self, **members):
        made = self.admin("POST", "hooks", {"url": self.taker.url, "secret": "s3cret",
                                            **(members or {"repository": "acme/rocket"})})
        self.settle()
        return made["id"]

    def test_headers_and_signature(self):
        hook = self.hook()
        self.act("open", title="Ünïcode ✓", **{"as": "bob"})
        self.settle()
        headers, body = self.taker.arrived[1]
        repo = self.anyone.get("/repos/acme/rocket").body["id"]
        self.assertEqual(headers["X-Hub-Signature-256"],
                         "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest())
        self.assertEqual(headers["X-Hub-Signature"], "sha1=" + hmac.new(b"s3cret", body, hashlib.sha1).hexdigest())
        self.assertEqual((headers["X-GitHub-Event"], headers["X-GitHub-Hook-ID"], headers["Content-Type"],
                          headers["X-GitHub-Hook-Installation-Target-Type"],
                          headers["X-GitHub-Hook-Installation-Target-ID"]),
                         ("issues", str(hook), "application/json", "repository", str(repo)))
        self.assertRegex(headers["X-GitHub-Delivery"], "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertTrue(headers["User-Agent"].startswith("GitHub-Hookshot/"))
        payload = json.loads(body)
        self.assertEqual((payload["action"], payload["issue"]["title"], payload["sender"]["login"],
                          payload["repository"]["full_name"], payload["organization"]["login"]),
                         ("opened", "Ünïcode ✓", "bob", "acme/rocket", "acme"))
        self.assertIn("Ünïcode ✓".encode(), body)

    def test_what_is_told(self):
        self.hook()
        self.act("label", issue=1, labels=["bug"])
        self.act("unlabel", issue=1, label="bug")
        self.act("edit", issue=1, title="New", body="new")
        comment = self.act("comment", issue=1, body="x")["comment"]["id"]
        self.act("edit_comment", issue=1, comment=comment, body="y")
        self.act("delete_comment", issue=1, comment=comment)
        self.act("close", issue=1)
        self.act("reopen", issue=1)
        self.act("open", title="Fix", pull_request=True)
        self.admin("POST", "repos/acme/rocket/files", {"files": {"x": "1"}})
        self.act("delete", issue=1)
        self.settle()
        self.assertEqual(sorted(self.taker.events(), key=str), sorted([
            ("ping", None), ("issues", "labeled"), ("issues", "unlabeled"), ("issues", "edited"),
            ("issue_comment", "created"), ("issue_comment", "edited"), ("issue_comment", "deleted"),
            ("issues", "closed"), ("issues", "reopened"), ("pull_request", "opened"), ("push", None),
            ("issues", "deleted")], key=str))
        changes = next(json.loads(b)["changes"] for h, b in self.taker.arrived if b.startswith(b'{"action":"edited"')
                       and h["X-GitHub-Event"] == "issues")
        self.assertEqual(changes, {"title": {"from": "It explodes"}, "body": {"from": "On the pad"}})

    def test_a_transfer_is_told_on_both_sides(self):
        self.admin("POST", "repos", {"full_name": "acme/pad"})
        self.hook(organization="acme")
        self.act("transfer", issue=1, to="acme/pad")
        self.settle()
        told = {json.loads(b).get("action"): json.loads(b) for _, b in self.taker.arrived}
        self.assertEqual(told["transferred"]["changes"]["new_repository"]["full_name"], "acme/pad")
        self.assertEqual(told["opened"]["changes"]["old_issue"]["number"], 1)
        self.assertEqual(told["opened"]["repository"]["full_name"], "acme/pad")

    def test_an_app_hears_of_its_repositories_with_its_installation(self):
        self.admin("POST", "apps", {"slug": "nodag", "public_key": Key.public(),
                                    "webhook": {"url": self.taker.url, "secret": "s3cret"}})
        made = self.admin("POST", "apps/nodag/installations", {"account": "acme", "repositories": ["acme/rocket"]})
        self.admin("POST", "repos", {"full_name": "acme/pad"})
        self.act("open", "acme/pad", title="unheard")
        self.act("open", title="heard")
        self.settle()
        self.assertEqual(sorted(self.taker.events(), key=str),
                         [("installation", "created"), ("issues", "opened"), ("ping", None)])
        headers, body = next(a for a in self.taker.arrived if a[0]["X-GitHub-Event"] == "issues")
        self.assertEqual(headers["X-GitHub-Hook-Installation-Target-Type"], "integration")
        self.assertEqual(json.loads(body)["installation"]["id"], made["id"])

    def test_all_hooks_of_one_event_share_its_guid(self):
        self.hook()
        self.hook(organization="acme")
        self.act("label", issue=1, label="bug")
        self.settle()
        guids = {h["X-GitHub-Delivery"] for h, b in self.taker.arrived if h["X-GitHub-Event"] == "issues"}
        hooks = {h["X-GitHub-Hook-ID"] for h, b in self.taker.arrived if h["X-GitHub-Event"] == "issues"}
        self.assertEqual((len(guids), len(hooks)), (1, 2))

    def test_quiet_and_history(self):
        self.hook()
        issue = self.act("open", title="old", at="2020-01-02T03:04:05Z", quiet=True)["issue"]
        self.settle()
        self.assertEqual(issue["created_at"], "2020-01-02T03:04:05Z")
        self.assertEqual(self.taker.events(), [("ping", None)])

    def test_a_hook_hears_what_it_asked_for_while_it_is_active(self):
        hook = self.hook(repository="acme/rocket", events=["issue_comment"])
        self.act("close", issue=1)
        self.act("comment", issue=1, body="x")
        self.settle()
        self.assertEqual(self.taker.events(), [("ping", None), ("issue_comment", "created")])
        self.admin("PATCH", f"hooks/{hook}", {"active": False})
        self.act("comment", issue=1, body="y")
        self.settle()
        self.assertEqual(len(self.taker.arrived), 2)

    def test_form_encoding(self):
        hook = self.hook()
        self.admin("PATCH", f"hooks/{hook}", {"content_type": "form"})
        self.act("close", issue=1)
        self.settle()
        headers, body = self.taker.arrived[1]
        self.assertEqual(headers["Content-Type"], "application/x-www-form-urlencoded")
        self.assertEqual(json.loads(urllib.parse.parse_qs(body.decode())["payload"][0])["action"], "closed")
        self.assertEqual(headers["X-Hub-Signature-256"],
                         "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest())

    def test_the_list_and_a_redelivery(self):
        hook, path = self.hook(), "/repos/acme/rocket/hooks"
        self.taker.status = 503
        self.act("label", issue=1, label="bug")
        self.settle()
        self.assertEqual(len(self.taker.arrived), 2, "GitHub does not try again by itself")
        failed = self.expect(200, self.alice.get(f"{path}/{hook}/deliveries?per_page=1"))[0]
        self.assertEqual((failed["status_code"], failed["event"], failed["action"], failed["redelivery"]),
                         (503, "issues", "labeled", False))
        self.taker.status = 202
        self.expect(202, self.alice.post(f"{path}/{hook}/deliveries/{failed['id']}/attempts"))
        self.settle()
        (old, old_body), (new, new_body) = self.taker.arrived[1:]
        self.assertEqual((old["X-GitHub-Delivery"], old_body), (new["X-GitHub-Delivery"], new_body))
        answer = self.alice.get(f"{path}/{hook}/deliveries?per_page=2")
        self.assertEqual([(d["redelivery"], d["status"]) for d in answer.body],
                         [(True, "OK"), (False, "Invalid HTTP Response: 503")])
        rest = self.alice.get(answer.headers["Link"].split(">")[0][1:].removeprefix(self.base))
        self.assertEqual([d["event"] for d in self.expect(200, rest)], ["ping"])
        one = self.expect(200, self.alice.get(f"{path}/{hook}/deliveries/{failed['id']}"))
        self.assertEqual(one["request"]["payload"]["label"]["name"], "bug")
        self.expect(404, self.client("mallory-token").get(f"{path}/{hook}/deliveries"))

    def test_an_app_and_an_organisation_list_theirs(self):
        app = self.admin("POST", "apps", {"slug": "nodag", "public_key": Key.public(),
                                          "webhook": {"url": self.taker.url}})
        hook = self.hook(organization="acme")
        jwt = self.client(Key.jwt(app["client_id"]))
        for client, path in ((jwt, "/app/hook"), (self.alice, f"/orgs/acme/hooks/{hook}")):
            listed = self.expect(200, client.get(path + "/deliveries"))
            self.assertEqual([d["event"] for d in listed], ["ping"])
            self.expect(202, client.post(f"{path}/deliveries/{listed[0]['id']}/attempts"))
        self.settle()
        self.assertEqual(len(self.taker.arrived), 4)

    def test_a_receiver_that_is_away(self):
        hook = self.hook()
        self.taker.stop()
        self.act("close", issue=1)
        self.settle()
        newest = self.admin("GET", f"deliveries?hook={hook}")["deliveries"][0]
        self.assertEqual((newest["status_code"], newest["action"]), (502, "closed"))

    def test_misbehaviour(self):
        self.hook()
        for kind, arrivals in (("webhook_drop", 0), ("webhook_duplicate", 2), ("webhook_delay", 1),
                               ("webhook_bad_signature", 1)):
            with self.subTest(kind):
                self.taker.arrived.clear()
                fault = {"kind": kind, "event": "issues", "count": 1, **({"ms": 5} if "delay" in kind else {})}
                self.admin("POST", "faults", fault)
                self.act("edit", issue=1, body=kind)
                self.settle()
                self.assertEqual(len(self.taker.arrived), arrivals)
        headers, body = self.taker.arrived[0]
        self.assertNotEqual(headers["X-Hub-Signature-256"],
                            "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest())

    def test_any_payload_can_be_sent(self):
        hook = self.hook()
        self.admin("POST", "deliver", {"hook": hook, "event": "star", "payload": '{"odd":  "\\u0000"}',
                                       "guid": "72d3162e-cc78-11e3-81ab-4c9367dc0958"})
        self.settle()
        headers, body = self.taker.arrived[1]
        self.assertEqual((headers["X-GitHub-Delivery"], body),
                         ("72d3162e-cc78-11e3-81ab-4c9367dc0958", b'{"odd":  "\\u0000"}'))


if __name__ == "__main__":
    unittest.main()
