"""What wakes nodag-ingest-git before its interval is over: the signed trigger, and push webhooks on github.events.

The interval is an hour here, so that whatever is published soon was caused by what the test did.
"""
import hashlib
import hmac
import http.client
import json

import pytest
from confluent_kafka import Producer

from git_door import Door
from git_servers import Remote
from proc import wait_until

SECRET, OLD_SECRET = "a secret of the test", "the one before it"
ASK_S = 20


@pytest.fixture
def remote(tmp_path) -> Remote:
    return Remote(tmp_path / "remotes" / "Owner", "name")


@pytest.fixture
def door(start_daemon, topics_created, tmp_path, remote) -> Door:
    """A daemon that has looked once and would look again in an hour."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "old").write_text(OLD_SECRET)
    door = Door(start_daemon, topics_created.brokers, tmp_path)
    door.configure({"url": remote.file_url, "interval": "1h"})
    remote.commit_and_push("first")
    door.start("--listen", "127.0.0.1:0", "--trigger-secret", tmp_path / "secret", "--trigger-secret", tmp_path / "old")
    door.await_pushes(remote.file_url, 1)
    return door


def ask(door: Door, body, secret: str = SECRET, method: str = "POST", path: str = "/trigger", **headers) -> int:
    """One request; returns the status."""
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    mac = hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()
    connection = http.client.HTTPConnection("127.0.0.1", door.daemon.port, timeout=ASK_S)
    try:
        connection.request(method, path, data, {"X-Hub-Signature-256": f"sha256={mac}", **headers})
        return connection.getresponse().status
    finally:
        connection.close()


def test_trigger(door, remote):
    """A signed call has the repository looked at; either secret is valid, and any spelling of the URL."""
    second = remote.commit_and_push("second")
    assert ask(door, {"repository": remote.file_url, "ref": "refs/heads/main"}) == 202
    assert door.await_pushes(remote.file_url, 2)[1]["new"] == second
    third = remote.commit_and_push("third")
    assert ask(door, {"repository": remote.file_url.replace("file:", "FILE:") + "/"}, OLD_SECRET) == 202
    assert door.await_pushes(remote.file_url, 3)[2]["new"] == third
    assert door.daemon.metric('nodag_git_wakes_total{source="trigger"}') == 2
    assert door.daemon.metric('nodag_git_triggers_total{status="202"}') == 2


def test_trigger_refuses(door, remote):
    """Without a valid signature, for another path, method or repository, or with another body: nothing happens."""
    good = {"repository": remote.file_url}
    assert ask(door, good, "another secret") == 401
    assert ask(door, good, **{"X-Hub-Signature-256": "sha256=12"}) == 401
    assert ask(door, good, **{"X-Hub-Signature-256": "nonsense"}) == 401
    assert ask(door, "nonsense", "another secret") == 401  # before anything is parsed
    assert ask(door, "nonsense") == 400
    assert ask(door, "") == 400
    assert ask(door, "[]") == 400
    assert ask(door, {"repository": 1}) == 400
    assert ask(door, {"repository": "ext::sh"}) == 400
    assert ask(door, {"repository": remote.file_url, "ref": 1}) == 400
    assert ask(door, {"repository": "https://host.example/other"}) == 404
    assert ask(door, good, path="/other") == 404
    assert ask(door, good, method="PUT") == 405
    assert ask(door, "x" * 5000) == 413
    assert door.daemon.metric('nodag_git_wakes_total{source="trigger"}') is None


def test_trigger_too_often(door, remote):
    """A hook that runs wild is told 429, and what it told of is looked at all the same."""
    statuses = [ask(door, {"repository": remote.file_url}) for _ in range(40)]
    assert statuses.count(202) >= 10 and statuses.count(429) >= 1 and set(statuses) == {202, 429}
    assert (door.daemon.metric('nodag_git_wakes_total{source="trigger"}') or 0) < 30  # looks are 100 ms apart
    second = remote.commit_and_push("second")
    assert ask(door, {"repository": remote.file_url}) in (202, 429)
    assert door.await_pushes(remote.file_url, 2)[1]["new"] == second


def test_new_secret(door, remote, tmp_path):
    """A secret's file that changes is read again."""
    (tmp_path / "secret").write_text("a new one")
    door.await_metric('nodag_git_configuration_reads_total{result="valid"}')
    assert ask(door, {"repository": remote.file_url}) == 401
    assert ask(door, {"repository": remote.file_url}, "a new one") == 202


def test_webhook(door, remote):
    """A push webhook of a repository with this owner and name wakes it; other events and repositories do not."""
    def produce(event_type: str, repository: str) -> None:
        producer = Producer({"bootstrap.servers": door.brokers, "broker.address.family": "v4"})
        headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "x", "ce_type": event_type,
                   "ce_githubrepository": repository}
        for partition in range(12):
            producer.produce("github.events", b"{}", b"1", partition=partition, headers=list(headers.items()))
        assert producer.flush(ASK_S) == 0

    wait_until(lambda: "push webhooks wake repositories" in door.daemon.log_text(), ASK_S, "the webhooks' reader",
               door.daemon.proc)
    wakes = 'nodag_git_wakes_total{source="webhook"}'
    second = remote.commit_and_push("second")
    produce("com.github.issue.opened", "Owner/name")
    produce("com.github.push", "Owner/other")
    produce("com.github.push", "owner/NAME")
    assert door.await_pushes(remote.file_url, 2)[1]["new"] == second
    assert 1 <= door.daemon.metric(wakes) <= 12
