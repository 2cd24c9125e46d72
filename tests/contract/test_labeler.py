"""The real nodag-labeler, held to GitHub's OpenAPI description: with prism between it and the sandbox, every request
that it makes and every answer that it gets is valid.

Design: once as a GitHub App, once with a token of a machine account; people's acts on the sandbox make it call all
that its forge client can. CALLS lists each operation of reactors/clients with the answers that must have been met; a
test reads the operations out of the C code, so that a new one without a line here fails. Tests of a class share one
stack and run in the order of their names; the last looks at everything that was asked.

Run alone: python3 -m unittest discover -s tests/contract -k Labeler
"""
import re
import unittest
from functools import partial

import test_importer
from labeler_stack import ROOT, Ground, LabelerStack, issue_text

from fixture import Key

APP, TOKEN = "app", "token"
REPO = "/repos/{owner}/{repo}"
ISSUE = REPO + "/issues/{number}"
TIMELINE_PAGE = 100          # entries of a page
LABELS_PAGE = 100

# Operation in reactors/clients, how it proves who it is (None: both ways), method, route, answers that must be met.
CALLS = [
    ("identity_lookup", APP, "GET", "/app", {200}),
    ("identity_lookup", TOKEN, "GET", "/user", {200}),
    ("installation_lookup", APP, "GET", REPO + "/installation", {200, 404}),
    ("token_lookup", APP, "POST", "/app/installations/{installation}/access_tokens", {201}),
    ("visibility_lookup", TOKEN, "GET", REPO, {304, 404}),
    ("repository_operation", None, "GET", REPO, {200}),
    ("labels_operation", None, "GET", REPO + "/labels", {200, 304}),
    ("file_operation", None, "GET", REPO + "/contents/{path*}", {200, 304, 404}),
    ("issue_operation", None, "GET", ISSUE, {200, 301, 401, 403, 410, 502}),
    ("timeline_operation", None, "GET", ISSUE + "/timeline", {200}),
    ("add_labels_operation", None, "POST", ISSUE + "/labels", {200, 429}),
    ("remove_label_operation", None, "DELETE", ISSUE + "/labels/{name}", {200, 404}),
    ("create_comment_operation", None, "POST", ISSUE + "/comments", {201, 403}),
    ("edit_comment_operation", None, "PATCH", REPO + "/issues/comments/{comment}", {200, 404}),
    ("delete_comment_operation", None, "DELETE", REPO + "/issues/comments/{comment}", {204, 404}),
]
WITHOUT_REQUEST = {"identity_operation"}     # asks by its lookup
PAGED = [REPO + "/labels", ISSUE + "/timeline"]

BUG = issue_text("kind/bug", "area/serving")
BUG_LABELS = ["area/serving", "kind/bug"]
QUESTION = issue_text("kind/question", "area/katib")
QUESTION_LABELS = ["area/katib", "kind/question"]
LABELS = [*BUG_LABELS, *QUESTION_LABELS, "area/jupyter", "area/pipelines", "kind/feature"]
CONFIGURATION = {".github/issue_label_bot.yaml": f"predicted-labels: [{', '.join(LABELS)}]\n"}

ground = None


def setUpModule():
    global ground
    ground = Ground()


def tearDownModule():
    ground.stop()


class TheTable(unittest.TestCase):
    """CALLS against the code."""

    def test_every_operation_of_the_forge_client_is_in_it(self):
        found = set()
        for path in sorted((ROOT / "reactors" / "clients").glob("forge*.c")):
            found |= set(re.findall(r"^static const struct forge_operation (\w+) = \{", path.read_text(), re.MULTILINE))
        of_importer = {call[0] for call in test_importer.CALLS}
        self.assertEqual(found, {call[0] for call in CALLS} | of_importer | WITHOUT_REQUEST)


class Scenarios:
    """What people do in both ways of proving who nodag is. MODE, LOGIN and FILES are set by the classes below."""

    MODE = LOGIN = ""

    @classmethod
    def setUpClass(cls):
        cls.stack = LabelerStack(ground, cls.MODE)
        try:
            cls.set_up_world()
            cls.start()
        except BaseException:
            cls.stack.stop()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.stack.stop()

    @classmethod
    def set_up_world(cls):
        """acme/rocket with more labels than fit on a page, acme/pad with few; FILES says who has a configuration."""
        stack = cls.stack
        many = [*LABELS, *(f"zone/{number}" for number in range(LABELS_PAGE))]
        stack.set_up("repos", {"full_name": "acme/rocket", "labels": many, "files": cls.FILES["acme/rocket"]})
        stack.set_up("repos", {"full_name": "acme/pad", "labels": LABELS, "files": cls.FILES["acme/pad"]})
        stack.set_up("repos", {"full_name": "other/secret", "labels": LABELS, "private": True})
        stack.set_up("hooks", {"repository": "other/secret", "url": stack.hook_url, "secret": "contract"})

    def setUp(self):
        self.before = len(self.stack.proxy.violations())
        self.stack.forget()

    def tearDown(self):
        self.assertEqual(self.stack.proxy.violations()[self.before:], [], "prism objects")

    def opened(self, text=BUG, **members):
        """An issue that somebody opened and nodag is done with; its number."""
        with self.stack.ends("done"):
            return self.stack.open(text, **members)

    def test_opened_and_edited(self):
        stack = self.stack
        number = self.opened()
        labels, comments = stack.look(number)
        self.assertEqual((labels, len(comments)), (BUG_LABELS, 1))
        with stack.ends("done"):
            stack.act("edit", issue=number, **QUESTION, **{"as": "bob"})
        labels, comments = stack.look(number)
        self.assertEqual((labels, len(comments)), (QUESTION_LABELS, 1))
        stack.wait_for("PATCH", "/repos/acme/rocket/issues/comments/*", 200)

    def test_an_issue_of_the_repository_that_is_otherwise_configured(self):
        number = self.opened(repository="acme/pad")
        self.assertEqual(self.stack.look(number, "acme/pad")[0], BUG_LABELS)

    def test_a_timeline_of_several_pages(self):
        stack = self.stack
        number = stack.open(BUG, quiet=True)
        for _ in range(TIMELINE_PAGE + 1):
            stack.act("comment", issue=number, body="me too", quiet=True, **{"as": "ann"})
        with stack.ends("done"):
            stack.act("edit", issue=number, title=BUG["title"] + "!", **{"as": "bob"})
        pages = stack.requests("GET", f"*/issues/{number}/timeline", 200)
        self.assertEqual(len(pages), 2)
        self.assertEqual(stack.look(number)[0], BUG_LABELS)

    def test_a_push_makes_it_ask_again_by_etag(self):
        stack = self.stack
        self.opened()
        stack.forget()
        stack.set_up("repos/acme/rocket/files", {"files": {"README.md": f"after request {stack.mark}\n"}})
        self.assertTrue(stack.sandbox.deliveries_are_done(10))
        # The push and the issue may lie in different partitions: so ask until the push was noticed.
        for _ in range(20):
            self.opened()
            if stack.requests("GET", "/repos/acme/rocket/labels", 304):
                break
        self.assertEqual(len(stack.requests("GET", "/repos/acme/rocket/labels", 304)), 2, "both pages")

    def test_gone_before_it_was_looked_at(self):
        stack = self.stack
        number = stack.open(BUG, quiet=True)
        with stack.ends("done"):
            stack.sandbox.act({"do": "edit", "repository": "acme/rocket", "issue": number, "title": "x", "as": "bob"},
                              {"do": "delete", "repository": "acme/rocket", "issue": number, "quiet": True})
        stack.wait_for("GET", f"/repos/acme/rocket/issues/{number}", 410)

    def test_transferred(self):
        """GitHub redirects; prism follows that itself, so the labeler sees the issue at its new place."""
        stack = self.stack
        number = stack.open(BUG, quiet=True)
        with stack.ends("done"):
            stack.act("transfer", issue=number, to="acme/pad", **{"as": "bob"})
        with stack.ends("done"):
            stack.set_up("deliver", self.opened_again(number))

    def opened_again(self, number):
        """The delivery that tells of an issue's opening, late: when it is no longer there."""
        repository = self.stack.sandbox.get("/_sandbox/state")["repos"]
        found = next(repo for repo in repository.values() if repo["name"] == "rocket")
        payload = {"action": "opened", "issue": {"number": number, "created_at": "2026-11-01T12:00:00Z"},
                   "repository": {"id": found["id"], "full_name": "acme/rocket", "name": "rocket",
                                  "owner": {"login": "acme"}, "html_url": f"{self.stack.forge.base}/acme/rocket"},
                   "sender": {"login": "bob", "type": "User"}}
        return {"hook": self.hook, "event": "issues", "payload": payload}

    def test_a_label_that_somebody_else_removes_meanwhile(self):
        stack = self.stack
        number = self.opened()
        unlabel = partial(stack.act, "unlabel", issue=number, labels=BUG_LABELS, **{"as": "ann"})
        path = f"/repos/acme/rocket/issues/{number}/labels/*"
        with stack.just_before("DELETE", path, unlabel), stack.ends("done"):
            stack.act("edit", issue=number, **QUESTION, **{"as": "bob"})
        stack.wait_for("DELETE", path, 404)
        self.assertEqual(stack.look(number)[0], QUESTION_LABELS)

    def test_a_comment_that_somebody_deletes_meanwhile(self):
        stack = self.stack
        number = self.opened()
        comment = stack.sandbox.issue("acme/rocket", number)["comments"][0]["id"]
        delete = partial(stack.act, "delete_comment", issue=number, comment=comment, **{"as": "ann"})
        path = f"/repos/acme/rocket/issues/comments/{comment}"
        with stack.just_before("PATCH", path, delete), stack.ends("done"):
            stack.act("edit", issue=number, **QUESTION, **{"as": "bob"})
        stack.wait_for("PATCH", path, 404)
        self.assertEqual(stack.look(number), (QUESTION_LABELS, []))

    def test_a_doubled_comment(self):
        """As a run leaves behind that was cut off and could not see its own comment yet."""
        stack = self.stack
        number = self.opened()
        again = {"issue": number, "body": stack.look(number)[1][0], "quiet": True, "as": self.LOGIN}
        first, second = (stack.act("comment", **again)["comment"]["id"] for _ in range(2))
        path = "/repos/acme/rocket/issues/comments/"
        delete = partial(stack.act, "delete_comment", issue=number, comment=second, quiet=True, **{"as": "ann"})
        retries = stack.outcomes("retry")
        with stack.just_before("DELETE", f"{path}{second}", delete), stack.ends("done"):
            stack.act("edit", issue=number, title=BUG["title"] + "!", **{"as": "bob"})
        stack.wait_for("DELETE", f"{path}{first}", 204)
        stack.wait_for("DELETE", f"{path}{second}", 404)
        self.assertEqual((len(stack.look(number)[1]), stack.outcomes("retry")), (1, retries))

    def test_limits_and_a_broken_forge(self):
        stack = self.stack
        for fault, method, path, status in (
                ({"kind": "secondary"}, "GET", "/repos/acme/rocket/issues/*", 403),
                ({"kind": "secondary"}, "POST", "/repos/acme/rocket/issues/*/comments", 403),
                ({"kind": "secondary", "status": 429}, "POST", "/repos/acme/rocket/issues/*/labels", 429),
                ({"kind": "status", "status": 502}, "GET", "/repos/acme/rocket/issues/*", 502)):
            stack.forget()
            stack.set_up("faults", {**fault, "method": method, "path": path, "count": 1})
            number = self.opened()
            stack.wait_for(method, path, status)
            self.assertEqual(stack.look(number)[0], BUG_LABELS)

    def test_a_repository_that_it_may_not_see(self):
        with self.stack.ends("stalled"):
            self.stack.open(BUG, "other/secret")

    def test_zz_every_call_was_made(self):
        """Runs last, by its name."""
        asked = {}
        for entry in self.stack.requests(since=0):
            asked.setdefault((entry["method"], route_of(entry)), []).append(entry)
        calls = [call for call in CALLS if call[1] in (None, self.MODE)]
        for operation, _, method, route, statuses in calls:
            met = {entry["status"] for entry in asked.get((method, route), [])}
            self.assertEqual(statuses - met, set(), f"{operation}: never answered so; {method} {route} was {met}")
        for route in PAGED:
            self.assertTrue([e for e in asked["GET", route] if "page=2" in e["query"]], f"no second page of {route}")
        self.assertEqual(asked.keys() - {call[2:4] for call in calls}, set(), "calls that CALLS does not have")


def route_of(entry):
    """The route of a request; one that met a fault never came as far as to have one in the log."""
    found = []
    for route in {call[3] for call in CALLS}:
        pattern = re.sub(r"\{\w+\}", "[^/]+", re.sub(r"\{\w+\*\}", ".+", route))
        found += [route] if re.fullmatch(pattern, entry["path"]) else []
    return entry["route"] or (found[0] if len(found) == 1 else entry["path"])


class LabelerAsApp(Scenarios, unittest.TestCase):
    """acme/rocket has a configuration; acme/.github does not exist, which an App cannot tell from hidden."""

    MODE, LOGIN = APP, "nodag[bot]"
    FILES = {"acme/rocket": CONFIGURATION, "acme/pad": {"README.md": "# Pad\n"}}

    @classmethod
    def start(cls):
        stack = cls.stack
        app = stack.set_up("apps", {"slug": "nodag", "public_key": Key.public(), "events": ["issues", "label", "push"],
                                    "webhook": {"url": stack.hook_url, "secret": "contract"}})
        cls.hook = app["hook_id"]
        cls.installation = stack.set_up("apps/nodag/installations", {
            "account": "acme", "repositories": ["acme/rocket", "acme/pad"]})["id"]
        stack.start_labeler("--forge-app-id", app["client_id"], "--forge-app-key-file", Key.path())

    def test_a_token_that_is_revoked(self):
        stack = self.stack
        self.opened()
        stack.set_up("tokens/revoke", {"installation": self.installation})
        number = self.opened()
        stack.wait_for("GET", f"/repos/acme/rocket/issues/{number}", 401)
        self.assertEqual(stack.look(number)[0], BUG_LABELS)


class LabelerWithToken(Scenarios, unittest.TestCase):
    """acme/.github has the configuration; the token's account is a member of acme."""

    MODE, LOGIN = TOKEN, "machine"
    FILES = {"acme/rocket": {"README.md": "# Rocket\n"}, "acme/pad": CONFIGURATION}

    @classmethod
    def start(cls):
        stack = cls.stack
        stack.set_up("repos", {"full_name": "acme/.github", "files": CONFIGURATION})
        stack.set_up("users", {"login": "machine", "token": "machine-token", "member_of": ["acme"]})
        cls.hook = stack.set_up("hooks", {"organization": "acme", "url": stack.hook_url, "secret": "contract"})["id"]
        stack.start_labeler("--forge-token-file", stack.token_file("machine-token"))

    def test_a_token_that_is_replaced(self):
        stack = self.stack
        self.opened()
        stack.set_up("tokens/revoke", {"token": "machine-token"})
        stack.set_up("tokens", {"login": "machine", "token": "machine-token-2"})
        stack.token_file("machine-token-2")
        number = self.opened()
        stack.wait_for("GET", f"/repos/acme/rocket/issues/{number}", 401)
        self.assertEqual(stack.look(number)[0], BUG_LABELS)


if __name__ == "__main__":
    unittest.main()
