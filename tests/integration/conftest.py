"""What the integration tests share: the real daemons, a real Apache Kafka, readers of topics.

The executables are found by NODAG_BIN, or in NODAG_BUILD/bin (default build/asan below the root). Kafka is started once
for a run by deploy/local/kafka; a test that stops it starts it again. Topics keep what earlier tests wrote, so that a
test reads from where it began (`topic.mark()`), never from the start.

Invariants: nothing sleeps for a fixed time, everything waits for a condition with a deadline; every daemon that a test
started is stopped at its end, and a sanitizer's report in its log fails the test.
"""
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "deploy" / "local" / "lib"),
                str(ROOT / "deploy" / "local" / "kafka")]

from daemon import Daemon, run_program  # noqa: E402  (after the path above)
from kafka import LocalKafka  # noqa: E402
from whole_path import labeler_stack, module_labeler, stack  # noqa: F401, E402  (fixtures of test_labeler_*.py)
from proc import Failed  # noqa: E402
from topic import Topic  # noqa: E402


@pytest.fixture(scope="session")
def build_dir() -> Path:
    """The build folder whose executables are under test."""
    return Path(os.environ.get("NODAG_BUILD") or ROOT / "build" / "asan")


@pytest.fixture(scope="session")
def bin_dir(build_dir: Path) -> Path:
    """The folder of the executables."""
    folder = Path(os.environ.get("NODAG_BIN") or build_dir / "bin")
    if not folder.is_dir():
        pytest.fail(f"{folder} is not there: build first (cmake --preset asan && cmake --build --preset asan), "
                    "or name the build folder by NODAG_BUILD")
    return folder


@pytest.fixture(scope="session")
def kafka(tmp_path_factory) -> LocalKafka:
    """A real broker, started once for the run. A test that stops it must start it again."""
    broker = LocalKafka(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
    except Failed as failure:
        pytest.fail(f"Kafka does not start: {failure}")
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def topics_created(kafka: LocalKafka, bin_dir: Path) -> LocalKafka:
    """The broker with nodag's topics on it, as `nodag topics create` makes them."""
    run_program([bin_dir / "nodag-topics", "create", "--brokers", kafka.brokers])
    return kafka


@pytest.fixture
def events(topics_created: LocalKafka) -> Topic:
    """The topic github.events; marked at the start of the test."""
    return Topic(topics_created.brokers, "github.events")


@pytest.fixture
def start_daemon(bin_dir: Path, tmp_path: Path):
    """start_daemon(NAME, ARGUMENT…, wait=True): a Daemon; all are stopped, and their logs looked at, at the end."""
    started: list[Daemon] = []

    def start(name: str, *arguments, wait: bool = True, env: dict | None = None) -> Daemon:
        daemon = Daemon(bin_dir / name, [str(argument) for argument in arguments], tmp_path / f"{name}-{len(started)}",
                        env)
        started.append(daemon)
        daemon.start(wait)
        return daemon

    yield start
    for daemon in started:
        daemon.end()
