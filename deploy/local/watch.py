"""What happens on a running stack, shown as it comes: each decision on an issue, and each end of a training run.

Design: `nodag tail --follow` of the topics predictions and runs, as any other program would read them.
"""
from __future__ import annotations

import contextlib
from datetime import datetime

import screen
import topic_data
import training
from people import short_name
from services import Services


def watch(services: Services, since: datetime) -> None:
    """Shows what comes since a time. Returns never, unless a program ends by itself: then Failed."""
    shown = {run["run"] for run in training.read_runs(services) if run["state"] in training.OVER}
    with contextlib.closing(topic_data.follow(services, ("predictions", "runs"), since)) as records:
        for topic, value in records:
            services.check()
            if topic == "predictions":
                show_decision(value)
            elif topic == "runs" and value["run"] not in shown and not value["collected"]:
                show_run(services, value)
                shown |= {value["run"]} if value["state"] in training.OVER else set()


def show_decision(decision: dict) -> None:
    changes = [screen.green(f"+{label}") for label in decision["added"]]
    changes += [screen.yellow(f"-{label}") for label in decision["removed"]]
    name = screen.bold(f"{short_name(decision['repository'])} #{decision['number']}")
    screen.step("Decision", f"{name} → {'  '.join(changes) or 'nothing to change'}")


def show_run(services: Services, run: dict) -> None:
    """A run that begins, and one that is over."""
    name = screen.bold(run["run"])
    if run["state"] == "SUCCEEDED":
        version = next((found for found in training.read_versions(services) if found["run"] == run["run"]), None)
        training.show_run(services, run, version) if version else None
    elif run["state"] in training.OVER:
        report = training.link_report(services, run)
        screen.step("Run", f"{name} {screen.yellow(run['state'])}: {run['reason']}{', report ' + report if report else ''}")
    elif run["state"] == "RUNNING":
        screen.step("Run", f"{name} begins, because {training.why(run)}")
