#!/usr/bin/env python3
"""tests/bench/classifier/bench.py: the classifier beside fastText and scikit-learn, on the same splits in the same run.

Two sets of real texts from ../shared/data beside the clone:
    issues   1,500 issues of 5 repositories, one label each: 5-fold cross-validation, macro F1 (bar 0.77, aim 0.81)
    notes    change descriptions, several labels each: trained up to release 1.34, judged on 1.35, macro precision
             (bar 0.80) and recall (bar 0.32, aim 0.40)
A bar is the least that is good enough; it and the aim are stated with the ratios.

Design: nodag deals the folds and says so, the rivals use the same. Times and peak memory are those of whole processes
(getrusage of the child). scikit-learn lives in a virtual environment in the cache folder (NODAG_CACHE, or
~/.cache/nodag), made on the first run; fastText is Debian's package; a rival that cannot be had is left out with a word.
Invariant: nothing is trained or tuned on what it is judged on.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
import report  # noqa: E402
import rival_fasttext  # noqa: E402
import score  # noqa: E402

REQUIREMENTS = HERE / "requirements.txt"
DEADLINE_S = 900  # Of one process.
BARS = {"macro_f1": (0.77, 0.81), "precision": (0.80, None), "recall": (0.32, 0.40)}  # (least, aim)


def run_measured(command: list[str]) -> dict:
    """Runs a program; its seconds, peak memory in MB and output. Raises RuntimeError with its complaint."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaint:
        process = subprocess.Popen(command, stdout=output, stderr=complaint)
        killer_s = start + DEADLINE_S
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() > killer_s:
                process.kill()
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        complaint.seek(0)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command[:3])}: {complaint.read().strip()[-400:]}")
        return {"seconds": seconds, "peak_mb": usage.ru_maxrss / 1024, "output": output.read()}


def nodag_issues(command: str, data: Path, folder: Path) -> tuple[dict, list[int]]:
    crossed = json.loads(run_measured([command, "cv", "--data", str(data), "--json"])["output"])
    model = folder / "issues.model"
    trained = run_measured([command, "train", "--data", str(data), "--model", str(model)])
    judged = run_measured([command, "eval", "--data", str(data), "--model", str(model), "--json"])
    result = {"macro_f1": crossed["macro_f1"], "train_s": trained["seconds"], "peak_mb": trained["peak_mb"],
              "model_mb": model.stat().st_size / 1e6,
              "prediction_us": json.loads(judged["output"])["prediction_us"]}
    return result, [row["fold"] for row in crossed["rows"]]


def nodag_notes(command: str, data: Path, folder: Path) -> dict:
    model = folder / "notes.model"
    trained = run_measured([command, "train", "--data", str(data), "--until", score.SPLIT_TIME, "--model", str(model)])
    judged = json.loads(run_measured([command, "eval", "--data", str(data), "--from", score.SPLIT_TIME, "--model",
                                      str(model), "--json"])["output"])
    return {"precision": judged["macro"]["precision"]["value"], "recall": judged["macro"]["recall"]["value"],
            "train_s": trained["seconds"], "peak_mb": trained["peak_mb"], "model_mb": model.stat().st_size / 1e6,
            "prediction_us": judged["prediction_us"]}


def sklearn_python() -> Path | None:
    """The interpreter of the virtual environment, made if need be; None if it cannot be."""
    cache = os.environ.get("NODAG_CACHE")
    folder = (Path(cache) if cache else Path.home() / ".cache" / "nodag") / "bench-sklearn"
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    if stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text():
        return python
    print("installing scikit-learn into the cache folder …", file=sys.stderr)
    try:
        venv.create(folder, with_pip=True, clear=True)
        run_measured([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)])
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"scikit-learn is left out: {error}", file=sys.stderr)
        return None
    shutil.copyfile(REQUIREMENTS, stamp)
    return python


def sklearn(python: Path, arguments: list[str]) -> dict:
    done = run_measured([str(python), str(HERE / "rival_sklearn.py"), *arguments])
    return {**json.loads(done["output"]), "peak_mb": done["peak_mb"]}


def measure_all(command: str, data: Path, quick: bool) -> dict:
    """{set: {who: figures}}; quick: nodag and fastText on the issues."""
    issues, notes = data / "nlbse24" / "issues_train.csv", data / "sig-release" / "notes_train.csv"
    result: dict = {"issues": {}} if quick else {"issues": {}, "notes": {}}
    with tempfile.TemporaryDirectory(prefix="nodag-bench-") as name:
        folder = Path(name)
        report.say("classifier: nodag")
        result["issues"]["nodag"], folds = nodag_issues(command, issues, folder)
        if not quick:
            result["notes"]["nodag"] = nodag_notes(command, notes, folder)
        if shutil.which("fasttext"):
            report.say("classifier: fastText")
            result["issues"]["fastText"] = rival_fasttext.issues(score.read_rows(issues), folds, folder, run_measured)
            if not quick:
                result["notes"]["fastText"] = rival_fasttext.notes(score.read_rows(notes), folder, run_measured)
        python = None if quick else sklearn_python()
        if python is not None:
            report.say("classifier: scikit-learn")
            (folder / "folds.json").write_text(json.dumps(folds))
            result["issues"]["scikit-learn"] = sklearn(python, ["issues", str(issues), str(folder / "folds.json")])
            result["notes"]["scikit-learn"] = sklearn(python, ["notes", str(notes)])
    return result


COLUMNS = [("macro_f1", "macro F1", ""), ("precision", "macro precision", ""), ("recall", "macro recall", ""),
           ("train_s", "training", "s"), ("prediction_us", "prediction", "µs"), ("peak_mb", "peak memory", "MB"),
           ("model_mb", "model", "MB")]
QUALITIES = (("issues", "macro_f1"), ("notes", "precision"), ("notes", "recall"))


def report_of(found: dict) -> report.Report:
    result = report.Report("classifier")
    for key, title, unit in COLUMNS:
        for name, rows in found.items():
            for who, figures in rows.items():
                if key in figures:
                    result.figure(title, unit, figures[key], who, name)
    titles = {key: title for key, title, _ in COLUMNS}
    for name, key in QUALITIES:
        if name not in found:
            continue
        value, (least, aim) = found[name]["nodag"][key], BARS[key]
        result.ratio(f"{titles[key]} of {name}, bar", "nodag", value, least)
        if aim is not None:
            result.ratio(f"{titles[key]} of {name}, aim", "nodag", value, aim)
    for name, rows in found.items():
        for key, title, _ in COLUMNS:
            for who in list(rows)[1:]:
                if rows["nodag"].get(key) and rows[who].get(key):
                    result.ratio(f"{title} of {name}", f"nodag / {who}", rows["nodag"][key] / rows[who][key])
    for who, remedy in (("fastText", "apt-get install fasttext"), ("scikit-learn", "see what pip says on stderr")):
        if who not in found["issues"]:
            result.note(f"{who} was left out: " + ("--quick" if "notes" not in found and who != "fastText" else remedy)
                        + ".")
    result.note("fastText's prediction includes starting and loading; the others predict in a warm process. nodag's "
                "training is eight or nine fits, calibration being part of it; the rivals' is one on the issues and "
                "seven on the notes.")
    return result


def measure(options: argparse.Namespace) -> report.Report:
    command = options.model_command or report.need_program(options.build / "bin" / "nodag-model")
    for name in ("nlbse24", "sig-release"):
        if not (options.data / name).is_dir():
            raise report.Skipped(f"there is no data set {name} in {options.data}; the data lie beside the clone, in "
                                 "../shared/data, or where --data says")
    try:
        return report_of(measure_all(str(command), options.data, options.quick))
    except RuntimeError as error:
        raise report.Failed(str(error)) from None


def main() -> int:
    parser = report.parser_of("classifier", __doc__)
    parser.add_argument("--model-command", type=Path, metavar="FILE", help="default: nodag-model of the build")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", metavar="FOLDER",
                        help="default: ../shared/data, beside the clone")
    return report.main("classifier", __doc__, measure, parser)


if __name__ == "__main__":
    sys.exit(main())
