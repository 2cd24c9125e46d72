"""The git door under test: its configuration, the daemon, and the records of one repository.

Design: each test has repositories of its own, so that all tests share the topic: records are found by their key. What a
record says is compared with what git says of the remote.
"""
from __future__ import annotations

import json
from pathlib import Path

import yaml_text
from proc import wait_until
from topic import Record, Topic, partition_of

RECORDS_S = 90  # For records to come: several processes, with sanitizers, on a busy machine.


class Door:
    """nodag-ingest-git with a configuration that can be changed while it runs."""

    def __init__(self, start_daemon, brokers: str, folder: Path):
        self._start, self.brokers, self.folder = start_daemon, brokers, folder
        self.file, self.state = folder / "repositories.yaml", folder / "state"
        self.daemon = None
        self.topic = Topic(brokers, "git.pushes")

    def configure(self, *repositories: dict, **others) -> None:
        """Writes the file; `others` are the names beside `repositories`. A running daemon reads it by itself."""
        written = self.file.with_suffix(".new")
        written.write_text(yaml_text.dump({"repositories": list(repositories), **others}))
        written.rename(self.file)

    def start(self, *arguments, wait: bool = True):
        """Starts it, the first time with these arguments, later with the same."""
        if self.daemon is None:
            options = ["--repositories", self.file, "--state", self.state, "--brokers", self.brokers,
                       "--interval", "1s", "--wake-interval", "100ms", "--backoff-max", "1s", *arguments]
            self.daemon = self._start("nodag-ingest-git", *options, wait=wait)
        else:
            self.daemon.start(wait)
        return self.daemon

    def records(self, url: str) -> list[Record]:
        """The records of one repository since the start of the test; each is in the partition of its key."""
        found = [record for record in self.topic.read() if record.key.startswith(f"{url}|".encode())]
        assert all(record.partition == partition_of(record.key) for record in found)
        return found

    def pushes(self, url: str) -> list[dict]:
        return [json.loads(record.value) for record in self.records(url)]

    def await_pushes(self, url: str, count: int) -> list[dict]:
        """Waits until there are so many; more is a failure."""
        wait_until(lambda: len(self.records(url)) >= count, RECORDS_S, f"{count} records of {url}", self.daemon.proc)
        found = self.pushes(url)
        assert len(found) == count, found
        return found

    def await_metric(self, series: str, least: float = 1) -> None:
        wait_until(lambda: (self.daemon.metric(series) or 0) >= least, RECORDS_S, f"{series} ≥ {least}",
                   self.daemon.proc)

    def await_looks(self, count: int = 2) -> None:
        """Waits for so many more looks that ended well: what could have been published has been."""
        def looks():
            return sum(self.daemon.metric(f'nodag_git_looks_total{{result="{result}"}}') or 0
                       for result in ("moved", "unmoved"))
        before = looks()
        wait_until(lambda: looks() >= before + count, RECORDS_S, "more looks", self.daemon.proc)

    def await_failure(self, url: str, reason: str) -> None:
        self.await_metric(f'nodag_git_failures_total{{repository="{url}",reason="{reason}"}}')


def chain_of(pushes: list[dict]) -> dict[str, str | None]:
    """Checks that each ref's pushes follow each other without a gap or a repetition; returns the last states."""
    last: dict[str, dict] = {}
    for push in pushes:
        before = last.get(push["ref"])
        assert push["old"] == (before["new"] if before else None), (before, push)
        assert push["move"] == (before["move"] if before else 0) + 1
        assert push["created"] == (push["old"] is None) and push["deleted"] == (push["new"] is None)
        last[push["ref"]] = push
    return {ref: push["new"] for ref, push in last.items()}
