"""What the labeler's benchmark stands on: a real Kafka, the sandbox forge, a model, and the labeler itself.

Design: everything is a process of its own below one temporary folder and ends with the `with` block. The labeler
reaches the sandbox through a Recorder, which notes when each request came. Records are made by nodag-bench-records, not by
the door, so that it is known when each was sent. Two organisations stand for two documents: `acme` is silent, `loud`
has one comment.

Invariant: the forge's budget is large enough not to matter; nothing sweeps while something is measured.
"""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests" / "integration"), str(ROOT / "deploy" / "local"),
                str(ROOT / "deploy" / "local" / "kafka"), str(ROOT / "deploy" / "local" / "lib"),
                str(ROOT / "tests" / "bench" / "lib")]
import history  # noqa: E402
import report  # noqa: E402
from daemon import Daemon  # noqa: E402
from gate import Gate  # noqa: E402
from kafka import LocalKafka  # noqa: E402
from proc import Failed, Proc, wait_until  # noqa: E402
from sandbox_api import Sandbox  # noqa: E402

READY_S = 120  # A boot over a million decisions on a busy machine.
FILL_S = 240
EXAMPLES = 400
SEED = 20261101
GROUP = "nodag-labeler"
LABELS = [*history.AREAS, *history.KINDS]
DOCUMENTS = """\
apiVersion: nodag.dev/v1
kind: Labeler
metadata: {{name: acme}}
spec: {{repositories: ["acme/*"], labels: {{include: ["area/*", "kind/*"]}}, models: [{{file: {model}}}], since: {since}}}
---
apiVersion: nodag.dev/v1
kind: Labeler
metadata: {{name: loud}}
spec: {{repositories: ["loud/*"], labels: {{include: ["area/*", "kind/*"]}}, models: [{{file: {model}}}], since: {since},
       comment: edit}}
"""


@dataclass(frozen=True)
class Request:
    """One request of the labeler's: when it came (seconds since 1970), and what it asked."""
    at: float
    method: str
    path: str


class Recorder(Gate):
    """Passes everything on to the sandbox and remembers it."""

    def __init__(self, upstream: str):
        super().__init__(upstream)
        self.requests: list[Request] = []

    def pass_on(self, taker) -> None:
        self.requests.append(Request(time.time(), taker.command, urllib.parse.unquote(taker.path.partition("?")[0])))
        super().pass_on(taker)


class Ground:
    """See the file's head. `bin_dir` and `bench_dir`: the folders of a release build."""

    def __init__(self, build: Path):
        self.bin_dir, self.records = build / "bin", report.need_program(build / "bench" / "nodag-bench-records")
        for name in ("nodag-labeler", "nodag-topics", "nodag-model"):
            report.need_program(self.bin_dir / name)
        self._temporary = tempfile.TemporaryDirectory(prefix="nodag-bench-")
        self.folder = Path(self._temporary.name)
        self.kafka = LocalKafka(self.folder / "kafka")
        self.sandbox_proc: Proc | None = None
        self.recorder: Recorder | None = None
        self._started = 0

    def __enter__(self) -> "Ground":
        try:
            self.kafka.start()
            self.run([self.bin_dir / "nodag-topics", "create", "--brokers", self.kafka.brokers])
            self._start_sandbox()
            self._train()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception) -> None:
        if self.recorder:
            self.recorder.close()
        if self.sandbox_proc:
            self.sandbox_proc.stop()
        self.kafka.stop()
        self._temporary.cleanup()

    def run(self, command: list) -> str:
        """Runs a program to its end; what it printed."""
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=FILL_S,
                              check=False)
        if done.returncode != 0:
            raise Failed(f"{Path(str(command[0])).name} {' '.join(str(part) for part in command[1:4])}: "
                         f"{(done.stderr or done.stdout).strip()[-500:]}")
        return done.stdout

    def _start_sandbox(self) -> None:
        ready = self.folder / "sandbox.url"
        self.sandbox_proc = Proc.start([sys.executable, ROOT / "deploy" / "sandbox" / "forge.py", "--port", "0",
                                        "--ready-file", ready], self.folder / "sandbox.log", name="sandbox")
        wait_until(ready.exists, READY_S, "the sandbox to be ready", self.sandbox_proc)
        self.sandbox = Sandbox(ready.read_text(encoding="utf-8").strip())
        self.sandbox.call("PATCH", "/_sandbox/limits", {"primary_per_hour": 1000000})
        app = self.sandbox.post("/_sandbox/apps", {
            "slug": "nodag", "permissions": {"issues": "write", "contents": "read", "metadata": "read"}})
        (self.folder / "app.pem").write_text(app["pem"], encoding="utf-8")
        (self.folder / "app.pem").chmod(0o600)
        self.app_id = str(app["id"])
        for organisation in ("acme", "loud"):
            self.sandbox.post("/_sandbox/orgs", {"login": organisation, "members": ["ann"]})
            self.sandbox.post("/_sandbox/apps/nodag/installations", {"account": organisation, "repositories": "all"})
        self.recorder = Recorder(self.sandbox.url)

    def _train(self) -> None:
        data, model = self.folder / "history.csv", self.folder / "label.model"
        now = datetime.now(timezone.utc)
        history.write_csv(data, history.generate(EXAMPLES, SEED, now))
        self.run([self.bin_dir / "nodag-model", "train", "--data", data, "--model", model])
        since = (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        (self.folder / "labeler.yaml").write_text(DOCUMENTS.format(model=json.dumps(str(model)), since=since),
                                                  encoding="utf-8")

    # -- records -----------------------------------------------------------------------------------------------------

    def make(self, what: str, count: int = 1, *more) -> dict:
        """Runs nodag-bench-records; what it said of it."""
        said = self.run([self.records, "--what", what, "--brokers", self.kafka.brokers, "--count", count, *more])
        return json.loads(said) if said else {}

    def rewind(self) -> None:
        """The next labeler begins github.events anew."""
        self.make("rewind", 1, "--group", GROUP)

    # -- the labeler -------------------------------------------------------------------------------------------------

    def labeler(self) -> Daemon:
        """A labeler that is not started yet."""
        self._started += 1
        return Daemon(self.bin_dir / "nodag-labeler",
                      ["--specs", str(self.folder / "labeler.yaml"), "--brokers", self.kafka.brokers,
                       "--forge-url", self.recorder.url, "--forge-app-id", self.app_id,
                       "--forge-app-key-file", str(self.folder / "app.pem"), "--forge-writes-per-hour", "100000",
                       "--sweep-interval", "1d"], self.folder / f"labeler-{self._started}")

    # -- people ------------------------------------------------------------------------------------------------------

    def repository(self, full_name: str) -> int:
        """A new repository; its id."""
        return self.sandbox.post("/_sandbox/repos", {"full_name": full_name, "labels": LABELS})["id"]

    def open_issues(self, full_name: str, count: int) -> list[int]:
        """Issues that the model has an opinion on; no webhook goes out. Their numbers."""
        bug, subject = history.KINDS["kind/bug"], "notebook server"
        text = {"title": bug["title"][0].format(s=subject), "body": bug["body"][0].format(s=subject)}
        acts = [{"do": "open", "repository": full_name, "as": "ann", "quiet": True, **text}] * count
        return [done["issue"]["number"] for done in self.sandbox.act(*acts)]
