"""The commands `nodag`, `nodag topics`, `nodag tail` and `nodag status` on a real Kafka.

Design: what the cluster looks like is changed and asked through another client (confluent_kafka), so that a command is
never its own witness.

Invariant: a test leaves the topics as it found them, but for records under keys of its own.
"""
from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic,
                                   ResourceType)
from daemon import run_program
from topic import partition_of

ADMIN_S = 30  # For one request to the controller.
TOPICS = 13
ISSUE_TYPE = "com.github.issue.opened"


@pytest.fixture
def nodag(bin_dir, topics_created):
    """nodag(ARGUMENT…, status=0): runs the command against the broker of the run and returns what it printed."""
    def run(*arguments, status: int = 0, brokers: bool = True, env: dict | None = None):
        where = ["--brokers", topics_created.brokers] if brokers else []
        return run_program([bin_dir / "nodag", *arguments, *where], status, env)
    return run


@pytest.fixture
def admin(topics_created) -> AdminClient:
    """Another client's way to look at and change topics."""
    return AdminClient({"bootstrap.servers": topics_created.brokers})


def configs_of(admin: AdminClient, topic: str) -> dict[str, str]:
    """What is in force for a topic."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    found = admin.describe_configs([resource])[resource].result(ADMIN_S)
    return {name: entry.value for name, entry in found.items()}


def set_configs(admin: AdminClient, topic: str, configs: dict[str, str]) -> None:
    """Sets these configurations of a topic and leaves the others."""
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in configs.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(ADMIN_S)


def publish(brokers: str, topic: str, records: list[tuple]) -> None:
    """Publishes (key, value, headers[, partition]) and waits."""
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random"})
    for key, value, headers, *partition in records:
        producer.produce(topic, value=value, key=key, headers=headers, **({"partition": partition[0]} if partition else {}))
    assert producer.flush(ADMIN_S) == 0


# ---- topics ----

def test_create_is_idempotent(nodag):
    assert nodag("topics", "create").stdout.count(" exists") == TOPICS
    assert nodag("topics", "create", "--dry-run").stdout.count(" exists") == TOPICS
    assert "as they should be" in nodag("topics", "check").stdout


def test_list_tells_all(nodag):
    table = nodag("topics", "list").stdout.splitlines()
    assert len(table) == TOPICS + 1
    objects = {row["topic"]: row for row in json.loads(nodag("topics", "list", "--json").stdout)}
    assert objects["github.events"]["partitions"] == 12
    assert objects["github.events"]["configs"]["max.message.bytes"] == str(28 << 20)
    assert objects["specs"]["configs"]["cleanup.policy"] == "compact"


def test_check_finds_and_fixes_drift(nodag, admin):
    before = configs_of(admin, "runs")
    set_configs(admin, "runs", {"cleanup.policy": "delete", "flush.messages": "1000"})
    drifts = json.loads(nodag("topics", "check", "--json", status=3).stdout)
    assert {row["topic"] for row in drifts} == {"runs"}
    assert ("cleanup.policy", "delete", "compact", "fixable") in [
        (row["what"], row["found"], row["wanted"], row["kind"]) for row in drifts]
    assert "was set now" in nodag("topics", "check", "--fix").stdout
    nodag("topics", "check")
    after = configs_of(admin, "runs")
    assert after["flush.messages"] == "1000"  # what others set stays
    assert after["segment.ms"] == before["segment.ms"]


def test_check_refuses_another_number_of_partitions(nodag, admin):
    admin.delete_topics(["gaps"])["gaps"].result(ADMIN_S)
    try:
        wait_created(admin, NewTopic("gaps", 3, 1))
        drifts = json.loads(nodag("topics", "check", "--json", "--fix", status=3).stdout)
        kinds = {row["what"]: row["kind"] for row in drifts}
        assert kinds["partitions"] == "refused"
        assert len(admin.list_topics("gaps").topics["gaps"].partitions) == 3
        assert "lose their order" in nodag("topics", "check", status=3).stdout
    finally:
        admin.delete_topics(["gaps"])["gaps"].result(ADMIN_S)
        deadline = time.monotonic() + ADMIN_S
        while "gaps" in admin.list_topics().topics:
            assert time.monotonic() < deadline
        assert "gaps             created" in nodag("topics", "create").stdout
    nodag("topics", "check")


def wait_created(admin: AdminClient, topic: NewTopic) -> None:
    """Creates a topic whose name is still being deleted."""
    deadline = time.monotonic() + ADMIN_S
    while True:
        try:
            admin.create_topics([topic])[topic.topic].result(ADMIN_S)
            return
        except Exception:  # pylint: disable=broad-except  # of any kind until the old one is gone
            assert time.monotonic() < deadline


def test_no_broker_is_told(nodag, tmp_path):
    for command in (["topics", "list"], ["topics", "create"], ["tail", "runs"], ["status"]):
        done = nodag(*command, "--brokers", "127.0.0.1:1", brokers=False, status=1)
        assert "no answer from 127.0.0.1:1" in done.stderr and "--brokers" in done.stderr
    properties = tmp_path / "kafka.properties"
    properties.write_text("# secrets\nsasl.password=hunter2\nacks=1\n", encoding="utf-8")
    done = nodag("status", "--kafka-properties", properties, status=1)
    assert f"{properties}:3" in done.stderr and "hunter2" not in done.stderr


def test_acls(nodag):
    table = nodag("topics", "acls", "labeler", brokers=False).stdout
    assert "nodag-labeler" in table and "ingest-github" not in table
    commands = nodag("topics", "acls", "--format", "commands", "--principal-prefix", "User:it's-", brokers=False).stdout
    assert subprocess.run(["bash", "-n"], input=commands, text=True, check=False).returncode == 0
    assert nodag("topics", "acls", "labler", brokers=False, status=2).stderr.count("did you mean labeler") == 1


# ---- tail ----

@pytest.fixture
def tailed(topics_created) -> str:
    """A key of its own with four records: two events, bytes that are no text, a tombstone."""
    key = f"{time.time_ns()}#7"
    headers = [("ce_id", b"1"), ("ce_type", ISSUE_TYPE.encode()), ("ce_githubrepository", b"Tail/Test"), ("ce_subject", b"7")]
    publish(topics_created.brokers, "github.events", [
        (key, b'{"n": 1}', headers),
        (key, b"\xff\x00", [*headers, ("ce_id", b"again"), ("bad", b"\x1b[31m\xff")]),
        (key, None, [("ce_type", b"com.github.issue.deleted")]),
    ])
    return key


def tail_json(nodag, *arguments) -> list[dict]:
    """The records that tail prints."""
    return [json.loads(line) for line in nodag("tail", "github.events", "--json", *arguments).stdout.splitlines()]


def test_tail_prints_records_as_they_are(nodag, tailed):
    first, second, third = tail_json(nodag, "--key", tailed)
    assert first["value"] == '{"n": 1}' and first["headers"]["ce_id"] == "1"
    assert base64.b64decode(second["value_base64"]) == b"\xff\x00"
    assert second["headers"]["ce_id"] == ["1", "again"]
    assert base64.b64decode(second["headers"]["bad_base64"]) == b"\x1b[31m\xff"
    assert third["value"] is None
    assert {record["partition"] for record in (first, second, third)} == {partition_of(tailed.encode(), 12)}
    assert [record["offset"] for record in (second, third)] == [first["offset"] + 1, first["offset"] + 2]
    text = nodag("tail", "github.events", "--key", tailed).stdout
    assert "\x1b" not in text and "\\x1b[31m\\xff" in text and "tombstone" in text


def test_tail_prints_payloads(nodag, topics_created, tailed):
    publish(topics_created.brokers, "github.events", [(f"{tailed}p", b'{"n": [1]}', [])])
    arguments = ["tail", "github.events", "--key", f"{tailed}p", "--payload"]
    assert '\n{\n  "n": [\n    1\n  ]\n}\n' in nodag(*arguments, "pretty").stdout
    assert '\n{"n": [1]}\n' in nodag(*arguments, "raw").stdout
    assert "(10 bytes; --payload shows them)" in nodag(*arguments, "none").stdout


@pytest.mark.parametrize(("arguments", "count"), [
    (["--name", "tail/test#7"], 2), (["--name", "tail/test#8"], 0), (["--type", "com.github.issue.*"], 3),
    (["--type", ISSUE_TYPE], 2), (["--since", "1h"], 3), (["--until", "1h"], 0), (["--from-beginning"], 3),
    (["-n", "10000"], 3), (["--since", "1h", "-n", "1", "--type", "*.deleted"], 1),
])
def test_tail_filters(nodag, tailed, arguments, count):
    assert sum(record["key"] == tailed for record in tail_json(nodag, *arguments)) == count


def test_tail_shows_the_newest(nodag, tailed):
    newest = tail_json(nodag, "-n", "2")
    assert [record["key"] for record in newest] == [tailed, tailed]
    assert newest[1]["value"] is None


def test_tail_follows_until_interrupted(bin_dir, topics_created, tailed):
    command = [bin_dir / "nodag", "tail", "github.events", "--key", tailed, "--json", "--follow", "--brokers",
               topics_created.brokers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        try:
            assert [json.loads(tail.stdout.readline())["key"] for _ in range(3)] == [tailed] * 3
            publish(topics_created.brokers, "github.events", [(tailed, b"more", [])])
            assert json.loads(tail.stdout.readline())["value"] == "more"
            tail.send_signal(signal.SIGINT)
            assert tail.wait(ADMIN_S) == 0
        finally:
            tail.kill()


def test_tail_names_the_nearest_topic(nodag):
    assert "did you mean github.events" in nodag("tail", "github.event", status=2).stderr
    nodag("tail", status=2)
    nodag("tail", "runs", "--name", "x", status=2)


# ---- status ----

def test_status_folds_pending(nodag, topics_created):
    stalled = {"outcome": "STALLED", "reason": "no such label", "attempts": 3, "note": "a/b#1"}
    retry = {"outcome": "RETRY", "reason": "503", "attempts": 1, "not_before": "2999-01-01T00:00:00Z"}
    gone = [(f"statustest|{n}", None, [], 3) for n in range(4)]
    publish(topics_created.brokers, "pending", [
        ("statustest|0", json.dumps(retry), [], 3), ("statustest|0", json.dumps(stalled), [], 3),
        ("statustest|1", json.dumps(retry), [], 3), ("statustest|2", b"no json", [], 3),
        ("statustest|3", json.dumps(retry), [], 3), ("statustest|3", None, [], 3)])
    try:
        rows = json.loads(nodag("status", "--reactor", "statustest", "--json").stdout)
        assert [(row["outcome"], row["key"]) for row in rows] == [("DAMAGED", "2"), ("STALLED", "0"), ("RETRY", "1")]
        table = nodag("status", "--reactor", "statustest", "--outcome", "STALLED").stdout
        assert "no such label" in table and "a/b#1" in table and "503" not in table
    finally:
        publish(topics_created.brokers, "pending", gone)
    assert "Nothing is pending" in nodag("status", "--reactor", "statustest").stdout


# ---- nodag ----

def test_dispatch(nodag, tmp_path):
    own = tmp_path / "nodag-hello.you"
    own.write_text('#!/bin/sh\necho "hello $*"; exit 7\n', encoding="utf-8")
    own.chmod(0o755)
    (tmp_path / "nodag-plain").write_text("not executable", encoding="utf-8")
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert nodag("hello.you", "a b", "--c", brokers=False, status=7, env=env).stdout == "hello a b --c\n"
    listed = nodag("--help", brokers=False, env=env).stdout
    names = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line.strip()]
    assert "hello.you" in names and "topics" in names and "plain" not in names
    assert nodag("help", "tail", brokers=False).stdout == nodag("tail", "--help", brokers=False).stdout
    assert nodag("--version", brokers=False).stdout.startswith("nodag ")
    assert "did you mean topics" in nodag("topic", brokers=False, status=2).stderr
    for wrong in ([], ["--frob"], ["../bin/sh"], ["topics"], ["topics", "frob"], ["completion", "fish"]):
        nodag(*wrong, brokers=False, status=2)


@pytest.mark.parametrize(("words", "expected"), [
    (["nodag", "to"], {"topics"}), (["nodag", "topics", "cr"], {"create"}),
    (["nodag", "topics", "check", "--fi"], {"--fix"}), (["nodag", "tail", "--foll"], {"--follow"}),
    (["nodag", "help", "stat"], {"status"}),
])
def test_completion(nodag, bin_dir, words, expected):
    script = nodag("completion", "bash", brokers=False).stdout
    script += f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _nodag; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    env = {**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=env)
    assert set(done.stdout.split()) == expected
