"""The main job on the sandbox, step by step, and what came of it.

    people of the past open issues ─▶ webhooks ─▶ door ─▶ Kafka       the labeler leaves them alone: its document's `since` is later
    the labelled issues ─▶ nodag model train ─▶ label.model           the newest fifth is kept back, to judge the model by
    people open new issues ─▶ webhooks ─▶ door ─▶ Kafka ─▶ labeler ─▶ labels and a comment

Design: the first run of a data folder has all three parts, a later one only the last two. New issues come from the generator with
another seed for each run; with --issues they are the newest of the file, opened without their labels.

Invariant: what is reported as labelled was read back from the sandbox.
"""
from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import history
import screen
import topic_data
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
MODEL_MIN = 20  # labelled issues

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
    sandbox, ids = services.sandbox, {}
    for name in sorted({issue.repository for issue in issues}):
        labels = {label for issue in issues if issue.repository == name for label in issue.labels}
        labels |= set() if services.options.issues else set(history.LABELS)
        ids[name] = sandbox.post("/_sandbox/repos", {"full_name": name, "labels": sorted(labels)})["id"]
    app = sandbox.post("/_sandbox/apps", {
        "slug": APP, "public_key": services.key_pair("app.pem")[1], "events": ["issues", "label", "push"],
        "permissions": {"issues": "write", "contents": "read", "metadata": "read"},
        "webhook": {"url": services.door_url, "secret": services.secret_file("webhook").read_text(encoding="ascii")}})
    sandbox.post(f"/_sandbox/apps/{APP}/installations", {"account": ORGANISATION, "repositories": "all"})
    services.remember(app_id=app["id"], repositories=ids)


def open_history(options, services: Services, issues: list[history.Issue]) -> None:
    """People open the issues of the past, with their labels; all webhooks reach the door. Goes on where an earlier run was
    interrupted."""
    if services.memory.get("history_done"):
        screen.step("History", "is there from an earlier run (--fresh starts over)")
        return
    source = f"of {options.issues.name}" if options.issues else f"(made up by a generator, seed {options.seed})"
    screen.step("History", f"people open {len(issues)} labelled issues {source}, dated in the past")
    acts = [{"do": "open", "as": issue.author, "repository": issue.repository, "title": issue.title, "body": issue.body,
             "labels": issue.labels, "at": write_time(issue.created)} for issue in issues]
    there = sum(len(services.sandbox.numbers(name)) for name in services.memory["repositories"])  # of a run that was ended
    for start in range(there, len(acts), BATCH):
        services.check()
        services.sandbox.act(*acts[start:start + BATCH])
        screen.doing("", f"{min(start + BATCH, len(acts))} of {len(acts)} issues; {published(services)} events are in Kafka")
    wait_for_deliveries(services)
    screen.detail(f"their signed webhooks came through the door: {published(services):,} events are in Kafka")
    services.remember(history_done=True, since=write_time(datetime.now(timezone.utc)))


def wait_for_deliveries(services: Services) -> None:
    """Until the sandbox has no webhook to send any more."""
    def done() -> bool:
        services.check()
        screen.doing("", f"waiting for the last webhooks; {published(services)} events are in Kafka")
        return services.sandbox.deliveries_are_done()
    wait_until(done, IDLE_S, "the webhooks to pass the door")


# -- the model ---------------------------------------------------------------------------------------------------------


def train(services: Services) -> dict:
    """Trains on the older issues on github.events and judges on the newest; what `nodag model eval --json` says of it, and its labels."""
    screen.doing("Model", "reading the labelled issues from github.events")
    issues = topic_data.read_issues(services, set(services.memory["repositories"].values()), services.memory["since"])
    labelled = [issue for issue in issues if issue.labels]
    if len(labelled) < MODEL_MIN:
        raise Failed(f"github.events has {len(labelled)} labelled issues, too few for a model: take more, or start over with --fresh")
    data, model = services.directory / "history.csv", services.directory / "label.model"
    history.write_csv(data, labelled)
    border = write_time(labelled[-max(1, round(len(labelled) * JUDGED))].created)
    screen.doing("Model", f"training on {len(labelled)} labelled issues")
    least, most = EXAMPLES
    services.command("model", "train", "--data", data, "--until", border, "--model", model, "--min-examples",
                     min(most, max(least, len(labelled) // 15)), *exclusive(labelled))
    judged = json.loads(services.command("model", "eval", "--data", data, "--from", border, "--model", model, "--json"))
    metrics = {"labels": [label["name"] for label in judged["labels"]],
               "predictable": sum(label["predictable"] for label in judged["labels"]),
               **{name: round(judged["micro"][name]["value"], 3) for name in ("precision", "recall", "f1")},
               "f1_macro": round(judged["macro"]["f1"]["value"], 3), "judged_on": judged["rows"],
               "trained_on": len(labelled) - judged["rows"]}
    screen.step("Model", f"{metrics['predictable']} labels learnt from {metrics['trained_on']} of these issues")
    screen.detail(f"on the {metrics['judged_on']} newest, which it has not seen: precision {metrics['precision']:.2f}, "
                  f"recall {metrics['recall']:.2f}")
    return metrics


def exclusive(issues: list[history.Issue]) -> list[str]:
    """Options for `nodag model train`: which labels exclude one another. An issue has one kind; and in a file in which no
    issue has two labels, at most one is right."""
    if max(len(issue.labels) for issue in issues) == 1:
        return ["--exclusive", "*"]
    has_kinds = any(label.startswith("kind/") for issue in issues for label in issue.labels)
    return ["--exclusive", "kind/*"] if has_kinds else []


# -- new issues --------------------------------------------------------------------------------------------------------


def write_document(services: Services, labels: list[str]) -> Path:
    path = services.directory / "labeler.yaml"
    path.write_text(DOCUMENT.format(organisation=ORGANISATION, include=json.dumps(labels), since=services.memory["since"],
                                    model=json.dumps(str(services.directory / "label.model"))), encoding="utf-8")
    return path


def open_new(services: Services, issues: list[history.Issue]) -> list[dict]:
    """People open issues one by one; each is shown with what nodag made of it."""
    screen.step("Issues", f"people open {len(issues)} new ones; nodag puts labels on:")
    results = []
    for issue in issues:
        before = decisions(services)
        opened = services.sandbox.act({"do": "open", "as": issue.author, "repository": issue.repository,
                                       "title": issue.title, "body": issue.body})[0]["issue"]
        number, started = opened["number"], time.monotonic()
        name = f"{issue.repository.rpartition('/')[2]} #{number}"
        screen.detail(f"{screen.bold(name)}  {screen.cut(issue.title, TITLE_WIDTH)}  {screen.dim('by ' + issue.author)}")
        wait_for_decision(services, before, name)
        took_ms = round((time.monotonic() - started) * 1000)
        results.append({**look_at(services, issue, number), **look_at_decision(services, issue, number), "took_ms": took_ms})
        show_result(results[-1])
    wait_for_deliveries(services)  # nodag's own doings come back as webhooks too, and must change nothing
    return [{**result, **look_at(services, issue, result["number"])} for issue, result in zip(issues, results)]


def wait_for_decision(services: Services, before: int, name: str) -> None:
    """Until the labeler has finished one more issue; Failed, with what waits and why, when it takes too long."""
    def is_decided() -> bool:
        services.check()
        return decisions(services) > before
    screen.doing("", "waiting for nodag")
    try:
        wait_until(is_decided, DECIDED_S, f"nodag-labeler to be done with {name}")
    except Failed as failure:
        pending = services.command("status", *services.kafka_options())
        raise Failed(f"{failure}; its log is {services.logs}/labeler.log, and this is pending:\n{pending}") from None


def look_at(services: Services, issue: history.Issue, number: int) -> dict:
    """What the sandbox has of an issue now: the labels that nodag put on, and how many comments it wrote."""
    seen = services.sandbox.issue(issue.repository, number)
    labels = [event["label"]["name"] for event in seen["timeline"]
              if event["event"] == "labeled" and (event.get("actor") or {}).get("login") == BOT]
    comments = [comment for comment in seen["comments"] if (comment.get("user") or {}).get("login") == BOT]
    return {"repository": issue.repository, "number": number, "labels": labels, "comments": len(comments),
            "people_say": issue.labels, "page": services.sandbox.page(issue.repository, number)}


def look_at_decision(services: Services, issue: history.Issue, number: int) -> dict:
    """What the topic has of the decision: the probabilities of the labels that were added."""
    decision = topic_data.read_decision(services, services.memory["repositories"][issue.repository], number)
    if decision is None:
        raise Failed(f"nodag labelled {issue.repository}#{number}, and there is no record of it on the topic predictions")
    return {"probabilities": {label["written"]: label["probability"] for label in decision["labels"]
                              if label["written"] in decision["added"]}}


def show_result(result: dict) -> None:
    """The labels with their probabilities; in yellow where people would say otherwise, who then are quoted."""
    shown = []
    for label in result["labels"]:
        colour = screen.green if label in result["people_say"] else screen.yellow
        shown.append(f"{colour(label)} {result['probabilities'].get(label, 0):.0%}")
    people = "" if set(result["labels"]) == set(result["people_say"]) else (
        f"; people would say {', '.join(result['people_say']) or 'nothing'}")
    screen.detail(f"  → {'  '.join(shown) or 'no label is above its threshold'}  "
                  f"{screen.dim(f'{result_time(result)}{people}')}")


def result_time(result: dict) -> str:
    return f"in {result['took_ms']} ms" if result["took_ms"] < 1000 else f"in {result['took_ms'] / 1000:.1f} s"


# -- what came of it ---------------------------------------------------------------------------------------------------


def metric(services: Services, daemon: str, name: str, label: str = "") -> int:
    """The sum of a counter's series at a daemon; of those with `label` (`name="value"`)."""
    url = f"http://127.0.0.1:{services.admin_ports[daemon]}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        services.check()  # it says more, where the daemon has ended
        raise Failed(f"{daemon} does not answer at {url}") from None
    return int(sum(float(text.rsplit(" ", 1)[1]) for text in lines
                   if text.startswith((name + "{", name + " ")) and label in text))


def published(services: Services) -> int:
    """How many events the door has published since its start."""
    return metric(services, "ingest-github", "nodag_ingest_github_events_total")


def decisions(services: Services) -> int:
    """How many issues the labeler has finished since its start; it published a record for each before."""
    return metric(services, "labeler", "nodag_kernel_reconciles_total", 'outcome="done"')


def count_records(services: Services) -> dict[str, int]:
    """Records by topic: what the topics hold, or, on the mock, which cannot be asked, what went through in this run."""
    if services.options.embedded:
        return {"github.events": published(services), "predictions": decisions(services)}
    topics = json.loads(services.command("topics", "list", "--json", *services.kafka_options()))
    return {topic["topic"]: topic["records_at_most"] for topic in topics if topic.get("records_at_most")}


def summarise(options, services: Services, past: list[history.Issue], metrics: dict, results: list[dict]) -> dict:
    deliveries = "nodag_ingest_github_deliveries_total"
    accepted = metric(services, "ingest-github", deliveries, 'status="202"')
    labelled = [result for result in results if result["labels"]]
    labels = Counter(label for result in results for label in result["labels"])
    summary = {
        "broker": "embedded" if options.embedded else "given" if options.brokers else "Apache Kafka",
        "brokers": services.brokers, "run": services.memory["runs"],
        "history": {"issues": len(past), "from": services.memory["history"]},
        "deliveries": {"accepted": accepted, "refused": metric(services, "ingest-github", deliveries) - accepted},
        "records": count_records(services), "decisions": sum(bool(result.get("probabilities") is not None) for result in results),
        "issues_opened": len(results), "issues_labelled": len(labelled), "labels": dict(sorted(labels.items())),
        "labels_created": services.sandbox.get("/_sandbox/stats")["labels_created_implicitly"],
        "comments": sum(result["comments"] for result in results), "issues": results, "model": metrics,
        "seconds": round(screen.seconds(), 1),
    }
    faults = find_faults(summary)
    if faults:
        raise Failed("the main job did not work: " + "; ".join(faults) + f"\n  look at {services.logs}/labeler.log")
    screen.step("Done", f"{len(labelled)} of {len(results)} new issues labelled, each with one comment that says why")
    return {"ok": True, **summary}


def find_faults(summary: dict) -> list[str]:
    """What must not be after the main job."""
    issues = summary["issues"]
    rules = [("no new issue was labelled", summary["issues_labelled"] == 0),
             ("an issue has more than one comment", any(issue["comments"] > 1 for issue in issues)),
             ("a labelled issue has no comment", any(issue["labels"] and not issue["comments"] for issue in issues)),
             ("a label was put on twice", any(len(set(issue["labels"])) < len(issue["labels"]) for issue in issues)),
             (f"the door refused {summary['deliveries']['refused']} deliveries", summary["deliveries"]["refused"] > 0),
             (f"nodag made {summary['labels_created']} labels that the repository lacked", summary["labels_created"] > 0)]
    return [text for text, holds in rules if holds]


# -- after the main job ------------------------------------------------------------------------------------------------


def watch(services: Services) -> None:
    """Shows each decision as it comes. Returns never, unless a program ends by itself: then Failed."""
    with contextlib.closing(topic_data.follow_decisions(services)) as decided:
        for decision in decided:
            services.check()
            if decision:
                changes = [screen.green(f"+{label}") for label in decision["added"]]
                changes += [screen.yellow(f"-{label}") for label in decision["removed"]]
                name = f"{decision['repository'].rpartition('/')[2]} #{decision['number']}"
                screen.step("Decision", f"{screen.bold(name)} → {'  '.join(changes) or 'nothing to change'}")
