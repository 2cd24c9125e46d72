"""What the local stack reads from the topics, through `nodag tail`: as any other program would.

Design: fallback.py's data set is a fold of github.events: of each issue its newest event counts, as the webhook had it. Decisions
are the records of the topic predictions. Both topics may hold other people's data too (--brokers): only repositories of
this sandbox are taken, known by their ids.
"""
from __future__ import annotations

import json
import os
import select
import subprocess
import time
from datetime import datetime
from typing import Iterator

from history import Issue
from services import Services

FOLLOW_S = 0.5  # how often a reader of decisions may look whether all programs still run
READ_BYTES = 1 << 16
ISSUE_EVENTS = "com.github.issue.*"


def read_issues(services: Services, ids: set[int], before: str) -> list[Issue]:
    """The issues of these repositories that were opened before a time (as GitHub writes it), oldest first."""
    newest: dict[str, dict] = {}
    for record in read(services, "github.events", "--type", ISSUE_EVENTS):
        payload = json.loads(record["value"])
        if payload["repository"]["id"] in ids and payload["issue"]["created_at"] < before:
            known = newest.get(record["key"])
            if known is None or rank(payload) >= rank(known):
                newest[record["key"]] = payload
    return sorted((to_issue(payload) for payload in newest.values()), key=lambda issue: issue.created)


def rank(payload: dict) -> tuple:
    """Orders the events of one issue: webhooks of one moment come in any order, and labels come one by one."""
    return payload["issue"]["updated_at"], len(payload["issue"]["labels"])


def to_issue(payload: dict) -> Issue:
    issue = payload["issue"]
    return Issue(title=issue["title"], body=issue["body"] or "", created=datetime.fromisoformat(issue["created_at"]),
                 author=issue["user"]["login"], repository=payload["repository"]["full_name"],
                 labels=[label["name"] for label in issue["labels"]])


def read_decision(services: Services, repository_id: int, number: int) -> dict | None:
    """The newest decision on an issue: what was predicted, added and removed, and why."""
    records = list(read(services, "predictions", "--key", f"{repository_id}#{number}"))
    return json.loads(records[-1]["value"]) if records else None


def read(services: Services, topic: str, *options: str) -> Iterator[dict]:
    """The records of a topic as `nodag tail --json` writes them; in a partition in their order."""
    output = services.command("tail", topic, "--json", *services.kafka_options(), *options)
    return map(json.loads, output.splitlines())


def follow(services: Services, topics: tuple[str, ...], since: datetime) -> Iterator[tuple[str, dict | None]]:
    """(topic, record) of each record since a time, as it comes, and ("", None) at least every FOLLOW_S. Without end;
    close() stops it. On the mock, which knows no times, the first ones may be missed."""
    tails = {topic: start_tail(services, topic, since) for topic in topics}
    try:
        yield from read_lines({tail.stdout.fileno(): topic for topic, tail in tails.items()})
    finally:
        for tail in tails.values():
            tail.terminate()
            tail.wait()
            tail.stdout.close()


def start_tail(services: Services, topic: str, since: datetime) -> subprocess.Popen:
    argv = [services.program("nodag"), "tail", topic, "--json", "--follow", "--since",
            since.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z", *services.kafka_options()]
    with open(services.folder.logs / f"follow-{topic}.log", "wb") as complaints:
        return subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=complaints, start_new_session=True)


def read_lines(pipes: dict[int, str]) -> Iterator[tuple[str, dict | None]]:
    """The lines of pipes as JSON, each with its pipe's topic; ("", None) where none is there after FOLLOW_S, and for ever
    after the pipes' end."""
    rest = dict.fromkeys(pipes, b"")
    while rest:
        for pipe in select.select(list(rest), [], [], FOLLOW_S)[0]:
            got = os.read(pipe, READ_BYTES)
            if not got:
                del rest[pipe]
                continue
            *lines, rest[pipe] = (rest[pipe] + got).split(b"\n")
            values = (json.loads(line)["value"] for line in lines)
            yield from ((pipes[pipe], json.loads(value)) for value in values if value)
        yield "", None
    while True:
        time.sleep(FOLLOW_S)
        yield "", None
