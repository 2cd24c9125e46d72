#!/usr/bin/env python3
"""tests/bench/classifier/bench.py: the classifier beside fastText and scikit-learn, on the same splits in the same run.

    tests/bench/classifier/bench.py --model-command build/release/bin/nodag-model [--json] [--data FOLDER]

Two sets of real texts from ../shared/data beside the clone:
    issues   1,500 issues of 5 repositories, one label each: 5-fold cross-validation, macro F1 (bar 0.77, aim 0.81)
    notes    change descriptions, several labels each: trained up to release 1.34, judged on 1.35, macro precision
             (bar 0.80) and recall (bar 0.32, aim 0.40)
Exit status 0 if nodag is over every bar, 1 if not, 2 for a wrong command line or missing data.

Design: nodag deals the folds and says so, the rivals use the same. Times and peak memory are those of whole processes
(getrusage of the child). scikit-learn lives in a virtual environment in the cache folder (NODAG_CACHE, or
~/.cache/nodag), made on the first run; fastText is Debian's package; a rival that cannot be had is left out with a word.
Invariant: nothing is trained or tuned on what it is judged on.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
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
sys.path.insert(0, str(HERE))
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


def measure(command: str, data: Path) -> dict:
    """{set: {who: figures}}"""
    issues, notes = data / "nlbse24" / "issues_train.csv", data / "sig-release" / "notes_train.csv"
    result: dict = {"issues": {}, "notes": {}}
    with tempfile.TemporaryDirectory(prefix="nodag-bench-") as name:
        folder = Path(name)
        result["issues"]["nodag"], folds = nodag_issues(command, issues, folder)
        result["notes"]["nodag"] = nodag_notes(command, notes, folder)
        if shutil.which("fasttext"):
            result["issues"]["fastText"] = rival_fasttext.issues(score.read_rows(issues), folds, folder, run_measured)
            result["notes"]["fastText"] = rival_fasttext.notes(score.read_rows(notes), folder, run_measured)
        else:
            print("fastText is left out: apt-get install fasttext", file=sys.stderr)
        python = sklearn_python()
        if python is not None:
            (folder / "folds.json").write_text(json.dumps(folds))
            result["issues"]["scikit-learn"] = sklearn(python, ["issues", str(issues), str(folder / "folds.json")])
            result["notes"]["scikit-learn"] = sklearn(python, ["notes", str(notes)])
    return result


def machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} × {model}, {memory_gb:.0f} GB, Linux {platform.release()}"


def print_table(result: dict) -> None:
    columns = [("macro_f1", "macro F1", "{:.3f}"), ("precision", "macro precision", "{:.3f}"),
               ("recall", "macro recall", "{:.3f}"), ("train_s", "train s", "{:.1f}"),
               ("prediction_us", "predict µs", "{:.0f}"), ("peak_mb", "peak MB", "{:.0f}"),
               ("model_mb", "model MB", "{:.1f}")]
    for name, rows in result.items():
        shown = [column for column in columns if any(column[0] in figures for figures in rows.values())]
        print(f"\n{name:14}" + "".join(f"{title:>17}" for _, title, _ in shown))
        for who, figures in rows.items():
            print(f"{who:14}" + "".join(f"{form.format(figures[key]) if key in figures else '-':>17}"
                                        for key, _, form in shown))
        for who in list(rows)[1:]:
            print(f"nodag / {who:>6}"[:14].ljust(14) + "".join(
                f"{rows['nodag'][key] / rows[who][key]:>16.2f}×" if rows[who].get(key) else f"{'-':>17}"
                for key, _, _ in shown))


def missed_bars(result: dict) -> list[str]:
    missed = []
    for name, key in (("issues", "macro_f1"), ("notes", "precision"), ("notes", "recall")):
        value, (least, aim) = result[name]["nodag"][key], BARS[key]
        verdict = "ok" if value >= least else "MISSED"
        print(f"{name}: {key} {value:.3f}, bar {least:.2f}{f', aim {aim:.2f}' if aim else ''}: {verdict}",
              file=sys.stderr)
        if value < least:
            missed.append(f"{name} {key}")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-command", default=str(ROOT / "build" / "release" / "bin" / "nodag-model"))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not Path(arguments.model_command).exists():
        print(f"{arguments.model_command} is not there; build the preset release, or name --model-command",
              file=sys.stderr)
        return 2
    if not (arguments.data / "nlbse24").is_dir() or not (arguments.data / "sig-release").is_dir():
        print(f"{arguments.data} has no nlbse24 and sig-release; they lie beside the clone in ../shared/data",
              file=sys.stderr)
        return 2
    result = measure(arguments.model_command, arguments.data)
    if arguments.json:
        print(json.dumps({"machine": machine(), **result}, indent=2, sort_keys=True))
    else:
        print(machine())
        print_table(result)
        print("\nfastText's prediction includes starting and loading; the others predict in a warm process. "
              "nodag's training is seven\nfits everywhere, calibration being part of it; the rivals' is one on the issues "
              "and seven on the notes.")
    return 1 if missed_bars(result) else 0


if __name__ == "__main__":
    sys.exit(main())
