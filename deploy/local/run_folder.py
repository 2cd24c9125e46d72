"""The folder of training runs, as reactors/trainer/run_directory.h lays it out: what is under way, how far, and ending it.

Design: a run's supervisor outlives the trainer on purpose, so whoever stops a stack must look after runs: a file `cancel`
in the run's directory is how one is told to stop. It then stores what there is and writes its result, which a trainer
that is started later records.

Invariant: after `end_all` no run of this folder is under way.
"""
from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable

from distribution import cache_folder
from proc import Failed, wait_until

SUPERVISOR = "nodag-train-run"
LOOK_S = 30.0  # for one look at a run's directory
CANCEL_S = 90.0  # a cancelled run still makes its report and stores it
KILLED_S = 10.0  # from SIGKILL until the supervisor's lock is free
REASON = "`up` was stopped"
STEPS = {"fetch": "fetching the code", "checkout": "checking out the code", "dataset": "writing the data set",
         "python": "looking at Python", "environment": "building the Python environment, once for this machine",
         "notebook": "running the notebook", "report": "making the HTML report", "upload": "storing the artefacts",
         "clean": "cleaning up"}


class RunFolder:
    """The folder `path`; `program` finds an executable of nodag by its name."""

    def __init__(self, path: Path, program: Callable[[str], Path]):
        self.path, self._program = path, program

    @property
    def environments(self) -> Path:
        """Where runs keep Python environments, shared by all data folders of this user."""
        return cache_folder() / "run-environments"

    def why_not(self) -> str:
        """Why no run can be kept apart from nodag here; empty where it can be."""
        try:
            done = subprocess.run([self._program(SUPERVISOR), "--check"], capture_output=True, text=True,
                                  timeout=LOOK_S, stdin=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            return f"`{SUPERVISOR} --check` took more than {LOOK_S:g} s"
        said = (done.stderr.strip() or done.stdout.strip()).removeprefix(f"{SUPERVISOR}: ")
        return "" if done.returncode == 0 else said or f"`{SUPERVISOR} --check` ended with status {done.returncode}"

    def step(self, run: str) -> str:
        """Which step a run is in, as its supervisor names it; empty where it has not begun."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.path / run / "state.json").read_text(encoding="utf-8"))["step"]
        return ""

    def step_s(self, run: str) -> float:
        """For how long it is in that step."""
        with contextlib.suppress(OSError):
            return max(0.0, time.time() - (self.path / run / "state.json").stat().st_mtime)
        return 0.0

    def sight(self, folder: Path) -> str:
        """RUNNING, FINISHED, GONE or ABSENT."""
        done = subprocess.run([self._program(SUPERVISOR), "--observe", folder], capture_output=True, text=True,
                              timeout=LOOK_S, stdin=subprocess.DEVNULL, check=False)
        return json.loads(done.stdout)["sight"] if done.returncode == 0 else "ABSENT"

    def under_way(self) -> list[Path]:
        """The directories of runs whose supervisors are alive."""
        begun = [lock.parent for lock in self.path.glob("*/lock") if not (lock.parent / "result.json").exists()]
        return [folder for folder in begun if self.sight(folder) == "RUNNING"]

    def cancel(self, folder: Path) -> None:
        """Tells a run to stop."""
        part = folder / "cancel.part"
        part.write_text(REASON, encoding="utf-8")
        part.rename(folder / "cancel")

    def end_all(self, say: Callable[[str], None]) -> None:
        """Ends what is under way, and says so. Raises Failed where one had to be killed."""
        running = self.under_way()
        for folder in running:
            say(f"the run {folder.name} is under way and told to stop; the next `up` makes another attempt")
            self.cancel(folder)
        for folder in running:
            self._await_end(folder)

    def _await_end(self, folder: Path) -> None:
        with contextlib.suppress(Failed):
            wait_until(lambda: (folder / "result.json").exists(), CANCEL_S, "the run to end")
            wait_until(lambda: self.sight(folder) == "FINISHED", LOOK_S, "the run's result")
            self._reap(folder)
            return
        self._kill(folder)
        raise Failed(f"the run {folder.name} did not stop within {CANCEL_S:g} s and was killed; its log is {folder}/log")

    @staticmethod
    def _supervisor(folder: Path) -> int:
        """The supervisor's pid; 0 where that cannot be read."""
        with contextlib.suppress(OSError, ValueError):
            return int(json.loads((folder / "state.json").read_text(encoding="utf-8"))["pid"])
        return 0

    def _reap(self, folder: Path) -> None:
        """Waits until the supervisor, which has written its result, is gone."""
        pid = self._supervisor(folder)
        wait_until(lambda: not pid or not is_supervisor(pid), KILLED_S, "the run's supervisor to be gone")

    def _kill(self, folder: Path) -> None:
        pid = self._supervisor(folder)
        if pid and is_supervisor(pid):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: self.sight(folder) != "RUNNING", KILLED_S, "the run's supervisor to be gone")


def is_supervisor(pid: int) -> bool:
    """Whether the process is one: the number may have been given to another."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z" and any(word.endswith(SUPERVISOR.encode()) for word in words)
