"""Webhooks: from something that happened to signed deliveries, and the list of deliveries.

    acts.py ─emit()─▶ one payload for each hook that subscribes ─▶ queue ─▶ workers ─▶ POST to the hook's URL
                                                                              └─▶ outcome in State.data["deliveries"]

As on GitHub: deliveries go out by themselves, some at once and in no promised order; a receiver has ten seconds; a
failed delivery is never sent again unless someone asks for it (POST …/attempts), and then it carries the same GUID and
the same bytes. The GUID belongs to the event: all hooks that hear of it are sent the same one.

Payloads are made when the thing happens, under the state's lock, and are bytes from then on.
"""

import base64
import hashlib
import hmac
import http.client
import json
import queue
import socket
import ssl
import threading
import time
import traceback
import urllib.parse
import uuid
import zlib

from shapes import Shapes
from state import DELIVERIES_MAX, full_name, installation_has, iso, node_id

TIMEOUT_S = 10               # what GitHub allows a receiver
WORKERS = 8                  # deliveries at once: enough that one dead receiver does not hold up the others for long
ANSWER_MAX_BYTES = 4096      # how much of a receiver's answer is remembered
PAYLOAD_MAX_BYTES = 25 * 1024 * 1024    # GitHub's limit: what is larger is not sent
USER_AGENT = "GitHub-Hookshot/5a4db0c"
ZEN = "Sandboxes are for sand castles."
ALWAYS_FOR_APPS = ("ping", "installation", "installation_repositories", "github_app_authorization")


class Webhooks:
    """Sends what happens. `base` is the sandbox's own address, for the addresses in payloads."""

    def __init__(self, state, faults, base):
        self.state = state
        self.faults = faults
        self.shapes = Shapes(state, base)
        self.idle = threading.Condition()
        self._open = 0                       # deliveries queued or under way, guarded by `idle`
        self._queue = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"hook-{n}", daemon=True) for n in range(WORKERS)]

    def start(self):
        for thread in self._threads:
            thread.start()

    def wait_idle(self, timeout_s):
        """Whether all deliveries were done within the time. Call it without the state's lock."""
        with self.idle:
            return self.idle.wait_for(lambda: self._open == 0, timeout_s)

    def pending(self):
        with self.idle:
            return self._open

    # ---- from happenings to payloads ----

    def emit(self, event, action, sender, repo=None, account=None, extra=None, installation=None):
        """Tells every hook that subscribes. `extra` is a function from Shapes to the payload's own members; `account`
        is for events of an organisation without a repository; `installation` sends to that App only."""
        guid = str(uuid.uuid4())
        for hook, seen_by in self._listeners(event, repo, account, installation):
            payload = {} if action is None else {"action": action}
            payload.update(extra(self.shapes) if extra else {})
            self._add_common(payload, event, sender, repo, account, seen_by, hook)
            self.send(hook, event, action, payload, guid=guid, repo=repo, installation=seen_by)

    def _listeners(self, event, repo, account, installation):
        """(hook, installation or None) for every active hook that wants the event."""
        owner = self.state.account(repo["owner"]) if repo else account
        for hook in list(self.state.data["hooks"].values()):
            if not hook["active"]:
                continue
            if hook["target"] == "integration":
                for seen_by in self._installations_for(hook, event, repo, installation):
                    yield hook, seen_by
            elif installation is None and ("*" in hook["events"] or event in hook["events"]):
                if hook["target"] == "repository" and repo and hook["target_id"] == repo["id"]:
                    yield hook, None
                if hook["target"] == "organization" and owner and hook["target_id"] == owner["id"]:
                    yield hook, None

    def _installations_for(self, hook, event, repo, installation):
        """The installations by which the App of that hook hears of the event: at most one."""
        app = self.state.data["apps"].get(str(hook["target_id"]))
        if installation is not None:
            return [installation] if installation["app_id"] == app["id"] else []
        if repo is None or (event not in app["events"] and event not in ALWAYS_FOR_APPS):
            return []
        return [i for i in self.state.data["installations"].values()
                if i["app_id"] == app["id"] and not i["suspended_at"] and installation_has(i, repo)][:1]

    def _add_common(self, payload, event, sender, repo, account, installation, hook):
        """The members that every payload ends with."""
        shapes = self.shapes
        if repo is not None:
            payload["repository"] = self._repository(event, repo)
            account = self.state.account(repo["owner"])
        if account is not None and account["type"] == "Organization" and event != "installation":
            payload["organization"] = shapes.organization(account["login"])
        payload["sender"] = shapes.user(sender)
        if installation is not None and "installation" not in payload and hook["target"] == "integration":
            payload["installation"] = {"id": installation["id"],
                                       "node_id": node_id("MDIz", installation["id"])}

    def _repository(self, event, repo):
        shape = self.shapes.repo(repo)
        if event == "push":     # of old, push payloads write these in their own way
            shape["url"] = shape["html_url"]
            shape["master_branch"] = shape["default_branch"]
            shape["owner"] = {"name": shape["owner"]["login"], "email": None, **shape["owner"]}
        return shape

    def ping(self, hook, sender):
        """The first delivery of every hook, and of POST …/pings."""
        payload = {"zen": ZEN, "hook_id": hook["id"], "hook": self.shapes.hook(hook)}
        repo = self.state.repo(hook["target_id"]) if hook["target"] == "repository" else None
        account = self.state.account_by_id(hook["target_id"]) if hook["target"] == "organization" else None
        self._add_common(payload, "ping", sender, repo, account, None, hook)
        self.send(hook, "ping", None, payload, repo=repo)

    # ---- deliveries ----

    def send(self, hook, event, action, payload, guid=None, repo=None, installation=None):
        """Queues one delivery; `payload` is an object, or bytes that go out as they are. Returns its record."""
        raw = payload if isinstance(payload, bytes) else json.dumps(
            payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        if len(raw) > PAYLOAD_MAX_BYTES:
            return None
        record = {"id": self.state.new_id("delivery"), "guid": guid or str(uuid.uuid4()), "hook_id": hook["id"],
                  "event": event, "action": action, "redelivery": False,
                  "installation_id": installation["id"] if installation else None,
                  "repository_id": repo["id"] if repo else None, "payload": pack(raw)}
        self._enqueue(record, hook)
        return record

    def redeliver(self, old):
        """Sends a delivery again: same GUID, same bytes. Returns the new record; None when its hook is gone."""
        hook = self.state.data["hooks"].get(str(old["hook_id"]))
        if hook is None:
            return None
        record = {**{k: old[k] for k in ("guid", "hook_id", "event", "action", "installation_id", "repository_id",
                                         "payload")},
                  "id": self.state.new_id("delivery"), "redelivery": True}
        self._enqueue(record, hook)
        return record

    def _enqueue(self, record, hook):
        record.update({"delivered_at": iso(self.state.now()), "duration": 0.0, "status": "pending", "status_code": 0,
                       "throttled_at": None, "url": hook["url"], "request_headers": {}, "response_headers": {},
                       "response_body": ""})
        kept = self.state.data["deliveries"]
        kept.append(record)
        del kept[:-DELIVERIES_MAX]
        self.state.touch()
        with self.idle:
            self._open += 1
        self._queue.put((record, dict(hook)))

    def _work(self):
        while True:
            record, hook = self._queue.get()
            try:
                self._deliver(record, hook)
            except Exception:                # a bug of the sandbox: the worker goes on, the delivery stays "pending"
                traceback.print_exc()
            finally:
                with self.idle:
                    self._open -= 1
                    self.idle.notify_all()

    def _deliver(self, record, hook):
        """One delivery, with what faults.py says of it; a fault of ours is remembered as its status."""
        fault = self.faults.for_delivery(hook["id"], record["event"])
        kind = fault["kind"] if fault else None
        if kind == "webhook_drop":
            outcome = (0, "dropped by the sandbox (fault)", {}, "", {})
        else:
            if kind == "webhook_delay":
                time.sleep(fault["ms"] / 1000)
            started = time.monotonic()
            outcome = self._post(record, hook, bad_signature=kind == "webhook_bad_signature")
            if kind == "webhook_duplicate":
                outcome = self._post(record, hook)
            record["duration"] = round(time.monotonic() - started, 3)
        with self.state.lock:
            (record["status_code"], record["status"], record["response_headers"], record["response_body"],
             record["request_headers"]) = outcome
            live = self.state.data["hooks"].get(str(hook["id"]))
            if live:
                live["last_response"] = {"code": record["status_code"], "status": "active",
                                         "message": record["status"]}
            self.state.touch()

    def _post(self, record, hook, bad_signature=False):
        """Returns (status code, status, answer's headers, answer's body, request's headers)."""
        raw = unpack(record["payload"])
        form = hook["content_type"] == "form"
        body = b"payload=" + urllib.parse.quote_plus(raw).encode() if form else raw
        headers = delivery_headers(hook, record, body, form, bad_signature)
        connection = None
        try:
            connection, path = connect(hook)
            connection.request("POST", path, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read(ANSWER_MAX_BYTES).decode("utf-8", "replace")
            status = "OK" if 200 <= answer.status < 300 else f"Invalid HTTP Response: {answer.status}"
            return answer.status, status, dict(answer.getheaders()), text, headers
        except (socket.timeout, TimeoutError):
            return 504, "timed out", {}, "", headers
        except (OSError, http.client.HTTPException, ValueError) as error:
            return 502, f"failed to connect to host ({error.__class__.__name__})", {}, "", headers
        finally:
            if connection:
                connection.close()


def connect(hook):
    """A connection to the hook's URL and the path to ask for; ValueError when it is no http(s) URL."""
    url = urllib.parse.urlsplit(hook["url"])
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"not an http or https URL: {hook['url']!r}")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    if url.scheme == "http":
        return http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT_S), path
    context = ssl.create_default_context()
    if hook["insecure_ssl"] == "1":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(url.hostname, url.port, timeout=TIMEOUT_S, context=context), path


def delivery_headers(hook, record, body, form, bad_signature):
    """The headers of a delivery, named and ordered as GitHub's hook-shot sends them."""
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    headers = {"Accept": "*/*", "Content-Type": kind, "User-Agent": USER_AGENT,
               "X-GitHub-Delivery": record["guid"], "X-GitHub-Event": record["event"],
               "X-GitHub-Hook-ID": str(hook["id"]),
               "X-GitHub-Hook-Installation-Target-ID": str(hook["target_id"]),
               "X-GitHub-Hook-Installation-Target-Type": hook["target"]}
    if hook["secret"]:
        key = hook["secret"].encode() + (b"!" if bad_signature else b"")
        headers["X-Hub-Signature"] = "sha1=" + hmac.new(key, body, hashlib.sha1).hexdigest()
        headers["X-Hub-Signature-256"] = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    return headers


def delivery_details(shapes, record):
    """The answer of GET on one delivery."""
    raw = unpack(record["payload"])
    try:
        payload = json.loads(raw)
    except ValueError:
        payload = raw.decode("utf-8", "replace")
    answer = record["response_body"]
    return {**shapes.delivery(record), "url": record["url"],
            "request": {"headers": record["request_headers"] or None, "payload": payload},
            "response": {"headers": record["response_headers"] or None, "payload": answer or None}}


def new_hook(state, target, target_id, url, secret, events, content_type="json", active=True, insecure_ssl="0"):
    """Remembers a hook; says nothing to anyone. Returns its record."""
    now = iso(state.now())
    hook = {"id": state.new_id("hook"), "target": target, "target_id": target_id, "url": url, "secret": secret or "",
            "events": list(events), "content_type": content_type, "active": active, "insecure_ssl": insecure_ssl,
            "created_at": now, "updated_at": now,
            "last_response": {"code": None, "status": "unused", "message": None}}
    state.data["hooks"][str(hook["id"])] = hook
    state.touch()
    return hook


def pack(raw):
    """Payload bytes as the state keeps them."""
    return base64.b64encode(zlib.compress(raw, 6)).decode()


def unpack(text):
    return zlib.decompress(base64.b64decode(text))


def describe(hook, state):
    """Whose hook it is, for people."""
    if hook["target"] == "repository":
        repo = state.repo(hook["target_id"])
        return full_name(repo) if repo else "a deleted repository"
    if hook["target"] == "organization":
        return state.account_by_id(hook["target_id"])["login"]
    return "App " + state.data["apps"][str(hook["target_id"])]["slug"]
