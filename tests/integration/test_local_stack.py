"""`deploy/local/up` as people run it: the main job on a real Kafka and the mock, a second run, Ctrl-C, a dead daemon.

Design: `up` runs with NODAG_BIN, so that it takes the executables under test and builds nothing. A small history keeps
it short. Every run's processes are known by pid and start time, and none may be left when `up` has ended, however it
ended.
"""
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from proc import Proc, start_ticks, wait_until

UP = Path(__file__).resolve().parents[2] / "deploy" / "local" / "up"
RUN_S = 180  # of a whole run, with sanitizers on a busy machine; ten seconds are usual
SOON_S = 60
SMALL = ["--history", "120", "--new", "2"]
PROGRAMS = {"nodag-labeler", "nodag-ingest-gi", "python3"}  # as the kernel cuts names; python3 is the sandbox


class Up:
    """One run of `up`; `folder` gets its output and its summary, data is kept in `data`."""

    def __init__(self, folder: Path, data: Path, bin_dir: Path, *arguments: str):
        self.out, self.summary_file = folder / f"up-{time.monotonic_ns()}.out", folder / "summary.json"
        self.summary_file.unlink(missing_ok=True)
        self.seen: dict[int, int] = {}  # pid → start time of every process below it that was seen
        with open(self.out, "wb") as out:
            self.popen = subprocess.Popen(
                [UP, "--dir", data, "--summary", self.summary_file, *arguments], stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, env={**os.environ, "NODAG_BIN": str(bin_dir)}, start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # pytest may run in the background

    def text(self) -> str:
        return self.out.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern: str) -> re.Match:
        def look():
            self.look_at_processes()
            found = re.search(pattern, self.text())
            assert found or self.popen.poll() is None, f"`up` ended before it said {pattern}:\n{self.text()}"
            return found
        return wait_until(look, RUN_S, f"`up` to say {pattern}")

    def look_at_processes(self) -> list[tuple[int, str]]:
        """(pid, name) of all processes below it now."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, rest = stat.read_text(errors="replace").split(" (", 1)
            except OSError:
                continue
            name, fields = rest.rsplit(")", 1)
            parents[int(pid)] = (int(fields.split()[1]), name)
        below = {self.popen.pid}
        while True:
            more = {pid for pid, (parent, name) in parents.items() if parent in below} - below
            if not more:
                break
            below |= more
        below.discard(self.popen.pid)
        self.seen |= {pid: ticks for pid in below if (ticks := start_ticks(pid)) is not None}
        return [(pid, parents[pid][1]) for pid in below]

    def end(self, signal_number: int | None = None) -> int:
        """Sends the signal, if one is given; the exit status. Nothing of it may run any more."""
        if signal_number:
            self.popen.send_signal(signal_number)
        status = self.popen.wait(RUN_S)
        left = [pid for pid, ticks in self.seen.items() if Proc.adopt("left", pid, ticks, []) is not None]
        assert not left, f"processes {left} are left over:\n{self.text()}"
        return status

    def summary(self) -> dict:
        return json.loads(self.summary_file.read_text(encoding="utf-8"))


@pytest.fixture
def up(tmp_path: Path, bin_dir: Path):
    """up(ARGUMENT…): a run of `up` on the test's data folder. What still runs at the end is ended."""
    runs: list[Up] = []

    def start(*arguments: str) -> Up:
        runs.append(Up(tmp_path, tmp_path / "data", bin_dir, *arguments))
        return runs[-1]

    yield start
    for run in runs:
        if run.popen.poll() is None:
            run.popen.terminate()
            run.popen.wait(RUN_S)


def check_main_job(summary: dict, broker: str, history: int) -> None:
    assert summary["ok"] and "error" not in summary
    assert summary["broker"] == broker and summary["history"]["issues"] == history
    assert summary["issues_opened"] == 2 and summary["issues_labelled"] >= 1
    assert summary["comments"] == sum(issue["comments"] for issue in summary["issues"])
    for issue in summary["issues"]:
        assert issue["comments"] <= 1 and set(issue["labels"]) == set(issue["probabilities"])
    assert summary["labels_created"] == 0 and summary["deliveries"]["refused"] == 0
    assert summary["deliveries"]["accepted"] >= 2
    assert summary["records"]["github.events"] > history and summary["records"]["predictions"] >= 2
    assert 0 < summary["model"]["f1"] <= 1 and summary["model"]["judged_on"] > 0


def comments_on(forge: str, number: int) -> int:
    """How many comments the issue has, as the sandbox says."""
    seen = subprocess.run(["curl", "-sS", "--fail", f"{forge}/_sandbox/issues/acme/rocket/{number}"], check=True,
                          timeout=SOON_S, capture_output=True, text=True)
    return len(json.loads(seen.stdout)["comments"])


def test_main_job_on_kafka_then_a_second_run_keeps_the_data(up):
    first = up("--once", "--fresh", *SMALL)
    first.wait_for("nodag puts labels on")
    assert {name for pid, name in first.look_at_processes()} >= PROGRAMS | {"java"}
    assert first.end() == 0, first.text()
    before = first.summary()
    check_main_job(before, "Apache Kafka", 120)
    assert {issue["number"] for issue in before["issues"]} == {121, 122}
    assert before["records"]["github.events"] == before["deliveries"]["accepted"]  # none lost, none twice

    second = up(*SMALL)
    forge = second.wait_for(r"Forge .* at (http://127.0.0.1:\d+)/")[1]
    assert "is there from an earlier run" in second.wait_for(r"History .*")[0]
    second.wait_for("Running ")
    act = {"do": "open", "as": "you", "repository": "acme/rocket", "title": "The notebook server crashes", "body": ""}
    subprocess.run(["curl", "-sS", "--fail", "-o", "/dev/null", "-d", json.dumps(act), f"{forge}/_sandbox/act"],
                   check=True, timeout=SOON_S)
    second.wait_for(r"Decision +rocket #125 → ")
    wait_until(lambda: comments_on(forge, 125) == 1, RUN_S, "the labeler to have commented on #125")
    assert second.end(signal.SIGINT) == 0, second.text()
    after = second.summary()
    check_main_job(after, "Apache Kafka", 120)
    assert after["run"] == 2 and {issue["number"] for issue in after["issues"]} == {123, 124}
    assert after["records"]["github.events"] == before["records"]["github.events"] + after["deliveries"]["accepted"]


def test_embedded(up):
    run = up("--embedded", "--once", *SMALL)
    assert run.end() == 0, run.text()
    check_main_job(run.summary(), "embedded", 120)
    assert "Nothing survives a stop" in run.text()


def test_a_daemon_that_dies_is_named_and_everything_stops(up):
    run = up("--embedded", *SMALL)
    run.wait_for("Running ")
    pids = [pid for pid, name in run.look_at_processes() if name == "nodag-labeler"]
    assert len(pids) == 1
    os.kill(pids[0], signal.SIGKILL)
    assert run.end() == 1
    assert "labeler ended by itself with status SIGKILL" in run.summary()["error"]
    assert "labeler ended by itself" in run.text()


@pytest.mark.parametrize("moment", ["Kafka ", "History "])
def test_interrupted_early(up, moment):
    run = up("--embedded", *SMALL)
    run.wait_for(moment)
    assert run.end(signal.SIGINT) == 130, run.text()
    assert not run.summary()["ok"] and "Traceback" not in run.text()


def test_a_wrong_command_line_exits_2(up):
    run = up("--issues", "/no/such/file")
    assert run.end() == 2
    assert "no such file" in run.text() and not run.summary_file.exists()
