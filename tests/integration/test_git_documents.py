"""nodag-ingest-git publishes the documents of its sources on `specs`: real git, real Kafka, kill -9.

What is compared: the records that stand on the topic with the commits that the test made.
"""
import json
import shutil
from datetime import datetime, timezone

import pytest
from daemon import run_program
from git_documents import Source, Specs, deployment, labeler
from git_door import Door
from git_servers import HttpServer, Remote, git
from proc import wait_until
from whole_path import BUG_JUPYTER, COMMON

WAIT_S = 90


@pytest.fixture
def door(start_daemon, topics_created, tmp_path) -> Door:
    return Door(start_daemon, topics_created.brokers, tmp_path)


@pytest.fixture
def specs(door):
    specs = Specs(door)
    yield specs
    specs.withdraw_all()


@pytest.fixture
def source(tmp_path) -> Source:
    return Source(tmp_path / "remotes" / "acme", "desired")


def start(door: Door, *sources: dict, **others) -> None:
    door.configure(sources=list(sources), **others)
    door.start()


def test_valid_changed_deleted(door, specs, source):
    """A document is published with its commit, again when it changes, and withdrawn when it is deleted."""
    first = source.write(one=labeler("one"), two=labeler("two", '"other/*"'), notes="no: document\n")
    start(door, source.config())
    record = specs.await_commit("Labeler/one", first)
    valid = record["valid"]
    assert (valid["repository"], valid["branch"], valid["path"]) == (source.file_url, "main", "nodag/one.yaml")
    assert valid["document"]["spec"]["repositories"] == ["acme/*"] and record["invalid"] is None
    assert record["first_published"] is not None
    [published] = [each for each in specs.records() if each.key == b"Labeler/one"]
    attributes = published.attributes
    assert attributes["ce_type"] == "dev.nodag.spec" and attributes["ce_source"] == source.file_url
    assert attributes["ce_dataschema"] == "urn:nodag:schema:spec:1"

    second = source.write(one=labeler("one", labels='"area/*"'))
    changed = specs.await_commit("Labeler/one", second)
    assert changed["valid"]["document"]["spec"]["labels"]["include"] == ["area/*"]
    assert changed["first_published"] == record["first_published"]
    assert specs.now()["Labeler/two"]["valid"]["commit"] == first  # it did not change

    source.write(one=None)
    specs.await_gone("Labeler/one")
    assert "Labeler/two" in specs.now()
    [last] = [each for each in specs.records() if each.key == b"Labeler/one"][-1:]
    assert last.value is None and last.attributes["ce_type"] == "dev.nodag.spec.deleted"


def test_invalid_beside_valid(door, specs, source, bin_dir):
    """The last valid one stays in force, the reason stands beside it with its place; `nodag specs` shows both."""
    first = source.write(one=labeler("one"))
    start(door, source.config())
    specs.await_commit("Labeler/one", first)
    second = source.write(one=labeler("one") + "  coment: edit\n")
    record = specs.await_commit("Labeler/one", second, "invalid")
    assert record["valid"]["commit"] == first and "unknown name 'coment'" in record["invalid"]["reason"]
    kafka = ["--brokers", door.brokers]
    listed = run_program([bin_dir / "nodag", "specs", *kafka]).stdout
    assert "unknown name 'coment'" in listed
    shown = run_program([bin_dir / "nodag", "specs", "show", "Labeler/one", *kafka]).stdout
    assert f"not valid: {source.file_url} nodag/one.yaml:1 at {second}"[:60] in shown and '"kind/*"' in shown
    assert door.daemon.metric('nodag_git_documents{state="invalid"}') == 1

    git(source.work, "revert", "--no-edit", second)  # reverting a commit reverts it
    source.push()
    mended = specs.wait_until(lambda now: now["Labeler/one"]["invalid"] is None, "the revert")["Labeler/one"]
    assert mended["valid"]["document"] == record["valid"]["document"]


def test_revert(door, specs, source):
    """Reverting a commit brings back what was desired before."""
    source.write(one=labeler("one"))
    start(door, source.config())
    second = source.write(one=labeler("one", labels='"area/*"'))
    specs.await_commit("Labeler/one", second)
    git(source.work, "revert", "--no-edit", second)
    source.push()
    record = specs.await_commit("Labeler/one", source.head())
    assert record["valid"]["document"]["spec"]["labels"]["include"] == ["kind/*"]


def test_files_that_cannot_be_read(door, specs, source):
    """A file without a readable name, one that is too large and one that is no text are named; others count."""
    source.write(one=labeler("one"), broken="kind: [", large="# " + "x" * (1 << 20))
    (source.work / "nodag" / "bytes.yml").write_bytes(b"\xff\xfe\0")
    (source.work / "nodag" / "bytes.txt").write_text(labeler("text"))
    (source.work / "elsewhere.yaml").write_text(labeler("elsewhere"))
    (source.work / "nodag" / "link.yaml").symlink_to("one.yaml")
    head = source.write()
    start(door, source.config())
    specs.await_commit("Labeler/one", head)
    now = specs.now()
    file = f"File/{source.file_url}/nodag/"
    assert set(now) == {"Labeler/one", f"{file}broken.yaml", f"{file}large.yaml", f"{file}bytes.yml"}
    assert "larger than 1 MiB" in now[f"{file}large.yaml"]["invalid"]["reason"]
    assert "no UTF-8 text" in now[f"{file}bytes.yml"]["invalid"]["reason"]
    # What is in force of a file that becomes unreadable stays.
    bad = source.write(one="]")
    record = specs.await_commit("Labeler/one", bad, "invalid")
    assert record["valid"]["commit"] == head


def test_too_many_files(door, specs, source):
    """More files than are read are no documents at all: what was published stays, and a person is told."""
    first = source.write(one=labeler("one"))
    start(door, source.config())
    specs.await_commit("Labeler/one", first)
    for number in range(1001):
        (source.work / "nodag" / f"{number}.yaml").write_text("a: 1\n")
    source.write(one=None)
    door.await_metric(f'nodag_git_source_failures_total{{repository="{source.file_url}"}}')
    door.await_looks()
    assert specs.now()["Labeler/one"]["valid"]["commit"] == first
    assert door.daemon.metric(f'nodag_git_source_failures_total{{repository="{source.file_url}"}}') == 1
    for number in range(1001):
        (source.work / "nodag" / f"{number}.yaml").unlink()
    source.write()
    specs.await_gone("Labeler/one")


def test_allow(door, specs, source):
    """What the source may not define is not published; a tighter file withdraws, a wider one lets in."""
    head = source.write(one=labeler("one"), two=labeler("two", '"other/x"'), three=labeler("three", labels='"area/x"'),
                        name=labeler("a-name"))
    allow = {"names": ["Labeler/one", "two", "three"], "targets": ["acme/*"], "labels": ["kind/*"]}
    start(door, source.config(allow=allow))
    specs.await_commit("Labeler/one", head)
    now = specs.now()
    assert now["Labeler/two"]["valid"] is None and "allow.targets" in now["Labeler/two"]["invalid"]["reason"]
    assert now["Labeler/three"]["valid"] is None and "allow.labels" in now["Labeler/three"]["invalid"]["reason"]
    assert "Labeler/a-name" not in now
    assert "allow.names" in now[f"File/{source.file_url}/nodag/name.yaml"]["invalid"]["reason"]
    door.configure(sources=[source.config(allow={**allow, "targets": ["other/*"]})])
    now = specs.wait_until(lambda now: now["Labeler/two"]["valid"] is not None, "the other target")
    assert now["Labeler/one"]["valid"] is None  # in force, and outside by now: it does not stay


def test_two_sources(door, specs, source, tmp_path):
    """Who has a key keeps it, and the other is named beside it; a source that goes gives its keys free."""
    other = Source(tmp_path / "remotes" / "acme", "other")
    first = source.write(one=labeler("one"))
    start(door, source.config())
    specs.await_commit("Labeler/one", first)
    taken = other.write(one=labeler("one", labels='"area/*"'), two=labeler("two"))
    door.configure(sources=[source.config(), other.config()])
    record = specs.await_commit("Labeler/one", taken, "invalid")
    assert record["valid"]["commit"] == first and "stands in nodag/one.yaml" in record["invalid"]["reason"]
    specs.await_commit("Labeler/two", taken)
    door.configure(sources=[other.config()])
    record = specs.await_commit("Labeler/one", taken)
    assert record["invalid"] is None
    door.configure()  # without `sources` nothing is withdrawn
    reads = 'nodag_git_configuration_reads_total{result="valid"}'
    door.await_metric(reads, 3)
    assert set(specs.now()) == {"Labeler/one", "Labeler/two"}


def test_restart_repeats_nothing(door, specs, source):
    """A start reads every source once and publishes what differs: nothing, or what was pushed meanwhile."""
    first = source.write(one=labeler("one"), two=labeler("two", '"other/*"'), bad="]")
    start(door, source.config())
    specs.await_commit("Labeler/two", first)
    wait_until(lambda: len(specs.now()) == 3, WAIT_S, "the broken file", door.daemon.proc)
    count = len(specs.records())
    for loses_state in (False, True):
        door.daemon.stop()
        if loses_state:
            shutil.rmtree(door.state)
        door.start()
        door.await_metric('nodag_git_sources{state="read"}')
        door.await_looks()
        assert len(specs.records()) == count
    door.daemon.kill()
    second = source.write(one=labeler("one", labels='"area/*"'))
    door.start()
    specs.await_commit("Labeler/one", second)
    assert len(specs.records()) == count + 1


def test_killed_between_push_and_documents(door, specs, source):
    """The push is on git.pushes, its documents are not on specs: the next start makes up for it."""
    first = source.write(one=labeler("one"))
    door.configure({"url": source.file_url})  # no sources: exactly the state after such a crash
    door.start()
    door.await_pushes(source.file_url, 1)
    door.daemon.kill()
    assert specs.now() == {}
    door.configure(sources=[source.config()])
    door.start()
    specs.await_commit("Labeler/one", first)
    for number in range(3):  # and wherever kill -9 happens to hit
        commit = source.write(one=labeler("one", labels=f'"kind/{number}"'))
        door.await_pushes(source.file_url, number + 2)
        door.daemon.kill()
        door.start()
        specs.await_commit("Labeler/one", commit)
    documents = [record.value for record in specs.records() if record.key == b"Labeler/one"]
    assert len(documents) == len(set(documents)) == 4


def test_unreachable_source(door, specs, source, tmp_path):
    """What a source published stays in force while it cannot be reached, over a restart too; others go on."""
    server = HttpServer(tmp_path / "remotes")
    try:
        other = Source(tmp_path / "remotes" / "acme", "other")
        first = source.write(one=labeler("one"))
        far = source.config(repository=f"{server.url}/acme/desired.git")
        start(door, far, other.config())
        specs.await_commit("Labeler/one", first)
        server.is_down = True
        door.daemon.stop()
        source.write(one=None)
        door.start()
        door.await_failure(far["repository"], "unavailable")
        near = other.write(two=labeler("two", '"other/*"'))
        specs.await_commit("Labeler/two", near)
        assert specs.now()["Labeler/one"]["valid"]["commit"] == first
        server.is_down = False
        specs.await_gone("Labeler/one")
    finally:
        server.close()


def test_branch_that_goes(door, specs, source):
    """A branch that is deleted withdraws nothing; what the next one of its name has counts."""
    first = source.write(one=labeler("one"))
    source.push("main:kept")
    start(door, source.config())
    specs.await_commit("Labeler/one", first)
    git(source.bare, "symbolic-ref", "HEAD", "refs/heads/kept")
    source.push(":main")
    door.await_pushes(source.file_url, 2)
    door.await_looks()
    assert specs.now()["Labeler/one"]["valid"]["commit"] == first
    source.write(one=None)
    specs.await_gone("Labeler/one")


def test_named_repositories(door, specs, source, tmp_path):
    """The target of a Deployment is watched while the document is in force, on its branch."""
    target = Remote(tmp_path / "remotes" / "acme", "target")
    server = HttpServer(tmp_path / "remotes")
    try:
        url = f"{server.url}/acme/target.git"
        commit = target.commit_and_push("first")
        target.push("main:other")
        head = source.write(prod=deployment("prod", url, "main"), here=deployment("here", target.file_url))
        start(door, source.config())
        [push] = door.await_pushes(url, 1)
        assert (push["ref"], push["new"]) == ("refs/heads/main", commit)
        specs.await_commit("Deployment/here", head)
        assert "lies on this machine" in door.daemon.log_text() and door.pushes(target.file_url) == []
        door.daemon.stop()
        door.start()
        second = target.commit_and_push("second")
        assert door.await_pushes(url, 2)[1]["new"] == second
        source.write(prod=deployment("prod", url))  # without a base: all branches
        assert {push["ref"] for push in door.await_pushes(url, 3)} == {"refs/heads/main", "refs/heads/other"}
        source.write(prod=None)
        wait_until(lambda: door.daemon.metric("nodag_git_repositories") == 1, WAIT_S, "the target to be left alone",
                   door.daemon.proc)
        wait_until(lambda: len(list(door.state.glob("*.git"))) == 1, WAIT_S, "its mirror to go", door.daemon.proc)
    finally:
        server.close()


def test_damaged_mirror(door, specs, source):
    """A mirror that lost its objects is made anew."""
    first = source.write(one=labeler("one"))
    start(door, source.config())
    specs.await_commit("Labeler/one", first)
    door.daemon.stop()
    [mirror] = door.state.glob("*.git")
    for path in [*mirror.glob("objects/??/*"), *mirror.glob("objects/pack/*")]:
        path.unlink()
    second = source.write(one=labeler("one", labels='"area/*"'))
    door.start()
    specs.await_commit("Labeler/one", second)


def test_labeler_follows(door, specs, source, stack):
    """The whole way: a document is pushed, and the real labeler does what it says; reverted, it stops."""
    daemon = stack.labeler(name="labeler-by-git", by_topic=True).start()
    try:
        repository = stack.repository("acme")
        before = repository.open(BUG_JUPYTER)
        stack.settle()
        text = labeler("by-git", labels=json.dumps(json.loads(COMMON))[1:-1], model=json.dumps(str(stack.model)))
        first = source.write(one=text)
        start(door, source.config())
        published = specs.await_commit("Labeler/by-git", first)["first_published"]
        # Issues' times are whole seconds: what is opened in this very second is from before the document.
        wait_until(lambda: datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") > published[:19], WAIT_S,
                   "the next second")
        wait_until(lambda: daemon.metric('nodag_labeler_documents{state="valid"}') == 1, WAIT_S, "the document")
        number = repository.open(BUG_JUPYTER)
        repository.decided(number)
        assert repository.labels(number) == {"kind/bug", "area/jupyter"}
        git(source.work, "rm", "-q", "-r", "nodag")
        git(source.work, "commit", "-q", "-m", "no more")
        source.push()
        wait_until(lambda: daemon.metric('nodag_labeler_documents{state="valid"}') == 0, WAIT_S, "the withdrawal")
        after = repository.open(BUG_JUPYTER)
        stack.settle()
        assert repository.labels(before) == repository.labels(after) == set()
    finally:
        daemon.end()
