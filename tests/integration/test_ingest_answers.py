"""The table of answers over real sockets, limits, and what is beside a large delivery."""
import json
import socket
import threading
import time
import uuid

import pytest
from webhooks import PATH, Sender, headers_of, issue_payload, sign

SECRET = b"secret"
BODY_MAX = 26214400
RAW_S = 20


@pytest.fixture
def door(start_daemon, topics_created, tmp_path):
    (tmp_path / "secret").write_bytes(SECRET)
    return start_daemon("nodag-ingest-github", "--listen", "127.0.0.1:0", "--brokers", topics_created.brokers,
                        "--secret-file", tmp_path / "secret", "--scope", "octo")


OUTSIDE = json.dumps({"repository": {"id": 1, "full_name": "other/x", "owner": {"login": "other"}}}).encode()
CASES = [  # name, body, changes of headers, status, part of the answer
    ("accepted", None, {}, 202, b"delivery"),
    ("charset", None, {"content_type": "application/json; charset=utf-8"}, 202, b"delivery"),
    ("ping", b'{"zen":"Keep it logically awesome.","hook_id":1}', {"x_github_event": "ping"}, 202, b"delivery"),
    ("no signature", None, {"x_hub_signature_256": None}, 401, b"X-Hub-Signature-256"),
    ("other secret", None, {"x_hub_signature_256": sign(b"other", issue_payload(1))}, 401, b"does not match"),
    ("signature of other bytes", None, {"x_hub_signature_256": sign(SECRET, b"{}")}, 401, b"does not match"),
    ("SHA-1", None, {"x_hub_signature_256": "sha1=" + "0" * 40}, 401, b"malformed"),
    ("outside the scope", OUTSIDE, {}, 403, b"outside the scope"),
    ("no event", None, {"x_github_event": None}, 400, b"X-GitHub-Event"),
    ("bad event", None, {"x_github_event": "Issues"}, 400, b"X-GitHub-Event"),
    ("no delivery", None, {"x_github_delivery": None}, 400, b"X-GitHub-Delivery"),
    ("bad delivery", None, {"x_github_delivery": "not-a-guid"}, 400, b"X-GitHub-Delivery"),
    ("no JSON", b"{'a': 1}", {}, 400, b"not JSON"),
    ("cut JSON", issue_payload(1)[:-1], {}, 400, b"not JSON"),
    ("no UTF-8", b'{"a":"\xff"}', {}, 400, b"UTF-8"),
    ("nothing", b"", {}, 400, b"not JSON"),
    ("form", None, {"content_type": "application/x-www-form-urlencoded"}, 415, b"application/json"),
    ("no type", None, {"content_type": None}, 415, b"application/json"),
]


@pytest.mark.parametrize("name,body,changes,status,says", CASES, ids=[case[0] for case in CASES])
def test_answers(door, events, name, body, changes, status, says):
    body = issue_payload(1) if body is None else body
    delivery = changes.pop("x_github_delivery", None) if status == 202 else None
    answer = Sender(door.port).deliver("issues", SECRET, body, delivery=delivery, **changes)
    assert (answer.status, says in answer.body) == (status, True), answer.body
    records = events.read()
    assert [record.value for record in records] == ([body] if status == 202 else [])


def test_paths_and_methods(door):
    sender, body = Sender(door.port), issue_payload(1)
    headers = headers_of("issues", SECRET, body)
    assert sender.ask("POST", "/", body, headers).status == 404
    assert sender.ask("POST", PATH + "/", body, headers).status == 404
    assert sender.ask("POST", "/metrics", body, headers).status == 404
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        answer = sender.ask(method, PATH, None, headers)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST"), method


def exchange(port: int, *pieces: bytes) -> bytes:
    """Writes pieces to a raw connection until the other side answers; returns what it sent until it closed."""
    with socket.create_connection(("127.0.0.1", port), RAW_S) as raw:
        try:
            for piece in pieces:
                raw.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has said enough
        found = b""
        try:
            while b"\r\n\r\n" not in found:
                piece = raw.recv(65536)
                if not piece:
                    break
                found += piece
        except ConnectionResetError:
            pass
        return found


def raw_head(length: str, **changes) -> bytes:
    headers = headers_of("issues", SECRET, b"", **changes)
    lines = [f"POST {PATH} HTTP/1.1", "Host: door", *(f"{name}: {value}" for name, value in headers.items()), length]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_too_large_by_declaration(door):
    """Not a byte of the body is sent, and the answer comes."""
    answer = exchange(door.port, raw_head(f"Content-Length: {BODY_MAX + 1}"))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_too_large_while_reading(door):
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    answer = exchange(door.port, raw_head("Transfer-Encoding: chunked"), *[chunk] * 26)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_both_lengths_are_refused(door):
    answer = exchange(door.port, raw_head("Content-Length: 2\r\nTransfer-Encoding: chunked"))
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_chunked_is_taken(door, events):
    body = issue_payload(5)
    pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])]
    head = raw_head("Transfer-Encoding: chunked", x_hub_signature_256=sign(SECRET, body))
    answer = exchange(door.port, head, *pieces, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert [record.value for record in events.read()] == [body]


def dense_body() -> bytes:
    """A body of exactly the largest size, of as many tokens as fit."""
    head, tail = issue_payload(9)[:-1] + b',"dense":[', b"[]]}"
    room = BODY_MAX - len(head) - len(tail)
    return head + b"[]," * (room // 3) + b" " * (room % 3) + tail


def test_largest_and_densest_body_stalls_nobody(door, events):
    """26,214,400 bytes of tiny tokens are accepted, and small deliveries beside them are answered in between."""
    body = dense_body()
    assert len(body) == BODY_MAX
    large = []
    worker = threading.Thread(target=lambda: large.append(Sender(door.port, 60).deliver("issues", SECRET, body)))
    small, beside = Sender(door.port), []
    worker.start()
    deadline = time.monotonic() + 60
    while worker.is_alive() and time.monotonic() < deadline:
        beside.append(small.deliver("issues", SECRET, issue_payload(1)))
    worker.join(60)
    assert large and large[0].status == 202, large
    assert {answer.status for answer in beside} == {202}
    # One that waited for the whole parse would have taken as long as it.
    assert max(answer.seconds for answer in beside) < large[0].seconds / 2
    assert len(beside) >= 10
    assert [record.value == body for record in events.read() if len(record.value) > 1000000] == [True]


def test_repeats_are_published_once(door, events):
    sender, body, delivery = Sender(door.port), issue_payload(3), str(uuid.uuid4())
    for _ in range(3):
        answer = sender.deliver("issues", SECRET, body, delivery=delivery)
        assert (answer.status, answer.json) == (202, {"delivery": delivery})
    assert sender.deliver("issues", SECRET, body, delivery=delivery, x_github_hook_id="5").status == 202  # another hook
    assert [record.attributes["ce_githubhookid"] for record in events.read()] == ["109948940", "5"]


def test_refusals_are_logged_without_payload_or_secret(door):
    sender = Sender(door.port)
    body = issue_payload(1, title="nobody should read this")
    sender.deliver("issues", b"wrong", body)
    sender.deliver("issues", SECRET, body.replace(b"octo", b"other"))
    sender.deliver("issues", SECRET, body[:-1])
    text = door.log_text()
    lines = [json.loads(line) for line in text.splitlines() if '"delivery refused"' in line]
    assert [(line["status"], line["reason"]) for line in lines] == [(401, "signature"), (403, "scope"), (400, "json")]
    assert all(line["client"] == "127.0.0.1" and line["event"] == "issues" and line["delivery"] for line in lines)
    assert "nobody should read this" not in text and SECRET.decode() + '"' not in text
