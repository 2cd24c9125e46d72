#!/usr/bin/env python3
"""Prepares a sandbox that runs somewhere for daemons that run somewhere: the one-shot service of docker-compose.yml.

Makes the webhook secret, the App's key and a model of generated issues in DIR, tells the sandbox of repository, App,
installation and webhook, and pushes desired state to acme/desired-state there: the notebook, a Model document, and a
Labeler document with that model file. Doing it again changes nothing but the model. The App's first id on a sandbox is known, so that the daemons' options can be written down beforehand; where
it is another, this fails.

    prepare.py --dir /data --sandbox http://sandbox:8080 --webhook-url http://ingest-github:8080/webhooks/github
"""
from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "lib"), str(HERE / "kafka")]
import history  # noqa: E402
import training  # noqa: E402
from desired_state import LABELER_FILE, MODEL_FILE, NOTEBOOK_FILE, DesiredState  # noqa: E402
from folder import Folder  # noqa: E402
from proc import Failed, wait_until  # noqa: E402
from sandbox_api import Sandbox  # noqa: E402
from scenario import MODEL, NEW_LABELS, set_up_forge  # noqa: E402

SANDBOX_S = 60.0  # until it answers
ISSUES = 400
SEED = 1
APP_ID = 90_001  # deploy/sandbox/state.py


class Prepared:
    """What scenario.py's functions ask of a stack: a folder, a sandbox and the door's address."""

    def __init__(self, options):
        self.options = options
        self.root = HERE.parent.parent
        self.folder = Folder(options)
        self.sandbox = Sandbox(options.sandbox)
        self.door_url = options.webhook_url


def parse_options(arguments):
    parser = argparse.ArgumentParser(prog="prepare.py", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--dir", required=True, type=Path, metavar="DIR", help="where all that is put")
    parser.add_argument("--sandbox", required=True, metavar="URL", help="the sandbox forge")
    parser.add_argument("--webhook-url", required=True, metavar="URL", help="the door, as the sandbox reaches it")
    parser.set_defaults(fresh=False, embedded=False, github=False, issues=None)
    return parser.parse_args(arguments)


def answers(sandbox: Sandbox) -> bool:
    try:
        return sandbox.get("/_sandbox/health")["ok"]
    except Failed:
        return False


def train(prepared: Prepared, issues: list[history.Issue]) -> Path:
    """A model of these issues: its file."""
    data, model = prepared.folder.path / "history.csv", prepared.folder.path / "label.model"
    history.write_csv(data, [issue for issue in issues if issue.labels])
    subprocess.run(["nodag", "model", "train", "--data", data, "--model", model, "--exclusive", "kind/*"], check=True)
    return model


def push_desired_state(prepared: Prepared, issues: list[history.Issue], model: Path) -> None:
    """What people would commit. What is there already, they have changed perhaps, and it stays."""
    desired = DesiredState(prepared, training.choose_labels(prepared, issues))
    desired.write_sources(insecure=True)
    wanted = {NOTEBOOK_FILE: desired.notebook_text(), LABELER_FILE: desired.labeler_text({"file": str(model)}),
              MODEL_FILE: desired.model_text(training.least_examples(issues), NEW_LABELS,
                                             training.notebook_parameters(issues))}
    there = desired.read()
    desired.commit("What we want", {path: text for path, text in wanted.items() if path not in there})


def main(arguments=None) -> int:
    options = parse_options(arguments)
    try:
        prepared = Prepared(options)
        wait_until(lambda: answers(prepared.sandbox), SANDBOX_S, f"{options.sandbox} to answer")
        now = datetime.now(timezone.utc)
        issues = history.generate(ISSUES, SEED, now)
        set_up_forge(prepared, issues)
        if prepared.folder.memory["app_id"] != APP_ID:
            raise Failed(f"the sandbox gave the App the id {prepared.folder.memory['app_id']}, not {APP_ID}: it has "
                         "other Apps; start with an empty one")
        prepared.folder.remember(since=prepared.folder.memory.get("since") or history.write_time(now), model=MODEL)
        push_desired_state(prepared, issues, train(prepared, issues))
    except (Failed, subprocess.CalledProcessError) as failure:
        print(f"prepare: {failure}", file=sys.stderr)
        return 1
    print(f"prepared {prepared.folder.path}: secrets, desired state, a model of {ISSUES} made-up issues")
    return 0


if __name__ == "__main__":
    sys.exit(main())
