"""GitHub's own words between a client and the sandbox forge.

    client ──▶ front (here) ──▶ prism proxy --errors ──▶ upstream: the sandbox
                 │ notes what prism        │ judges request and answer by GitHub's OpenAPI description
                 ▼ objects to              ▼ (npm package @octokit/openapi)
             violations()             what breaks it is answered 422 (request) or 500 (answer), application/problem+json

`ContractProxy(upstream)` starts it; `.base_url` is what the client gets as GitHub's address; `.violations()` what was
objected to so far; `.stop()` ends it. `install()` puts the node packages into a cache folder, once.

The description is cut to the paths of KEPT, with the schemas that they reach: prism is then ready in seconds instead of
twelve, and needs a fraction of the processor. A request to any other path is a violation ("no path matched"): add the
path to KEPT when nodag learns it.

What real GitHub does and the description leaves out, as the allow-list that it is:
  GENERAL_ANSWERS   answers that GitHub's prose documents for every operation (rate limits, redirects, 304, 5xx) and
                    the description lists for some only. They are added where missing, with the schema of errors.
  GET /app/installations
                    asks of `account` to be a user and an enterprise at once (allOf); elsewhere, and in what GitHub
                    sends, it is one of them (anyOf).
  contents paths    the description has one `{path}` segment; GitHub takes slashes too. The front encodes them.
  /repositories/ID  where GitHub's redirects point; absent from the description. The front asks upstream for the name.
Prism itself follows redirects and writes JSON anew, so this is no place to test redirects, or bytes, or faults.
  nullable          prism 5.14 cannot compile `nullable` without `type`, nor an enum that lists null and is nullable,
                    and then judges nothing and says nothing. Both are rewritten; compile_guard.cjs makes noise about
                    whatever else it cannot compile.
  timeline events   the description takes any of two dozen kinds, one of which takes anything. Here the event's name
                    chooses the kind (EVENTS), so that a `labeled` is judged as one.
Webhook payloads are judged too: `check_delivery()` asks by the description's `x-webhooks`, offered to prism as paths.
"""

import fcntl
import hashlib
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
DESCRIPTION = "node_modules/@octokit/openapi/generated/api.github.com.json"
PRISM = "node_modules/@stoplight/prism-cli/dist/index.js"
GUARD = "compile_guard.cjs"
UNCOMPILED = "UNCOMPILED "   # how the guard begins its lines
INSTALL_S = 600              # npm ci on a slow line: some 40 MB
READY_S = 60                 # prism with the cut description takes two to five seconds
ANSWER_S = 30                # for one request through prism
STOP_S = 5

KEPT = [re.compile(text) for text in (
    r"/app(/.*)?", r"/installation/(repositories|token)", r"/(user|rate_limit|meta)", r"/users/\{username\}",
    r"/orgs/\{org\}/(installation|hooks.*)", r"/repos/\{owner\}/\{repo\}",
    r"/repos/\{owner\}/\{repo\}/(installation|labels.*|issues.*|contents/.*|hooks.*)")]
WEBHOOKS = re.compile(r"(ping|push|issues-.*|issue-comment-.*|label-.*|repository-.*|installation-.*)")
# Event → the schema that it is judged by, in timelines and lists of events.
EVENTS = {"labeled": "labeled-issue-event", "unlabeled": "unlabeled-issue-event", "renamed": "renamed-issue-event",
          "commented": "timeline-comment-event", "locked": "locked-issue-event",
          **{name: "state-change-issue-event" for name in ("unlocked", "closed", "reopened", "transferred",
                                                           "comment_deleted")}}
GENERAL_ANSWERS = ("301", "304", "307", "400", "401", "403", "404", "410", "422", "429", "500", "502", "503")
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection", "content-length",
              "content-encoding", "host", "accept-encoding"}


class Unavailable(Exception):
    """The proxy cannot be had here; the text is the reason for a skipped test."""


# ---- installing ----

def cache_folder():
    """Where third-party parts are kept: NODAG_CACHE, or ~/.cache/nodag."""
    return os.environ.get("NODAG_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "nodag")


def install(log=print):
    """The folder with the node packages and the cut description, made when it is not there; Unavailable else."""
    node, npm = shutil.which("node") or shutil.which("nodejs"), shutil.which("npm")
    if not node or not npm:
        raise Unavailable("node and npm are not installed (Debian: apt-get install nodejs npm)")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 18:
        raise Unavailable(f"node is {version}, prism needs 18 or newer")
    with open(os.path.join(HERE, "package-lock.json"), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:16]
    folder = os.path.join(cache_folder(), f"contract-{digest}")
    os.makedirs(cache_folder(), exist_ok=True)
    with open(folder + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(folder):
            log(f"contract: installing prism and GitHub's description into {folder}")
            run_npm_ci(npm, folder)
        cut = os.path.join(folder, f"cut-{own_digest()}.json")
        if not os.path.exists(cut):
            cut_description(os.path.join(folder, DESCRIPTION), cut)
        shutil.copy(os.path.join(HERE, GUARD), folder)
    return node, folder, cut


def run_npm_ci(npm, folder):
    """Installs what package-lock.json pins, by checksum and without scripts; whole or not at all."""
    part = tempfile.mkdtemp(prefix="contract-", dir=os.path.dirname(folder))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(HERE, name), part)
        done = subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=part, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=INSTALL_S, check=False)
        if done.returncode:
            raise Unavailable(f"npm ci failed: {done.stdout.strip()[-2000:]}")
        generated = os.path.dirname(os.path.join(part, DESCRIPTION))
        for name in os.listdir(generated):      # 380 MB of other editions
            if name.endswith(".json") and name != os.path.basename(DESCRIPTION):
                os.unlink(os.path.join(generated, name))
        os.rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def own_digest():
    """Changes with this file, so that the description is cut anew when KEPT or the allow-list changed."""
    with open(os.path.abspath(__file__), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


# ---- cutting the description ----

def cut_description(source, target):
    """Writes the part of GitHub's description that nodag meets, with the allow-list applied."""
    with open(source, encoding="utf-8") as file:
        whole = json.load(file)
    paths = {path: item for path, item in whole["paths"].items() if any(k.fullmatch(path) for k in KEPT)}
    for name in ("timeline-issue-events", "issue-event-for-issue"):
        whole["components"]["schemas"][name] = {
            "type": "object", "required": ["event"],
            "properties": {"event": {"type": "string", "enum": list(EVENTS)}},
            "allOf": [{"if": {"properties": {"event": {"enum": [event]}}},
                       "then": {"$ref": f"#/components/schemas/{schema}"}} for event, schema in EVENTS.items()]}
    either_account(paths["/app/installations"]["get"])
    for item in paths.values():
        for method, operation in item.items():
            if method in ("get", "post", "put", "patch", "delete"):
                allow_general_answers(operation)
    for name, item in whole["x-webhooks"].items():
        if WEBHOOKS.fullmatch(name):
            paths[f"/webhooks/{name}"] = {"post": {
                "requestBody": item["post"]["requestBody"], "parameters": item["post"].get("parameters", []),
                "responses": {"default": {"description": "whatever"}}}}
    cut = {"openapi": whole["openapi"], "info": whole["info"], "servers": whole["servers"],
           "paths": readable(paths), "components": {}}
    keep_reached(cut, whole)
    with open(target + ".part", "w", encoding="utf-8") as file:
        json.dump(cut, file)
    os.replace(target + ".part", target)


def allow_general_answers(operation):
    """Adds the answers that any operation may have to one operation."""
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/basic-error"}}}
    for status in GENERAL_ANSWERS:
        answer = {"description": "documented for the whole API"}
        if status != "304":
            answer["content"] = error
        operation["responses"].setdefault(status, answer)


def either_account(operation):
    """Lets `account` be a user or an enterprise, as the allow-list says."""
    installation = operation["responses"]["200"]["content"]["application/json"]["schema"]["items"]
    account = installation.get("properties", {}).get("account", {})
    if "allOf" in account:
        account["anyOf"] = account.pop("allOf")


def keep_reached(cut, whole):
    """Copies the components that the cut paths refer to, and those that these refer to."""
    waiting, seen = references(cut["paths"]), set()
    while waiting:
        reference = waiting.pop()
        if reference in seen:
            continue
        seen.add(reference)
        kind, name = reference.removeprefix("#/components/").split("/", 1)
        part = readable(whole["components"][kind][name])
        cut["components"].setdefault(kind, {})[name] = part
        waiting |= references(part)


def references(tree):
    """All `$ref`s in a tree."""
    if isinstance(tree, dict):
        found = {tree["$ref"]} if isinstance(tree.get("$ref"), str) else set()
        return found.union(*(references(v) for v in tree.values()))
    return set().union(*(references(v) for v in tree)) if isinstance(tree, list) else set()


def readable(tree):
    """A tree of the description as prism can use it: without the examples beside its schemas, which are most of it,
    and with `nullable` (OpenAPI 3.0) in the forms that prism understands."""
    if isinstance(tree, list):
        return [readable(v) for v in tree]
    if not isinstance(tree, dict):
        return tree
    drop = {"example", "examples"} if "schema" in tree else set()
    tree = {k: readable(v) for k, v in tree.items() if k not in drop}
    if tree.get("nullable") is not True:
        return tree
    if "type" in tree:
        if isinstance(tree.get("enum"), list):      # prism adds null itself, and twice is an invalid schema
            tree["enum"] = [value for value in tree["enum"] if value is not None]
        return tree
    del tree["nullable"]
    return {"anyOf": [tree, {"enum": [None]}]}


# ---- the proxy ----

class ContractProxy:
    """Front and prism before `upstream` ("http://127.0.0.1:PORT"). Raises Unavailable when it cannot be had."""

    def __init__(self, upstream, log=print):
        self.upstream = upstream.rstrip("/")
        self._lock, self._violations, self.seen = threading.Lock(), [], {}
        node, folder, description = install(log)
        self._output = tempfile.NamedTemporaryFile("w+", prefix="prism-", suffix=".log")
        self._prism_port = free_port()
        self._prism = subprocess.Popen(
            [node, "--require", os.path.join(folder, GUARD), os.path.join(folder, PRISM), "proxy", "--errors",
             "--host", "127.0.0.1", "--port", str(self._prism_port), description, self.upstream],
            stdout=self._output, stderr=subprocess.STDOUT, stdin=subprocess.PIPE, start_new_session=True,
            env={**os.environ, "NODAG_CONTRACT_FOLDER": folder})
        try:
            self._wait_until_ready()
            self._server = http.server.ThreadingHTTPServer(
                ("127.0.0.1", 0), type("BoundFront", (Front,), {"proxy": self}))
        except BaseException:
            self._stop_prism()
            raise
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        self.stop()

    def _wait_until_ready(self):
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self._prism.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self._prism_port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        self._output.seek(0)
        raise Unavailable(f"prism did not come up within {READY_S} s: {self._output.read()[-2000:]}")

    def stop(self):
        """Ends both."""
        self._server.shutdown()
        self._server.server_close()
        self._stop_prism()

    def _stop_prism(self):
        if self._prism.poll() is None:
            os.killpg(self._prism.pid, signal.SIGTERM)
            try:
                self._prism.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._prism.pid, signal.SIGKILL)
                self._prism.wait()
        self._prism.stdin.close()
        self._output.close()

    def violations(self):
        """What prism objected to: [{"method", "path", "side": "request" | "answer" | "schema", "why": [text…]}].
        A schema that prism could not use counts, because it judged nothing by it."""
        with self._lock, open(self._output.name, encoding="utf-8", errors="replace") as output:
            useless = [line.removeprefix(UNCOMPILED).strip() for line in output if line.startswith(UNCOMPILED)]
            return self._violations + [{"method": "", "path": "", "side": "schema", "why": [why]} for why in useless]

    def ask_prism(self, method, path, body, headers):
        """One request through prism: (status, header list, body), any objection noted."""
        connection = http.client.HTTPConnection("127.0.0.1", self._prism_port, timeout=ANSWER_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            raw = answer.read()
            self._note(method, path, objections(answer, raw))
            return answer.status, answer.getheaders(), raw
        finally:
            connection.close()

    def _note(self, method, path, found):
        with self._lock:
            shape = f"{method} {re.sub(r'[0-9]+', 'N', path.split('?')[0])}"
            self.seen[shape] = self.seen.get(shape, 0) + 1
            if found:
                side, why = found
                self._violations.append({"method": method, "path": path, "side": side, "why": why})

    def check_delivery(self, headers, body):
        """Judges a webhook delivery by the description; what is wrong is noted as a violation, too."""
        name = headers["X-GitHub-Event"].replace("_", "-")
        action = json.loads(body).get("action")
        path = "/webhooks/" + (f"{name}-{action.replace('_', '-')}" if action else name)
        sent = {k: v for k, v in headers.items() if k.lower() not in HOP_BY_HOP}
        self.ask_prism("POST", path, body, sent)

    def path_by_name(self, path):
        """`/repositories/ID/…` as `/repos/OWNER/NAME/…`."""
        by_id = re.match(r"/repositories/(\d+)(?=/|$|\?)", path)
        if not by_id:
            return path
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.upstream).netloc, timeout=ANSWER_S)
        try:
            connection.request("GET", f"/_sandbox/repositories/{by_id[1]}")
            name = json.loads(connection.getresponse().read()).get("full_name")
        finally:
            connection.close()
        return f"/repos/{name}{path[by_id.end():]}" if name else path


def objections(answer, raw):
    """(side, [why…]) when an answer is prism's objection, or carries one; None otherwise."""
    listed = answer.getheader("sl-violations")     # JSON, or words when they are too many for a header
    problem = {}
    if "application/problem+json" in (answer.getheader("Content-Type") or ""):
        problem = json.loads(raw)
    if listed is None and not problem:
        return None
    items = problem.get("validation") or []
    if not items and listed and listed.startswith("["):
        items = json.loads(listed)
    why = [f"{'.'.join(map(str, i.get('location', [])))}: {i.get('message')}" for i in items]
    why = why or [f"{problem.get('title')}: {problem.get('detail')}" if problem else listed]
    answers = items and all((i.get("location") or ["?"])[0] == "response" for i in items)
    return ("answer" if answers else "request"), why


class Front(http.server.BaseHTTPRequestHandler):
    """What the client talks to: rewrites as the head comment says and notes what prism objects to."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120
    proxy = None

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        try:
            status, fields, raw = self.proxy.ask_prism(self.command, self.rewritten(), body, headers)
        except (OSError, http.client.HTTPException):      # as upstream: no answer (a fault of the sandbox)
            self.close_connection = True
            return
        self.send_response_only(status)
        for name, value in fields:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value.replace(self.proxy.upstream, self.proxy.base_url))
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

    def rewritten(self):
        """The path as the description has it."""
        path = self.proxy.path_by_name(self.path)
        match = re.fullmatch(r"(/repos/[^/]+/[^/]+/contents/)([^?]*)(\?.*)?", path)
        return match[1] + match[2].replace("/", "%2F") + (match[3] or "") if match else path

    def log_message(self, *arguments):
        """Quiet."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
