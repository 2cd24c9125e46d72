"""A flood of badly signed deliveries: a program of its own, so that it takes a processor if there is one.

    python3 hostile_flood.py PORT CONNECTIONS REQUESTS

Each connection sends the same small delivery over and over, BATCH of them in one piece before it reads their answers.
It goes on until it had REQUESTS answers and stdin ended. Then one line of JSON: how often each status came, and the
seconds that all of it took.
"""
from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import threading
import time

from webhooks import PATH, headers_of, issue_payload

BATCH = 50
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
LIMIT_S = 60  # It ends by itself, whatever the door does.


def bad_request() -> bytes:
    body = issue_payload(1)
    headers = headers_of("issues", b"not the secret", body, Content_Length=str(len(body)))
    lines = [f"POST {PATH} HTTP/1.1", "Host: door", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Client:
    """One connection: how much of its batch is sent, and how many answers it waits for."""

    def __init__(self, port: int, data: bytes):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.data, self.left, self.owed, self.rest = data, b"", 0, b""

    def start(self) -> None:
        self.left, self.owed = self.data, BATCH

    def send(self) -> bool:
        """Sends what it can; True when the whole batch is out."""
        self.left = self.left[self.socket.send(self.left):]
        return not self.left

    def receive(self, counts: dict[str, int]) -> int:
        """Counts the answers that have come. An answer's first bytes may come in two pieces: their end is kept."""
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise ConnectionError("the door closed a connection of the flood")
        data = self.rest + piece
        found = list(STATUS.finditer(data))
        self.rest = data[max(found[-1].end() if found else 0, len(data) - 12):]
        for match in found:
            status = match[1].decode()
            counts[status] = counts.get(status, 0) + 1
        self.owed -= len(found)
        return len(found)


def flood(port: int, connections: int, wanted: int) -> dict:
    counts: dict[str, int] = {}
    began, answered, data = time.monotonic(), 0, bad_request() * BATCH
    reader = threading.Thread(target=sys.stdin.read, daemon=True)
    reader.start()
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            client = Client(port, data)
            client.start()
            selector.register(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
        while (answered < wanted or reader.is_alive()) and time.monotonic() < began + LIMIT_S:
            for key, what in selector.select(1):
                client = key.data
                if what & selectors.EVENT_READ:
                    answered += client.receive(counts)
                if what & selectors.EVENT_WRITE and client.left and client.send():
                    selector.modify(client.socket, selectors.EVENT_READ, client)
                if client.owed == 0:
                    client.start()
                    selector.modify(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
    return {"statuses": counts, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    print(json.dumps(flood(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))), flush=True)
