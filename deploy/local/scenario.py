"""The main job on the sandbox, step by step.

    people open issues of the past ─▶ webhooks ─▶ door ─▶ github.events ─▶ historian ─▶ issues, the data set
    people commit a Model document ─▶ ingest-git ─▶ specs ─▶ trainer ─▶ a run of the notebook ─▶ a version on models
    people commit a Labeler document that names the version; people open new issues ─▶ labeler ─▶ labels and a comment
    people put labels right ─▶ the model is stale ─▶ another run, another version, which people commit

Design: this script plays the people and shows what comes of it; nothing else moves the daemons. The first run of a data
folder has all parts, a later one only new issues with the newest version; an interrupted one goes on. Where no run can
be kept apart from nodag, fallback.py makes the model.
"""
from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import fallback
import history
import people
import screen
import training
from desired_state import DesiredState
from history import ORGANISATION, Issue
from proc import wait_until
from services import Services
from summary import summarise

APP = "nodag"
APP_PERMISSIONS = {"issues": "write", "contents": "read", "metadata": "read"}
APP_EVENTS = ["issues", "label", "push"]
MODEL = "labels"
NEW_LABELS = 10  # changes by people that make the model stale
TAKEN_S = 60.0  # from a version's commit until the labeler has fetched it
AFTER = 1  # issues that people open with the second version


@dataclass
class Outcome:
    """What came of the main job, for the summary."""

    history: int = 0
    figures: dict = field(default_factory=dict)
    no_training: str = ""  # why there was none
    results: list[dict] = field(default_factory=list)
    runs: list[dict] = field(default_factory=list)
    models: list[dict] = field(default_factory=list)


def run(options, services: Services) -> dict:
    """Starts everything and shows the main job; returns the summary. Raises Failed where it did not work."""
    folder = services.folder
    folder.insist(kafka=options.brokers or "its own",
                  history=str(options.issues.resolve()) if options.issues else "the generator")
    folder.remember(runs=folder.memory.get("runs", 0) + 1, model=folder.memory.get("model") or name_model(options))
    past, new = people.load_issues(options, folder.memory["runs"], options.new + AFTER)
    services.start_broker()
    services.create_topics()
    services.start_sandbox()
    services.start_door(ORGANISATION)
    set_up_forge(services, [*past, *new])
    desired = start_left_half(services, past)
    people.open_history(services, past)
    recorded = training.wait_for_historian(services)
    screen.step("Historian", f"{recorded} issues, with who labelled them, are on the topic issues: the data set")
    outcome = Outcome(history=len(past), no_training=services.run_folder.why_not())
    if outcome.no_training:
        label_by_file(services, desired, new[:options.new], outcome)
    else:
        label_by_versions(services, desired, past, new, outcome)
    whole = summarise(services, outcome)
    desired.make_clone()
    screen.step("Done", f"{whole['issues_labelled']} of {whole['issues_opened']} new issues labelled, each with one "
                "comment that says why" + (f"; {len(outcome.models)} versions of the model" if outcome.models else ""))
    return whole


def name_model(options) -> str:
    """What the model is called. A Kafka that is not this folder's own may have versions of other folders."""
    return f"{MODEL}-{secrets.token_hex(3)}" if options.brokers else MODEL


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


def start_left_half(services: Services, past: list[Issue]) -> DesiredState:
    """Desired state in git, who watches it, and who keeps the data set."""
    desired = DesiredState(services, training.choose_labels(services, past))
    desired.commit_notebook()
    services.start_ingest_git(desired.write_sources())
    screen.step("Desired", f"state is what git says: nodag-ingest-git watches {desired.page}")
    services.start_historian(people.BOT)
    return desired


def start_labeler(services: Services) -> None:
    if "labeler" not in services.admin_ports:
        services.start_labeler("--forge-url", services.sandbox.url, "--forge-app-id", services.folder.memory["app_id"],
                               "--forge-app-key-file", services.folder.key_pair("app.pem")[0],
                               *services.artefact_options(), "--model-cache", services.folder.make("model-cache"))


# -- with training -------------------------------------------------------------------------------------------------------


def label_by_versions(services: Services, desired: DesiredState, past: list[Issue], new: list[Issue],
                      outcome: Outcome) -> None:
    """A model by the notebook, new issues with it, corrections, and the next model."""
    versions = training.read_versions(services)
    earlier = {run["run"] for run in training.read_runs(services)}
    if desired.commit_model(training.least_examples(past), NEW_LABELS, training.notebook_parameters(past)):
        screen.step("Desired", "people commit nodag/model.yaml: a fresh model shall exist, made by "
                    "notebooks/train.ipynb")
    services.start_trainer()
    if not versions:
        versions = [training.wait_for_version(services, set())]
    elif services.folder.memory.get("corrected") and len(versions) < 2:
        versions.append(training.wait_for_version(services, {version["version"] for version in versions}))
    use_version(services, desired, versions[-1])
    count = services.options.new
    screen.step("Issues", f"people open {count} new ones; nodag puts labels on:")
    outcome.results = people.open_new(services, new[:count])
    if not services.folder.memory.get("corrected"):
        versions.append(retrain(services, desired, past, versions[-1], outcome.results))
        screen.step("Issues", f"people open {AFTER} more; the new version puts labels on:")
        outcome.results += people.open_new(services, new[count:])
    outcome.figures = versions[-1]["metrics"]
    outcome.runs = [{**training.summarise_run(services, run), "earlier": run["run"] in earlier}
                    for run in training.read_runs(services)]
    outcome.models = [training.summarise_version(version) for version in training.read_versions(services)]


def use_version(services: Services, desired: DesiredState, version: dict) -> None:
    """People commit which version labels, and the labeler takes it."""
    screen.doing("Desired", f"people commit nodag/labeler.yaml with {version['version']}")
    new = desired.commit_labeler({"model": version["version"]})
    screen.step("Desired", f"{'people commit nodag/labeler.yaml:' if new else 'is, as before, that'} "
                f"{screen.bold(version['version'])} labels")
    start_labeler(services)
    wait_until(lambda: services.check() or services.labels_with(version["version"]), TAKEN_S,
               f"the labeler to take {version['version']}; {services.folder.logs}/labeler.log says more")


def retrain(services: Services, desired: DesiredState, past: list[Issue], former: dict, results: list[dict]) -> dict:
    """People put labels right until the model is stale; the version that comes of it."""
    mistakes = people.correct_labels(services, results, past, desired.labels, NEW_LABELS)
    screen.step("People", f"put {NEW_LABELS} labels right ({mistakes} of them on the new issues): the model is stale")
    services.folder.remember(corrected=True)
    version = training.wait_for_version(services, {former["version"]})
    training.show_difference(services, former, version)
    use_version(services, desired, version)
    return version


# -- without -------------------------------------------------------------------------------------------------------------


def label_by_file(services: Services, desired: DesiredState, new: list[Issue], outcome: Outcome) -> None:
    """A model by one command, and new issues with it."""
    screen.step("Training", screen.yellow("by notebook is not possible here, so nodag-trainer is not started:"))
    screen.detail(screen.yellow(outcome.no_training))
    model, outcome.figures = fallback.train(services)
    desired.commit_labeler({"file": str(model)})
    screen.step("Desired", "people commit nodag/labeler.yaml: that model file labels")
    start_labeler(services)
    screen.step("Issues", f"people open {len(new)} new ones; nodag puts labels on:")
    outcome.results = people.open_new(services, new)
