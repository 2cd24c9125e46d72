"""Every real payload goes through the door and comes out of the topic byte for byte, with the right envelope.

The payloads are those of @octokit/webhooks-examples; the oracle is expected_event.py; the topic is read by another
client.
"""
import uuid
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from expected_event import expected_key, expected_source, expected_subject, expected_time, expected_type, walk
from payloads import Unavailable, load
from topic import partition_of
from webhooks import HOOK_ID, Sender, sign

SECRET = b"It's a Secret to Everybody"
PAYLOADS, EVENTS = 329, 58


@pytest.fixture(scope="module")
def payloads():
    try:
        return load()
    except Unavailable as why:
        pytest.skip(f"no payloads: {why}")


def test_every_example_arrives(payloads, start_daemon, events, topics_created, tmp_path):
    assert (len(payloads), len({payload.event for payload in payloads})) == (PAYLOADS, EVENTS)
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    door = start_daemon("nodag-ingest-github", "--listen", "127.0.0.1:0", "--brokers", topics_created.brokers,
                        "--secret-file", tmp_path / "secret", "--scope", "*")
    began = datetime.now(timezone.utc) - timedelta(seconds=1)
    sender, sent = Sender(door.port), {}
    for payload in payloads:
        delivery = str(uuid.uuid4())
        answer = sender.deliver(payload.event, SECRET, payload.body, delivery=delivery)
        assert answer.status == 202, f"{payload.event} {payload.index}: {answer.body}"
        assert answer.json == {"delivery": delivery}
        sent[delivery] = payload
    ended = datetime.now(timezone.utc) + timedelta(seconds=1)
    records = events.read()
    assert Counter(record.attributes["ce_id"] for record in records) == Counter(sent.keys())
    for record in records:
        check_record(record, sent[record.attributes["ce_id"]], began, ended)


def check_record(record, payload, began, ended):
    """One record against the payload that made it."""
    found = dict(record.attributes)
    where = f"{payload.event} {payload.index}"
    assert record.value == payload.body, where
    assert record.key == expected_key(payload.event, payload.content), where
    assert record.partition == partition_of(record.key), where
    assert found["ce_githubsignature"] == sign(SECRET, record.value), where
    time = datetime.fromisoformat(found.pop("ce_time").replace("Z", "+00:00"))
    named = expected_time(payload.event, payload.content)
    if named is not None:
        assert time == named.replace(microsecond=named.microsecond // 1000 * 1000), where
    else:
        assert time < ended and (time >= began or time.year < 2026), where  # of the payload, or of the receipt
    assert found == {key: value for key, value in {
        "ce_specversion": "1.0",
        "ce_id": found["ce_id"],
        "ce_type": expected_type(payload.event, payload.content),
        "ce_source": expected_source(payload.event, payload.content),
        "ce_subject": expected_subject(payload.event, payload.content),
        "content-type": "application/json",
        "ce_githubevent": payload.event,
        "ce_githubrepository": walk(payload.content, "repository.full_name"),
        "ce_githubsender": walk(payload.content, "sender.login"),
        "ce_githubsendertype": walk(payload.content, "sender.type"),
        "ce_githubhookid": HOOK_ID,
        "ce_githubtargettype": "repository",
        "ce_githubtargetid": "186853002",
        "ce_githubsignature": found["ce_githubsignature"],
        "ce_githubsecretid": "default",
    }.items() if value is not None}, where


def test_a_redelivery_makes_the_same_event(payloads, start_daemon, events, topics_created, tmp_path):
    """Sent again by another process, which cannot remember: same id, same envelope, same bytes."""
    (tmp_path / "secret").write_bytes(SECRET)
    arguments = ("--listen", "127.0.0.1:0", "--brokers", topics_created.brokers, "--secret-file", tmp_path / "secret",
                 "--scope", "*")
    first = {payload.event: (payload, str(uuid.uuid4())) for payload in payloads}  # one payload of each event
    for _ in range(2):
        door = start_daemon("nodag-ingest-github", *arguments)
        sender = Sender(door.port)
        for payload, delivery in first.values():
            assert sender.deliver(payload.event, SECRET, payload.body, delivery=delivery).status == 202
        door.stop()
    made = {}
    for record in events.read():
        made.setdefault(record.attributes["ce_id"], []).append((record.key, record.value, record.headers))
    timeless = {"github_app_authorization", "membership", "org_block", "organization", "team", "marketplace_purchase"}
    for payload, delivery in first.values():
        assert len(made[delivery]) == 2, payload.event
        if payload.event not in timeless:
            assert made[delivery][0] == made[delivery][1], payload.event
