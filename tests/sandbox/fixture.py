"""What the sandbox's tests share: a forge in this process, a client, a receiver of deliveries.

Run them all: python3 -m unittest discover -s tests/sandbox
"""

import base64
import collections
import http.client
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SANDBOX = os.path.join(HERE, "..", "..", "deploy", "sandbox")
sys.path.insert(0, SANDBOX)

from forge import Forge                          # noqa: E402  (after the path above)

Answer = collections.namedtuple("Answer", "status headers body raw")
DEADLINE_S = 10              # for anything that a test waits for


class Client:
    """Asks one address over one kept connection. `token` goes out as a bearer's."""

    def __init__(self, base, token=None):
        self.base, self.token = base, token
        self.host = base.split("://")[1].split("/")[0]
        self.connection = http.client.HTTPConnection(self.host, timeout=DEADLINE_S)

    def ask(self, method, path, body=None, headers=None):
        """An Answer; `body` is an object for JSON or bytes. Redirects are not followed."""
        sent = {"User-Agent": "sandbox-test", **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
                **(headers or {})}
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            self.connection.request(method, path, raw, {k: v for k, v in sent.items() if v is not None})
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise
        kind = answer.headers.get("Content-Type", "")
        return Answer(answer.status, answer.headers, json.loads(text) if "json" in kind and text else None, text)

    def get(self, path, **headers):
        return self.ask("GET", path, None, headers)

    def post(self, path, body=None):
        return self.ask("POST", path, body)

    def close(self):
        self.connection.close()


class Receiver:
    """An endpoint for webhooks: keeps what arrives as (headers, body), answers `status`."""

    def __init__(self):
        self.arrived, self.status, self.hang = [], 202, threading.Event()
        self.hang.set()
        outer = self

        class Taker(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.hang.wait(DEADLINE_S)
                outer.arrived.append((self.headers, body))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def events(self):
        return [(h["X-GitHub-Event"], json.loads(b).get("action")) for h, b in self.arrived]

    def stop(self):
        self.hang.set()
        self.server.shutdown()
        self.server.server_close()


class ForgeTest(unittest.TestCase):
    """A forge with the repository acme/rocket, alice as its member with a token, and issue 1 of bob's."""

    def setUp(self):
        self.forge = Forge()
        self.base = self.forge.start(poll_s=0.02)
        self.addCleanup(self.forge.stop)
        self.anyone = self.client()
        self.admin("POST", "users", {"login": "alice", "token": "alice-token", "member_of": ["acme"]})
        self.admin("POST", "users", {"login": "mallory", "token": "mallory-token"})
        self.admin("POST", "repos", {"full_name": "acme/rocket", "labels": ["bug", "area/x", "question"],
                                     "files": {"README.md": "# Rocket\n", "docs/a b.txt": "text\n"}})
        self.act("open", title="It explodes", body="On the pad", **{"as": "bob"})
        self.alice = self.client("alice-token")
        self.issue = "/repos/acme/rocket/issues/1"

    def client(self, token=None):
        made = Client(self.base, token)
        self.addCleanup(made.close)
        return made

    def admin(self, method, path, body=None, expect=200):
        answer = self.anyone.ask(method, f"/_sandbox/{path}", body)
        self.assertEqual(answer.status, expect, answer.body)
        return answer.body

    def act(self, do, repository="acme/rocket", expect=200, **members):
        return self.admin("POST", "act", {"do": do, "repository": repository, **members}, expect)

    def expect(self, status, answer):
        """The answer's body, its status checked."""
        self.assertEqual(answer.status, status, answer.body or answer.raw)
        return answer.body

    def receiver(self):
        made = Receiver()
        self.addCleanup(made.stop)
        return made

    def settle(self):
        """Until all deliveries are done."""
        self.admin("GET", f"wait?timeout_s={DEADLINE_S}")

    def labels(self, number=1, repository="acme/rocket"):
        return self.admin("GET", f"issues/{repository}/{number}")["labels"]


class Key:
    """A key pair, made once for all tests; signs JWTs by the openssl command."""

    folder = None

    @classmethod
    def path(cls):
        if cls.folder is None:
            cls.folder = tempfile.TemporaryDirectory(prefix="sandbox-key-")
            subprocess.run(["openssl", "genrsa", "-out", os.path.join(cls.folder.name, "key.pem"), "2048"],
                           check=True, capture_output=True)
        return os.path.join(cls.folder.name, "key.pem")

    @classmethod
    def public(cls):
        return subprocess.run(["openssl", "rsa", "-in", cls.path(), "-pubout"], check=True, capture_output=True,
                              text=True).stdout

    @classmethod
    def jwt(cls, issuer, key_path=None, algorithm="RS256", **claims):
        now = int(time.time())
        parts = [{"alg": algorithm, "typ": "JWT"}, {"iat": now - 30, "exp": now + 540, "iss": issuer, **claims}]
        text = ".".join(pad_off(json.dumps(part).encode()) for part in parts)
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key_path or cls.path()],
                                   input=text.encode(), check=True, capture_output=True).stdout
        return f"{text}.{pad_off(signature)}"


def pad_off(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
