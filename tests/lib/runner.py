#!/usr/bin/env python3
"""Runs the stages and says how they ended. Called by tests/run, which has installed what is missing.

Output: one line for each stage with its time; then the output of each failing test; then each skip with its reason; and
as the very last line `N passed, N failed, N skipped`. Exit status 0 when tests ran and none failed, 1 when one failed
or none ran, 2 for a wrong command line, 130 after Ctrl-C.
"""
from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from context import LOGS, ROOT, Context, Failure  # noqa: E402
from results import Result  # noqa: E402
from stages import STAGES, Stage, has_tests  # noqa: E402

SEEDS = 1000  # Of the simulation, in a normal run.
SECONDS = 10  # For each fuzz target.
SKIPS_SHOWN = 50

EPILOG = """\
examples:
  tests/run                    everything: what a change must pass
  tests/run check unit         the fast part while writing
  tests/run --preset tsan unit the unit tests under the thread sanitizer
  tests/run --no-install sim --seeds 100000
  tests/run fuzz --seconds 3600

for one test:
  ctest --test-dir build/asan -R loop --output-on-failure
  tests/check/run layers docs

Missing Debian packages are installed first (as root; else the line to run is printed and the exit status is 2).
Third-party parts (Kafka, Python packages) are pinned and kept in $NODAG_CACHE, default ~/.cache/nodag.
Full output of every stage is in build/test-logs/STAGE.log. The last line is always `N passed, N failed, N skipped`.
"""


def read_arguments(argv: list[str]) -> argparse.Namespace:
    width = max(len(stage.name) for stage in STAGES)
    table = "\n".join(f"  {stage.name:{width}}  {stage.what}{'' if stage.by_default else ' (only where named)'}"
                      for stage in STAGES)
    parser = argparse.ArgumentParser(prog="tests/run", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description=f"Builds nodag and runs its tests.\n\nstages, in order:\n{table}",
                                     epilog=EPILOG)
    parser.add_argument("stages", nargs="*", metavar="STAGE",
                        help="which stages to run; default: all but those that run only where named")
    parser.add_argument("--list", action="store_true", help="name the stages, one a line")
    parser.add_argument("--preset", default="asan", help="CMake preset of the executables under test (default: asan)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds of the simulation (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=SECONDS,
                        help="how long each fuzz target runs (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)),
                        help="compilers and unit tests at once (default: the number of processors, %(default)s here)")
    parser.add_argument("--no-install", action="store_true", help="do not look for missing Debian packages")
    options = parser.parse_args(argv)
    if options.seconds < 1:
        parser.error("--seconds must be 1 or more")
    names = [stage.name for stage in STAGES]
    unknown = [name for name in options.stages if name not in names]
    if unknown:
        parser.error(f"no stage named {', '.join(unknown)}; there are: {', '.join(names)}")
    return options


def run_stage(context: Context, stage: Stage) -> Result:
    if not has_tests(ROOT, stage.folder):
        return Result.skip(f"nothing in {stage.folder} yet")
    try:
        return stage.run(context, stage.timeout_s)
    except Failure as failure:
        return Result.fail(failure.what, failure.output)
    except Exception:  # a defect of the runner itself must not hide the other stages
        return Result.fail("tests/lib is broken", traceback.format_exc())


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def report(results: dict[str, Result], seconds: float) -> Result:
    """Prints failures, skips and totals; the sum."""
    total = Result()
    for name, result in results.items():
        total.add(result)
        for what, output in result.failures:
            print(f"\n--- failed: {name}: {what}")
            print("\n".join("    " + line for line in output.splitlines()))
            if (LOGS / f"{name}.log").exists():
                print(f"    log: {(LOGS / name).relative_to(ROOT)}.log")
    skips = [(name, what, reason) for name, result in results.items() for what, reason in result.skips]
    if skips:
        print()
    for name, what, reason in skips[:SKIPS_SHOWN]:
        print(f"skipped: {name}: {what + ': ' if what else ''}{reason}")
    if len(skips) > SKIPS_SHOWN:
        print(f"skipped: … and {len(skips) - SKIPS_SHOWN} more, see {LOGS.relative_to(ROOT)}")
    print(f"\n{duration(seconds)}; logs in {LOGS.relative_to(ROOT)}")
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped", flush=True)
    return total


def main(argv: list[str]) -> int:
    options = read_arguments(argv)
    chosen = [stage for stage in STAGES if stage.name in options.stages or (stage.by_default and not options.stages)]
    if options.list:
        print("\n".join(stage.name for stage in STAGES))
        return 0
    shutil.rmtree(LOGS, ignore_errors=True)
    context = Context(options.preset, options.jobs, options.seeds, options.seconds)
    results: dict[str, Result] = {}
    began, interrupted = time.monotonic(), False
    width = max(len(stage.name) for stage in STAGES)
    for stage in chosen:
        print(f"{stage.name:{width}}  ", end="", flush=True)
        stage_began = time.monotonic()
        try:
            results[stage.name] = run_stage(context, stage)
        except KeyboardInterrupt:
            interrupted = True
            results[stage.name] = Result.fail("interrupted", "")
        print(f"{str(results[stage.name]):40} {duration(time.monotonic() - stage_began):>12}", flush=True)
        if interrupted:
            break
    total = report(results, time.monotonic() - began)
    if interrupted:
        return 130
    return 0 if total.failed == 0 and total.passed > 0 else 1


def interrupt(number, frame) -> None:
    """SIGTERM ends a run as Ctrl-C does: what was started is ended too."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    sys.exit(main(sys.argv[1:]))
