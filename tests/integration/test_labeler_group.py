"""Two labelers in one group: they share the issues, also while one comes and goes; and SIGTERM, which drains."""
import json

import pytest
from proc import wait_until
from topic import partition_of
from whole_path import BUG_JUPYTER

READY_S = 60
ISSUES = 30
PARTITIONS = 12


@pytest.fixture
def labelers(stack):
    """Two that are not started yet, without static membership: who goes says so, and the other takes over at once."""
    daemons = [stack.labeler(name=f"group-{index}", replica=None) for index in range(2)]
    yield daemons
    stack.no_faults()
    for daemon in daemons:
        daemon.end()


def writers(labeler) -> int:
    """How many writes a labeler made."""
    lines = labeler.ask_admin("/metrics")[1].splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("nodag_labeler_writes_total{")))


def check(stack, repository, numbers) -> None:
    for number in numbers:
        repository.decided(number)
    stack.settle()
    stack.follower.not_pending(*(repository.key(number) for number in numbers))
    for number in numbers:
        assert repository.labels(number) == {"kind/bug", "area/jupyter"}
        assert len(repository.comments(number)) == 1
        assert len(repository.hands(number)) == 2  # no label went off and on


def test_rebalance_while_working(stack, labelers):
    """The second joins in the middle of the work, and leaves in the middle of other work."""
    first, second = labelers
    repository = stack.repository("acme")
    first.start()
    repository.decided(repository.open(BUG_JUPYTER))
    stack.fault("late_answer", ms=100, path=f"/repos/{repository.name}/*")
    numbers = [repository.open(BUG_JUPYTER) for _ in range(ISSUES)]
    second.start()
    check(stack, repository, numbers)

    numbers = [repository.open(BUG_JUPYTER) for _ in range(ISSUES)]
    spread = {partition_of(repository.key(number).encode()) for number in numbers}
    assert len(spread) > PARTITIONS / 2
    check(stack, repository, numbers)
    assert writers(first) > 0 and writers(second) > 0  # both had some

    numbers = [repository.open(BUG_JUPYTER) for _ in range(ISSUES)]
    second.stop()
    check(stack, repository, numbers)


def test_sigterm_drains(stack, labelers):
    """What is under way is finished, recorded and stored, the exit status is 0; the rest is the next one's."""
    labeler, successor = labelers
    repository = stack.repository("acme")
    labeler.start()
    repository.decided(repository.open(BUG_JUPYTER))
    stack.fault("late_answer", ms=500, method="POST", path=f"/repos/{repository.name}/*")
    since = stack.last_request()
    numbers = [repository.open(BUG_JUPYTER) for _ in range(ISSUES)]
    wait_until(lambda: repository.requests(since, "POST"), READY_S, "writes to be under way", labeler.proc)
    labeler.stop()  # asserts the status
    begun = {int(path.split("/")[2]) for _, path, _ in repository.requests(since, "POST")}
    for number in begun:
        assert stack.follower.decisions(repository.key(number)), f"{number} was begun and not recorded"
        assert repository.labels(number) == {"kind/bug", "area/jupyter"}
        assert len(repository.comments(number)) == 1
    assert len(begun) < len(numbers)
    stack.no_faults()
    since = stack.last_request()
    successor.start()
    check(stack, repository, numbers)
    again = {int(path.split("/")[2]) for _, path, _ in repository.requests(since, "POST")}
    assert not again & begun


def test_sigterm_before_it_is_ready(stack, labelers):
    """With the forge away it never learns who it is; SIGTERM ends it all the same."""
    labeler = labelers[0]
    fault = stack.fault("status", path="/app")
    labeler.start(wait=False)
    wait_until(lambda: stack.hits(fault), READY_S, "it to ask who it is", labeler.proc)
    labeler.stop()
    said = [json.loads(line) for line in labeler.log_text().splitlines() if "asking the forge who nodag is" in line]
    assert said


def test_waits_for_the_forge(stack, labelers):
    """Started while the forge is away it is not ready, says why, and begins by itself when the forge is back."""
    labeler = labelers[0]
    fault = stack.fault("status", path="/app")
    labeler.start(wait=False)
    wait_until(lambda: stack.hits(fault), READY_S, "it to ask who it is", labeler.proc)
    assert not labeler.ready_file.exists()
    stack.no_faults()
    labeler.wait_ready()
    assert labeler.ask_admin("/readyz")[0] == 200


def test_broker_away_in_the_middle(stack, labelers, topics_created):
    """What was written and could not be recorded is looked at again when the broker is back, not written again."""
    labeler = labelers[0]
    repository = stack.repository("acme")
    labeler.start()
    repository.decided(repository.open(BUG_JUPYTER))
    stack.fault("late_answer", ms=700, method="POST", path=f"/repos/{repository.name}/*")
    since = stack.last_request()
    numbers = [repository.open(BUG_JUPYTER) for _ in range(8)]
    wait_until(lambda: repository.requests(since, "POST"), READY_S, "writes to be under way", labeler.proc)
    topics_created.stop()
    try:
        wait_until(lambda: labeler.ask_admin("/readyz")[0] == 503, READY_S, "the labeler to say so", labeler.proc)
    finally:
        topics_created.start()
    check(stack, repository, numbers)
