"""The labeler with models from the registry: versions that come late, change, are damaged, collected; a store that is
away; a death while one is fetched.

The documents and the records of versions are written here, by another client. Two models stand for two versions: one
knows areas and kinds, the other kinds alone, so that labels show which one decided.
"""
import csv
import os
import threading
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import history
import pytest
from daemon import run_program
from proc import wait_until
from spec_records import AGAIN_S, Documents, Registry
from whole_path import BUG_JUPYTER, EXAMPLES, SEED

BOTH = {"kind/bug", "area/jupyter"}
KIND = {"kind/bug"}
OLD_S = 3600  # The age at which nobody can be fetching a file any more.
HELD_S = 120  # For what a stand-in holds back; a test ends it long before.


@pytest.fixture(scope="module")
def registry(labeler_stack):
    return Registry(labeler_stack.brokers, labeler_stack.folder / "artefacts")


@pytest.fixture(scope="module")
def contents(labeler_stack) -> tuple[bytes, bytes]:
    """Two models: with areas and kinds, and with kinds alone."""
    data, model = labeler_stack.folder / "kinds.csv", labeler_stack.folder / "kinds.model"
    rows = history.generate(EXAMPLES, SEED, datetime.now(timezone.utc))
    for row in rows:
        row.labels = [label for label in row.labels if label.startswith("kind/")]
    history.write_csv(data, rows)
    with open(data, encoding="utf-8", newline="") as lines:
        assert not any("area/" in (row.get("label") or "") for row in csv.DictReader(lines))
    run_program([labeler_stack.bin_dir / "nodag-model", "train", "--data", data, "--model", model])
    return labeler_stack.model.read_bytes(), model.read_bytes()


@pytest.fixture(scope="module")
def cache(labeler_stack):
    return labeler_stack.folder / "model-cache"


@pytest.fixture(scope="module")
def labeler(labeler_stack, registry, cache):
    daemon = labeler_stack.labeler("--artefacts", registry.url, "--model-cache", cache, name="labeler-registry",
                                   by_topic=True).start()
    yield daemon
    daemon.end()


@pytest.fixture
def documents(stack, labeler):
    made = Documents(stack, labeler)
    yield made
    made.clear()


@pytest.fixture
def version() -> str:
    """The name of a run that never was before."""
    return f"labels-{uuid.uuid4().hex[:8]}-1"


def loaded(labeler) -> float:
    return labeler.metric('nodag_labeler_versions{state="loaded"}') or 0


def decide(repository, labels: set[str], version: str) -> int:
    """A new issue gets these labels, by this version."""
    number = repository.open(BUG_JUPYTER)
    record = repository.decided(number)
    assert record["model"] == version
    assert repository.labels(number) == labels
    return number


def test_version_comes_after_the_document(stack, documents, labeler, registry, contents, version):
    """What is not on the topic is waited for, and said; once it is there the issue is labelled at once."""
    documents.put("one", models=[{"model": version}])
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    record = repository.held_back(number, "RETRY")
    assert record["reason"] == f"the model of Labeler `one`: version {version} is not on the topic models"
    assert labeler.metric('nodag_labeler_versions{state="unknown"}') == 1
    assert f"version {version} is not on the topic models" in labeler.log_text()
    registry.store(contents[0])
    registry.publish(version, contents[0])
    assert repository.decided(number)["model"] == version
    assert repository.labels(number) == BOTH
    repository.not_pending(number)
    assert loaded(labeler) == 1 and labeler.metric('nodag_labeler_versions{state="unknown"}') == 0


def test_switch_without_a_gap(stack, documents, labeler, registry, contents, version):
    """A document that names another version: the former labels until the new one is there, then the new one does."""
    process, former, repository = labeler.proc.pid, f"{version}0", stack.repository("acme")
    registry.store(contents[0])
    registry.publish(former, contents[0])
    documents.put("one", models=[{"model": former}])
    decide(repository, BOTH, former)
    registry.path(contents[1]).unlink(missing_ok=True)
    registry.publish(version, contents[1])
    documents.put("one", models=[{"model": version}])
    decide(repository, BOTH, former)
    assert "the former stays in force" in labeler.log_text()
    assert labeler.metric('nodag_labeler_versions{state="failed"}') in (0, 1)  # it may be at it just now
    registry.store(contents[1])
    wait_until(lambda: f'"version":"{version}"' in in_force(labeler), AGAIN_S, "the new version to be in force")
    decide(repository, KIND, version)
    assert labeler.proc.pid == process and loaded(labeler) == 1  # the former one was let go


def in_force(labeler) -> str:
    """The lines that say which models are in force."""
    return "\n".join(line for line in labeler.log_text().splitlines() if "models are in force" in line)


def test_damaged_and_mended(stack, documents, labeler, registry, contents, version):
    """An artefact with another SHA-256 than its record says is never used; when it is mended nobody need restart."""
    content = contents[0] + b""
    good = registry.path(content)
    bad = bytearray(content)
    bad[len(bad) // 2] ^= 1
    fresh(labeler, content)
    registry.store(content, instead=bytes(bad))
    registry.publish(version, content)
    documents.put("one", models=[{"model": version}])
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    record = repository.held_back(number, "STALLED")
    assert f"version {version}: its artefact cannot be fetched:" in record["reason"]
    assert f"{good} is damaged" in record["reason"]
    assert not list(cache_of(labeler).glob(f"{good.name}.model"))
    assert loaded(labeler) == 0
    registry.store(content)
    assert repository.decided(number)["model"] == version
    assert repository.labels(number) == BOTH


def cache_of(labeler):
    return next(path for option, path in zip(labeler.arguments, labeler.arguments[1:]) if option == "--model-cache")


def fresh(labeler, content: bytes) -> None:
    """The cache does not have a content."""
    for path in cache_of(labeler).glob("*.model"):
        if path.stat().st_size == len(content):
            path.unlink()


def test_no_model_at_all(stack, documents, labeler, registry, contents, version):
    """What has the right SHA-256 and is no model waits for a person."""
    content = b"not a model at all: " + version.encode()
    registry.store(content)
    registry.publish(version, content)
    documents.put("one", models=[{"model": version}])
    repository = stack.repository("acme")
    record = repository.held_back(repository.open(BUG_JUPYTER), "STALLED")
    assert "its artefact cannot be used" in record["reason"] and "not a nodag model" in record["reason"]


def test_store_away_and_back(stack, documents, labeler, registry, contents, version):
    """A store that is not there is tried again, without anybody's doing."""
    fresh(labeler, contents[1])
    registry.store(contents[1])
    away = registry.folder.with_name("away")
    registry.folder.rename(away)
    registry.publish(version, contents[1])
    documents.put("one", models=[{"model": version}])
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    record = repository.held_back(number, "RETRY")
    assert f"version {version}: its artefact cannot be fetched:" in record["reason"]
    away.rename(registry.folder)
    assert repository.decided(number)["model"] == version
    assert repository.labels(number) == KIND


def test_collected(stack, documents, labeler, registry, contents, version):
    """A version whose artefacts were removed waits for a person, who names another one."""
    registry.publish(version, contents[0], collected=True)
    documents.put("one", models=[{"model": version}])
    repository = stack.repository("acme")
    number = repository.open(BUG_JUPYTER)
    record = repository.held_back(number, "STALLED")
    assert f"version {version} is collected" in record["reason"]
    other = f"{version}0"
    registry.store(contents[0])
    registry.publish(other, contents[0])
    documents.put("one", models=[{"model": other}])
    assert repository.decided(number)["model"] == other


def test_collected_while_in_use(stack, documents, labeler, registry, contents, version):
    """What is loaded stays in force when it is collected."""
    registry.store(contents[0])
    registry.publish(version, contents[0])
    documents.put("one", models=[{"model": version}])
    repository = stack.repository("acme")
    decide(repository, BOTH, version)
    registry.publish(version, contents[0], collected=True)
    wait_until(lambda: labeler.metric('nodag_labeler_versions{state="collected"}') == 1, AGAIN_S, "the record")
    decide(repository, BOTH, version)


def test_restart_from_the_cache(stack, documents, labeler, registry, contents, version):
    """After a restart the cache is enough; what went bad there is found, and fetched again."""
    registry.store(contents[0])
    registry.publish(version, contents[0])
    documents.put("one", models=[{"model": version}])
    repository = stack.repository("acme")
    decide(repository, BOTH, version)
    kept = cache_of(labeler) / f"{registry.path(contents[0]).name}.model"
    away = registry.folder.with_name("away")
    labeler.stop()
    registry.folder.rename(away)
    labeler.start()
    decide(repository, BOTH, version)
    assert labeler.metric('nodag_labeler_model_fetches_total{result="cached"}') == 1
    labeler.stop()
    away.rename(registry.folder)
    bad = bytearray(contents[0])
    bad[-100] ^= 1
    kept.write_bytes(bytes(bad))
    labeler.start()
    decide(repository, BOTH, version)
    assert labeler.metric('nodag_labeler_model_fetches_total{result="fetched"}') == 1
    assert kept.read_bytes() == contents[0]


class SlowStore(ThreadingHTTPServer):
    """A stand-in for an S3 server: the first answer stops in the middle."""
    daemon_threads = True

    def __init__(self, content: bytes):
        super().__init__(("127.0.0.1", 0), SlowAnswer)
        self.content, self.paths = content, []
        self.half_sent, self.go_on = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class SlowAnswer(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):  # pylint: disable=invalid-name
        store = self.server
        store.paths.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(store.content)))
        self.end_headers()
        half = len(store.content) // 2
        self.wfile.write(store.content[:half])
        self.wfile.flush()
        if len(store.paths) == 1:
            store.half_sent.set()
            store.go_on.wait(HELD_S)
        self.wfile.write(store.content[half:])

    def log_message(self, *_):
        pass


def test_killed_while_fetching(stack, labeler, registry, contents, version, tmp_path):
    """kill -9 in the middle of a fetch: the next start fetches it whole, and the rest of the first goes in time."""
    labeler.stop()  # it has the partitions
    store = SlowStore(contents[0])
    keys, cache = tmp_path / "keys.yaml", tmp_path / "cache"
    keys.write_text("access_key_id: someone\nsecret_access_key: something\n", encoding="utf-8")
    keys.chmod(0o600)
    daemon = stack.labeler("--artefacts", "s3://bucket/prefix", "--artefacts-endpoint",
                           f"http://127.0.0.1:{store.server_port}", "--artefacts-credentials-file", keys,
                           "--model-cache", cache, name="labeler-s3", by_topic=True).start()
    documents = Documents(stack, daemon)
    try:
        registry.publish(version, contents[0])
        documents.put("one", models=[{"model": version}])
        repository = stack.repository("acme")
        number = repository.open(BUG_JUPYTER)
        assert store.half_sent.wait(AGAIN_S)
        daemon.kill()
        store.go_on.set()
        name = registry.path(contents[0]).name
        left = list(cache.iterdir())
        assert len(left) == 1 and left[0].name.startswith(f"{name}.model.new-")
        old = left[0].stat().st_mtime - OLD_S
        os.utime(left[0], (old, old))
        daemon.start()
        assert repository.decided(number)["model"] == version
        assert repository.labels(number) == BOTH
        assert [path.name for path in cache.iterdir()] == [f"{name}.model"]
        assert store.paths == [f"/bucket/prefix/sha256/{name[:2]}/{name}"] * 2
    finally:
        store.go_on.set()
        documents.clear()
        daemon.end()
        store.shutdown()
        labeler.start()
