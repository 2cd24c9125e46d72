"""What the benchmarks share: the report, the numbers from /proc, the runner's dealings with a benchmark."""
import contextlib
import io
import json
import os
import sys
import tempfile
import textwrap
import threading
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))
import machine  # noqa: E402
import procfs  # noqa: E402
import report  # noqa: E402
import runner  # noqa: E402

STAT = "42 (a name) with) R 1 42 42 0 -1 4194304 1 2 3 4 250 50 7 8 20 0 3 0 123 456 789"
STATUS = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nRssAnon:\t     512 kB\nThreads:\t3\n"


def full_report() -> report.Report:
    found = report.Report("x")
    found.figure("rate", "a second", [3000, 1000, 2000], "door", "1 connection")
    found.figure("rate", "a second", 9000.0, "limit", "1 connection")
    found.figure("start", "ms", 12.345)
    found.ratio("rate", "door / limit", [0.9, 0.7, 0.8], 0.8)
    found.ratio("cpu", "door", 0.07, 0.06, more_is_better=False)
    found.ratio("p99", "door / limit", 2)
    found.note("Said once.")
    return found


class Reports(unittest.TestCase):
    """report.py"""

    def test_median_and_range_of_rounds(self):
        figure = full_report().figures[0]
        self.assertEqual((figure.value, figure.low, figure.high), (2000, 1000, 3000))

    def test_one_number_has_no_range(self):
        self.assertIsNone(full_report().figures[2].low)

    def test_aims_in_both_directions(self):
        for value, aim, more, met in ((0.8, 0.8, True, True), (0.79, 0.8, True, False), (0.8, 0.8, False, True),
                                      (0.81, 0.8, False, False), (5, None, True, None)):
            with self.subTest(value=value, more=more):
                self.assertIs(report.Ratio("r", value, "a / b", aim, more).met, met)

    def test_object_and_back(self):
        found = full_report()
        as_text = json.dumps(found.as_object())
        self.assertEqual(report.Report.from_object(json.loads(as_text)), found)
        self.assertEqual([ratio["met"] for ratio in json.loads(as_text)["ratios"]], [True, False, None])

    def test_text_has_a_column_for_each_contestant_and_says_what_was_met(self):
        lines = full_report().as_text().splitlines()
        head = next(line for line in lines if "rate, a second" in line)
        row = next(line for line in lines if "1 connection" in line)
        self.assertLess(head.index("door"), head.index("limit"))
        self.assertIn("2,000 (1,000–3,000)", row)
        self.assertTrue(row.rstrip().endswith("9,000"), row)
        self.assertTrue(any("≥ 0.8" in line and line.endswith(" met") for line in lines))
        self.assertTrue(any("≤ 0.06" in line and line.endswith("not met") for line in lines))

    def test_numbers_have_three_digits(self):
        for value, text in ((0, "0"), (0.061234, "0.0612"), (12.345, "12.3"), (123.45, "123"), (1234567, "1,234,567")):
            self.assertEqual(report.number(value), text)


class CommandLine(unittest.TestCase):
    """report.main"""

    def run_main(self, measure) -> tuple[int, str, str]:
        out, complaint = io.StringIO(), io.StringIO()
        with mock.patch.object(sys, "argv", ["bench.py", "--json"]), contextlib.redirect_stdout(out), \
                contextlib.redirect_stderr(complaint):
            status = report.main("x", "about", measure)
        return status, out.getvalue(), complaint.getvalue()

    @staticmethod
    def raising(error):
        def measure(options):
            raise error
        return measure

    def test_skipped_and_failed_are_told_apart(self):
        self.assertEqual(self.run_main(self.raising(report.Skipped("no data")))[::2], (77, "skipped: no data\n"))
        self.assertEqual(self.run_main(self.raising(report.Failed("broken")))[::2], (1, "x: broken\n"))

    def test_a_missed_aim_is_no_failure(self):
        status, output, _ = self.run_main(lambda options: full_report())
        self.assertEqual((status, json.loads(output)["name"]), (0, "x"))


class Processes(unittest.TestCase):
    """procfs.py"""

    def test_stat_of_a_program_with_an_odd_name(self):
        self.assertEqual(procfs.parse_stat(STAT) * procfs.TICKS_PER_S, 300)

    def test_status(self):
        self.assertEqual(procfs.parse_status(STATUS), procfs.Memory(512 << 10, 1024 << 10, 2048 << 10))

    def test_of_this_process(self):
        found = procfs.memory(os.getpid())
        self.assertTrue(0 < found.anonymous <= found.resident <= found.resident_peak, found)
        self.assertGreater(procfs.cpu_s(os.getpid()), 0)

    def test_peak_sees_what_is_gone_at_the_end(self):
        texts = iter([STATUS, STATUS.replace("512 kB", "4096 kB")])
        grown = threading.Event()

        def read(pid):
            text = next(texts, None)
            if text is None:
                grown.set()
            return procfs.parse_status(text or STATUS)

        with mock.patch.object(procfs, "memory", read), procfs.Peak(1) as peak:
            self.assertTrue(grown.wait(30))
        self.assertEqual(peak.anonymous, 4096 << 10)


class Machine(unittest.TestCase):
    """machine.py"""

    def test_it_is_described(self):
        found = machine.describe()
        self.assertGreaterEqual(found["cores"], 1)
        self.assertRegex(found["kafka"], r"^\d+\.\d+\.\d+$")
        self.assertIn(found["processor"], "\n".join(machine.lines(found)))

    def test_a_busy_one_is_warned_of(self):
        found = machine.describe()
        for load, warned in ((0.1 * found["cores"], False), (2.0 * found["cores"], True)):
            text = "\n".join(machine.lines({**found, "load_average": load}))
            self.assertEqual("WARNING" in text, warned)


class Runner(unittest.TestCase):
    """runner.py: what a benchmark may do."""

    def run_bench(self, code: str) -> dict:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "made" / "bench.py"
            path.parent.mkdir()
            path.write_text(textwrap.dedent(code), encoding="utf-8")
            with contextlib.redirect_stderr(io.StringIO()):
                return runner.run_bench(path, Path(name), quick=True)

    def test_a_report(self):
        text = json.dumps(full_report().as_object())
        found = self.run_bench(f"""\
            import sys
            assert sys.argv[1:3] == ["--json", "--build"] and sys.argv[4:] == ["--quick"], sys.argv
            print({text!r})""")
        self.assertEqual(found, full_report().as_object())

    def test_the_reason_of_a_skip(self):
        found = self.run_bench("import sys; print('skipped: no data', file=sys.stderr); sys.exit(77)")
        self.assertEqual(found, {"name": "made", "skipped": "no data"})

    def test_a_failure_with_what_it_said(self):
        self.assertIn("no luck", self.run_bench("raise SystemExit('no luck')")["failed"])

    def test_what_is_no_report(self):
        for printed in ("{}", "no JSON", '{"name": "x", "figures": [{"what": 1}], "ratios": [], "notes": []}'):
            with self.subTest(printed):
                self.assertIn("not as report.py says", self.run_bench(f"print({printed!r})")["failed"])

    def test_one_that_does_not_end(self):
        with mock.patch.object(runner, "BENCH_S", 0.2):
            self.assertIn("more than", self.run_bench("import signal; signal.pause()")["failed"])

    def test_what_it_leaves_behind_is_ended(self):
        found = self.run_bench("""\
            import subprocess, sys
            subprocess.Popen(["sleep", "600"])
            sys.exit("gone before its child")""")
        self.assertIn("gone before", found["failed"])

    def test_every_benchmark_is_found_and_says_what_it_is(self):
        found = runner.find_benches()
        self.assertEqual(list(found)[:1], ["ingest"])
        for name, path in found.items():
            self.assertTrue(runner.first_line(path), name)
            self.assertTrue(os.access(path, os.X_OK), name)


if __name__ == "__main__":
    unittest.main()
