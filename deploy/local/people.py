"""What people do on the sandbox: open issues of the past with their labels, open new ones, put labels right.

Design: acts go through the sandbox's admin API, as README.md there describes it; whatever follows from them is nodag's
doing and is read back from the sandbox or the topics. New issues come from the generator with another seed for each run;
with --issues they are the newest of the file, opened without their labels.

Invariant: what is reported as labelled was read back from the sandbox.
"""
from __future__ import annotations

import fnmatch
import time
from datetime import datetime, timedelta, timezone

import history
import screen
import topic_data
from history import Issue, write_time
from proc import Failed, wait_until
from services import Services
from summary import decided, published

BOT = "nodag[bot]"
BATCH = 25  # acts in one call to the sandbox
DECIDED_S = 60.0  # from the opening of an issue until the labeler must be done with it
IDLE_S = 300.0  # until all webhooks of the history must have passed
NEW_SEEDS = 1_000_003  # the seed of the n-th run's new issues is that of the history plus n times this
HISTORY_ENDS = timedelta(hours=1)  # generated history ends that long ago
TITLE_WIDTH = 72
CORRECTOR = "hugo"  # who puts labels right


# -- the past ----------------------------------------------------------------------------------------------------------


def load_issues(options, run_number: int, new: int) -> tuple[list[Issue], list[Issue]]:
    """(history, `new` issues to be opened)."""
    now = datetime.now(timezone.utc)
    if not options.issues:
        return (history.generate(options.history, options.seed, now - HISTORY_ENDS),
                history.generate(new, options.seed + run_number * NEW_SEEDS, now))
    issues = history.read_file(options.issues)[-options.history_max:]
    if len(issues) < new + options.history_min:
        raise Failed(f"--issues {options.issues}: {len(issues)} issues are too few: {new} are opened anew, and "
                     f"a model needs {options.history_min} or more")
    return issues[:-new], issues[-new:]


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


# -- new issues --------------------------------------------------------------------------------------------------------


def open_new(services: Services, issues: list[Issue]) -> list[dict]:
    """People open issues one by one; each is shown with what nodag made of it."""
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
    result = {**look_at(services, issue, number), "took_ms": took_ms, "model": decision["model"],
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


# -- putting labels right ----------------------------------------------------------------------------------------------


def correct_labels(services: Services, results: list[dict], past: list[Issue], patterns: list[str], count: int) -> int:
    """People change `count` labels: first what nodag got wrong on the new issues, then what is wrong on old ones.
    How many of them were of the first kind."""
    first = [act for result in results
             for act in label_acts(result["repository"], result["number"], result["labels"], result["people_say"],
                                   patterns)][:count]
    acts = [*first, *(act for issue, number in numbered(past)
                      for act in label_acts(issue.repository, number, issue.labels, issue.meant, patterns))]
    if len(acts) < count:  # real issues: nobody knows what is wrong with them, so people look again and decide the same
        acts += [{**act, "do": do} for issue, number in numbered(past)
                 for act in label_acts(issue.repository, number, [], issue.labels[:1], patterns)
                 for do in ("unlabel", "label")]
    services.sandbox.act(*acts[:count])
    wait_for_deliveries(services)
    return len(first)


def label_acts(repository: str, number: int, labels: list[str], wanted: list[str], patterns: list[str]) -> list[dict]:
    """What a person does so that an issue has the labels that it should have, of those that match."""
    changes = [("unlabel", label) for label in labels if label not in wanted]
    changes += [("label", label) for label in wanted if label not in labels]
    return [{"do": do, "as": CORRECTOR, "repository": repository, "issue": number, "label": label}
            for do, label in changes if any(fnmatch.fnmatchcase(label, pattern) for pattern in patterns)]


def numbered(past: list[Issue]) -> list[tuple[Issue, int]]:
    """The issues of the past with their numbers, newest first: in each repository they were opened in this order."""
    counts: dict[str, int] = {}
    found = []
    for issue in past:
        counts[issue.repository] = counts.get(issue.repository, 0) + 1
        found.append((issue, counts[issue.repository]))
    return found[::-1]
