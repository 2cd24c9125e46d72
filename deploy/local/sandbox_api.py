"""Calls to the sandbox forge's admin API (deploy/sandbox/README.md), for the local stack and the tests.

Invariant: every call has a time limit; an answer that is no success raises Failed with what the sandbox said.
"""
from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent / "lib")]
from proc import Failed  # noqa: E402

CALL_S = 60.0  # the longest call creates a batch of issues


class Sandbox:
    """The sandbox at `url`."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")

    def call(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method,
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=CALL_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: the sandbox answered {error.code}: {error.read().decode(errors='replace')[:500]}") from None
        except OSError as error:
            raise Failed(f"{method} {path}: the sandbox does not answer: {error}") from None
        return json.loads(text) if text else None

    def get(self, path: str):
        return self.call("GET", path)

    def post(self, path: str, body):
        return self.call("POST", path, body)

    def act(self, *acts: dict):
        """Lets people do something; returns the list of answers."""
        answer = self.post("/_sandbox/act", list(acts))
        return answer if isinstance(answer, list) else [answer]

    def issue(self, repository: str, number: int) -> dict:
        return self.get(f"/_sandbox/issues/{repository}/{number}")

    def wait_for_deliveries(self, timeout_s: int = 30) -> None:
        self.get(f"/_sandbox/wait?timeout_s={timeout_s}")

    def page(self, repository: str, number: int) -> str:
        return f"{self.url}/{repository}/issues/{number}"
