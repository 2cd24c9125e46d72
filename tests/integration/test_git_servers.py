"""nodag-ingest-git with real git servers: file, http with a password, https with an own authority, ssh.

What is compared: each record with what git says of the remote, header by header where it matters.
"""
import json
from datetime import datetime, timezone

import pytest

from git_door import Door, chain_of
from git_sshd import Unavailable
from git_servers import HttpServer, Remote, SshServer, git, make_certificate
from daemon import run_program

TOKEN = "s3cret-t0ken-of-the-test"


@pytest.fixture
def door(start_daemon, topics_created, tmp_path) -> Door:
    return Door(start_daemon, topics_created.brokers, tmp_path)


@pytest.fixture
def remote(tmp_path) -> Remote:
    return Remote(tmp_path / "remotes" / "owner", "name")


@pytest.fixture
def http_server(tmp_path):
    server = HttpServer(tmp_path / "remotes")
    yield server
    server.close()


@pytest.fixture
def ssh_server(tmp_path):
    try:
        server = SshServer(tmp_path / "ssh")
    except Unavailable as reason:
        pytest.skip(f"no sshd to test with: {reason}")
    yield server
    server.close()


@pytest.fixture(params=["file", "http", "https", "ssh"])
def repository(request, remote, tmp_path) -> dict:
    """The configuration of the remote, spoken to by each transport."""
    common = {"branches": ["main", "side/*"], "tags": ["v*"]}
    if request.param == "file":
        yield {"url": remote.file_url, **common}
        return
    if request.param == "ssh":
        server = request.getfixturevalue("ssh_server")
        yield {"url": server.url(remote), "credentials": str(server.key), "known_hosts": str(server.known_hosts),
               **common}
        return
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n" if request.param == "http" else f"username=ann\npassword={TOKEN}\n")
    tls = make_certificate(tmp_path) if request.param == "https" else None
    server = HttpServer(tmp_path / "remotes", tls)
    server.password = TOKEN
    more = {"ca": str(tmp_path / "certificate.crt")} if tls else {}
    yield {"url": f"{server.url}/owner/name.git", "credentials": str(token), **common, **more}
    server.close()


def test_moves_of_heads(door, remote, repository):
    """Created, moved, forced, deleted, several refs in one push, tags; what no pattern names is left out."""
    url = repository["url"]
    first = remote.commit_and_push("first", a="1", d__b="1")
    remote.push("main:unwatched")
    door.configure(repository)
    door.start()
    [push] = door.await_pushes(url, 1)
    assert (push["ref"], push["old"], push["new"]) == ("refs/heads/main", None, first)
    assert push["created"] and not push["forced"] and not push["deleted"] and push["move"] == 1
    assert [commit["id"] for commit in push["commits"]] == [first] and push["paths"] == []
    assert push["truncated"] == {"commits": False, "paths": True}

    second, third = remote.commit("second", a="2"), remote.commit("third", d__b="2", d__c="3")
    git(remote.work, "tag", "-a", "-m", "words", "v1")
    remote.push("main", "main:side/x", "v1", "main:unwatched")
    by_move = {(push["ref"], push["move"]): push for push in door.await_pushes(url, 4)}
    moved = by_move["refs/heads/main", 2]
    assert (moved["old"], moved["new"], moved["forced"]) == (first, third, False)
    assert [commit["id"] for commit in moved["commits"]] == [third, second]
    assert [commit["subject"] for commit in moved["commits"]] == ["third", "second"]
    assert moved["commits"][0]["author"] == "Ann" and moved["paths"] == ["a", "d/b", "d/c"]
    assert moved["truncated"] == {"commits": False, "paths": False}
    assert by_move["refs/tags/v1", 1]["new"] == remote.head("v1") and by_move["refs/heads/side/x", 1]["new"] == third

    git(remote.work, "reset", "-q", "--hard", first)
    forced = remote.commit("forced", e="1")
    remote.push("main", ":side/x")
    door.await_pushes(url, 6)
    pushes = door.pushes(url)
    by_move = {(push["ref"], push["move"]): push for push in pushes}
    last = by_move["refs/heads/main", 3]
    assert last["forced"] and last["old"] == third
    assert [commit["id"] for commit in last["commits"]] == [forced]  # no history is replayed
    assert last["paths"] == ["a", "d/b", "d/c", "e"]
    deleted = by_move["refs/heads/side/x", 2]
    assert deleted["deleted"] and deleted["old"] == third and deleted["new"] is None and deleted["commits"] == []
    assert chain_of(pushes) == {"refs/heads/main": forced, "refs/heads/side/x": None, "refs/tags/v1": remote.head("v1")}

    remote.push("main:side/x")
    by_move = {(push["ref"], push["move"]): push for push in door.await_pushes(url, 7)}
    assert by_move["refs/heads/side/x", 3]["created"] and by_move["refs/heads/side/x", 3]["old"] is None
    door.await_looks()
    assert len(door.pushes(url)) == 7  # what stands is not told again
    assert TOKEN not in door.daemon.log_text()


def test_envelope_and_tail(door, remote, bin_dir):
    """Headers of CloudEvents, the same bytes for the same move; nodag tail shows them."""
    commit = remote.commit_and_push("first")
    door.configure({"url": remote.file_url})
    door.start()
    door.await_pushes(remote.file_url, 1)
    [record] = door.records(remote.file_url)
    attributes = record.attributes
    assert record.key == f"{remote.file_url}|refs/heads/main".encode()
    assert attributes["ce_specversion"] == "1.0" and attributes["ce_type"] == "dev.nodag.git.push"
    assert attributes["ce_source"] == remote.file_url and attributes["ce_subject"] == "refs/heads/main"
    assert attributes["ce_id"] == f"{remote.file_url}|refs/heads/main||{commit}|1"
    assert attributes["ce_dataschema"] == "urn:nodag:schema:git-push:1"
    assert attributes["content-type"] == "application/json"
    when = datetime.fromtimestamp(int(git(remote.work, "log", "-1", "--format=%ct", commit)), timezone.utc)
    assert attributes["ce_time"] == json.loads(record.value)["time"] == when.strftime("%Y-%m-%dT%H:%M:%SZ")
    shown = run_program([bin_dir / "nodag-tail", "git.pushes", "--brokers", door.brokers, "--key", record.key.decode(),
                         "--payload", "raw"]).stdout
    assert f"key {remote.file_url}|refs/heads/main" in shown and "dev.nodag.git.push" in shown and commit in shown


def test_wrong_password_then_right(door, remote, http_server, tmp_path):
    """A refusal is counted as denied; the file is read anew each time; the token stands nowhere."""
    remote.commit_and_push("first")
    http_server.password = TOKEN
    token = tmp_path / "token"
    token.write_text("wrong")
    url = f"{http_server.url}/owner/name.git"
    door.configure({"url": url, "credentials": str(token)})
    door.start()
    door.await_failure(url, "denied")
    token.write_text(TOKEN)
    door.await_pushes(url, 1)
    everything = b"".join(path.read_bytes() for path in door.state.rglob("*") if path.is_file())
    assert TOKEN.encode() not in everything + door.daemon.log_text().encode()
    assert door.daemon.metric(f'nodag_git_failures_in_a_row{{repository="{url}"}}') == 0


def test_redirect_gets_no_password(door, remote, http_server, tmp_path):
    """A server that sends the daemon elsewhere does not make it give away the password."""
    remote.commit_and_push("first")
    thief = HttpServer(tmp_path / "remotes")
    thief.password = "anything"
    http_server.redirect = thief.url
    token = tmp_path / "token"
    token.write_text(TOKEN)
    url = f"{http_server.url}/owner/name.git"
    door.configure({"url": url, "credentials": str(token)})
    try:
        door.start()
        door.await_failure(url, "denied")
        assert thief.seen and all(authorization is None for _, authorization in thief.seen)
        http_server.redirect = None
        door.await_pushes(url, 1)
    finally:
        thief.close()


def test_https_of_a_stranger(door, remote, tmp_path):
    """A certificate that no known authority signed is refused."""
    remote.commit_and_push("first")
    server = HttpServer(tmp_path / "remotes", make_certificate(tmp_path))
    url = f"{server.url}/owner/name.git"
    door.configure({"url": url})
    try:
        door.start()
        door.await_failure(url, "unavailable")
        assert door.pushes(url) == []
    finally:
        server.close()


def test_ssh_of_a_stranger(door, remote, ssh_server, tmp_path):
    """Another host key than the known one is refused, and so is our key where the host does not know it."""
    remote.commit_and_push("first")
    url = ssh_server.url(remote)
    ssh_server.trust("other", tmp_path / "ssh")
    door.configure({"url": url, "credentials": str(ssh_server.key), "known_hosts": str(ssh_server.known_hosts)})
    door.start()
    door.await_failure(url, "denied")
    assert "Host key verification failed" in door.daemon.log_text()
    ssh_server.trust("host", tmp_path / "ssh")
    door.await_pushes(url, 1)
