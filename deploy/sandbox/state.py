"""What the sandbox forge remembers, and how it is kept.

Everything is plain dicts and lists below `State.data`, so that the state file is simply that tree as JSON and
`GET /_sandbox/state` can show it. Nothing here knows HTTP or GitHub's JSON shapes (shapes.py) or what an act entails
(acts.py).

    data
     ├── counters        {kind: last id}         ids are GitHub-sized: comment and event ids exceed 32 bits on purpose
     ├── accounts        {login in lower case: {id, login, type, name, members, created_at}}
     ├── repos           {str(id): {id, owner, name, private, ..., labels, issues, next_number}}
     │     ├── labels    {name in lower case: {id, name, color, description, default}}
     │     └── issues    {str(number): {id, number, title, body, user, state, labels, comments, events, ...}}
     │                   a gone issue stays as {"number", "gone": "deleted" | "transferred", "to": [id, number]}
     ├── redirects       {"owner/name" in lower case: repository id}      names that a repository had before
     ├── apps            {str(id): {id, client_id, slug, public_key, permissions, events, ...}}
     ├── installations   {str(id): {id, app_id, account, repositories: "all" | [id, ...], permissions, suspended_at}}
     ├── tokens          {token: {login | installation, expires_at, permissions?, repositories?}}
     ├── hooks           {str(id): {id, target: "repository" | "organization" | "integration", target_id, url, ...}}
     ├── comment_homes   {str(comment id): [repository id, issue number]}     an index
     └── deliveries      [oldest ... newest], bounded by DELIVERIES_MAX, payloads compressed

Invariants: every read and write happens under `State.lock` (one lock for all; acts are short). Ids never repeat within
one state. The file is replaced atomically, so that it is always a whole one.
"""

import base64
import calendar
import json
import os
import shutil
import tempfile
import threading
import time

FORMAT = 1                   # of the state file
DELIVERIES_MAX = 5000        # about 3 kB each, compressed: some 15 MB
SAVE_EVERY_S = 0.5           # what a SIGKILL may lose at most ...
SAVE_COST_FACTOR = 10        # ... or ten times what a save takes, whichever is more: saving never eats the machine

# First ids. Comments and events have passed 2^31 and 2^32 on GitHub: who stores them in 32 bits shall notice here.
FIRST_IDS = {"account": 1001, "repo": 500_001, "issue": 2_500_000_001, "label": 7_000_000_001,
             "comment": 3_300_000_001, "event": 17_000_000_001, "app": 90_001, "installation": 60_000_001,
             "hook": 400_000_001, "delivery": 50_000_000_001}

HOOK_RANGES = ("127.0.0.0/8", "::1/128")    # where deliveries come from: GET /meta
DEFAULT_LIMITS = {"primary_per_hour": 5000, "anonymous_per_hour": 60, "content_per_minute": None,
                  "content_per_hour": None, "token_ttl_s": 3600}


class Missing(Exception):
    """Something that was named does not exist; the text says what."""


def iso(seconds):
    """Seconds since the epoch as GitHub writes times."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def parse_iso(text):
    """The reverse of iso(); ValueError when it is no such time. A date alone is its midnight."""
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"):
        try:
            return calendar.timegm(time.strptime(text, form))
        except ValueError:
            continue
    raise ValueError(f"not a time like 2026-11-01T12:00:00Z: {text!r}")


def node_id(prefix, number):
    """A node id of GitHub's look: opaque to clients, unique for each kind and number."""
    raw = base64.urlsafe_b64encode(f"{prefix}:{number}".encode()).decode().rstrip("=")
    return f"{prefix}_{raw}"


class State:
    """The remembered world. `path` is the state file or None; `git_dir` holds the bare repositories."""

    def __init__(self, path=None):
        self.lock = threading.RLock()
        self.path = path
        self._made_git_dir = path is None
        self.git_dir = tempfile.mkdtemp(prefix="sandbox-forge-") if path is None else path + ".d"
        self._stop = threading.Event()
        self._saver = None
        self._dirty = False
        self.data = self._empty()
        if path and os.path.exists(path):
            self._load()
        os.makedirs(self.git_dir, exist_ok=True)

    @staticmethod
    def _empty():
        return {"format": FORMAT, "counters": {}, "accounts": {}, "repos": {}, "redirects": {}, "apps": {},
                "installations": {}, "tokens": {}, "hooks": {}, "comment_homes": {}, "deliveries": [],
                "clock_offset_s": 0, "limits": dict(DEFAULT_LIMITS), "hook_ranges": list(HOOK_RANGES)}

    # ---- keeping ----

    def _load(self):
        with open(self.path, encoding="utf-8") as file:
            data = json.load(file)
        if data.get("format") != FORMAT:
            raise SystemExit(f"forge: {self.path} has format {data.get('format')}, this is {FORMAT}: "
                             "move it away to start over")
        self.data = {**self._empty(), **data}

    def start_saving(self):
        """Starts the thread that writes the state file now and then; nothing without a path."""
        if self.path:
            self._saver = threading.Thread(target=self._save_loop, name="saver", daemon=True)
            self._saver.start()

    def _save_loop(self):
        pause_s = SAVE_EVERY_S
        while not self._stop.wait(pause_s):
            started = time.monotonic()
            self.save()
            pause_s = max(SAVE_EVERY_S, SAVE_COST_FACTOR * (time.monotonic() - started))

    def save(self):
        """Writes the state file when something changed since; whole or not at all."""
        with self.lock:
            if not self.path or not self._dirty:
                return
            text = json.dumps(self.data, separators=(",", ":"))
            self._dirty = False
        part = self.path + ".part"
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.path)

    def touch(self):
        """Says that something changed, so that it is saved."""
        self._dirty = True

    def close(self):
        """Saves for the last time; removes the repositories of a state without a file."""
        self._stop.set()
        if self._saver:
            self._saver.join()
        self.save()
        if self._made_git_dir:
            shutil.rmtree(self.git_dir, ignore_errors=True)

    def reset(self):
        """Forgets everything; the repositories on disk too."""
        with self.lock:
            self.data = self._empty()
            self.touch()
            for name in os.listdir(self.git_dir):
                shutil.rmtree(os.path.join(self.git_dir, name), ignore_errors=True)

    # ---- clock and ids ----

    def now(self):
        """The sandbox's time in seconds since the epoch."""
        return time.time() + self.data["clock_offset_s"]

    def new_id(self, kind):
        counters = self.data["counters"]
        counters[kind] = counters.get(kind, FIRST_IDS[kind] - 1) + 1
        return counters[kind]

    # ---- look-ups: each answers None when there is no such thing ----

    def account(self, login):
        return self.data["accounts"].get(login.lower())

    def account_by_id(self, account_id):
        return next((a for a in self.data["accounts"].values() if a["id"] == account_id), None)

    def ensure_account(self, login, kind="User", **members):
        """The account of that login, created when it does not exist. Returns (account, created)."""
        found = self.account(login)
        if found:
            return found, False
        made = {"id": self.new_id("account"), "login": login, "type": kind, "name": None, "members": [],
                "created_at": iso(self.now()), **members}
        self.data["accounts"][login.lower()] = made
        self.touch()
        return made, True

    def repo(self, repo_id):
        return self.data["repos"].get(str(repo_id))

    def repo_named(self, owner, name):
        """Returns (repository, moved): moved when the name is one that it had before."""
        wanted = f"{owner}/{name}".lower()
        for repo in self.data["repos"].values():
            if full_name(repo).lower() == wanted:
                return repo, False
        found = self.repo(self.data["redirects"].get(wanted, 0))
        return found, found is not None

    def repos_of(self, owner):
        return [r for r in self.data["repos"].values() if r["owner"].lower() == owner.lower()]

    def find_repo(self, name):
        """The repository `owner/name`, by an old name too; Missing otherwise."""
        owner, _, short = str(name).partition("/")
        found = self.repo_named(owner, short)[0]
        if not found:
            raise Missing(f"no repository {name!r} in this sandbox")
        return found

    def find_issue(self, repo, number):
        """The issue; Missing when there is none (also when it is gone)."""
        found = repo["issues"].get(str(number))
        if not found or found.get("gone"):
            raise Missing(f"no issue {full_name(repo)}#{number} in this sandbox")
        return found

    def comment(self, comment_id):
        """Returns (repository, issue, comment) or None."""
        home = self.data["comment_homes"].get(str(comment_id))
        repo = self.repo(home[0]) if home else None
        issue = repo["issues"].get(str(home[1])) if repo else None
        for comment in (issue or {}).get("comments", ()):
            if comment["id"] == comment_id:
                return repo, issue, comment
        return None

    def app_by_slug(self, slug):
        return next((a for a in self.data["apps"].values() if a["slug"] == slug), None)

    def app_of_bot(self, login):
        """The App whose bot that login is, or None."""
        return self.app_by_slug(login[:-5]) if login.endswith("[bot]") else None

    def installations_of(self, repo):
        """The installations, not suspended, that can see the repository."""
        return [i for i in self.data["installations"].values()
                if not i["suspended_at"] and installation_has(i, repo)]


def full_name(repo):
    return f"{repo['owner']}/{repo['name']}"


def installation_has(installation, repo):
    """Whether the installation lists the repository."""
    if installation["account"].lower() != repo["owner"].lower():
        return False
    return installation["repositories"] == "all" or repo["id"] in installation["repositories"]
