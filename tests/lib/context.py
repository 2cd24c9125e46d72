"""What a stage may use: running a program with a deadline and a log, building a preset once, the virtual environment.

Invariants: every program that is started has a deadline and a process group of its own, which is gone when `run`
returns, also after Ctrl-C; its whole output is in build/test-logs.
"""
from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "build" / "test-logs"
REQUIREMENTS = ROOT / "tests" / "integration" / "requirements.txt"
TERM_S = 20  # Between SIGTERM and SIGKILL at a deadline: daemons and brokers that the tests started may drain.
VENV_S = 600
KEY_DIGITS = 12
COMPLAINT_LINES = 120  # Of a failed build, shown at the end: the first errors are the causes of the others.
PROGRESS = re.compile(r"\[\d+/\d+\] |ninja: ")

# Sanitizers stop at the first finding and say where. What the caller has set stays.
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "strict_string_checks=1:detect_stack_use_after_return=1:check_initialization_order=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


@dataclass(frozen=True)
class Done:
    """A program that has ended: its exit status (124 when the deadline ended it) and output."""
    status: int
    output: str


class Failure(Exception):
    """A stage cannot go on. `what` is the heading, `output` what explains it."""

    def __init__(self, what: str, output: str = ""):
        super().__init__(what)
        self.what, self.output = what, output


def cache_folder() -> Path:
    """As in deploy/local/kafka/distribution.py: the one folder that keeps third-party parts between runs."""
    chosen = os.environ.get("NODAG_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "nodag"


class Context:
    """One run of tests/run. `preset` is the build that unit, sim, integration and contract run; `seeds` are the
    simulation's, `seconds` what each fuzz target gets."""

    def __init__(self, preset: str, jobs: int, seeds: int, seconds: int):
        self.preset, self.jobs, self.seeds, self.seconds = preset, jobs, seeds, seconds
        self.root = ROOT
        self.configured: dict[str, str] = {}  # by preset: what CMake said
        self._built: dict[tuple[str, str], Failure | None] = {}

    # -- programs ----------------------------------------------------------------------------------------------------

    def run(self, log_name: str, argv: list, timeout_s: float, env: dict | None = None) -> Done:
        """Runs a program from the root of the project to its end; at the deadline its process group is ended."""
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"{log_name}.log"
        settings = {**SANITIZER_OPTIONS, **os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        with open(log, "ab") as out:
            begin = out.tell()
            program = subprocess.Popen([str(part) for part in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       cwd=ROOT, env=settings, start_new_session=True)
            try:
                status = program.wait(timeout_s)
            except subprocess.TimeoutExpired:
                status = 124
                out.write(f"\nended by tests/run after {timeout_s:g} s\n".encode())
            finally:
                end_group(program)
        with open(log, "rb") as text:
            text.seek(begin)
            return Done(status, text.read().decode(errors="replace"))

    # -- builds ------------------------------------------------------------------------------------------------------

    def build_folder(self, preset: str | None = None) -> Path:
        return ROOT / "build" / (preset or self.preset)

    def build(self, timeout_s: float, preset: str | None = None, target: str = "all") -> Path:
        """Configures and builds a preset, once a run; its folder. Raises Failure with what the compiler said."""
        preset = preset or self.preset
        if (preset, target) not in self._built:
            self._built[preset, target] = self._build_now(preset, target, timeout_s)
        failure = self._built[preset, target]
        if failure:
            raise failure
        return self.build_folder(preset)

    def _build_now(self, preset: str, target: str, timeout_s: float) -> Failure | None:
        log = f"build-{preset}"
        done = self.run(log, ["cmake", "--preset", preset], timeout_s)
        self.configured[preset] = done.output
        if done.status == 0:
            done = self.run(log, ["cmake", "--build", "--preset", preset, "--target", target, "-j", self.jobs, "--",
                                  "-k", "0"], timeout_s)
        return None if done.status == 0 else Failure(
            f"building preset {preset}", f"{interesting(done.output)}\nall of it: {LOGS.relative_to(ROOT) / log}.log")

    def daemons(self, timeout_s: float) -> dict:
        """Builds, and says by the environment where tests find the executables: NODAG_BIN and NODAG_BUILD."""
        folder = self.build(timeout_s)
        return {"NODAG_BUILD": str(folder), "NODAG_BIN": str(folder / "bin"), "NODAG_CACHE": str(cache_folder())}

    # -- Python ------------------------------------------------------------------------------------------------------

    def python(self) -> Path:
        """The Python of a virtual environment in the cache with the pinned requirements."""
        key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode() + str(sys.executable).encode())
        home = cache_folder() / "venv" / key.hexdigest()[:KEY_DIGITS]
        if (home / "complete").exists():
            return home / "bin" / "python3"
        shutil.rmtree(home, ignore_errors=True)  # left half done by a run that was ended
        home.parent.mkdir(parents=True, exist_ok=True)
        for command in ([sys.executable, "-m", "venv", home],
                        [home / "bin" / "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                         "--no-input", "--require-hashes", "--only-binary=:all:", "-r", REQUIREMENTS]):
            done = self.run("venv", command, VENV_S)
            if done.status != 0:
                raise Failure(f"preparing the virtual environment in {home}", done.output)
        (home / "complete").touch()
        return home / "bin" / "python3"

    def pytest(self, stage: str, folder: str, timeout_s: float, env: dict | None = None) -> tuple[Done, Path]:
        """Runs the tests of a folder; how it ended, and its JUnit report."""
        LOGS.mkdir(parents=True, exist_ok=True)
        report = LOGS / f"{stage}.xml"
        report.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"nodag-{stage}-") as scratch:
            command = [self.python(), "-m", "pytest", folder, "-ra", "--tb=short", "-p", "no:cacheprovider",
                       f"--basetemp={scratch}/t", f"--junitxml={report}"]
            done = self.run(stage, command, timeout_s, env)
        return done, report


def end_group(program: subprocess.Popen) -> None:
    """Ends what is left of a program's process group: SIGTERM and time to drain, where the program itself still runs;
    SIGKILL to what does not go, and to what a program left behind when it ended."""
    if not signal_group(program.pid, signal.SIGTERM):
        return
    try:
        program.wait(TERM_S)
    except subprocess.TimeoutExpired:
        pass
    signal_group(program.pid, signal.SIGKILL)
    program.wait()


def signal_group(group: int, number: int) -> bool:
    """False when nobody is left in the group."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def interesting(output: str) -> str:
    """From a build's output what the compiler or CMake complained of, without ninja's progress and command lines; the
    whole output where it has neither."""
    kept, keeping, skip_next = [], False, False
    for line in output.splitlines():
        if skip_next:  # ninja repeats the command, a screen of flags
            skip_next = False
        elif line.startswith("FAILED: "):
            keeping = skip_next = True
        elif PROGRESS.match(line):
            keeping = False
        elif keeping or line.startswith("CMake Error"):
            keeping = True
            kept.append(line)
    cut = [f"… and {len(kept) - COMPLAINT_LINES} more lines"] if len(kept) > COMPLAINT_LINES else []
    return "\n".join(kept[:COMPLAINT_LINES] + cut) or output
