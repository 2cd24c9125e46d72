"""The contract of topics/bus.h on a real Kafka, which the mock cluster of the unit tests cannot keep in all points.

Design: the unit test runs its cases on the broker that NODAG_TEST_KAFKA names, and deletes topics there; so it gets one of
its own.
"""
import os
import subprocess

import pytest
from kafka import LocalKafka

RUN_S = 300  # Twenty seconds where nothing else runs.


def test_bus_contract(build_dir, tmp_path):
    program = build_dir / "tests" / "unit.topics.bus_kafka"
    if not program.exists():
        pytest.skip(f"{program} was not built")
    with LocalKafka(tmp_path / "kafka") as broker:
        env = {**os.environ, "NODAG_TEST_KAFKA": broker.brokers}
        done = subprocess.run([program], capture_output=True, text=True, timeout=RUN_S, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
