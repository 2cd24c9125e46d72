"""The road between nodag and an S3-compatible server: it writes down what passes, and can be bad in the ways that roads are.

    nodag ─▶ road ─▶ S3Proxy         Answer: the road answers itself    Cut: the connection dies after N bytes of a body
                                     Hold: nothing is answered          Then: something happens before the answer goes back

Design: one thread and one connection to the server for each connection of the client; `Connection: close` is put into the head, so
that a connection is one request. Nothing else is changed, and the host stays the one that was signed. Rules are taken in their order,
each for as many requests as it says.

Invariant: `requests` has every request whose head arrived, in that order.
"""
from __future__ import annotations

import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Callable

PIECE_BYTES = 1 << 16
HEAD_MAX_BYTES = 1 << 16
CONNECT_S = 10
STATUS = re.compile(rb"HTTP/1\.1 (?!100)(\d\d\d)")


@dataclass
class Request:
    """One request as it passed."""
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    head: bytes
    sent: int = 0  # bytes of the body that the client sent
    status: int | None = None  # of the answer

    def signed(self) -> list[str]:
        """The headers that the signature covers."""
        return re.search(r"SignedHeaders=([^,]*)", self.headers["authorization"])[1].split(";")


@dataclass
class Rule:
    """What happens to the next `times` requests of a method whose path has `key`."""
    method: str
    times: int = 1
    key: str = ""
    held: threading.Event = field(default_factory=threading.Event)  # a request met it


@dataclass
class Answer(Rule):
    """The road answers, as soon as the head is there, and closes: as a server that has decided."""
    status: int = 503
    code: str = "SlowDown"
    headers: str = ""


@dataclass
class Cut(Rule):
    """The connection dies, as when a cable is pulled, after so many bytes of the request's body, or of the answer with its head."""
    after: int | None = None
    answered: int | None = None


@dataclass
class Hold(Rule):
    """No answer, and no end, until release()."""


@dataclass
class Then(Rule):
    """`call` runs when the server has answered, before the client sees it."""
    call: Callable[[], None] = lambda: None


class Road:
    """A road to `port`, which may be changed while it is in use."""

    def __init__(self, port: int):
        self.target = port
        self.requests: list[Request] = []
        self._rules: list[Rule] = []
        self._lock, self._released = threading.Lock(), threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    def release(self) -> None:
        """Drops what is held, and forgets the rules."""
        with self._lock:
            self._rules = []
            self._released.set()
            self._released = threading.Event()

    def seen(self, method: str, key: str = "") -> list[Request]:
        """The requests of a method whose path has `key`."""
        return [request for request in self.requests if request.method == method and key in request.path]

    def close(self) -> None:
        self.release()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    # -- how ---------------------------------------------------------------------------------------------------------

    def _take(self) -> None:
        while True:
            try:
                client = self._server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _rule(self, method: str, path: str) -> Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.method == method and rule.key in path:
                    rule.times -= 1
                    if rule.times == 0:
                        self._rules.remove(rule)
                    return rule
        return None

    def _serve(self, client: socket.socket) -> None:
        with client:
            data = b""
            while b"\r\n\r\n" not in data and len(data) < HEAD_MAX_BYTES:
                piece = client.recv(PIECE_BYTES)
                if not piece:
                    return
                data += piece
            head, _, body = data.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            request = Request(method, path, headers, head, len(body))
            released = self._released
            rule = self._rule(method, path)
            self.requests.append(request)
            try:
                self._act(rule, released, client, request, head, body)
            except OSError:
                pass  # one side is gone; the other learns it by the closing
            finally:
                if rule:
                    rule.held.set()

    def _act(self, rule, released, client, request, head, body) -> None:
        if isinstance(rule, Answer):
            text = f"<?xml version=\"1.0\"?><Error><Code>{rule.code}</Code></Error>" if request.method != "HEAD" else ""
            request.status = rule.status
            client.sendall(f"HTTP/1.1 {rule.status} No\r\nContent-Length: {len(text)}\r\nConnection: close\r\n{rule.headers}\r\n{text}".encode())
            client.shutdown(socket.SHUT_WR)
            return
        if isinstance(rule, Hold):
            rule.held.set()
            released.wait()
            reset(client)
            return
        with socket.create_connection(("127.0.0.1", self.target), CONNECT_S) as server:
            server.settimeout(None)
            server.sendall(head + b"\r\nConnection: close\r\n\r\n")
            cut = rule if isinstance(rule, Cut) else Cut("")
            up = threading.Thread(target=self._up, args=(client, server, request, body, cut.after), daemon=True)
            up.start()
            self._down(client, server, request, rule if isinstance(rule, Then) else None, cut.answered)
            shut(client)
            up.join()

    @staticmethod
    def _up(client, server, request, body, most) -> None:
        try:
            while True:
                if most is not None and request.sent >= most:
                    reset(server)
                    reset(client)
                    return
                if body:
                    server.sendall(body)
                body = client.recv(PIECE_BYTES)
                if not body:
                    return
                request.sent += len(body)
        except OSError:
            shut(server)

    @staticmethod
    def _down(client, server, request, then, most) -> None:
        passed = 0
        while True:
            piece = server.recv(PIECE_BYTES)
            if not piece:
                return
            passed += len(piece)
            if most is not None and passed > most:
                reset(client)
                return
            if request.status is None and (found := STATUS.search(piece)):
                request.status = int(found[1])
                if then:
                    then.call()
            client.sendall(piece)


def reset(connection: socket.socket) -> None:
    """Ends it without a farewell."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    shut(connection)


def shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
