"""Desired state in git, as people write it: a repository on the sandbox with the documents and the notebook.

    acme/desired-state     nodag/model.yaml       kind Model: how fresh a model shall be, and by which notebook
                           nodag/labeler.yaml     kind Labeler: which version labels which repositories
                           notebooks/train.ipynb  a copy of deploy/notebooks/train.ipynb, to be changed

Design: the script plays the people: each change is a clone, a commit and a push over HTTP with a token of a person. The
push comes back as a webhook, which wakes nodag-ingest-git; that publishes the documents. Beside that there is a clone
for whoever watches the stack, DIR/desired-state, which the script never changes after it was made.

Invariants: no document is handed to a daemon by any other way; the token is in files of their owner only.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

from history import ORGANISATION
from proc import Failed, wait_until
from services import Services

REPOSITORY = f"{ORGANISATION}/desired-state"
PERSON = "dora"  # who commits, and whose token pushes
LABELER = "local"  # name of the document
MODEL_FILE, LABELER_FILE = "nodag/model.yaml", "nodag/labeler.yaml"
NOTEBOOK_FILE = "notebooks/train.ipynb"
GIT_S = 60.0  # for one git command on this machine
PUBLISHED_S = 90.0  # from a push until the document is in force; the webhook makes it a second, polling a minute
GIT_ENV = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}

SOURCES = """\
# Which repositories nodag-ingest-git watches, and what they may define. Edit it: the daemon notices.
{watched}sources:
  - repository: {url}
    branch: main
    paths: ["nodag/*"]
    allow: {{names: ["Model/*", "Labeler/*"], targets: ["{organisation}/*"], labels: {labels}}}
"""
WATCHED = "repositories: [{{url: {url}, branches: [main], insecure: true}}] # http beyond this machine, in a network of our own\n"
MODEL_TEXT = """\
# What nodag-trainer keeps true on this stack: a fresh model exists. Change it and push: that is all.
apiVersion: nodag.dev/v1
kind: Model
metadata: {{name: {name}}}
spec:
  data: {{repositories: ["{organisation}/*"]}}
  labels:
    include: {labels}
    minExamples: {examples}
  fresh:                         # any of these makes it stale
    newLabels: {new_labels}                # people changed so many labels since its data
    onPush: ["notebooks/*"]      # these files differ from its code
    maxAge: 30d
  train:
    notebook: {notebook}
    parameters: {parameters}
    deadline: 20m
"""
LABELER_TEXT = """\
# What nodag-labeler keeps true on this stack: open issues carry the labels that this version predicts.
apiVersion: nodag.dev/v1
kind: Labeler
metadata: {{name: {name}}}
spec:
  repositories: ["{organisation}/*"]
  labels: {{include: {labels}}}
  models: [{model}]
  since: {since}
  comment: edit
"""


class DesiredState:
    """The repository on the services' sandbox. `labels` are the patterns of what may be learnt and written."""

    def __init__(self, services: Services, labels: list[str]):
        self._services, self.labels = services, labels
        about = services.sandbox.post("/_sandbox/repos", {"full_name": REPOSITORY})
        self.url: str = about["clone_url"]
        self.page = f"{services.sandbox.url}/{REPOSITORY}/code"
        self._credentials = self._write_credentials()
        self.clone = services.folder.path / "desired-state"

    def _write_credentials(self) -> Path:
        """A person's token, as git's `store` helper reads it."""
        token = self._services.folder.secret("person").read_text(encoding="ascii")
        self._services.sandbox.post("/_sandbox/users", {"login": PERSON, "token": token,
                                                        "member_of": [ORGANISATION]})
        path = self._services.folder.secrets / "git-credentials"
        path.touch(0o600)
        parts = urllib.parse.urlsplit(self.url)
        path.write_text(f"{parts.scheme}://{PERSON}:{token}@{parts.netloc}\n", encoding="ascii")
        return path

    # -- what nodag-ingest-git is told -----------------------------------------------------------------------------------

    def write_sources(self, insecure: bool = False) -> Path:
        """`insecure`: the sandbox is on another machine, and that is meant so."""
        path = self._services.folder.path / "repositories.yaml"
        url = json.dumps(self.url)
        path.write_text(SOURCES.format(watched=WATCHED.format(url=url) if insecure else "", url=url,
                                       organisation=ORGANISATION, labels=json.dumps(self.labels)), encoding="utf-8")
        return path

    # -- git -------------------------------------------------------------------------------------------------------------

    def _git(self, folder: Path, *arguments) -> str:
        helper = f"credential.helper=store --file={self._credentials}"
        who = ["-c", f"user.name={PERSON}", "-c", f"user.email={PERSON}@example.org"]
        done = subprocess.run(["git", "-C", folder, "-c", helper, *who, *arguments], capture_output=True, text=True,
                              env={**os.environ, **GIT_ENV}, timeout=GIT_S, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise Failed(f"git {arguments[0]} of {self.url} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def read(self) -> dict[str, str]:
        """The files of the repository; none where nothing was pushed yet."""
        path = f"/_sandbox/repos/{REPOSITORY}/files?ref=main"
        return self._services.sandbox.get(path) if self._has_commits() else {}

    def _has_commits(self) -> bool:
        return bool(self._git(self._services.folder.path, "ls-remote", self.url, "refs/heads/main"))

    def commit(self, message: str, files: dict[str, str]) -> str:
        """A person writes these files, commits and pushes them; the commit. Files that say that already are no change."""
        with tempfile.TemporaryDirectory(dir=self._services.folder.run) as name:
            work = Path(name) / "work"
            self._git(Path(name), "clone", "-q", self.url, work)
            self._git(work, "checkout", "-q", "-B", "main")
            for path, text in files.items():
                (work / path).parent.mkdir(parents=True, exist_ok=True)
                (work / path).write_text(text, encoding="utf-8")
            self._git(work, "add", "--all")
            if self._git(work, "status", "--porcelain"):
                self._git(work, "commit", "-q", "-m", message)
                self._git(work, "push", "-q", "origin", "main")
            return self._git(work, "rev-parse", "HEAD")

    def make_clone(self) -> Path:
        """The clone for people; one that is there keeps what they did in it and is told where the sandbox is now."""
        if not (self.clone / ".git").is_dir():
            shutil.rmtree(self.clone, ignore_errors=True)
            self._git(self._services.folder.path, "clone", "-q", self.url, self.clone)
            for name, value in {"user.name": PERSON, "user.email": f"{PERSON}@example.org", "pull.rebase": "true",
                                "credential.helper": f"store --file={self._credentials}"}.items():
                self._git(self.clone, "config", name, value)
        self._git(self.clone, "remote", "set-url", "origin", self.url)
        if not self._git(self.clone, "status", "--porcelain"):
            self._git(self.clone, "pull", "-q")
        return self.clone

    # -- the documents ---------------------------------------------------------------------------------------------------

    def notebook_text(self) -> str:
        return (self._services.root / "deploy" / "notebooks" / "train.ipynb").read_text(encoding="utf-8")

    def model_text(self, examples: int, new_labels: int, parameters: dict) -> str:
        return MODEL_TEXT.format(name=self._services.folder.memory["model"], organisation=ORGANISATION,
                                 labels=json.dumps(self.labels), examples=examples, new_labels=new_labels,
                                 notebook=NOTEBOOK_FILE, parameters=json.dumps(parameters))

    def labeler_text(self, model: dict) -> str:
        """`model` is `{"model": VERSION}` or `{"file": PATH}`."""
        return LABELER_TEXT.format(name=LABELER, organisation=ORGANISATION, labels=json.dumps(self.labels),
                                   model=json.dumps(model), since=self._services.folder.memory["since"])

    def commit_notebook(self) -> None:
        """The first commit: the notebook alone. Without a document it makes nothing happen."""
        if NOTEBOOK_FILE not in self.read():
            self.commit("The notebook that trains", {NOTEBOOK_FILE: self.notebook_text()})

    def commit_model(self, *wanted) -> bool:
        """People want a fresh model, as model_text writes it. False: there is such a document already, which stays."""
        there = MODEL_FILE in self.read()
        if not there:
            self._publish(f"Model/{self._services.folder.memory['model']}", "A fresh model shall exist", MODEL_FILE,
                          self.model_text(*wanted))
        return not there

    def commit_labeler(self, model: dict) -> bool:
        """People name what labels, as labeler_text writes it. Returns when that is in force; False: it was."""
        what = model.get("model") or "the model file"
        return self._publish(f"Labeler/{LABELER}", f"Label with {what}", LABELER_FILE, self.labeler_text(model))

    def _publish(self, key: str, message: str, path: str, text: str) -> bool:
        """Commits one document, and waits until it is in force; False: it said that before. Failed where it is not valid."""
        commit = None if self.read().get(path) == text else self.commit(message, {path: text})
        services = self._services

        def is_in_force() -> bool:
            services.check()
            record = json.loads(services.command("specs", "list", "--json", *services.kafka_options())).get(key) or {}
            if record.get("invalid"):
                raise Failed(f"{key} is not valid: {record['invalid'].get('reason')}")
            return bool(record.get("valid")) and commit in (None, record["valid"]["commit"])
        wait_until(is_in_force, PUBLISHED_S, f"{key} to be in force; `nodag specs` and {services.folder.logs}/"
                   "ingest-git.log say more")
        return commit is not None
