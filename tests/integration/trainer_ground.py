"""What the trainer's tests stand on: one trainer at a time or two, its folders, its documents, its topics, its runs.

Design: the supervisor is stand_in_supervisor.py, which keeps to the contract of a run's directory and is told by files
how to end. The topics are read with another client. A test has models of its own and deletes their documents at its
end, so that nothing is left under way.

Invariants: `check` holds for all of `runs`, whatever any test did: of a model at most one run is not terminal, and
each run has one terminal record.
"""
from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from confluent_kafka import Producer
from daemon import Daemon, run_program
from proc import wait_until
from topic import Topic

ACK_S = 30
SEEN_S = 60  # With sanitizers on a busy machine; a second is usual.
COMMIT_A, COMMIT_B = "a" * 40, "b" * 40
REPOSITORY = "https://forge/acme/code"
SUPERVISOR = Path(__file__).resolve().parent / "stand_in_supervisor.py"
TERMINAL = {"SUCCEEDED", "FAILED", "CANCELLED", "LOST"}
# Members that die are missed sooner; six seconds is the least that a broker allows.
KAFKA_PROPERTIES = "broker.address.family=v4\nsession.timeout.ms=6000\nheartbeat.interval.ms=300\n"
PLAIN = {"data": {"repositories": ["acme/*"]}, "labels": {"include": ["kind/*"]},
         "train": {"notebook": "notebooks/train.ipynb"}}


class Ground:
    """Folders, topics and documents."""

    def __init__(self, brokers: str, bin_dir: Path, folder: Path):
        self.brokers, self.bin_dir, self.folder = brokers, bin_dir, folder
        self.runs = folder / "runs"
        self.properties = folder / "kafka.properties"
        self.properties.write_text(KAFKA_PROPERTIES)
        self.producer = Producer({"bootstrap.servers": brokers, "broker.address.family": "v4", "acks": "all"})
        self.topics = {name: Topic(brokers, name) for name in ("runs", "models", "pending")}
        self.documents: set[str] = set()
        self.published = 0

    # -- the daemon --------------------------------------------------------------------------------------------------

    def trainer(self, name: str, *more) -> Daemon:
        """A trainer that is not started; replicas have different names and share everything else."""
        arguments = ["--brokers", self.brokers, "--kafka-properties", self.properties, "--replica", name,
                     "--runs", self.runs, "--host", "here", "--supervisor", SUPERVISOR,
                     "--artefacts", f"file://{self.folder}/artefacts", "--needs-train-address", "127.0.0.1:0",
                     "--dataset", "/dev/null", "--backoff-least", "50ms", "--backoff-most", "500ms",
                     "--sweep-interval", "1d", *more]
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        return Daemon(self.bin_dir / "nodag-trainer", [str(word) for word in arguments], self.folder / name,
                      environment)

    # -- topics ------------------------------------------------------------------------------------------------------

    def publish(self, topic: str, key: str, value: dict | None) -> None:
        self.published += 1
        self.producer.produce(topic, json.dumps(value) if value is not None else None, key, headers={
            "ce_specversion": "1.0", "ce_id": f"{key}/{os.getpid()}/{self.published}", "ce_source": "tests",
            "ce_type": "dev.nodag.test", "content-type": "application/json"})
        assert self.producer.flush(ACK_S) == 0

    def document(self, name: str, commit: str = COMMIT_A, **spec) -> None:
        """Publishes a Model document as ingest-git does."""
        document = {"apiVersion": "nodag.dev/v1", "kind": "Model", "metadata": {"name": name},
                    "spec": {**PLAIN, **spec}}
        place = {"repository": REPOSITORY, "branch": "main", "path": "nodag/model.yaml", "commit": commit, "line": 1}
        self.documents.add(name)
        self.publish("specs", f"Model/{name}", {"first_published": "2026-11-01T08:00:00Z", "invalid": None,
                                                "valid": {**place, "document": document}})

    def delete(self, name: str) -> None:
        self.documents.discard(name)
        self.publish("specs", f"Model/{name}", None)

    def push(self, old: str | None, new: str, paths: list[str], move: int) -> None:
        """Publishes a move of the head as ingest-git does."""
        self.publish("git.pushes", f"{REPOSITORY}|refs/heads/main", {
            "repository": REPOSITORY, "ref": "refs/heads/main", "old": old, "new": new, "move": move,
            "created": old is None, "deleted": False, "forced": False, "time": None, "commits": [], "paths": paths,
            "truncated": {"commits": False, "paths": False}})

    def records(self, topic: str, model: str) -> list[dict]:
        """The records of a model, oldest first; tombstones are left out."""
        found = [json.loads(record.value) for record in self.topics[topic].read() if record.value]
        return [record for record in found if record["model"] == model]

    def states(self, model: str) -> list[str]:
        return [record["state"] for record in self.records("runs", model) if not record["collected"]]

    def wait_states(self, model: str, *states: str) -> list[dict]:
        """Waits until the runs of a model went through exactly these states; the records."""
        wait_until(lambda: self.states(model) == list(states), SEEN_S, f"{model}: {states}, not {self.states(model)}")
        return self.records("runs", model)

    def pending(self, model: str) -> dict | None:
        """The newest record of `pending` about a model."""
        found = [record for record in self.topics["pending"].read() if record.key == f"trainer|Model/{model}".encode()]
        return json.loads(found[-1].value) if found and found[-1].value else None

    def check(self) -> None:
        """The promises, over everything on `runs`."""
        open_runs: dict[str, set] = {}
        over: dict[str, str] = {}
        for record in self.topics["runs"].read():
            if not record.value:
                continue
            run = json.loads(record.value)
            if run["collected"]:
                continue
            name, model = run["run"], run["model"]
            assert name not in over, f"{name} is {run['state']} after it was {over[name]}"
            if run["state"] in TERMINAL:
                over[name] = run["state"]
                open_runs.setdefault(model, set()).discard(name)
            else:
                open_runs.setdefault(model, set()).add(name)
            assert len(open_runs[model] if model in open_runs else ()) <= 1, f"{model}: {open_runs[model]}"

    # -- runs --------------------------------------------------------------------------------------------------------

    def run_folder(self, model: str) -> Path:
        """The directory of the newest run whose supervisor has begun."""
        def newest() -> Path | None:
            found = sorted(self.runs.glob(f"{model}-*/lock"), key=lambda path: path.stat().st_mtime_ns)
            return found[-1].parent if found else None
        return wait_until(newest, SEEN_S, f"a supervisor of {model}")

    def end(self, model: str, state: str = "SUCCEEDED") -> None:
        """Tells the newest run of a model how to end."""
        folder = self.run_folder(model)
        (folder / "end.new").write_text(state)
        (folder / "end.new").rename(folder / "end")

    def kill_supervisor(self, model: str) -> None:
        os.kill(int((self.run_folder(model) / "lock").read_text()), signal.SIGKILL)

    def clear(self) -> None:
        """Deletes all documents and waits until nothing is under way."""
        names = list(self.documents)
        for name in names:
            self.delete(name)
        for name in names:
            wait_until(lambda model=name: not self.states(model) or self.states(model)[-1] in TERMINAL, SEEN_S,
                       f"the runs of {name} to be over")

    def nodag(self, *words) -> str:
        return run_program([self.bin_dir / "nodag", *words, "--brokers", self.brokers,
                            "--kafka-properties", self.properties]).stdout
