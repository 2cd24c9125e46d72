"""nodag erase on a real Kafka with a real historian and a real store: what goes, what stays, what is said; killed anywhere."""
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from daemon import Daemon, run_program
from erase_ground import QUOTING, Ground
from kafka import LocalKafka
from proc import wait_until

GROUP = "nodag-historian"
SEEN_S = 60
KILLS = 12  # at random moments, besides those after each effect
SLICE_S = 0.002  # How long a command runs between two looks at what it did.


@pytest.fixture(scope="module")
def broker(tmp_path_factory, bin_dir):
    """A broker of its own: records of other tests' registries name stores that are gone."""
    made = LocalKafka(tmp_path_factory.mktemp("erase-kafka"))
    made.start()
    run_program([bin_dir / "nodag-topics", "create", "--brokers", made.brokers])
    yield made
    made.stop()


@pytest.fixture(scope="module")
def ground(broker, bin_dir, tmp_path_factory) -> Ground:
    return Ground(broker.brokers, bin_dir, tmp_path_factory.mktemp("erase"))


@pytest.fixture
def historian(ground):
    daemon = ground.historian().start()
    yield daemon
    daemon.end()


class People:
    """Two people and two repositories that no other test has, with issues of both in both."""

    def __init__(self, ground: Ground):
        mark = uuid.uuid4().hex[:10]
        self.ground, self.mark, self.ann, self.bo = ground, mark, f"ann-{mark}", f"bo-{mark}"
        first = 10 ** 6 + uuid.uuid4().int % 10 ** 9
        self.one, self.two = (first, f"acme/one-{mark}"), (first + 1, f"acme/two-{mark}")
        self.of_ann = {ground.labeled_issue(place, number, self.ann, self.bo) for place in (self.one, self.two)
                       for number in (1, 2, 3)}
        self.of_bo = {ground.labeled_issue(place, number, self.bo, self.bo) for place in (self.one, self.two)
                      for number in (4, 5)}
        self.touched = ground.labeled_issue(self.two, 6, self.bo, self.ann)  # bo's, but ann put a label there
        ground.wait_issues(self.of_ann | self.of_bo | {self.touched}, lambda record: record["labels"])

    def words(self, login: str) -> tuple[str, str]:
        return f"words-of-{login}", login


@pytest.fixture
def people(ground, historian) -> People:
    return People(ground)


def rows(data: bytes) -> set[tuple[str, int]]:
    return {(row["repo"], row["number"]) for row in map(json.loads, data.splitlines())}


def test_a_person(ground, people, historian):
    data = ground.dataset()
    mark = people.mark
    before = ground.run(f"made-{mark}", data)
    ground.run(f"failed-{mark}", data, "FAILED")
    other = ground.run(f"other-{mark}", b'{"repo":"x/y","number":1,"created_at":"2020-01-01T00:00:00Z","label":[],"title":"t","body":null}\n')
    # Only looking changes nothing.
    events = len(ground.topics["github.events"].read())
    plan = ground.erase(people.ann, "--dry-run")
    assert (plan["issues"]["wanted"], plan["issues"]["names_wanted"]) == (6, 1)
    assert plan["datasets"] == {"count": 1, "rows": 6, "untold_rows": 0} and plan["files"] == 8
    assert plan["versions"] == [f"under-test/made-{mark}"]
    assert len(ground.topics["github.events"].read()) == events and ground.path(before["dataset"]["sha256"]).exists()
    # Erased.
    report = ground.erase(people.ann)
    assert (report["issues"]["wanted"], report["issues"]["asked"]) == (0, 7)
    assert report["versions"] == [f"under-test/made-{mark}"] and report["runs"] == [f"made-{mark}", f"failed-{mark}"]
    assert report["remains"]["asked"] and report["remains"]["github.events_retention_ms"] == 90 * 24 * 3600 * 1000
    ground.assert_gone(*people.words(people.ann))
    ground.check_registry()
    issues = ground.current("issues")
    for key in people.of_ann:
        record = issues[key]
        assert (record["title"], record["body"], record["author"]) == ("", None, {"by": "person", "login": None})
        assert record["erased_at"] and [label["name"] for label in record["labels"]] == ["kind/bug"]
    for key in people.of_bo:
        assert f"words-of-{people.bo}" in issues[key]["title"] and not issues[key]["erased_at"]
    touched = issues[people.touched]
    assert touched["labels"][0]["by"] == "person" and touched["labels"][0]["added"]["login"] is None
    assert f"words-of-{people.bo}" in touched["title"] and touched["names_erased_at"]
    # The registry: the data without the rows, nothing that quotes it, and what was there.
    version = ground.current("models")[f"under-test/made-{mark}"]
    assert set(version["artefacts"]) == {"model", "metrics", "dataset"}
    after = ground.path(version["artefacts"]["dataset"]["sha256"]).read_bytes()
    assert rows(data) - rows(after) == {(place[1], number) for place in (people.one, people.two) for number in (1, 2, 3)}
    assert all(line in data.splitlines() for line in after.splitlines())
    assert version["snapshot"]["sha256"] == version["artefacts"]["dataset"]["sha256"]
    said = {entry["artefact"]: entry for entry in version["erased"]}
    assert set(said) == {"dataset", *QUOTING} and said["dataset"]["rows"] == 6
    assert said["dataset"]["sha256"] == before["dataset"]["sha256"] and version["order"] >= 1
    failed = ground.current("runs")[f"failed-{mark}"]
    assert "erased" in failed["reason"] and set(failed["artefacts"]) == {"dataset"}
    assert all(ground.path(artefact["sha256"]).is_file() for artefact in other.values())
    assert "erased" not in ground.current("models")[f"under-test/other-{mark}"]
    shown = ground.nodag("models", "show", f"made-{mark}")
    assert "erased dataset:" in shown and "6 rows" in shown and "erased html:" in shown
    # nodag dataset leaves them out and says so.
    counted = run_program([ground.bin_dir / "nodag", "dataset", "under-test", "--specs", ground.specs, *ground.kafka])
    assert rows(counted.stdout.encode()) == rows(data) - {row for row in rows(data) if row[1] in (1, 2, 3)}
    assert "6 whose text was erased" in counted.stderr
    # Once more: there is nothing to do.
    events = len(ground.topics["github.events"].read())
    again = ground.erase(people.ann)
    assert again["records_rewritten"] == 0 and len(ground.topics["github.events"].read()) == events
    assert f"under-test/made-{mark}" in again["versions_earlier"]


def is_deleted(admin: AdminClient) -> bool:
    """Deletes the group's offsets; False while the broker still counts a member that has left."""
    try:
        admin.delete_consumer_groups([GROUP], request_timeout=SEEN_S)[GROUP].result(SEEN_S)
    except KafkaException:
        return False
    return True


def test_nothing_brings_it_back(ground, people, historian):
    """The next webhooks, late ones, an import, and a historian that reads everything anew."""
    ground.erase(people.ann)
    for key in people.of_ann:
        repository, number = (people.one if key.startswith(f"{people.one[0]}#") else people.two), int(key.split("#")[1])
        ground.tell("labeled", repository, number, people.ann, ["kind/bug", "kind/new"], people.bo, "kind/new")
        ground.tell("edited", repository, number, people.ann, ["kind/bug"], people.ann, at=1)
    ground.wait_issues(people.of_ann, lambda record: len(record["labels"]) == 2)
    read = {"repository": {"id": people.one[0], "name": people.one[1], "owner_id": 5, "private": False},
            "issue": {"number": 1, "title": f"words-of-{people.ann}", "body": f"words-of-{people.ann}", "state": "closed",
                      "state_reason": None, "created_at": "2026-01-01T00:00:01Z", "updated_at": "2026-06-01T00:00:00Z",
                      "closed_at": None, "author": {"login": people.ann, "type": "User"}, "labels": ["kind/imported"],
                      "pull_request": False}, "timeline": None}
    ground.produce("github.events", f"{people.one[0]}#1", json.dumps(read).encode(), ce_id=f"import-{people.mark}",
                   ce_type="dev.nodag.github.issue.v1", ce_time="2026-06-01T00:00:00Z")
    ground.wait_issues({f"{people.one[0]}#1"}, lambda record: record["state"] == "closed")
    ground.assert_gone(*people.words(people.ann))
    # A group without offsets begins at the first event.
    historian.stop()
    admin = AdminClient({"bootstrap.servers": ground.brokers, "broker.address.family": "v4"})
    wait_until(lambda: is_deleted(admin), SEEN_S, "the group to be deleted")
    ground.tell("labeled", people.one, 4, people.bo, ["kind/bug", "kind/last"], people.bo, "kind/last")
    historian.start()
    ground.wait_issues({f"{people.one[0]}#4"}, lambda record: len(record["labels"]) == 2)
    assert historian.metric("nodag_historian_nothing_new_total") > 0  # it did read what it knew
    ground.assert_gone(*people.words(people.ann))


@pytest.mark.parametrize("by", ["name", "id", "issue"])
def test_a_repository(ground, people, historian, by):
    data = ground.dataset()
    ground.run(f"made-{people.mark}", data)
    target = {"name": people.one[1].upper(), "id": str(people.one[0]), "issue": f"{people.one[1]}#4"}[by]
    report = ground.erase(target)
    issues = ground.current("issues")
    numbers = {4} if by == "issue" else {1, 2, 3, 4, 5}
    for number in range(1, 6):
        record = issues[f"{people.one[0]}#{number}"]
        assert bool(record["erased_at"]) == (number in numbers) and (record["title"] == "") == (number in numbers)
    assert not any(record["erased_at"] for key, record in issues.items() if key.startswith(f"{people.two[0]}#"))
    assert report["datasets"]["rows"] == len(numbers)
    version = ground.current("models")[f"under-test/made-{people.mark}"]
    after = ground.path(version["artefacts"]["dataset"]["sha256"]).read_bytes()
    assert rows(data) - rows(after) == {(people.one[1], number) for number in numbers}
    ground.check_registry()


def test_after_a_rename(ground, people, historian):
    """Records and rows with the old name belong to the repository, whose name is that of its newest record."""
    data = ground.dataset()
    ground.run(f"made-{people.mark}", data)
    renamed = (people.one[0], f"{people.one[1]}-renamed")
    key = ground.labeled_issue(renamed, 9, people.bo, people.bo)
    ground.wait_issues({key}, lambda record: record["labels"])
    report = ground.erase(renamed[1])
    assert report["datasets"]["rows"] == 5
    assert all(ground.current("issues")[f"{people.one[0]}#{number}"]["erased_at"] for number in (1, 2, 3, 4, 5, 9))


def test_without_a_historian(ground, people, historian):
    """The request stands, and that is said; the command finishes when it is run again."""
    ground.run(f"made-{people.mark}", ground.dataset())
    historian.stop()
    command = [word for word in ground.command(people.ann, "--wait", "300ms") if word != "--json"]
    said = run_program(command, 3).stdout
    assert "NOT DONE YET: 7 issues" in said and "Start `nodag historian`" in said
    historian.start()
    report = ground.erase(people.ann)
    assert report["issues"]["wanted"] == report["issues"]["names_wanted"] == 0
    ground.assert_gone(*people.words(people.ann))
    ground.check_registry()


class Watch:
    """What is written on the registry's and the issues' topics from now on, seen at once: one consumer that stays."""

    def __init__(self, brokers: str):
        self.consumer = Consumer({"bootstrap.servers": brokers, "group.id": "erase-watch", "enable.auto.commit": False,
                                  "broker.address.family": "v4", "fetch.wait.max.ms": 5})
        self.seen: list[tuple[str, dict]] = []
        self.consumer.assign([TopicPartition(name, number, self.consumer.get_watermark_offsets(TopicPartition(name, number), SEEN_S)[1])
                              for name in ("github.events", "issues", "runs", "models")
                              for number in self.consumer.list_topics(name, SEEN_S).topics[name].partitions])

    def read(self) -> list[tuple[str, dict]]:
        for message in self.consumer.consume(100, SLICE_S):
            if not message.error() and message.value():
                self.seen.append((message.topic(), json.loads(message.value())))
        return self.seen


def kill_when(ground: Ground, target: str, condition) -> bool:
    """
    Runs the command a moment at a time and looks while it is stopped; as soon as something is so, it is killed. False: it
    ended before.
    """
    with open(ground.folder / "killed.log", "ab") as log:
        running = subprocess.Popen(ground.command(target), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + SEEN_S
    try:
        while True:
            try:
                return running.wait(SLICE_S) == -signal.SIGKILL
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, "what it waits for does not come"
            running.send_signal(signal.SIGSTOP)
            if condition():
                running.kill()
            running.send_signal(signal.SIGCONT)
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()


def test_killed_after_each_effect(ground, people, historian):
    data = ground.dataset()
    before = ground.run(f"made-{people.mark}", data)
    ground.run(f"failed-{people.mark}", data, "FAILED")
    objects = {path for path in ground.store.rglob("*") if path.is_file()}
    watch = Watch(ground.brokers)

    def has(topic: str, member: str) -> bool:
        return any(name == topic and record.get(member) for name, record in watch.read())

    effects = {
        "a request": lambda: has("github.events", "what"),
        "a record of the historian": lambda: has("issues", "erased_at"),
        "the data set": lambda: {path for path in ground.store.rglob("*") if path.is_file()} - objects,
        "a run's record": lambda: has("runs", "erased"),
        "a version's record": lambda: has("models", "erased"),
        "an object removed": lambda: not all(ground.path(artefact["sha256"]).exists() for artefact in before.values()),
    }
    missed = []
    for name, condition in effects.items():
        if condition() or not kill_when(ground, people.ann, condition):
            missed.append(name)  # it got further than that before the kill came
        ground.check_registry()
    # The historian goes on by itself, and a moment can hold two effects.
    assert "a request" not in missed and len(missed) <= 4
    watch.consumer.close()
    ground.erase(people.ann)
    ground.assert_gone(*people.words(people.ann))
    ground.check_registry()
    assert "made" in ground.nodag("models", "show", f"made-{people.mark}")


def test_killed_anywhere(ground, people, historian):
    data = ground.dataset()
    for number in range(6):
        ground.run(f"made-{number}-{people.mark}", data + b'{"repo":"x/y","number":%d,"created_at":"2020-01-01T00:00:00Z"}\n' % number)
    chance = random.Random(7)
    for _ in range(KILLS):
        until = time.monotonic() + chance.random() * 2
        kill_when(ground, people.ann, lambda: time.monotonic() > until)  # noqa: B023  (it ends within the turn)
        ground.check_registry()
    ground.erase(people.ann)
    ground.assert_gone(*people.words(people.ann))
    ground.check_registry()


def test_a_run_that_ends_later(ground, people, historian):
    """It read the data before: said while it is under way, and its record is mended when it names what is gone."""
    data = ground.dataset()
    ground.run(f"made-{people.mark}", data)
    under_way = {**ground.current("runs")[f"made-{people.mark}"], "run": f"late-{people.mark}", "state": "RUNNING",
                 "ended_at": None, "artefacts": {}}
    ground.produce("runs", under_way["run"], json.dumps(under_way).encode(), ce_id=under_way["run"], ce_type="dev.nodag.run.RUNNING")
    report = ground.erase(people.ann, status=3)
    assert report["runs_under_way"] == [under_way["run"]]
    kept = {path for path in ground.store.rglob("*") if path.is_file()}
    late = ground.run(under_way["run"], data)  # the same data set, put again
    ground.erase(people.ann)
    ground.assert_gone(*people.words(people.ann))
    # Another one that found its data set in the store and did not put it again.
    Path(ground.path(late["dataset"]["sha256"])).unlink(missing_ok=True)
    ground.run(f"later-{people.mark}", data)
    ground.path(late["dataset"]["sha256"]).unlink()
    ground.erase(people.ann)
    ground.assert_gone(*people.words(people.ann))
    ground.check_registry()
    assert kept


def test_a_trainer_keeps_it(ground, people, historian):
    """A trainer that collects rewrites records: from the erased ones, and the newest version stays the newest."""
    data, model = ground.dataset(), f"m-{people.mark}"
    names = [f"{model}-{number}" for number in range(3)]
    for number, name in enumerate(names):
        mine = data if number < 2 else b'{"repo":"x/y","number":1,"created_at":"2020-01-01T00:00:00Z"}\n'
        ground.run(name, mine, model=model)
    ground.erase(people.ann)
    document = {"apiVersion": "nodag.dev/v1", "kind": "Model", "metadata": {"name": model}, "spec": {
        "data": {"repositories": ["acme/*"]}, "labels": {"include": ["kind/*"]}, "train": {"notebook": "train.ipynb"},
        "suspend": True, "history": {"successful": 1, "failed": 1}}}
    ground.produce("specs", f"Model/{model}", json.dumps({"first_published": "2026-11-01T08:00:00Z", "invalid": None, "valid": {
        "repository": "https://forge/acme/code", "branch": "main", "path": "m.yaml", "commit": "a" * 40, "line": 1,
        "document": document}}).encode(), ce_id=model, ce_type="dev.nodag.spec")
    trainer = Daemon(ground.bin_dir / "nodag-trainer", [str(word) for word in [
        "--replica", "trainer", "--host", "here", "--runs", ground.folder / "runs", "--supervisor", "/bin/false", "--artefacts",
        f"file://{ground.store}", "--needs-train-address", "127.0.0.1:0", "--dataset", "/dev/null", *ground.kafka]],
                     ground.folder / "trainer").start()
    try:
        # Both old ones are collected; the newest is the one that was published last, not the one rewritten last.
        wait_until(lambda: [ground.current("models")[f"{model}/{name}"]["collected"] for name in names] == [True, True, False],
                   SEEN_S, "the old versions to be collected")
        for name in names[:2]:
            assert ground.current("models")[f"{model}/{name}"]["erased"]
        ground.check_registry()
    finally:
        trainer.end()
    ground.assert_gone(*people.words(people.ann))


def test_refusals(ground, people):
    """What is not valid does nothing, and says what to do."""
    base = [ground.bin_dir / "nodag-erase", *ground.kafka]
    for words, said in (
            (["a b", "--yes"], "is no login, OWNER/REPO"), (["o/r#0", "--yes"], "is no login"), (["/r", "--yes"], "is no login"),
            ([people.ann, "--artefacts", f"file://{ground.store}"], "--yes says that it is meant")):
        done = subprocess.run([str(word) for word in [*base, *words, "--scratch", ground.scratch]], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=SEEN_S, check=False)
        assert done.returncode == 2 and said in done.stderr, done
    # A store that is not the trainer's.
    ground.run("elsewhere", b'{"repo":"x/y","number":1,"created_at":"2020-01-01T00:00:00Z"}\n' + uuid.uuid4().hex.encode())
    done = run_program([*base, people.ann, "--yes", "--artefacts", f"file://{ground.folder}/other", "--scratch", ground.scratch], 2)
    assert "--artefacts says which store the trainer has" in done.stderr


def test_two_commands(ground, people):
    """The second says so and leaves what the first has under way."""
    folder = ground.scratch / f"nodag-erase-{os.geteuid()}"
    folder.mkdir(mode=0o700)
    ground.run("shared", ground.dataset())
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (folder / "data").write_text("of the first", encoding="utf-8")
        done = subprocess.run(ground.command(people.ann), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SEEN_S, check=False)
        assert done.returncode != 0 and "another nodag erase is at work there" in done.stderr, done
        assert (folder / "data").read_text(encoding="utf-8") == "of the first"
    finally:
        os.close(descriptor)
        shutil.rmtree(folder)
