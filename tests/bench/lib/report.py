"""What a benchmark reports, and how: figures, ratios with their aims, notes; as a JSON object or as a table for people.

The protocol between tests/bench/run and a benchmark:

    tests/bench/NAME/bench.py [--build DIR] [--json] [--quick]

DIR is a release build (default build/release) with the daemons in DIR/bin and the benchmarks' own programs (made by
add_executable() in tests/bench/NAME/CMakeLists.txt, see tests/bench/CMakeLists.txt) in DIR/bench. --quick is for a look whether it works: seconds, not
minutes. With --json stdout is one object, else text for people; what takes time is told on stderr.

    {"name": "ingest",
     "figures": [{"name", "value", "unit", "who", "at", "low", "high"}],      who: the contestant; at: the circumstance
     "ratios":  [{"name", "value", "of", "aim", "more_is_better", "met", "low", "high"}],        aim, met: null: none
     "notes":   ["…"]}

Exit status: 0 it ran, whatever the aims; 77 it could not run here and the last line on stderr is `skipped: REASON`;
anything else: it failed, and stderr says why. The machine is described once, by tests/bench/run.

A bench.py is: `def measure(options) -> Report: …` and `sys.exit(report.main("NAME", __doc__, measure))`.

Invariants: every ratio names what it is a ratio of, measured in the same run; `low` and `high` are the least and the
largest of the rounds, `value` their median.
"""
from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Callable, Iterable

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "deploy" / "local" / "lib"))
from proc import Failed  # noqa: E402

EXIT_SKIPPED = 77  # as in tests/lib/stages.py
EXIT_INTERRUPTED = 130
DIGITS = 3  # Significant ones: rounds differ by more.


class Skipped(Exception):
    """The benchmark cannot run here; the text says what is missing and how to get it."""


@dataclass(frozen=True)
class Figure:
    """One measured number. `who` was measured (empty: nodag alone), `at` what circumstance (empty: there is one)."""
    name: str
    value: float
    unit: str
    who: str = ""
    at: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Ratio:
    """nodag's number through another's, or a number against its aim. `of` says which two."""
    name: str
    value: float
    of: str
    aim: float | None = None
    more_is_better: bool = True
    low: float | None = None
    high: float | None = None

    @property
    def met(self) -> bool | None:
        if self.aim is None:
            return None
        return self.value >= self.aim if self.more_is_better else self.value <= self.aim


def spread(values: Iterable[float]) -> dict:
    """value, low and high of rounds: keyword arguments of Figure and Ratio."""
    values = list(values)
    return {"value": statistics.median(values), "low": min(values), "high": max(values)}


@dataclass
class Report:
    """Everything that one benchmark has to say, in the order in which it should be read."""
    name: str
    figures: list[Figure] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def figure(self, name: str, unit: str, values: float | Iterable[float], who: str = "", at: str = "") -> None:
        """Adds a figure: one number, or those of several rounds."""
        values = [values] if isinstance(values, (int, float)) else list(values)
        numbers = spread(values) if len(values) > 1 else {"value": values[0]}
        self.figures.append(Figure(name, unit=unit, who=who, at=at, **numbers))

    def ratio(self, name: str, of: str, values: float | Iterable[float], aim: float | None = None,
              more_is_better: bool = True) -> None:
        """Adds a ratio: one number, or one for each round (computed within the round). `aim`: not worse than that."""
        values = [values] if isinstance(values, (int, float)) else list(values)
        numbers = spread(values) if len(values) > 1 else {"value": values[0]}
        self.ratios.append(Ratio(name, of=of, aim=aim, more_is_better=more_is_better, **numbers))

    def note(self, text: str) -> None:
        """Adds a sentence that a reader of the figures needs."""
        self.notes.append(text)

    def as_object(self) -> dict:
        return {"name": self.name, "figures": [asdict(figure) for figure in self.figures],
                "ratios": [{**asdict(ratio), "met": ratio.met} for ratio in self.ratios], "notes": self.notes}

    @classmethod
    def from_object(cls, found: dict) -> "Report":
        """The report that as_object() came from. Raises KeyError or TypeError for something else."""
        ratios = [{key: value for key, value in ratio.items() if key != "met"} for ratio in found["ratios"]]
        return cls(found["name"], [Figure(**figure) for figure in found["figures"]],
                   [Ratio(**ratio) for ratio in ratios], list(found["notes"]))

    def as_text(self) -> str:
        return "\n".join([*figure_lines(self.figures), *ratio_lines(self.ratios), *note_lines(self.notes)])


# -- text --------------------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (DIGITS - 1):
        return f"{value:,.0f}"
    return f"{value:.{DIGITS}g}"


def with_range(item: Figure | Ratio) -> str:
    if item.low is None:
        return number(item.value)
    return f"{number(item.value)} ({number(item.low)}–{number(item.high)})"


def unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def columns(rows: list[list[str]], indent: str = "  ") -> list[str]:
    """Rows as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [(indent + "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in
                                                            zip(row[1:], widths[1:]))])).rstrip() for row in rows]


def figure_lines(figures: list[Figure]) -> list[str]:
    """A table for each name: circumstances down, contestants across. Figures with neither make one list."""
    lines: list[str] = []
    for name in unique(figure.name for figure in figures if figure.who or figure.at):
        own = [figure for figure in figures if figure.name == name]
        whos, ats = unique(figure.who for figure in own), unique(figure.at for figure in own)
        cells = {(figure.at, figure.who): with_range(figure) for figure in own}
        unit = f", {own[0].unit}" if own[0].unit else ""
        lines += ["", *columns([[f"{name}{unit}", *(who or "nodag" for who in whos)],
                                *([f"  {at}", *(cells.get((at, who), "-") for who in whos)] for at in ats)], "")]
    plain = [figure for figure in figures if not figure.who and not figure.at]
    if plain:
        lines += ["", *columns([[figure.name, f"{with_range(figure)} {figure.unit}".strip()] for figure in plain], "")]
    return lines


def ratio_lines(ratios: list[Ratio]) -> list[str]:
    if not ratios:
        return []
    rows = [["ratios", "of", "value", "aim", ""]]
    for ratio in ratios:
        aim = "" if ratio.aim is None else f"{'≥' if ratio.more_is_better else '≤'} {number(ratio.aim)}"
        rows.append([f"  {ratio.name}", ratio.of, with_range(ratio), aim,
                     {None: "", True: "met", False: "not met"}[ratio.met]])
    return ["", *columns(rows, "")]


def note_lines(notes: list[str]) -> list[str]:
    return ["", *(f"- {note}" for note in notes)] if notes else []


# -- the command line of a benchmark -----------------------------------------------------------------------------------


def say(text: str) -> None:
    """Tells of what takes time."""
    print(text, file=sys.stderr, flush=True)


def parser_of(name: str, about: str) -> argparse.ArgumentParser:
    """The options of the protocol; a benchmark may add its own, with defaults."""
    parser = argparse.ArgumentParser(prog=f"tests/bench/{name}/bench.py", description=about,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", metavar="DIR",
                        help="a release build with the benchmarks' programs (default: build/release)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--quick", action="store_true", help="a short look whether it works; figures say little")
    return parser


def need_program(path: Path) -> Path:
    """The path, if the program is there. Raises Failed with what to do."""
    if not path.exists():
        raise Failed(f"{path} is not there: run tests/bench/run, which builds it, or name a release build by --build")
    return path


def interrupt(number, frame) -> None:
    """SIGTERM ends a benchmark as Ctrl-C does: what it started is ended, and its folders go."""
    raise KeyboardInterrupt


def main(name: str, about: str, measure: Callable[[argparse.Namespace], Report],
         parser: argparse.ArgumentParser | None = None) -> int:
    """Runs a benchmark by its command line; the exit status. `measure` raises Skipped or Failed, or returns a Report."""
    options = (parser or parser_of(name, about)).parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        report = measure(options)
    except Skipped as reason:
        say(f"skipped: {reason}")
        return EXIT_SKIPPED
    except Failed as failure:
        say(f"{name}: {failure}")
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    print(json.dumps(report.as_object(), indent=1) if options.json else report.as_text())
    return 0
