"""What the tests of hostile clients share: a door, the good senders beside every attack, raw connections, memory.

Design: every attack runs inside `beside(…)`. It starts a steady stream of good deliveries on connections of their own
(hostile_stream.py, another process), lets the attack go on, and afterwards asserts what no attack may change:

    every good delivery    answered 202 within the sender's deadline, and in the topic once, byte for byte
    the good senders       keep the connections that they began with; go on after the attack, and where an attack has
                           a state that lasts, it waits for their answers in that state (`stream.wait_for`)
    the door               back at its number of descriptors, with no request under way
    its memory             never above what its limits allow for bodies and connections

The attack itself asserts what it was answered. Nothing here sleeps to wait for something; where a client is slow on
purpose, its slowness is the attack.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon import Daemon
from proc import wait_until
from topic import Topic
from webhooks import PATH, headers_of

SECRET = b"secret"
DEADLINE_S = 10.0  # GitHub gives up on a delivery then.
RAW_S = 20  # For an answer to an attacker; a door that has none by then is stuck.
RECOVERY_S = 30  # Until the door is as it was before: longer than its time limits.
SENDERS = 3  # Good senders beside an attack.
GOOD_ADDRESS = "127.0.0.2"  # They come from another address than the attackers.
GOOD_AFTER = 10  # Good answers that are waited for after an attack: the door goes on.

MIB = 1 << 20
BODY_MAX = 25 * MIB
BODIES_MAX = 256 * MIB  # --bodies-max's default
HEAD_MAX = 48 * 1024  # of a connection: the head's limit and what the library keeps beside it, see http_server.h
CONNECTION_BYTES = HEAD_MAX + 16 * 1024  # and what we and the library keep beside that
# What an attack may add beside bodies and connections: librdkafka's and the allocator's. A sanitizer's shadow is an
# eighth of what it shadows, and it keeps freed memory for a while, which SANITIZER bounds.
SLACK_BYTES = 16 * MIB
SANITIZER = {"ASAN_OPTIONS": "quarantine_size_mb=16:thread_local_quarantine_size_kb=64:malloc_context_size=5:"
                             "allocator_release_to_os_interval_ms=100:" + os.environ.get("ASAN_OPTIONS", "")}


# ---- the door ----

class Door(Daemon):
    """The daemon under attack."""

    connections_max = 1024
    bodies_max = BODIES_MAX

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.proc.pid}/fd"))

    def in_flight(self) -> float:
        return self.metric("nodag_ingest_github_requests_in_flight")

    def memory(self, name: str) -> int:
        """VmRSS, VmHWM … in bytes."""
        text = Path(f"/proc/{self.proc.pid}/status").read_text(encoding="ascii")
        return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024

    def forget_peak(self) -> None:
        """VmHWM begins anew (proc(5), clear_refs)."""
        Path(f"/proc/{self.proc.pid}/clear_refs").write_text("5", encoding="ascii")

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.proc.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_door(bin_dir: Path, brokers: str, folder: Path, *options) -> Door:
    (folder / "secret").write_bytes(SECRET)
    arguments = ["--listen", "127.0.0.1:0", "--brokers", brokers, "--secret-file", folder / "secret", "--scope", "octo",
                 *options]
    door = Door(bin_dir / "nodag-ingest-github", [str(argument) for argument in arguments], folder / "door", SANITIZER)
    return door.start()


@pytest.fixture(scope="module")
def door(bin_dir, topics_created, tmp_path_factory):
    """A door with its usual limits, for all tests of a file."""
    door = start_door(bin_dir, topics_created.brokers, tmp_path_factory.mktemp("door"))
    yield door
    door.end()


# ---- the good ones ----

class Stream:
    """The good senders, from their first answers to stop()."""

    def __init__(self, door: Door):
        program = Path(__file__).with_name("hostile_stream.py")
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self.door, self.answers, self.broken = door, [], []
        self.process = subprocess.Popen(
            [sys.executable, program, str(door.port), SECRET.hex(), str(SENDERS), GOOD_ADDRESS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.wait_for(3 * SENDERS)  # each has its connection

    def read(self) -> None:
        for line in self.process.stdout:
            told = json.loads(line)
            if isinstance(told, str):
                self.broken.append(told)
            else:
                self.answers.append(tuple(told))

    def wait_for(self, count: int) -> None:
        """Waits until they had so many more answers."""
        enough = len(self.answers) + count
        wait_until(lambda: len(self.answers) >= enough or self.broken, 2 * DEADLINE_S, f"{count} good answers",
                   self.door.proc)

    def stop(self) -> None:
        self.process.stdin.close()
        assert self.process.wait(4 * DEADLINE_S) == 0, "the good senders failed"
        self.reader.join()

    def slowest(self) -> float:
        return max(answered - sent for _, _, sent, answered, _ in self.answers)

    def check(self, events: Topic) -> None:
        """Every one of them was answered well and in time, and is in the topic once as it was sent."""
        assert not self.broken, self.broken
        assert {status for _, status, _, _, _ in self.answers} == {202}
        assert self.slowest() < DEADLINE_S
        found: dict[str, list[str]] = {}
        for record in events.read():
            found.setdefault(record.attributes["ce_id"], []).append(hashlib.sha256(record.value).hexdigest())
        wrong = [delivery for delivery, _, _, _, digest in self.answers if found.get(delivery) != [digest]]
        assert not wrong, f"{len(wrong)} of {len(self.answers)} good deliveries are not in the topic as they were sent"


@contextmanager
def beside(door: Door, events: Topic, memory_bytes: int | None = None):
    """An attack, with the good senders beside it; see the head of this file. `memory_bytes`: the most that it may add
    (default: all connections, and bodies within their limit)."""
    if memory_bytes is None:
        memory_bytes = door.connections_max * CONNECTION_BYTES + door.bodies_max
    descriptors, stream = door.descriptors(), Stream(door)
    door.forget_peak()
    before = door.memory("VmRSS")
    try:
        yield stream
        stream.wait_for(GOOD_AFTER)
        peak = door.memory("VmHWM")
    finally:
        stream.stop()
    stream.check(events)
    print(f"{(peak - before) / MIB:.1f} MiB more at the peak; {len(stream.answers)} good answers, the slowest after "
          f"{stream.slowest():.3f} s")
    assert peak - before <= memory_bytes + memory_bytes // 8 + SLACK_BYTES, \
        f"{(peak - before) / MIB:.0f} MiB more in memory, at most {memory_bytes / MIB:.0f} MiB are due"
    wait_until(lambda: door.descriptors() <= descriptors, RECOVERY_S, "the connections to be closed", door.proc)
    wait_until(lambda: door.in_flight() == 0, RECOVERY_S, "no request to be under way", door.proc)


# ---- raw connections ----

def head(*lines: str, first: str = f"POST {PATH} HTTP/1.1", body: bytes = b"", **changes) -> bytes:
    """A request's head: the first line, Host, GitHub's headers for `body`, then `lines` as they are."""
    headers = headers_of("issues", SECRET, body, **changes)  # names of `changes`: see there
    every = [first, "Host: door", *(f"{name}: {value}" for name, value in headers.items()), *lines]
    return ("\r\n".join(every) + "\r\n\r\n").encode("latin-1")


def request(body: bytes, *lines: str, **changes) -> bytes:
    """A whole good request, but for `changes`, and `lines` behind its headers."""
    return head(f"Content-Length: {len(body)}", *lines, body=body, **changes) + body


def connect(door: Door, source: str = "127.0.0.1") -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", door.port), RAW_S, source_address=(source, 0))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def reset(raw: socket.socket) -> None:
    """Closes with RST."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()


def read_to_close(raw: socket.socket) -> bytes:
    """All that comes until the door closes; fails if it does not."""
    found = b""
    while True:
        try:
            piece = raw.recv(65536)
        except ConnectionResetError:
            return found
        except TimeoutError:
            pytest.fail(f"no end after {RAW_S} s; so far {found[:500]!r}")
        if not piece:
            return found
        found += piece


def send_all(raw: socket.socket, data: bytes) -> bool:
    """False if the door did not want all of it."""
    try:
        raw.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def split_answers(data: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer; the bytes must be whole answers and nothing else."""
    found = []
    # libmicrohttpd 0.9.75 writes the head of its refusals of a Content-Length twice.
    data = re.sub(rb"^(HTTP/1\.1 4\d\d (?:[^\r\n]+\r\n)+\r\n)\1", rb"\1", data)
    while data:
        match = re.match(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n", data)
        assert match, f"this is no answer: {data[:200]!r}"
        status, data = int(match[1]), data[match.end():]
        length = re.search(rb"^content-length: (\d+)\r$", match[2], re.MULTILINE | re.IGNORECASE)
        assert length or status == 100, f"{status} without a length"
        count = int(length[1]) if length else 0
        assert len(data) >= count, f"the body of {status} is cut short"
        found.append((status, data[:count]))
        data = data[count:]
    return found


def ask(door: Door, *pieces: bytes, source: str = "127.0.0.1") -> list[tuple[int, bytes]]:
    """Sends the pieces and returns the answers up to the close, which the door is expected to make."""
    with connect(door, source) as raw:
        for piece in pieces:
            if not send_all(raw, piece):
                break
        return split_answers(read_to_close(raw))


def statuses(answers: list[tuple[int, bytes]]) -> list[int]:
    return [status for status, _ in answers]
