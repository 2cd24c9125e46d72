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
STILL_BUSY = 504  # what /_sandbox/wait answers while deliveries are under way


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
            said = error.read().decode(errors="replace")[:500]
            raise Refused(error.code, f"{method} {path}: the sandbox answered {error.code}: {said}") from None
        except OSError as error:
            raise Failed(f"{method} {path}: the sandbox does not answer: {error}") from None
        return json.loads(text) if text else None

    def get(self, path: str):
        return self.call("GET", path)

    def post(self, path: str, body):
        return self.call("POST", path, body)

    def act(self, *acts: dict) -> list[dict]:
        """Lets people do something; the list of answers."""
        return self.post("/_sandbox/act", list(acts))

    def issue(self, repository: str, number: int) -> dict:
        """The issue whole: `issue`, `labels`, `comments`, `timeline`."""
        return self.get(f"/_sandbox/issues/{repository}/{number}")

    def numbers(self, repository: str) -> list[int]:
        """Of all issues of a repository, open or not."""
        return [issue["number"] for issue in self.get(f"/_sandbox/issues/{repository}?state=all")["issues"]]

    def deliveries_are_done(self, timeout_s: int = 1) -> bool:
        """Whether no webhook waits or is under way, now or within the time."""
        try:
            return self.get(f"/_sandbox/wait?timeout_s={timeout_s}")["idle"]
        except Refused as refused:
            if refused.status != STILL_BUSY:
                raise
            return False

    def page(self, repository: str, number: int) -> str:
        """The address of an issue for people."""
        return f"{self.url}/{repository}/issues/{number}"


class Refused(Failed):
    """The sandbox answered with an error; `status` is its HTTP status."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status
