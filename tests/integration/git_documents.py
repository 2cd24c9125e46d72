"""The documents that the git door publishes: a source to write into, and the records of `specs` as they are now.

Design: the topic is shared by all tests, and whoever has no sources withdraws nothing; so each test ends with a daemon
whose sources are none, which withdraws what the test left.
"""
from __future__ import annotations

import json

from git_door import RECORDS_S, Door
from git_servers import Remote, git
from proc import wait_until
from topic import Record, Topic

LABELER = """\
apiVersion: nodag.dev/v1
kind: Labeler
metadata: {{name: {name}}}
spec:
  repositories: [{repositories}]
  labels: {{include: [{labels}]}}
  models: [{{file: {model}}}]
"""
DEPLOYMENT = """\
apiVersion: nodag.dev/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  model: {name}
  target: {{repository: "{target}", {base}file: config.yaml, path: /model}}
"""


def labeler(name: str, repositories: str = '"acme/*"', labels: str = '"kind/*"', model: str = "label.model") -> str:
    return LABELER.format(name=name, repositories=repositories, labels=labels, model=model)


def deployment(name: str, target: str, base: str | None = None) -> str:
    return DEPLOYMENT.format(name=name, target=target, base=f"base: {base}, " if base else "")


class Source(Remote):
    """A repository with documents in `nodag/`."""

    def config(self, **others) -> dict:
        return {"repository": self.file_url, "branch": "main", "paths": ["nodag/*"], **others}

    def write(self, message: str = "documents", **files: str | None) -> str:
        """Commits and pushes nodag/NAME.yaml for each; None deletes. Returns the commit."""
        for name, text in files.items():
            path = self.work / "nodag" / f"{name}.yaml"
            path.parent.mkdir(exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "-m", message)
        self.push()
        return self.head()


class Specs:
    """The topic `specs` since the start of the test."""

    def __init__(self, door: Door):
        self.door, self.topic = door, Topic(door.brokers, "specs")

    def records(self) -> list[Record]:
        return self.topic.read()

    def now(self) -> dict[str, dict]:
        """The records that stand, by key."""
        found: dict[str, dict] = {}
        for record in self.records():
            found[record.key.decode()] = json.loads(record.value) if record.value else None
        return {key: value for key, value in found.items() if value}

    def wait_until(self, is_right, what: str) -> dict[str, dict]:
        """Waits until the records are right; returns them."""
        wait_until(lambda: is_right(self.now()), RECORDS_S, what, self.door.daemon.proc)
        return self.now()

    def await_commit(self, key: str, commit: str, kind: str = "valid") -> dict:
        """Waits until a record's valid (or invalid) half is of this commit; returns the record."""
        return self.wait_until(lambda now: ((now.get(key) or {}).get(kind) or {}).get("commit") == commit,
                               f"{key} {kind} at {commit}")[key]

    def await_gone(self, key: str) -> None:
        self.wait_until(lambda now: key not in now, f"{key} to be withdrawn")

    def withdraw_all(self) -> None:
        """Leaves nothing to other tests."""
        self.door.configure(sources=[])
        if not self.door.daemon.proc.alive():
            self.door.start()
        self.wait_until(lambda now: not now, "all documents to be withdrawn")
