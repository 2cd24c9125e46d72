"""`nodag mock`: what it says of itself in --help holds.

The limits are librdkafka's, measured here so that the text stays true when Debian's librdkafka changes.
"""
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from daemon import run_program

MIB = 1 << 20
ASK_S = 10
TOPIC_COUNT = 13
ONE_LIST = {"specs", "runs", "models", "deployments", "serving", "gaps", "dead.letters"}  # one partition; the others 12


@pytest.fixture
def mock(start_daemon):
    return start_daemon("nodag-mock")


def settings(mock, **more) -> dict:
    return {"bootstrap.servers": mock.told["brokers"], "broker.address.family": "v4", "log_level": 0, **more}


def test_topics_and_partitions_are_there_from_the_start(mock):
    topics = AdminClient(settings(mock)).list_topics(timeout=ASK_S).topics
    assert len(topics) == TOPIC_COUNT
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {
        name: 1 if name in ONE_LIST else 12 for name in topics}
    assert mock.told["brokers"].startswith("127.0.0.1:") and "nothing survives its end" in mock.log_text()


def test_only_the_newest_5_mib_of_a_partition_are_kept(mock):
    producer = Producer(settings(mock, **{"enable.idempotence": True, "linger.ms": 0, "message.max.bytes": 30 * MIB}))
    consumer = Consumer(settings(mock, **{"group.id": "test"}))
    partition = TopicPartition("specs", 0)

    def send(size: int) -> tuple[int, int]:
        producer.produce("specs", b"x" * size, b"key")
        assert producer.flush(ASK_S) == 0
        return consumer.get_watermark_offsets(partition, timeout=ASK_S)

    assert [send(MIB) for _ in range(4)][-1] == (0, 4)
    for sent in range(5, 9):
        low, high = send(MIB)
    assert high == 8 and 4 <= high - low <= 5  # 5 MiB, and headers
    assert send(26 * MIB) == (9, 9)  # a larger one pushes all others out, and cannot be read itself,
    assert send(MIB) == (10, 10)  # nor can the one after it
    assert send(MIB) == (10, 11)
    consumer.close()


def test_offsets_are_not_found_by_time(mock, bin_dir: Path):
    producer = Producer(settings(mock))
    producer.produce("specs", b"{}", b"Labeler/x")
    assert producer.flush(ASK_S) == 0
    tail = [bin_dir / "nodag", "tail", "specs", "--brokers", mock.told["brokers"]]
    assert "Labeler/x" in run_program(tail).stdout
    assert run_program([*tail, "--since", "1h"]).stdout == ""


def test_a_misspelt_topic_is_made_by_asking_for_it(mock):
    consumer = Consumer(settings(mock, **{"group.id": "test", "allow.auto.create.topics": False}))
    assert len(consumer.list_topics("github.event", timeout=ASK_S).topics["github.event"].partitions) > 0
    consumer.close()
