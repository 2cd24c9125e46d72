"""What the tests of `nodag erase` stand on: a broker of their own, webhooks, a registry, an artefact store.

Design: webhooks go straight onto github.events, as the door would put them there. Every word that a person wrote is one
that nobody else writes (their login in it), so that a search of all bytes tells whether anything is left. The registry's
records and the store's objects are made as a trainer makes them; the data set of a version is what `nodag dataset` prints.

Invariant: `check_registry` holds at every moment, also after a kill: no record names an object that is not there.
"""
from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from confluent_kafka import Producer
from daemon import Daemon, run_program
from proc import wait_until
from topic import Topic

ACK_S = 30
SEEN_S = 60  # With sanitizers on a busy machine; a second is usual.
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
MODEL = """\
apiVersion: nodag.dev/v1
kind: Model
metadata: {name: under-test}
spec:
  data: {repositories: ["*/*"], maxAge: 3650d}
  labels: {include: ["kind/*"], minExamples: 1}
  train: {notebook: train.ipynb}
"""
QUOTING = ("notebook", "html", "log", "predictions")  # artefacts that may hold what is in the data


def when(second: int) -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Ground:
    def __init__(self, brokers: str, bin_dir: Path, folder: Path):
        self.brokers, self.bin_dir, self.folder = brokers, bin_dir, folder
        self.store, self.specs, self.scratch = folder / "store", folder / "specs", folder / "scratch"
        self.properties = folder / "kafka.properties"
        self.properties.write_text("broker.address.family=v4\nsession.timeout.ms=6000\nheartbeat.interval.ms=300\n")
        for made in (self.store, self.specs, self.scratch):
            made.mkdir()
        (self.specs / "model.yaml").write_text(MODEL)
        self.producer = Producer({"bootstrap.servers": brokers, "broker.address.family": "v4", "acks": "all",
                                  "partitioner": "murmur2_random"})
        self.topics = {name: Topic(brokers, name) for name in ("issues", "runs", "models", "github.events")}
        for topic in self.topics.values():
            topic.start = {}
        self.second = 0

    # -- programs ----------------------------------------------------------------------------------------------------

    @property
    def kafka(self) -> list:
        return ["--brokers", self.brokers, "--kafka-properties", self.properties]

    def historian(self) -> Daemon:
        """A historian that is not started; always the same replica, so that nobody waits for the last one's session to end."""
        return Daemon(self.bin_dir / "nodag-historian", [str(word) for word in ["--replica", "historian", *self.kafka]],
                      self.folder / "historian")

    def command(self, target: str, *options) -> list[str]:
        return [str(word) for word in [self.bin_dir / "nodag-erase", target, "--artefacts", f"file://{self.store}", "--scratch",
                                       self.scratch, "--yes", "--json", *self.kafka, *options]]

    def erase(self, target: str, *options, status: int = 0) -> dict:
        done = run_program(self.command(target, *options), status)
        assert list(self.scratch.iterdir()) == [], "a copy stayed behind"
        return json.loads(done.stdout)

    def nodag(self, *words) -> str:
        return run_program([self.bin_dir / "nodag", *words, *self.kafka]).stdout

    # -- webhooks ----------------------------------------------------------------------------------------------------

    def produce(self, topic: str, key: str, value: bytes | None, **attributes: str) -> None:
        headers = {"ce_specversion": "1.0", "ce_source": "tests", "content-type": "application/json", **attributes}
        self.producer.produce(topic, value, key, headers=headers)
        assert self.producer.flush(ACK_S) == 0

    def tell(self, action: str, repository: tuple[int, str], number: int, author: str, labels: list[str], sender: str,
             label: str | None = None, at: int | None = None, text: str | None = None) -> None:
        """A webhook of an issue; every one carries the whole text."""
        self.second += 1
        at = self.second if at is None else at
        words = text or f"words-of-{author}"
        payload = {
            "action": action,
            "issue": {"number": number, "title": f"title {words} {number}", "body": f"body {words}", "state": "open",
                      "created_at": when(repository[0] % 10 ** 7 + number), "updated_at": when(at), "closed_at": None,
                      "user": {"login": author, "type": "User"}, "labels": [{"name": name} for name in labels]},
            "repository": {"id": repository[0], "full_name": repository[1], "private": False,
                           "owner": {"id": 5, "login": "acme"}},
            "sender": {"login": sender, "type": "User"}, **({"label": {"name": label}} if label else {})}
        self.produce("github.events", f"{repository[0]}#{number}", json.dumps(payload).encode(),
                     ce_id=f"tests-{os.getpid()}-{id(self)}-{self.second}", ce_type=f"com.github.issue.{action}",
                     ce_time=when(at), ce_subject=str(number), ce_githubrepository=repository[1])

    def labeled_issue(self, repository: tuple[int, str], number: int, author: str, labeler: str) -> str:
        self.tell("opened", repository, number, author, [], author)
        self.tell("labeled", repository, number, author, ["kind/bug"], labeler, "kind/bug")
        return f"{repository[0]}#{number}"

    # -- what stands there -------------------------------------------------------------------------------------------

    def current(self, topic: str) -> dict[str, dict]:
        """The newest record of each key; what has a tombstone is left out."""
        newest = {record.key.decode(): record.value for record in self.topics[topic].read()}
        return {key: json.loads(value) for key, value in newest.items() if value is not None}

    def wait_issues(self, keys: set[str], condition=lambda record: True) -> None:
        wait_until(lambda: all(key in (found := self.current("issues")) and condition(found[key]) for key in keys), SEEN_S,
                   f"records of {keys}")

    def assert_gone(self, *words: str) -> None:
        """No object of the store and no newest record has any of the words."""
        for path in self.store.rglob("*"):
            for word in words if path.is_file() else ():
                assert word.encode() not in path.read_bytes(), f"{word} in {path}"
        for topic in ("issues", "runs", "models"):
            for key, record in self.current(topic).items():
                for word in words:
                    assert word not in json.dumps(record), f"{word} in {topic} {key}: {record}"

    # -- the registry ------------------------------------------------------------------------------------------------

    def path(self, sha256: str) -> Path:
        return self.store / "sha256" / sha256[:2] / sha256

    def put(self, data: bytes) -> dict:
        sha256 = hashlib.sha256(data).hexdigest()
        self.path(sha256).parent.mkdir(parents=True, exist_ok=True)
        self.path(sha256).write_bytes(data)
        return {"uri": f"file://{self.path(sha256)}", "sha256": sha256, "size_bytes": len(data)}

    def dataset(self) -> bytes:
        return run_program([self.bin_dir / "nodag", "dataset", "under-test", "--specs", self.specs, *self.kafka]).stdout.encode()

    def run(self, name: str, data: bytes, state: str = "SUCCEEDED", model: str = "under-test") -> dict:
        """A run that is over, and its version if it succeeded; its quoting artefacts quote all of the data."""
        artefacts = {"dataset": self.put(data), **{kind: self.put(kind.encode() + b" of " + name.encode() + b"\n" + data)
                                                   for kind in QUOTING}}
        if state == "SUCCEEDED":
            artefacts |= {"model": self.put(b"model of " + name.encode()), "metrics": self.put(b"{}" + name.encode())}
        run = {"run": name, "model": model, "cause": "c", "stale": ["no-model"], "attempt": 1, "executor": "local",
               "host": "here", "state": state, "reason": data.decode()[:300] if state == "FAILED" else "",
               "spec_sha256": "", "repository": "https://forge/acme/code", "commit": "a" * 40, "notebook": "train.ipynb",
               "created_at": when(0), "started_at": when(0), "ended_at": when(1), "deadline_ms": 1000,
               "artefacts": artefacts, "collected": False}
        if state == "SUCCEEDED":
            version = {"model": model, "version": name, "run": name, "repository": run["repository"],
                       "commit": run["commit"], "notebook": run["notebook"], "created_at": when(1), "collected": False,
                       "artefacts": artefacts, "metrics": {"f1_macro": 0.5}, "thresholds": {},
                       "snapshot": {"sha256": artefacts["dataset"]["sha256"], "taken_at": when(0), "offsets": None}}
            self.produce("models", f"{model}/{name}", json.dumps(version).encode(), ce_id=f"{name}/made",
                         ce_type="dev.nodag.model")
        self.produce("runs", name, json.dumps(run).encode(), ce_id=f"{name}/{state}", ce_type=f"dev.nodag.run.{state}")
        return artefacts

    def check_registry(self) -> None:
        """No record names what is not there, nor what it says is erased."""
        for topic in ("runs", "models"):
            for key, record in self.current(topic).items():
                if record["collected"]:
                    continue
                erased = {entry["sha256"] for entry in record.get("erased", [])}
                for name, artefact in record["artefacts"].items():
                    assert self.path(artefact["sha256"]).is_file(), f"{key} names {name}, which is not there"
                    assert artefact["sha256"] not in erased
