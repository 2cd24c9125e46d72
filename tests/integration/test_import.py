"""nodag import: a sandbox forge's issues read by REST and published, and dumps of GH Archive.

The test that matters most: people and bots live through issues while webhooks are on; a historian folds the webhooks. A
second historian, on another Kafka, gets only what `nodag import github` read afterwards. Their records must be the same.
No two acts on an issue fall into one second: webhooks of one second arrive in any order, and only the timeline, which
the import has, knows which was first.

Invariant: nothing sleeps for a fixed time. Repositories have ids of the sandbox's own, so topics are read from a mark.
"""
from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from daemon import PROGRAM_S, READY_S, run_program
from follow import Follower
from kafka import LocalKafka
from proc import Proc, wait_until
from sandbox_api import Sandbox
from topic import Topic, partition_of

ROOT = Path(__file__).resolve().parents[2]
SECRET = "it's a secret"
BOT = "nodag[bot]"
TOKEN = "import-token"
HANDS = ["ann", "bo", "ci[bot]", BOT]
LABELS = ["kind/bug", "kind/feature", "area/ui", "help wanted"]
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
ISSUES, ACTS = 30, 12
WAIT_S = 60
PROPERTIES = "broker.address.family=v4\nsession.timeout.ms=6000\nheartbeat.interval.ms=300\n"
TYPE = "dev.nodag.github.issue.v1"


class Forge:
    """A sandbox with one organisation that has repositories."""

    def __init__(self, folder: Path):
        ready, self.folder, self.count = folder / "sandbox.url", folder, 0
        program = ROOT / "deploy" / "sandbox" / "forge.py"
        self.proc = Proc.start([sys.executable, program, "--port", "0", "--ready-file", ready], folder / "sandbox.log",
                               name="sandbox")
        wait_until(ready.exists, READY_S, "the sandbox to be ready", self.proc)
        self.sandbox = Sandbox(ready.read_text(encoding="utf-8").strip())
        self.sandbox.post("/_sandbox/orgs", {"login": "acme", "members": ["ann", "bo", "importer"]})
        self.sandbox.post("/_sandbox/users", {"login": "importer", "token": TOKEN, "member_of": ["acme"]})
        self.token = folder / "token"
        self.token.write_text(TOKEN, encoding="utf-8")
        self.token.chmod(0o600)

    def repository(self, **members) -> tuple[str, int]:
        self.count += 1
        made = self.sandbox.post("/_sandbox/repos", {"full_name": f"acme/r{self.count}", "labels": LABELS, **members})
        return made["full_name"], made["id"]

    def requests(self, since: int = 0) -> list[dict]:
        found = self.sandbox.get(f"/_sandbox/requests?since={since}")["requests"]
        return sorted((one for one in found if one["path"].startswith("/repos/")), key=lambda one: one["n"])

    def last_request(self) -> int:
        return self.sandbox.get("/_sandbox/requests?path=/nothing")["last"]

    def end(self) -> None:
        self.proc.stop()
        log = (self.folder / "sandbox.log").read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in log, log[-4000:]


@pytest.fixture(scope="module")
def forge(tmp_path_factory):
    made = Forge(tmp_path_factory.mktemp("forge"))
    yield made
    made.end()


def empty_kafka(folder: Path, bin_dir: Path):
    """A broker of one's own: on the common one other tests' repositories have the same ids."""
    broker = LocalKafka(folder)
    broker.start()
    run_program([bin_dir / "nodag-topics", "create", "--brokers", broker.brokers])
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def webhook_kafka(tmp_path_factory, bin_dir):
    """A broker that only webhooks reach."""
    yield from empty_kafka(tmp_path_factory.mktemp("webhook-kafka"), bin_dir)


@pytest.fixture(scope="module")
def other_kafka(tmp_path_factory, bin_dir):
    """A broker that no webhook ever reached."""
    yield from empty_kafka(tmp_path_factory.mktemp("other-kafka"), bin_dir)


@pytest.fixture
def properties(tmp_path) -> Path:
    (tmp_path / "kafka.properties").write_text(PROPERTIES, encoding="utf-8")
    return tmp_path / "kafka.properties"


@pytest.fixture
def command(bin_dir, forge, topics_created, properties):
    """command(REPOSITORY, OPTION…, brokers=…): the command line of an import."""
    def make(repository: str, *options, brokers: str = "") -> list:
        return [bin_dir / "nodag", "import", "github", repository, "--forge-url", forge.sandbox.url,
                "--forge-token-file", forge.token, "--brokers", brokers or topics_created.brokers,
                "--kafka-properties", properties, "--json", *options]
    return make


def summary(done: subprocess.CompletedProcess) -> dict:
    return json.loads(done.stdout)


def live(forge: Forge, repository: str, seed: int, issues: int = ISSUES, quiet: bool = False) -> int:
    """Lets people and bots live through issues; the number of the last."""
    chance, at, acts = random.Random(seed), START, []

    def act(do: str, number: int | None = None, **members) -> None:
        nonlocal at
        at += timedelta(seconds=chance.choice([1, 1, 7, 100]))
        one = {"do": do, "repository": repository, "as": chance.choice(HANDS), "quiet": quiet,
               "at": at.strftime("%Y-%m-%dT%H:%M:%SZ"), **members}
        acts.append({**one, "issue": number} if number else one)

    for number in range(1, issues + 1):
        act("open", title=f"Issue {number} \"ü\" \\ 𝄞", body=None if number % 7 == 0 else f"Body {number}\n\ttab",
            labels=chance.sample(LABELS, number % 3), pull_request=number % 10 == 0)
        for _ in range(chance.randrange(ACTS)):
            do = chance.choice(["label", "label", "unlabel", "edit", "close", "reopen", "comment"])
            members = {"label": {"label": chance.choice(LABELS)}, "edit": {"title": f"Renamed at {at}"},
                       "comment": {"body": "me too"}}.get(do, {})
            if do == "unlabel":
                members = {"label": LABELS[0]}
                act("label", number, **members)
            act(do, number, **members)
    for start in range(0, len(acts), 200):
        forge.sandbox.act(*acts[start:start + 200])
    return issues


def records(topic: Topic, repository_id: int) -> dict[str, dict]:
    """The newest record of each issue."""
    found = {}
    for record in topic.read():
        if record.key.decode().startswith(f"{repository_id}#"):
            found[record.key.decode()] = json.loads(record.value) if record.value else None
    return found


def said(record):
    """A record without the marks of the events that it was folded from: offsets and ids."""
    if isinstance(record, dict):
        return {name: said(value) for name, value in record.items() if name not in ("offset", "ids")}
    return [said(value) for value in record] if isinstance(record, list) else record


def test_rest_and_webhooks_make_the_same_records(start_daemon, forge, command, webhook_kafka, other_kafka, properties,
                                                 tmp_path):
    def kafka_of(brokers: str) -> list:
        return ["--brokers", brokers, "--kafka-properties", properties]

    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    door = start_daemon("nodag-ingest-github", "--listen", "127.0.0.1:0", "--secret-file", tmp_path / "secret",
                        "--scope", "*", *kafka_of(webhook_kafka.brokers))
    issues, follower = Topic(webhook_kafka.brokers, "issues"), Follower(webhook_kafka.brokers, "nodag-historian")
    start_daemon("nodag-historian", "--login", BOT, *kafka_of(webhook_kafka.brokers))
    repository, repository_id = forge.repository()
    forge.sandbox.post("/_sandbox/hooks", {"repository": repository, "ping": False, "secret": SECRET,
                                           "url": f"http://127.0.0.1:{door.port}/webhooks/github",
                                           "events": ["issues", "issue_comment"]})
    live(forge, repository, 20261101)
    wait_until(forge.sandbox.deliveries_are_done, WAIT_S, "all webhooks to be delivered")
    follower.wait_finished()
    follower.close()
    by_webhooks = {key: said(record) for key, record in records(issues, repository_id).items()}

    issues, follower = Topic(other_kafka.brokers, "issues"), Follower(other_kafka.brokers, "nodag-historian")
    start_daemon("nodag-historian", "--login", BOT, *kafka_of(other_kafka.brokers))
    told = summary(run_program(command(repository, brokers=other_kafka.brokers)))
    follower.wait_finished()
    follower.close()
    by_import = {key: said(record) for key, record in records(issues, repository_id).items()}

    assert (told["published"], told["pull_requests"], told["complete"]) == (ISSUES - 3, 3, True)
    assert len(by_import) == ISSUES - 3
    for key, record in by_webhooks.items():
        assert by_import[key] == record, key
    assert by_import.keys() == by_webhooks.keys()
    hands = {label["by"] for record in by_import.values() for label in record["labels"] + record["removed"]}
    assert hands == {"person", "this bot", "other bot"}


def test_again_makes_the_same_events(forge, command, events):
    repository, repository_id = forge.repository()
    live(forge, repository, 3, 8, quiet=True)
    for _ in range(2):
        run_program(command(repository))
    seen: dict[str, list] = {}
    for record in events.read():
        assert record.partition == partition_of(record.key)
        assert record.key.decode().startswith(f"{repository_id}#")
        attributes = record.attributes
        value = json.loads(record.value)
        assert attributes["ce_type"] == TYPE and attributes["ce_time"] == value["issue"]["updated_at"]
        assert attributes["ce_githubrepository"] == repository and "ce_githubsignature" not in attributes
        seen.setdefault(attributes["ce_id"], []).append((record.key, record.value))
    assert len(seen) == 8
    assert all(len(both) == 2 and both[0] == both[1] for both in seen.values())


def bulk(forge: Forge, repository: str, count: int, at: str) -> None:
    """Issues that a script opened within one second."""
    acts = [{"do": "open", "repository": repository, "title": f"Bulk {number}", "at": at, "quiet": True}
            for number in range(count)]
    for start in range(0, count, 200):
        forge.sandbox.act(*acts[start:start + 200])


def test_more_issues_than_a_page_in_one_second(forge, command, events):
    repository, _ = forge.repository()
    bulk(forge, repository, 5, "2026-01-01T00:00:00Z")
    bulk(forge, repository, 230, "2026-01-02T00:00:00Z")
    bulk(forge, repository, 120, "2026-01-03T00:00:00Z")
    told = summary(run_program(command(repository)))
    assert (told["published"], told["place"]) == (355, "2026-01-03T00:00:00Z")
    assert len({record.key for record in events.read()}) == 355


def start(command: list, log: Path) -> subprocess.Popen:
    """An import that runs; what it says goes to `log`."""
    with log.open("wb") as stream:
        return subprocess.Popen([str(part) for part in command], stdout=stream, stderr=stream)


def test_interrupted_and_gone_on(forge, command, events, tmp_path):
    """Ctrl-C in the middle, then kill -9 in the middle, then to the end: every issue is there, and little is read twice."""
    repository, _ = forge.repository()
    for day in range(1, 4):
        bulk(forge, repository, 90, f"2026-01-{day:02}T00:00:00Z")
    state, log = tmp_path / "place", tmp_path / "log"
    fault = forge.sandbox.post("/_sandbox/faults", {"kind": "latency", "ms": 20,
                                                    "path": f"/repos/{repository}/issues/*/timeline"})["id"]
    for number, wanted in ((signal.SIGINT, 128 + signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL)):
        before = forge.last_request()
        running = start(command(repository, "--state", state), log)
        wait_until(lambda since=before: len(forge.requests(since)) > 110, WAIT_S, "a hundred requests")
        running.send_signal(number)
        assert running.wait(PROGRAM_S) == wanted, log.read_text()
        if number == signal.SIGINT:
            assert "not to the end; the same command goes on from 2026-01-0" in log.read_text()
        assert json.loads(state.read_text(encoding="utf-8"))["repository"] == repository
    forge.sandbox.call("DELETE", f"/_sandbox/faults/{fault}")
    told = summary(run_program(command(repository, "--state", state)))
    assert told["complete"] and told["published"] < 270
    keys = [record.key for record in events.read()]
    assert len(set(keys)) == 270 and len(keys) <= 270 + 2 * 190
    before = forge.last_request()
    assert summary(run_program(command(repository, "--state", state)))["published"] <= 90
    assert not [one for one in forge.requests(before) if one["status"] >= 400]


def test_place_of_another_repository_is_refused(forge, command, tmp_path):
    one, other = forge.repository()[0], forge.repository()[0]
    bulk(forge, one, 1, "2026-01-01T00:00:00Z")
    run_program(command(one, "--state", tmp_path / "place"))
    done = run_program(command(other, "--state", tmp_path / "place"), 1)
    assert f"it is the place of {one}" in done.stderr


def test_budget_leaves_the_rest_to_others(forge, command, events, tmp_path):
    """With a fifth of 100 requests it stops after 20, says why, and goes on in the next hour."""
    repository, _ = forge.repository()
    bulk(forge, repository, 40, "2026-01-01T00:00:00Z")
    limits = forge.sandbox.get("/_sandbox/limits")
    forge.sandbox.call("PATCH", "/_sandbox/limits", {"primary_per_hour": 100})
    forge.sandbox.post("/_sandbox/clock", {"advance_s": 3700})
    log, before = tmp_path / "log", forge.last_request()
    running = start(command(repository, "--budget", "20%"), log)
    try:
        wait_until(lambda: "are left, and these are for others (--budget 20%)" in log.read_text(), WAIT_S, "the wait", None)
        assert len(forge.requests(before)) == 20
        running.send_signal(signal.SIGINT)
        assert running.wait(PROGRAM_S) == 130
    finally:
        running.kill()
        running.wait()
        forge.sandbox.call("PATCH", "/_sandbox/limits", {"primary_per_hour": limits["primary_per_hour"]})
        forge.sandbox.post("/_sandbox/clock", {"advance_s": 3700})
    assert len({record.key for record in events.read()}) == 18


def test_follow(forge, command, events, tmp_path):
    repository, repository_id = forge.repository()
    bulk(forge, repository, 3, "2026-01-01T00:00:00Z")
    log = tmp_path / "log"
    running = start(command(repository, "--follow", "--interval", "1s"), log)

    def labels_of(number: int) -> list | None:
        found = [json.loads(record.value)["issue"]["labels"] for record in events.read()
                 if record.key.decode() == f"{repository_id}#{number}"]
        return found[-1] if found else None

    try:
        wait_until(lambda: labels_of(3) == [], WAIT_S, "the first look")
        forge.sandbox.act({"do": "label", "repository": repository, "issue": 2, "label": "kind/bug", "as": "ann", "quiet": True})
        wait_until(lambda: labels_of(2) == ["kind/bug"], WAIT_S, "the label")
        before = forge.last_request()
        wait_until(lambda: len(forge.requests(before)) >= 3, WAIT_S, "polls")
        assert {one["status"] for one in forge.requests(before)[1:]} == {304}
        running.send_signal(signal.SIGTERM)
        assert running.wait(PROGRAM_S) == 128 + signal.SIGTERM
        assert "not seen without webhooks" in log.read_text()
    finally:
        running.kill()
        running.wait()


def test_no_such_repository(command):
    done = run_program(command("acme/nothing"), 1)
    assert "cannot read the repository acme/nothing" in done.stderr


# ---- GH Archive ----------------------------------------------------------------------------------------------------


def line(kind: str, repository: str, number: int, **issue) -> bytes:
    """An event as the archive writes it."""
    body = {"number": number, "title": f"Issue {number}", "body": None, "state": "open", "user": {"login": "ann", "type": "User"},
            "labels": [{"name": "kind/bug"}], "created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-02T00:00:00Z",
            "closed_at": None, **issue}
    event = {"id": "1", "type": kind, "actor": {"id": 1, "login": "ann"}, "repo": {"id": 77, "name": repository},
             "payload": {"action": "opened", "issue": body}, "public": True, "created_at": "2024-01-02T00:00:00Z"}
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def archive(bin_dir, topics_created, properties):
    def run(*files, status: int = 0, options: tuple = ()) -> subprocess.CompletedProcess:
        return run_program([bin_dir / "nodag", "import", "gharchive", "--repositories", "acme/*", "--json", *options, "--brokers",
                            topics_created.brokers, "--kafka-properties", properties, *files], status)
    return run


def test_archive(archive, events, tmp_path):
    good = (line("IssuesEvent", "acme/x", 1) + line("IssueCommentEvent", "acme/x", 2, pull_request={"url": "u"}) +
            line("IssuesEvent", "other/x", 3) + line("WatchEvent", "acme/x", 4) +
            line("IssueCommentEvent", "acme/x", 5, state="closed", closed_at="2024-01-02T00:00:00Z"))
    (tmp_path / "good.json.gz").write_bytes(gzip.compress(good[:300]) + gzip.compress(good[300:]))
    for _ in range(2):
        done = archive(tmp_path / "good.json.gz")
        told = summary(done)
        assert (told["published"], told["pull_requests"], told["unwanted"], told["other"]) == (2, 1, 1, 1)
        assert "unknown hand" in done.stderr
    found = events.read()
    assert {record.key for record in found} == {b"77#1", b"77#5"} and len({record.attributes["ce_id"] for record in found}) == 2
    value = json.loads(next(record.value for record in found if record.key == b"77#1"))
    assert value["timeline"] is None and value["issue"]["labels"] == ["kind/bug"]


def test_damaged_archive(archive, events, tmp_path):
    good, bad = line("IssuesEvent", "acme/x", 1), b'{"type":"IssuesEvent", oh no}\n'
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(good + bad + good))
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(good * 2000 + os.urandom(100).replace(b"\n", b"-"))[:-40])
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(line("IssuesEvent", "acme/x", 9)))
    done = archive(tmp_path / "a.json.gz", status=1)
    assert f"{tmp_path}/a.json.gz: line 2: " in done.stderr and "--keep-going" in done.stderr
    done = archive(*[tmp_path / f"{name}.json.gz" for name in ("a", "b", "missing", "c")], options=("--keep-going",))
    told = summary(done)
    assert told["skipped"] == 3 and told["complete"], done.stderr
    assert "b.json.gz: after line" in done.stderr and "missing.json.gz: No such file" in done.stderr
    assert {record.key for record in events.read()} == {b"77#1", b"77#9"}
