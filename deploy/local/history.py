"""A seeded generator of labelled issues, for a first look without anybody's data. It says so wherever it is shown.

Design: each label has subjects, symptoms and words of its own; an issue takes one kind and one or two areas and is written from
templates with some noise (words of other labels, no labels at all), so that a model has something to learn and something to get wrong. The
same seed gives the same issues.

    from history import generate, read_csv
"""
from __future__ import annotations

import csv
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

AREAS = {
    "area/jupyter": ["notebook server", "Jupyter spawner", "notebook kernel", "JupyterHub profile", "notebook image"],
    "area/pipelines": ["pipeline run", "DAG compiler", "Argo workflow", "recurring run", "pipeline SDK"],
    "area/serving": ["inference endpoint", "model server", "KFServing predictor", "request batching", "canary rollout"],
    "area/katib": ["hyperparameter experiment", "trial template", "Bayesian suggestion service", "early stopping", "search space"],
}
KINDS = {
    "kind/bug": {
        "title": ["{s} crashes with a nil pointer", "{s} fails with error 500", "{s} hangs for ever after an upgrade",
                  "Regression: {s} broken since the last release", "{s} leaks memory until it is OOM killed"],
        "body": ["Steps to reproduce: start the {s}, wait, and it panics. The stack trace is below.",
                 "The {s} used to work. Now the log shows an exception and a traceback, and the pod restarts.",
                 "Expected: the {s} comes up. Actual: it exits with a non-zero status and the error above."],
    },
    "kind/feature": {
        "title": ["Support configuring the {s}", "Allow more than one {s} for each profile", "Add an option to schedule the {s}",
                  "Proposal: make the {s} pluggable", "It would be great if the {s} could be shared"],
        "body": ["I would like to be able to choose the {s} myself. As a user I want this because our team shares one cluster.",
                 "Please add support for this. An alternative we considered is a sidecar beside the {s}.",
                 "Feature request: expose the settings of the {s} in the UI. Happy to contribute a design."],
    },
    "kind/question": {
        "title": ["How do I connect to the {s}?", "Where is the {s} documented?", "Is the {s} supposed to need a volume?",
                  "What is the right way to run the {s} on bare metal?", "Can the {s} use a private registry?"],
        "body": ["I am new to this and read the docs, but could not find how the {s} is meant to be used. Any pointer is welcome.",
                 "Does anyone know whether the {s} works behind a proxy? What do other people do?",
                 "Is this the recommended way to set up the {s}, or am I missing something? Thanks."],
    },
}
NOISE = ["We run Kubernetes 1.28 on three nodes.", "Client version: v1.7.0", "See also the discussion in the community call.",
         "```\nkubectl get pods -n kubeflow\n```", "/assign", "Environment: on-premise, two GPUs.", ""]
PEOPLE = ["ann", "bo", "chen", "dora", "emeka", "finn", "gita", "hugo"]
LABELS = [*AREAS, *KINDS, "good first issue"]  # the last one is people's own: no document includes it
UNLABELLED = 0.03  # share of an issue's labels that people forgot


@dataclass
class Issue:
    """One issue: who opened it when, what it says, and the labels that people gave it."""

    title: str
    body: str
    author: str
    created: datetime
    labels: list[str] = field(default_factory=list)


def generate(count: int, seed: int, until: datetime) -> list[Issue]:
    """`count` issues, oldest first, the newest some minutes before `until`."""
    dice = random.Random(seed)
    issues = []
    for index in range(count):
        kind = dice.choice(list(KINDS))
        areas = dice.sample(list(AREAS), dice.choice([1, 1, 1, 2]))
        subject = dice.choice(AREAS[areas[0]])
        body = [dice.choice(KINDS[kind]["body"]).format(s=subject), dice.choice(NOISE)]
        body += [f"This also concerns the {dice.choice(AREAS[area])}." for area in areas[1:]]
        issues.append(Issue(
            title=dice.choice(KINDS[kind]["title"]).format(s=subject), body="\n\n".join(part for part in body if part),
            author=dice.choice(PEOPLE), created=until - timedelta(minutes=7 * (count - index)),
            labels=[label for label in [kind, *areas] if dice.random() >= UNLABELLED]))
    return issues


def read_csv(path: Path) -> list[Issue]:
    """Real issues from a CSV with the columns that `nodag model train` reads: repo,created_at,label,title,body."""
    csv.field_size_limit(1 << 20)
    issues = []
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            created = datetime.fromisoformat(row["created_at"].replace("Z", "+00:00"))
            issues.append(Issue(title=row["title"], body=row.get("body") or "", author="octocat",
                                created=created if created.tzinfo else created.replace(tzinfo=timezone.utc),
                                labels=[label for label in row["label"].split(";") if label]))
    return sorted(issues, key=lambda issue: issue.created)


def write_csv(path: Path, repository: str, issues: list[Issue]) -> None:
    """Writes what `nodag model train --data` reads."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["repo", "created_at", "label", "title", "body"])
        for issue in issues:
            created = issue.created.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
            writer.writerow([repository, created, ";".join(issue.labels), issue.title, issue.body])
