#!/usr/bin/env python3
"""tests/bench/historian/bench.py: does the historian fold a million events in linear time and bounded memory?

Runs nodag-bench-historian (bench_historian.c says how it measures) with 10,000, 100,000 and 1,000,000 events of ten to
an issue, and starts with 10,000 and 100,000 issues on the topic. Times are processor time of the one thread, without
the generator's share; memory is the peak of the process.

Invariant: all numbers of a ratio come from this run; rounds of all sizes follow one another.
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import report  # noqa: E402

DEADLINE_S = 900  # Of one process; a minute is usual for a million events.
SIZES = (10_000, 100_000, 1_000_000)
QUICK_SIZES = (10_000, 30_000)
STARTS = (10_000, 100_000)
QUICK_STARTS = (1_000, 10_000)
ROUNDS = 3
AIM_GROWTH = 1.3  # Time of an event: caches cost a little as rows become many.
AIM_MEMORY = 1.1  # Memory of a row: tables double, so that a size may be luckier than another.
AIM_ROW = 400  # Bytes for an issue with three labels and who put them there.
LABELS = 3


def run(program: Path, **options) -> dict:
    """One round. Raises Failed with what the program says."""
    command = [str(program), *(text for name, value in options.items() for text in (f"--{name}", str(value)))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    except subprocess.TimeoutExpired:
        raise report.Failed(f"{command[1:]} took longer than {DEADLINE_S} s") from None
    if done.returncode != 0:
        raise report.Failed(f"{command[1:]}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout)


def measure_fold(found: report.Report, program: Path, sizes: tuple, rounds: int) -> None:
    """Events a second, and what a million of them leave in memory."""
    costs: dict[int, list[float]] = {}
    rows: dict[int, float] = {}
    for size in sizes:
        report.say(f"historian: {size:,} events …")
        costs[size] = []
        for _ in range(rounds if size < max(SIZES) else 1):
            made, folded = run(program, mode="make", events=size), run(program, mode="fold", events=size)
            costs[size].append((folded["cpu_s"] - made["cpu_s"]) / size)
        rows[size] = folded["row_bytes"] / folded["issues"]
        at = f"{size:,} events"
        found.figure("events a second of CPU", "", [1 / cost for cost in costs[size]], at=at)
        found.figure("peak of memory", "MB", folded["peak_bytes"] / 1e6, at=at)
        found.figure("memory of an issue", "bytes", rows[size], at=at)
    small, large = sizes[0], sizes[-1]
    base = report.spread(costs[small])["value"]
    found.ratio("growth of time", f"an event of {large:,} through one of {small:,} (linear = 1)",
                [cost / base for cost in costs[large]], AIM_GROWTH, more_is_better=False)
    found.ratio("growth of memory", f"an issue's row after {large:,} events through that after {small:,} (linear = 1)",
                rows[large] / rows[small], AIM_MEMORY, more_is_better=False)
    found.ratio("memory of an issue", f"its row through the aim of {AIM_ROW} bytes", rows[large] / AIM_ROW, 1.0,
                more_is_better=False)
    found.note(f"Each issue has ten events of about 8 KB (opened, {LABELS} times labeled, comments, edited, closed); each event makes "
               "a record, as if it came alone.")


def measure_start(found: report.Report, program: Path, sizes: tuple, rounds: int) -> None:
    """A start: the topic `issues` is read."""
    costs: dict[int, list[float]] = {}
    for size in sizes:
        report.say(f"historian: a start with {size:,} issues …")
        costs[size] = []
        for _ in range(rounds):
            made = run(program, mode="make", events=0, issues=size)
            costs[size].append((run(program, mode="boot", issues=size)["cpu_s"] - made["cpu_s"]) / size)
        found.figure("issues a second of CPU at a start", "", [1 / cost for cost in costs[size]], at=f"{size:,} issues")
    base = report.spread(costs[sizes[0]])["value"]
    found.ratio("growth of a start", f"an issue of {sizes[-1]:,} through one of {sizes[0]:,} (linear = 1)",
                [cost / base for cost in costs[sizes[-1]]], AIM_GROWTH, more_is_better=False)
    found.note("A start reads what the topic still has: one record for each issue once it is compacted, however many events there were.")


def measure(options: argparse.Namespace) -> report.Report:
    found = report.Report("historian")
    program = report.need_program(options.build / "bench" / "nodag-bench-historian")
    measure_fold(found, program, QUICK_SIZES if options.quick else SIZES, 1 if options.quick else ROUNDS)
    measure_start(found, program, QUICK_STARTS if options.quick else STARTS, 1 if options.quick else ROUNDS)
    return found


if __name__ == "__main__":
    sys.exit(report.main("historian", __doc__, measure))
