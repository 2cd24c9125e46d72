"""The reactors on an S3-compatible store: what the trainer publishes is there, what it collects is gone, and what the labeler fetches
is right, over a road that can be bad (s3_road.py).
"""
import hashlib
import json
import sys
import uuid
from pathlib import Path

import pytest
from daemon import Daemon
from distribution import cache_folder
from proc import wait_until
from run_bench import ROOT, WRITE_ALL, Bench, notebook
from s3_road import Answer, Cut, Hold, Road
from s3_server import Keys, S3Server
from spec_records import Documents, Registry
from trainer_ground import Ground
from training_path import RUN_S, TrainingPath
from whole_path import BUG_JUPYTER

BUCKET = "artefacts"
PREFIX = "models/of-tests"
URL = f"s3://{BUCKET}/{PREFIX}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("s3")).start()
    server.client().create_bucket(Bucket=BUCKET)
    yield server
    server.stop()


@pytest.fixture
def road(server: S3Server):
    road = Road(server.port)
    yield road
    road.close()


@pytest.fixture
def options(road: Road, tmp_path: Path) -> list:
    """Of every reactor."""
    return ["--artefacts", URL, "--artefacts-endpoint", road.endpoint, "--artefacts-credentials-file", Keys().write(tmp_path / "keys.yaml")]


# -- the trainer -----------------------------------------------------------------------------------------------------------


class RealRuns(Ground):
    """A ground whose runs are real: papermill, a repository, and artefacts in a bucket."""

    def __init__(self, brokers: str, bin_dir: Path, folder: Path, artefacts: list):
        super().__init__(brokers, bin_dir, folder)
        self.artefacts, self.programs = artefacts, TrainingPath._copy_programs(self)
        self.code = Bench(folder, self.programs / "nodag-train-run", self.programs / "nodag")
        self.moves = 0
        (folder / "data.jsonl").write_text('{"repo":"a/b","created_at":"2026-01-01","label":[],"title":"t","body":"b"}\n', encoding="utf-8")

    def trainer(self, name: str, *more) -> Daemon:
        arguments = ["--brokers", self.brokers, "--kafka-properties", self.properties, "--replica", name, "--runs", self.runs,
                     "--cache", cache_folder() / "run-environments", "--dataset", self.folder / "data.jsonl", "--retry-wait", "200ms",
                     "--needs-train-address", "127.0.0.1:0", "--backoff-least", "50ms", "--backoff-most", "500ms", "--sweep-interval", "1d",
                     *self.artefacts, *more]
        environment = {"NODAG_PYTHON": sys.executable, "NODAG_REQUIREMENTS": str(ROOT / "deploy" / "notebooks" / "requirements.txt")}
        return Daemon(self.programs / "nodag-trainer", [str(word) for word in arguments], self.folder / name, environment)

    def push_notebook(self, name: str, *cells: str) -> str:
        """A commit of a model's notebook, and the record of it."""
        path, old = f"notebooks/{name}.ipynb", self.commit
        self.commit = self.code.commit({path: json.dumps(notebook(*cells))})
        self.moves += 1
        repository = str(self.folder / "repository")
        self.publish("git.pushes", f"{repository}|refs/heads/main", {
            "repository": repository, "ref": "refs/heads/main", "old": old, "new": self.commit, "move": self.moves, "created": old is None,
            "deleted": False, "forced": False, "time": None, "commits": [], "paths": [path], "truncated": {"commits": False, "paths": False}})
        return self.commit

    commit: str | None = None

    def document(self, name: str, commit: str = "", **spec) -> None:
        path = f"notebooks/{name}.ipynb"
        whole = {"data": {"repositories": ["acme/*"]}, "labels": {"include": ["kind/*"]}, "fresh": {"onPush": [path]},
                 "train": {"notebook": path, "deadline": "10m"}, "history": {"successful": 1, "failed": 1}, **spec}
        document = {"apiVersion": "nodag.dev/v1", "kind": "Model", "metadata": {"name": name}, "spec": whole}
        self.documents.add(name)
        self.publish("specs", f"Model/{name}", {"first_published": "2026-11-01T08:00:00Z", "invalid": None, "valid": {
            "repository": str(self.folder / "repository"), "branch": "main", "path": f"{name}.yaml", "commit": commit or self.commit, "line": 1,
            "document": document}})

    def versions(self, model: str) -> list[dict]:
        return [record for record in self.records("models", model) if not record["collected"]]

    def await_version(self, model: str, count: int) -> dict:
        def is_there() -> bool:
            assert "FAILED" not in self.states(model), (self.run_folder(model) / "log").read_text(errors="replace")
            return len(self.versions(model)) >= count
        wait_until(is_there, RUN_S, f"version {count} of {model}")
        return self.versions(model)[-1]


@pytest.fixture
def ground(topics_created, bin_dir: Path, tmp_path: Path, options):
    ground = RealRuns(topics_created.brokers, bin_dir, tmp_path, options)
    daemon = ground.trainer("trainer-s3").start()
    ground.daemon = daemon
    yield ground
    ground.clear()
    daemon.end()
    ground.check()


def keys_of(*records: dict) -> set[str]:
    return {artefact["uri"].removeprefix(f"s3://{BUCKET}/") for record in records for artefact in record["artefacts"].values()}


def test_versions_are_published_and_collected(ground: RealRuns, server: S3Server, road: Road):
    """From a document to links that can be followed; the former version's objects go, only these, and the loop does not wait."""
    model = f"stored-{uuid.uuid4().hex[:6]}"
    others = [f"{PREFIX}/sha256/00/{'0' * 64}", f"{PREFIX}-of-others/x", "x"]
    for key in others:
        server.client().put_object(Bucket=BUCKET, Key=key, Body=b"somebody's")
    ground.push_notebook(model, WRITE_ALL, "open(model, 'w').write('first')")
    ground.document(model)
    first = ground.await_version(model, 1)
    sizes = server.sizes(BUCKET)
    for name, artefact in first["artefacts"].items():  # the record came after them
        content = server.read(BUCKET, artefact["uri"].removeprefix(f"s3://{BUCKET}/"))
        assert hashlib.sha256(content).hexdigest() == artefact["sha256"] and len(content) == artefact["size_bytes"], name
    assert keys_of(first) | set(others) == set(sizes)
    shown = ground.nodag("models", "show", first["version"])
    assert all(f"artefact {name}: {artefact['uri']}" in shown for name, artefact in first["artefacts"].items()), shown
    held = road.on(Hold("DELETE"))
    ground.push_notebook(model, WRITE_ALL, "open(model, 'w').write('second')")
    second = ground.await_version(model, 2)
    assert held.held.wait(RUN_S)
    for path in ("/healthz", "/readyz", "/metrics"):  # while the store says nothing
        assert ground.daemon.ask_admin(path)[0] == 200
    assert keys_of(first) <= set(server.sizes(BUCKET))
    marked = ground.records("models", model)[-1]
    assert marked["version"] == first["version"] and marked["collected"]  # before the first is removed
    road.release()
    wait_until(lambda: "cannot be removed now" in ground.daemon.log_text(), RUN_S, "the trainer to put it off")
    ground.daemon.stop()  # it would try again in some minutes; a new one does at once
    ground.daemon.start()
    kept = keys_of(second) | set(others)
    wait_until(lambda: set(server.sizes(BUCKET)) == kept, RUN_S, "the former version to be collected")
    assert keys_of(first) & keys_of(second), "the data set belongs to both"
    gone = {request.path.removeprefix(f"/{BUCKET}/") for request in road.seen("DELETE")}
    assert gone == keys_of(first) - keys_of(second)
    assert first["version"] not in ground.nodag("models", "--model", model)


# -- the labeler -----------------------------------------------------------------------------------------------------------


class Bucket(Registry):
    """Versions whose artefacts are in a bucket."""

    def __init__(self, brokers: str, server: S3Server):
        super().__init__(brokers, Path("nowhere"))
        self.url, self.server = URL, server

    def key(self, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()
        return f"{PREFIX}/sha256/{name[:2]}/{name}"

    def store(self, content: bytes, instead: bytes | None = None) -> None:
        self.server.client().put_object(Bucket=BUCKET, Key=self.key(content), Body=content if instead is None else instead)


@pytest.mark.parametrize("trouble", ["none", "busy", "cut", "denied", "absent", "damaged"])
def test_labeler_fetches_its_model(labeler_stack, stack, server: S3Server, road: Road, options, tmp_path: Path, trouble: str):
    """What is in force is what was stored, whatever happened on the way; what a person must mend is said, and then goes on."""
    content = labeler_stack.model.read_bytes()
    registry, version = Bucket(labeler_stack.brokers, server), f"labels-{uuid.uuid4().hex[:8]}-1"
    name = hashlib.sha256(content).hexdigest()
    server.client().delete_object(Bucket=BUCKET, Key=registry.key(content))
    if trouble != "absent":
        registry.store(content, instead=content[:-1] + bytes([content[-1] ^ 1]) if trouble == "damaged" else None)
    if trouble == "busy":
        road.on(Answer("GET", times=2))
    elif trouble == "cut":
        road.on(Cut("GET", answered=len(content) // 2))
    elif trouble == "denied":
        Keys(secret="wr/ong+").write(tmp_path / "keys.yaml")
    daemon = stack.labeler(*options, "--model-cache", tmp_path / "cache", name=f"labeler-s3-{trouble}", by_topic=True).start()
    documents = Documents(stack, daemon)
    try:
        registry.publish(version, content)
        documents.put("one", models=[{"model": version}])
        repository = stack.repository("acme")
        number = repository.open(BUG_JUPYTER)
        if trouble in ("denied", "absent", "damaged"):
            record = repository.held_back(number, "RETRY" if trouble == "absent" else "STALLED")
            says = {"denied": "403 SignatureDoesNotMatch", "absent": "404 NoSuchKey", "damaged": "is damaged"}[trouble]
            assert f"version {version}: its artefact cannot be fetched:" in record["reason"] and says in record["reason"], record["reason"]
            assert not list((tmp_path / "cache").glob("*"))
            Keys().write(tmp_path / "keys.yaml")
            registry.store(content)
        assert repository.decided(number)["model"] == version
        assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{name}.model"]
        assert (tmp_path / "cache" / f"{name}.model").read_bytes() == content
        assert len(road.seen("GET", name)) >= {"none": 1, "busy": 3}.get(trouble, 2)
        assert "wr/ong+" not in daemon.log_text() and Keys().secret not in daemon.log_text()
    finally:
        documents.clear()
        daemon.end()
