"""Following the topics that a reactor writes: the decisions on `predictions`, and what is left open on `pending`.

Design: one consumer without a group, assigned to all partitions from the ends that they have at the start; it is
emptied whenever somebody asks, so that no thread is needed. With another client than the one under test.

Invariant: what was read once is never forgotten; a wait has a deadline and says what it waited for.
"""
from __future__ import annotations

import json
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition
from proc import wait_until
from topic import ASK_S, PARTITIONS, Record

READ_S = 0.001  # For what has arrived already; whoever waits asks again.
DECIDED_S = 60  # With sanitizers, on a busy machine; tenths of a second are usual.
COMMITTED_S = 60  # Offsets are committed each second.
REACTOR = "labeler"
OFFSETS_S = 0.1  # Between two questions for committed offsets.


class Follower:
    """Everything on `predictions` and `pending` from now on; `group` is the reactor's group on github.events."""

    def __init__(self, brokers: str, group: str):
        self.settings = {"bootstrap.servers": brokers, "enable.auto.commit": False, "broker.address.family": "v4",
                         "isolation.level": "read_committed", "fetch.wait.max.ms": 50}
        self.consumer = Consumer({**self.settings, "group.id": "integration-tests-follower"})
        self.committed = Consumer({**self.settings, "group.id": group})
        self.records: dict[str, list[Record]] = {"predictions": [], "pending": []}
        self.consumer.assign([TopicPartition(name, number, end) for name in self.records
                              for number, end in self.ends(name).items()])

    def close(self) -> None:
        self.consumer.close()
        self.committed.close()

    def ends(self, name: str) -> dict[int, int]:
        """The end of each partition of a topic; a topic that was just made may have no leaders yet."""
        def ask() -> dict[int, int] | None:
            try:
                self.committed.list_topics(name, ASK_S)
                return {number: self.committed.get_watermark_offsets(TopicPartition(name, number), ASK_S)[1]
                        for number in range(PARTITIONS)}
            except KafkaException:
                return None
        return wait_until(ask, ASK_S, f"leaders of {name}")

    def read(self) -> None:
        """Takes what has arrived."""
        while True:
            messages = self.consumer.consume(100, READ_S)
            if not messages:
                return
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
                self.records[message.topic()].append(Record(message.partition(), message.offset(), message.key(),
                                                            message.value(), message.headers() or []))

    # -- decisions ---------------------------------------------------------------------------------------------------

    def decisions(self, key: str) -> list[dict]:
        """All records of an issue so far, oldest first."""
        self.read()
        return [json.loads(record.value) for record in self.records["predictions"]
                if record.key == key.encode() and record.value is not None]

    def decided(self, key: str, count: int) -> dict:
        """Waits for the record number `count` of an issue; returns the newest."""
        wait_until(lambda: len(self.decisions(key)) >= count, DECIDED_S, f"decision {count} of {key}")
        return self.decisions(key)[-1]

    # -- what is open ------------------------------------------------------------------------------------------------

    def pending(self) -> dict[str, dict]:
        """What `pending` holds now of what the reactor wrote since the start: key without the reactor's name → record.
        Other tests put other reactors' records there, damaged ones too."""
        self.read()
        held: dict[str, dict] = {}
        for record in self.records["pending"]:
            reactor, _, key = record.key.decode().partition("|")
            if reactor != REACTOR:
                continue
            held.pop(key, None)
            if record.value is not None:
                held[key] = json.loads(record.value)
        return held

    def is_pending(self, key: str, outcome: str) -> dict | None:
        """The record of a key if it has this outcome."""
        record = self.pending().get(key)
        return record if record and record["outcome"] == outcome else None

    def held_back(self, key: str, outcome: str) -> dict:
        """Waits until a key is on `pending` with this outcome."""
        return wait_until(lambda: self.is_pending(key, outcome), DECIDED_S, f"{key} to be {outcome} on pending")

    def not_pending(self, *keys: str) -> None:
        """Waits until none of these keys is on `pending`."""
        wait_until(lambda: not self.pending().keys() & set(keys), DECIDED_S, f"none of {', '.join(keys)} to be pending")

    # -- offsets -----------------------------------------------------------------------------------------------------

    def skip_history(self) -> None:
        """The group begins at the present ends. Only while nobody is in the group."""
        self.committed.commit(offsets=[TopicPartition("github.events", number, end)
                                       for number, end in self.ends("github.events").items()], asynchronous=False)

    def unfinished(self) -> dict[int, tuple[int, int]]:
        """Partitions of github.events whose events are not all finished: committed offset and end."""
        ends = self.ends("github.events")
        parts = self.committed.committed([TopicPartition("github.events", number) for number in ends], ASK_S)
        return {part.partition: (part.offset, ends[part.partition]) for part in parts
                if ends[part.partition] > max(part.offset, 0)}

    def wait_committed(self, partition: int, offset: int) -> None:
        """Waits until the group has committed beyond a record of github.events."""
        part = TopicPartition("github.events", partition)
        deadline = time.monotonic() + COMMITTED_S
        while self.committed.committed([part], ASK_S)[0].offset <= offset:
            assert time.monotonic() < deadline, f"partition {partition} is not committed beyond {offset}"
            time.sleep(OFFSETS_S)

    def wait_finished(self) -> None:
        """Waits until every event on github.events is finished: done, or safe on `pending`."""
        deadline = time.monotonic() + COMMITTED_S
        while (left := self.unfinished()) and time.monotonic() < deadline:
            time.sleep(OFFSETS_S)
        assert not left, f"events are not finished: partition → (committed, end) {left}"
