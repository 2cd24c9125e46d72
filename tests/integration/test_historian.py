"""The historian on a real Kafka: real webhooks through the door, in any order, doubled, with kill -9 in the middle; then
the data set.

Design: issues live lives whose truth is known; each act makes the webhook that GitHub would send, from a real example's
payload. What stands on `issues` in the end is read with another client and compared with the truth.

Invariant: repositories have ids that no other test has, so that topics may keep what earlier tests wrote.
"""
import copy
import json
import random
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from daemon import run_program
from follow import Follower
from payloads import Unavailable, load
from proc import wait_until
from topic import Topic, partition_of
from webhooks import Sender

SECRET = b"it's a secret"
GROUP = "nodag-historian"
BOT = "nodag[bot]"
KILLS = 5
KILL_EVERY = 40  # deliveries
ISSUES = 25
ACTS = 8
LABELS = ["kind/bug", "kind/feature", "area/ui", "help wanted"]
HANDS = {"ann": ("User", "person"), "bo": ("User", "person"), BOT: ("Bot", "this bot"), "ci[bot]": ("Bot", "other bot")}
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
READ_S = 60
KAFKA_PROPERTIES = "broker.address.family=v4\nsession.timeout.ms=6000\nheartbeat.interval.ms=300\n"


@pytest.fixture(scope="module")
def examples():
    try:
        return load()
    except Unavailable as why:
        pytest.skip(f"no payloads: {why}")


@pytest.fixture
def kafka_arguments(topics_created, tmp_path):
    (tmp_path / "kafka.properties").write_text(KAFKA_PROPERTIES, encoding="utf-8")
    return ["--brokers", topics_created.brokers, "--kafka-properties", tmp_path / "kafka.properties"]


@pytest.fixture
def door(start_daemon, kafka_arguments, tmp_path):
    (tmp_path / "secret").write_bytes(SECRET)
    return start_daemon("nodag-ingest-github", "--listen", "127.0.0.1:0", "--secret-file", tmp_path / "secret", "--scope", "*",
                        *kafka_arguments)


@pytest.fixture
def historian(start_daemon, kafka_arguments):
    return start_daemon("nodag-historian", "--login", BOT, "--replica", "historian-under-test", *kafka_arguments)


@pytest.fixture
def follower(topics_created):
    made = Follower(topics_created.brokers, GROUP)
    yield made
    made.close()


@pytest.fixture
def issues(topics_created):
    return Topic(topics_created.brokers, "issues")


def records(issues: Topic) -> dict[str, dict | None]:
    """The newest record of each key that was written in this test; None: a tombstone."""
    found = {}
    for record in issues.read():
        assert record.partition == partition_of(record.key), record.key
        found[record.key.decode()] = json.loads(record.value) if record.value is not None else None
    return found


class Life:
    """One issue: its truth, and the webhooks that told of it."""

    def __init__(self, template: dict, repository: int, number: int, chance: random.Random):
        self.payload, self.chance = copy.deepcopy(template), chance
        self.payload["repository"].update(id=repository, full_name=f"acme/r{repository}", private=False)
        self.issue = self.payload["issue"]
        self.issue.update(number=number, title="opened", body="a body", labels=[], state="open")
        self.at, self.removed, self.hands = START + timedelta(seconds=chance.randrange(10000)), {}, {}
        self.webhooks: list[bytes] = []
        self.tell("opened", "ann")

    @property
    def key(self) -> str:
        return f"{self.payload['repository']['id']}#{self.issue['number']}"

    def tell(self, action: str, hand: str, label: str | None = None) -> None:
        self.at += timedelta(seconds=1 + self.chance.randrange(100))
        self.issue["updated_at"] = self.at.strftime("%Y-%m-%dT%H:%M:%SZ")
        said = {**self.payload, "action": action}
        said["sender"] = {**said["sender"], "login": hand, "type": HANDS[hand][0]}
        if label:
            said["label"] = {"id": 1, "name": label, "color": "ffffff", "default": False}
        self.webhooks.append(json.dumps(said).encode())

    def act(self) -> None:
        hand, label = self.chance.choice(list(HANDS)), self.chance.choice(LABELS)
        present = [entry["name"] for entry in self.issue["labels"]]
        if self.chance.random() < 0.2:
            self.issue["title"] = f"edited at {self.at}"
            self.tell("edited", hand)
        elif label in present:
            self.issue["labels"] = [entry for entry in self.issue["labels"] if entry["name"] != label]
            self.removed[label] = hand
            self.tell("unlabeled", hand, label)
        else:
            self.issue["labels"] = [*self.issue["labels"], {"id": 1, "name": label, "color": "ffffff"}]
            self.removed.pop(label, None)
            self.hands[label] = hand
            self.tell("labeled", hand, label)

    def check(self, record: dict) -> None:
        """What must be true of its record."""
        assert (record["number"], record["title"], record["body"]) == (self.issue["number"], self.issue["title"], "a body")
        assert record["repository"]["name"] == self.payload["repository"]["full_name"]
        assert record["updated_at"] == self.issue["updated_at"]
        present = {entry["name"]: HANDS[self.hands[entry["name"]]][1] for entry in self.issue["labels"]}
        assert {label["name"]: label["by"] for label in record["labels"]} == present
        for label in record["labels"]:
            assert label["added"]["login"] == self.hands[label["name"]]
        assert {label["name"]: label["removed"]["login"] for label in record["removed"]} == self.removed


def lives(examples, seed: int) -> list[Life]:
    template = next(payload.content for payload in examples
                    if payload.event == "issues" and payload.content["action"] == "opened" and "changes" not in payload.content)
    chance = random.Random(seed)
    repository = 10 ** 9 + uuid.uuid4().int % 10 ** 9
    made = [Life(template, repository, number, chance) for number in range(1, ISSUES + 1)]
    for life in made:
        for _ in range(chance.randrange(ACTS)):
            life.act()
    return made


def test_any_order_doubled_and_killed(examples, door, historian, follower, issues):
    made = lives(examples, 20260101)
    chance = random.Random(1)
    deliveries = [(str(uuid.uuid4()), webhook) for life in made for webhook in life.webhooks]
    deliveries += chance.sample(deliveries, len(deliveries) // 4)
    chance.shuffle(deliveries)
    sender, kills = Sender(door.port), 0
    for index, (delivery, webhook) in enumerate(deliveries):
        assert sender.deliver("issues", SECRET, webhook, delivery=delivery).status == 202
        if index % KILL_EVERY == KILL_EVERY - 1 and kills < KILLS:
            kills += 1
            historian.kill()
            historian.start(wait=False)
    assert kills >= 3
    historian.wait_ready()
    follower.wait_finished()
    found = records(issues)
    for life in made:
        life.check(found[life.key])


def test_every_example_is_read_or_passed_over(examples, door, historian, follower, issues, topics_created):
    """Real payloads of every event: nothing is refused, and issues that live on have records."""
    letters, sender = Topic(topics_created.brokers, "dead.letters"), Sender(door.port)
    repository = 10 ** 9 + uuid.uuid4().int % 10 ** 9
    # The App left these accounts in one of the examples, and that is the present: their issues are gone.
    left = {payload.content["installation"]["account"]["id"] for payload in examples
            if payload.event == "installation" and payload.content["action"] == "deleted"}
    opened = set()
    for number, payload in enumerate(examples, 1):
        content = copy.deepcopy(payload.content)
        if payload.event in ("issues", "issue_comment"):
            content["repository"]["id"] = repository
            content["issue"]["number"] = number
            is_gone = content["action"] in ("deleted", "transferred") and payload.event == "issues"
            is_gone = is_gone or content["repository"]["owner"]["id"] in left
            if not is_gone and not content["repository"]["private"] and "pull_request" not in content["issue"]:
                opened.add(f"{repository}#{number}")
        assert sender.deliver(payload.event, SECRET, json.dumps(content).encode()).status == 202
    follower.wait_finished()
    found = records(issues)
    assert {key for key, record in found.items() if record and key.startswith(f"{repository}#")} == opened
    assert [letter.attributes for letter in letters.read()] == []
    assert historian.metric('nodag_historian_published_total{kind="record"}') >= len(opened)


def test_repository_deleted(examples, door, historian, follower, issues):
    """The webhook stands in one partition, the issues in all."""
    made = lives(examples, 7)
    sender = Sender(door.port)
    for life in made:
        assert sender.deliver("issues", SECRET, life.webhooks[-1]).status == 202
    follower.wait_finished()
    assert len({partition_of(life.key.encode()) for life in made}) > 6
    content = next(copy.deepcopy(payload.content) for payload in examples if payload.event == "repository")
    content["action"] = "deleted"
    content["repository"].update(id=made[0].payload["repository"]["id"], full_name="acme/gone", private=False)
    assert sender.deliver("repository", SECRET, json.dumps(content).encode()).status == 202
    keys = {life.key for life in made}
    wait_until(lambda: all(record is None for key, record in records(issues).items() if key in keys), READ_S, "tombstones")
    follower.wait_finished()
    newest = {record.key.decode(): record.attributes["ce_type"] for record in issues.read() if record.key.decode() in keys}
    assert newest == {key: "dev.nodag.issue.gone.repository-deleted" for key in keys}


MODEL = """\
apiVersion: nodag.dev/v1
kind: Model
metadata: {{name: under-test}}
spec:
  data: {{repositories: ["{repository}"], maxAge: 3650d}}
  labels: {{include: ["kind/*", "area/*"], minExamples: 1}}
  train: {{notebook: train.ipynb}}
---
apiVersion: nodag.dev/v1
kind: Labeler
metadata: {{name: under-test}}
spec:
  repositories: ["{repository}"]
  labels: {{include: ["kind/*"]}}
  models: [{{file: none}}]
  since: 2026-01-01
  audit: {{holdback: 25%}}
"""


def test_dataset(examples, door, historian, follower, bin_dir, kafka_arguments, tmp_path):
    made = lives(examples, 99)
    sender = Sender(door.port)
    for life in made:
        for webhook in life.webhooks:
            assert sender.deliver("issues", SECRET, webhook).status == 202
    follower.wait_finished()
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "model.yaml").write_text(
        MODEL.format(repository=made[0].payload["repository"]["full_name"]), encoding="utf-8")
    command = [bin_dir / "nodag", "dataset", "under-test", "--specs", tmp_path / "specs", *kafka_arguments]
    first = run_program([*command, "--offsets-out", tmp_path / "offsets.json"])
    rows = {row["number"]: row for row in map(json.loads, first.stdout.splitlines())}
    wanted = {}
    for life in made:
        human = sorted(entry["name"] for entry in life.issue["labels"]
                       if HANDS[life.hands[entry["name"]]][1] == "person" and entry["name"] != "help wanted")
        removed = sorted(name for name, hand in life.removed.items()
                         if HANDS[hand][1] == "person" and name != "help wanted")
        if human or removed:
            wanted[life.issue["number"]] = (human, removed)
    learnt = {name for human, _ in wanted.values() for name in human}
    wanted = {number: (human, [name for name in removed if name in learnt]) for number, (human, removed) in wanted.items()}
    wanted = {number: lists for number, lists in wanted.items() if lists[0] or lists[1]}
    assert {number: (row["label"], row["removed"]) for number, row in rows.items()} == wanted
    assert any(row["held_back"] for row in rows.values())
    assert all(row["weight"] == (4 if row["held_back"] else 1) for row in rows.values())
    # The same offsets give the same bytes, whatever came later.
    life = made[0]
    life.act()
    life.tell("edited", "ann")
    assert sender.deliver("issues", SECRET, life.webhooks[-1]).status == 202
    follower.wait_finished()
    run_program([*command])
    other = [issue for issue in rows if issue != life.issue["number"]]
    again = run_program([*command, "--offsets", tmp_path / "offsets.json"])
    assert again.stdout == first.stdout and other
    # What is printed can be trained on, in both formats.
    for name in ("json", "csv"):
        data = tmp_path / f"data.{'jsonl' if name == 'json' else 'csv'}"
        data.write_text(run_program([*command, "--format", name]).stdout, encoding="utf-8")
        shown = run_program([bin_dir / "nodag-model", "train", "--data", data, "--model", tmp_path / "m", "--min-examples", "1"]).stderr
        assert "ERROR" not in shown


def test_dataset_without_a_model(bin_dir, kafka_arguments, topics_created):
    done = run_program([bin_dir / "nodag", "dataset", "nobody", *kafka_arguments], 1)
    assert "Model/nobody: there is no such document" in done.stderr
