"""From sockets to routes: HTTP/1.1 with keep-alive, one thread for each connection, one lock for the state.

What a REST request goes through, in this order:

    read → who asks (auth.py) → does it misbehave on request (faults.py) → rate limit (limits.py) → route
         → ETag and 304 → log → answer, late, cut short or not at all where a fault says so

Answers leave in one write, so that a client never waits for a second packet. Git has faults and log in common with
REST, no limits, and works outside the lock, because a clone takes as long as it takes. The admin API has none of it.
"""

import base64
import collections
import hashlib
import http.server
import re
import secrets
import socket
import sys
import time
import traceback
import urllib.parse

from auth import Viewer, identify
from githttp import BODY_MAX_BYTES, GitError
from http_types import ApiError, Reply, Request
from limits import primary_error, secondary_error
from state import Missing, iso

API_VERSIONS = ("2022-11-28", "2026-03-10")
REQUESTS_KEPT = 10_000       # in the log of requests
LOGGED_BODY_CHARS = 4096
IDLE_S = 120                 # how long a connection may keep still
REST_ROOTS = {"repos", "repositories", "orgs", "users", "user", "app", "apps", "installation", "installations",
              "rate_limit", "meta", "issues", "search", "graphql", "notifications", "events", "gists", "teams"}
WRITES = ("POST", "PATCH", "PUT", "DELETE")


class Log:
    """The newest requests to the REST API and their counts. Call under State.lock."""

    def __init__(self):
        self.clear()
        self.last = 0

    def clear(self):
        self.entries = collections.deque(maxlen=REQUESTS_KEPT)
        self.counts = collections.Counter()
        self.by_actor = collections.Counter()
        self.reads = self.writes = self.not_modified = 0

    def add(self, request, status, started, at, counted, fault):
        """Remembers one request; `status` 0: it got no answer."""
        self.last += 1
        ms = round((time.monotonic() - started) * 1000, 1)
        actor = request.viewer.login if request.viewer else "?"
        self.entries.append({"n": self.last, "at": at, "method": request.method,
                             "path": urllib.parse.unquote(request.path), "query": request.query_string,
                             "route": request.route, "actor": actor, "status": status, "counted": counted, "ms": ms,
                             "fault": fault["kind"] if fault else None,
                             "body": request.body[:LOGGED_BODY_CHARS].decode("utf-8", "replace")})
        self.counts[f"{request.method} {request.route or request.path} {status}"] += 1
        self.by_actor[actor] += 1
        self.writes += request.method in WRITES
        self.reads += request.method not in WRITES
        self.not_modified += status == 304


class Api:
    """The REST side: takes a Request, gives (Reply or None for no answer, kind of fault or None)."""

    def __init__(self, forge):
        self.forge = forge

    def answer(self, request, git=None):
        """Answers one request. `git` is a function that does so for git over HTTP, which has faults and log in common
        with REST and nothing else; it is called without the lock."""
        forge, started, request.route = self.forge, time.monotonic(), "git" if git else None
        with forge.state.lock:
            at, error = iso(forge.state.now()), self._identify(request, needs_agent=git is None)
        fault = forge.faults.for_request(request.method, urllib.parse.unquote(request.path), request.viewer.login)
        kind, counted = fault["kind"] if fault else None, False
        if kind == "latency":
            time.sleep(fault["ms"] / 1000)
        if kind in ("status", "secondary", "primary", "lost_request"):
            reply = None if kind == "lost_request" else feigned(fault, request.viewer)
        elif git:
            reply = git()
        else:
            with forge.state.lock:
                reply, counted = self._handle(request, error)
        with forge.state.lock:
            reply = feigned(fault, request.viewer) if kind == "status_after" else reply
            if reply is not None and not git:
                self._dress(request, reply, fault)
            status = 0 if reply is None or kind == "lost_answer" else reply.status
            forge.log.add(request, status, started, at, counted, fault)
        if kind == "late_answer":
            time.sleep(fault["ms"] / 1000)
        return (None if kind == "lost_answer" else reply), kind

    def _identify(self, request, needs_agent):
        """Sets request.viewer; returns the ApiError that the request must get, or None."""
        request.viewer = Viewer(self.forge.state, "anonymous", "anonymous")
        try:
            request.viewer = identify(self.forge.state, request.headers.get("Authorization"))
            if needs_agent and not request.headers.get("User-Agent"):
                raise ApiError(403, "Request forbidden by administrative rules. Please make sure your request has a "
                                    "User-Agent header")
            version = request.headers.get("X-GitHub-Api-Version", API_VERSIONS[0])
            if version not in API_VERSIONS:
                raise ApiError(400, f"\"{version}\" is not a supported version of the API")
        except ApiError as error:
            return error
        return None

    def _handle(self, request, error):
        """Returns (Reply, whether it counted against the rate limit)."""
        limits, counted = self.forge.limits, False
        try:
            if error:
                raise error
            if request.path != "/rate_limit":
                limits.take(request.viewer)
                counted = True
            reply = self._dispatch(request)
        except ApiError as failure:
            reply = failure.reply()
        except Missing:
            reply = ApiError(404, "Not Found").reply()
        except ValueError as failure:
            reply = ApiError(422, "Validation Failed", [{"resource": "Request", "code": "custom", "field": "body",
                                                         "message": str(failure)}]).reply()
        except Exception:                   # a bug of the sandbox: say so loudly, answer as a broken server does
            traceback.print_exc()
            reply = ApiError(500, "Server Error (a bug of the sandbox; its stderr says more)").reply()
        if reply.status == 200 and request.method == "GET" and reply.raw is not None:
            reply = conditional(request, reply)
            if reply.status == 304 and counted:
                limits.give_back(request.viewer)
                counted = False
        return reply, counted

    def _dispatch(self, request):
        """The reply of the route; a path by repository id is taken for the one by name."""
        method = "GET" if request.method == "HEAD" else request.method
        path, by_id = request.path, re.match(r"/repositories/(\d+)(?=/|$)", request.path)
        if by_id:
            repo = self.forge.state.repo(by_id[1])
            if not repo:
                raise ApiError(404, "Not Found")
            path = f"/repos/{repo['owner']}/{repo['name']}" + path[by_id.end():]
        function, request.route, found = self.forge.routes.find(method, path)
        if function is None:
            raise ApiError(404, "Not Found")
        return function(request, **found)

    def _dress(self, request, reply, fault):
        """The headers that every answer of GitHub's API has."""
        feign = fault["reset_s"] if fault and fault["kind"] == "primary" else None
        reply.headers = {**self.forge.limits.headers(request.viewer, feign), **reply.headers,
                         "X-GitHub-Media-Type": "github.v3; format=json",
                         "X-GitHub-Api-Version-Selected":
                             request.headers.get("X-GitHub-Api-Version", API_VERSIONS[0]),
                         "X-GitHub-Request-Id": ":".join(secrets.token_hex(2).upper() for _ in range(5))}


def feigned(fault, viewer):
    """The answer that a fault wants in place of the real one."""
    if fault["kind"] == "secondary":
        return secondary_error(fault["status"], fault["retry_after"]).reply()
    if fault["kind"] == "primary":
        return primary_error(viewer).reply()
    body = fault["body"]
    if body is None:
        body = {"message": "Server Error" if fault["status"] >= 500 else "Feigned by a fault of the sandbox"}
    return Reply(fault["status"], body.encode() if isinstance(body, str) else body, fault["headers"])


def conditional(request, reply):
    """The reply with its ETag, or 304 when the client has it already."""
    tag = hashlib.sha256(reply.raw).hexdigest()
    known = [t.strip() for t in request.headers.get("If-None-Match", "").split(",")]
    reply.headers.setdefault("ETag", f'W/"{tag}"')
    reply.headers.setdefault("Cache-Control", "private, max-age=60, s-maxage=60")
    reply.headers.setdefault("Vary", "Accept, Authorization, Cookie, X-GitHub-OTP")
    if "*" in known or tag in (re.sub(r'^(W/)?"|"$', "", t) for t in known):
        return Reply(304, None, reply.headers)
    return reply


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection. `forge` is set by Server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_S
    forge = None

    def handle_any(self):
        try:
            request = self.read_request()
        except ApiError as error:
            self.close_connection = True
            self.write(error.reply(), "GET")
            return
        reply, fault = self.route(request)
        if reply is None:
            self.close_connection = True     # the fault lost_request or lost_answer
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.write(reply, request.method, truncated=fault == "truncated")

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_OPTIONS = handle_any

    def read_request(self):
        """The whole request; ApiError 4xx when its body cannot be read."""
        body = b""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = self.read_chunks()
        elif "Content-Length" in self.headers:
            text = self.headers["Content-Length"]
            if not text.isdigit():
                raise ApiError(400, "Content-Length is no number")
            if int(text) > BODY_MAX_BYTES:
                raise ApiError(413, "Request body too large")
            body = self.rfile.read(int(text))
            if len(body) < int(text):
                raise ApiError(400, "The body ended early")
        host = self.headers.get("Host")
        base = f"http://{host}" if host else self.forge.base
        target = self.path
        if target.startswith("/api/v3/"):
            target, base = target[len("/api/v3"):], base + "/api/v3"
        return Request(self.command, target, self.headers, body, base)

    def read_chunks(self):
        """A body in chunks, as git sends large pushes."""
        parts, total = [], 0
        while True:
            line = self.rfile.readline(128).split(b";")[0].strip()
            try:
                size = int(line, 16)
            except ValueError as error:
                raise ApiError(400, "A chunk has no size") from error
            total += size
            if total > BODY_MAX_BYTES:
                raise ApiError(413, "Request body too large")
            if size == 0:
                while self.rfile.readline(1024).strip():
                    pass
                return b"".join(parts)
            parts.append(self.rfile.read(size))
            self.rfile.readline(8)

    def route(self, request):
        """(reply, kind of fault or None): admin, git, REST or a page for people."""
        first = request.path.split("/")[1]
        if first == "_sandbox":
            return self.forge.admin.answer(request), None
        if first in REST_ROOTS or (first == "" and "html" not in request.headers.get("Accept", "")):
            return self.forge.api.answer(request)
        git = re.fullmatch(r"/([^/]+)/([^/]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack)", request.path)
        if git:
            return self.forge.api.answer(request, lambda: self.git(request, *git.groups()))
        return self.forge.pages.answer(request), None

    def git(self, request, owner, name, service_path):
        """One request of git over HTTP. Pushes need a token that may write."""
        forge = self.forge
        pushes = "git-receive-pack" in service_path + request.query_string
        with forge.state.lock:
            repo, moved = forge.state.repo_named(owner, name)
            try:
                request.viewer = identify(forge.state, request.headers.get("Authorization"))
                if repo is None or not request.viewer.sees(repo):
                    raise ApiError(401 if request.viewer.kind == "anonymous" else 404, "Repository not found.")
                request.viewer.demand(repo, "contents", "write" if pushes else "read")
            except ApiError as error:
                return git_refusal(error)
        if moved:
            tail = service_path + (f"?{request.query_string}" if request.query_string else "")
            return Reply(301, b"", {"Location": f"{request.base}/{repo['owner']}/{repo['name']}.git/{tail}"})
        try:
            return self.run_git(request, repo, service_path)
        except (GitError, ValueError) as error:
            return Reply(500, f"{error}\n".encode(), content_type="text/plain; charset=utf-8")

    def run_git(self, request, repo, service_path):
        forge, user = self.forge, request.viewer.login
        if service_path == "git-receive-pack":
            (status, headers, body), moved = forge.git.push(repo, request, service_path, user)
            with forge.state.lock:
                forge.acts.pushed(repo, user, moved)
        else:
            status, headers, body = forge.git.backend(repo, request, service_path, user)
        known = {name.lower(): value for name, value in headers}
        kind = known.pop("content-type", "text/plain")
        return Reply(status, body, {n: v for n, v in headers if n.lower() != "content-type"}, content_type=kind)

    def write(self, reply, method, truncated=False):
        """Sends the answer in one piece."""
        raw = reply.raw or b""
        head = [f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('', ''))[0]}",
                "Server: github.com (sandbox)", f"Date: {self.date_time_string(self.forge.state.now())}"]
        if reply.raw is not None:
            head.append(f"Content-Type: {reply.content_type}")
        if reply.status not in (204, 304):
            head.append(f"Content-Length: {len(raw)}")
        head += [f"{name}: {one_line(value)}" for name, value in reply.headers.items()]
        if self.close_connection or truncated:
            head.append("Connection: close")
            self.close_connection = True
        body = b"" if method == "HEAD" or reply.status in (204, 304) else raw
        if truncated:
            body = body[:len(body) // 2]
        self.wfile.write("\r\n".join([*head, "", ""]).encode("latin-1", "replace") + body)

    def log_message(self, *arguments):
        """Quiet: the log of requests is at /_sandbox/requests."""

    def log_error(self, form, *arguments):
        if "timed out" not in form:
            print("forge:", form % arguments, file=sys.stderr)


class Server(http.server.ThreadingHTTPServer):
    """The listening socket."""

    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, address, forge):
        super().__init__(address, type("BoundHandler", (Handler,), {"forge": forge}))

    def handle_error(self, request, client_address):
        """A client that went away is none of our troubles."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            traceback.print_exc()


def git_refusal(error):
    """What git clients understand: 401 asks for credentials."""
    headers = {"WWW-Authenticate": 'Basic realm="Sandbox"'} if error.status == 401 else {}
    return Reply(error.status, f"{error.message}\n".encode(), headers, content_type="text/plain; charset=utf-8")


def one_line(value):
    return re.sub(r"[\r\n]+", " ", str(value))


def basic(user, password):
    """A basic Authorization header; for tests and tools."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
