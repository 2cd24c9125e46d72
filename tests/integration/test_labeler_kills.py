"""The labeler killed at each effect boundary, and at random: one comment, the right labels, nothing left open.

A gate (gate.py) between labeler and sandbox holds one request of each issue at its boundary; when all are held the
labeler is killed by SIGKILL, once for all of them, and started again. What was held before its effect never takes
effect, what was held after it has.
"""
import random

import pytest
from gate import Gate
from proc import wait_until
from topic import PARTITIONS, partition_of
from whole_path import BUG_JUPYTER, FEATURE_PIPELINES, NOTHING

HELD_S = 60
RANDOM_KILLS = 6
KILL_AFTER_S = (0.05, 0.6)  # of work: from the first reads to the last records
ISSUES_A_KILL = 4

# The requests at which it is killed, in the order in which a job makes them; each before and after its effect. Not more
# than six at once: a labeler has eight connections, and other issues must go on while these are held. A new issue's:
NEW = {"reads": [("GET", "/issues/{n}"), ("GET", "/issues/{n}/timeline")],
       "writes": [("POST", "/issues/{n}/labels"), ("POST", "/issues/{n}/comments")]}
# And those of an issue whose text was changed; its labels go in either order.
EDITED = [("DELETE", "/issues/{n}/labels/*"), ("POST", "/issues/{n}/labels"), ("PATCH", "/issues/comments/*")]


@pytest.fixture
def gate(labeler_stack):
    made = Gate(labeler_stack.sandbox.url)
    yield made
    made.close()


@pytest.fixture
def labeler(stack, gate):
    daemon = stack.labeler("--concurrency", "16", name="killed", url=gate.url)
    yield daemon
    gate.open_all()
    daemon.end()


def boundaries(requests) -> list[tuple[str, str, str]]:
    return [(method, path, side) for method, path in requests for side in ("before", "after")]


def finish_others(stack, keys: list[str]) -> None:
    """On every partition of these keys a later event is finished, and then the group has committed once more: an offset
    that ran ahead of what is held would be committed, too."""
    repository, wanted = stack.repository("acme"), {partition_of(key.encode()) for key in keys}
    assert len(wanted) < PARTITIONS
    opened: dict[int, int] = {}
    while not wanted <= opened.keys():
        open_one(repository, opened)
    for partition in wanted:
        repository.decided(opened[partition])
    opened = {partition: number for partition, number in opened.items() if partition in wanted}
    while opened.keys() == wanted:
        open_one(repository, opened)
    free = repository.decided(opened[(opened.keys() - wanted).pop()])["event"]
    stack.follower.wait_committed(free["partition"], free["offset"])


def open_one(repository, opened: dict[int, int]) -> None:
    """One more issue with nothing to write; noted as its partition's newest."""
    number = repository.open(NOTHING)
    opened[partition_of(repository.key(number).encode())] = number


def kill(stack, labeler, gate, rules, keys: list[str]) -> None:
    """Waits until every rule holds its request, kills, and lets a new one begin."""
    for rule in rules:
        assert rule.held.wait(HELD_S), f"{rule} was not met"
    finish_others(stack, keys)
    labeler.kill()
    gate.open_all()
    labeler.start()


def check(stack, repository, numbers, labels: set[str]) -> None:
    """What must be true of every issue in the end."""
    stack.settle()
    stack.follower.not_pending(*(repository.key(number) for number in numbers))
    for number in numbers:
        assert repository.labels(number) == labels, number
        assert len(repository.comments(number)) == 1, number
        assert stack.follower.decisions(repository.key(number)), number
    assert stack.sandbox.get("/_sandbox/stats")["labels_created_implicitly"] == 0


@pytest.mark.parametrize("requests", NEW)
def test_killed_at_each_boundary_of_a_new_issue(stack, gate, labeler, requests):
    repository = stack.repository("acme")
    labeler.start()
    repository.decided(repository.open(NOTHING))  # so that the numbers to come are known, and the repository
    rules, numbers = [], []
    for index, (method, path, side) in enumerate(boundaries(NEW[requests])):
        rules.append(gate.hold(method, f"/repos/{repository.name}{path.format(n=index + 2)}", side))
        numbers.append(repository.open(BUG_JUPYTER))
    assert numbers == list(range(2, len(rules) + 2))
    kill(stack, labeler, gate, rules, [repository.key(number) for number in numbers])
    check(stack, repository, numbers, {"kind/bug", "area/jupyter"})
    for number in numbers:  # each label once, by one hand
        assert len(repository.hands(number)) == 2


def test_killed_at_each_boundary_of_an_edited_issue(stack, gate, labeler):
    # A comment's path does not name its issue: each issue has a repository of its own.
    wanted = boundaries(EDITED)
    repositories = [stack.repository("acme") for _ in wanted]
    labeler.start()
    for repository in repositories:
        assert repository.open(BUG_JUPYTER) == 1
    for repository in repositories:
        repository.decided(1)
    rules = []
    for repository, (method, path, side) in zip(repositories, wanted):
        rules.append(gate.hold(method, f"/repos/{repository.name}{path.format(n=1)}", side))
        repository.act("edit", 1, **FEATURE_PIPELINES)
    kill(stack, labeler, gate, rules, [repository.key(1) for repository in repositories])
    for repository in repositories:
        repository.decided(1, 2)
    for repository in repositories:
        check(stack, repository, [1], {"kind/feature", "area/pipelines"})
        assert "`kind/feature`" in repository.comments(1)[0]
        assert len(repository.hands(1)) == 6  # two on, two off, two on


def test_killed_after_the_record(stack, labeler):
    """The decision is recorded, its event is not committed yet: it is looked at again, and nothing is written."""
    repository = stack.repository("acme")
    labeler.start()
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    labeler.kill()
    since = stack.last_request()
    labeler.start()
    check(stack, repository, [number], {"kind/bug", "area/jupyter"})
    assert [request for request in repository.requests(since) if request[0] != "GET"] == []


def test_killed_while_it_waits(stack, labeler):
    """Killed in a backoff: what waits is on `pending`, and is not forgotten."""
    repository = stack.repository("acme")
    labeler.start()
    stack.fault("status", path=f"/repos/{repository.name}/*")
    numbers = [repository.open(BUG_JUPYTER) for _ in range(3)]
    for number in numbers:
        repository.held_back(number, "RETRY")
    stack.settle()  # the events are finished: `pending` alone knows
    labeler.kill()
    stack.no_faults()
    labeler.start()
    for number in numbers:
        repository.decided(number)
    check(stack, repository, numbers, {"kind/bug", "area/jupyter"})


def test_killed_at_random(stack, labeler):
    chance = random.Random(7)
    repository = stack.repository("acme")
    numbers = []
    stack.fault("late_answer", ms=60, path=f"/repos/{repository.name}/*")
    for _ in range(RANDOM_KILLS):
        labeler.start()
        since = stack.last_request()
        numbers += [repository.open(BUG_JUPYTER) for _ in range(ISSUES_A_KILL)]
        wait_until(lambda: repository.requests(since), HELD_S, "it to be at work", labeler.proc)
        labeler.proc.wait(chance.uniform(*KILL_AFTER_S))  # not a wait for anything: the moment of the kill is the input
        labeler.kill()
    stack.no_faults()
    labeler.start()
    for number in numbers:
        repository.decided(number)
    check(stack, repository, numbers, {"kind/bug", "area/jupyter"})
