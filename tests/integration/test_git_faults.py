"""nodag-ingest-git when things go wrong: pushes while it is down, remotes that hang, empty, break, kill -9, many refs.

Every test ends with the chain of the records: each move follows the one before it, none is missing and none stands
twice.
"""
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from git_door import Door, chain_of
from git_servers import HttpServer, Remote, git
from proc import wait_until

WAIT_S = 60


@pytest.fixture
def door(start_daemon, topics_created, tmp_path) -> Door:
    return Door(start_daemon, topics_created.brokers, tmp_path)


@pytest.fixture
def make_remote(tmp_path):
    """make_remote(NAME): a repository; all are below one folder."""
    return lambda name: Remote(tmp_path / "remotes" / "owner", name)


@pytest.fixture
def http_server(tmp_path):
    server = HttpServer(tmp_path / "remotes")
    yield server
    server.go_on()
    server.close()


def git_processes(folder: Path) -> list[str]:
    """The git processes that work in a folder of mirrors."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command, place = (entry / "cmdline").read_bytes(), os.readlink(entry / "cwd")
        except OSError:
            continue
        if place.startswith(str(folder)) and b"git" in command.split(b"\0")[0]:
            found.append(command.replace(b"\0", b" ").decode())
    return found


@pytest.mark.parametrize("loses_state", [False, True])
def test_pushes_while_down(door, make_remote, loses_state):
    """What moved while the daemon was down is told once, with or without the mirrors; what stood still is not told."""
    remote = make_remote("down")
    first = remote.commit_and_push("first", a="1")
    remote.push("main:still", "main:goes")
    door.configure({"url": remote.file_url})
    daemon = door.start()
    door.await_pushes(remote.file_url, 3)
    daemon.stop()
    remote.commit_and_push("second", a="2")
    third = remote.commit_and_push("third", b="3")
    remote.push(":goes", "main:comes")
    if loses_state:
        shutil.rmtree(door.state)
    door.start()
    pushes = door.await_pushes(remote.file_url, 6)
    door.await_looks()
    pushes = door.await_pushes(remote.file_url, 6)
    assert chain_of(pushes) == {"refs/heads/main": third, "refs/heads/still": first, "refs/heads/goes": None,
                                "refs/heads/comes": third}
    [moved] = [push for push in pushes if push["ref"] == "refs/heads/main" and push["move"] == 2]
    assert (moved["old"], moved["new"], moved["forced"]) == (first, third, False)
    assert [commit["subject"] for commit in moved["commits"]] == ["third", "second"] and moved["paths"] == ["a", "b"]


def test_thousand_refs(door, make_remote):
    """A thousand refs in one push are a thousand records; a hundred that move and a hundred that go, likewise."""
    remote = make_remote("many")
    first = remote.commit("first")
    git(remote.work, "update-ref", "--stdin", data="".join(f"create refs/heads/b/{n} {first}\n" for n in range(1000)))
    remote.push("refs/heads/b/*:refs/heads/b/*")
    door.configure({"url": remote.file_url, "branches": ["b/*"]})
    door.start()
    door.await_pushes(remote.file_url, 1000)
    second = remote.commit("second")
    git(remote.work, "update-ref", "--stdin", data="".join(f"update refs/heads/b/{n} {second}\n" for n in range(100)))
    git(remote.work, "update-ref", "--stdin", data="".join(f"delete refs/heads/b/{n}\n" for n in range(900, 1000)))
    git(remote.work, "push", "-q", "--prune", "origin", "refs/heads/b/*:refs/heads/b/*")
    pushes = door.await_pushes(remote.file_url, 1200)
    expected = {f"refs/heads/b/{n}": second if n < 100 else None if n >= 900 else first for n in range(1000)}
    assert chain_of(pushes) == expected
    assert door.daemon.metric(f'nodag_git_heads{{repository="{remote.file_url}"}}') == 900


def test_remote_that_hangs_in_a_pack(door, make_remote, http_server):
    """The deadline ends the fetch with all its processes; another repository goes on; later all is told once."""
    hanging, other = make_remote("hangs"), make_remote("works")
    hanging.commit("first", a="x" * 100)
    (hanging.work / "large").write_bytes(os.urandom(1 << 20))
    git(hanging.work, "add", "large")
    first = hanging.commit_and_push("large", b="1")
    url = f"{http_server.url}/owner/hangs.git"
    http_server.stop_after = 200_000
    door.configure({"url": url}, {"url": other.file_url})
    door.start("--fetch-timeout", "3s")
    wait_until(http_server.held.is_set, WAIT_S, "the pack to be held")
    commit = other.commit_and_push("meanwhile")
    [push] = door.await_pushes(other.file_url, 1)
    assert push["new"] == commit
    door.await_failure(url, "timeout")
    assert door.pushes(url) == []
    http_server.go_on()
    [push] = door.await_pushes(url, 1)
    assert push["new"] == first
    left = [path for path in door.state.rglob("tmp_*")] + [path for path in door.state.rglob("*.lock")]
    assert left == []


def test_killed_while_it_fetches(door, make_remote, http_server):
    """kill -9 leaves no process behind, and the next start makes up for it once."""
    remote = make_remote("killed")
    (remote.work / "large").write_bytes(os.urandom(1 << 20))
    git(remote.work, "add", "large")
    first = remote.commit_and_push("large", b="1")
    url = f"{http_server.url}/owner/killed.git"
    http_server.stop_after = 200_000
    door.configure({"url": url})
    daemon = door.start()
    wait_until(http_server.held.is_set, WAIT_S, "the pack to be held")
    wait_until(lambda: git_processes(door.state), WAIT_S, "git to run")
    daemon.kill()
    wait_until(lambda: not git_processes(door.state), WAIT_S, "git to be gone")
    http_server.go_on()
    door.start()
    [push] = door.await_pushes(url, 1)
    assert push["new"] == first
    door.await_looks()
    assert len(door.pushes(url)) == 1


def test_killed_again_and_again(door, make_remote):
    """Pushes go on while the daemon is killed at whatever it is doing: the chain of records has no gap."""
    remote = make_remote("often")
    remote.commit_and_push("0")
    door.configure({"url": remote.file_url})
    daemon = door.start()
    for number in range(1, 9):
        remote.commit_and_push(str(number))
        seen = len(door.records(remote.file_url))
        if number % 2:  # at some moment of the look that follows, or of the record's way
            wait_until(lambda: git_processes(door.state) or len(door.records(remote.file_url)) > seen, WAIT_S, "a look")
        daemon.kill()
        door.start()
    head = remote.head()
    wait_until(lambda: [push for push in door.pushes(remote.file_url) if push["new"] == head], WAIT_S, "the last push")
    unique = list({record.attributes["ce_id"]: push for record, push in
                   zip(door.records(remote.file_url), door.pushes(remote.file_url))}.values())
    assert chain_of(unique) == {"refs/heads/main": head}


def test_broken_object(door, make_remote):
    """A branch with a lost object holds up no other branch and no other repository; mended, it is told."""
    remote, other = make_remote("broken"), make_remote("whole")
    remote.commit_and_push("first", a="1")
    door.configure({"url": remote.file_url}, {"url": other.file_url})
    door.start()
    door.await_pushes(remote.file_url, 1)
    git(remote.work, "checkout", "-q", "-b", "bad")
    bad = remote.commit("bad", b="only here")
    git(remote.work, "checkout", "-q", "main")
    blob = git(remote.work, "rev-parse", "bad:b")
    good = remote.commit("good", c="1")
    remote.push("main", "bad")
    lost = remote.bare / "objects" / blob[:2] / blob[2:]
    kept = lost.with_suffix(".kept")
    if not lost.exists():
        pytest.skip("git packed what was pushed")
    lost.rename(kept)
    commit = other.commit_and_push("other")
    assert door.await_pushes(other.file_url, 1)[0]["new"] == commit
    door.await_failure(remote.file_url, "corrupt")
    wait_until(lambda: good in [push["new"] for push in door.pushes(remote.file_url)], WAIT_S, "the good branch")
    kept.rename(lost)
    pushes = door.await_pushes(remote.file_url, 3)
    assert chain_of(pushes) == {"refs/heads/main": good, "refs/heads/bad": bad}


def test_remote_that_is_away_or_empty(door, make_remote):
    """A repository that vanishes or comes back empty deletes nothing; what it has when it is back is told."""
    remote = make_remote("away")
    first = remote.commit_and_push("first")
    door.configure({"url": remote.file_url})
    door.start()
    door.await_pushes(remote.file_url, 1)
    aside = remote.bare.with_suffix(".aside")
    remote.bare.rename(aside)
    door.await_failure(remote.file_url, "not_found")
    git(remote.bare.parent, "init", "-q", "--bare", "-b", "main", remote.bare)
    door.await_failure(remote.file_url, "input")
    assert "says that it is empty" in door.daemon.log_text()
    shutil.rmtree(remote.bare)
    aside.rename(remote.bare)
    second = remote.commit_and_push("second")
    pushes = door.await_pushes(remote.file_url, 2)
    assert chain_of(pushes) == {"refs/heads/main": second} and pushes[1]["old"] == first
    assert door.daemon.ask_admin("/readyz")[0] == 200


def test_rewritten_history(door, make_remote):
    """All history anew: one forced move, with the new commits only."""
    remote = make_remote("rewritten")
    for number in range(3):
        remote.commit(str(number))
    remote.push()
    door.configure({"url": remote.file_url})
    door.start()
    door.await_pushes(remote.file_url, 1)
    git(remote.work, "checkout", "-q", "--orphan", "anew")
    remote.commit("anew")
    git(remote.work, "branch", "-M", "anew", "main")
    remote.push()
    push = door.await_pushes(remote.file_url, 2)[1]
    assert push["forced"] and [commit["subject"] for commit in push["commits"]] == ["anew"]


@pytest.mark.parametrize("damage", ["objects", "HEAD"])
def test_damaged_mirror(door, make_remote, damage):
    """A mirror that was damaged is mended or made anew, and what is told is what happened."""
    remote = make_remote("mirror")
    remote.commit_and_push("first")
    door.configure({"url": remote.file_url})
    daemon = door.start()
    door.await_pushes(remote.file_url, 1)
    [mirror] = door.state.glob("*.git")
    for path in [mirror / "HEAD"] if damage == "HEAD" else mirror.glob("objects/**/*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"damaged")
    second = remote.commit_and_push("second")
    pushes = door.await_pushes(remote.file_url, 2)
    assert chain_of(pushes) == {"refs/heads/main": second} and not pushes[1]["forced"]
    assert damage == "objects" or "the mirror is made anew" in daemon.log_text()


def test_broker_away(door, make_remote, kafka):
    """What moves while the broker is away is told when it is back, once."""
    remote = make_remote("broker")
    remote.commit_and_push("first")
    door.configure({"url": remote.file_url})
    daemon = door.start()
    door.await_pushes(remote.file_url, 1)
    kafka.stop()
    try:
        second = remote.commit_and_push("second")
        door.await_failure(remote.file_url, "timeout")
        assert daemon.ask_admin("/readyz")[0] == 503
    finally:
        kafka.start()
    wait_until(lambda: [push for push in door.pushes(remote.file_url) if push["new"] == second], WAIT_S, "the push")
    wait_until(lambda: daemon.ask_admin("/readyz")[0] == 200, WAIT_S, "readiness")
    unique = list({record.attributes["ce_id"]: push for record, push in
                   zip(door.records(remote.file_url), door.pushes(remote.file_url))}.values())
    assert chain_of(unique) == {"refs/heads/main": second}


def test_one_daemon_for_a_state_folder(door, start_daemon, make_remote, tmp_path):
    """A second daemon on the same folder ends at once and says why; stopping a first one that fetches takes no time."""
    remote = make_remote("twice")
    door.configure({"url": remote.file_url})
    daemon = door.start()
    second = start_daemon("nodag-ingest-git", "--repositories", door.file, "--state", door.state, "--brokers",
                          door.brokers, wait=False)
    wait_until(lambda: not second.proc.alive(), WAIT_S, "the second one to end")
    assert second.proc.status == 1 and "another process uses the state folder" in second.log_text()
    daemon.stop()


def test_stops_in_the_middle(door, make_remote, http_server):
    """SIGTERM while a fetch hangs: the fetch is ended, status 0."""
    remote = make_remote("stops")
    (remote.work / "large").write_bytes(os.urandom(1 << 20))
    git(remote.work, "add", "large")
    remote.commit_and_push("large", b="1")
    http_server.stop_after = 200_000
    door.configure({"url": f"{http_server.url}/owner/stops.git"})
    daemon = door.start()
    wait_until(http_server.held.is_set, WAIT_S, "the pack to be held")
    daemon.stop()
    assert not git_processes(door.state)


def test_invalid_configuration(door, make_remote, bin_dir, tmp_path):
    """It does not start without a valid one, and says where the fault is; later an invalid one changes nothing."""
    remote, added = make_remote("config"), make_remote("added")
    first = remote.commit_and_push("first")
    added.commit_and_push("added")
    door.file.write_text("repositories:\n  - url: https://user:pass@host/a\n")
    done = subprocess.run([bin_dir / "nodag-ingest-git", "--repositories", door.file, "--state", door.state],
                          capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2 and "repositories.yaml:2:10" in done.stderr and "pass@" not in done.stderr
    door.configure({"url": remote.file_url})
    daemon = door.start()
    assert door.await_pushes(remote.file_url, 1)[0]["new"] == first
    door.file.write_text("repositories: [{url: nonsense}]\n")
    daemon.signal(signal.SIGHUP)
    door.await_metric('nodag_git_configuration_reads_total{result="invalid"}')
    second = remote.commit_and_push("second")
    assert door.await_pushes(remote.file_url, 2)[1]["new"] == second
    door.configure({"url": added.file_url})  # the file's change is enough
    door.await_pushes(added.file_url, 1)
    remote.commit_and_push("third")
    door.await_looks()
    assert len(door.pushes(remote.file_url)) == 2  # watched no more
    wait_until(lambda: len(list(door.state.glob("*.git"))) == 1, WAIT_S, "its mirror to be deleted")
    door.configure({"url": added.file_url}, {"url": remote.file_url})
    assert chain_of(door.await_pushes(remote.file_url, 3)) == {"refs/heads/main": remote.head()}
