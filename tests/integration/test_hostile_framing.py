"""Requests that are no good HTTP, or try to be two requests at once: refused, closed, and nothing of them published.

Sources: RFC 9112 §2.2, §3.2, §5.1, §5.2, §6.1, §6.3, §7.1, §9.3.2; RFC 9110 §10.1.1 (Expect).
"""
import ssl
import uuid

import pytest
from hostile import BODY_MAX, SECRET, ask, beside, connect, door, head, read_to_close, request, send_all  # noqa: F401
from hostile import split_answers, statuses
from webhooks import PATH, issue_payload, sign

BODY = issue_payload(1)
SMUGGLED = request(issue_payload(666), delivery="66666666-6666-4666-8666-666666666666")
CHUNKED = "Transfer-Encoding: chunked"
LENGTH = f"Content-Length: {len(BODY)}"


def chunks(*parts: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + last


def framed(*lines: str, then: bytes = BODY, **changes) -> bytes:
    """A signed request with these framing headers; what it smuggles stands behind it."""
    return head(*lines, body=BODY, **changes) + then + SMUGGLED


FRAMING = [  # name, bytes, statuses of which the first answer has one; [] means: closed without a word
    ("length and coding", framed(LENGTH, CHUNKED, then=chunks(BODY)), [400]),
    ("coding and length", framed(CHUNKED, LENGTH, then=chunks(BODY)), [400]),
    ("length 0 and coding", framed("Content-Length: 0", CHUNKED, then=chunks(BODY)), [400]),
    ("two lengths", framed(LENGTH, "Content-Length: 0"), [400]),
    ("two equal lengths", framed(LENGTH, LENGTH), [400]),
    ("list of lengths", framed(f"{LENGTH}, {len(BODY)}"), [400]),
    ("signed length", framed(f"Content-Length: +{len(BODY)}"), [400]),
    ("negative length", framed("Content-Length: -1"), [400]),
    ("hexadecimal length", framed("Content-Length: 0x10"), [400]),
    ("length beyond 64 bits", framed("Content-Length: 99999999999999999999999"), [400, 413]),
    ("empty length", framed("Content-Length:"), [400]),
    ("length with a vertical tab", framed("Content-Length:\x0b5"), [400]),
    ("space before the colon", framed(f"Content-Length : {len(BODY)}", CHUNKED, then=chunks(BODY)), [400]),
    ("coding with a space before the colon", framed(LENGTH, "Transfer-Encoding : chunked"), [400]),
    ("two codings", framed(CHUNKED, CHUNKED, then=chunks(BODY)), [400]),
    ("list of codings", framed("Transfer-Encoding: gzip, chunked", then=chunks(BODY)), [400, 501]),
    ("coding that hides", framed("Transfer-Encoding: xchunked"), [400, 501]),
    ("coding with a vertical tab", framed("Transfer-Encoding:\x0bchunked"), [400, 501]),
    ("coding identity and length", framed("Transfer-Encoding: identity", LENGTH), [400]),
    ("coding in HTTP/1.0", framed(CHUNKED, first=f"POST {PATH} HTTP/1.0", then=chunks(BODY)), [400]),
    ("folded coding", framed("Transfer-Encoding:\r\n chunked", LENGTH), [400]),
    ("folded length", framed("Content-Length: 0\r\n 5"), [400]),
    ("coding behind a bare CR", framed(f"X: y\rTransfer-Encoding: chunked\r\n{LENGTH}"), [400]),
    ("name of nothing", framed(LENGTH, ": nothing"), [400]),
    ("name with a space", framed(LENGTH, "X Y: z"), [400]),
    ("name with a control character", framed(LENGTH, "X\x01Y: z"), [400]),
    ("value with a control character", framed(LENGTH, "X: a\x01b"), [400]),
    ("line without a colon", framed(LENGTH, "nothing of use"), [400]),
    ("no Host", head(LENGTH, body=BODY).replace(b"Host: door\r\n", b"") + BODY + SMUGGLED, [400]),
    ("two Hosts", framed(LENGTH, "Host: other"), [400]),
    ("chunk size of nothing", framed(CHUNKED, then=b"\r\n" + BODY), [400, 413]),
    ("negative chunk size", framed(CHUNKED, then=b"-5\r\nhello\r\n0\r\n\r\n"), [400, 413]),
    ("chunk size with 0x", framed(CHUNKED, then=b"0x5\r\nhello\r\n0\r\n\r\n"), [400, 413]),
    ("chunk size beyond 64 bits", framed(CHUNKED, then=b"FFFFFFFFFFFFFFFFF\r\n"), [400, 413]),
    ("chunk longer than its size", framed(CHUNKED, then=b"2\r\nhello\r\n0\r\n\r\n"), [400]),
    ("request line of one word", b"HELLO\r\n\r\n", []),
    ("request line of noise", bytes(range(1, 256)) * 4 + b"\r\n\r\n", []),
    ("HTTP/0.9", b"GET /\r\n\r\n", [400, 404, 505]),
    ("HTTP/2.0 without its preface", b"POST / HTTP/2.0\r\nHost: door\r\n\r\n", [400, 404, 505]),
    ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 404, 505]),
    ("NUL in a name", framed(LENGTH, "X\0Y: z"), [400]),
    ("NUL in a value", framed("Content-Length: 0\x005"), [400]),
    ("NUL bytes", b"\0" * 200000, [400, 414, 431]),
    ("path of 64 KiB", f"POST /{'x' * 65536} HTTP/1.1\r\nHost: door\r\n\r\n".encode(), [414, 431]),
    ("request line that never ends", b"POST /" + b"x" * 4000000, [414, 431]),
    ("ten thousand arguments", f"POST {PATH}?{'a&' * 10000} HTTP/1.1\r\nHost: door\r\n\r\n".encode(), [414]),
    ("five thousand headers", framed(LENGTH, *(f"X{i}: y" for i in range(5000))), [431]),
    ("a header of 100 KB", framed(LENGTH, "X: " + "y" * 100000), [431]),
    ("a header that never ends", head(LENGTH, body=BODY)[:-2] + b"X: " + b"y" * 4000000, [431]),
    ("headers that never end", head(LENGTH, body=BODY)[:-2] + b"X: y\r\n" * 500000, [431]),
    ("cookies that fill the memory", framed(LENGTH, "Cookie: " + "a=b;" * 7000), [431]),
    ("a body over the limit", head(f"Content-Length: {BODY_MAX + 1}", body=BODY), [413]),
]
CLOSE = "Connection: close"
ELSEWHERE = [  # requests that are HTTP, for something that is not here
    ("absolute form", request(BODY, CLOSE, first=f"POST http://door{PATH} HTTP/1.1"), 404),
    ("path that climbs", request(BODY, CLOSE, first=f"POST /x/..{PATH} HTTP/1.1"), 404),
    ("authority form", head(CLOSE, first="CONNECT door:443 HTTP/1.1"), 404),
    ("asterisk form", head(CLOSE, first="OPTIONS * HTTP/1.1"), 404),
    ("method of its own", request(BODY, CLOSE, first=f"BREW {PATH} HTTP/1.1"), 405),
    ("method in lower case", request(BODY, CLOSE, first=f"post {PATH} HTTP/1.1"), 405),
    ("TRACE", head(CLOSE, first=f"TRACE {PATH} HTTP/1.1"), 405),
]


@pytest.mark.parametrize("batch", range(2))
def test_broken_framing(door, events, batch):  # noqa: F811
    """Each gets its refusal, or a close without a word; what stands behind it is never taken for a request."""
    with beside(door, events, memory_bytes=0) as stream:
        for name, data, expected in FRAMING[batch::2]:
            answers = ask(door, data)
            assert len(answers) <= 1, (name, answers)
            assert (answers[0][0] in expected) if answers else (expected == []), (name, answers)
    good = {delivery for delivery, *_ in stream.answers}
    assert [record for record in events.read() if record.attributes["ce_id"] not in good] == []


def test_requests_for_something_else(door, events):  # noqa: F811
    with beside(door, events, memory_bytes=0):
        for name, data, expected in ELSEWHERE:
            assert statuses(ask(door, data)) == [expected], name


def test_tls_on_the_plain_port(door, events):  # noqa: F811
    """A ClientHello is no request; the client is not left waiting."""
    with beside(door, events, memory_bytes=0):
        with connect(door) as raw:
            context = ssl.create_default_context()
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(raw, server_hostname="door")


def test_pipelined_requests_are_answered_in_order(door, events):  # noqa: F811
    """Good and refused ones in one segment: each its own answer, in the order of the requests."""
    deliveries = [str(uuid.uuid4()) for _ in range(30)]
    bodies = [issue_payload(number, padding="p" * (number * 37)) for number in range(30)]
    wrong = {number: sign(b"wrong", bodies[number]) for number in range(0, 30, 7)}
    data = b"".join(request(body, *([CLOSE] if number == 29 else []), delivery=deliveries[number],
                            x_hub_signature_256=wrong.get(number) or sign(SECRET, body))
                    for number, body in enumerate(bodies))
    with beside(door, events, memory_bytes=0):
        for cut in (len(data), 1000, 61):
            answers = ask(door, *(data[at:at + cut] for at in range(0, len(data), cut)))
            assert statuses(answers) == [401 if number in wrong else 202 for number in range(30)]
            told = [number for number, (_, text) in enumerate(answers) if deliveries[number].encode() in text]
            assert told == [number for number in range(30) if number not in wrong]
    found = {record.attributes["ce_id"]: record.value for record in events.read()}
    assert all(found[deliveries[number]] == body for number, body in enumerate(bodies) if number not in wrong)
    assert not any(deliveries[number] in found for number in wrong)


def test_chunks_of_every_shape(door, events):  # noqa: F811
    """Chunked bodies with extensions, trailers, upper-case and zero-led sizes are taken as what they hold."""
    shapes = [chunks(BODY), chunks(*(BODY[at:at + 1] for at in range(len(BODY)))),
              b"%X;name=value;x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
              b"000%x\r\n%s\r\n000\r\n\r\n" % (len(BODY), BODY),
              chunks(BODY, last=b"0\r\nTrailer: x\r\n\r\n")]
    with beside(door, events, memory_bytes=0):
        for shape in shapes:
            delivery = str(uuid.uuid4())
            answers = ask(door, head("Transfer-Encoding: chunked", CLOSE, body=BODY, delivery=delivery) + shape)
            assert statuses(answers) == [202], shape
            assert [record.value for record in events.read() if record.attributes["ce_id"] == delivery] == [BODY]


def test_expect_continue(door, events):  # noqa: F811
    """Who asks first is told to go on, or is refused before a byte of the body, and never waits."""
    with beside(door, events, memory_bytes=0):
        with connect(door) as raw:
            raw.sendall(head(LENGTH, "Expect: 100-continue", CLOSE, body=BODY))
            assert statuses(split_answers(raw.recv(65536))) == [100]
            raw.sendall(BODY)
            assert statuses(split_answers(read_to_close(raw))) == [202]
        for lines, changes, expected in [
                ([f"Content-Length: {BODY_MAX + 1}"], {}, 413),
                ([LENGTH], {"x_hub_signature_256": "sha256=0"}, 401),
                ([LENGTH, CHUNKED], {}, 400),
                ([LENGTH], {"first": "POST /elsewhere HTTP/1.1"}, 404)]:
            answers = ask(door, head(*lines, "Expect: 100-continue", body=BODY, **changes))
            assert statuses(answers) == [expected], lines


SIGNATURES = [  # name, changes of the headers, lines beside them
    ("none", {"x_hub_signature_256": None}, []),
    ("empty", {"x_hub_signature_256": ""}, []),
    ("prefix only", {"x_hub_signature_256": "sha256="}, []),
    ("a digit short", {"x_hub_signature_256": sign(SECRET, BODY)[:-1]}, []),
    ("a digit more", {"x_hub_signature_256": sign(SECRET, BODY) + "0"}, []),
    ("twice as long", {"x_hub_signature_256": sign(SECRET, BODY) + sign(SECRET, BODY)[7:]}, []),
    ("twenty thousand digits", {"x_hub_signature_256": "sha256=" + "a" * 20000}, []),
    ("not hexadecimal", {"x_hub_signature_256": "sha256=" + "g" * 64}, []),
    ("prefix in upper case", {"x_hub_signature_256": sign(SECRET, BODY).replace("sha256", "SHA256")}, []),
    ("without its prefix", {"x_hub_signature_256": sign(SECRET, BODY)[7:]}, []),
    ("SHA-1 under its name", {"x_hub_signature_256": "sha1=" + "0" * 40}, []),
    ("SHA-1 alone", {"x_hub_signature_256": None}, ["X-Hub-Signature: sha1=" + "0" * 40]),
    ("spaces within", {"x_hub_signature_256": sign(SECRET, BODY).replace("=", "= ")}, []),
    ("twice the right one", {}, ["X-Hub-Signature-256: " + sign(SECRET, BODY)]),
    ("right one, then another", {}, ["x-hub-signature-256: sha256=" + "0" * 64]),
    ("of another body", {"x_hub_signature_256": sign(SECRET, BODY + b" ")}, []),
    ("of another secret", {"x_hub_signature_256": sign(b"other", BODY)}, []),
    ("of the empty secret", {"x_hub_signature_256": sign(b"", BODY)}, []),
    ("last bit wrong", {"x_hub_signature_256": sign(SECRET, BODY)[:-1] + "%x" % (int(sign(SECRET, BODY)[-1], 16) ^ 1)},
     []),
]


def test_signatures_of_every_wrong_shape(door, events):  # noqa: F811
    with beside(door, events, memory_bytes=0) as stream:
        for name, changes, lines in SIGNATURES:
            assert statuses(ask(door, request(BODY, CLOSE, *lines, **changes))) == [401], name
        upper = sign(SECRET, BODY).upper().replace("SHA256", "sha256")
        assert statuses(ask(door, request(BODY, CLOSE, x_hub_signature_256=upper))) == [202]  # the same number
    good = {delivery for delivery, *_ in stream.answers}
    assert len([record for record in events.read() if record.attributes["ce_id"] not in good]) == 1
