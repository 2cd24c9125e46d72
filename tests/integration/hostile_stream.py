"""The good senders beside an attack: a program of its own, so that what it measures is the door and not this process.

    python3 hostile_stream.py PORT SECRET-IN-HEX SENDERS FROM-ADDRESS

Each sender keeps one connection and delivers signed payloads one after the other, until stdin ends. Each answer is a
line of JSON: the delivery's id, the status, when it was sent and answered (seconds of the system's monotonic clock) and
the SHA-256 of its body; a connection that broke is a line with the reason, a string.
"""
from __future__ import annotations

import hashlib
import http.client
import json
import sys
import threading
import time
import uuid

from webhooks import PATH, headers_of, issue_payload

ANSWER_S = 30  # Three times what GitHub waits: an answer that comes too late is seen, not guessed.
PAUSE_S = 0.004  # Between two deliveries of a sender: a steady stream, not another flood.
PADDING_BYTES = 2000


class Senders:
    """The senders and what they have seen."""

    def __init__(self, port: int, secret: bytes, count: int, source: str):
        self.port, self.secret, self.source = port, secret, source
        self.stopping, self.printing = threading.Event(), threading.Lock()
        self.workers = [threading.Thread(target=self.work, args=(index,)) for index in range(count)]

    def run(self) -> None:
        for worker in self.workers:
            worker.start()
        sys.stdin.read()
        self.stopping.set()
        for worker in self.workers:
            worker.join()

    def tell(self, what) -> None:
        with self.printing:
            print(json.dumps(what), flush=True)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S, source_address=(self.source, 0))

    def work(self, index: int) -> None:
        connection, number = self.connect(), 0
        while not self.stopping.is_set():
            number += 1
            self.deliver(connection, index, number)
            self.stopping.wait(PAUSE_S)
        connection.close()

    def deliver(self, connection: http.client.HTTPConnection, index: int, number: int) -> None:
        body = issue_payload(number, 5000 + index, padding=chr(ord("a") + number % 26) * PADDING_BYTES)
        delivery, sent = str(uuid.uuid4()), time.monotonic()
        try:
            connection.request("POST", PATH, body, headers_of("issues", self.secret, body, delivery=delivery))
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as failure:
            self.tell(repr(failure))
            connection.close()
            return
        self.tell([delivery, answer.status, sent, time.monotonic(), hashlib.sha256(body).hexdigest()])


if __name__ == "__main__":
    Senders(int(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3]), sys.argv[4]).run()
