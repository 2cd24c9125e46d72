"""The whole left half on the real Kafka, with nothing played: git and webhooks at one end, versions of models at the other.

    a git repository ─▶ nodag-ingest-git ─▶ specs, git.pushes ─┐
                                                              ├─▶ nodag-trainer ─▶ nodag-train-run ─▶ models
    webhooks ─▶ nodag-ingest-github ─▶ nodag-historian ─▶ issues ┘              (nodag dataset, papermill, nbconvert)

Design: one ground for all tests of a module. Each test has models of its own, each model a document, a notebook and a GitHub
repository of its own. Most notebooks are a few cells that read the data set; one with the parameter `wait` stops in its middle until
the test lets it go, so that a test chooses when something is killed. Executables are copied beside a script `nodag`, which lifts
the sandbox' memory limit for sanitizers; all else is what people get by default.

Invariants: no wait is for a time; `check` (trainer_ground.py) holds for all of `runs`, whatever any test did; close() leaves neither a
document nor a process.
"""
from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

from daemon import Daemon
from distribution import cache_folder
from git_documents import Source, Specs
from git_door import Door
from git_servers import git
from proc import wait_until
from run_bench import ROOT, notebook, processes_with
from topic import Topic
from trainer_ground import TERMINAL, Ground
from webhooks import Sender
import yaml_text

SECRET = b"it's a secret"
RUN_S = 240  # One run: an environment to be built first, sanitizers, a busy machine.
PROGRAMS = ("nodag-trainer", "nodag-train-run", "nodag-dataset", "nodag-model", "nodag-models", "nodag-runs", "nodag-status")
LIFT = '#!/bin/sh\nulimit -S -d unlimited\nexec env ASAN_OPTIONS=detect_leaks=0 "{}/real/nodag" "$@"\n'

ODD = "runs of 'ann' & \"bo\" $(x); é\\"  # Folders may be called anything.

READ = "import json, os, time\nrows = open(data, encoding='utf-8').read().splitlines()\nprint(f'{len(rows)} examples', flush=True)"
STOP = ("end = time.monotonic() + 300\nwhile globals().get('wait') and not os.path.exists(os.path.dirname(model) + '/go'):\n"
        "    assert time.monotonic() < end\n    time.sleep(0.05)")
WRITE = ("open(model, 'w').write(json.dumps(rows))\nopen(predictions, 'w').write('')\n"
         "open(metrics, 'w').write(json.dumps({'f1_macro': 0.5, 'examples': len(rows)}))")


def book(*cells: str) -> str:
    """A notebook that reads the data set, may wait, runs the cells, and writes what it must."""
    return json.dumps(notebook(READ, STOP, *cells, WRITE))


class TrainingPath(Ground):
    """Everything but the trainers runs from the start."""

    def __init__(self, brokers: str, bin_dir: Path, folder: Path):
        super().__init__(brokers, bin_dir, folder)
        self.runs = folder / ODD
        self.programs = self._copy_programs()
        self.daemons: list[Daemon] = []
        self.kafka = ["--brokers", brokers, "--kafka-properties", self.properties]
        (folder / "secret").write_bytes(SECRET)
        hook = self._start("nodag-ingest-github", "--listen", "127.0.0.1:0", "--secret-file", folder / "secret", "--scope", "*", *self.kafka)
        self.hook = hook
        self.historian = self._start("nodag-historian", "--login", "nodag[bot]", "--replica", "historian-of-path", *self.kafka)
        self.source = Source(folder / "remotes" / "acme", "desired")
        self.first_commit = self.commit({"README": "what is desired"})
        self.git = Door(self._start, brokers, folder)
        self.git.configure(sources=[self.source.config()])
        self.git.start()
        self.specs = Specs(self.git)
        self.repositories: dict[str, int] = {}
        self.issues: dict[tuple[str, int], dict] = {}

    def _copy_programs(self) -> Path:
        folder = self.folder / "programs"
        (folder / "real").mkdir(parents=True)
        for name in PROGRAMS:
            shutil.copy2(self.bin_dir / name, folder / name)
        for name in ("nodag", "nodag-model"):
            shutil.copy2(self.bin_dir / name, folder / "real" / name)
        (folder / "nodag").write_text(LIFT.format(folder), encoding="utf-8")
        (folder / "nodag").chmod(0o755)
        return folder

    def _start(self, name: str, *arguments, wait: bool = True) -> Daemon:
        daemon = Daemon(self.bin_dir / name, [str(word) for word in arguments], self.folder / f"{name}-{len(self.daemons)}")
        self.daemons.append(daemon)
        return daemon.start(wait)

    def trainer(self, name: str, *more) -> Daemon:
        """A trainer that is not started; replicas have different names and share everything else."""
        arguments = [*self.kafka, "--replica", name, "--runs", self.runs, "--cache", cache_folder() / "run-environments",
                     "--artefacts", f"file://{self.folder}/artefacts", "--needs-train-address", "127.0.0.1:0",
                     "--retry-wait", "200ms", "--backoff-least", "50ms", "--backoff-most", "500ms", "--sweep-interval", "1d", *more]
        environment = {"NODAG_PYTHON": sys.executable, "NODAG_REQUIREMENTS": str(ROOT / "deploy" / "notebooks" / "requirements.txt")}
        return Daemon(self.programs / "nodag-trainer", [str(word) for word in arguments], self.folder / name, environment)

    def close(self) -> None:
        self.git.configure(sources=[])
        self.specs.wait_until(lambda now: not now, "all documents to be withdrawn")
        for daemon in reversed(self.daemons):
            daemon.end()
        left = self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"processes of runs were left: {left}"

    # -- git -----------------------------------------------------------------------------------------------------------

    def commit(self, files: dict[str, str | None]) -> str:
        """Commits and pushes files; None deletes. The commit."""
        for name, text in files.items():
            path = self.source.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text, encoding="utf-8")
        git(self.source.work, "add", "-A")
        git(self.source.work, "commit", "-q", "-m", ", ".join(files))
        self.source.push()
        return self.source.head()

    def model(self, name: str, text: str | None = None, *, fresh: dict | None = None, parameters: dict | None = None, **more) -> str:
        """Pushes the document of a model, with its notebook if `text` is given. The commit."""
        train = {"notebook": f"notebooks/{name}.ipynb", "deadline": "10m", "parameters": parameters or {}}
        spec = {"data": {"repositories": [f"acme/{name}"]}, "labels": {"include": ["kind/*", "area/*"], "minExamples": 1},
                "fresh": {"onPush": [f"notebooks/{name}*"], **(fresh or {})}, "train": train, **more}
        document = {"apiVersion": "nodag.dev/v1", "kind": "Model", "metadata": {"name": name}, "spec": spec}
        self.documents.add(name)
        files = {f"nodag/{name}.yaml": yaml_text.dump(document)}
        if text is not None:
            files[f"notebooks/{name}.ipynb"] = text
        return self.commit(files)

    def delete(self, name: str) -> None:
        self.documents.discard(name)
        self.commit({f"nodag/{name}.yaml": None})

    # -- issues --------------------------------------------------------------------------------------------------------

    def tell(self, repository: str, number: int, action: str, hand: str = "ann", **members) -> None:
        """One webhook about an issue, as GitHub would send it now."""
        issue = self.issues[repository, number]
        identity = self.repositories.setdefault(repository, 10 ** 9 + uuid.uuid4().int % 10 ** 9)
        said = {"action": action, "issue": issue, "sender": {"login": hand, "type": "User"}, **members,
                "repository": {"id": identity, "full_name": f"acme/{repository}", "private": False, "url": f"https://forge/{repository}",
                               "owner": {"login": "acme", "id": 77}}}
        sender = Sender(self.hook.port)  # a kept connection would be closed between two tests
        assert sender.deliver("issues", SECRET, json.dumps(said).encode()).status == 202
        sender.close()

    def open(self, repository: str, number: int, labels: list[str], title: str = "it breaks", body: str = "often",
             at: datetime | None = None) -> None:
        """Ann opens an issue and labels it."""
        at = at or datetime.now(timezone.utc) - timedelta(days=2)
        text = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.issues[repository, number] = {"number": number, "title": title, "body": body, "state": "open", "labels": [],
                                           "user": {"login": "ann", "type": "User"}, "created_at": text, "updated_at": text}
        self.tell(repository, number, "opened")
        for label in labels:
            self.label(repository, number, label, at)

    def label(self, repository: str, number: int, label: str, at: datetime | None = None) -> None:
        """Ann puts a label on an issue."""
        issue = self.issues[repository, number]
        issue["labels"] = [*issue["labels"], {"name": label}]
        issue["updated_at"] = (at or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.tell(repository, number, "labeled", label={"name": label})

    def await_issues(self, repository: str, labels: int) -> None:
        """Waits until the data set has so many labels of a repository's issues."""
        topic, identity = Topic(self.brokers, "issues"), f"{self.repositories[repository]}#".encode()
        topic.start = dict.fromkeys(topic.start, 0)

        def count() -> int:
            newest = {record.key: record.value for record in topic.read() if record.key.startswith(identity)}
            return sum(len(json.loads(value)["labels"]) for value in newest.values() if value)
        wait_until(lambda: count() == labels, RUN_S, f"{labels} labels in {repository}, not {count()}")

    # -- runs and versions ---------------------------------------------------------------------------------------------

    def versions(self, model: str) -> list[dict]:
        return [record for record in self.records("models", model) if not record["collected"]]

    def await_version(self, model: str, count: int = 1) -> dict:
        """Waits for the version number `count`; it is the newest."""
        def is_there() -> bool:
            assert "FAILED" not in self.states(model), self.why(model)
            return len(self.versions(model)) >= count
        wait_until(is_there, RUN_S, f"version {count} of {model}")
        found = self.versions(model)
        assert len(found) == count, found
        self.await_state(model, "SUCCEEDED")
        return found[-1]

    def await_state(self, model: str, state: str, count: int = 1) -> dict:
        """Waits until a state was entered `count` times; the newest record."""
        wait_until(lambda: self.states(model).count(state) >= count, RUN_S, f"{model} to be {state} {count} times: {self.states(model)}")
        return [run for run in self.records("runs", model) if run["state"] == state][-1]

    def why(self, model: str) -> str:
        """What the newest run of a model said."""
        folder = self.run_folder(model)
        return "\n".join(path.read_text(errors="replace") for path in (folder / "log", folder / "supervisor.log") if path.exists())

    def step(self, model: str) -> str:
        """The step of the newest run whose supervisor has begun."""
        try:
            return json.loads((self.run_folder(model) / "state.json").read_text(encoding="utf-8"))["step"]
        except FileNotFoundError:
            return ""

    def await_waiting(self, model: str) -> Path:
        """Waits until the newest run of a model is in the middle of its notebook; its directory."""
        def waits() -> bool:
            log = self.run_folder(model) / "log"
            return self.step(model) == "notebook" and log.exists() and " examples" in log.read_text(errors="replace")
        wait_until(waits, RUN_S, f"the notebook of {model}")
        return self.run_folder(model)

    @staticmethod
    def go(folder: Path) -> None:
        """Lets a notebook that waits go on."""
        (folder / "scratch" / "out" / "go").touch()

    def kill_supervisor(self, model: str) -> None:
        state = json.loads((self.run_folder(model) / "state.json").read_text(encoding="utf-8"))
        os.kill(state["pid"], signal.SIGKILL)

    def processes(self, folder: Path | None = None) -> list[int]:
        """Processes that a run's directory (or any) is named in."""
        return processes_with(f"{folder or self.runs}/")

    def artefact(self, record: dict, name: str) -> bytes:
        return Path(record["artefacts"][name]["uri"].removeprefix("file://")).read_bytes()

    def clear(self) -> None:
        """Deletes all documents and waits until nothing is under way."""
        names = list(self.documents)
        for name in names:
            self.delete(name)
        for name in names:
            wait_until(lambda model=name: not self.states(model) or self.states(model)[-1] in TERMINAL, RUN_S,
                       f"the runs of {name} to be over")
