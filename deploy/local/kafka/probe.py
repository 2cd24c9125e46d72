"""Asks a Kafka broker who it is: one Metadata request over a plain socket, by the Kafka protocol's own layout.

Why not a client library: the local stack has to know that a broker serves before anything else is built or installed.
The answer names the cluster, so a stranger on the same port is not taken for ours, and lists the broker only once it
has registered with the controller and was unfenced, which is the moment from which topics can be created.

Source: the Kafka protocol guide; Metadata version 4, request header version 1. Standard library only.
"""
from __future__ import annotations

import socket
import struct

METADATA, VERSION = 3, 4
CORRELATION = 1
CLIENT = b"nodag-probe"
TIMEOUT_S = 2.0  # A broker of this machine that takes longer is not ready.
ANSWER_MAX_BYTES = 1 << 20  # No topics are asked for, so an honest answer is some hundred bytes.


class Reader:
    """Takes fields off the front of an answer. Raises struct.error when it is too short."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def integer(self, form: str) -> int:
        value = struct.unpack_from(">" + form, self._data, self._at)[0]
        self._at += struct.calcsize(form)
        return value

    def text(self) -> str | None:
        size = self.integer("h")
        if size < 0:
            return None
        raw = self._data[self._at:self._at + size]
        self._at += size
        return raw.decode()


def receive(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            raise ConnectionError("closed in the middle of an answer")
        data += part
    return data


def ask_cluster(port: int, host: str = "127.0.0.1") -> str | None:
    """The id of the cluster that serves on this port, or None while none serves.

    Serving means: it answers, its controller is known, and it lists a broker at this very port.
    """
    body = struct.pack(">iB", 0, 0)  # an empty list of topics; do not create any
    head = struct.pack(">hhih", METADATA, VERSION, CORRELATION, len(CLIENT)) + CLIENT
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as link:
            link.sendall(struct.pack(">i", len(head + body)) + head + body)
            size = struct.unpack(">i", receive(link, 4))[0]
            if not 0 < size <= ANSWER_MAX_BYTES:
                return None
            answer = Reader(receive(link, size))
    except OSError:
        return None
    try:
        if answer.integer("i") != CORRELATION:
            return None
        answer.integer("i")  # throttle time
        ports = []
        for _ in range(answer.integer("i")):
            answer.integer("i")  # node id
            answer.text()  # host
            ports.append(answer.integer("i"))
            answer.text()  # rack
        cluster = answer.text()
        controller = answer.integer("i")
    except (struct.error, UnicodeDecodeError):
        return None
    return cluster if controller >= 0 and port in ports else None
