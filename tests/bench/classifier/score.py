"""The two scores of the classifier's benchmark, counted one way for nodag and its rivals. Standard library only.

Invariant: a label that is never predicted has recall 0, and no precision.
"""
from __future__ import annotations

import csv
from pathlib import Path

SPLIT_TIME = "2025-12-17"  # Release 1.35; everything older is for training and calibration.
EXAMPLES_MIN = 30  # Training rows that a label must have to be judged.
PRECISION_TARGET = 0.8
HELD_OUT_RELEASES = 6  # Newest training releases, each scored by a fit on older ones, behind thresholds.
PREDICTED_MIN = 5  # Held-out predictions that a threshold must rest on.


def read_rows(path: Path) -> list[dict]:
    csv.field_size_limit(1 << 24)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def text_of(row: dict) -> str:
    return row["title"] + "\n" + row["body"]


def labels_of(row: dict) -> set[str]:
    return {label for label in row["label"].split(";") if label}


def macro_f1(rows: list[dict], answers: list[str]) -> float:
    """Macro F1 over the labels in each repository, averaged over repositories."""
    labels = sorted({row["label"] for row in rows})
    scores = []
    for repo in sorted({row["repo"] for row in rows}):
        pairs = [(row["label"], answer) for row, answer in zip(rows, answers) if row["repo"] == repo]
        for label in labels:
            right = sum(truth == answer == label for truth, answer in pairs)
            either = sum((truth == label) + (answer == label) for truth, answer in pairs)
            scores.append(2 * right / either if either else 0.0)
    return sum(scores) / len(scores)


def macro_precision_recall(truths: list[set], answers: list[set], labels: list[str]) -> tuple[float, float]:
    """Over the labels that the rows carry."""
    precisions, recalls = [], []
    for label in labels:
        support = sum(label in truth for truth in truths)
        predicted = sum(label in answer for answer in answers)
        right = sum(label in truth and label in answer for truth, answer in zip(truths, answers))
        if support == 0:
            continue
        recalls.append(right / support)
        if predicted:
            precisions.append(right / predicted)
    return (sum(precisions) / len(precisions) if precisions else float("nan")), sum(recalls) / len(recalls)


def judged_labels(rows: list[dict]) -> list[str]:
    """Labels with enough examples in training rows."""
    counts: dict[str, int] = {}
    for row in rows:
        for label in labels_of(row):
            counts[label] = counts.get(label, 0) + 1
    return sorted(label for label, count in counts.items() if count >= EXAMPLES_MIN)


def held_out_blocks(rows: list[dict]) -> list[tuple[list[int], list[int]]]:
    """(older rows, block) by number, for the newest releases of training rows."""
    releases = sorted({row["created_at"] for row in rows})[-HELD_OUT_RELEASES:]
    return [([i for i, row in enumerate(rows) if row["created_at"] < release],
             [i for i, row in enumerate(rows) if row["created_at"] == release]) for release in releases]


def find_threshold(scores: list[float], truths: list[bool]) -> float:
    """The lowest score at which the precision target holds; infinite if there is none."""
    best, right = float("inf"), 0
    order = sorted(zip(scores, truths), key=lambda pair: -pair[0])
    for count, (score, truth) in enumerate(order, 1):
        right += truth
        is_cut = count == len(order) or order[count][0] < score
        if is_cut and truth and count >= PREDICTED_MIN and right / count >= PRECISION_TARGET:
            best = score
    return best


def predict_with_thresholds(held_scores, held_rows: list[dict], new_scores, labels: list[str]) -> list[set]:
    """Thresholds from held-out scores, applied to new ones; scores are lists of {label: score} or dict-likes."""
    truths = [labels_of(row) for row in held_rows]
    thresholds = {label: find_threshold([scores.get(label, 0.0) for scores in held_scores],
                                        [label in truth for truth in truths]) for label in labels}
    return [{label for label in labels if scores.get(label, 0.0) >= thresholds[label]} for scores in new_scores]
