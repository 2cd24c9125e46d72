"""The real `nodag import github`, held to GitHub's OpenAPI description: with prism between it and the sandbox, every
request that it makes and every answer that it gets is valid.

Design: CALLS has the operations of reactors/clients that only the importer uses, with the answers that must have been
met; test_labeler.py checks that every operation stands in one of the two tables.

Run alone: python3 -m unittest discover -s tests/contract -k Importer
"""
import subprocess
import unittest

from labeler_stack import WAIT_S, Ground, LabelerStack

from daemon import run_program
from proc import wait_until

REPO = "/repos/{owner}/{repo}"
# Operation in reactors/clients, method, route, answers that must be met.
CALLS = [
    ("issues_operation", "GET", REPO + "/issues", {200, 304}),
    ("labelings_operation", "GET", REPO + "/issues/{number}/timeline", {200, 410}),
]
ISSUES = 130                 # more than a page
COMMENTS = 105               # a timeline of two pages

ground = None


def setUpModule():
    global ground
    ground = Ground()


def tearDownModule():
    ground.stop()


class Importer(unittest.TestCase):
    """A repository whose issues are read once, and then followed."""

    @classmethod
    def setUpClass(cls):
        cls.stack = LabelerStack(ground, "importer")
        cls.addClassCleanup(cls.stack.stop)
        cls.stack.set_up("repos", {"full_name": "acme/rocket", "labels": ["kind/bug"]})
        cls.stack.set_up("users", {"login": "machine", "token": "machine-token", "member_of": ["acme"]})
        cls.token = cls.stack.token_file("machine-token")

    def command(self, repository, *options):
        return [str(part) for part in (
            ground.bin / "nodag-import", "github", repository, "--forge-url", self.stack.proxy.base_url,
            "--forge-token-file", self.token, "--budget", "100%", *ground.kafka_options(), *options)]

    def test_every_call_is_valid(self):
        stack = self.stack
        stack.sandbox.act(*[{"do": "open", "repository": "acme/rocket", "title": f"Issue {number}", "as": "ann",
                             "labels": ["kind/bug"][:number % 2], "pull_request": number % 20 == 0, "quiet": True}
                            for number in range(1, ISSUES + 1)])
        stack.sandbox.act(*[{"do": "comment", "repository": "acme/rocket", "issue": 3, "body": "me too", "as": "bob",
                             "quiet": True} for _ in range(COMMENTS)])
        delete = [{"do": "delete", "repository": "acme/rocket", "issue": 5, "quiet": True}]
        with stack.just_before("GET", "/repos/acme/rocket/issues/5/timeline", lambda: stack.sandbox.act(*delete)):
            running = subprocess.Popen(self.command("acme/rocket", "--follow", "--interval", "1s"),
                                       stderr=subprocess.PIPE, text=True)
            try:
                wait_until(lambda: stack.requests("GET", "/repos/acme/rocket/issues", 304), WAIT_S, "a poll with nothing new")
            finally:
                running.terminate()
                said = running.communicate(timeout=WAIT_S)[1]
        self.assertIn("acme/rocket#5: it was deleted or transferred", said)
        self.assertIn(f"{ISSUES - ISSUES // 20 - 1} issues published", said)
        self.assertIn("cannot read the repository", run_program(self.command("acme/nothing"), 1).stderr)
        for operation, method, route, statuses in CALLS:
            entries = [entry for entry in stack.requests(method, since=0) if entry["route"] == route]
            self.assertEqual(statuses - {entry["status"] for entry in entries}, set(), operation)
        self.assertTrue([entry for entry in stack.requests(path="*/timeline") if "page=2" in entry["query"]])
        self.assertEqual(stack.proxy.violations(), [])
