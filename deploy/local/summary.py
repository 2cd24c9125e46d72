"""What came of the main job: counted where it happened, judged by a table of what must not be.

    deliveries   what the door answered in this run          its metrics
    records      what the topics hold                        `nodag topics list`; on the mock, which cannot be asked,
                                                             what went through in this run
    issues       labels and comments on each new issue       the sandbox; probabilities: the topic predictions
    runs, models what was trained, and what came of it       the topics of these names
"""
from __future__ import annotations

import json
import urllib.request
from collections import Counter

import screen
from proc import Failed
from services import Services

ASK_S = 10
VERSIONS_LEAST = 2  # the first one, and the one that corrections led to


def metric(services: Services, daemon: str, name: str, label: str = "") -> int:
    """The sum of a counter's series at a daemon; of those with `label` (`name="value"`)."""
    url = f"http://127.0.0.1:{services.admin_ports[daemon]}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=ASK_S) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        services.check()  # it says more, where the daemon has ended
        raise Failed(f"{daemon} does not answer at {url}") from None
    return int(sum(float(text.rsplit(" ", 1)[1]) for text in lines
                   if text.startswith((name + "{", name + " ")) and label in text))


def published(services: Services) -> int:
    """How many events the door has published since its start."""
    return metric(services, "ingest-github", "nodag_ingest_github_events_total")


def decided(services: Services) -> int:
    """How many issues the labeler has finished since its start; the record of each was acknowledged before."""
    return metric(services, "labeler", "nodag_kernel_reconciles_total", 'outcome="done"')


def count_deliveries(services: Services) -> dict[str, int]:
    name = "nodag_ingest_github_deliveries_total"
    accepted = metric(services, "ingest-github", name, 'status="202"')
    return {"accepted": accepted, "refused": metric(services, "ingest-github", name) - accepted}


def count_records(services: Services) -> dict[str, int]:
    if services.options.embedded:
        return {"github.events": published(services), "predictions": decided(services)}
    topics = json.loads(services.command("topics", "list", "--json", *services.kafka_options()))
    return {topic["topic"]: topic["records_at_most"] for topic in topics if topic.get("records_at_most")}


def summarise(services: Services, outcome) -> dict:
    """The whole summary of a scenario.Outcome. Raises Failed when something is there that must not be."""
    options, memory, results = services.options, services.folder.memory, outcome.results
    labels = Counter(label for result in results for label in result["labels"])
    figures = {name: round(value, 3) for name, value in outcome.figures.items() if isinstance(value, (int, float))}
    summary = {
        "broker": "embedded" if options.embedded else "given" if options.brokers else "Apache Kafka",
        "brokers": services.brokers, "run": memory["runs"],
        "history": {"issues": outcome.history, "from": memory["history"]},
        "model": {"made_by": "nodag model train" if outcome.no_training else "notebook", **figures},
        "no_training": outcome.no_training or None, "runs": outcome.runs, "models": outcome.models,
        "deliveries": count_deliveries(services), "records": count_records(services),
        "issues_opened": len(results), "issues_labelled": sum(bool(result["labels"]) for result in results),
        "comments": sum(result["comments"] for result in results), "labels": dict(sorted(labels.items())),
        "labels_created": services.sandbox.get("/_sandbox/stats")["labels_created_implicitly"],
        "issues": results, "seconds": round(screen.seconds(), 1),
    }
    faults = find_faults(summary)
    if faults:
        raise Failed(f"the main job did not work: {'; '.join(faults)}\n  look at {services.folder.logs}/")
    return {"ok": True, **summary}


def find_faults(summary: dict) -> list[str]:
    """What must not be after the main job."""
    issues, refused, created = summary["issues"], summary["deliveries"]["refused"], summary["labels_created"]
    rules = [("no new issue was labelled", summary["issues_labelled"] == 0),
             ("an issue has more than one comment", any(issue["comments"] > 1 for issue in issues)),
             ("a labelled issue has no comment", any(issue["labels"] and not issue["comments"] for issue in issues)),
             ("a label was put on twice", any(len(set(issue["labels"])) < len(issue["labels"]) for issue in issues)),
             (f"the door refused {refused} deliveries", refused > 0),
             (f"nodag made {created} labels that the repository lacked", created > 0)]
    return [text for text, holds in rules if holds] + ([] if summary["no_training"] else find_training_faults(summary))


def find_training_faults(summary: dict) -> list[str]:
    """What must not be of the runs of this time, and of the versions that stand."""
    runs, models = [run for run in summary["runs"] if not run["earlier"]], summary["models"]
    versions = {model["version"] for model in models}
    made = [run for run in runs if run["state"] == "SUCCEEDED"]
    rules = [(f"{len(models)} versions of the model stand, not {VERSIONS_LEAST}", len(models) < VERSIONS_LEAST),
             ("an issue was labelled by what is no version", any(issue["model"] not in versions
                                                                 for issue in summary["issues"]))]
    rules += [(f"the run {run['name']} failed: {run['reason']}", run["state"] == "FAILED") for run in runs]
    rules += [(f"the run {run['name']} has no report", not run["html"]) for run in made]
    rules += [(f"the run {run['name']} made no version", run["name"] not in versions) for run in made]
    rules += [(f"the version {model['version']} lacks {name}", not model[name])
              for model in models for name in ("metrics", "snapshot", "commit")]
    return [text for text, holds in rules if holds]
