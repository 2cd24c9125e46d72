"""Real git servers for the tests of the git door: git's http-backend behind a small HTTP(S) server, sshd, and files.

Design: a Remote is a bare repository on disk with a work tree beside it that pushes into it by path, whatever the
daemon under test uses to read it. The HTTP server runs `git http-backend` (git-http-backend(1)) for each request as a
web server does, and can be told to misbehave: to ask for a password, to redirect, to be down, to stop in the middle of
a pack.

Invariants: everything listens on loopback; every server and process is ended by close(); nothing of the user's git
configuration is used.
"""
from __future__ import annotations

import base64
import http.server
import os
import ssl
import subprocess
import threading
from pathlib import Path

from git_sshd import Sshd
from proc import Proc, free_ports, wait_until

GIT_S = 120  # For one git command.
SERVE_POLL_S = 0.05  # How soon serving notices that it shall stop.
GIT_ENV = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "Ann",
           "GIT_AUTHOR_EMAIL": "ann@example.org", "GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.org",
           "GIT_TERMINAL_PROMPT": "0"}


def git(folder: Path, *arguments, data: str | None = None) -> str:
    """Runs git in a folder and returns what it prints; asserts that it works."""
    done = subprocess.run(["git", *map(str, arguments)], cwd=folder, env=GIT_ENV, capture_output=True, text=True,
                          timeout=GIT_S, check=False, input=data)
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.strip()


class Remote:
    """A bare repository `name`.git below `root`, with a work tree that pushes to it."""

    def __init__(self, root: Path, name: str):
        self.name = name
        self.bare, self.work = root / f"{name}.git", root / f"{name}.work"
        self.bare.parent.mkdir(parents=True, exist_ok=True)
        git(self.bare.parent, "init", "-q", "--bare", "-b", "main", self.bare)
        git(self.bare, "config", "http.receivepack", "false")
        git(self.bare.parent, "init", "-q", "-b", "main", self.work)
        git(self.work, "remote", "add", "origin", self.bare)

    @property
    def file_url(self) -> str:
        return f"file://{self.bare}"

    def commit(self, message: str, **files: str) -> str:
        """Commits files (`__` in a name is a slash); returns the commit."""
        for name, text in (files or {"file": message}).items():
            path = self.work / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            git(self.work, "add", path)
        git(self.work, "commit", "-q", "-m", message)
        return self.head()

    def head(self, name: str = "HEAD") -> str:
        return git(self.work, "rev-parse", name)

    def push(self, *refspecs: str) -> None:
        git(self.work, "push", "-q", "--force", "origin", *(refspecs or ("main",)))

    def commit_and_push(self, message: str, **files: str) -> str:
        commit = self.commit(message, **files)
        self.push()
        return commit


def read_body(taker: http.server.BaseHTTPRequestHandler) -> bytes:
    """The body of a request; git sends large ones in chunks (RFC 9112 §7.1)."""
    if taker.headers.get("Transfer-Encoding") != "chunked":
        return taker.rfile.read(int(taker.headers.get("Content-Length") or 0))
    pieces = []
    while size := int(taker.rfile.readline().partition(b";")[0], 16):
        pieces.append(taker.rfile.read(size))
        taker.rfile.readline()
    taker.rfile.readline()
    return b"".join(pieces)


class HttpServer:
    """git http-backend for all repositories below `root`, at `url`."""

    def __init__(self, root: Path, tls: Path | None = None):
        self.root = root
        self.password: str | None = None  # Basic authentication with this password is asked for
        self.redirect: str | None = None  # where every request is sent instead
        self.is_down = False  # every request is answered 503
        self.stop_after: int | None = None  # so many bytes of a pack are sent, then nothing more
        self.held = threading.Event()  # a pack was stopped
        self.seen: list[tuple[str, str | None]] = []  # path and Authorization of every request
        self._open = threading.Event()
        server = self

        class Taker(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.answer(self)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(SERVE_POLL_S,), daemon=True).start()

    def close(self) -> None:
        self._open.set()
        self._server.shutdown()
        self._server.server_close()

    def go_on(self) -> None:
        """Ends the stop in the middle of packs."""
        self.stop_after = None
        self._open.set()

    def answer(self, taker: http.server.BaseHTTPRequestHandler) -> None:
        authorization = taker.headers.get("Authorization")
        self.seen.append((taker.path, authorization))
        body = read_body(taker)
        if self.is_down:
            taker.send_error(503)
        elif self.redirect:
            taker.send_response(301)
            taker.send_header("Location", self.redirect + taker.path)
            taker.send_header("Content-Length", "0")
            taker.end_headers()
        elif self.password is not None and not self._is_allowed(authorization):
            taker.send_response(401)
            taker.send_header("WWW-Authenticate", 'Basic realm="git"')
            taker.send_header("Content-Length", "0")
            taker.end_headers()
        else:
            self._run_backend(taker, body)

    def _is_allowed(self, authorization: str | None) -> bool:
        kind, _, text = (authorization or "").partition(" ")
        return kind == "Basic" and base64.b64decode(text).decode().partition(":")[2] == self.password

    def _run_backend(self, taker: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
        path, _, query = taker.path.partition("?")
        env = {**GIT_ENV, "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
               "QUERY_STRING": query, "REQUEST_METHOD": taker.command, "REMOTE_ADDR": "127.0.0.1",
               "CONTENT_TYPE": taker.headers.get("Content-Type") or "", "CONTENT_LENGTH": str(len(body)),
               "HTTP_CONTENT_ENCODING": taker.headers.get("Content-Encoding") or "",
               "GIT_PROTOCOL": taker.headers.get("Git-Protocol") or "", "GIT_CONFIG_COUNT": "1",
               "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, timeout=GIT_S,
                              check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().splitlines()]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        taker.send_response(status)
        for name, value in headers:
            if name != "Status":
                taker.send_header(name, value)
        taker.send_header("Content-Length", str(len(content)))
        taker.end_headers()
        is_pack = path.endswith("/git-upload-pack") and b"PACK" in content
        if is_pack and self.stop_after is not None:
            taker.wfile.write(content[:self.stop_after])
            taker.wfile.flush()
            self.held.set()
            self._open.wait()
        else:
            taker.wfile.write(content)


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    path = folder / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", folder / "certificate.crt"],
                   check=True, capture_output=True)
    with open(path, "ab") as file:
        file.write((folder / "certificate.crt").read_bytes())
    return path


class SshServer:
    """sshd for one key, at `port`; repositories are named by their whole path. Unavailable: see git_sshd.py."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.sshd = Sshd(folder)
        for name in ("host", "other", "client", "stranger"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "authorized").write_text((folder / "client.pub").read_text())
        [self.port] = free_ports(1)
        (folder / "config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/authorized\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            "StrictModes no\nUsePAM no\nPidFile none\nLogLevel ERROR\n" + self.sshd.lines)
        self.key, self.stranger, self.known_hosts = folder / "client", folder / "stranger", folder / "known_hosts"
        self.trust("host", folder)
        self.proc = Proc.start([*self.sshd.command, "-D", "-e", "-f", folder / "config"], folder / "log",
                               env=self.sshd.env)
        wait_until(self._answers, 20, "sshd to answer", self.proc)

    def trust(self, name: str, folder: Path) -> None:
        """Writes known_hosts with the key `name`."""
        kind, key = (folder / f"{name}.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def _answers(self) -> bool:
        return subprocess.run(["ssh-keyscan", "-p", str(self.port), "127.0.0.1"], capture_output=True,
                              check=False).stdout != b""

    def url(self, remote: Remote) -> str:
        return f"ssh://{os.environ.get('USER') or 'root'}@127.0.0.1:{self.port}{remote.bare}"

    def close(self) -> None:
        self.proc.stop(20)
        self.sshd.close()
