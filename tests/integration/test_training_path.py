"""From a push or a person's label to a version of a model: every part real (training_path.py)."""
import fcntl
import hashlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import pytest
from daemon import run_program
from proc import wait_until
from run_bench import ROOT, Bench
from training_path import RUN_S, TrainingPath, book

sys.path.insert(0, str(ROOT / "deploy" / "local"))
from history import generate  # noqa: E402  (after the path above)

EXAMPLES = 240
LOST_S = 30  # A few looks of the trainer, one a second, on a busy machine.
MADE = ["PENDING", "RUNNING", "SUCCEEDED"]


@pytest.fixture(scope="module")
def module_path(topics_created, bin_dir: Path, tmp_path_factory):
    path = TrainingPath(topics_created.brokers, bin_dir, tmp_path_factory.mktemp("path"))
    yield path
    path.close()


@pytest.fixture(scope="module")
def module_trainer(module_path):
    daemon = module_path.trainer("trainer-of-path").start()
    yield daemon
    daemon.end()


@pytest.fixture
def trainer(module_trainer):
    if not module_trainer.proc.alive():
        module_trainer.start()
    return module_trainer


@pytest.fixture
def path(module_path, trainer):
    """The path; afterwards documents are deleted, and the promises checked."""
    yield module_path
    if not trainer.proc.alive():
        trainer.start()
    module_path.clear()
    module_path.check()


def left(folder: Path) -> list[str]:
    """What is of no use in the directory of a run that is over."""
    return [name for name in ("data.jsonl", "scratch", "mirror.git", "root") if (folder / name).exists()]


def test_first_version(path):
    """The example notebook: from issues that people labelled to a version, with everything that belongs to it."""
    for number, issue in enumerate(generate(EXAMPLES, 7, datetime.now(timezone.utc)), 1):
        path.open("first", number, issue.labels, issue.title, issue.body, issue.created)
    path.await_issues("first", sum(len(issue["labels"]) for (name, _), issue in path.issues.items() if name == "first"))
    example = (ROOT / "deploy" / "notebooks" / "train.ipynb").read_text(encoding="utf-8")
    commit = path.model("first", example, parameters={"precision_target": 0.7})
    version = path.await_version("first")
    assert version["commit"] == commit == path.records("runs", "first")[-1]["commit"]
    assert version["repository"] == path.source.file_url and version["notebook"] == "notebooks/first.ipynb"
    assert 0 < version["metrics"]["f1_macro"] <= 1 and version["thresholds"]
    for name, artefact in version["artefacts"].items():
        assert hashlib.sha256(path.artefact(version, name)).hexdigest() == artefact["sha256"], name
    assert set(version["artefacts"]) == {"dataset", "notebook", "html", "model", "metrics", "predictions", "log"}
    assert b"Worst mistakes" in path.artefact(version, "html") and b"precision_target = 0.7" in path.artefact(version, "notebook")
    folder = path.run_folder("first")
    assert json.loads((folder / "stored.json").read_text()) == version["artefacts"]
    assert not left(folder)
    data = path.artefact(version, "dataset")
    assert len(data.splitlines()) > EXAMPLES * 0.9 and all(row["repo"] == "acme/first" for row in map(json.loads, data.splitlines()))
    listed = path.nodag("models", "--model", "first")
    assert version["version"] in listed
    shown = path.nodag("models", "show", version["version"])
    assert version["snapshot"]["sha256"] in shown and commit in shown and version["artefacts"]["html"]["uri"] in shown
    # The same offsets give the same bytes, whatever came later.
    assert version["snapshot"]["sha256"] == version["artefacts"]["dataset"]["sha256"]
    path.open("first", EXAMPLES + 1, ["kind/bug"])
    path.await_issues("first", sum(len(issue["labels"]) for (name, _), issue in path.issues.items() if name == "first"))
    given = path.folder / "offsets.json"
    given.write_text(json.dumps({"topic": "issues", "offsets": version["snapshot"]["offsets"]}))
    command = [path.bin_dir / "nodag", "dataset", "first", *path.kafka]
    assert run_program([*command, "--offsets", given]).stdout.encode() == data
    assert run_program(command).stdout.encode() != data


def needs_train(trainer, model: str) -> tuple[int, dict]:
    """Status and answer of /needsTrain."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{trainer.port}/needsTrain?model={model}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def label_changes(trainer, model: str) -> float | None:
    return trainer.metric(f'nodag_trainer_label_changes{{model="{model}"}}')


def test_labels_make_it_stale(path, trainer):
    """As many label changes by people as newLabels says; one less does nothing."""
    for number in range(1, 5):
        path.open("counted", number, ["kind/bug"])
    path.await_issues("counted", 4)
    path.model("counted", book(), fresh={"newLabels": 3})
    first = path.await_version("counted")
    assert first["metrics"]["examples"] == 4
    path.label("counted", 1, "area/ui")
    path.label("counted", 2, "area/ui")
    path.label("counted", 2, "help wanted")  # the document does not learn it
    path.await_issues("counted", 7)
    wait_until(lambda: label_changes(trainer, "counted") == 2, RUN_S, "the trainer to have counted")
    assert path.states("counted") == MADE
    path.label("counted", 3, "area/ui")
    second = path.await_version("counted", 2)
    run = path.await_state("counted", "SUCCEEDED", 2)
    assert run["stale"] == ["new-labels"] and second["version"] == run["run"]
    assert first["snapshot"]["sha256"] != second["snapshot"]["sha256"]
    assert path.artefact(second, "dataset").count(b"area/ui") == 3
    wait_until(lambda: label_changes(trainer, "counted") == 0, RUN_S, "the count to begin anew")
    assert path.states("counted") == MADE * 2


def test_a_push_makes_it_stale(path, trainer):
    """A push of the notebook; one of something else changes nothing."""
    path.open("pushed", 1, ["kind/bug"])
    path.await_issues("pushed", 1)
    path.model("pushed", book())
    first = path.await_version("pushed")
    other = path.commit({"README": "nothing that matters"})
    wait_until(lambda: needs_train(trainer, "pushed")[1]["parameters"]["commit"] == other, RUN_S, "the trainer to know the push")
    assert not needs_train(trainer, "pushed")[1]["needsSync"]
    commit = path.commit({"notebooks/pushed.ipynb": book("print('changed')")})
    second = path.await_version("pushed", 2)
    assert second["commit"] == commit != first["commit"]
    assert b"changed" in path.artefact(second, "notebook") and b"changed" not in path.artefact(first, "notebook")
    assert path.await_state("pushed", "SUCCEEDED", 2)["stale"] == ["on-push"]
    assert path.states("pushed") == MADE * 2  # the push between made none
    assert first["version"] in path.nodag("models", "diff", first["version"], second["version"])


@pytest.mark.parametrize("killed", ["pending", "notebook", "finished"])
def test_trainer_killed(path, trainer, killed):
    """SIGKILL after the PENDING record, while the notebook runs, after the supervisor finished: one run, one end, one version."""
    model = f"killed-{killed}"
    path.open(model, 1, ["kind/bug"])
    path.await_issues(model, 1)
    path.model(model, book(), parameters={"wait": True})
    wait_until(lambda: path.states(model), RUN_S, "PENDING")
    if killed != "pending":
        folder = path.await_waiting(model)
    if killed == "finished":
        trainer.signal(signal.SIGSTOP)
        path.go(folder)
        wait_until((folder / "result.json").exists, RUN_S, "the result")
    trainer.kill()
    assert not path.versions(model)
    trainer.start()
    if killed != "finished":
        path.go(path.await_waiting(model))
    version = path.await_version(model)
    assert path.states(model).count("SUCCEEDED") == 1 and set(path.states(model)) <= set(MADE)
    assert len(list(path.runs.glob(f"{model}-*"))) == 1
    assert version["metrics"]["examples"] == 1 and version["snapshot"]["offsets"]


def test_supervisor_killed(path, trainer):
    """SIGKILL of the real supervisor: nothing of the run is left, LOST at the next looks, the next attempt succeeds."""
    path.open("lost", 1, ["kind/bug"])
    path.await_issues("lost", 1)
    path.model("lost", book(), parameters={"wait": True})
    folder = path.await_waiting("lost")
    began = time.monotonic()
    path.kill_supervisor("lost")
    lost = path.await_state("lost", "LOST")
    assert time.monotonic() - began < LOST_S
    assert lost["reason"] == "its supervisor is gone and left no result" and lost["attempt"] == 1
    wait_until(lambda: not path.processes(folder), RUN_S, "the run's processes to be gone")
    wait_until(lambda: not left(folder), RUN_S, "what it left to be deleted")
    assert (folder / "log").exists()
    wait_until(lambda: path.run_folder("lost") != folder, RUN_S, "the next attempt")
    path.go(path.await_waiting("lost"))
    path.await_version("lost")
    assert path.states("lost") == ["PENDING", "RUNNING", "LOST", *MADE]
    assert path.await_state("lost", "SUCCEEDED")["attempt"] == 2


def test_two_replicas(path, trainer):
    """One acts; when it dies the other takes the run over as it is."""
    second = path.trainer("second-of-path")
    path.open("shared", 1, ["kind/bug"])
    path.await_issues("shared", 1)
    path.model("shared", book(), parameters={"wait": True})
    folder = path.await_waiting("shared")
    path.await_state("shared", "RUNNING")
    second.start()
    trainer.kill()
    path.go(folder)
    path.await_version("shared")
    assert path.states("shared") == MADE and len(list(path.runs.glob("shared-*"))) == 1
    second.end()


def test_failing_notebook(path, trainer):
    """Each failure says why and stores what people look at; after three a person must do something, and a push is that."""
    path.open("failing", 1, ["kind/bug"])
    path.await_issues("failing", 1)
    path.model("failing", book("print('x' * 3_000_000)", "raise ValueError('no <good> data')"))
    failed = path.await_state("failing", "FAILED", 3)
    assert "ValueError: no <good> data" in failed["reason"] and failed["attempt"] == 3
    assert b"ValueError" in path.artefact(failed, "notebook") and b"ValueError" in path.artefact(failed, "html")
    assert b"==> FAILED" in path.artefact(failed, "log")
    record = wait_until(lambda: (lambda found: found if found and found["outcome"] == "STALLED" else None)(path.pending("failing")),
                        RUN_S, "the model to be stalled")
    assert "3 attempts have failed" in record["reason"]
    assert "Model/failing" in path.nodag("status") and trainer.metric('nodag_trainer_stalled{model="failing"}') == 1
    commit = path.commit({"notebooks/failing.ipynb": book("print('mended')")})
    wait_until(lambda: path.versions("failing"), RUN_S, "the mended notebook to succeed")
    [version] = path.versions("failing")
    assert version["commit"] == commit
    assert path.await_state("failing", "SUCCEEDED")["attempt"] == 1
    assert path.states("failing") == ["PENDING", "RUNNING", "FAILED"] * 3 + MADE
    wait_until(lambda: path.pending("failing") is None, RUN_S, "nothing to be pending")


def test_suspended(path):
    """`suspend` in git ends what runs, at once and whole."""
    path.open("held", 1, ["kind/bug"])
    path.await_issues("held", 1)
    path.model("held", book(), parameters={"wait": True})
    folder = path.await_waiting("held")
    path.model("held", suspend=True, parameters={"wait": True})
    cancelled = path.await_state("held", "CANCELLED")
    assert cancelled["reason"] == "its Model document says suspend"
    wait_until(lambda: not path.processes(folder), RUN_S, "the run's processes to be gone")
    assert not left(folder) and not path.versions("held")
    path.model("held", parameters={"wait": False})
    path.await_version("held")
    assert path.states("held") == ["PENDING", "RUNNING", "CANCELLED", *MADE]


def await_looks(trainer, count: int) -> None:
    """Waits until the trainer has looked at things so many more times."""
    def looks() -> float:
        lines = trainer.ask_admin("/metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("nodag_kernel_reconciles_total{"))
    before = looks()
    assert before > 0
    wait_until(lambda: looks() >= before + count, RUN_S, f"{count} looks")


def test_uploads_wait_for_removals(path, trainer):
    """While artefacts are being removed nothing is stored; afterwards the run goes on."""
    path.open("polite", 1, ["kind/bug"])
    path.await_issues("polite", 1)
    with open(path.runs / ".uploads.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path.model("polite", book())
        wait_until(lambda: path.states("polite") and path.step("polite") == "upload", RUN_S, "the upload")
        await_looks(trainer, 4)
        assert path.step("polite") == "upload" and not (path.run_folder("polite") / "stored.json").exists()
    path.await_version("polite")


def test_history_beside_runs(path):
    """Beyond the limits versions and their directories go, also while another model's run is under way."""
    path.open("kept", 1, ["kind/bug"])
    path.open("busy", 1, ["kind/bug"])
    path.await_issues("busy", 1)
    path.model("busy", book(), parameters={"wait": True})
    busy = path.await_waiting("busy")
    path.model("kept", book("print('first')"), history={"successful": 1, "failed": 1})
    first = path.await_version("kept")
    path.commit({"notebooks/kept.ipynb": book("print('second')")})
    wait_until(lambda: path.states("kept").count("SUCCEEDED") == 2, RUN_S, "a second version")
    html = Path(first["artefacts"]["html"]["uri"].removeprefix("file://"))
    wait_until(lambda: not html.exists() and not (path.runs / first["run"]).exists(), RUN_S, "the first to be collected")
    assert path.states("busy") == ["PENDING", "RUNNING"]
    [second] = [version for version in path.versions("kept") if version["version"] != first["version"]]
    assert all(path.artefact(second, name) is not None for name in second["artefacts"])  # also what both had
    listed = path.nodag("models", "--model", "kept")
    assert second["version"] in listed and first["version"] not in listed
    path.go(busy)
    path.await_version("busy")


def test_old_environments_go(bin_dir, tmp_path):
    """At the end of any run: what nobody has used for a month is deleted; what is younger stays."""
    cache, day = tmp_path / "cache", 24 * 3600
    for name, days in (("a" * 64, 31), ("b" * 64, 29), ("c" * 64 + ".building", 31), ("d" * 64 + ".unused", 0)):
        (cache / name / "bin").mkdir(parents=True)
        os.utime(cache / name, (time.time() - days * day,) * 2)
    bench = Bench(tmp_path, bin_dir / "nodag-train-run", bin_dir / "nodag")
    run = bench.make("pass", commit="0" * 40)  # which is not there: the run is short
    run.cache = cache
    assert run.start().wait()["state"] == "FAILED"
    assert sorted(folder.name for folder in cache.iterdir() if folder.is_dir()) == ["b" * 64]


def test_paused_replica(path, trainer):
    """One that slept while another took over wakes up and finds the run over: it says nothing of it a second time."""
    second = path.trainer("waking-of-path")
    path.open("slept", 1, ["kind/bug"])
    path.await_issues("slept", 1)
    path.model("slept", book(), parameters={"wait": True})
    folder = path.await_waiting("slept")
    path.await_state("slept", "RUNNING")
    trainer.signal(signal.SIGSTOP)
    second.start()
    path.go(folder)
    path.await_version("slept")
    trainer.signal(signal.SIGCONT)
    wait_until(lambda: needs_train(trainer, "slept")[0] == 503, RUN_S, "the first to stand by")
    assert path.states("slept") == MADE and len(path.records("models", "slept")) == 1
    second.end()
