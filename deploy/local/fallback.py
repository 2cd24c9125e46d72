"""The model where no run can be kept apart from nodag: `nodag model train` on the labelled issues of github.events.

Design: training by notebook needs namespaces, which some containers and kernels refuse. So that the main job works there
too, the newest issues judge a model that one command makes of the others, and the labeler gets its file. Whoever calls
this says so on the terminal and in the summary.
"""
from __future__ import annotations

import json
from pathlib import Path

import history
import screen
import topic_data
from history import write_time
from proc import Failed
from services import Services
from training import find_exclusive, least_examples

JUDGED = 0.2  # share of the issues, the newest, that the model does not see
MODEL_MIN = 20  # labelled issues


def train(services: Services) -> tuple[Path, dict]:
    """Trains on the older labelled issues on github.events and judges on the newest; the model's file and figures."""
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
    screen.doing("Model", f"training on {len(labelled)} labelled issues")
    exclusive = find_exclusive(labelled)
    services.command("model", "train", "--data", data, "--until", border, "--model", model, "--min-examples",
                     least_examples(labelled), *(["--exclusive", exclusive] if exclusive else []))
    judged = json.loads(services.command("model", "eval", "--data", data, "--from", border, "--model", model, "--json"))
    figures = read_figures(judged)
    predictable = sum(label["predictable"] for label in judged["labels"])
    screen.step("Model", f"{predictable} labels learnt from {len(labelled) - judged['rows']} of these issues")
    screen.detail(f"on the {judged['rows']} newest, which it has not seen: precision {figures['precision_macro']:.2f}, "
                  f"recall {figures['recall_macro']:.2f}")
    return model, figures


def read_figures(judged: dict) -> dict:
    """From what `nodag model eval --json` prints, under the names that the notebook gives them."""
    macro = {f"{name}_macro": judged["macro"][name]["value"] for name in ("precision", "recall", "f1")}
    return {**macro, "f1_micro": judged["micro"]["f1"]["value"], "held_out_issues": judged["rows"]}
