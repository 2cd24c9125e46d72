"""`deploy/local/up` as people run it: the main job on a real Kafka and the mock, a second run, a push that changes the
notebook, Ctrl-C, a dead daemon, a machine that cannot train.

Design: `up` runs with NODAG_BIN, so that it takes the executables under test and builds nothing; notebooks call a script
`nodag` there, which lifts the sandbox' memory limit for sanitizers. Training is the real one: papermill, in the real
sandbox. A small history keeps it short. Every run's processes are known by pid and start time, and none may be left when
`up` has ended, however it ended.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from proc import Proc, start_ticks, wait_until

UP = Path(__file__).resolve().parents[2] / "deploy" / "local" / "up"
RUN_S = 400  # of a whole run, with sanitizers on a busy machine and an environment to be built; half a minute is usual
SOON_S = 60
SMALL = ["--history", "120", "--new", "2"]
ISSUES = 3  # that people open in the first run: one more with the second version
PROGRAMS = {"nodag-labeler", "nodag-ingest-gi", "nodag-historian", "nodag-trainer", "python3"}  # as the kernel cuts names
LIFT = '#!/bin/sh\nulimit -S -d unlimited\nexec env ASAN_OPTIONS=detect_leaks=0 "{}/nodag" "$@"\n'
CANNOT = '#!/bin/sh\necho "nodag-train-run: no sandbox: this machine is made of wood" >&2\nexit 1\n'


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


@pytest.fixture(scope="module")
def programs(tmp_path_factory, bin_dir: Path) -> Path:
    """The executables under test, with a `nodag` for notebooks. What the sandbox shows, and what must find that beside
    itself, are copies."""
    folder = tmp_path_factory.mktemp("programs")
    real = folder / "real"
    folder.chmod(0o755)  # the user that notebooks run as looks into it
    real.mkdir(mode=0o755)
    for program in bin_dir.iterdir():
        if program.name in ("nodag", "nodag-model"):
            shutil.copy2(program, real)
        else:
            (real / program.name).symlink_to(program)
        if program.name == "nodag-train-run":
            shutil.copy2(program, folder)
        elif program.name != "nodag":
            (folder / program.name).symlink_to(program)
    write_script(folder / "nodag", LIFT.format(real))
    return folder


@pytest.fixture(scope="module")
def without_sandbox(tmp_path_factory, programs: Path) -> Path:
    """The same, of a machine on which no run can be kept apart."""
    folder = tmp_path_factory.mktemp("without") / "programs"
    shutil.copytree(programs, folder, symlinks=True)
    write_script(folder / "nodag-train-run", CANNOT)
    return folder


def write_script(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def up(tmp_path: Path, programs: Path):
    """up(ARGUMENT…): a run of `up` on the test's data folder. What still runs at the end is ended."""
    runs: list[Up] = []

    def start(*arguments: str, bin_dir: Path = programs) -> Up:
        runs.append(Up(tmp_path, tmp_path / "data", bin_dir, *arguments))
        return runs[-1]

    yield start
    for run in runs:
        if run.popen.poll() is None:
            run.popen.terminate()
            run.popen.wait(RUN_S)


def check_main_job(summary: dict, broker: str, history: int, issues: int = ISSUES) -> None:
    assert summary["ok"] and "error" not in summary
    assert summary["broker"] == broker and summary["history"]["issues"] == history
    assert summary["issues_opened"] == issues and summary["issues_labelled"] >= 1
    assert summary["comments"] == sum(issue["comments"] for issue in summary["issues"])
    for issue in summary["issues"]:
        assert issue["comments"] <= 1 and set(issue["labels"]) == set(issue["probabilities"])
    assert summary["labels_created"] == 0 and summary["deliveries"]["refused"] == 0
    assert summary["deliveries"]["accepted"] >= 2
    assert summary["records"]["github.events"] > history and summary["records"]["predictions"] >= 2
    assert 0 < summary["model"]["f1_micro"] <= 1 and summary["model"]["held_out_issues"] > 0


def check_training(summary: dict, folder: Path) -> None:
    """Two runs for two reasons, each with a report; each made a version, and issues were labelled by both."""
    first, second = summary["runs"]
    assert (first["stale"], second["stale"]) == (["no-model"], ["new-labels"])
    assert first["state"] == second["state"] == "SUCCEEDED" and not first["earlier"] and not second["earlier"]
    for run in summary["runs"]:
        report = Path(run["html"])
        assert report.suffix == ".html" and report.is_relative_to(folder) and "How good it is" in report.read_text()
        assert 0 < run["seconds"] < RUN_S
    assert [version["version"] for version in summary["models"]] == [first["name"], second["name"]]
    snapshots = {version["snapshot"] for version in summary["models"]}
    assert len(snapshots) == 2 and all(re.fullmatch("[0-9a-f]{64}", snapshot) for snapshot in snapshots)
    assert all(0 < version["metrics"]["f1_macro"] <= 1 for version in summary["models"])
    assert [issue["model"] for issue in summary["issues"]] == [first["name"]] * 2 + [second["name"]]
    assert summary["model"]["made_by"] == "notebook" and summary["no_training"] is None


def comments_on(forge: str, number: int) -> int:
    """How many comments the issue has, as the sandbox says."""
    seen = subprocess.run(["curl", "-sS", "--fail", f"{forge}/_sandbox/issues/acme/rocket/{number}"], check=True,
                          timeout=SOON_S, capture_output=True, text=True)
    return len(json.loads(seen.stdout)["comments"])


def git(clone: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", clone, *arguments], check=True, capture_output=True, text=True, timeout=SOON_S,
                          env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"})
    return done.stdout.strip()


def push_other_notebook(clone: Path) -> str:
    """A person changes the notebook's first heading, as `up` says how; the commit."""
    notebook = clone / "notebooks" / "train.ipynb"
    text = notebook.read_text(encoding="utf-8")
    assert "# A model that labels issues" in text
    notebook.write_text(text.replace("# A model that labels issues", "# Made anew by a person"), encoding="utf-8")
    git(clone, "commit", "-qam", "Another heading")
    git(clone, "push", "-q")
    return git(clone, "rev-parse", "HEAD")


def test_main_job_on_kafka_then_a_second_run_keeps_the_data(up, tmp_path, bin_dir):
    first = up("--once", "--fresh", *SMALL)
    first.wait_for("nodag puts labels on")
    assert {name for pid, name in first.look_at_processes()} >= PROGRAMS | {"java"}
    assert first.end() == 0, first.text()
    before = first.summary()
    check_main_job(before, "Apache Kafka", 120)
    check_training(before, tmp_path)
    assert {issue["number"] for issue in before["issues"]} == {121, 122, 123}
    assert before["records"]["github.events"] == before["deliveries"]["accepted"]  # none lost, none twice

    second = up(*SMALL)
    forge = second.wait_for(r"Forge .* at (http://127.0.0.1:\d+)/")[1]
    brokers = second.wait_for(r"Kafka .* at (127.0.0.1:\d+)")[1]
    assert "is there from an earlier run" in second.wait_for(r"History .*")[0]
    second.wait_for("Running ")
    act = {"do": "open", "as": "you", "repository": "acme/rocket", "title": "The notebook server crashes", "body": ""}
    subprocess.run(["curl", "-sS", "--fail", "-o", "/dev/null", "-d", json.dumps(act), f"{forge}/_sandbox/act"],
                   check=True, timeout=SOON_S)
    second.wait_for(r"Decision +rocket #126 → ")
    wait_until(lambda: comments_on(forge, 126) == 1, RUN_S, "the labeler to have commented on #126")

    commit = push_other_notebook(tmp_path / "data" / "sandbox" / "desired-state")
    name = second.wait_for(r"Run +(\S+) SUCCEEDED in \d+ s, because the notebook changed")[1]
    report = Path(second.wait_for(rf"report file://(\S*{name}.html)")[1])
    assert "Made anew by a person" in report.read_text()
    shown = subprocess.run([bin_dir / "nodag", "models", "show", name, "--json", "--brokers", brokers], check=True,
                           capture_output=True, text=True, timeout=SOON_S)
    assert json.loads(shown.stdout)["commit"] == commit

    assert second.end(signal.SIGINT) == 0, second.text()
    after = second.summary()
    check_main_job(after, "Apache Kafka", 120, issues=2)
    assert after["run"] == 2 and {issue["number"] for issue in after["issues"]} == {124, 125}
    assert after["runs"] == [{**run, "earlier": True} for run in before["runs"]]  # nothing was stale
    assert {issue["model"] for issue in after["issues"]} == {before["models"][1]["version"]}
    assert after["records"]["github.events"] == before["records"]["github.events"] + after["deliveries"]["accepted"]


def test_embedded(up, tmp_path):
    run = up("--embedded", "--once", *SMALL)
    assert run.end() == 0, run.text()
    check_main_job(run.summary(), "embedded", 120)
    check_training(run.summary(), tmp_path)
    assert "Nothing survives a stop" in run.text()


def test_where_runs_cannot_be_kept_apart_a_command_makes_the_model(up, without_sandbox):
    run = up("--embedded", "--once", *SMALL, bin_dir=without_sandbox)
    assert run.end() == 0, run.text()
    summary = run.summary()
    check_main_job(summary, "embedded", 120, issues=2)
    assert summary["model"]["made_by"] == "nodag model train" and summary["runs"] == summary["models"] == []
    assert summary["no_training"] == "no sandbox: this machine is made of wood"
    assert "no sandbox: this machine is made of wood" in run.text() and "nodag-trainer is not started" in run.text()


def test_stopped_while_it_trains_then_it_goes_on(up, tmp_path):
    """By Ctrl-C, then by a trainer that is killed: no run is left behind, and the next `up` makes another attempt."""
    runs = tmp_path / "data" / "sandbox" / "runs"

    def start_and_wait_for_the_notebook(*arguments: str) -> tuple[Up, dict[str, int]]:
        run = up(*arguments, *SMALL)
        run.wait_for("Trainer ")

        def is_training() -> dict[str, int]:
            found = {name: pid for pid, name in run.look_at_processes()}
            return found if any('"notebook"' in state.read_text() for state in runs.glob("*/state.json")) else {}
        return run, wait_until(is_training, RUN_S, "a notebook to run")

    first, _ = start_and_wait_for_the_notebook("--fresh")
    assert first.end(signal.SIGINT) == 130, first.text()
    assert re.search(r"Run +the run \S+-1 is under way and told to stop", first.text()), first.text()
    results = [json.loads(result.read_text()) for result in runs.glob("*/result.json")]
    assert [result["state"] for result in results] == ["CANCELLED"] and "stopped" in results[0]["reason"]

    second, pids = start_and_wait_for_the_notebook()
    os.kill(pids["nodag-trainer"], signal.SIGKILL)
    assert second.end() == 1, second.text()
    assert "trainer ended by itself with status SIGKILL" in second.summary()["error"]
    assert re.search(r"Run +the run \S+-2 is under way and told to stop", second.text()), second.text()

    third = up("--once", *SMALL)
    assert third.end() == 0, third.text()
    check_main_job(third.summary(), "Apache Kafka", 120)
    assert [run["state"] for run in third.summary()["runs"]] == ["CANCELLED", "CANCELLED", "SUCCEEDED", "SUCCEEDED"]
    assert len({run["name"] for run in third.summary()["runs"]}) == 4


def test_a_daemon_that_dies_is_named_and_everything_stops(up, without_sandbox):
    run = up("--embedded", *SMALL, bin_dir=without_sandbox)
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
