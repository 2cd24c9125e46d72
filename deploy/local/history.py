"""Labelled issues: from a seeded generator for a first look without anybody's data, or from a file of real ones.

Design: the generator knows kinds and areas; each has subjects and phrases of its own. An issue takes one kind and one
or two areas and is written from templates. So that a model has something to get wrong, some titles say nothing, some
bodies speak of other areas, and people forget labels or pick wrong ones. The same seed gives the same issues. It is
made up, and whoever shows it says so.

    from history import generate, read_file, write_csv
"""
from __future__ import annotations

import csv
import json
import random
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from proc import Failed

ORGANISATION = "acme"  # who owns all repositories of the sandbox
REPOSITORY = f"{ORGANISATION}/rocket"  # of generated issues, and of rows that name none

TITLE_MAX = 256  # characters, as on GitHub
BODY_MAX = 65536
LABEL_MAX = 50
FIELD_MAX = 1 << 24  # csv's own limit of 128 KiB is below what an issue's body may be in bytes
REPOSITORIES_MAX = 20  # of a file; the sandbox makes each

AREAS = {
    "area/jupyter": ["notebook server", "Jupyter spawner", "notebook kernel", "JupyterHub profile", "notebook image"],
    "area/pipelines": ["pipeline run", "DAG compiler", "Argo workflow", "recurring run", "pipeline SDK"],
    "area/serving": ["inference endpoint", "model server", "KFServing predictor", "request batching", "canary rollout"],
    "area/katib": ["hyperparameter experiment", "trial template", "suggestion service", "early stopping",
                   "search space"],
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
        "title": ["Support configuring the {s}", "Allow more than one {s} for each profile",
                  "Add an option to schedule the {s}", "Proposal: make the {s} pluggable",
                  "It would be great if the {s} could be shared"],
        "body": ["I would like to choose the {s} myself. As a user I want this because our team shares one cluster.",
                 "Please add support for this. An alternative we considered is a sidecar beside the {s}.",
                 "Feature request: expose the settings of the {s} in the UI. Happy to contribute a design."],
    },
    "kind/question": {
        "title": ["How do I connect to the {s}?", "Where is the {s} documented?", 
                  "Is the {s} supposed to need a volume?",
                  "What is the right way to run the {s} on bare metal?", "Can the {s} use a private registry?"],
        "body": ["I am new to this and read the docs, but could not find how the {s} is meant to be used. Any pointer?",
                 "Does anyone know whether the {s} works behind a proxy? What do other people do?",
                 "Is this the recommended way to set up the {s}, or am I missing something? Thanks."],
    },
}
VAGUE_TITLES = ["{s} does not do what I expect", "Trouble with the {s}", "{s} after the upgrade to 1.7",
                "Something about the {s}"]
VAGUE_BODIES = ["We run the {s} in production and noticed this today.",
                "Same as what was said in the community call about the {s}.", ""]
NOISE = ["We run Kubernetes 1.28 on three nodes.", "Client version: v1.7.0", "/assign",
         "See also the discussion in the community call.", "```\nkubectl get pods -n kubeflow\n```",
         "Environment: on-premise, two GPUs.", ""]
PEOPLE = ["ann", "bo", "chen", "dora", "emeka", "finn", "gita", "hugo"]
LABELS = [*AREAS, *KINDS, "good first issue"]  # the last one is people's own: no document includes it
APART_MINUTES = 7  # between two issues

# Shares of issues.
TWO_AREAS = 0.25
VAGUE = 0.2  # title or body says nothing about the kind
ASIDE = 0.25  # mentions another area in passing
FORGOTTEN = 0.04  # of labels: people did not put it on
MISTAKEN = 0.04  # of kinds: people put on another one


@dataclass
class Issue:
    """One issue: who opened it where and when, what it says, and the labels that people gave it."""

    title: str
    body: str
    created: datetime
    author: str = "octocat"
    repository: str = REPOSITORY
    labels: list[str] = field(default_factory=list)
    meant: list[str] = field(default_factory=list)  # what they would have given it without a mistake


# -- the generator -----------------------------------------------------------------------------------------------------


def generate(count: int, seed: int, until: datetime) -> list[Issue]:
    """`count` issues, oldest first, the newest some minutes before `until`."""
    dice = random.Random(seed)
    return [write_issue(dice, until - timedelta(minutes=APART_MINUTES * (count - index))) for index in range(count)]


def write_issue(dice: random.Random, created: datetime) -> Issue:
    kind = dice.choice(list(KINDS))
    areas = dice.sample(list(AREAS), 2 if dice.random() < TWO_AREAS else 1)
    others = [area for area in AREAS if area not in areas]
    subject = dice.choice(AREAS[areas[0]])
    titles = VAGUE_TITLES if dice.random() < VAGUE else KINDS[kind]["title"]
    bodies = VAGUE_BODIES if dice.random() < VAGUE else KINDS[kind]["body"]
    body = [dice.choice(bodies), dice.choice(NOISE)]
    body += [f"This also concerns the {dice.choice(AREAS[area])}." for area in areas[1:]]
    if dice.random() < ASIDE:
        body.append(f"Not about the {dice.choice(AREAS[dice.choice(others)])}, which works for us.")
    said = dice.choice(list(KINDS)) if dice.random() < MISTAKEN else kind
    title = dice.choice(titles).format(s=subject)
    return Issue(title=title[0].upper() + title[1:], body="\n\n".join(part for part in body if part).format(s=subject),
                 author=dice.choice(PEOPLE), created=created, meant=[kind, *areas],
                 labels=[label for label in [said, *areas] if dice.random() >= FORGOTTEN])


# -- files -------------------------------------------------------------------------------------------------------------


def read_file(path: Path) -> list[Issue]:
    """Real issues, oldest first, from what `nodag model train --data` reads too: CSV with the columns repo, created_at,
    label (several separated by `;`), title, body; or JSON lines with these names. Each repository becomes one of the
    sandbox's organisation. Raises Failed, with the place, where it cannot be read."""
    csv.field_size_limit(FIELD_MAX)
    issues = []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            is_json = file.read(1) == "{"
            file.seek(0)
            rows = map(json.loads, filter(str.strip, file)) if is_json else read_csv(path, file)
            for row in rows:
                issues.append(read_row(row))
    except (KeyError, TypeError, AttributeError, ValueError, csv.Error) as error:
        where = f"{path}: row {len(issues) + 1}"
        what = f"the column {error} is missing" if isinstance(error, KeyError) else str(error)
        raise Failed(f"{where}: {what}; each row needs repo, created_at, label, title and body") from None
    repositories = {issue.repository for issue in issues}
    if len(repositories) > REPOSITORIES_MAX:
        raise Failed(f"{path}: {len(repositories)} repositories; at most {REPOSITORIES_MAX} are shown on the sandbox")
    return sorted(issues, key=lambda issue: issue.created)


def read_csv(path: Path, file) -> csv.DictReader:
    reader = csv.DictReader(file)
    missing = {"created_at", "label", "title"} - set(reader.fieldnames or [])
    if missing:
        raise Failed(f"{path}: its first line does not name the columns {', '.join(sorted(missing))}")
    return reader


def read_row(row: dict) -> Issue:
    created = datetime.fromisoformat(row["created_at"])
    labels = row["label"] if isinstance(row["label"], list) else row["label"].split(";")
    labels = [label.strip() for label in labels if 0 < len(label.strip()) <= LABEL_MAX]
    name = re.sub(r"[^\w.-]", "-", (row.get("repo") or REPOSITORY).rsplit("/", 1)[-1])
    return Issue(title=row["title"][:TITLE_MAX].strip() or "(no title)", body=(row.get("body") or "")[:BODY_MAX],
                 created=created if created.tzinfo else created.replace(tzinfo=timezone.utc),
                 repository=f"{ORGANISATION}/{name}", labels=labels, meant=labels)


def write_time(time: datetime) -> str:
    """As GitHub and `nodag model` write it."""
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_csv(path: Path, issues: list[Issue]) -> None:
    """Writes what `nodag model train --data` reads."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["repo", "created_at", "label", "title", "body"])
        for issue in issues:
            writer.writerow([issue.repository, write_time(issue.created), ";".join(issue.labels), issue.title,
                             issue.body])
