"""The runner reads reports rightly: above all, what failed never counts as passed."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from results import Result, read_junit, read_totals, skip_line  # noqa: E402

CMOCKA = """[==========] Running 3 test(s).
[ RUN      ] adds
[       OK ] adds
[ RUN      ] takes
[  FAILED  ] takes
[ RUN      ] waits
[  SKIPPED ] waits
[==========] 3 test(s) run.
[  PASSED  ] 1 test(s).
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] takes
"""


def junit(cases: str) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.xml"
        path.write_text(f"<testsuite>{cases}</testsuite>", encoding="utf-8")
        return read_junit(path)


class Reports(unittest.TestCase):
    """Each report with (passed, failed, skipped)."""

    def expect(self, result: Result, counts: tuple) -> None:
        self.assertEqual((result.passed, result.failed, result.skipped), counts, result)

    def test_cmocka_tests_count_one_by_one(self):
        result = junit(f'<testcase name="a" status="fail"><system-out>{CMOCKA}</system-out><failure/></testcase>')
        self.expect(result, (1, 1, 1))
        self.assertIn("takes", result.failures[0][0])

    def test_executable_that_crashes_after_its_tests_has_failed(self):
        self.expect(junit('<testcase name="a" status="fail"><system-out>[       OK ] x\nleak</system-out><failure/>'
                          '</testcase>'), (1, 1, 0))

    def test_executable_without_cmocka_is_one_test(self):
        self.expect(junit('<testcase name="a" status="run"><system-out>fine</system-out></testcase>'), (1, 0, 0))

    def test_not_run_is_skipped_with_the_reason_of_the_test(self):
        result = junit('<testcase name="a" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>'
                       '<system-out>skipped: no data here</system-out></testcase>')
        self.expect(result, (0, 0, 1))
        self.assertEqual(result.skips, [("a", "no data here")])

    def test_pytest_error_and_failure(self):
        self.expect(junit('<testcase classname="t.A" name="a"><error message="x">y</error></testcase>'
                          '<testcase classname="t.A" name="b"><failure>z</failure></testcase>'
                          '<testcase classname="t.A" name="c"/>'), (1, 2, 0))

    def test_missing_or_broken_report_is_a_failure(self):
        self.expect(read_junit(Path("/nonexistent")).settle(0, ""), (0, 1, 0))
        self.expect(junit("<testcase").settle(0, ""), (0, 1, 0))

    def test_bad_status_without_a_reported_failure_is_one(self):
        self.expect(Result(passed=5).settle(139, "crash"), (5, 1, 0))
        self.expect(Result(passed=5, failed=1).settle(1, ""), (5, 1, 0))

    def test_own_totals(self):
        for output, counts in (("3 passed, 0 failed, 0 skipped\n", (3, 0, 0)),
                               ("1 passed, 0 failed\nlater\n2 passed, 1 failed, 1 skipped\n", (2, 1, 1)),
                               ("Ran 8 tests in 0.1s\n\nOK\n", (8, 0, 0)),
                               ("Ran 8 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=1)\n", (4, 3, 1)),
                               ("nothing of the kind\n", (0, 0, 0))):
            with self.subTest(output):
                self.expect(read_totals("x", output), counts)

    def test_reason_of_a_skip(self):
        for output, reason in (("skipped: no npm\n", "no npm"), ("contract: skipped: no npm\n", "no npm"),
                               ("skip  format no program\n", "format no program"), ("all ran\n", "")):
            with self.subTest(output):
                self.assertEqual(skip_line(output), reason)


if __name__ == "__main__":
    unittest.main()
