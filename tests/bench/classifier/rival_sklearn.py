"""The scikit-learn rival of the classifier's benchmark, in a process and a virtual environment of its own.

TF-IDF over words and pairs of words of title and body, one logistic regression for each label: what one writes first.

    rival_sklearn.py issues FILE FOLDS_JSON    prints {"macro_f1", "train_s", "prediction_us"}
    rival_sklearn.py notes FILE                prints {"precision", "recall", "train_s", "prediction_us"}

Invariant: only what one training for use costs is timed as training; cross-validation is not.
"""
from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import score  # noqa: E402
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

COST = 10.0  # Inverse regularisation: of 1, 3, 10 and 30 the best for both sets together.
TIMED_ROWS = 200  # Predictions made one by one for the time of one.


class Model:
    """Vectoriser and one regression for each label."""

    def __init__(self, texts: list[str], carried: list[set], labels: list[str]):
        self.labels = labels
        self.vectoriser = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        matrix = self.vectoriser.fit_transform(texts)
        self.fits = {}
        for label in labels:
            truth = [int(label in carries) for carries in carried]
            if 0 < sum(truth) < len(truth):
                self.fits[label] = LogisticRegression(C=COST, solver="liblinear").fit(matrix, truth)

    def scores(self, texts: list[str]) -> list[dict]:
        matrix = self.vectoriser.transform(texts)
        columns = {label: fit.predict_proba(matrix)[:, 1] for label, fit in self.fits.items()}
        return [{label: float(column[i]) for label, column in columns.items()} for i in range(len(texts))]


def time_prediction(model: Model, texts: list[str]) -> float:
    start = time.perf_counter()
    for text in texts[:TIMED_ROWS]:
        model.scores([text])
    return 1e6 * (time.perf_counter() - start) / len(texts[:TIMED_ROWS])


def issues(path: Path, folds: list[int]) -> dict:
    rows = score.read_rows(path)
    texts, carried = [score.text_of(row) for row in rows], [score.labels_of(row) for row in rows]
    labels = sorted({row["label"] for row in rows})
    answers = [""] * len(rows)
    for fold in sorted(set(folds)):
        inside = [i for i, f in enumerate(folds) if f != fold]
        outside = [i for i, f in enumerate(folds) if f == fold]
        model = Model([texts[i] for i in inside], [carried[i] for i in inside], labels)
        for i, scores in zip(outside, model.scores([texts[i] for i in outside])):
            answers[i] = max(labels, key=lambda label: scores[label])
    start = time.perf_counter()
    model = Model(texts, carried, labels)
    return {"macro_f1": score.macro_f1(rows, answers), "train_s": time.perf_counter() - start,
            "prediction_us": time_prediction(model, texts)}


def notes(path: Path) -> dict:
    rows = score.read_rows(path)
    old = [row for row in rows if row["created_at"] < score.SPLIT_TIME]
    new = [row for row in rows if row["created_at"] >= score.SPLIT_TIME]
    labels = score.judged_labels(old)
    texts, carried = [score.text_of(row) for row in old], [score.labels_of(row) for row in old]
    held_scores, held_rows = [], []
    start = time.perf_counter()
    for older, block in score.held_out_blocks(old):
        model = Model([texts[i] for i in older], [carried[i] for i in older], labels)
        held_scores += model.scores([texts[i] for i in block])
        held_rows += [old[i] for i in block]
    model = Model(texts, carried, labels)
    train_s = time.perf_counter() - start
    new_texts = [score.text_of(row) for row in new]
    answers = score.predict_with_thresholds(held_scores, held_rows, model.scores(new_texts), labels)
    precision, recall = score.macro_precision_recall([score.labels_of(row) for row in new], answers, labels)
    return {"precision": precision, "recall": recall, "train_s": train_s,
            "prediction_us": time_prediction(model, new_texts)}


def main() -> int:
    if len(sys.argv) == 4 and sys.argv[1] == "issues":
        result = issues(Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text()))
    elif len(sys.argv) == 3 and sys.argv[1] == "notes":
        result = notes(Path(sys.argv[2]))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
