"""Training as people follow it: what runs, how far it is, how it ended, which version stands, and where its report is.

    people's Model document ─▶ specs ─▶ nodag-trainer ─▶ a run (nodag-train-run: papermill in a sandbox) ─▶ runs, models

Design: everything is read: runs and versions by `nodag runs` and `nodag models`, the step of a run from its directory. A
report is shown as DIR/reports/RUN.html, a link to the artefact, which is stored under its hash and without a suffix that
browsers know.

Invariants: only a run that the topic `runs` calls SUCCEEDED is shown as one; the version of a run is shown once
it stands on `models`.
"""
from __future__ import annotations

import json
import time
import urllib.parse
from collections import Counter
from datetime import datetime
from pathlib import Path

import screen
from history import Issue
from proc import Failed, wait_until
from run_folder import STEPS
from services import Services
from summary import metric, published

EXAMPLES_SHARE = 15  # a label is learnt when one in so many issues has it,
EXAMPLES_LEAST, EXAMPLES_MOST = 5, 30  # within these bounds
LABELS_MAX = 100  # patterns in a document
GLOB = set("*?[]\\")  # a label with one of these is no pattern for itself
FOLDED_S = 120.0  # from the door's last event until the historian has folded all
RUN_S = 900.0  # a run, with building the environment first
LONG_S = 2.0  # looking for an environment takes less, building one much more
ASK_S = 0.5  # between two looks at the topics; each is a process
DIFF_LINES = 12
OVER = {"SUCCEEDED", "FAILED", "CANCELLED", "LOST"}
SHOWN_METRICS = (("precision_macro", "precision"), ("recall_macro", "recall"), ("f1_macro", "F1"))
REASONS = {"no-model": "there is no model yet", "max-age": "the model is old", "new-labels": "people changed labels",
           "on-push": "the notebook changed", "needs-sync": "needsSyncUrl says so"}


# -- what the document says ----------------------------------------------------------------------------------------------


def choose_labels(services: Services, past: list[Issue]) -> list[str]:
    """Which labels may be learnt and written, as patterns; the first run of a folder decides."""
    if "labels" not in services.folder.memory:
        counts = Counter(label for issue in past for label in issue.labels if not GLOB & set(label))
        common = [label for label, count in counts.most_common(LABELS_MAX) if count >= least_examples(past)]
        services.folder.remember(labels=sorted(common) if services.options.issues else ["area/*", "kind/*"])
    return services.folder.memory["labels"]


def least_examples(past: list[Issue]) -> int:
    """How many issues must carry a label for it to be learnt."""
    labelled = sum(bool(issue.labels) for issue in past)
    return min(EXAMPLES_MOST, max(EXAMPLES_LEAST, labelled // EXAMPLES_SHARE))


def find_exclusive(issues: list[Issue]) -> str:
    """Which labels exclude one another, as a pattern. An issue has one kind; and in a file in which no issue has two
    labels, at most one is right. Empty: none."""
    if max(len(issue.labels) for issue in issues) == 1:
        return "*"
    return "kind/*" if any(label.startswith("kind/") for issue in issues for label in issue.labels) else ""


def notebook_parameters(past: list[Issue]) -> dict:
    """Of the document, for the notebook: a fifth of the issues judges the model, so fewer are learnt from."""
    return {"min_examples": max(EXAMPLES_LEAST, least_examples(past) // 2), "exclusive": find_exclusive(past)}


# -- the topics ----------------------------------------------------------------------------------------------------------


def wait_for_historian(services: Services) -> int:
    """Until every event that the door has published is folded into the data set; how many issues that has."""
    def is_folded() -> bool:
        services.check()
        taken = metric(services, "historian", "nodag_kernel_events_total")
        screen.doing("Historian", f"{taken:,} of {published(services):,} events folded")
        return taken >= published(services) and metric(services, "historian", "nodag_kernel_unfinished_events") == 0
    wait_until(is_folded, FOLDED_S, "the historian to have folded the events")
    return metric(services, "historian", "nodag_historian_issues")


def read_runs(services: Services) -> list[dict]:
    """The runs of the stack's model, oldest first."""
    return _read(services, "runs", "created_at")


def read_versions(services: Services) -> list[dict]:
    """The versions of the stack's model, oldest first."""
    return _read(services, "models", "created_at")


def _read(services: Services, command: str, order: str) -> list[dict]:
    text = services.command(command, "list", "--json", "--model", services.folder.memory["model"], *services.kafka_options())
    return sorted(json.loads(text).values(), key=lambda record: record[order])


# -- waiting for a version -----------------------------------------------------------------------------------------------


def wait_for_version(services: Services, known: set[str]) -> dict:
    """Follows the trainer until a version stands that is not `known`, and shows run, version and report. Failed when
    a run fails; one that was cancelled or lost is shown, and the trainer makes another attempt."""
    following = Following(services, known)
    try:
        version = wait_until(following.look, RUN_S, "a new version of the model")
    except RunFailed:
        raise
    except Failed as failure:
        services.check()
        raise Failed(f"{failure}\n{waits(services)}") from None
    show_run(services, next(run for run in following.runs if run["run"] == version["run"]), version)
    return version


class RunFailed(Failed):
    """A run ended badly; the text says why, and where to look."""


class Following:
    """The runs of the model from now on, until there is a version that is not `known`."""

    def __init__(self, services: Services, known: set[str]):
        self.services, self.known = services, known
        self.runs = read_runs(services)
        self._told = {run["run"] for run in self.runs if run["state"] in OVER}  # what was said of it was said
        self._next_look = 0.0

    def look(self) -> dict | None:
        """Looks, at the topics only every ASK_S; the version, once it is there."""
        self.services.check()
        if time.monotonic() >= self._next_look:
            self.runs = read_runs(self.services)
            self._next_look = time.monotonic() + ASK_S
            self._judge()
            for version in read_versions(self.services) if any(run["state"] == "SUCCEEDED" and run["run"] not in self.known
                                                               for run in self.runs) else ():
                if version["version"] not in self.known:
                    return version
        self._show_progress()
        return None

    def _judge(self) -> None:
        for run in self.runs:
            if run["state"] not in OVER - {"SUCCEEDED"} or run["run"] in self._told:
                continue
            self._told.add(run["run"])
            if run["state"] == "FAILED":
                raise RunFailed(describe_failure(self.services, run))
            screen.step("Run", f"{run['run']} is {screen.yellow(run['state'])}: {run['reason']}")
        if metric(self.services, "trainer", "nodag_trainer_stalled"):
            raise RunFailed(f"nodag-trainer waits for a person\n{waits(self.services)}")

    def _show_progress(self) -> None:
        """What is under way; of building the environment, which takes minutes, also without a terminal."""
        run = next((run for run in reversed(self.runs) if run["state"] not in OVER), None)
        if not run:
            screen.doing("Run", "waiting for nodag-trainer")
            return
        step = self.services.run_folder.step(run["run"])
        text = f"{run['run']}: {STEPS.get(step, 'beginning')}"
        screen.doing("Run", text)
        if step == "environment" and step not in self._told and self.services.run_folder.step_s(run["run"]) > LONG_S:
            self._told.add(step)
            screen.step("Run", f"{text}; this may take some minutes")


def waits(services: Services) -> str:
    """What the trainer waits for, and where to look."""
    pending = services.command("status", "--reactor", "trainer", *services.kafka_options())
    return f"  its log is {services.folder.logs}/trainer.log, and this is pending:\n{pending}"


def describe_failure(services: Services, run: dict) -> str:
    """Of a run that did not end well: why, and where to look."""
    report = link_report(services, run)
    return "\n".join([f"the run {run['run']} is {run['state']}: {run['reason']}",
                      *([f"  its report: {report}"] if report else []),
                      f"  its log: {services.run_folder.path / run['run'] / 'log'}"])


# -- showing -------------------------------------------------------------------------------------------------------------


def artefact_path(record: dict, name: str) -> Path | None:
    """Where an artefact of a run or a version lies on this machine."""
    uri = ((record.get("artefacts") or {}).get(name) or {}).get("uri", "")
    return Path(urllib.parse.unquote(uri.removeprefix("file://"))) if uri.startswith("file://") else None


def link_report(services: Services, run: dict) -> str:
    """The address of a run's HTML report for a browser; empty where it has none."""
    stored = artefact_path(run, "html")
    if stored is None or not stored.is_file():
        return ""
    link = services.folder.make("reports") / f"{run['run']}.html"
    if not link.is_symlink():
        link.symlink_to(stored)
    return link.as_uri()


def took_s(run: dict) -> float:
    """From the decision to the end."""
    if not run["ended_at"]:
        return 0.0
    began, ended = (datetime.fromisoformat(run[name]) for name in ("created_at", "ended_at"))
    return round((ended - began).total_seconds(), 1)


def why(run: dict) -> str:
    return " and ".join(REASONS.get(reason, reason) for reason in run["stale"])


def show_run(services: Services, run: dict, version: dict) -> None:
    screen.step("Run", f"{screen.bold(run['run'])} {screen.green(run['state'])} in {took_s(run):.0f} s, because {why(run)}")
    metrics = version["metrics"]
    screen.detail("  ".join(f"{text} {metrics[name]:.2f}" for name, text in SHOWN_METRICS if metrics.get(name) is not None)
                  + f"   on the {metrics.get('held_out_issues', 0)} newest issues, which it had not seen")
    screen.detail(f"report {link_report(services, run)}")


def show_difference(services: Services, former: dict, newer: dict) -> None:
    """What `nodag models diff` says of the figures of two versions; of many labels the first ones."""
    said = services.command("models", "diff", former["version"], newer["version"], *services.kafka_options())
    screen.detail(screen.dim(f"beside the former version, `nodag models diff {former['version']} {newer['version']}`:"))
    lines = [text for text in said.splitlines() if not text.startswith(("version:", "commit:", "created_at:"))]
    for text in lines[:DIFF_LINES]:
        screen.detail("  " + text)
    if len(lines) > DIFF_LINES:
        screen.detail(screen.dim(f"  … {len(lines) - DIFF_LINES} labels more"))


# -- for the summary -----------------------------------------------------------------------------------------------------


def summarise_run(services: Services, run: dict) -> dict:
    return {"name": run["run"], "model": run["model"], "state": run["state"], "stale": run["stale"],
            "cause": run["cause"], "reason": run["reason"], "commit": run["commit"], "seconds": took_s(run),
            "html": urllib.parse.unquote(link_report(services, run).removeprefix("file://"))}


def summarise_version(version: dict) -> dict:
    numbers = {name: value for name, value in version["metrics"].items() if isinstance(value, (int, float))}
    return {"version": version["version"], "metrics": numbers, "snapshot": version["snapshot"]["sha256"],
            "commit": version["commit"], "run": version["run"]}
