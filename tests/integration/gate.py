"""A gate between a daemon and the sandbox that holds requests exactly where a test wants a crash.

    labeler ─▶ gate ─▶ sandbox        before: the request is held and never reaches the sandbox: no effect
                                      after:  the effect is done, the answer is held and never comes

Design: a reverse proxy in threads, one kept connection to the sandbox for each of the daemon's. A rule names method,
path pattern and side; the first request that meets it is held until open_all(). A rule says when it holds its
request, so that a test waits for exactly that and then kills.

Invariant: a request held before its effect never takes effect, not even after its sender died.
"""
from __future__ import annotations

import fnmatch
import http.client
import http.server
import threading
import urllib.parse
from dataclasses import dataclass, field

ANSWER_S = 30  # For the sandbox.
SERVE_POLL_S = 0.05  # How soon serving notices that it shall stop.
PASSED_ON = ("Authorization", "Accept", "User-Agent", "X-GitHub-Api-Version", "If-None-Match", "Content-Type")
GIVEN_BACK = ("Content-Type", "ETag", "Link", "Location", "Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining",
              "X-RateLimit-Reset", "X-RateLimit-Used", "X-RateLimit-Resource")


@dataclass
class Rule:
    """Holds the first request that it matches; `side` is "before" or "after" the effect."""
    method: str
    path: str
    side: str
    held: threading.Event = field(default_factory=threading.Event)


class Gate:
    """The proxy at `url`, in front of the sandbox at `upstream`."""

    def __init__(self, upstream: str):
        self.upstream = urllib.parse.urlsplit(upstream).netloc
        self._lock, self._rules, self._open = threading.Lock(), [], threading.Event()
        gate = self

        class Taker(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                self.sandbox = http.client.HTTPConnection(gate.upstream, timeout=ANSWER_S)

            def finish(self):
                self.sandbox.close()
                super().finish()

            def take(self):
                gate.pass_on(self)

            do_GET = do_POST = do_PATCH = do_DELETE = take

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(SERVE_POLL_S,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.open_all()
        self._server.shutdown()
        self._server.server_close()

    def hold(self, method: str, path: str, side: str) -> Rule:
        """From now on the first request like this is held."""
        rule = Rule(method, path, side)
        with self._lock:
            self._open = threading.Event() if self._open.is_set() else self._open
            self._rules.append(rule)
        return rule

    def open_all(self) -> None:
        """Forgets all rules. What was held is dropped: its sender was killed meanwhile."""
        with self._lock:
            self._rules = []
            self._open.set()

    def _take_rule(self, method: str, path: str) -> tuple[Rule | None, threading.Event]:
        with self._lock:
            for rule in self._rules:
                if not rule.held.is_set() and rule.method == method and fnmatch.fnmatchcase(path, rule.path):
                    self._rules.remove(rule)
                    return rule, self._open
            return None, self._open

    def pass_on(self, taker: http.server.BaseHTTPRequestHandler) -> None:
        """One request: on to the sandbox and back, unless a rule holds it."""
        body = taker.rfile.read(int(taker.headers.get("Content-Length") or 0))
        rule, opened = self._take_rule(taker.command, urllib.parse.unquote(taker.path.partition("?")[0]))
        if rule and rule.side == "before":
            rule.held.set()
            opened.wait()
            taker.close_connection = True
            return
        headers = {name: taker.headers[name] for name in PASSED_ON if name in taker.headers}
        taker.sandbox.request(taker.command, taker.path, body or None, headers)
        answer = taker.sandbox.getresponse()
        content = answer.read()
        if rule:
            rule.held.set()
            opened.wait()
            taker.close_connection = True
            return
        taker.send_response(answer.status)
        for name in GIVEN_BACK:
            if name in answer.headers:
                taker.send_header(name, answer.headers[name])
        if answer.status not in (204, 304):
            taker.send_header("Content-Length", str(len(content)))
        taker.end_headers()
        taker.wfile.write(content)
