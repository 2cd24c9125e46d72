"""The labeler with a token instead of an App: the same decisions, its own doings known by the login."""
import pytest
from whole_path import BUG_JUPYTER, CONFIGURATION, FEATURE_PIPELINES, MACHINE


@pytest.fixture(scope="module", autouse=True)
def token_labeler(labeler_stack):
    daemon = labeler_stack.labeler(name="token-labeler", token=True).start()
    yield daemon
    daemon.end()


def test_new_and_edited(stack):
    repository = stack.repository("token")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}
    assert {who for _, _, who in repository.hands(number)} == {MACHINE}
    repository.act("edit", number, **FEATURE_PIPELINES)
    repository.decided(number, 2)
    assert repository.labels(number) == {"kind/feature", "area/pipelines"}
    assert len(repository.comments(number)) == 1


def test_own_doings_are_skipped(stack):
    """The account is of type User: only the login tells its doings from a person's."""
    repository = stack.repository("token")
    since = stack.last_request()
    number = repository.open(BUG_JUPYTER, **{"as": MACHINE})
    stack.settle()
    assert stack.requests(since) == []
    repository.act("edit", number, title=BUG_JUPYTER["title"] + ".")
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}


def test_what_a_person_removed(stack):
    repository = stack.repository("token")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    repository.act("unlabel", number, label="kind/bug")
    repository.act("edit", number, title=BUG_JUPYTER["title"] + ".")
    repository.decided(number, 2)
    assert repository.labels(number) == {"area/jupyter"}


def test_configuration_absent_and_hidden(stack):
    """The repository's file counts; that token/.github cannot be read, for it is not there, counts as absent."""
    repository = stack.repository("token", files={CONFIGURATION: "predicted-labels: [kind/bug]\n"})
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug"}
