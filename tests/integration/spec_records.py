"""Records of `specs` and `models` as the daemons that write them would write them, by another client.

Design: Documents publishes Labeler documents and waits until a labeler has read them. Registry publishes versions of
models, whose artefacts it puts in a folder as the file store has them: content-addressed, whole or not at all.
"""
from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from confluent_kafka import Producer
from proc import wait_until
from whole_path import COMMON

ACK_S = 30
AGAIN_S = 60
SOURCE = {"repository": "https://forge/acme/specs", "branch": "main", "path": "nodag/labeler.yaml", "commit": "8c1f0e"}


class Documents:
    """The records of `specs`, and the labeler that reads them."""

    def __init__(self, stack, labeler):
        self.stack, self.labeler = stack, labeler
        self.producer = Producer({"bootstrap.servers": stack.brokers, "broker.address.family": "v4", "acks": "all"})
        self.keys: set[str] = set()

    def write(self, name: str, record: dict | None) -> None:
        """Publishes a record, and waits until the labeler has read it."""
        before = self.read_count()
        key = f"Labeler/{name}"
        value = json.dumps(record) if record else None
        self.producer.produce("specs", value, key, headers={
            "ce_specversion": "1.0", "ce_id": f"{key}/{before}", "ce_source": SOURCE["repository"],
            "ce_type": "dev.nodag.spec", "content-type": "application/json",
            "ce_dataschema": "urn:nodag:schema:spec:1"})
        assert self.producer.flush(ACK_S) == 0
        self.keys = self.keys | {name} if record else self.keys - {name}
        wait_until(lambda: self.read_count() > before, AGAIN_S, f"{key} to be read")

    def read_count(self) -> float:
        """Records of `specs` that the labeler has read since its start."""
        return self.labeler.metric('nodag_bus_consumed_total{topic="specs"}') or 0

    def put(self, name: str, include: str = COMMON, repositories: str = "acme/*", reason: str | None = None,
            **spec) -> None:
        """Publishes a valid document; with a reason, and a newer one that is not valid beside it."""
        published = (datetime.now(timezone.utc) - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
        document = {"apiVersion": "nodag.dev/v1", "kind": "Labeler", "metadata": {"name": name},
                    "spec": {"repositories": [repositories], "labels": {"include": json.loads(include)},
                             "models": [{"file": str(self.stack.model)}], **spec}}
        self.write(name, {"first_published": published, "valid": {**SOURCE, "line": 1, "document": document},
                          "invalid": {**SOURCE, "line": 1, "reason": reason} if reason else None})

    def clear(self) -> None:
        for name in list(self.keys):
            self.write(name, None)


class Registry:
    """Versions on the topic `models`, and the folder of a file store."""

    def __init__(self, brokers: str, folder: Path):
        self.folder, self.url = folder, f"file://{folder}"
        self.producer = Producer({"bootstrap.servers": brokers, "broker.address.family": "v4", "acks": "all"})

    def path(self, content: bytes) -> Path:
        """Where the store has a content."""
        name = hashlib.sha256(content).hexdigest()
        return self.folder / "sha256" / name[:2] / name

    def store(self, content: bytes, instead: bytes | None = None) -> None:
        """Puts an artefact there, or other bytes under its name."""
        path = self.path(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(content if instead is None else instead)
        part.rename(path)

    def publish(self, version: str, content: bytes, collected: bool = False) -> None:
        """Publishes the record of a version, as the trainer does it."""
        model, now = version.partition("-")[0], datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        name = hashlib.sha256(content).hexdigest()
        record = {"model": model, "version": version, "run": version, "created_at": now,
                  "repository": "https://forge/acme/code", "commit": "8c1f0e", "notebook": "train.ipynb",
                  "artefacts": {"model": {"uri": f"{self.url}/sha256/{name[:2]}/{name}", "sha256": name,
                                          "size_bytes": len(content)}},
                  "metrics": {}, "thresholds": {},
                  "snapshot": {"sha256": name, "taken_at": now, "offsets": None}, "collected": collected}
        self.producer.produce("models", json.dumps(record), f"{model}/{version}", headers={
            "ce_specversion": "1.0", "ce_id": f"{model}/{version}/{collected}", "ce_source": "nodag-trainer",
            "ce_type": "dev.nodag.model", "content-type": "application/json",
            "ce_dataschema": "urn:nodag:schema:model:1"})
        assert self.producer.flush(ACK_S) == 0
