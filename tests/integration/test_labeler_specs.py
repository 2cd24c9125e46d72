"""The labeler with its documents from the topic `specs`: published, changed, broken, deleted, in conflict.

The records are written here as ingest-git writes them, by another client: no command changes desired state. Each test
begins and ends without documents.
"""
import pytest
from daemon import run_program
from proc import wait_until
from spec_records import AGAIN_S, Documents
from whole_path import BUG_JUPYTER


@pytest.fixture(scope="module")
def topic_labeler(labeler_stack):
    daemon = labeler_stack.labeler(name="labeler-by-topic", by_topic=True).start()
    yield daemon
    daemon.end()


@pytest.fixture
def documents(stack, topic_labeler):
    made = Documents(stack, topic_labeler)
    yield made
    made.clear()


def test_published_and_deleted(stack, documents):
    """Nothing is done without a document, something with one, and nothing again after it is deleted."""
    repository = stack.repository("acme")
    before = repository.open(BUG_JUPYTER)
    stack.settle()
    documents.put("one")
    during = repository.open(BUG_JUPYTER)
    repository.decided(during)
    documents.write("one", None)
    after = repository.open(BUG_JUPYTER)
    stack.settle()
    assert repository.labels(during) == {"kind/bug", "area/jupyter"}
    assert repository.labels(before) == repository.labels(after) == set()


def test_change_reaches_known_issues(stack, documents):
    """An issue that was decided is looked at again when its document says something else."""
    documents.put("one", include='["kind/*"]')
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug"}
    documents.put("one")
    wait_until(lambda: repository.labels(number) == {"kind/bug", "area/jupyter"}, AGAIN_S, "the wider include")


def test_invalid_beside_valid(stack, documents, topic_labeler):
    """What is not valid is said and counted, and the last valid version stays in force."""
    documents.put("one", include='["kind/*"]', reason="nodag/labeler.yaml:5:3: unknown name 'coment'")
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug"}
    assert topic_labeler.metric('nodag_labeler_documents{state="invalid"}') == 1
    assert "unknown name 'coment'" in topic_labeler.log_text()
    listed = run_program([stack.bin_dir / "nodag", "specs", *stack.kafka()]).stdout.splitlines()
    assert listed[1].split()[:3] == ["Labeler", "one", "older"] and "unknown name 'coment'" in listed[1]
    shown = run_program([stack.bin_dir / "nodag", "specs", "show", "Labeler/one", *stack.kafka()]).stdout
    assert "not valid: https://forge/acme/specs nodag/labeler.yaml:1 at 8c1f0e" in shown and '"kind/*"' in shown


def test_a_record_that_is_none(stack, documents):
    """A record that nobody could have published does not take away what is in force."""
    documents.put("one")
    documents.write("one", {"first_published": None, "valid": {"document": "?"}, "invalid": None})
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}


def test_two_match(stack, documents, topic_labeler):
    """Where two match nothing is written and both are named; deleting one mends it."""
    documents.put("one")
    documents.put("two", repositories="*/*")
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    record = repository.held_back(number, "STALLED")
    assert f"the Labelers `one` and `two` both match {repository.name}" in record["reason"]
    assert topic_labeler.metric("nodag_labeler_repositories_in_conflict") >= 1  # known issues may be under way too
    stack.settle()
    assert repository.labels(number) == set()
    documents.write("two", None)
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}
    assert topic_labeler.metric("nodag_labeler_repositories_in_conflict") == 0


def test_model_of_a_deployment(stack, documents):
    """What only the deployer can provide waits for a person, who is told; a file mends it."""
    documents.put("one", models=[{"from": "label-bot-prod"}])
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    record = repository.held_back(number, "STALLED")
    assert "takes its model from the Deployment `label-bot-prod`" in record["reason"]
    documents.put("one")
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}


def test_since_is_when_it_was_first_published(stack, documents):
    """Without `since` nothing from before the document is acted on."""
    documents.put("one", since="2100-01-01")
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    stack.settle()
    assert repository.labels(number) == set()


def test_after_a_restart(stack, documents, topic_labeler):
    """The documents are read before any event is: one that came meanwhile is not passed over."""
    documents.put("one")
    topic_labeler.stop()
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    topic_labeler.start()
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}
