"""The labeler with `--history issues`, beside a real historian: new issues cost no read, and people win all the same.

A partition's first event is always looked at on the forge, so a module begins with an event in each of them.
"""
import pytest
from daemon import Daemon
from follow import Follower
from proc import wait_until
from topic import PARTITIONS, partition_of
from whole_path import BOT, BUG_JUPYTER, FEATURE_JUPYTER, NOTHING

HISTORIANS = "nodag-historian"  # their consumer group
HISTORIAN = "historian-beside-the-labeler"
OTHER_BOT = "robot[bot]"
LATE_MS = 20000  # An answer that is not waited for: the labeler is killed.
WRITTEN_S = 60
BUG = {"kind/bug", "area/jupyter"}
ISSUES_MAX = 400  # opened to reach every partition; a hundred are usual


@pytest.fixture(scope="module")
def historian(labeler_stack):
    daemon = Daemon(labeler_stack.bin_dir / "nodag-historian",
                    ["--login", BOT, "--replica", HISTORIAN, *labeler_stack.kafka()],
                    labeler_stack.folder / "historian").start()
    yield daemon
    daemon.end()


@pytest.fixture(scope="module")
def labeler(labeler_stack, historian):
    daemon = labeler_stack.labeler("--history", "issues", "--history-settle", "0", name="labeler-history").start()
    repository, reached = labeler_stack.repository("quiet"), set()
    while len(reached) < PARTITIONS:
        number = repository.open(NOTHING)
        reached.add(partition_of(repository.key(number).encode()))
        assert number < ISSUES_MAX
    labeler_stack.settle()
    follower = Follower(labeler_stack.brokers, HISTORIANS)
    follower.wait_finished()  # what other tests left on the topic, too: until then records come late
    follower.close()
    yield daemon
    daemon.end()


def looks(labeler, where: str) -> float:
    return labeler.metric(f'nodag_labeler_looks_total{{by="{where}"}}') or 0


def warm(repository) -> None:
    """What is known of a repository, its labels too, is fresh."""
    repository.decided(repository.open(BUG_JUPYTER))
    repository.stack.settle()


def reads(repository, since: int) -> list[str]:
    return [path for method, path, _ in repository.requests(since, "GET")]


def test_no_read(stack, labeler):
    """A new issue costs the one write, and nothing else of anybody's."""
    repository = stack.repository("quiet")
    warm(repository)
    since, before = stack.last_request(), looks(labeler, "record")
    number = repository.open(BUG_JUPYTER)
    record = repository.decided(number)
    stack.settle()
    assert repository.labels(number) == BUG and set(record["added"]) == BUG
    assert [(request["method"], request["path"]) for request in stack.requests(since)] == [
        ("POST", f"/repos/{repository.name}/issues/{number}/labels")]
    assert looks(labeler, "record") == before + 1
    assert repository.hands(number) == [("labeled", name, BOT) for name in record["added"]]


def test_labels_that_came_with_it(stack, labeler):
    """Labels that somebody gave it at once stay, and count as theirs."""
    repository = stack.repository("quiet")
    warm(repository)
    number = repository.open(BUG_JUPYTER, labels=["area/jupyter", "good first issue"])
    record = repository.decided(number)
    stack.settle()
    assert record["added"] == ["kind/bug"] and record["removed"] == []
    assert repository.labels(number) == {*BUG, "good first issue"}


def test_second_look_is_at_the_forge(stack, labeler):
    """An edit is looked at as ever: what nodag put there and is not predicted any more goes."""
    repository = stack.repository("quiet")
    warm(repository)
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    since = stack.last_request()
    repository.act("edit", number, **FEATURE_JUPYTER)
    record = repository.decided(number, 2)
    assert record["removed"] == ["kind/bug"] and repository.labels(number) == {"kind/feature", "area/jupyter"}
    assert f"/issues/{number}/timeline" in " ".join(reads(repository, since))


def test_what_a_person_removes_stays_away(stack, labeler):
    """A removal is looked at on the forge, whatever the record said; no later look adds it again."""
    repository = stack.repository("quiet")
    warm(repository)
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    since = stack.last_request()
    repository.act("unlabel", number, labels=["kind/bug"])
    repository.decided(number, 2)
    assert f"/issues/{number}/timeline" in " ".join(reads(repository, since))
    repository.act("edit", number, body=BUG_JUPYTER["body"] + " Again.")
    record = repository.decided(number, 3)
    assert {row["label"]: row["verdict"] for row in record["labels"]}["kind/bug"] == "REMOVED_BY_PERSON"
    stack.settle()
    assert repository.labels(number) == {"area/jupyter"}
    assert repository.hands(number)[-1][:2] == ("unlabeled", "kind/bug")


def test_removed_before_the_first_look(stack, labeler):
    """Somebody labels and thinks better of it while no labeler is there."""
    repository = stack.repository("quiet")
    warm(repository)
    labeler.stop()
    number = repository.open(BUG_JUPYTER)
    repository.act("label", number, labels=["kind/bug"])
    repository.act("unlabel", number, labels=["kind/bug"])
    labeler.start()
    record = repository.decided(number)
    stack.settle()
    assert record["added"] == ["area/jupyter"] and repository.labels(number) == {"area/jupyter"}


def test_removal_of_an_unknown_issue(stack, labeler):
    """A removal on an issue that nodag never decided about is no reason to look."""
    repository = stack.repository("quiet")
    warm(repository)
    number = repository.open(BUG_JUPYTER, labels=["good first issue"], **{"as": OTHER_BOT})
    stack.settle()
    since = stack.last_request()
    repository.act("unlabel", number, labels=["good first issue"])
    stack.settle()
    assert stack.requests(since) == [] and repository.labels(number) == set()


def test_comment_is_read(stack, labeler):
    """A document with comments needs them: the forge is asked, and there is one comment."""
    repository = stack.repository("acme")
    warm(repository)
    since = stack.last_request()
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    stack.settle()
    assert f"/issues/{number}/timeline" in " ".join(reads(repository, since))
    assert len(repository.comments(number)) == 1


def test_without_a_historian(stack, labeler, historian):
    """Where no record comes the forge is asked."""
    repository = stack.repository("quiet")
    warm(repository)
    historian.stop()
    try:
        since, before = stack.last_request(), looks(labeler, "record")
        number = repository.open(BUG_JUPYTER)
        repository.decided(number)
        assert repository.labels(number) == BUG
        assert len(reads(repository, since)) == 2 and looks(labeler, "record") == before
    finally:
        historian.start()


def test_killed_after_the_write(stack, labeler):
    """kill -9 with the labels written and nothing recorded: the next start looks at the forge."""
    repository = stack.repository("quiet")
    warm(repository)
    fault = stack.fault("late_answer", ms=LATE_MS, method="POST", path=f"/repos/{repository.name}/*", count=1)
    number = repository.open(BUG_JUPYTER)
    wait_until(lambda: stack.hits(fault) == 1 and repository.labels(number) == BUG, WRITTEN_S, "the write")
    labeler.kill()
    repository.act("unlabel", number, labels=["kind/bug"])
    labeler.start()
    repository.decided(number)
    stack.settle()
    assert repository.labels(number) == {"area/jupyter"}
