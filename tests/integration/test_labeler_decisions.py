"""What the labeler decides: new and changed issues, people's decisions, what may be written, and what it leaves alone.

Every decision is read from two places: from the sandbox what was done, from `predictions` why.
"""
import pytest
from whole_path import (BOT, BUG_JUPYTER, CONFIGURATION, FEATURE_JUPYTER, FEATURE_PIPELINES, LABELS, NOTHING,
                        QUESTION_SERVING)

PAST = "2020-01-01T12:00:00Z"

pytestmark = pytest.mark.usefixtures("module_labeler")


def verdicts(record: dict) -> dict[str, str]:
    return {label["label"]: label["verdict"] for label in record["labels"]}


def writes(repository, since: int) -> list[tuple[str, str]]:
    return [(method, path) for method, path, _ in repository.requests(since) if method != "GET"]


def test_new_issue(stack):
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    record = repository.decided(number)
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}
    assert set(record["added"]) == {"kind/bug", "area/jupyter"} and record["removed"] == []
    assert record["repository"] == repository.name and record["number"] == number and not record["held_back"]
    seen = verdicts(record)
    assert seen.pop("kind/bug") == "ADD" and seen.pop("area/jupyter") == "ADD"
    assert set(seen) == set(LABELS) - {"kind/bug", "area/jupyter"}
    assert set(seen.values()) <= {"BELOW", "NOT_BEST", "NOT_PREDICTABLE"}
    assert all(label["why"] and 0 <= label["probability"] <= 1 for label in record["labels"])
    [comment] = repository.comments(number)
    assert "`kind/bug`" in comment and "`area/jupyter`" in comment and record["model"] in comment
    assert record["comment_id"] == repository.look(number)["comments"][0]["id"]


def test_record_names_its_event(stack):
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    event = repository.decided(number)["event"]
    stack.settle()
    [delivery] = [one for one in stack.sandbox.get("/_sandbox/deliveries?event=issues")["deliveries"]
                  if one["action"] == "opened" and one["guid"] == event["id"]]
    assert delivery["repository_id"] == repository.id


def test_frugal(stack):
    """What is known of the repository being fresh, a new issue costs two reads and two writes, and nothing else."""
    repository = stack.repository("acme")
    repository.decided(repository.open(NOTHING))
    stack.settle()
    since = stack.last_request()
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    stack.settle()
    asked = [(request["method"], request["path"]) for request in stack.requests(since)]
    issue = f"/repos/{repository.name}/issues/{number}"
    assert asked == [("GET", issue), ("GET", f"{issue}/timeline"),
                     ("POST", f"{issue}/labels"), ("POST", f"{issue}/comments")]


def test_nothing_predicted(stack):
    repository = stack.repository("acme")
    since = stack.last_request()
    number = repository.open(NOTHING)
    record = repository.decided(number)
    assert record["added"] == [] and verdicts(record)["good first issue"] == "NOT_INCLUDED"
    assert repository.labels(number) == set() and repository.comments(number) == []
    assert writes(repository, since) == []


def test_silent(stack):
    repository = stack.repository("quiet")
    number = repository.open(BUG_JUPYTER)
    assert repository.decided(number)["comment_id"] == 0
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}
    assert repository.look(number)["comments"] == []


# -- the text changes ------------------------------------------------------------------------------------------------


def test_edited(stack):
    """What nodag put there and the new text does not say goes, by single DELETEs; the one comment is edited."""
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    [first] = repository.comments(number)
    since = stack.last_request()
    repository.act("edit", number, **FEATURE_PIPELINES)
    record = repository.decided(number, 2)
    assert repository.labels(number) == {"kind/feature", "area/pipelines"}
    assert set(record["removed"]) == {"kind/bug", "area/jupyter"}
    assert set(record["added"]) == {"kind/feature", "area/pipelines"}
    [comment] = repository.comments(number)
    assert comment != first and "`kind/feature`" in comment
    below = f"/issues/{number}"
    done = writes(repository, since)
    assert sorted(done[:2]) == [("DELETE", f"{below}/labels/area/jupyter"), ("DELETE", f"{below}/labels/kind/bug")]
    assert done[2] == ("POST", f"{below}/labels")
    assert [method for method, _ in done[3:]] == ["PATCH"]


def test_edited_to_the_same(stack):
    """A decision that has not changed writes nothing, not even the comment."""
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    since = stack.last_request()
    repository.act("edit", number, title=BUG_JUPYTER["title"] + ".")
    record = repository.decided(number, 2)
    assert record["added"] == [] and record["removed"] == []
    assert verdicts(record)["kind/bug"] == "KEEP"
    assert writes(repository, since) == []


def test_closed_and_reopened(stack):
    """A closed issue is left alone, also when its text changes; reopened it is brought up to date."""
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    since = stack.last_request()
    repository.act("close", number)
    repository.act("edit", number, **FEATURE_JUPYTER)
    stack.settle()
    assert writes(repository, since) == []
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}
    repository.act("reopen", number)
    repository.decided(number, 2)
    assert repository.labels(number) == {"kind/feature", "area/jupyter"}


# -- people decide ---------------------------------------------------------------------------------------------------


def test_removed_by_a_person_stays_removed(stack):
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    repository.act("unlabel", number, label="kind/bug")
    repository.act("edit", number, title=BUG_JUPYTER["title"] + " again")
    record = repository.decided(number, 2)
    assert repository.labels(number) == {"area/jupyter"}
    [label] = [label for label in record["labels"] if label["label"] == "kind/bug"]
    assert label["verdict"] == "REMOVED_BY_PERSON" and label["by"] == "ann"
    assert [(one["label"], one["what"], one["by"]) for one in record["corrections"]] == [("kind/bug", "removed", "ann")]
    assert "somebody removed it" in repository.comments(number)[0]


def test_added_by_a_person_stays(stack):
    """Also a label that nodag had put there before the person did, and one that nobody knows who put there."""
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER, labels=["area/katib"])
    record = repository.decided(number)
    assert verdicts(record)["area/katib"] == "ADDED_BY_PERSON"
    repository.act("unlabel", number, label="kind/bug")
    repository.act("label", number, label="kind/bug")
    repository.act("label", number, label="good first issue")
    repository.act("edit", number, **NOTHING)
    record = repository.decided(number, 2)
    assert repository.labels(number) == {"area/katib", "kind/bug", "good first issue"}
    assert record["removed"] == ["area/jupyter"]


def test_two_people_and_nodag(stack):
    """Labelled by nodag, taken by one, given back by another: then it is theirs."""
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    repository.act("unlabel", number, label="kind/bug", **{"as": "bo"})
    repository.act("label", number, label="kind/bug")
    repository.act("edit", number, **NOTHING)
    repository.decided(number, 2)
    assert repository.labels(number) == {"kind/bug"}
    assert [who for event, label, who in repository.hands(number) if label == "kind/bug"] == [BOT, "bo", "ann"]


def test_deleted_comment_is_not_written_again(stack):
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    comment = repository.decided(number)["comment_id"]
    repository.act("delete_comment", number, comment=comment)
    repository.act("edit", number, **FEATURE_PIPELINES)
    record = repository.decided(number, 2)
    assert record["comment_deleted"] and repository.comments(number) == []
    assert repository.labels(number) == {"kind/feature", "area/pipelines"}


# -- what may be written ---------------------------------------------------------------------------------------------


def test_label_that_the_repository_lacks(stack):
    repository = stack.repository("acme", labels=["Kind/Bug"])
    number = repository.open(BUG_JUPYTER)
    record = repository.decided(number)
    assert repository.labels(number) == {"Kind/Bug"}  # as the repository spells it
    assert record["added"] == ["Kind/Bug"] and verdicts(record)["area/jupyter"] == "NO_SUCH_LABEL"
    assert stack.sandbox.get("/_sandbox/stats")["labels_created_implicitly"] == 0


def test_label_that_appears_later(stack):
    """A change of the repository's labels is noticed by its webhook."""
    repository = stack.repository("acme", labels=["kind/bug"])
    repository.decided(repository.open(BUG_JUPYTER))
    repository.act("create_label", label="area/jupyter")
    stack.settle()
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}


def test_not_included(stack):
    repository = stack.repository("acme", files={CONFIGURATION: "label-alias: {kind/bug: good first issue}\n"})
    number = repository.open(BUG_JUPYTER)
    record = repository.decided(number)
    assert repository.labels(number) == {"area/jupyter"}
    assert verdicts(record)["kind/bug"] == "NOT_INCLUDED"


@pytest.mark.parametrize("organisation, wanted", [("loose", {"area/jupyter"}), ("named", {"area/jupyter", "lgtm"})])
def test_trigger_label(stack, organisation, wanted):
    """A label on which automation acts is written only where the document names it literally; a glob is not enough."""
    repository = stack.repository(organisation, labels=[*LABELS, "lgtm"],
                                  files={CONFIGURATION: "label-alias: {kind/bug: lgtm}\n"})
    number = repository.open(BUG_JUPYTER)
    record = repository.decided(number)
    assert repository.labels(number) == wanted
    assert verdicts(record)["kind/bug"] == ("ADD" if "lgtm" in wanted else "TRIGGER")


def test_two_documents(stack):
    """Of two documents that match none is chosen: a person must say which."""
    repository = stack.repository("clash")
    number = repository.open(BUG_JUPYTER)
    record = repository.held_back(number, "STALLED")
    assert "`clash-one` and `clash-two`" in record["reason"]
    assert repository.labels(number) == set()


def test_holdback(stack):
    """Half of the issues are predicted and recorded, and nothing is written: which ones, anybody can compute."""
    repository = stack.repository("held")
    numbers = [repository.open(BUG_JUPYTER) for _ in range(8)]
    records = {number: repository.decided(number) for number in numbers}
    held_back = {number for number in numbers if repository.holds_back(number, 0.5)}
    assert 0 < len(held_back) < len(numbers), "eight issues on one side of the draw: open more"
    for number, record in records.items():
        assert record["held_back"] == (number in held_back)
        assert verdicts(record)["kind/bug"] == ("HELD_BACK" if number in held_back else "ADD")
        assert repository.labels(number) == (set() if number in held_back else {"kind/bug", "area/jupyter"})
        assert len(repository.comments(number)) == (0 if number in held_back else 1)


# -- where an issue goes ---------------------------------------------------------------------------------------------


def test_transferred(stack):
    """At its destination it is a new issue, labelled as that repository can; the old one is left alone."""
    origin, target = stack.repository("acme"), stack.repository("acme", labels=["kind/bug"])
    number = origin.open(BUG_JUPYTER, quiet=True)
    moved = origin.act("transfer", number, to=target.name)["issue"]["number"]
    record = target.decided(moved)
    assert target.labels(moved) == {"kind/bug"}
    assert record["repository"] == target.name
    stack.settle()
    assert stack.follower.decisions(origin.key(number)) == []


def test_transferred_before_it_was_looked_at(stack):
    origin, target = stack.repository("acme"), stack.repository("acme")
    origin.decided(origin.open(NOTHING))
    stack.fault("webhook_delay", event="issues", ms=300, count=1)
    number = origin.open(BUG_JUPYTER)
    moved = origin.act("transfer", number, to=target.name)["issue"]["number"]
    target.decided(moved)
    stack.settle()
    assert target.labels(moved) == {"kind/bug", "area/jupyter"}
    assert stack.follower.decisions(origin.key(number)) == []
    assert origin.key(number) not in stack.follower.pending()


def test_renamed_repository(stack):
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    stack.sandbox.call("PATCH", f"/_sandbox/repos/{repository.name}", {"name": f"renamed-{repository.id}"})
    repository.name = f"acme/renamed-{repository.id}"
    repository.act("edit", number, **FEATURE_JUPYTER)
    record = repository.decided(number, 2)
    assert repository.labels(number) == {"kind/feature", "area/jupyter"}
    assert record["repository"] == repository.name


def test_archived_repository(stack):
    repository = stack.repository("acme")
    stack.fault("webhook_delay", event="issues", ms=300, count=1)
    since = stack.last_request()
    number = repository.open(BUG_JUPYTER)
    stack.sandbox.call("PATCH", f"/_sandbox/repos/{repository.name}", {"archived": True})
    stack.settle()
    assert repository.requests(since) and writes(repository, since) == []
    assert stack.follower.decisions(repository.key(number)) == []
    assert repository.key(number) not in stack.follower.pending()


def test_deleted_issue(stack):
    repository = stack.repository("acme")
    repository.decided(repository.open(NOTHING))
    stack.fault("webhook_delay", event="issues", ms=300, count=1)
    number = repository.open(BUG_JUPYTER)
    repository.act("delete", number)
    stack.settle()
    assert stack.follower.decisions(repository.key(number)) == []
    assert repository.key(number) not in stack.follower.pending()


# -- what is skipped by its headers ----------------------------------------------------------------------------------


def test_skipped_by_headers(stack):
    """Pull requests, its own doings, other bots', what was before `since`, what no document names: not one request."""
    repository, stranger = stack.repository("acme"), stack.repository("strangers")
    since = stack.last_request()
    numbers = [repository.act("open", **BUG_JUPYTER, pull_request=True)["issue"]["number"],
               repository.act("open", **BUG_JUPYTER, **{"as": "robot[bot]"})["issue"]["number"],
               repository.act("open", **BUG_JUPYTER, **{"as": BOT})["issue"]["number"],
               repository.act("open", **BUG_JUPYTER, at=PAST)["issue"]["number"]]
    stranger.open(BUG_JUPYTER)
    repository.act("label", numbers[3], label="kind/feature")
    repository.act("comment", numbers[3], body="me too")
    repository.act("edit", numbers[0], title="another title")
    stack.settle()
    assert [request["path"] for request in stack.requests(since)] == []
    assert all(stack.follower.decisions(repository.key(number)) == [] for number in numbers)


def test_issue_of_a_bot_that_a_person_edits(stack):
    """Who did the last thing matters, not whose the issue is."""
    repository = stack.repository("acme")
    number = repository.act("open", **NOTHING, **{"as": "robot[bot]"})["issue"]["number"]
    repository.act("edit", number, **QUESTION_SERVING)
    repository.decided(number)
    assert repository.labels(number) == {"kind/question", "area/serving"}


def test_old_issue_that_is_edited_now(stack):
    repository = stack.repository("acme")
    number = repository.open(NOTHING, at=PAST)
    repository.act("edit", number, **BUG_JUPYTER)
    repository.decided(number)
    assert repository.labels(number) == {"kind/bug", "area/jupyter"}
