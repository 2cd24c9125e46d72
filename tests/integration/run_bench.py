"""A bench for runs: a repository with one notebook, run.json, the supervisor, and what is seen of the run.

Design: the notebooks of the bad cases are made here, of a few cells, so that each test shows what it runs. All runs of a session share one
cache of environments, which is kept between sessions as the runner's other third-party parts are ($NODAG_CACHE). Executables under
sanitizers reserve more memory than a run's soft limit allows, so notebooks get a small script that lifts it, beside copies of them.

Invariants: no process of a run is left at the end of a test: each is found by a word that only this run's notebook has.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from distribution import cache_folder
from proc import wait_until

ROOT = Path(__file__).resolve().parents[2]
END_S = 240  # A run with sanitizers on a busy machine, an environment to be built first included.
GIT = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main"]


def notebook(*cells: str) -> dict:
    """A notebook of code cells; the first one gets the parameters before it."""
    first = {"cell_type": "code", "id": "parameters", "metadata": {"tags": ["parameters"]}, "execution_count": None,
             "outputs": [], "source": "data = model = metrics = predictions = nodag = ''"}
    rest = [dict(first, id=f"cell{index}", metadata={}, source=source) for index, source in enumerate(cells)]
    return {"cells": [first, *rest], "nbformat": 4, "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
                         "language_info": {"name": "python"}}}


WRITE_ALL = "for path in (model, predictions): open(path, 'w').write('x')\nopen(metrics, 'w').write('{\"f1_macro\": 1}')"


@dataclass
class Bench:
    """Where runs of one test live."""

    folder: Path
    program: Path  # nodag-train-run
    nodag: Path  # what notebooks call
    runs: int = 0
    started: list[subprocess.Popen] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.folder / "artefacts"

    def commit(self, files: dict[str, str]) -> str:
        """Commits files to the repository; the commit's hash."""
        repository = self.folder / "repository"
        if not repository.exists():
            subprocess.run([*GIT, "init", "-q", repository], check=True)
        for name, text in files.items():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            (repository / name).write_text(text, encoding="utf-8")
        subprocess.run([*GIT, "-C", repository, "add", "-A"], check=True)
        subprocess.run([*GIT, "-C", repository, "commit", "-qm", "change", "--allow-empty"], check=True)
        done = subprocess.run([*GIT, "-C", repository, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def make(self, *cells: str, book: dict | None = None, **spec) -> "Run":
        """A run of these cells (or of a whole notebook); `spec` adds to run.json."""
        commit = self.commit({"train/train.ipynb": json.dumps(book or notebook(*cells))})
        data = self.folder / "data.jsonl"
        if not data.exists():
            data.write_text('{"repo":"a/b","created_at":"2026-01-01","label":[],"title":"t","body":"b"}\n', encoding="utf-8")
        self.runs += 1
        folder = self.folder / f"run-{self.runs}"
        folder.mkdir(mode=0o700)
        whole = {"run": folder.name, "model": "labels", "cause": "test", "attempt": 1, "commit": commit,
                 "repository": str(self.folder / "repository"), "notebook": "train/train.ipynb",
                 "dataset": {"file": str(data)}, "artefacts": {"url": f"file://{self.store}"}} | spec
        (folder / "run.json").write_text(json.dumps(whole), encoding="utf-8")
        return Run(self, folder)

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()


@dataclass
class Run:
    """One run directory."""

    bench: Bench
    folder: Path
    process: subprocess.Popen | None = None
    cache: Path = field(default_factory=lambda: cache_folder() / "run-environments")

    def command(self, *options) -> list[str]:
        return [str(part) for part in (
            self.bench.program, "--cache", self.cache, "--nodag", self.bench.nodag, "--python", sys.executable,
            "--requirements", ROOT / "deploy" / "notebooks" / "requirements.txt", *options, self.folder)]

    def start(self, *options, env: dict | None = None) -> "Run":
        with open(self.folder.parent / f"{self.folder.name}.stderr", "ab") as log:
            self.process = subprocess.Popen(self.command(*options), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                            env=env)
        self.bench.started.append(self.process)
        return self

    def wait(self, status: int = 0) -> dict:
        """Waits for the supervisor's end; the result."""
        self.process.wait(END_S)
        assert self.process.returncode == status, f"exit status {self.process.returncode}\n{self.said()}"
        return self.result()

    def result(self) -> dict:
        return json.loads((self.folder / "result.json").read_text(encoding="utf-8"))

    def said(self) -> str:
        log = self.folder / "log"
        return ((self.folder.parent / f"{self.folder.name}.stderr").read_text(encoding="utf-8", errors="replace") +
                (log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""))

    def observe(self) -> str:
        done = subprocess.run(self.command("--observe"), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["sight"]

    def step(self) -> str:
        try:
            return json.loads((self.folder / "state.json").read_text(encoding="utf-8"))["step"]
        except FileNotFoundError:
            return ""

    def wait_step(self, step: str) -> None:
        wait_until(lambda: self.step() == step or self.process.poll() is not None, END_S, f"the step {step}")
        assert self.step() == step, self.said()

    def wait_log(self, text: str) -> None:
        wait_until(lambda: text in self.said(), END_S, f"`{text}` in the log")

    def kill(self) -> None:
        self.process.kill()  # nothing, where it has ended by itself
        self.process.wait()

    def artefact(self, name: str) -> str:
        """The text of a stored artefact."""
        uri = self.result()["artefacts"][name]["uri"]
        return Path(uri.removeprefix("file://")).read_text(encoding="utf-8", errors="replace")


def processes_with(word: str) -> list[int]:
    """Processes whose command line or environment holds a word, this one left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if word.encode() in text and state != "Z" and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def make_nodag(folder: Path, bin_dir: Path) -> Path:
    """Copies of the executables, and a script `nodag` that lifts the soft limit for sanitizers."""
    programs = folder / "programs"
    (programs / "bin").mkdir(parents=True)
    for name in ("nodag", "nodag-model"):
        shutil.copy2(bin_dir / name, programs / "bin" / name)
    script = programs / "nodag"
    script.write_text('#!/bin/sh\nulimit -S -d unlimited\nexec env ASAN_OPTIONS=detect_leaks=0 '
                      f'"{programs}/bin/nodag" "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script
