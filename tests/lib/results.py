"""What a stage came to, and how it is read from the reports of the programs that ran the tests.

Read are: JUnit files of ctest and pytest, the lines that cmocka prints inside a ctest report (one executable holds many
tests, and each counts), and the last line `N passed, N failed, N skipped` of our own programs.

Invariant: a program that failed never counts as passed, whatever its report says; see `Result.settle`.
"""
from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field
from pathlib import Path

OUTPUT_LINES = 60  # Of a failing test, at the end of the run; all of it is in the log.
CMOCKA_LINE = re.compile(r"^\[(       OK|  FAILED |  SKIPPED) ?\] (\S+)\s*$", re.MULTILINE)
CMOCKA_GOOD_NEWS = re.compile(r"^\[(?: RUN      |       OK )\].*\n", re.MULTILINE)
SKIP_LINE = re.compile(r"^\s*(?:[\w./-]+: )?skip(?:ped)?:? +(\S.*)$", re.MULTILINE)
UNITTEST_TOTAL = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
UNITTEST_END = re.compile(r"^(?:OK|FAILED)(?: \((.*)\))?$", re.MULTILINE)
TOTALS = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?")


@dataclass
class Result:
    """One stage. `failures` are (test, output), `skips` are (test or nothing, reason)."""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    skips: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def skip(cls, reason: str) -> "Result":
        """The whole stage could not run."""
        return cls(skipped=1, skips=[("", reason)])

    @classmethod
    def fail(cls, what: str, output: str) -> "Result":
        return cls(failed=1, failures=[(what, last_lines(output))])

    def add(self, other: "Result") -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.skips += other.skips

    def settle(self, status: int, output: str) -> "Result":
        """Adds a failure where the program failed and its report does not say so, or where nothing ran at all."""
        if status != 0 and self.failed == 0:
            self.add(Result.fail(f"exit status {status}, though no test is reported as failed", output))
        elif self.passed + self.failed + self.skipped == 0:
            self.add(Result.fail("no test ran", output))
        return self

    def __str__(self) -> str:
        parts = [(self.passed, "passed"), (self.failed, "failed"), (self.skipped, "skipped")]
        return ", ".join(f"{count} {word}" for count, word in parts if count) or "nothing ran"


def last_lines(text: str, count: int = OUTPUT_LINES) -> str:
    lines = text.rstrip().splitlines()
    cut = [f"… ({len(lines) - count} lines before these are in the log)"] if len(lines) > count else []
    return "\n".join(cut + lines[-count:])


def read_junit(path: Path) -> Result:
    """The cases of a JUnit file. A missing or broken file is an empty result: settle() makes that a failure."""
    result = Result()
    try:
        cases = list(xml.parse(path).getroot().iter("testcase"))
    except (OSError, xml.ParseError):
        return result
    for case in cases:
        result.add(read_case(case))
    return result


def read_case(case: xml.Element) -> Result:
    name = "::".join(part for part in (case.get("classname"), case.get("name")) if part and part != case.get("name"))
    name = f"{name}::{case.get('name')}" if name else case.get("name", "?")
    output = case.findtext("system-out") or ""
    wrong = [child for child in case if child.tag in ("failure", "error")]
    skipped = case.find("skipped")
    if wrong:
        text = "\n".join(child.text or child.get("message") or "" for child in wrong)
        return read_cmocka(name, f"{output}\n{text}".strip(), True)
    if skipped is not None or case.get("status") in ("notrun", "disabled"):
        reason = skip_line(output) or (skipped.get("message") if skipped is not None else None) or "not run"
        return Result(skipped=1, skips=[(name, reason)])
    return read_cmocka(name, output, False)


def read_cmocka(name: str, output: str, failed: bool) -> Result:
    """One executable of ctest, or one test of anything else: the tests that its output names, else one."""
    names: dict[str, set] = {"OK": set(), "FAILED": set(), "SKIPPED": set()}
    for word, test in CMOCKA_LINE.findall(output):
        names[word.strip()].add(test)
    result = Result(passed=len(names["OK"] - names["FAILED"]), skipped=len(names["SKIPPED"]))
    result.skips = [(f"{name}: {test}", skip_line(output) or "the test says so") for test in sorted(names["SKIPPED"])]
    if failed:
        result.failed = max(1, len(names["FAILED"]))
        listed = f" ({', '.join(sorted(names['FAILED']))})" if names["FAILED"] else ""
        result.failures = [(name + listed, last_lines(CMOCKA_GOOD_NEWS.sub("", output)))]
    elif result.passed + result.skipped == 0:
        result.passed = 1
    return result


def skip_line(output: str) -> str:
    """The reason in a line `skipped: REASON` of a program's output, or nothing."""
    found = SKIP_LINE.search(output)
    return found.group(1).strip() if found else ""


def read_totals(name: str, output: str) -> Result:
    """The last `N passed, N failed, N skipped` of one of our own programs, or the end of a report of Python's unittest,
    with the lines `skip…` as reasons."""
    found = TOTALS.findall(output)
    if found:
        passed, failed, skipped = (int(count or 0) for count in found[-1])
    elif UNITTEST_TOTAL.search(output):
        passed, failed, skipped = read_unittest(output)
    else:
        return Result()
    result = Result(passed, failed, skipped)
    if failed:
        result.failures = [(name, last_lines(output))]
    result.skips = [("", reason.strip()) for reason in SKIP_LINE.findall(output)[:skipped]]
    return result


def read_unittest(output: str) -> tuple[int, int, int]:
    """Passed, failed and skipped by `Ran 8 tests in …` and `FAILED (failures=1, errors=2, skipped=1)`."""
    ran = sum(int(count) for count in UNITTEST_TOTAL.findall(output))
    counts: dict[str, int] = {}
    for ending in UNITTEST_END.findall(output):
        for word, count in re.findall(r"(\w+)=(\d+)", ending):
            counts[word] = counts.get(word, 0) + int(count)
    failed, skipped = counts.get("failures", 0) + counts.get("errors", 0), counts.get("skipped", 0)
    return max(0, ran - failed - skipped), failed, skipped
