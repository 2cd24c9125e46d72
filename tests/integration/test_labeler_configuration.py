"""`.github/issue_label_bot.yaml`: what it says, and absent, invalid, unreachable and hidden told apart.

The organisation's file concerns all repositories of the organisation, so a test that has one takes it away at its end.
"""
import json

import pytest
from whole_path import BUG_JUPYTER, CONFIGURATION, LABELS, SECRET, Repository
from proc import wait_until

INVALID = "label-alias: [kind/bug]\n"
SAID_S = 30

pytestmark = pytest.mark.usefixtures("module_labeler")


@pytest.fixture(scope="module", autouse=True)
def organisation_repository(labeler_stack) -> Repository:
    """quiet/.github, made once and before anybody asks for it: that it is not there would be believed for a minute."""
    return labeler_stack.repository("quiet", name=".github")


@pytest.fixture
def organisation(organisation_repository, stack) -> Repository:
    """quiet/.github; without the file after the test."""
    yield organisation_repository
    organisation_repository.configure(None)
    stack.settle()


def verdicts(record: dict) -> dict[str, str]:
    return {label["label"]: label["verdict"] for label in record["labels"]}


def lines(daemon, message: str, repository: str) -> list[dict]:
    """Log lines whose message begins so and that name the repository."""
    found = [json.loads(line) for line in daemon.log_text().splitlines() if message in line]
    return [line for line in found if line.get("repository") == repository]


# -- what it says ----------------------------------------------------------------------------------------------------


def test_alias_and_allowed(stack):
    repository = stack.repository("quiet", labels=[*LABELS, "kind/defect"], files={
        CONFIGURATION: "label-alias: {kind/bug: kind/defect}\npredicted-labels: [kind/defect]\n"})
    number = repository.open(BUG_JUPYTER)
    record = repository.decided(number)
    assert repository.labels(number) == {"kind/defect"}
    assert verdicts(record)["area/jupyter"] == "NOT_ALLOWED"
    [label] = [label for label in record["labels"] if label["label"] == "kind/bug"]
    assert label["written"] == "kind/defect" and label["verdict"] == "ADD"


def test_deep_merge(stack, organisation):
    """The repository's aliases join the organisation's and win over them; its list replaces the organisation's."""
    organisation.configure("label-alias: {kind/bug: kind/defect, area/jupyter: area/notebooks}\n"
                           "predicted-labels: [kind/defect]\n")
    stack.settle()
    names = [*LABELS, "kind/defect", "kind/error", "area/notebooks"]
    alone = stack.repository("quiet", labels=names)
    joined = stack.repository("quiet", labels=names, files={
        CONFIGURATION: "label-alias: {kind/bug: kind/error}\npredicted-labels: [kind/error, area/notebooks]\n"})
    first, second = alone.open(BUG_JUPYTER), joined.open(BUG_JUPYTER)
    alone.decided(first)
    joined.decided(second)
    assert alone.labels(first) == {"kind/defect"}
    assert joined.labels(second) == {"kind/error", "area/notebooks"}


def test_change_is_noticed(stack):
    """A push makes the next issue read it again."""
    repository = stack.repository("quiet")
    repository.decided(repository.open(BUG_JUPYTER))
    repository.configure("predicted-labels: [kind/bug]\n")
    stack.settle()
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug"}


def test_change_of_the_organisation_is_noticed(stack, organisation):
    repository = stack.repository("quiet")
    repository.decided(repository.open(BUG_JUPYTER))
    organisation.configure("predicted-labels: [area/jupyter]\n")
    stack.settle()
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    assert repository.labels(number) == {"area/jupyter"}


# -- invalid ---------------------------------------------------------------------------------------------------------


def test_invalid_and_mended(stack, module_labeler):
    """Said once in log and metric; the issues wait on `pending` and are labelled when a push mends the file."""
    repository = stack.repository("quiet", files={CONFIGURATION: INVALID})
    numbers = [repository.open(BUG_JUPYTER) for _ in range(3)]
    for number in numbers:
        record = repository.held_back(number, "STALLED")
        assert f"{repository.name}/{CONFIGURATION}:1:14: `label-alias` must be a mapping" in record["reason"]
    assert len(lines(module_labeler, "issue_label_bot.yaml is invalid", repository.name)) == 1
    assert module_labeler.metric("nodag_labeler_repositories_invalid") == 1
    stack.settle()  # nothing holds a partition
    assert all(repository.labels(number) == set() for number in numbers)
    repository.configure("predicted-labels: [kind/bug]\n")
    for number in numbers:
        repository.decided(number)
        assert repository.labels(number) == {"kind/bug"}
    wait_until(lambda: not any(repository.key(number) in stack.follower.pending() for number in numbers), SAID_S,
               "nothing to be pending")
    assert module_labeler.metric("nodag_labeler_repositories_invalid") == 0


def test_invalid_organisation_and_mended(stack, organisation, module_labeler):
    organisation.configure(INVALID)
    stack.settle()
    repository = stack.repository("quiet")
    number = repository.open(BUG_JUPYTER)
    assert f"quiet/.github/{CONFIGURATION}:1:14:" in repository.held_back(number, "STALLED")["reason"]
    organisation.configure("predicted-labels: [kind/bug]\n")
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug"}
    wait_until(lambda: module_labeler.metric("nodag_labeler_repositories_invalid") == 0, SAID_S, "the metric to say so")


def test_still_invalid_after_a_restart(stack, module_labeler):
    """A stalled issue is not forgotten by a restart, and is mended after it."""
    repository = stack.repository("quiet", files={CONFIGURATION: INVALID})
    number = repository.open(BUG_JUPYTER)
    repository.held_back(number, "STALLED")
    module_labeler.stop()
    repository.configure(None)
    module_labeler.start()
    stack.settle()
    repository.act("edit", number, title=BUG_JUPYTER["title"] + "!")
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}


# -- unreachable -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["contents/*", "labels", ""])
def test_unreachable(stack, path):
    """502 is not "no configuration": nothing is written until it was read."""
    repository = stack.repository("quiet", files={CONFIGURATION: "predicted-labels: [kind/bug]\n"})
    fault = stack.fault("status", status=502, path=f"/repos/{repository.name}/{path}".rstrip("/"))
    since = stack.last_request()
    number = repository.open(BUG_JUPYTER)
    repository.held_back(number, "RETRY")
    wait_until(lambda: stack.hits(fault) >= 3, SAID_S, "it to be tried again")
    assert [request for request in repository.requests(since) if request[0] != "GET"] == []
    stack.no_faults()
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug"}


def test_unreachable_organisation(stack, organisation):
    organisation.configure("predicted-labels: [kind/bug]\n")
    stack.settle()
    repository = stack.repository("quiet")
    fault = stack.fault("status", status=503, path="/repos/quiet/.github/contents/*")
    number = repository.open(BUG_JUPYTER)
    repository.held_back(number, "RETRY")
    wait_until(lambda: stack.hits(fault) >= 2, SAID_S, "it to be tried again")
    assert repository.labels(number) == set()
    stack.no_faults()
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug"}


# -- hidden ----------------------------------------------------------------------------------------------------------


def test_hidden_organisation(stack, module_labeler):
    """shut/.github exists and the App may not see it: it counts as absent, with one warning for the organisation."""
    hidden = stack.repository("shut", name=".github", files={CONFIGURATION: "predicted-labels: [kind/bug]\n"})
    repositories = [stack.repository("shut"), stack.repository("shut")]
    stack.sandbox.call("PATCH", f"/_sandbox/installations/{stack.shut}", {"add": [one.name for one in repositories]})
    for repository in repositories:
        number = repository.open(BUG_JUPYTER)
        repository.decided(number)
        assert repository.labels(number) == {"kind/bug", "area/jupyter"}
    said = [line for line in module_labeler.log_text().splitlines() if "counted as absent" in line and '"shut/' in line]
    assert len(said) == 1
    assert hidden.name == "shut/.github"


def test_repository_that_the_app_does_not_see(stack):
    """Its webhooks may still come: a person is told what to do, and nothing is tried again and again."""
    repository = stack.repository("shut")
    stack.sandbox.post("/_sandbox/hooks", {"repository": repository.name, "url": stack.hook_url, "secret": SECRET,
                                           "events": ["issues"], "ping": False})
    number = repository.open(BUG_JUPYTER)
    record = repository.held_back(number, "STALLED")
    assert f"{repository.name} is not visible to nodag: give the App or token access to it" in record["reason"]
    stack.settle()
    stack.sandbox.call("PATCH", f"/_sandbox/installations/{stack.shut}", {"add": [repository.name]})
    assert repository.labels(number) == set()
