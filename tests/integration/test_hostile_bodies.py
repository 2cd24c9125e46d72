"""Bodies that are too many, too large, or as hard to read as JSON can be.

Design: the large ones are sent from threads out of one buffer; what the door holds of them is bounded by --bodies-max,
and the good ones' small bodies have a part of it to themselves.
"""
import select
import threading
import time

import pytest
from hostile import BODIES_MAX, BODY_MAX, MIB, SECRET, beside, connect, door, head, read_to_close  # noqa: F401
from hostile import send_all, split_answers, statuses
from webhooks import Sender, issue_payload, sign

HUNDRED = 100
PIECE = 256 * 1024
ANSWERED_LEAST = 64  # Of a hundred refused in the midst of their bodies, so many read their answer; see http_linger.c.
SILENCE_MAX = 0.25  # Longest part of a large delivery's time for which the door may say nothing to others.
SMALL_BODY = 200000  # What still counts as small, see HTTP_SMALL_BODY_BYTES.
LEFT_BYTES = SMALL_BODY // 2  # Room for the good senders' bodies, not for that one.
ASIDE = b"GET /aside HTTP/1.1\r\nHost: door\r\n\r\n"
LARGE_ANSWER_S = 60  # For a large delivery among a hundred, with sanitizers, on a busy machine.
TRIES = 6  # Of a measurement that a busy machine may spoil; a stall of the door's own is in all of them.
TIMES_ITS_SIZE = 3  # What a large delivery may take of memory, all copies on its way to the broker together.


def filled(middle: bytes, start: bytes = b'"x":[', end: bytes = b"[]]}") -> bytes:
    """A payload of exactly BODY_MAX bytes: a good one with a member made of `middle` over and over."""
    first = issue_payload(9)[:-1] + b"," + start
    room = BODY_MAX - len(first) - len(end)
    return first + middle * (room // len(middle)) + b" " * (room % len(middle) if not start.endswith(b'"') else 0) + \
        (b"y" * (room % len(middle)) if start.endswith(b'"') else b"") + end


SHAPES = {
    "eight million empty lists": filled(b"[],"),
    "thirteen million digits": filled(b"1,", end=b"1]}"),
    "members without names": filled(b'"":1,', start=b'"x":{', end=b'"":1}}'),
    "as deep as allowed, again and again": filled(b"[" * 500 + b"]" * 500 + b","),
    "one string": filled(b"y", start=b'"x":"', end=b'"}'),
    "one string of escapes": filled(b"\\n", start=b'"x":"', end=b'"}'),
    "one string of escaped characters": filled(b"\\u0041", start=b'"x":"', end=b'"}'),
    "one number": filled(b"7", start=b'"x":', end=b"}"),
    "one name": filled(b"k", start=b'"', end=b'":1}'),
    "blanks": filled(b" ", start=b'"x":', end=b"1}"),
}


def deliver_large(door, body: bytes, signature: str, chunked: bool = False) -> int:  # noqa: F811
    """The status that a large body gets; 0 where the connection was reset before the answer could be read. As a good
    client does, it stops sending when there is an answer."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    view = memoryview(body)
    with connect(door) as raw:
        raw.settimeout(LARGE_ANSWER_S)
        wants = send_all(raw, head(length, "Connection: close", x_hub_signature_256=signature))
        for at in range(0, len(body), PIECE):
            piece = view[at:at + PIECE]
            data = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
            wants = wants and not select.select([raw], [], [], 0)[0] and send_all(raw, data)
        if wants and chunked:
            send_all(raw, b"0\r\n\r\n")
        answers = statuses(split_answers(read_to_close(raw)))
    return answers[0] if answers else 0


def in_thread(function, *arguments) -> tuple[threading.Thread, list]:
    results: list = []
    worker = threading.Thread(target=lambda: results.append(function(*arguments)))
    worker.start()
    return worker, results


@pytest.mark.parametrize("secret,status", [(SECRET, 202), (b"wrong", 401)], ids=["well signed", "badly signed"])
def test_a_hundred_largest_bodies_at_once(door, events, secret, status):  # noqa: F811
    """A hundred times 25 MB, half of them with lengths: what there is room for is read, the rest is told to come
    again, and the door holds what its limit says."""
    body = SHAPES["blanks"]
    signature = sign(secret, body)
    with beside(door, events, memory_bytes=BODIES_MAX):
        begun = [in_thread(deliver_large, door, body, signature, index % 2 == 0) for index in range(HUNDRED)]
        for worker, _ in begun:
            worker.join()
    told = [result for _, results in begun for result in results]
    assert len(told) == HUNDRED
    assert set(told) <= {status, 503, 0}, told
    assert told.count(status) >= 1, "there was room for one at least"
    assert told.count(0) <= HUNDRED - ANSWERED_LEAST, "too many were cut off without a word"
    if status == 202:
        published = [record for record in events.read() if len(record.value) == BODY_MAX]
        assert [record.value == body for record in published] == [True] * told.count(202)


def test_bodies_that_are_held_leave_room_for_small_ones(door, events):  # noqa: F811
    """Large bodies, sent but for their end, as much of them as there may be: small ones still have their part."""
    body = memoryview(SHAPES["blanks"])
    sizes = [BODY_MAX - 1] * (BODIES_MAX // BODY_MAX)
    sizes.append(BODIES_MAX - sum(sizes) - LEFT_BYTES)
    with beside(door, events, memory_bytes=BODIES_MAX) as stream:
        held = [connect(door) for _ in sizes]
        for raw, size in zip(held, sizes):  # without lengths: what is announced is judged by its announcement
            if send_all(raw, head("Transfer-Encoding: chunked") + b"%x\r\n" % BODY_MAX):
                send_all(raw, body[:size])
        stream.wait_for(50)
        small = Sender(door.port)
        assert small.deliver("issues", SECRET, issue_payload(3, padding="x" * SMALL_BODY)).status == 202
        small.close()
        for raw in held:
            raw.close()


def longest_silence(door, until) -> float:  # noqa: F811
    """Asks the door something that needs no broker, again and again; the longest that it took to say a word."""
    longest = 0.0
    with connect(door) as raw:
        while not until():
            asked = time.monotonic()
            raw.sendall(ASIDE)
            assert raw.recv(65536).startswith(b"HTTP/1.1 404 ")
            longest = max(longest, time.monotonic() - asked)
    return longest


@pytest.mark.parametrize("shape", SHAPES)
def test_the_hardest_payloads_stall_nobody(door, events, shape):  # noqa: F811
    """Of the largest size, whatever it is made of: others are answered all the while, and it takes a few times its
    size. Where the loop stood still for the whole of reading it, others would wait most of the time that it takes."""
    body = SHAPES[shape]
    assert len(body) == BODY_MAX
    signature = sign(SECRET, body)
    shares = []
    for _ in range(TRIES):
        events.mark()
        with beside(door, events, memory_bytes=TIMES_ITS_SIZE * BODY_MAX):
            began = time.monotonic()
            worker, told = in_thread(deliver_large, door, body, signature)
            silence = longest_silence(door, lambda: not worker.is_alive())
            took = time.monotonic() - began
        assert told == [202]
        assert [record.value == body for record in events.read() if len(record.value) > MIB] == [True]
        shares.append(silence / took)
        print(shape, f"{took:.3f} s, longest silence {1000 * silence:.1f} ms")
        if shares[-1] < SILENCE_MAX:
            return
    pytest.fail(f"the door was silent for {min(shares):.0%} of the time that one large delivery took")


@pytest.mark.parametrize("shape", [b"\x01", b"\\x", b"\xff", b"\""], ids=["control", "escape", "UTF-8", "end"])
def test_faults_deep_in_one_huge_string_are_found(door, events, shape):  # noqa: F811
    """The middle of a huge string is passed over, not trusted."""
    body = bytearray(SHAPES["one string"])
    body[BODY_MAX // 2:BODY_MAX // 2 + len(shape)] = shape
    with beside(door, events, memory_bytes=TIMES_ITS_SIZE * BODY_MAX):
        assert deliver_large(door, bytes(body), sign(SECRET, bytes(body))) == 400
