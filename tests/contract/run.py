#!/usr/bin/env python3
"""The contract test: both sides of nodag's talk with GitHub, held to GitHub's own OpenAPI description.

    tests/contract/run.py                     drives the sandbox with every request that nodag's forge client makes (and
                                              those that people's tools make), through prism: requests, answers and
                                              webhook payloads must be valid by the description. Then the same with the
                                              real nodag-labeler and nodag import between Kafka and prism (test_labeler.py,
                                              test_importer.py)
    tests/contract/run.py -- COMMAND…         starts sandbox and proxy, runs COMMAND with SANDBOX_URL (the sandbox
                                              itself, for the admin API and git) and GITHUB_API_URL (the proxy, for the
                                              client under test) in its environment, then reports what prism objected to
    tests/contract/run.py --install           only fills the cache (NODAG_CACHE, default ~/.cache/nodag)

    tests/contract/run.py -k PATTERN          only the tests whose names match, as with Python's unittest

Exit status: 0 nothing objected to, 1 something, 77 it cannot run here (the reason is printed; a skip, not a success).
In a test of your own: `from contract_proxy import ContractProxy`, see there.
"""

import argparse
import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "sandbox")]

from contract_proxy import ContractProxy, Unavailable, install      # noqa: E402  (after the path above)
from fixture import Client, Forge, Key, Receiver                     # noqa: E402
import test_importer                                                 # noqa: E402
import test_labeler                                                  # noqa: E402

SKIP = 77                    # what test harnesses take for "skipped"
REPO = "/repos/acme/rocket"
ISSUE = f"{REPO}/issues/1"
CONFIGURATION = "predicted-labels: [bug, area/x]\n"


class Contract(unittest.TestCase):
    """One sandbox and one prism for all tests: a person's, an App's and an installation's client."""

    @classmethod
    def setUpClass(cls):
        cls.forge = Forge()
        cls.sandbox = Client(cls.forge.start())
        cls.taker = Receiver()
        cls.set_up_world()
        cls.proxy = ContractProxy(cls.forge.base)
        cls.jwt = Client(cls.proxy.base_url, Key.jwt(cls.app["client_id"]))
        cls.alice = Client(cls.proxy.base_url, "alice-token")
        token = cls.jwt.post(f"/app/installations/{cls.installation}/access_tokens").body["token"]
        cls.bot = Client(cls.proxy.base_url, token)

    @classmethod
    def tearDownClass(cls):
        cls.proxy.stop()
        cls.taker.stop()
        cls.forge.stop()

    @classmethod
    def admin(cls, path, body):
        answer = cls.sandbox.post(f"/_sandbox/{path}", body)
        assert answer.status == 200, answer.body
        return answer.body

    @classmethod
    def act(cls, do, repository="acme/rocket", **members):
        return cls.admin("act", {"do": do, "repository": repository, **members})

    @classmethod
    def set_up_world(cls):
        cls.admin("users", {"login": "alice", "token": "alice-token", "member_of": ["acme"]})
        cls.admin("repos", {"full_name": "acme/rocket", "description": "Up", "labels": [
            "bug", {"name": "area/x", "color": "0e8a16", "description": "The x"}, "question"],
            "files": {".github/issue_label_bot.yaml": CONFIGURATION, "README.md": "# Rocket\n"}})
        cls.admin("repos", {"full_name": "acme/pad"})
        cls.hook = cls.admin("hooks", {"organization": "acme", "url": cls.taker.url, "secret": "s3"})["id"]
        cls.repo_hook = cls.admin("hooks", {"repository": "acme/rocket", "url": cls.taker.url, "secret": "s3"})["id"]
        cls.app = cls.admin("apps", {"slug": "nodag", "public_key": Key.public(),
                                     "webhook": {"url": cls.taker.url, "secret": "s3"}})
        cls.installation = cls.admin("apps/nodag/installations",
                                     {"account": "acme", "repositories": ["acme/rocket"]})["id"]
        cls.act("open", title="It explodes", body="On the pad", labels=["bug"], **{"as": "bob"})
        cls.act("open", title="Fix", body=None, pull_request=True)

    def setUp(self):
        self.before = len(self.proxy.violations())

    def tearDown(self):
        found = self.proxy.violations()[self.before:]
        self.assertEqual(found, [], "prism objects")

    def expect(self, status, answer):
        self.assertEqual(answer.status, status, answer.body or answer.raw)
        return answer.body

    def test_aa_prism_objects(self):
        """Or the rest would prove nothing. Runs first, by its name."""
        self.expect(422, self.bot.post(f"{ISSUE}/comments", {"text": "no body"}))
        self.expect(404, self.bot.get(f"{REPO}/nothing/of/the/kind"))
        for path, wrong in ((ISSUE, {"number": "one"}), (f"{ISSUE}/timeline", [{"event": "labeled"}]),
                            (f"{REPO}/labels", [{"name": 1}]), (REPO, {"id": "x"})):
            self.admin("faults", {"kind": "status", "status": 200, "body": json.dumps(wrong), "count": 1})
            self.expect(500, self.bot.get(path))
        for event, action in (("issues", "opened"), ("issue_comment", "created")):
            self.proxy.check_delivery({"X-GitHub-Event": event, "Content-Type": "application/json"},
                                      json.dumps({"action": action}).encode())
        found = self.proxy.violations()[self.before:]
        self.assertEqual([v["side"] for v in found], ["request"] * 2 + ["answer"] * 4 + ["request"] * 2, found)
        self.before = len(self.proxy.violations())

    # ---- what nodag's forge client asks ----

    def test_the_app_and_its_installations(self):
        self.assertEqual(self.expect(200, self.jwt.get("/app"))["slug"], "nodag")
        for path in ("/app/installations", f"{REPO}/installation", "/orgs/acme/installation",
                     f"/app/installations/{self.installation}"):
            self.expect(200, self.jwt.get(path))
        made = self.expect(201, self.jwt.post(f"/app/installations/{self.installation}/access_tokens",
                                              {"repositories": ["rocket"], "permissions": {"issues": "write"}}))
        self.assertTrue(made["token"].startswith("ghs_"))
        self.expect(404, self.jwt.get("/repos/acme/pad/installation"))
        self.expect(404, self.jwt.post("/app/installations/1/access_tokens"))

    def test_what_an_installation_lists(self):
        body = self.expect(200, self.bot.get("/installation/repositories?per_page=100&page=1"))
        self.assertEqual([r["full_name"] for r in body["repositories"]], ["acme/rocket"])

    def test_whole_api(self):
        self.expect(200, self.alice.get("/user"))
        self.expect(200, self.bot.get("/rate_limit"))
        self.expect(200, self.bot.get("/meta"))
        self.expect(200, self.bot.get("/users/alice"))
        self.expect(403, self.bot.get("/user"))

    def test_repository_and_issue(self):
        repo = self.expect(200, self.bot.get(REPO))
        issue = self.bot.get(ISSUE)
        self.assertEqual(self.expect(200, issue)["title"], "It explodes")
        self.expect(304, self.bot.get(ISSUE, **{"If-None-Match": issue.headers["ETag"]}))
        self.expect(200, self.bot.get(f"/repositories/{repo['id']}/issues/1"))
        self.expect(404, self.bot.get(f"{REPO}/issues/999"))
        self.assertIn("pull_request", self.expect(200, self.bot.get(f"{REPO}/issues/2")))
        self.expect(200, self.bot.get(f"{REPO}/issues?state=all&sort=updated&direction=asc&per_page=100"))
        self.expect(200, self.bot.get(f"{REPO}/issues?since=2020-01-01T00:00:00Z&labels=bug"))
        self.expect(401, Client(self.proxy.base_url, "no token").get(ISSUE))

    def test_labels(self):
        number = self.act("open", title="Labels")["issue"]["number"]
        path = f"{REPO}/issues/{number}/labels"
        self.expect(200, self.bot.get(f"{REPO}/labels?per_page=100"))
        self.expect(200, self.bot.post(path, {"labels": ["bug", "area/x"]}))
        self.expect(200, self.bot.get(path))
        left = self.expect(200, self.bot.ask("DELETE", f"{path}/area%2Fx"))
        self.assertEqual([label["name"] for label in left], ["bug"])
        self.expect(404, self.bot.ask("DELETE", f"{path}/area%2Fx"))

    def test_comments(self):
        made = self.expect(201, self.bot.post(f"{ISSUE}/comments", {"body": "<!-- marker -->\n| a |\n|---|\n"}))
        path = f"{REPO}/issues/comments/{made['id']}"
        self.expect(200, self.bot.ask("PATCH", path, {"body": "changed"}))
        self.expect(200, self.bot.get(path))
        self.expect(200, self.bot.get(f"{ISSUE}/comments?per_page=100"))
        self.expect(200, self.bot.get(f"{REPO}/issues/comments?sort=updated&since=2020-01-01T00:00:00Z"))
        self.expect(204, self.bot.ask("DELETE", path))

    def test_timeline_of_everything(self):
        number = self.act("open", title="Old", labels=["bug"])["issue"]["number"]
        where = {"issue": number}
        self.act("unlabel", label="bug", **where)
        self.act("edit", title="New", **where)
        kept = self.act("comment", body="kept", **where)
        gone = self.act("comment", body="gone", **where)["comment"]["id"]
        self.act("delete_comment", comment=gone, **where)
        self.act("close", **where)
        self.act("reopen", **where)
        self.act("lock", **where)
        self.act("unlock", **where)
        self.expect(200, self.bot.post(f"{REPO}/issues/{number}/labels", {"labels": ["area/x"]}))
        moved = self.act("transfer", to="acme/pad", **where)["issue"]["number"]
        for tail in ("timeline", "events"):
            self.expect(200, self.alice.get(f"/repos/acme/pad/issues/{moved}/{tail}?per_page=100"))
        self.expect(200, self.alice.get(f"{REPO}/issues/events"))
        self.assertEqual(kept["comment"]["body"], "kept")

    def test_contents(self):
        body = self.expect(200, self.bot.get(f"{REPO}/contents/.github/issue_label_bot.yaml"))
        self.assertEqual((body["type"], body["encoding"]), ("file", "base64"))
        self.expect(200, self.bot.get(f"{REPO}/contents/.github"))
        self.expect(404, self.bot.get(f"{REPO}/contents/.github/none.yaml"))
        self.expect(404, self.bot.get("/repos/acme/.github/contents/issue_label_bot.yaml"))

    def test_limits(self):
        for fault, status in (({"kind": "secondary"}, 403), ({"kind": "secondary", "status": 429}, 429),
                              ({"kind": "primary"}, 403), ({"kind": "status", "status": 502}, 502)):
            for method, path, body in (("GET", ISSUE, None), ("POST", f"{ISSUE}/labels", {"labels": ["bug"]}),
                                       ("GET", f"{ISSUE}/timeline", None)):
                self.admin("faults", {**fault, "count": 1})
                self.expect(status, self.bot.ask(method, path, body))

    def test_gone(self):
        number = self.act("open", title="Gone")["issue"]["number"]
        self.act("delete", issue=number)
        self.expect(410, self.bot.get(f"{REPO}/issues/{number}"))
        self.expect(410, self.bot.post(f"{REPO}/issues/{number}/labels", {"labels": ["bug"]}))

    # ---- what the backfiller will ask, and what people's tools do ----

    def test_hooks_and_deliveries(self):
        self.assertTrue(self.forge.hooks.wait_idle(10))
        repo_hook, org_hook = f"{REPO}/hooks/{self.repo_hook}", f"/orgs/acme/hooks/{self.hook}"
        for client, place in ((self.alice, repo_hook), (self.alice, org_hook), (self.jwt, "/app/hook")):
            listed = self.expect(200, client.get(f"{place}/deliveries?per_page=5"))
            delivery = f"{place}/deliveries/{listed[-1]['id']}"
            self.expect(200, client.get(delivery))
            self.expect(202, client.post(f"{delivery}/attempts"))
        for path in (repo_hook, f"{REPO}/hooks", org_hook, "/orgs/acme/hooks"):
            self.expect(200, self.alice.get(path))
        self.expect(200, self.jwt.get("/app/hook/config"))

    def test_people(self):
        made = self.expect(201, self.alice.post(f"{REPO}/issues", {"title": "By a person", "labels": ["bug"]}))
        path = f"{REPO}/issues/{made['number']}"
        self.expect(200, self.alice.ask("PATCH", path, {"state": "closed", "state_reason": "not_planned"}))
        self.expect(200, self.alice.ask("PUT", f"{path}/labels", {"labels": ["question"]}))
        self.expect(204, self.alice.ask("PUT", f"{path}/lock", {"lock_reason": "resolved"}))
        self.expect(201, self.alice.post(f"{REPO}/labels", {"name": "new", "color": "ff0000"}))
        self.expect(422, self.alice.post(f"{REPO}/labels", {"name": "new", "color": "ff0000"}))
        self.expect(204, self.alice.ask("DELETE", f"{REPO}/labels/new"))

    # ---- webhook payloads ----

    def test_zz_every_delivery_so_far_is_as_described(self):
        """Runs last, by its name: what all tests made happen was delivered here."""
        number = self.act("open", title="Told")["issue"]["number"]
        comment = self.act("comment", issue=number, body="x")["comment"]["id"]
        self.act("edit_comment", issue=number, comment=comment, body="y")
        self.act("delete_comment", issue=number, comment=comment)
        self.admin("repos/acme/rocket/files", {"files": {"x": "1"}})
        self.sandbox.ask("PATCH", "/_sandbox/repos/acme/pad", {"name": "launchpad", "private": True})
        for change in ({"add": ["acme/launchpad"]}, {"remove": ["acme/launchpad"]}, {"suspended": True},
                       {"suspended": False}):
            self.sandbox.ask("PATCH", f"/_sandbox/installations/{self.installation}", change)
        self.assertTrue(self.forge.hooks.wait_idle(10))
        told = {}
        for headers, body in self.taker.arrived:
            key = (headers["X-GitHub-Event"], json.loads(body).get("action"),
                   headers["X-GitHub-Hook-Installation-Target-Type"])
            told.setdefault(key, (headers, body))
        self.assertGreater(len(told), 30, sorted(map(str, told)))
        for headers, body in told.values():
            if headers["X-GitHub-Event"] != "pull_request":     # the sandbox has them in outline only
                self.proxy.check_delivery(headers, body)


def run_command(command):
    """Runs a command between sandbox and proxy; 1 when it failed or prism objected."""
    forge = Forge()
    forge.start()
    with ContractProxy(forge.base) as proxy:
        done = subprocess.run(command, check=False, env={**os.environ, "SANDBOX_URL": forge.base,
                                                         "GITHUB_API_URL": proxy.base_url})
        for shape, count in sorted(proxy.seen.items()):
            print(f"contract: {count:5} {shape}")
        found = proxy.violations()
    forge.stop()
    for violation in found:
        print("contract: objection:", json.dumps(violation, ensure_ascii=False))
    print(f"contract: {len(found)} objections; the command's exit status was {done.returncode}")
    return 1 if found or done.returncode else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="only fill the cache")
    parser.add_argument("-k", action="append", dest="patterns", metavar="PATTERN", help="run the tests that match")
    parser.add_argument("command", nargs="*", help="a command to run between sandbox and proxy")
    options = parser.parse_args()
    try:
        install()
        if options.install:
            return 0
        if options.command:
            return run_command(options.command)
    except Unavailable as error:
        print(f"skipped: {error}")
        return SKIP
    return run_tests(options.patterns)


class Counted(unittest.TextTestResult):
    """Counts what passed: unittest itself only counts what was started, skipped tests and failed subtests too."""

    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def run_tests(patterns=None):
    """Runs the tests of this file and of the labeler; prints each skip with its reason, and the totals last."""
    loader = unittest.TestLoader()
    loader.testNamePatterns = [text if "*" in text else f"*{text}*" for text in patterns or []] or None
    modules = (sys.modules[__name__], test_labeler, test_importer)
    suite = unittest.TestSuite([loader.loadTestsFromModule(module) for module in modules])
    result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Counted).run(suite)
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}")
    bad = {str(getattr(test, "test_case", test)) for test, _ in result.failures + result.errors}
    print(f"{result.passed} passed, {len(bad)} failed, {len(result.skipped)} skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
