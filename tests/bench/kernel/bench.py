#!/usr/bin/env python3
"""tests/bench/kernel/bench.py: does the reconcile kernel take a backlog in linear time and memory?

Runs nodag-bench-kernel (bench_kernel.c says how it measures) with 1,000 and with 100,000 keys, for each thing that may
become of them, and compares 100,000 with 100 times 1,000. Times are processor time of the one thread, so that what
else runs on the machine counts less; they grow a little faster than the work, because 1,000 keys fit into the
processor's caches. So valgrind, where it is installed, counts instructions, too: those must grow exactly.

Invariant: all numbers of a ratio come from this run; a mode's small and large rounds follow one another.
"""
from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import report  # noqa: E402

DEADLINE_S = 240  # Of one process. A kernel that grew with the square would take minutes.
SMALL, LARGE = 1_000, 100_000
TIMES = LARGE // SMALL
FEW = 100  # Keys that share as many events as LARGE keys have.
AIM_TIME = 3.0  # Caches cost up to 2; n·√n would give 10, the square 100.
AIM_WORK = 1.1
AIM_MEMORY = 1.1
MODES = {"drain": "all are queued, then each is done at once",
         "retry": "each is put off once, by way of `pending`, and then done",
         "behind": "one partition's tables come late, the other keys run",
         "boot": "the tables of all partitions come late",
         "stream": "keys run while records come, nothing waits"}
# The least that must be kept of a key with one event: key, note, event id, offset.
TEXTS_BYTES = len("700000000#1000") + len("an-organisation/repository-10") + len("72d3162e-cc78-11e3-0000-0123456789ab") + 8


def run(program: Path, rounds: int, mode: str, keys: int, events_per_key: int = 1) -> list[dict]:
    """The rounds of one mode. Raises Failed with what the program says."""
    command = [program, "--mode", mode, "--keys", keys, "--events-per-key", events_per_key, "--rounds", rounds]
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=DEADLINE_S,
                              check=False)
    except subprocess.TimeoutExpired:
        raise report.Failed(f"{mode} of {keys} keys took longer than {DEADLINE_S} s") from None
    if done.returncode != 0:
        raise report.Failed(f"{mode} of {keys} keys: {done.stderr.strip()[-400:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def seconds(rounds: list[dict]) -> list[float]:
    return [one["intake_s"] + one["drain_s"] for one in rounds]


def middle(values: list[float]) -> float:
    return report.spread(values)["value"]


def growth(small: list[float], large: list[float]) -> list[float]:
    """Each large round through TIMES × the middle of the small ones."""
    return [value / (TIMES * middle(small)) for value in large]


def measure_growth(found: report.Report, program: Path, small_rounds: int, large_rounds: int) -> dict:
    """Time of each mode at both sizes; the large rounds by mode."""
    large_by_mode = {}
    for mode, meaning in MODES.items():
        report.say(f"kernel: {mode} …")
        small = run(program, small_rounds, mode, SMALL)
        large = large_by_mode[mode] = run(program, large_rounds, mode, LARGE)
        for keys, rounds in ((SMALL, small), (LARGE, large)):
            found.figure("time a key", "µs of CPU", [value / keys * 1e6 for value in seconds(rounds)], who=f"{keys:,} keys",
                         at=mode)
        found.ratio(f"growth of time, {mode}", f"{LARGE:,} keys through {TIMES} × {SMALL:,} keys (linear = 1)",
                    growth(seconds(small), seconds(large)), AIM_TIME, more_is_better=False)
        found.note(f"{mode}: {meaning}.")
        if mode == "drain":
            measure_memory(found, small, large)
    return large_by_mode


def measure_memory(found: report.Report, small: list[dict], large: list[dict]) -> None:
    """The heap with the whole backlog in memory."""
    for keys, rounds in ((SMALL, small), (LARGE, large)):
        found.figure("heap of a backlog", "MB", middle([one["heap_bytes"] for one in rounds]) / 1e6, who=f"{keys:,} keys",
                     at="all queued")
    found.ratio("growth of memory", f"heap of {LARGE:,} keys through {TIMES} × that of {SMALL:,} (linear ≤ 1)",
                growth([one["heap_bytes"] for one in small], [one["heap_bytes"] for one in large]), AIM_MEMORY,
                more_is_better=False)
    a_key = (middle([one["heap_bytes"] for one in large]) - middle([one["heap_bytes"] for one in small])) / (LARGE - SMALL)
    found.figure("heap for one more key", "bytes", a_key)
    found.ratio("heap for one more key", f"the {TEXTS_BYTES} bytes of its key, note, event id and offset alone",
                a_key / TEXTS_BYTES)


def instructions(program: Path, keys: int) -> int:
    """Executed while the loop runs, all of `drain`: what the kernel and the bus in memory do, without the filling."""
    with tempfile.TemporaryDirectory(prefix="nodag-bench-") as folder:
        command = ["valgrind", "--tool=callgrind", "--toggle-collect=loop_step", f"--callgrind-out-file={folder}/out",
                   program, "--mode", "drain", "--keys", keys]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=DEADLINE_S,
                              check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        raise report.Failed(f"callgrind of {keys} keys: {done.stderr.strip()[-400:]}")
    return int(found.group(1))


def measure_work(found: report.Report, program: Path) -> None:
    """The same growth, counted instead of timed."""
    if not shutil.which("valgrind"):
        found.note("Instructions were not counted: valgrind is not installed.")
        return
    report.say("kernel: counting instructions …")
    small, large = instructions(program, SMALL), instructions(program, LARGE)
    for keys, count in ((SMALL, small), (LARGE, large)):
        found.figure("instructions a key", "", count / keys, who=f"{keys:,} keys", at="drain")
    found.ratio("growth of instructions, drain", f"{LARGE:,} keys through {TIMES} × {SMALL:,} keys (linear ≤ 1)",
                large / (TIMES * small), AIM_WORK, more_is_better=False)


def measure_limits(found: report.Report, program: Path, rounds: int, large: dict) -> None:
    """Beside an owner that only counts; and many events of few keys."""
    counted = seconds(run(program, rounds, "count", LARGE))
    found.figure("time a key", "µs of CPU", [value / LARGE * 1e6 for value in counted], who=f"{LARGE:,} keys",
                 at="count (no kernel)")
    found.note("count: the same records on the same bus, whose owner only counts them.")
    found.ratio("events a second, stream", "an owner on the same bus in memory that only counts",
                middle(counted) / middle(seconds(large["stream"])))
    same = run(program, rounds, "drain", FEW, LARGE // FEW)
    found.figure("time an event", "µs of CPU", [value / LARGE * 1e6 for value in seconds(same)],
                 at=f"{LARGE:,} events of {FEW} keys")
    found.figure("runs a key", "", [one["runs"] / FEW for one in same], at=f"{LARGE:,} events of {FEW} keys")
    found.ratio("an event of a key that is queued already", f"an event of {LARGE:,} different keys",
                middle(seconds(same)) / middle(seconds(large["drain"])), 1.0, more_is_better=False)


def measure(options: argparse.Namespace) -> report.Report:
    program = report.need_program(options.build / "bench" / "nodag-bench-kernel")
    small_rounds, large_rounds = (20, 2) if options.quick else (50, 5)
    found = report.Report("kernel")
    large = measure_growth(found, program, small_rounds, large_rounds)
    measure_limits(found, program, large_rounds, large)
    if not options.quick:
        measure_work(found, program)
    return found


if __name__ == "__main__":
    sys.exit(report.main("kernel", __doc__, measure))
