"""Git: one bare repository for each repository of the sandbox, the contents API's view of it, and git over HTTP.

Contents are always read out of the bare repository by git's own plumbing as a child process, so that what REST says
and what a clone holds cannot differ. Repositories lie at State.git_dir/<id>.git: renames move nothing.

Git over HTTP is `git http-backend` as a CGI child. A push is noticed by comparing the refs before and after; each
changed ref is one `push` event. One lock for each repository keeps two pushes from being told as one.

Children see no configuration of the machine's user, and every call has a deadline.
"""

import os
import re
import subprocess
import threading
import zlib

from state import full_name

DEADLINE_S = 60              # for one git child; the repositories here are small
BODY_MAX_BYTES = 256 * 1024 * 1024      # of a push
PUSH_COMMITS_MAX = 20        # commits listed in a push payload, as in GitHub's events
ZERO = "0" * 40
INLINE_MAX_BYTES = 1024 * 1024          # files above come without content, as on GitHub

CONFIG = """[http]
	receivepack = true
[uploadpack]
	allowFilter = true
	allowAnySHA1InWant = true
[core]
	quotePath = false
"""


class GitError(Exception):
    """A git child failed; the text is what it said."""


def check_path(path):
    """Returns the path of a file in a repository; ValueError when git would not take it."""
    parts = path.split("/")
    if not path or "" in parts or ".." in parts or "." in parts or ".git" in (p.lower() for p in parts):
        raise ValueError(f"not a path in a repository: {path!r}")
    if re.search(r'[\x00-\x1f"\\]', path):
        raise ValueError(f"a path with control characters, quotes or backslashes is not supported here: {path!r}")
    return path


class GitStore:
    """The bare repositories below `state.git_dir`; usable from any thread."""

    def __init__(self, state):
        self.state = state
        self._locks = {}
        self._guard = threading.Lock()
        self._env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": state.git_dir, "LC_ALL": "C.UTF-8",
                     "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}

    def path(self, repo):
        return os.path.join(self.state.git_dir, f"{repo['id']}.git")

    def push_lock(self, repo):
        """Held around everything that moves refs of the repository."""
        with self._guard:
            return self._locks.setdefault(repo["id"], threading.RLock())

    def _run(self, repo, *arguments, data=None, check=True):
        """Runs git in the repository; returns its output as bytes, or None when it fails and `check` is false."""
        done = subprocess.run(["git", "-C", self.path(repo), *arguments], input=data, env=self._env,
                              capture_output=True, timeout=DEADLINE_S, check=False)
        if done.returncode == 0:
            return done.stdout
        if check:
            raise GitError(f"git {arguments[0]}: {done.stderr.decode('utf-8', 'replace').strip()}")
        return None

    def create(self, repo):
        """Makes the bare repository; nothing when it is there."""
        if not os.path.isdir(self.path(repo)):
            subprocess.run(["git", "init", "-q", "--bare", "-b", repo["default_branch"], self.path(repo)],
                           env=self._env, check=True, capture_output=True, timeout=DEADLINE_S)
            with open(os.path.join(self.path(repo), "config"), "a", encoding="utf-8") as file:
                file.write(CONFIG)

    # ---- reading ----

    def refs(self, repo):
        """{ref: sha} of branches and tags."""
        lines = self._run(repo, "for-each-ref", "--format=%(refname) %(objectname)").decode().splitlines()
        return dict(line.split(" ") for line in lines)

    def resolve(self, repo, ref=None):
        """The commit of a branch, tag or sha (default: the default branch); None when there is none."""
        ref = ref or repo["default_branch"]
        if ref.startswith("-") or ".." in ref or ":" in ref:
            return None
        for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref):
            sha = self._run(repo, "rev-parse", "-q", "--verify", name + "^{commit}", check=False)
            if sha:
                return sha.decode().strip()
        return None

    def entries(self, repo, commit, path, inside=False):
        """Entries (mode, type, sha, size, path) of what lies at the path: itself, or with `inside` what it holds."""
        where = [path + "/" if inside else path] if path else []
        out = self._run(repo, "ls-tree", "-l", "-z", commit, "--", *where, check=False) or b""
        found = []
        for line in out.decode("utf-8", "replace").split("\0"):
            if line:
                about, name = line.split("\t", 1)
                mode, kind, sha, size = about.split()
                found.append((mode, kind, sha, 0 if size == "-" else int(size), name))
        return found

    def blob(self, repo, sha):
        return self._run(repo, "cat-file", "blob", sha)

    def files(self, repo, ref, maximum):
        """{path: text} of a whole commit, for the admin API."""
        commit = self.resolve(repo, ref)
        if commit is None:
            return {}
        names = self._run(repo, "ls-tree", "-r", "-z", "--name-only", commit).decode("utf-8", "replace").split("\0")
        return {n: self._run(repo, "show", f"{commit}:{n}").decode("utf-8", "replace") for n in names[:maximum] if n}

    def newest(self, repo, maximum):
        """The newest commits of the default branch, oldest first, as push payloads list them; none where it has none."""
        commit = self.resolve(repo)
        return self._commits(repo, commit, maximum=maximum) if commit else []

    # ---- writing ----

    def commit(self, repo, files, message, author, email, at_s, branch=None):
        """Commits {path: text or bytes, or None to delete} on a branch; returns (old sha or zeros, new sha)."""
        branch = branch or repo["default_branch"]
        with self.push_lock(repo):
            self.create(repo)
            ref = f"refs/heads/{branch}"
            old = self.refs(repo).get(ref)
            stream = [f"commit {ref}\ncommitter {clean(author)} <{clean(email)}> {int(at_s)} +0000\n".encode(),
                      as_data(message.encode())]
            stream.append(f"from {old}\n".encode() if old else b"")
            for path, content in files.items():
                if content is None:
                    stream.append(f"D {check_path(path)}\n".encode())
                else:
                    raw = content.encode() if isinstance(content, str) else content
                    stream += [f"M 100644 inline {check_path(path)}\n".encode(), as_data(raw)]
            self._run(repo, "fast-import", "--quiet", "--date-format=raw", data=b"".join(stream))
            return old or ZERO, self.refs(repo)[ref]

    # ---- pushes as events ----

    def push_details(self, repo, ref, old, new):
        """The members of a push payload that git knows: commits, head_commit, created, deleted, forced."""
        created, deleted = old == ZERO, new == ZERO
        commits, forced = [], False
        if not deleted:
            span = [new] if created else [f"{old}..{new}"]
            commits = self._commits(repo, *span, maximum=PUSH_COMMITS_MAX)
            forced = not created and self._run(repo, "merge-base", "--is-ancestor", old, new, check=False) is None
        head = None if deleted else (commits[-1:] or self._commits(repo, new, maximum=1))[0]
        return {"ref": ref, "before": old, "after": new, "created": created, "deleted": deleted, "forced": forced,
                "base_ref": None, "commits": commits, "head_commit": head}

    def _commits(self, repo, *span, maximum):
        """Commits oldest first, as push payloads list them, without their `url`."""
        form = "%x1e%H%x1f%T%x1f%an%x1f%ae%x1f%cn%x1f%ce%x1f%cI%x1f%B%x1d"
        out = self._run(repo, "log", f"-n{maximum}", "--name-status", "--no-renames", f"--format={form}", *span)
        commits = []
        for text in out.decode("utf-8", "replace").split("\x1e")[1:]:
            head, _, tail = text.partition("\x1d")
            sha, tree, author, email, committer, cemail, when, message = head.split("\x1f", 7)
            commit = {"id": sha, "tree_id": tree, "distinct": True, "message": message.rstrip("\n"),
                      "timestamp": when, "author": {"name": author, "email": email, "username": author},
                      "committer": {"name": committer, "email": cemail, "username": committer},
                      "added": [], "removed": [], "modified": []}
            for line in filter(None, tail.splitlines()):
                status, _, name = line.partition("\t")
                commit[{"A": "added", "D": "removed"}.get(status, "modified")].append(name)
            commits.append(commit)
        return commits[::-1]

    # ---- git over HTTP ----

    def backend(self, repo, request, service_path, user):
        """Runs git http-backend for one request; returns (status, [(header, value)], body)."""
        self.create(repo)
        environ = {**self._env, "GIT_PROJECT_ROOT": self.state.git_dir, "GIT_HTTP_EXPORT_ALL": "1",
                   "PATH_INFO": f"/{repo['id']}.git/{service_path}", "REQUEST_METHOD": request.method,
                   "QUERY_STRING": request.query_string, "CONTENT_TYPE": request.headers.get("Content-Type", ""),
                   "REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1",
                   "GIT_PROTOCOL": request.headers.get("Git-Protocol", "")}
        body = request.body
        if request.headers.get("Content-Encoding", "") == "gzip":
            body = gunzip(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        if user:
            environ["REMOTE_USER"] = user
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True,
                              timeout=DEADLINE_S, check=False)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        if not head:
            raise GitError(f"git http-backend: {done.stderr.decode('utf-8', 'replace').strip()}")
        headers = [tuple(line.split(": ", 1)) for line in head.decode("latin-1").split("\r\n")]
        status = next((int(v.split()[0]) for k, v in headers if k.lower() == "status"), 200)
        return status, [(k, v) for k, v in headers if k.lower() != "status"], body

    def push(self, repo, request, service_path, user):
        """The same for a push; returns also [(ref, old, new)] of what moved."""
        with self.push_lock(repo):
            before = self.refs(repo)
            answer = self.backend(repo, request, service_path, user)
            after = self.refs(repo)
        moved = [(ref, before.get(ref, ZERO), after.get(ref, ZERO)) for ref in sorted({**before, **after})
                 if before.get(ref) != after.get(ref)]
        return answer, moved


def gunzip(body):
    """A gzipped request body; ValueError when it is none or too large."""
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(body, BODY_MAX_BYTES)
    except zlib.error as error:
        raise ValueError(f"the body says that it is gzipped and is not: {error}") from error
    if unpacker.unconsumed_tail:
        raise ValueError(f"the body unpacks to more than {BODY_MAX_BYTES} bytes")
    return plain


def as_data(raw):
    """Bytes as git fast-import takes them."""
    return b"data %d\n%s\n" % (len(raw), raw)


def clean(name):
    """A person's name or address without what would end it in a commit."""
    return re.sub(r"[<>\n\0]", "", name)


def web_url(shapes, repo, commit):
    return f"{shapes.base}/{full_name(repo)}/commit/{commit}"
