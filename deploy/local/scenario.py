"""The main job on the sandbox, step by step.

    people open issues of the past ─▶ webhooks ─▶ door ─▶ Kafka    the labeler's document has a later `since`
    the labelled issues on the topic ─▶ nodag model train          the newest fifth is kept back, to judge the model by
    people open new issues ─▶ webhooks ─▶ door ─▶ Kafka ─▶ labeler ─▶ labels and a comment

Design: the first run of a data folder has all three parts, a later one only the last two; an interrupted one goes on.
New issues come from the generator with another seed for each run; with --issues they are the newest of the file, opened
without their labels.

Invariant: what is reported as labelled was read back from the sandbox.
"""
from __future__ import annotations

import contextlib
import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import history
import screen
import topic_data
from history import ORGANISATION, Issue, write_time
from proc import Failed, wait_until
from services import Services
from summary import decided, published, summarise

APP = "nodag"
BOT = "nodag[bot]"
APP_PERMISSIONS = {"issues": "write", "contents": "read", "metadata": "read"}
APP_EVENTS = ["issues", "label", "push"]
BATCH = 25  # acts in one call to the sandbox
DECIDED_S = 60.0  # from the opening of an issue until the labeler must be done with it
IDLE_S = 300.0  # until all webhooks of the history must have passed
NEW_SEEDS = 1_000_003  # the seed of the n-th run's new issues is that of the history plus n times this
HISTORY_ENDS = timedelta(hours=1)  # generated history ends that long ago
JUDGED = 0.2  # share of the issues, the newest, that the model does not see
EXAMPLES_SHARE = 15  # a label is learnt when one in so many issues has it,
EXAMPLES_LEAST, EXAMPLES_MOST = 5, 30  # within these bounds
MODEL_MIN = 20  # labelled issues
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
    folder = services.folder
    folder.insist(kafka=options.brokers or "its own",
                  history=str(options.issues.resolve()) if options.issues else "the generator")
    folder.remember(runs=folder.memory.get("runs", 0) + 1)
    past, new = load_issues(options, folder.memory["runs"])
    services.start_broker()
    services.create_topics()
    services.start_sandbox()
    services.start_door(ORGANISATION)
    set_up_forge(services, [*past, *new])
    open_history(services, past)
    metrics = train(services)
    services.start_labeler("--specs", write_document(services, metrics["labels"]),
                           "--forge-url", services.sandbox.url, "--forge-app-id", folder.memory["app_id"],
                           "--forge-app-key-file", folder.key_pair("app.pem")[0])
    results = open_new(services, new)
    whole = summarise(services, len(past), metrics, results)
    screen.step("Done", f"{whole['issues_labelled']} of {len(results)} new issues labelled, each with one comment that "
                "says why")
    return whole


# -- the past ----------------------------------------------------------------------------------------------------------


def load_issues(options, run_number: int) -> tuple[list[Issue], list[Issue]]:
    """(history, new issues)."""
    now = datetime.now(timezone.utc)
    if not options.issues:
        return (history.generate(options.history, options.seed, now - HISTORY_ENDS),
                history.generate(options.new, options.seed + run_number * NEW_SEEDS, now))
    issues = history.read_file(options.issues)[-options.history_max:]
    if len(issues) < options.new + options.history_min:
        raise Failed(f"--issues {options.issues}: {len(issues)} issues are too few: {options.new} are opened anew, and "
                     f"a model needs {options.history_min} or more")
    return issues[:-options.new], issues[-options.new:]


def set_up_forge(services: Services, issues: list[Issue]) -> None:
    """Repositories with their labels, the App and its webhook. Doing it again changes nothing."""
    sandbox, folder, ids = services.sandbox, services.folder, {}
    for name in sorted({issue.repository for issue in issues}):
        labels = {label for issue in issues if issue.repository == name for label in issue.labels}
        labels |= set() if services.options.issues else set(history.LABELS)
        ids[name] = sandbox.post("/_sandbox/repos", {"full_name": name, "labels": sorted(labels)})["id"]
    app = sandbox.post("/_sandbox/apps", {
        "slug": APP, "public_key": folder.key_pair("app.pem")[1], "permissions": APP_PERMISSIONS, "events": APP_EVENTS,
        "webhook": {"url": services.door_url, "secret": folder.secret("webhook").read_text(encoding="ascii")}})
    sandbox.post(f"/_sandbox/apps/{APP}/installations", {"account": ORGANISATION, "repositories": "all"})
    folder.remember(app_id=app["id"], repositories=ids)


def open_history(services: Services, issues: list[Issue]) -> None:
    """People open the issues of the past, with their labels; all webhooks reach the door. Goes on where an earlier run
    was interrupted."""
    options, folder = services.options, services.folder
    if folder.memory.get("history_done"):
        screen.step("History", "is there from an earlier run (--fresh starts over)")
        return
    source = f"of {options.issues.name}" if options.issues else f"(made up by a generator, seed {options.seed})"
    screen.step("History", f"people open {len(issues)} labelled issues {source}, dated in the past")
    acts = [{"do": "open", "as": issue.author, "repository": issue.repository, "title": issue.title, "body": issue.body,
             "labels": issue.labels, "at": write_time(issue.created)} for issue in issues]
    there = sum(len(services.sandbox.numbers(name)) for name in folder.memory["repositories"])
    for start in range(there, len(acts), BATCH):
        services.check()
        services.sandbox.act(*acts[start:start + BATCH])
        opened = min(start + BATCH, len(acts))
        screen.doing("", f"{opened} of {len(acts)} issues; {published(services):,} events are in Kafka")
    wait_for_deliveries(services)
    screen.detail(f"their signed webhooks came through the door: {published(services):,} events are in Kafka")
    folder.remember(history_done=True, since=write_time(datetime.now(timezone.utc)))


def wait_for_deliveries(services: Services) -> None:
    """Until the sandbox has no webhook to send any more."""
    def done() -> bool:
        services.check()
        screen.doing("", f"waiting for the last webhooks; {published(services):,} events are in Kafka")
        return services.sandbox.deliveries_are_done()
    wait_until(done, IDLE_S, "the webhooks to pass the door")


# -- the model ---------------------------------------------------------------------------------------------------------


def train(services: Services) -> dict:
    """Trains on the older labelled issues on github.events and judges on the newest; the model's labels and metrics."""
    memory = services.folder.memory
    screen.doing("Model", "reading the labelled issues from github.events")
    issues = topic_data.read_issues(services, set(memory["repositories"].values()), memory["since"])
    labelled = [issue for issue in issues if issue.labels]
    if len(labelled) < MODEL_MIN:
        raise Failed(f"github.events has {len(labelled)} labelled issues, too few for a model: take more, or start "
                     "over with --fresh")
    data, model = services.folder.path / "history.csv", services.folder.path / "label.model"
    history.write_csv(data, labelled)
    border = write_time(labelled[-round(len(labelled) * JUDGED)].created)
    examples = min(EXAMPLES_MOST, max(EXAMPLES_LEAST, len(labelled) // EXAMPLES_SHARE))
    screen.doing("Model", f"training on {len(labelled)} labelled issues")
    services.command("model", "train", "--data", data, "--until", border, "--model", model, "--min-examples", examples,
                     *find_exclusive(labelled))
    judged = json.loads(services.command("model", "eval", "--data", data, "--from", border, "--model", model, "--json"))
    metrics = read_metrics(judged, len(labelled))
    screen.step("Model", f"{metrics['predictable']} labels learnt from {metrics['trained_on']} of these issues")
    screen.detail(f"on the {metrics['judged_on']} newest, which it has not seen: precision {metrics['precision']:.2f}, "
                  f"recall {metrics['recall']:.2f}")
    return metrics


def find_exclusive(issues: list[Issue]) -> list[str]:
    """Options for `nodag model train`: which labels exclude one another. An issue has one kind; and in a file in which
    no issue has two labels, at most one is right."""
    if max(len(issue.labels) for issue in issues) == 1:
        return ["--exclusive", "*"]
    has_kinds = any(label.startswith("kind/") for issue in issues for label in issue.labels)
    return ["--exclusive", "kind/*"] if has_kinds else []


def read_metrics(judged: dict, issue_count: int) -> dict:
    """From what `nodag model eval --json` prints."""
    return {"labels": [label["name"] for label in judged["labels"]],
            "predictable": sum(label["predictable"] for label in judged["labels"]),
            "trained_on": issue_count - judged["rows"], "judged_on": judged["rows"],
            **{name: round(judged["micro"][name]["value"], 3) for name in ("precision", "recall", "f1")},
            "f1_macro": round(judged["macro"]["f1"]["value"], 3)}


# -- new issues --------------------------------------------------------------------------------------------------------


def write_document(services: Services, labels: list[str]) -> Path:
    folder = services.folder
    documents = folder.path / "documents"
    documents.mkdir(exist_ok=True)
    path = documents / "labeler.yaml"
    path.write_text(DOCUMENT.format(organisation=ORGANISATION, include=json.dumps(labels), since=folder.memory["since"],
                                    model=json.dumps(str(folder.path / "label.model"))), encoding="utf-8")
    return documents


def open_new(services: Services, issues: list[Issue]) -> list[dict]:
    """People open issues one by one; each is shown with what nodag made of it."""
    screen.step("Issues", f"people open {len(issues)} new ones; nodag puts labels on:")
    results = [open_one(services, issue) for issue in issues]
    wait_for_deliveries(services)  # nodag's own doings come back as webhooks too, and must change nothing
    return [{**result, **look_at(services, issue, result["number"])} for issue, result in zip(issues, results)]


def open_one(services: Services, issue: Issue) -> dict:
    before, started = decided(services), time.monotonic()
    act = {"do": "open", "as": issue.author, "repository": issue.repository, "title": issue.title, "body": issue.body}
    number = services.sandbox.act(act)[0]["issue"]["number"]
    name = f"{short_name(issue.repository)} #{number}"
    title = screen.cut(issue.title, TITLE_WIDTH)
    screen.detail(f"{screen.bold(name)}  {title}  {screen.dim('by ' + issue.author)}")
    wait_for_decision(services, before, name)
    took_ms = round((time.monotonic() - started) * 1000)
    repository_id = services.folder.memory["repositories"][issue.repository]
    decision = topic_data.read_decision(services, repository_id, number)
    if decision is None:
        raise Failed(f"nodag is done with {name}, and there is no record of it on the topic predictions")
    result = {**look_at(services, issue, number), "took_ms": took_ms,
              "probabilities": {label["written"]: label["probability"] for label in decision["labels"]
                                if label["written"] in decision["added"]}}
    show_result(result)
    return result


def wait_for_decision(services: Services, before: int, name: str) -> None:
    """Until the labeler has finished one more issue; Failed, with what waits and why, when it takes too long."""
    def is_decided() -> bool:
        services.check()
        return decided(services) > before
    screen.doing("", "waiting for nodag")
    try:
        wait_until(is_decided, DECIDED_S, f"nodag-labeler to be done with {name}")
    except Failed as failure:
        services.check()
        pending = services.command("status", *services.kafka_options())
        raise Failed(f"{failure}; its log is {services.folder.logs}/labeler.log, and this is pending:\n"
                     f"{pending}") from None


def look_at(services: Services, issue: Issue, number: int) -> dict:
    """What the sandbox has of an issue now: the labels that nodag put on, and how many comments it wrote."""
    seen = services.sandbox.issue(issue.repository, number)
    labels = [event["label"]["name"] for event in seen["timeline"]
              if event["event"] == "labeled" and (event.get("actor") or {}).get("login") == BOT]
    comments = [comment for comment in seen["comments"] if (comment.get("user") or {}).get("login") == BOT]
    return {"repository": issue.repository, "number": number, "labels": labels, "comments": len(comments),
            "people_say": issue.labels, "page": services.sandbox.page(issue.repository, number)}


# -- showing -----------------------------------------------------------------------------------------------------------


def short_name(repository: str) -> str:
    return repository.rpartition("/")[2]


def show_result(result: dict) -> None:
    """The labels with their probabilities; in yellow where people would say otherwise, who then are quoted."""
    shown = []
    for label in result["labels"]:
        colour = screen.green if label in result["people_say"] else screen.yellow
        shown.append(f"{colour(label)} {result['probabilities'].get(label, 0):.0%}")
    took = f"in {result['took_ms']} ms" if result["took_ms"] < 1000 else f"in {result['took_ms'] / 1000:.1f} s"
    people = "" if set(result["labels"]) == set(result["people_say"]) else (
        f"; people would say {', '.join(result['people_say']) or 'nothing'}")
    screen.detail(f"  → {'  '.join(shown) or 'no label is above its threshold'}  {screen.dim(took + people)}")


def watch(services: Services, since: datetime) -> None:
    """Shows each decision since a time, as it comes. Returns never, unless a program ends by itself: then Failed."""
    with contextlib.closing(topic_data.follow_decisions(services, since)) as decisions:
        for decision in decisions:
            services.check()
            if decision:
                changes = [screen.green(f"+{label}") for label in decision["added"]]
                changes += [screen.yellow(f"-{label}") for label in decision["removed"]]
                name = screen.bold(f"{short_name(decision['repository'])} #{decision['number']}")
                screen.step("Decision", f"{name} → {'  '.join(changes) or 'nothing to change'}")
