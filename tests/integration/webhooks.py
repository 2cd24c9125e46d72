"""Webhook deliveries as GitHub sends them: signed, with its headers, over kept connections; and load made of them.

Source: GitHub, "Webhook events and payloads" (delivery headers), "Validating webhook deliveries".
"""
from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
import threading
import time
import uuid
from dataclasses import dataclass, field

PATH = "/webhooks/github"
HOOK_ID = "109948940"
ANSWER_S = 15  # Longer than any answer may take: a test that must be answered sooner measures.


def sign(secret: bytes, body: bytes) -> str:
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def headers_of(event: str, secret: bytes, body: bytes, **changes) -> dict[str, str]:
    """GitHub's headers. `changes` (names with _ for -) replace or, with None, leave out; `delivery` is the GUID."""
    headers = {"User-Agent": "GitHub-Hookshot/test", "Content-Type": "application/json", "X-GitHub-Event": event,
               "X-GitHub-Delivery": changes.pop("delivery", None) or str(uuid.uuid4()), "X-GitHub-Hook-ID": HOOK_ID,
               "X-GitHub-Hook-Installation-Target-Type": "repository",
               "X-GitHub-Hook-Installation-Target-ID": "186853002", "X-Hub-Signature-256": sign(secret, body)}
    names = {name.lower().replace("-", "_"): name for name in headers}
    for name, value in changes.items():
        headers[names.get(name.lower(), name.replace("_", "-"))] = value
    return {name: value for name, value in headers.items() if value is not None}


@dataclass
class Answer:
    """What came back."""
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float

    @property
    def json(self):
        return json.loads(self.body)


class Sender:
    """One kept connection to the door; with TLS where there is a context."""

    def __init__(self, port: int, timeout_s: float = ANSWER_S, context: ssl.SSLContext | None = None):
        if context is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        else:
            self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout_s, context=context)

    def ask(self, method: str, path: str, body: bytes | None, headers: dict) -> Answer:
        """One request; a broken connection raises and is closed."""
        began = time.monotonic()
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise
        return Answer(answer.status, answer.headers, text, time.monotonic() - began)

    def deliver(self, event: str, secret: bytes, body: bytes, **changes) -> Answer:
        """One signed delivery."""
        return self.ask("POST", PATH, body, headers_of(event, secret, body, **changes))

    def close(self) -> None:
        self.connection.close()


def issue_payload(number: int, repository_id: int = 11, **members) -> bytes:
    """A small payload of an opened issue."""
    return json.dumps({"action": "opened", "issue": {"number": number, "updated_at": "2020-01-01T00:00:00Z"},
                       "repository": {"id": repository_id, "full_name": "octo/hello", "url": "repo-url",
                                      "owner": {"login": "octo"}}, **members}).encode()


@dataclass
class Load:
    """Senders in threads that deliver until they are stopped; every answer is kept.

    `port` is asked before each connection, so that the door may come back on another one.
    """
    port: object  # a function
    secret: bytes
    threads: int = 8
    body_bytes: int = 2000
    context: ssl.SSLContext | None = None  # with TLS
    kept: bool = True  # else a connection for each delivery
    answers: list[tuple[str, int, float]] = field(default_factory=list)  # delivery, status, seconds
    broken: int = 0  # requests whose connection ended before an answer

    def __post_init__(self):
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._workers = [threading.Thread(target=self._work, args=(index,), daemon=True)
                         for index in range(self.threads)]

    def __enter__(self) -> "Load":
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *exception) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for worker in self._workers:
            worker.join(2 * ANSWER_S)
            assert not worker.is_alive(), "a sender is stuck"

    def accepted(self) -> set[str]:
        """The deliveries that were answered 202."""
        with self._lock:
            return {delivery for delivery, status, _ in self.answers if status == 202}

    def statuses(self, since: int = 0) -> set[int]:
        with self._lock:
            return {status for _, status, _ in self.answers[since:]}

    def count(self) -> int:
        with self._lock:
            return len(self.answers)

    def slowest(self) -> float:
        with self._lock:
            return max((seconds for _, _, seconds in self.answers), default=0.0)

    def _work(self, index: int) -> None:
        sender, port, number = None, None, 0
        while not self._stop.is_set():
            if sender is None or port != self.port():
                port = self.port()
                sender = Sender(port, context=self.context)
            number += 1
            delivery = str(uuid.uuid4())
            body = issue_payload(number, 1000 + index, padding="x" * self.body_bytes)
            try:
                answer = sender.deliver("issues", self.secret, body, delivery=delivery)
            except (OSError, http.client.HTTPException):
                with self._lock:
                    self.broken += 1
                self._stop.wait(0.005)  # nobody listens: do not spin
                continue
            with self._lock:
                self.answers.append((delivery, answer.status, answer.seconds))
            if not self.kept or answer.headers.get("Connection", "").lower() == "close":
                sender.close()
