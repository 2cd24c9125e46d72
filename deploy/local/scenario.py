"""The main job on the sandbox, step by step, and what came of it.

    people of the past open issues ─▶ webhooks ─▶ door ─▶ Kafka       the labeler leaves them alone: its document's `since` is later
    the labelled issues ─▶ nodag model train ─▶ label.model           the newest fifth is kept back, to judge the model by
    people open new issues ─▶ webhooks ─▶ door ─▶ Kafka ─▶ labeler ─▶ labels and a comment

Design: the first run of a data folder has all three parts, a later one only the last two. New issues come from the generator with
another seed for each run; with --issues they are the newest of the file, opened without their labels.

Invariant: what is reported as labelled was read back from the sandbox.
"""
from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from datetime import datetime, timedelta, timezone

import history
import screen
from history import ORGANISATION, write_time
from proc import Failed, wait_until
from services import Services

APP = "nodag"
BOT = "nodag[bot]"
BATCH = 25  # acts in one call to the sandbox
DECIDED_S = 60.0  # from the opening of an issue until the labeler must be done with it
IDLE_S = 300.0  # until all webhooks of the history must have passed
NEW_SEEDS = 1_000_003  # the seed of the n-th run's new issues is that of the history plus n times this
SINCE_MARGIN = timedelta(hours=1)  # generated history ends that long ago
JUDGED = 0.2  # share of the issues, the newest, that the model does not see
EXAMPLES = (5, 30)  # least number of examples for a label to be learnt: one fifteenth of the issues, within these
TITLE_WIDTH = 72

DOCUMENT = """\
# What the labeler keeps true on this stack. Edit it: the labeler notices.
apiVersion: nodag.dev/v1
kind: Labeler
metadata: {{name: local}}
spec:
  repositories: ["{organisation}/*"]
  labels: {{include: {include}}}
  models: [{{file: {model}}}]
  since: {since}
  comment: edit
"""


def run(options, services: Services) -> dict:
    """Starts everything and shows the main job; returns the summary. Raises Failed where it did not work."""
    services.remember(runs=services.memory.get("runs", 0) + 1)
    past, new = load_issues(options, services)
    services.start_broker()
    services.create_topics()
    services.start_sandbox()
    services.start_door(ORGANISATION)
    set_up_forge(services, [*past, *new])
    open_history(options, services, past)
    metrics = train(services)
    services.start_labeler("--document", write_document(services, metrics["labels"]), "--forge-url", services.sandbox.url,
                           "--forge-app-id", services.memory["app_id"], "--forge-app-key-file", services.key_pair("app.pem")[0])
    results = open_new(services, new)
    return summarise(options, services, past, metrics, results)


# -- the past ----------------------------------------------------------------------------------------------------------


def load_issues(options, services: Services) -> tuple[list[history.Issue], list[history.Issue]]:
    """(history, new issues)."""
    now = datetime.now(timezone.utc)
    if not options.issues:
        seed = options.seed + services.memory["runs"] * NEW_SEEDS
        return history.generate(options.history, options.seed, now - SINCE_MARGIN), history.generate(options.new, seed, now)
    issues = history.read_file(options.issues)[-options.history_max:]
    if len(issues) < options.new + options.history_min:
        raise Failed(f"--issues {options.issues}: {len(issues)} issues are too few: {options.new} are opened anew, and a model "
                     f"needs {options.history_min} or more")
    return issues[:-options.new], issues[-options.new:]


def set_up_forge(services: Services, issues: list[history.Issue]) -> None:
    """Repositories with their labels, the App and its webhook. Doing it again changes nothing."""
    sandbox = services.sandbox
    for name in sorted({issue.repository for issue in issues}):
        labels = {label for issue in issues if issue.repository == name for label in issue.labels}
        labels |= set() if services.options.issues else set(history.LABELS)
        sandbox.post("/_sandbox/repos", {"full_name": name, "labels": sorted(labels)})
    app = sandbox.post("/_sandbox/apps", {
        "slug": APP, "public_key": services.key_pair("app.pem")[1], "events": ["issues", "label", "push"],
        "permissions": {"issues": "write", "contents": "read", "metadata": "read"},
        "webhook": {"url": services.door_url, "secret": services.secret_file("webhook").read_text(encoding="ascii")}})
    sandbox.post(f"/_sandbox/apps/{APP}/installations", {"account": ORGANISATION, "repositories": "all"})
    services.remember(app_id=app["id"])


def open_history(options, services: Services, issues: list[history.Issue]) -> None:
    """People open the issues of the past, with their labels; all webhooks reach the door."""
    if services.memory.get("history_done"):
        screen.step("History", "is there from an earlier run (--fresh starts over)")
        return
    source = f"of {options.issues.name}" if options.issues else f"made up by a generator (seed {options.seed})"
    screen.step("History", f"people open {len(issues)} labelled issues {source}, with dates of the past")
    acts = [{"do": "open", "as": issue.author, "repository": issue.repository, "title": issue.title, "body": issue.body,
             "labels": issue.labels, "at": write_time(issue.created)} for issue in issues]
    for start in range(0, len(acts), BATCH):
        services.check()
        services.sandbox.act(*acts[start:start + BATCH])
        screen.doing("", f"{min(start + BATCH, len(acts))} of {len(acts)} issues; {published(services)} events are in Kafka")
    wait_for_deliveries(services)
    screen.detail(f"their webhooks came through the door: {published(services)} events are in Kafka")
    services.remember(history_done=True)


def wait_for_deliveries(services: Services) -> None:
    """Until the sandbox has no webhook to send any more."""
    def done() -> bool:
        services.check()
        screen.doing("", f"waiting for the last webhooks; {published(services)} events are in Kafka")
        return services.sandbox.deliveries_are_done()
    wait_until(done, IDLE_S, "the webhooks to pass the door")


# -- the model ---------------------------------------------------------------------------------------------------------


def read_issues(services: Services) -> list[history.Issue]:
    """The labelled issues as they are on the sandbox now, oldest first, without nodag's own labels."""
    issues = []
    for repository in sorted(repo["full_name"] for repo in services.sandbox.get(f"/_sandbox/state")["repos"].values()):
        for number in services.sandbox.numbers(repository):
            whole = services.sandbox.issue(repository, number)
            issue = whole["issue"]
            issues.append(history.Issue(title=issue["title"], body=issue["body"] or "", repository=repository,
                                        created=datetime.fromisoformat(issue["created_at"]), labels=whole["labels"]))
    return sorted((issue for issue in issues if issue.labels), key=lambda issue: issue.created)
