"""The trainer on a real Kafka: from documents to versions; killed, doubled, cancelled; its supervisors killed.

The supervisor here trains nothing: see trainer_ground.py.
"""
import http.server
import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from git_servers import git
from proc import wait_until
from trainer_ground import COMMIT_A, COMMIT_B, SEEN_S, Ground

MADE = ("PENDING", "RUNNING", "SUCCEEDED")


@pytest.fixture(scope="module")
def module_ground(topics_created, bin_dir: Path, tmp_path_factory) -> Ground:
    return Ground(topics_created.brokers, bin_dir, tmp_path_factory.mktemp("trainer"))


@pytest.fixture
def ground(module_ground, request):
    """The ground; afterwards documents are deleted, and the promises checked."""
    yield module_ground
    closing = module_ground.trainer(f"closing-{request.node.name}")
    closing.start()
    module_ground.clear()
    closing.end()
    module_ground.check()


@pytest.fixture
def trainer(ground, request):
    daemon = ground.trainer(f"trainer-{request.node.name}").start()
    yield daemon
    daemon.end()


def test_from_document_to_version(ground, trainer):
    """Order of the records, what they say, and the commands that show them."""
    ground.document("whole", fresh={"maxAge": "1d"})
    ground.end("whole")
    pending, running, done = ground.wait_states("whole", *MADE)
    assert pending["stale"] == ["no-model"] and pending["commit"] == COMMIT_A and pending["host"] == "here"
    assert running["started_at"] and not running["ended_at"] and done["ended_at"]
    [version] = ground.records("models", "whole")
    assert version["version"] == version["run"] == done["run"] == pending["run"]
    assert version["thresholds"] == {"kind/bug": 0.4}
    assert Path(version["artefacts"]["model"]["uri"].removeprefix("file://")).read_text() == f"model of {done['run']}"
    ground.document("whole", fresh={"maxAge": "1d"}, suspend=True)
    assert done["run"] in ground.nodag("models", "--model", "whole")
    shown = ground.nodag("models", "show", done["run"])
    assert f"run: {done['run']}" in shown and "kind/bug" in shown and "artefact log: file://" in shown
    assert "SUCCEEDED" in ground.nodag("runs", "--model", "whole")
    assert "why: no-model" in ground.nodag("runs", "show", done["run"])


def test_a_push_makes_it_stale(ground, trainer):
    """A path that onPush does not match changes nothing; one that it matches is trained with, and compared."""
    ground.push(None, COMMIT_A, [], 1)
    ground.document("pushed", fresh={"onPush": ["notebooks/**"]})
    ground.end("pushed")
    first = ground.wait_states("pushed", *MADE)[-1]
    ground.push(COMMIT_A, "c" * 40, ["README.md"], 2)
    ground.push("c" * 40, COMMIT_B, ["notebooks/train.ipynb"], 3)
    wait_until(lambda: len(ground.states("pushed")) == 5, SEEN_S, "a second run")
    ground.end("pushed")
    second = ground.wait_states("pushed", *MADE, *MADE)[-1]
    assert second["stale"] == ["on-push"] and second["commit"] == COMMIT_B
    compared = ground.nodag("models", "diff", first["run"], second["run"])
    assert f"version: {first['run']} → {second['run']}" in compared and "kind/bug" in compared


@pytest.mark.parametrize("killed_at", ["PENDING", "RUNNING", "a result", "SUCCEEDED"])
def test_trainer_killed(ground, trainer, killed_at):
    """SIGKILL after each of the effects: the run goes on, and the next trainer finds it."""
    model = f"killed-{killed_at.replace(' ', '-').lower()}"
    ground.document(model)
    wait_until(lambda: ground.states(model), SEEN_S, "PENDING")
    if killed_at != "PENDING":
        ground.wait_states(model, "PENDING", "RUNNING")
    if killed_at == "a result":
        ground.end(model)
        folder = ground.run_folder(model)
        wait_until((folder / "result.json").exists, SEEN_S, "the result")
    if killed_at == "SUCCEEDED":
        ground.end(model)
        ground.wait_states(model, *MADE)
    trainer.kill()
    trainer.start()
    if killed_at in ("PENDING", "RUNNING"):
        ground.end(model)
    wait_until(lambda: ground.states(model)[-1] == "SUCCEEDED", SEEN_S, "the run to be over")
    # A run that was over before anybody saw it run goes straight to its end.
    states = list(MADE) if killed_at != "PENDING" else ground.states(model)
    assert ground.states(model) == states and states in (list(MADE), ["PENDING", "SUCCEEDED"])
    assert len(ground.records("models", model)) == 1
    assert len(list(ground.runs.glob(f"{model}-*/lock"))) == 1
    trainer.stop()
    trainer.start()  # and nothing more happens to what is done
    ground.document(model, suspend=True)
    assert ground.states(model) == states


def test_supervisor_killed(ground, trainer):
    """Lost within seconds, also while no trainer runs; then it backs off and says so."""
    ground.document("lost")
    ground.wait_states("lost", "PENDING", "RUNNING")
    ground.kill_supervisor("lost")
    ground.wait_states("lost", "PENDING", "RUNNING", "LOST")
    record = wait_until(lambda: ground.pending("lost"), SEEN_S, "what it waits for")
    assert record["outcome"] == "AFTER" and "1 run failed" in record["reason"]
    ground.document("away")
    ground.wait_states("away", "PENDING", "RUNNING")
    trainer.kill()
    ground.kill_supervisor("away")
    trainer.start()
    ground.wait_states("away", "PENDING", "RUNNING", "LOST")


def test_suspend_and_delete(ground, trainer):
    """Both cancel what runs and start nothing."""
    ground.document("held")
    ground.wait_states("held", "PENDING", "RUNNING")
    ground.document("held", suspend=True)
    done = ground.wait_states("held", "PENDING", "RUNNING", "CANCELLED")[-1]
    assert done["reason"] == "its Model document says suspend"
    ground.document("gone")
    ground.wait_states("gone", "PENDING", "RUNNING")
    ground.delete("gone")
    done = ground.wait_states("gone", "PENDING", "RUNNING", "CANCELLED")[-1]
    assert done["reason"] == "its Model document was deleted"


def test_two_replicas(ground, trainer):
    """One acts and the other stands by; when the first dies the second takes the run over."""
    second = ground.trainer("second")
    ground.document("shared")
    ground.wait_states("shared", "PENDING", "RUNNING")
    second.start(wait=True)
    assert needs_train(second, "shared")[0] == 503
    trainer.kill()
    wait_until(lambda: needs_train(second, "shared")[0] == 200, SEEN_S, "the second to take over")
    ground.end("shared")
    ground.wait_states("shared", *MADE)
    second.end()


def needs_train(trainer, model: str) -> tuple[int, dict]:
    """Status and answer of /needsTrain."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{trainer.port}/needsTrain?model={model}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def test_needs_train_is_served(ground, trainer):
    """In the form that the original's controller reads."""
    ground.document("asked")
    ground.wait_states("asked", "PENDING", "RUNNING")
    status, answer = needs_train(trainer, "asked")
    assert status == 200 and answer == {
        "kind": "NeedsSync", "apiVersion": "v1alpha1", "needsSync": True, "errors": [],
        "parameters": {"model": "asked", "commit": answer["parameters"]["commit"], "reason": "there is no model yet"}}
    assert needs_train(trainer, "nobody")[0] == 404
    ground.end("asked")
    version = ground.wait_states("asked", *MADE)[-1]["run"]
    answer = wait_until(lambda: (lambda told: told if not told["needsSync"] else None)(needs_train(trainer, "asked")[1]),
                        SEEN_S, "a fresh model")
    assert answer["parameters"]["name"] == version


class Lambda:
    """Answers needsSyncUrl; `told` is the answer."""

    def __init__(self):
        self.told: dict | str = {}
        self.questions = 0
        lambda_ = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                lambda_.questions += 1
                body = (lambda_.told if isinstance(lambda_.told, str) else json.dumps(lambda_.told)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/needsSync"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def oracle():
    made = Lambda()
    yield made
    made.close()


def test_needs_sync_is_asked(ground, oracle):
    """A lambda that says so makes the model stale, and its parameters override the notebook's."""
    daemon = ground.trainer("syncing", "--needs-sync-interval", "300ms").start()
    oracle.told = {"kind": "NeedsSync", "apiVersion": "v1alpha1", "needsSync": False, "parameters": {}}
    train = {"notebook": "notebooks/train.ipynb", "parameters": {"name": "old", "regularisation": 1.0}}
    ground.document("synced", fresh={"needsSyncUrl": oracle.url}, train=train)
    ground.end("synced")
    ground.wait_states("synced", *MADE)
    for broken in ("{", json.dumps({"needsSync": "yes"}), "x" * 100_000):
        before, oracle.told = oracle.questions, broken
        wait_until(lambda seen=before: oracle.questions > seen + 1, SEEN_S, "the lambda to be asked")
        assert ground.states("synced") == list(MADE)
    oracle.told = {"needsSync": True, "parameters": {"name": "new"}}
    wait_until(lambda: len(ground.states("synced")) == 5, SEEN_S, "a second run")
    oracle.told = {"needsSync": False}
    spec = json.loads((ground.run_folder("synced") / "run.json").read_text())
    assert spec["parameters"] == {"name": "new", "regularisation": 1.0, "min_examples": 30}
    ground.end("synced")
    done = ground.wait_states("synced", *MADE, *MADE)[-1]
    assert done["stale"] == ["needs-sync"]
    daemon.end()


def test_needs_sync_refuses_link_local(ground, trainer):
    """Where clouds give out credentials nobody asks; the other reasons count."""
    ground.document("careful", fresh={"needsSyncUrl": "http://169.254.169.254/latest/meta-data"})
    ground.end("careful")
    ground.wait_states("careful", *MADE)
    assert trainer.metric('nodag_trainer_needs_sync_total{result="failed"}') >= 1


def test_failures_back_off(ground, trainer):
    """A failure is not tried again at once, and `nodag status` says what is waited for."""
    ground.document("failing")
    ground.end("failing", "FAILED")
    ground.wait_states("failing", "PENDING", "RUNNING", "FAILED")
    record = wait_until(lambda: ground.pending("failing"), SEEN_S, "what it waits for")
    assert record["outcome"] == "AFTER" and "1 run failed" in record["reason"]
    assert trainer.metric('nodag_trainer_runs{state="FAILED"}') >= 1
    assert "trainer" in ground.nodag("status") and "Model/failing" in ground.nodag("status")


def test_history(ground, trainer):
    """Beyond the limits versions are collected: marked first, then removed; what is deployed stays."""
    head, versions = COMMIT_A, []
    ground.push(None, head, [], 1)
    spec = {"fresh": {"onPush": ["notebooks/**"]}, "history": {"successful": 1, "failed": 1}}
    for move in range(4):
        ground.document("kept", **spec)
        wait_until(lambda done=move: ground.states("kept").count("RUNNING") == done + 1, SEEN_S, "a run")
        ground.end("kept")
        wait_until(lambda done=move: ground.states("kept").count("SUCCEEDED") == done + 1, SEEN_S, "a version")
        versions.append([run["run"] for run in ground.records("runs", "kept")
                         if run["state"] == "SUCCEEDED" and not run["collected"]][-1])
        if move == 0:
            ground.publish("deployments", "prod", {"current": versions[0]})
        if move < 3:
            ground.push(head, chr(ord("c") + move) * 40, ["notebooks/train.ipynb"], move + 2)
            head = chr(ord("c") + move) * 40
    models = {record["version"]: record for record in ground.records("models", "kept")}

    def is_stored(version: str) -> bool:
        return Path(models[version]["artefacts"]["model"]["uri"].removeprefix("file://")).exists()

    wait_until(lambda: [is_stored(version) for version in versions] == [True, False, False, True], SEEN_S,
               "the second and third version to be collected")
    newest = {record["version"]: record for record in ground.records("models", "kept")}
    assert [newest[version]["collected"] for version in versions] == [False, True, True, False]
    ground.publish("deployments", "prod", None)
    listed = ground.nodag("models", "--model", "kept")
    assert versions[0] in listed and versions[1] not in listed
    assert versions[1] in ground.nodag("models", "--all", "--model", "kept")


def test_documents_of_a_folder(ground, tmp_path):
    """The repository that the folder lies in is the code: its HEAD, and what differs from the model's commit."""
    repository = tmp_path / "code"
    (repository / "nodag").mkdir(parents=True)
    (repository / "notebooks").mkdir()
    (repository / "notebooks" / "train.ipynb").write_text("{}")
    (repository / "nodag" / "model.yaml").write_text(
        "apiVersion: nodag.dev/v1\nkind: Model\nmetadata: {name: local}\nspec:\n"
        "  data: {repositories: ['acme/*']}\n  labels: {include: ['kind/*']}\n"
        "  fresh: {onPush: ['notebooks/**']}\n  train: {notebook: notebooks/train.ipynb}\n")
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "one")
    daemon = ground.trainer("folder", "--specs", repository / "nodag").start()
    ground.end("local")
    first = ground.wait_states("local", *MADE)[-1]
    assert first["commit"] == git(repository, "rev-parse", "HEAD") and first["repository"] == str(repository)
    (repository / "README").write_text("nothing that matters")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "two")
    (repository / "notebooks" / "train.ipynb").write_text("{ }")
    git(repository, "commit", "-q", "-a", "-m", "three")
    wait_until(lambda: len(ground.states("local")) == 5, SEEN_S, "a second run")
    ground.end("local")
    second = ground.wait_states("local", *MADE, *MADE)[-1]
    assert second["commit"] == git(repository, "rev-parse", "HEAD") and second["stale"] == ["on-push"]
    daemon.end()
