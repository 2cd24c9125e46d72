"""The fastText rival of the classifier's benchmark: Debian's `fasttext`, run as a program.

Invariants: word pairs; softmax over the labels where each text has one, one-versus-all where it has several. One thread,
so that runs repeat and times compare.
"""
from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import score

PREFIX = "__label__"
DEADLINE_S = 600  # Of one prediction run.
EPOCHS, RATE = "50", "0.5"  # Of 25, 50 and 100 epochs at 0.5 and 1.0 the best on the issues.
BUCKETS = "200000"  # Ten times fewer than by default: as good here, and a tenth of the memory.


def line_of(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"([.,!?()'\"`:;/\[\]{}])", r" \1 ", text.lower())).strip()


def labelled_line(row: dict) -> str:
    return " ".join(PREFIX + label for label in sorted(score.labels_of(row))) + " " + line_of(score.text_of(row))


def train(rows: list[dict], loss: str, folder: Path, run) -> dict:
    """Trains `folder`/model.bin; `run` is bench.run_measured."""
    (folder / "train.txt").write_text("\n".join(map(labelled_line, rows)) + "\n", encoding="utf-8")
    return run(["fasttext", "supervised", "-input", str(folder / "train.txt"), "-output", str(folder / "model"),
                "-loss", loss, "-epoch", EPOCHS, "-lr", RATE, "-bucket", BUCKETS, "-wordNgrams", "2", "-thread", "1",
                "-seed", "1", "-verbose", "0"])


def predict(rows: list[dict], folder: Path) -> tuple[list[dict], float]:
    """({label: score} for each row, seconds)."""
    lines = "\n".join(line_of(score.text_of(row)) or "." for row in rows) + "\n"
    start = time.perf_counter()
    done = subprocess.run(["fasttext", "predict-prob", str(folder / "model.bin"), "-", "-1", "-0.0"], input=lines,
                          capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    seconds = time.perf_counter() - start
    result = []
    for line in done.stdout.splitlines()[:len(rows)]:
        parts = line.split()
        result.append({parts[i].removeprefix(PREFIX): float(parts[i + 1]) for i in range(0, len(parts) - 1, 2)})
    return result, seconds


def issues(rows: list[dict], folds: list[int], folder: Path, run) -> dict:
    answers = [""] * len(rows)
    for fold in sorted(set(folds)):
        train([row for row, f in zip(rows, folds) if f != fold], "softmax", folder, run)
        outside = [i for i, f in enumerate(folds) if f == fold]
        for i, scores in zip(outside, predict([rows[i] for i in outside], folder)[0]):
            answers[i] = max(scores, key=scores.get) if scores else ""
    cost = train(rows, "softmax", folder, run)
    seconds = predict(rows, folder)[1]
    return {"macro_f1": score.macro_f1(rows, answers), "train_s": cost["seconds"], "peak_mb": cost["peak_mb"],
            "model_mb": (folder / "model.bin").stat().st_size / 1e6, "prediction_us": 1e6 * seconds / len(rows)}


def notes(rows: list[dict], folder: Path, run) -> dict:
    old = [row for row in rows if row["created_at"] < score.SPLIT_TIME]
    new = [row for row in rows if row["created_at"] >= score.SPLIT_TIME]
    labels = score.judged_labels(old)
    held_scores, held_rows, train_s, peak_mb = [], [], 0.0, 0.0
    for older, block in score.held_out_blocks(old) + [(list(range(len(old))), [])]:
        cost = train([old[i] for i in older], "ova", folder, run)
        train_s += cost["seconds"]
        peak_mb = max(peak_mb, cost["peak_mb"])
        if block:
            held_scores += predict([old[i] for i in block], folder)[0]
            held_rows += [old[i] for i in block]
    new_scores, seconds = predict(new, folder)
    answers = score.predict_with_thresholds(held_scores, held_rows, new_scores, labels)
    precision, recall = score.macro_precision_recall([score.labels_of(row) for row in new], answers, labels)
    return {"precision": precision, "recall": recall, "train_s": train_s, "peak_mb": peak_mb,
            "model_mb": (folder / "model.bin").stat().st_size / 1e6, "prediction_us": 1e6 * seconds / len(new)}
