"""The labeler before a misbehaving forge: whatever happens, in the end there is one comment and the right labels.

And before changes of its own files: documents and models that are read again while issues are under way.
"""
import json
import shutil
from datetime import datetime

import pytest
from proc import wait_until
from whole_path import BUG_JUPYTER, FEATURE_PIPELINES, NOTHING

AGAIN_S = 60

pytestmark = pytest.mark.usefixtures("module_labeler")


def check_end(repository, number: int, labels: set[str]) -> None:
    """One comment, these labels, each label put on once by nodag; nothing left open."""
    repository.not_pending(number)
    assert repository.labels(number) == labels
    assert len(repository.comments(number)) == 1
    hands = repository.hands(number)
    assert len(hands) == len(set(hands)), hands
    assert repository.stack.sandbox.get("/_sandbox/stats")["labels_created_implicitly"] == 0


# Requests that faults strike. `{r}` is the repository.
ANY = {"path": "/repos/{r}/*"}
READ = {"method": "GET", "path": "/repos/{r}/*"}
TIMELINE = {"method": "GET", "path": "/repos/{r}/issues/*/timeline"}
WRITE = {"method": "POST", "path": "/repos/{r}/*"}
LABELS = {"method": "POST", "path": "/repos/{r}/issues/*/labels"}
COMMENT = {"method": "POST", "path": "/repos/{r}/issues/*/comments"}
REMOVAL = {"method": "DELETE", "path": "/repos/{r}/issues/*/labels/*"}
CHANGE = {"method": "PATCH", "path": "/repos/{r}/issues/comments/*"}


def one(kind: str, which: dict, count: int = 1, **members) -> dict:
    """A fault of the sandbox that strikes `count` times."""
    return {"kind": kind, **which, "count": count, **members}


# What goes wrong while a new issue is labelled and commented.
NEW = {
    "reads are slow": [one("latency", READ, 10, ms=200)],
    "writes are slow": [one("late_answer", WRITE, 2, ms=300)],
    "labels: 502 before": [one("status", LABELS, 2)],
    "labels: 502 after the effect": [one("status_after", LABELS)],
    "labels: request lost": [one("lost_request", LABELS)],
    "labels: answer lost": [one("lost_answer", LABELS)],
    "labels: answer cut short": [one("truncated", LABELS)],
    "comment: 500 before": [one("status", COMMENT, 2, status=500)],
    "comment: 502 after the effect": [one("status_after", COMMENT)],
    "comment: request lost": [one("lost_request", COMMENT)],
    "comment: answer lost": [one("lost_answer", COMMENT)],
    "comment: answer cut short": [one("truncated", COMMENT)],
    "one after the other": [one("lost_answer", LABELS), one("status", TIMELINE, skip=1), one("lost_answer", COMMENT)],
    "two of five fail": [one(kind, ANY, 20, probability=0.12, seed=seed)
                         for seed, kind in enumerate(("status", "lost_answer", "lost_request", "status_after"))],
}

# And while the labels of a changed text replace those of the old one.
EDITED = {
    "removal: 502 before": [one("status", REMOVAL)],
    "first removal: answer lost": [one("lost_answer", REMOVAL)],
    "second removal: answer lost": [one("lost_answer", REMOVAL, skip=1)],
    "second removal: request lost": [one("lost_request", REMOVAL, skip=1)],
    "labels: answer lost": [one("lost_answer", LABELS)],
    "comment: answer lost": [one("lost_answer", CHANGE)],
    "comment: 502 after the effect": [one("status_after", CHANGE)],
}


def strike(stack, repository, faults: list[dict]) -> list[int]:
    return [stack.fault(**{**fault, "path": fault["path"].format(r=repository.name)}) for fault in faults]


@pytest.mark.parametrize("faults", NEW.values(), ids=NEW)
def test_new_issue(stack, faults):
    repository = stack.repository("acme")
    ids = strike(stack, repository, faults)
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    assert any(stack.hits(fault) for fault in ids)
    check_end(repository, number, {"kind/bug", "area/jupyter"})


@pytest.mark.parametrize("faults", EDITED.values(), ids=EDITED)
def test_edited_issue(stack, faults):
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    ids = strike(stack, repository, faults)
    repository.act("edit", number, **FEATURE_PIPELINES)
    repository.decided(number, 2)
    assert any(stack.hits(fault) for fault in ids)
    check_end(repository, number, {"kind/feature", "area/pipelines"})


@pytest.mark.parametrize("status", [403, 429])
def test_secondary_limit(stack, status):
    """GitHub says when to come back: not one request before that, and not a retry with backoff."""
    repository = stack.repository("acme")
    repository.decided(repository.open(NOTHING))
    stack.fault("secondary", status=status, retry_after=2, method="POST", path=f"/repos/{repository.name}/*", count=1)
    since = stack.last_request()
    number = repository.open(BUG_JUPYTER)
    record = repository.held_back(number, "AFTER")
    assert record["attempts"] <= 1
    repository.decided(number)
    posts = [request for request in stack.requests(since)
             if request["method"] == "POST" and repository.name in request["path"]]
    assert [request["status"] for request in posts] == [status, 200, 201]
    gap = seconds_between(posts[0], posts[1])
    assert 1.0 <= gap, f"came back after {gap} s"  # the sandbox's times have whole seconds
    check_end(repository, number, {"kind/bug", "area/jupyter"})


def seconds_between(first: dict, second: dict) -> float:
    return (datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])).total_seconds()


def test_people_act_while_it_fails(stack):
    """While the labeler cannot write, somebody decides: that stands."""
    repository = stack.repository("acme")
    fault = stack.fault("status", method="POST", path=f"/repos/{repository.name}/*")
    number = repository.open(BUG_JUPYTER)
    repository.held_back(number, "RETRY")
    repository.act("label", number, label="kind/bug")
    repository.act("unlabel", number, label="kind/bug")
    wait_until(lambda: stack.hits(fault) > 2, AGAIN_S, "another try")
    stack.no_faults()
    repository.decided(number)
    assert repository.labels(number) == {"area/jupyter"}


def test_many_at_once(stack):
    """Twenty issues of four repositories while one request in four fails or is slow."""
    repositories = [stack.repository("acme") for _ in range(4)]
    for seed, kind in enumerate(("status", "lost_answer", "late_answer")):
        slow = {"ms": 300} if kind == "late_answer" else {}
        stack.fault(kind, path="/repos/acme/*", probability=0.08, seed=seed, **slow)
    opened = [(repository, repository.open(BUG_JUPYTER)) for _ in range(5) for repository in repositories]
    for repository, number in opened:
        repository.decided(number)
    stack.no_faults()
    stack.settle()
    for repository, number in opened:
        assert repository.labels(number) == {"kind/bug", "area/jupyter"}
        assert len(repository.comments(number)) == 1
    assert not stack.follower.pending().keys() & {repository.key(number) for repository, number in opened}


# -- its own files ---------------------------------------------------------------------------------------------------


def test_reload_while_issues_are_under_way(stack, module_labeler):
    """Documents and models are read again in the middle of a job: it ends with what it began with."""
    repository = stack.repository("acme")
    stack.fault("late_answer", ms=1500, method="POST", path=f"/repos/{repository.name}/*", count=2)
    since = stack.last_request()
    number = repository.open(BUG_JUPYTER)
    wait_until(lambda: repository.requests(since, "POST"), AGAIN_S, "the labels to be under way")
    before = module_labeler.log_text().count("Labeler documents read")
    module_labeler.hang_up()
    wait_until(lambda: module_labeler.log_text().count("Labeler documents read") > before, AGAIN_S, "the reload")
    record = repository.decided(number)
    assert {label["label"] for label in record["labels"]} >= {"kind/bug", "area/jupyter"}
    check_end(repository, number, {"kind/bug", "area/jupyter"})


def test_document_changes(stack, module_labeler):
    """A changed document is in force without a restart; an invalid one is said, and the last valid one stays."""
    repository = stack.repository("quiet")
    good = stack.document.read_text(encoding="utf-8")
    try:
        stack.write_documents(quiet='["kind/*"]')
        wait_until(lambda: labelled(repository) == {"kind/bug"}, AGAIN_S, "the new include")
        stack.write_document("apiVersion: nodag.dev/v1\nkind: Labeler\n")
        wait_until(lambda: "a document is not valid" in module_labeler.log_text(), AGAIN_S, "it to be said")
        assert labelled(repository) == {"kind/bug"}
    finally:
        stack.write_document(good)
    wait_until(lambda: labelled(repository) == {"kind/bug", "area/jupyter"}, AGAIN_S, "the old include again")


def labelled(repository) -> set[str]:
    """What a new issue gets now."""
    number = repository.open(BUG_JUPYTER)
    repository.decided(number)
    return repository.labels(number)


def test_model_changes(stack, module_labeler):
    """A damaged model file is said and the last good model stays in force."""
    repository = stack.repository("quiet")
    kept = stack.model.with_suffix(".kept")
    shutil.copy(stack.model, kept)
    try:
        part = stack.model.with_suffix(".part")
        part.write_bytes(kept.read_bytes()[:1000])
        part.rename(stack.model)
        wait_until(lambda: module_labeler.metric("nodag_labeler_models_failed"), AGAIN_S, "the metric to say so")
        assert labelled(repository) == {"kind/bug", "area/jupyter"}
        said = [line for line in module_labeler.log_text().splitlines() if "a model file cannot be used" in line]
        assert "damaged" in json.loads(said[-1])["reason"]
    finally:
        kept.rename(stack.model)
    wait_until(lambda: module_labeler.metric("nodag_labeler_models_failed") == 0, AGAIN_S, "the good file to be read")
