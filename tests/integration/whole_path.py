"""The whole path for the labeler's tests: sandbox → webhooks → nodag-ingest-github → Kafka → nodag-labeler → sandbox.

Design: one sandbox, one door and one model for all modules, so that no id of a repository ever comes twice on the
topics; each test has repositories of its own. Each module starts its labeler, and may stop, kill and restart it.
Organisations stand for Labeler documents: what a test wants of the document it gets by the organisation of its
repository.

    acme    comment: edit                        quiet   comment: silent
    held    holdback of half of the issues       loose   includes everything
    named   everything, and lgtm by name         clash   two documents match
    shut    an App that sees chosen repositories token   no App: a machine account's token

Texts are made from the templates of deploy/local/history.py, whose issues the model is trained on.

Invariants: faults are taken away after each test; nothing sleeps for a fixed time.
"""
from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "deploy" / "local")]

import history  # noqa: E402  (after the path above)
from daemon import READY_S, Daemon, run_program  # noqa: E402
from follow import Follower  # noqa: E402
from proc import Proc, wait_until  # noqa: E402
from sandbox_api import Sandbox  # noqa: E402

GROUP = "nodag-labeler"
BOT = "nodag[bot]"
MACHINE = "nodag-machine"  # the account of the token
SECRET = "it's a secret"
REPLICA = "labeler-under-test"  # static membership: after kill -9 the next one has its partitions at once
SEED = 20261101
EXAMPLES = 400  # enough for every label to reach its precision target; trained in a second
MINUTES = 80  # rows like NOTHING
DELIVERED_S = 30
MARKER = "<!-- nodag:labeler -->"
CONFIGURATION = ".github/issue_label_bot.yaml"
LABELS = [*history.AREAS, *history.KINDS, "good first issue"]

# Backoff of milliseconds instead of seconds; no sweep unless a test wants one; no budget that tests could use up.
HASTE = ["--backoff-least", "50ms", "--backoff-most", "500ms", "--sweep-interval", "1d",
         "--forge-writes-per-hour", "100000"]

# A member that dies is missed sooner, and a rebalance is noticed sooner. Six seconds is the least that a broker allows.
KAFKA_PROPERTIES = "broker.address.family=v4\nsession.timeout.ms=6000\nheartbeat.interval.ms=300\n"

DOCUMENTS = """\
apiVersion: nodag.dev/v1
kind: Labeler
metadata: {{name: {name}}}
spec:
  repositories: ["{organisation}/*"]
  labels: {{include: {include}}}
  models: [{{file: {model}}}]
  since: {since}
{more}
"""
COMMON = '["area/*", "kind/*"]'


def text(subject: str, kind: str, which: int = 0) -> dict:
    """Title and body of an issue that the model has seen hundreds of the like of."""
    template = history.KINDS[kind]
    return {"title": template["title"][which].format(s=subject), "body": template["body"][which].format(s=subject)}


BUG_JUPYTER = text("notebook server", "kind/bug")
FEATURE_JUPYTER = text("notebook server", "kind/feature")
FEATURE_PIPELINES = text("DAG compiler", "kind/feature")
QUESTION_SERVING = text("inference endpoint", "kind/question")
# Nothing that most documents let nodag write about.
NOTHING = {"title": "Minutes of Tuesday's meeting", "body": "Present: ann and bo. We talked about lunch."}


@dataclass
class Repository:
    """A repository of the sandbox, with what the tests do and see in it."""
    stack: "Stack"
    name: str
    id: int

    # -- people ------------------------------------------------------------------------------------------------------

    def act(self, do: str, number: int | None = None, **members) -> dict:
        act = {"do": do, "repository": self.name, "as": "ann", **members}
        return self.stack.sandbox.act({**act, "issue": number} if number else act)[0]

    def open(self, issue: dict, **members) -> int:
        """Somebody opens an issue; its number."""
        return self.act("open", **issue, **members)["issue"]["number"]

    def put(self, files: dict) -> None:
        """Somebody pushes files."""
        self.stack.sandbox.post(f"/_sandbox/repos/{self.name}/files", {"files": files})

    def configure(self, configuration: str | None) -> None:
        """Somebody pushes the repository's issue_label_bot.yaml; None removes it."""
        self.put({CONFIGURATION: configuration})

    # -- looking -----------------------------------------------------------------------------------------------------

    def look(self, number: int) -> dict:
        return self.stack.sandbox.issue(self.name, number)

    def labels(self, number: int) -> set[str]:
        return set(self.look(number)["labels"])

    def comments(self, number: int) -> list[str]:
        """Bodies of nodag's comments."""
        return [comment["body"] for comment in self.look(number)["comments"] if comment["body"].startswith(MARKER)]

    def hands(self, number: int) -> list[tuple[str, str, str]]:
        """Who labelled and unlabelled what, in order."""
        return [(entry["event"], entry["label"]["name"], entry["actor"]["login"])
                for entry in self.look(number)["timeline"] if entry["event"] in ("labeled", "unlabeled")]

    def key(self, number: int) -> str:
        return f"{self.id}#{number}"

    def decided(self, number: int, count: int = 1) -> dict:
        """Waits for the decision number `count` about an issue; returns the newest."""
        return self.stack.follower.decided(self.key(number), count)

    def held_back(self, number: int, outcome: str) -> dict:
        return self.stack.follower.held_back(self.key(number), outcome)

    def not_pending(self, number: int) -> None:
        """Waits until nothing is open about an issue."""
        self.stack.follower.not_pending(self.key(number))

    def requests(self, since: int, method: str | None = None) -> list[tuple[str, str, int]]:
        """What was asked about this repository after request `since`: method, path below it, status."""
        root = f"/repos/{self.name}"
        return [(request["method"], request["path"][len(root):], request["status"])
                for request in self.stack.requests(since)
                if (request["path"] + "/").startswith(root + "/") and method in (None, request["method"])]

    def holds_back(self, number: int, share: float) -> bool:
        """Whether the audit holds an issue back: the draw that document.h describes."""
        digest = hashlib.sha256(self.key(number).encode()).digest()
        return int.from_bytes(digest[:4], "big") / 2 ** 32 < share


class Stack:
    """Everything but the labeler."""

    def __init__(self, brokers: str, bin_dir: Path, folder: Path):
        self.brokers, self.bin_dir, self.folder = brokers, bin_dir, folder
        self.model, self.document = folder / "label.model", folder / "documents" / "labeler.yaml"
        self.document.parent.mkdir()
        self.properties = folder / "kafka.properties"
        self.properties.write_text(KAFKA_PROPERTIES, encoding="utf-8")
        (folder / "webhook").write_text(SECRET, encoding="utf-8")
        self.follower = Follower(brokers, GROUP)
        self.follower.skip_history()
        self.sandbox_proc, self.sandbox = self._start_sandbox()
        self.door = Daemon(bin_dir / "nodag-ingest-github",
                           ["--listen", "127.0.0.1:0", "--secret-file", str(folder / "webhook"), "--scope", "*",
                            *self.kafka()], folder / "door").start()
        self.hook_url = f"http://127.0.0.1:{self.door.port}/webhooks/github"
        self._make_app()
        self._train()
        self.write_documents()
        self._count = 0

    def kafka(self) -> list[str]:
        return ["--brokers", self.brokers, "--kafka-properties", str(self.properties)]

    def _start_sandbox(self) -> tuple[Proc, Sandbox]:
        ready = self.folder / "sandbox.url"
        program = ROOT / "deploy" / "sandbox" / "forge.py"
        proc = Proc.start([sys.executable, program, "--port", "0", "--ready-file", ready], self.folder / "sandbox.log",
                          name="sandbox")
        wait_until(ready.exists, READY_S, "the sandbox to be ready", proc)
        sandbox = Sandbox(ready.read_text(encoding="utf-8").strip())
        sandbox.call("PATCH", "/_sandbox/limits", {"primary_per_hour": 1000000})
        return proc, sandbox

    def _make_app(self) -> None:
        app = self.sandbox.post("/_sandbox/apps", {
            "slug": "nodag", "permissions": {"issues": "write", "contents": "read", "metadata": "read"},
            "events": ["issues", "pull_request", "label", "push"], "webhook": {"url": self.hook_url, "secret": SECRET}})
        (self.folder / "app.pem").write_text(app["pem"], encoding="utf-8")
        (self.folder / "app.pem").chmod(0o600)
        self.app_id = str(app["id"])
        self.sandbox.post("/_sandbox/apps", {"slug": "robot", "permissions": {"issues": "write"}})
        for organisation in ("acme", "quiet", "held", "loose", "named", "clash"):
            self.sandbox.post("/_sandbox/orgs", {"login": organisation, "members": ["ann", "bo"]})
            self.sandbox.post("/_sandbox/apps/nodag/installations", {"account": organisation, "repositories": "all"})
            self.sandbox.post("/_sandbox/apps/robot/installations", {"account": organisation, "repositories": "all"})
        self.sandbox.post("/_sandbox/orgs", {"login": "shut", "members": ["ann"]})
        shut = self.sandbox.post("/_sandbox/apps/nodag/installations", {"account": "shut", "repositories": []})
        self.shut = shut["id"]
        self.sandbox.post("/_sandbox/orgs", {"login": "token", "members": ["ann", MACHINE]})
        told = self.sandbox.post("/_sandbox/tokens", {"login": MACHINE})
        (self.folder / "token").write_text(told["token"], encoding="utf-8")
        (self.folder / "token").chmod(0o600)
        self.sandbox.post("/_sandbox/hooks", {"organization": "token", "url": self.hook_url, "secret": SECRET,
                                              "ping": False, "events": ["issues", "pull_request", "label", "push"]})

    def _train(self) -> None:
        """The model: generated issues; and texts about nothing, with a label that most documents do not include."""
        data, now = self.folder / "history.csv", datetime.now(timezone.utc)
        rows = history.generate(EXAMPLES, SEED, now)
        apart = (now - rows[0].created) / MINUTES
        rows += [history.Issue(title=f"Minutes of the meeting in week {number}", labels=["good first issue"],
                               body=f"Present: ann, bo and {number} others. We talked about lunch.",
                               created=rows[0].created + number * apart) for number in range(MINUTES)]
        history.write_csv(data, sorted(rows, key=lambda row: row.created))
        run_program([self.bin_dir / "nodag-model", "train", "--data", data, "--model", self.model])

    def write_documents(self, **changes: str) -> None:
        """Writes the Labeler documents; `changes` replaces the include list of an organisation's."""
        since = (datetime.now(timezone.utc) - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = [("acme", "acme", COMMON, "  comment: edit"), ("quiet", "quiet", COMMON, "  comment: silent"),
                ("held", "held", COMMON, "  comment: edit\n  audit: {holdback: 50%}"), ("loose", "loose", '["*"]', ""),
                ("named", "named", '["*", "lgtm"]', ""), ("clash-one", "clash", COMMON, ""),
                ("clash-two", "clash", COMMON, ""), ("shut", "shut", COMMON, ""),
                ("token", "token", COMMON, "  comment: edit")]
        documents = [DOCUMENTS.format(name=name, organisation=organisation, include=changes.get(name, include),
                                      model=json.dumps(str(self.model)), since=since, more=more)
                     for name, organisation, include, more in rows]
        self.write_document("---\n".join(documents))

    def write_document(self, content: str) -> None:
        """Puts another document file in its place, as editors and Kubernetes do: whole, by a rename."""
        part = self.document.with_suffix(".part")
        part.write_text(content, encoding="utf-8")
        part.rename(self.document)

    # -- for tests ---------------------------------------------------------------------------------------------------

    def repository(self, organisation: str, labels: list | None = None, files: dict | None = None,
                   name: str = "") -> Repository:
        """A new repository of an organisation."""
        self._count += 1
        made = self.sandbox.post("/_sandbox/repos", {
            "full_name": f"{organisation}/{name or f'r{self._count}'}", "labels": LABELS if labels is None else labels,
            "files": files or {}})
        return Repository(self, made["full_name"], made["id"])

    def requests(self, since: int) -> list[dict]:
        """REST requests of nodag's after request `since`."""
        found = self.sandbox.get(f"/_sandbox/requests?since={since}")["requests"]
        own = [request for request in found if request["actor"] not in ("anonymous", "ann")]
        return sorted(own, key=lambda request: request["n"])

    def last_request(self) -> int:
        return self.sandbox.get("/_sandbox/requests?path=/nothing")["last"]

    def fault(self, kind: str, **members) -> int:
        return self.sandbox.post("/_sandbox/faults", {"kind": kind, **members})["id"]

    def hits(self, fault: int) -> int:
        return next(rule["hits"] for rule in self.sandbox.get("/_sandbox/faults")["faults"] if rule["id"] == fault)

    def no_faults(self) -> None:
        self.sandbox.call("DELETE", "/_sandbox/faults")

    def settle(self) -> None:
        """Waits until every webhook is on the topic and every event there is finished."""
        self.sandbox.get(f"/_sandbox/wait?timeout_s={DELIVERED_S}")
        self.follower.wait_finished()

    def labeler(self, *arguments, name: str = "labeler", url: str | None = None, replica: str | None = REPLICA,
                token: bool = False, by_topic: bool = False) -> Daemon:
        """A labeler that is not started yet; its folder carries on over restarts. `by_topic`: with the documents of
        the topic specs, not those of the folder."""
        documents = [] if by_topic else ["--specs", str(self.document.parent)]
        who = (["--forge-token-file", str(self.folder / "token")] if token else
               ["--forge-app-id", self.app_id, "--forge-app-key-file", str(self.folder / "app.pem")])
        static = ["--replica", replica] if replica else []
        return Daemon(self.bin_dir / "nodag-labeler",
                      [*documents, "--forge-url", url or self.sandbox.url, *who, *self.kafka(),
                       *static, *HASTE, *arguments], self.folder / name)

    def end(self) -> None:
        self.follower.close()
        self.door.end()
        self.sandbox_proc.stop()
        log = (self.folder / "sandbox.log").read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in log, log[-4000:]


@pytest.fixture(scope="session")
def labeler_stack(topics_created, bin_dir, tmp_path_factory) -> Stack:
    """The whole path but the labeler, started once for the run."""
    stack = Stack(topics_created.brokers, bin_dir, tmp_path_factory.mktemp("labeler"))
    yield stack
    stack.end()


@pytest.fixture(scope="module")
def module_labeler(labeler_stack: Stack) -> Daemon:
    """A labeler in App mode for all tests of a module."""
    daemon = labeler_stack.labeler().start()
    yield daemon
    daemon.end()


@pytest.fixture
def stack(labeler_stack: Stack) -> Stack:
    """The stack, well-behaved again after the test."""
    yield labeler_stack
    labeler_stack.no_faults()
