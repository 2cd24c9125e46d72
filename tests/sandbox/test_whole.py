"""The sandbox as a whole: git over HTTP, keeping its state, the log, the pages, the command."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from fixture import DEADLINE_S, SANDBOX, Client, Forge, ForgeTest

GIT_ENV = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
           "GIT_TERMINAL_PROMPT": "0", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
           "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org"}


class Git(ForgeTest):
    def git(self, *arguments, check=True):
        return subprocess.run(["git", "-C", self.folder, *arguments], env={**GIT_ENV, "HOME": self.folder},
                              check=check, capture_output=True, text=True, timeout=30)

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="sandbox-git-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.remote = self.base.replace("://", "://x-access-token:alice-token@") + "/acme/rocket.git"

    def test_clone_push_and_what_is_told(self):
        taker = self.receiver()
        self.admin("POST", "hooks", {"repository": "acme/rocket", "url": taker.url, "events": ["push"],
                                     "ping": False})
        self.git("clone", "-q", f"{self.base}/acme/rocket", ".")
        old = self.git("rev-parse", "HEAD").stdout.strip()
        with open(os.path.join(self.folder, "big.bin"), "wb") as file:
            file.write(os.urandom(2_000_000))        # larger than http.postBuffer: git sends it in chunks
        with open(os.path.join(self.folder, "README.md"), "a", encoding="utf-8") as file:
            file.write("more\n")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "Two files")
        self.git("push", "-q", self.remote, "HEAD:main", "HEAD:refs/heads/other")
        new = self.git("rev-parse", "HEAD").stdout.strip()
        self.settle()
        pushes = {json.loads(body)["ref"]: json.loads(body) for _, body in taker.arrived}
        main = pushes["refs/heads/main"]
        self.assertEqual((main["before"], main["after"], main["created"], main["pusher"]["name"]),
                         (old, new, False, "alice"))
        self.assertEqual([(c["added"], c["modified"], c["message"]) for c in main["commits"]],
                         [(["big.bin"], ["README.md"], "Two files")])
        self.assertTrue(pushes["refs/heads/other"]["created"])
        body = self.expect(200, self.anyone.get("/repos/acme/rocket/contents/README.md?ref=other"))
        self.assertEqual(body["size"], len("# Rocket\nmore\n"))

    def test_a_forced_push_says_so(self):
        taker = self.receiver()
        self.admin("POST", "repos/acme/rocket/files", {"files": {"x": "1"}})
        self.admin("POST", "hooks", {"repository": "acme/rocket", "url": taker.url, "ping": False})
        self.git("clone", "-q", f"{self.base}/acme/rocket", ".")
        self.git("push", "-q", "--force", self.remote, "HEAD~1:main")
        self.settle()
        self.assertTrue(json.loads(taker.arrived[0][1])["forced"])

    def test_git_misbehaves_and_is_logged_too(self):
        self.admin("POST", "faults", {"kind": "status", "status": 503, "path": "*/info/refs", "count": 1})
        self.assertNotEqual(self.git("ls-remote", self.remote, check=False).returncode, 0)
        self.assertIn("refs/heads/main", self.git("ls-remote", self.remote).stdout)
        found = self.admin("GET", "requests?path=*/info/refs")["requests"]
        self.assertEqual([(e["route"], e["status"]) for e in found][0], ("git", 503))

    def test_who_may_not(self):
        self.git("init", "-q", ".")
        bad = self.base.replace("://", "://x:mallory-token@") + "/acme/rocket.git"
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        for remote in (f"{self.base}/acme/rocket.git", bad):
            self.assertNotEqual(self.git("push", "-q", remote, "HEAD:main", check=False).returncode, 0)
        self.admin("PATCH", "repos/acme/rocket", {"private": True})
        self.assertNotEqual(self.git("ls-remote", f"{self.base}/acme/rocket", check=False).returncode, 0)
        self.assertIn("refs/heads/main", self.git("ls-remote", self.remote).stdout)


class Keeping(unittest.TestCase):
    def test_a_second_run_keeps_the_data(self):
        with tempfile.TemporaryDirectory() as folder:
            path, seen = os.path.join(folder, "state.json"), []
            for run in range(2):
                forge = Forge(state_path=path)
                client = Client(forge.start(poll_s=0.02))
                if run == 0:
                    client.post("/_sandbox/repos", {"full_name": "acme/rocket", "files": {"a": "b\n"}})
                    client.post("/_sandbox/act", {"do": "open", "repository": "acme/rocket", "title": "kept"})
                body = client.get("/_sandbox/issues/acme/rocket/1").body
                seen.append((body["issue"]["id"], body["issue"]["title"],
                             client.get("/_sandbox/repos/acme/rocket/files").body))
                client.close()
                forge.stop()
            self.assertEqual(seen[0], seen[1])
            self.assertEqual(seen[0][2], {"a": "b\n"})


class Looking(ForgeTest):
    def test_the_log_of_requests(self):
        self.alice.get(self.issue)
        last = self.admin("GET", "requests")["last"]
        self.alice.post(self.issue + "/labels", {"labels": ["bug"]})
        found = self.admin("GET", f"requests?since={last}&actor=alice&path=/repos/*/labels")["requests"]
        self.assertEqual([(e["method"], e["route"], e["status"], e["body"]) for e in found],
                         [("POST", "/repos/{owner}/{repo}/issues/{number}/labels", 200, '{"labels": ["bug"]}')])
        stats = self.admin("GET", "stats")
        self.assertEqual((stats["reads"], stats["writes"], stats["by_actor"]), (1, 1, {"alice": 2}))
        self.admin("POST", "requests/clear")
        self.assertEqual(self.admin("GET", "stats")["requests"], {})

    def test_pages_escape_and_act(self):
        self.act("open", title="<script>alert(1)</script>", body="<!-- marker -->\n| a | b |\n|---|---|\n| <i> | 2 |")
        page = self.anyone.get("/acme/rocket/issues/2").raw.decode()
        self.assertNotIn("<script>", page)
        self.assertNotIn("marker", page)
        self.assertIn("<td>&lt;i&gt;</td>", page)
        foreign = self.anyone.ask("POST", "/_sandbox/reset", {}, {"Origin": "http://elsewhere.example"})
        self.expect(403, foreign)
        for path in ("/acme/rocket/issues", "/acme/rocket/issues?state=all", "/acme"):
            self.expect(200, self.anyone.get(path))
        self.assertIn("acme/rocket", self.anyone.get("/", Accept="text/html").raw.decode())
        self.expect(404, self.anyone.get("/acme/none/issues"))
        self.expect(303, self.anyone.post("/acme/rocket/issues/2", b"do=label&label=bug&as=carol"))
        self.assertEqual(self.labels(2), ["bug"])
        answer = self.anyone.ask("POST", "/acme/rocket/issues/2", b"do=unlabel&label=bug",
                                 {"Origin": "http://elsewhere.example"})
        self.expect(422, answer)
        self.assertEqual(self.labels(2), ["bug"])

    def test_the_page_of_code(self):
        sha = self.admin("POST", "repos/acme/rocket/files", {"files": {"nodag/model.yaml": "kind: <Model>\n"},
                                                             "message": "A <model>", "as": "alice"})["commit"]
        page = self.expect_text("/acme/rocket/code")
        for text in ("nodag/model.yaml", "kind: &lt;Model&gt;", "A &lt;model&gt;", sha[:12], "by alice"):
            self.assertIn(text, page)
        self.assertNotIn("<Model>", page)
        self.assertIn("/acme/rocket/code", self.expect_text("/acme/rocket/issues"))
        self.admin("POST", "repos", {"full_name": "acme/empty"})
        self.assertIn("None.", self.expect_text("/acme/empty/code"))
        self.assertNotIn("/acme/empty/code", self.expect_text("/acme/empty/issues"))

    def expect_text(self, path):
        answer = self.anyone.get(path)
        self.expect(200, answer)
        return answer.raw.decode()

    def test_mistakes_are_explained(self):
        for method, path, body, status, words in (
                ("POST", "act", {"do": "dance", "repository": "acme/rocket"}, 422, "do must be one of"),
                ("POST", "act", {"do": "open", "repository": "acme/none", "title": "x"}, 404, "no repository"),
                ("POST", "act", {"do": "label", "repository": "acme/rocket", "issue": 9, "label": "x"}, 404,
                 "no issue"),
                ("POST", "repos", {"full_name": "acme"}, 422, "owner/name"), ("GET", "nothing", None, 404, "README"),
                ("POST", "hooks", {"url": "http://127.0.0.1:1/"}, 422, "whose hook"),
                ("DELETE", "act", None, 405, "POST")):
            with self.subTest(path=path, body=body):
                self.assertIn(words, self.admin(method, path, body, expect=status)["message"])

    def test_a_list_of_acts(self):
        acts = [{"do": "open", "repository": "acme/rocket", "title": f"n{n}"} for n in range(3)]
        self.assertEqual([a["issue"]["number"] for a in self.admin("POST", "act", acts)], [2, 3, 4])
        message = self.admin("POST", "act", [acts[0], {"do": "x"}, acts[1]], expect=422)["message"]
        self.assertIn("act 1 of 3", message)

    def test_where_deliveries_come_from(self):
        first = self.anyone.get("/meta")
        self.assertEqual(self.expect(200, first)["hooks"], ["127.0.0.0/8", "::1/128"])
        tag = {"If-None-Match": first.headers["ETag"]}
        self.expect(304, self.anyone.ask("GET", "/meta", None, tag))
        self.admin("PATCH", "meta", {"hooks": ["192.0.2.0/24"]})
        self.assertEqual(self.expect(200, self.anyone.ask("GET", "/meta", None, tag))["hooks"], ["192.0.2.0/24"])
        self.admin("PATCH", "meta", {}, expect=422)

    def test_reset(self):
        self.admin("POST", "reset")
        self.admin("GET", "issues/acme/rocket", expect=404)


class Command(unittest.TestCase):
    def test_it_starts_says_where_and_stops(self):
        with tempfile.TemporaryDirectory() as folder:
            ready = os.path.join(folder, "ready")
            child = subprocess.Popen([sys.executable, os.path.join(SANDBOX, "forge.py"), "--port", "0",
                                      "--ready-file", ready, "--state", os.path.join(folder, "s.json")],
                                     stdout=subprocess.DEVNULL)
            try:
                deadline = time.monotonic() + DEADLINE_S
                while not os.path.exists(ready) and time.monotonic() < deadline:
                    time.sleep(0.01)
                with open(ready, encoding="utf-8") as file:
                    base = file.read().strip()
                client = Client(base)
                self.assertEqual(client.get("/_sandbox/health").body, {"ok": True, "url": base})
                client.post("/_sandbox/orgs", {"login": "acme"})
                client.close()
            finally:
                child.send_signal(signal.SIGTERM)
                status = child.wait(DEADLINE_S)
            self.assertEqual(status, 0)
            with open(os.path.join(folder, "s.json"), encoding="utf-8") as file:
                self.assertIn("acme", json.load(file)["accounts"])


if __name__ == "__main__":
    unittest.main()
