"""The stages of tests/run, in their order: one table and one small function each.

A stage gets the Context and its deadline, and returns a Result. It raises Failure when it cannot go on. A program of
the tree that tests run through (sim, contract) prints `N passed, N failed, N skipped` as its last line, and a line
`skipped: REASON` for each skip; exit status 77 means that the whole of it was skipped.

Tests find what they run by the environment: NODAG_BIN (the executables), NODAG_BUILD (the build folder), NODAG_CACHE.
"""
from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from context import LOGS, Context, Done, Failure
from results import Result, last_lines, read_junit, read_totals, skip_line

EXIT_SKIPPED = 77  # as in automake's and ctest's convention
UNIT_TEST_S = 120  # one executable; with sanitizers they take a second or two
# Preset and target; gcc with sanitizers was built for the unit tests already.
ALSO_BUILT = (("clang", "all"), ("release", "all"), ("release", "bench_targets"))
LIBRARIES = ("tests/lib", "tests/bench/lib")  # Python that tests and benchmarks stand on
LEFT_OUT = re.compile(r"no library (\S+) for (\S+): left out")  # tests/unit/CMakeLists.txt says so
LEFT_OUT_OF_FUZZ = re.compile(r"no library (\S+) for the fuzz target (\S+): left out")  # tests/fuzz/CMakeLists.txt
SIM_NAMES = ("nodag-sim", "sim")
FUZZ_PRESET = "fuzz"
FUZZ_INPUT_BYTES = 16384  # what parsers do wrong shows on small inputs, and these run faster
FUZZ_ONE_S = 10  # one input; more is a defect too
FUZZ_MEMORY_MB = 1024  # likewise
FUZZ_MARGIN_S = 120  # for start, reading what was learnt, and a report


@dataclass(frozen=True)
class Stage:
    """One line of the table. `folder` must hold something, or the stage is skipped."""
    name: str
    what: str
    timeout_s: int
    run: Callable[[Context, int], Result]
    folder: str = ""
    by_default: bool = True  # else it runs only where the command line names it


def run_check(context: Context, timeout_s: int) -> Result:
    done = context.run("check", [sys.executable, "tests/check/run"], timeout_s)
    result = read_totals("tests/check/run", done.output)
    if result.failed:
        result.failures = [(name, text) for name, text in failed_checks(done.output)]
    result.settle(done.status, done.output)
    for folder in LIBRARIES:
        done = context.run("check-lib", [sys.executable, "-m", "unittest", "discover", "-s", folder], timeout_s)
        result.add(read_totals(folder, done.output).settle(done.status, done.output))
    return result


def failed_checks(output: str) -> list[tuple[str, str]]:
    """Each `FAIL  NAME …` with the indented lines below it."""
    found = re.findall(r"^FAIL +(\S+) +(.*\n(?: {4,}.*\n)*)", output, re.MULTILINE)
    return [(name, last_lines(text)) for name, text in found]


def run_unit(context: Context, timeout_s: int) -> Result:
    folder = context.build(timeout_s)
    report = LOGS / "unit.xml"
    report.unlink(missing_ok=True)
    done = context.run("unit", ["ctest", "--test-dir", folder, "-j", context.jobs, "--no-tests=error", "--timeout",
                                UNIT_TEST_S, "--output-junit", report, "--output-on-failure", "-LE", "sim",
                                "--test-output-size-passed", 1 << 20, "--test-output-size-failed", 1 << 20], timeout_s)
    result = read_junit(report).settle(done.status, done.output)
    for library, test in LEFT_OUT.findall(context.configured[context.preset]):
        result.add(Result(skipped=1, skips=[(test, f"CMake left it out: there is no library {library}")]))
    return result


def run_sandbox(context: Context, timeout_s: int) -> Result:
    done, report = context.pytest("sandbox", "tests/sandbox", timeout_s)
    return read_junit(report).settle(done.status, done.output)


def run_sim(context: Context, timeout_s: int) -> Result:
    folder = context.build(timeout_s)
    found = [path for name in SIM_NAMES for path in folder.rglob(name) if path.is_file() and os.access(path, os.X_OK)]
    if not found:
        raise Failure(f"no executable named {' or '.join(SIM_NAMES)} below {folder}",
                      "tests/sim/CMakeLists.txt makes it")
    done = context.run("sim", [found[0], "--seeds", context.seeds], timeout_s)
    return read_own("simulation", done)


def run_integration(context: Context, timeout_s: int) -> Result:
    done, report = context.pytest("integration", "tests/integration", timeout_s, context.daemons(timeout_s))
    return read_junit(report).settle(done.status, done.output)


def run_contract(context: Context, timeout_s: int) -> Result:
    if not shutil.which("npm"):
        return Result.skip("npm is not installed (deploy/local/install --for test)")
    done = context.run("contract", [sys.executable, "tests/contract/run.py"], timeout_s, context.daemons(timeout_s))
    return read_own("contract", done)


def run_build(context: Context, timeout_s: int) -> Result:
    result = Result()
    for preset, target in ALSO_BUILT:
        try:
            context.build(timeout_s, preset, target)
            result.passed += 1
        except Failure as failure:
            result.add(Result.fail(failure.what, failure.output))
    return result


def run_fuzz(context: Context, timeout_s: int) -> Result:
    """Each fuzz target for context.seconds, with its corpus and what it found in earlier runs."""
    if not shutil.which("clang"):
        return Result.skip("clang is not installed (deploy/local/install --for test)")
    folder = context.build(timeout_s, FUZZ_PRESET, "fuzz_targets")
    sources = sorted((context.root / "tests" / "fuzz").glob("*_fuzz.c"))
    result = Result()
    for source in sources:
        result.add(fuzz(context, folder, source.stem))
    for library, target in LEFT_OUT_OF_FUZZ.findall(context.configured[FUZZ_PRESET]):
        result.add(Result(skipped=1, skips=[(target, f"CMake left it out: there is no library {library}")]))
    return result.settle(0, "no fuzz target in tests/fuzz")


def fuzz(context: Context, folder: Path, name: str) -> Result:
    """One target. What it learns stays in the build folder; what breaks it is reported with the way to keep it."""
    executable, corpus = folder / "fuzz" / name, context.root / "tests" / "fuzz" / "corpus" / name.removesuffix("_fuzz")
    learnt, crashes = folder / "learnt" / name, folder / "crashes" / name
    if not executable.exists():
        return Result()  # CMake has left it out, and says so
    for made in (learnt, crashes):
        made.mkdir(parents=True, exist_ok=True)
    before = set(crashes.iterdir())
    done = context.run(f"fuzz-{name}", [executable, f"-max_total_time={context.seconds}", f"-timeout={FUZZ_ONE_S}",
                                        f"-max_len={FUZZ_INPUT_BYTES}", f"-rss_limit_mb={FUZZ_MEMORY_MB}",
                                        "-print_final_stats=1", f"-artifact_prefix={crashes}/", learnt, corpus],
                       context.seconds + FUZZ_MARGIN_S)
    if done.status == 0:
        return Result(passed=1)
    found = sorted(set(crashes.iterdir()) - before)
    keep = [f"keep it as a regression test:  cp {path.relative_to(context.root)} {corpus.relative_to(context.root)}/"
            for path in found]
    return Result.fail(f"{name}, exit status {done.status}", "\n".join([last_lines(done.output), *keep]))


def read_own(name: str, done: Done) -> Result:
    """The result of one of our own programs."""
    if done.status == EXIT_SKIPPED:
        return Result.skip(skip_line(done.output) or last_lines(done.output, 1) or "it gave no reason")
    return read_totals(name, done.output).settle(done.status, done.output)


STAGES = [
    Stage("check", "policy as programs: layers, doc comments, lengths, banned calls, layout (tests/check)", 300,
          run_check, "tests/check"),
    Stage("unit", "unit tests of every room under address and undefined-behaviour sanitizers", 900, run_unit,
          "tests/unit"),
    Stage("sandbox", "the sandbox forge by itself", 180, run_sandbox, "tests/sandbox"),
    Stage("sim", "kernel and reactors in one process over an in-memory world, from seeds", 900, run_sim, "tests/sim"),
    Stage("integration", "the real daemons on a real Apache Kafka and the sandbox forge", 3000, run_integration,
          "tests/integration"),
    Stage("contract", "what nodag sends and the sandbox answers, held against GitHub's OpenAPI description", 600,
          run_contract, "tests/contract"),
    Stage("build", "clang with -Werror, the release build, and the benchmarks' programs", 900, run_build),
    Stage("fuzz", "every fuzz target for --seconds each; their corpora are replayed by unit", 900, run_fuzz,
          "tests/fuzz", by_default=False),
]


def has_tests(root: Path, folder: str) -> bool:
    """Whether the folder holds anything that could be run; `requirements.txt` alone is nothing."""
    return not folder or any(path.suffix in (".py", ".c", "") and path.is_file() for path in (root / folder).rglob("*"))
