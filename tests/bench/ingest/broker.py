"""The broker of the ingest benchmark: Apache Kafka with the settings that it is run with in earnest, and fresh topics.

Design: deploy/local/kafka's broker, but with the Java machine as Kafka's own start script sets it up (G1, both
compilers, 1 GB) and Kafka's own numbers of threads: the tests' settings are for a fast start. Before each contest the
topic is deleted and made anew by `nodag-topics create`, so that contestants find the same, and the disk stays small.

Source: the Kafka protocol guide: DeleteTopics version 1.
"""
from __future__ import annotations

import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests" / "bench" / "lib"), str(ROOT / "deploy" / "local" / "kafka"),
                str(ROOT / "deploy" / "local" / "lib")]
import procfs  # noqa: E402
from kafka import JAVA_FLAGS, LocalKafka  # noqa: E402
from probe import Reader, receive  # noqa: E402
from proc import Failed  # noqa: E402

TOPIC = "github.events"
DELETE_TOPICS, DELETE_VERSION = 20, 1
DELETE_MS = 10000
NO_ERROR, UNKNOWN_TOPIC = 0, 3
COMMAND_S = 60
NOT_IN_EARNEST = ("-Xmx", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel")
IN_EARNEST = ["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35"]
PROPERTIES = {"num.network.threads": "3", "num.io.threads": "8",  # Kafka's own numbers
              "log.segment.delete.delay.ms": "500"}  # a deleted topic is gone before the next one is measured


class Broker:
    """One for a whole benchmark; in a folder of its own that goes away with it."""

    def __init__(self, nodag_topics: Path):
        self._topics = nodag_topics
        self._folder = tempfile.TemporaryDirectory(prefix="nodag-bench-kafka-")
        flags = [flag for flag in JAVA_FLAGS if not flag.startswith(NOT_IN_EARNEST)] + IN_EARNEST
        self._kafka = LocalKafka(self._folder.name, properties=PROPERTIES, java_flags=flags)

    def __enter__(self) -> "Broker":
        self._kafka.start()
        return self

    def __exit__(self, *_exception) -> None:
        try:
            self._kafka.stop()
        finally:
            self._folder.cleanup()

    @property
    def address(self) -> str:
        return self._kafka.brokers

    def cpu_s(self) -> float:
        return procfs.cpu_s(self._kafka.pid)

    def renew_topic(self) -> None:
        """Deletes the topic, and makes it as nodag makes it."""
        code = self._delete(TOPIC.encode())
        if code not in (NO_ERROR, UNKNOWN_TOPIC):
            raise Failed(f"the broker does not delete {TOPIC}: error {code} of the Kafka protocol")
        done = subprocess.run([self._topics, "create", "--brokers", self.address], capture_output=True, text=True,
                              timeout=COMMAND_S, check=False)
        if done.returncode != 0:
            raise Failed(f"nodag-topics create: {done.stderr.strip()}")

    def _delete(self, name: bytes) -> int:
        """The error code of the answer."""
        client = b"nodag-bench"
        head = struct.pack(">hhih", DELETE_TOPICS, DELETE_VERSION, 1, len(client)) + client
        body = struct.pack(">ih", 1, len(name)) + name + struct.pack(">i", DELETE_MS)
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), timeout=COMMAND_S) as link:
            link.sendall(struct.pack(">i", len(head + body)) + head + body)
            answer = Reader(receive(link, struct.unpack(">i", receive(link, 4))[0]))
        for form in ("i", "i", "i"):  # correlation, throttle time, count
            answer.integer(form)
        answer.text()
        return answer.integer("h")
