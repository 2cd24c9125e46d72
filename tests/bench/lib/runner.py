"""Runs the benchmarks and prints what they found, with the machine's description. Called by tests/bench/run.

Design: a benchmark is a folder of tests/bench with a bench.py that keeps the protocol of report.py; nothing here knows
what they measure. They run one after the other, because each wants the machine for itself. stdout is the result, stderr
tells what is going on.

Invariants: every benchmark has a deadline and a process group of its own, which is gone when it has ended; whether an
aim is met never changes the exit status: that is for people to judge.
"""
from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "lib")]
import machine  # noqa: E402
import report  # noqa: E402
from context import Context, Failure, end_group  # noqa: E402

PRESET, TARGETS = "release", "bench_targets"
BUILD_S = 1800
BENCH_S = 5400
FIRST = ("ingest", "labeler", "kernel", "classifier")  # As they are read; others follow by name.
SKIP_MARK = "skipped: "

EPILOG = """\
examples:
  tests/bench/run                    everything, on a machine that does nothing else
  tests/bench/run ingest --quick     a look whether it works
  tests/bench/run --json > found.json
  tests/bench/ingest/bench.py --help what one benchmark can be told besides (by --build it finds another build)

Figures are the median of several rounds, with (least–largest). Ratios are computed within a round, against a limit or a
rival that was measured in the same run; where there is an aim, it is said whether it is met. Absolute figures belong to
the machine; compare ratios.

The exit status is 0 when every benchmark ran or said why it cannot run here (a data set or a program is missing), 1 when
one failed, 2 for a wrong command line, 130 after Ctrl-C. Missing Debian packages are installed first, as tests/run does.
"""


def find_benches() -> dict[str, Path]:
    """Name and bench.py of each, in their order."""
    found = {path.parent.name: path for path in sorted(HERE.parent.glob("*/bench.py"))}
    return {name: found[name] for name in [*(name for name in FIRST if name in found),
                                           *(name for name in found if name not in FIRST)]}


def first_line(path: Path) -> str:
    """What a benchmark says of itself in the first line of its head: the text after the colon."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith('"""'):
            return line.strip('"').partition(": ")[2]
    return ""


def read_arguments(argv: list[str], benches: dict[str, Path]) -> argparse.Namespace:
    width = max(map(len, benches), default=0)
    table = "\n".join(f"  {name:{width}}  {first_line(path)}" for name, path in benches.items())
    parser = argparse.ArgumentParser(prog="tests/bench/run", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Measures nodag against limits and rivals on this machine.\n\n"
                                     f"benchmarks:\n{table}", epilog=EPILOG)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks to run; default: all")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--quick", action="store_true", help="short rounds: shows that it works, measures little")
    parser.add_argument("--list", action="store_true", help="name the benchmarks, one a line")
    parser.add_argument("--build", type=Path, metavar="DIR", help="measure this release build; nothing is built then")
    parser.add_argument("--no-install", action="store_true", help="do not look for missing Debian packages")
    options = parser.parse_args(argv)
    unknown = [name for name in options.names if name not in benches]
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(benches)}")
    return options


def build() -> Path:
    """The release build with the benchmarks' programs. Raises Failure with what the compiler said."""
    report.say("building the release build")
    context = Context(PRESET, len(os.sched_getaffinity(0)), 0, 0)
    context.build(BUILD_S)
    return context.build(BUILD_S, PRESET, TARGETS)


def run_bench(path: Path, folder: Path, quick: bool) -> dict:
    """What a benchmark printed; or {"name", "skipped": why} or {"name", "failed": why}."""
    name, said = path.parent.name, []
    command = [sys.executable, str(path), "--json", "--build", str(folder)] + (["--quick"] if quick else [])
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, cwd=ROOT, start_new_session=True)
    listener = threading.Thread(target=listen, args=(program.stderr, said))
    listener.start()
    try:
        output = read_output(program)
    except subprocess.TimeoutExpired:
        return {"name": name, "failed": f"it took more than {BENCH_S} s"}
    finally:
        end_group(program)
        listener.join()
    if program.returncode == report.EXIT_SKIPPED:
        return {"name": name, "skipped": (said or ["it gave no reason"])[-1].removeprefix(SKIP_MARK)}
    if program.returncode != 0:
        return {"name": name, "failed": "\n".join(said[-20:]) or f"exit status {program.returncode}"}
    try:
        return report.Report.from_object(json.loads(output)).as_object()
    except (ValueError, TypeError, KeyError) as error:
        return {"name": name, "failed": f"what it printed is not as report.py says: {error!r}"}


def read_output(program: subprocess.Popen) -> str:
    """All of stdout, once the program has ended; stderr belongs to `listen`. Raises TimeoutExpired."""
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(program.stdout.read()), daemon=True)
    reader.start()
    program.wait(BENCH_S)
    end_group(program)  # what it left behind would keep stdout open
    reader.join()
    return read[0]


def listen(stream, said: list[str]) -> None:
    """Passes on what a benchmark tells of its progress, and keeps it."""
    for line in stream:
        said.append(line.rstrip("\n"))
        report.say(f"  {said[-1]}")


def show(found: dict) -> None:
    """One benchmark, for people."""
    print(f"\n=== {found['name']} ===", flush=True)
    if "skipped" in found or "failed" in found:
        kind = "skipped" if "skipped" in found else "failed"
        print(f"\n{kind}: {found[kind]}", flush=True)
    else:
        print(report.Report.from_object(found).as_text(), flush=True)


def main(argv: list[str]) -> int:
    benches = find_benches()
    options = read_arguments(argv, benches)
    if options.list:
        print("\n".join(benches))
        return 0
    described = machine.describe()  # before the build, which makes a load of its own
    try:
        folder = options.build.resolve() if options.build else build()
    except Failure as failure:
        report.say(f"{failure.what}\n{failure.output}")
        return 1
    if not options.json:
        print("\n".join(machine.lines(described)), flush=True)
    results = []
    for name in options.names or benches:
        report.say(f"{name} …")
        results.append(run_bench(benches[name], folder, options.quick))
        if not options.json:
            show(results[-1])
    if options.json:
        print(json.dumps({"machine": described, "quick": options.quick, "benches": results}, indent=1))
    return 1 if any("failed" in found for found in results) else 0


def interrupt(number, frame) -> None:
    """SIGTERM ends a run as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
