"""Reading topics with another client than the one under test, and Kafka's partitioner written once more.

Design: a Topic remembers where it was marked and reads from there to the ends that it sees when it is asked; so no read
waits for something that does not come. `partition_of` is MurmurHash2 as Kafka's Java client uses it, written from its
description, so that partitions are checked against something that is not nodag's.
"""
from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

READ_S = 60  # For reading what is there.
POLL_S = 0.05  # Between two such questions.
ASK_S = 20  # For one question about offsets.
MESSAGE_MAX_BYTES = 28 << 20
PARTITIONS = 12


@dataclass(frozen=True)
class Record:
    """One record; headers as a list, because an order and repeats would show there."""
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    @property
    def attributes(self) -> dict[str, str]:
        """The headers by name; a name that stands twice is an error."""
        found = {name: value.decode() for name, value in self.headers}
        assert len(found) == len(self.headers), f"a header stands twice: {self.headers}"
        return found


class Topic:
    """A topic, read from where it was marked."""

    def __init__(self, brokers: str, name: str):
        self.brokers, self.name = brokers, name
        self.start = self._ends()

    def mark(self) -> None:
        """What is read from now on begins here."""
        self.start = self._ends()

    def _consumer(self) -> Consumer:
        return Consumer({"bootstrap.servers": self.brokers, "group.id": "integration-tests",
                         "enable.auto.commit": False, "broker.address.family": "v4",
                         "fetch.message.max.bytes": MESSAGE_MAX_BYTES, "isolation.level": "read_committed"})

    def _ends(self) -> dict[int, int]:
        """The end of each partition; asks again while a new or restarted broker has no leaders yet."""
        consumer, deadline = self._consumer(), time.monotonic() + READ_S
        try:
            while True:
                try:
                    partitions = consumer.list_topics(self.name, ASK_S).topics[self.name].partitions
                    return {number: consumer.get_watermark_offsets(TopicPartition(self.name, number), ASK_S)[1]
                            for number in partitions}
                except KafkaException:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(POLL_S)
        finally:
            consumer.close()

    def read(self) -> list[Record]:
        """All records from the mark to the present ends, partition by partition in their order."""
        ends = self._ends()
        wanted = {number: end for number, end in ends.items() if end > self.start.get(number, 0)}
        found: list[Record] = []
        if not wanted:
            return found
        consumer = self._consumer()
        consumer.assign([TopicPartition(self.name, number, self.start.get(number, 0)) for number in wanted])
        deadline = time.monotonic() + READ_S
        try:
            while wanted:
                message = consumer.poll(0.5)
                assert time.monotonic() < deadline, f"{self.name}: {wanted} were not reached"
                if message is None:
                    positions = consumer.position([TopicPartition(self.name, number) for number in wanted])
                    wanted = {p.partition: wanted[p.partition] for p in positions if p.offset < wanted[p.partition]}
                    continue
                if message.error():
                    raise KafkaException(message.error())
                number = message.partition()
                if number not in wanted:
                    continue
                found.append(Record(number, message.offset(), message.key(), message.value(), message.headers() or []))
                if message.offset() + 1 >= wanted[number]:
                    del wanted[number]
        finally:
            consumer.close()
        return sorted(found, key=lambda record: (record.partition, record.offset))


def partition_of(key: bytes, partitions: int = PARTITIONS) -> int:
    """The partition that Kafka's default partitioner (murmur2) chooses for a key."""
    mask, factor = 0xFFFFFFFF, 0x5BD1E995
    state = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at:at + 4], "little") * factor & mask
        word = (word ^ word >> 24) * factor & mask
        state = state * factor & mask ^ word
    if whole < len(key):
        state = (state ^ int.from_bytes(key[whole:], "little")) * factor & mask
    state = (state ^ state >> 13) * factor & mask
    return ((state ^ state >> 15) & 0x7FFFFFFF) % partitions
