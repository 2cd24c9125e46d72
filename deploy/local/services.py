"""Starting, watching and stopping the programs of the local stack.

Design: one method for each program; each returns when the program is ready (its ready file, or its port answers), and
has shown that on the screen. Their folder is folder.py's.

Invariants: programs are stopped in reverse order, by SIGTERM, so that they drain; what listens, listens on 127.0.0.1; a
program that ends by itself is noticed, and named with its own last complaint.
"""
from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import distribution
import screen
from folder import Folder
from kafka import LocalKafka
from proc import Failed, Proc, wait_until
from run_folder import SUPERVISOR, RunFolder
from sandbox_api import Sandbox

READY_S = 60.0  # a daemon takes less than a second; on a busy machine a multiple
COMMAND_S = 300.0  # training on thousands of issues takes seconds
DRAIN_S = 15  # what daemons are given to drain: below proc.STOP_S, so that they end by themselves
REPOSITORY_IDS = 1 << 30  # a new sandbox's first repository id lies below: a Kafka that outlives it sees none twice
COMPLAINTS = 3  # lines of a log in an error message
IN_FORCE = "a Labeler's models are in force"  # reactors/labeler/models.c
COMMAND_GROUPS = ("topics", "model")  # commands whose first argument is a command too

PROPERTIES = "# librdkafka properties of this stack, for all of nodag's programs: TLS, SASL and the like go here.\n"
IPV4_ONLY = "broker.address.family=v4\n"  # as the broker listens
SECRETS = """\
# Which secret signs whose webhooks. Edit it: the door notices.
secrets:
  - id: local
    file: {file}
    organisations: [{organisation}]
"""


class Services:
    """The programs of one run. `options` are stack.py's, `root` is the checkout."""

    def __init__(self, options, root: Path, folder: Folder):
        self.options, self.root, self.folder = options, root, folder
        self.brokers = options.brokers or ""
        self.kafka: LocalKafka | None = None
        self.sandbox: Sandbox | None = None
        self.run_folder = RunFolder(folder.make("runs"), self.program)
        self.door_url = ""
        self.admin_ports: dict[str, str] = {}
        self._running: list[Proc] = []
        self._reported: set[int] = set()  # pids whose bad end was told already

    # -- commands ------------------------------------------------------------------------------------------------------

    def program(self, name: str) -> Path:
        """An executable of nodag: in $NODAG_BIN, else as `up` built it."""
        path = Path(os.environ.get("NODAG_BIN") or self.root / "build" / "release" / "bin") / name
        if not path.exists():
            raise Failed(f"{path} is not there: `deploy/local/up` builds it, or NODAG_BIN names the folder of a build")
        return path

    def kafka_options(self) -> list[str]:
        """What every program that talks to Kafka is given."""
        path = self.folder.path / "kafka.properties"
        if not path.exists():
            path.write_text(PROPERTIES + ("" if self.options.brokers else IPV4_ONLY), encoding="utf-8")
        return ["--brokers", self.brokers, "--kafka-properties", str(path)]

    def command(self, *arguments) -> str:
        """Runs a nodag command to its end and returns its output. Failed, with what it said, when it fails."""
        argv = [str(self.program("nodag")), *map(str, arguments)]
        name = " ".join(["nodag", *argv[1:2 + (arguments[0] in COMMAND_GROUPS)]])
        try:
            done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=COMMAND_S,
                                  stdin=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"`{name}` took more than {COMMAND_S:g} s") from None
        if done.returncode != 0:
            said = done.stderr.strip() or done.stdout.strip()
            raise Failed(f"`{name}` failed with status {done.returncode}: {said.removeprefix(f'{name}: ')}")
        return done.stdout

    # -- running programs ----------------------------------------------------------------------------------------------

    def _start(self, name: str, argv: list, env: dict | None = None) -> str:
        """Starts a program, which is told a ready file, and waits for that; returns what it says."""
        ready, log = self.folder.run / f"{name}.ready", self.folder.logs / f"{name}.log"
        ready.unlink(missing_ok=True)
        if log.exists():  # the complaints of an earlier run must not be taken for this one's
            log.rename(log.with_name(log.name + ".before"))
        proc = Proc.start([*map(str, argv), "--ready-file", str(ready)], log, name=name, env=env)
        self._running.append(proc)
        wait_until(lambda: self.check() or ready.exists(), READY_S, f"{name} to be ready", proc)
        return ready.read_text(encoding="utf-8")

    def _start_daemon(self, name: str, *arguments, env: dict | None = None) -> dict[str, str]:
        told = self._start(name, [self.program(f"nodag-{name}"), *self.kafka_options(), "--admin-address",
                                  "127.0.0.1:0", "--drain-timeout", f"{DRAIN_S}s", *arguments], env)
        values = dict(text.split("=", 1) for text in told.splitlines())
        self.admin_ports[name] = values["admin_port"]
        return values

    def check(self) -> None:
        """Raises Failed when a program has ended by itself."""
        for proc in self._running:
            if not proc.alive():
                self._reported.add(proc.pid)
                raise Failed(f"{proc.name} ended by itself with status {proc.exit_text()}{explain(proc.logs[0])}")
        if self.kafka and not self.kafka.alive():
            raise Failed(f"Kafka ended by itself; its log is {self.kafka.log}")

    @property
    def started(self) -> bool:
        """Whether anything was."""
        return bool(self._running or self.kafka)

    def stop(self) -> bool:
        """Stops everything, newest first. False if something had to be killed or ended badly."""
        trainers = [program for program in self._running if program.name == "trainer"]
        others = [program for program in reversed(self._running) if program.name != "trainer"]
        well = self._stop_programs(trainers)  # first: it would begin another run
        try:
            self.run_folder.end_all(lambda text: screen.step("Run", screen.yellow(text)))
        except Failed as failure:
            screen.error(str(failure))
            well = False
        return self._stop_programs([*others, *([self.kafka] if self.kafka else [])]) and well

    def _stop_programs(self, programs: list) -> bool:
        well = True
        for program in programs:
            try:
                screen.doing("Stopping", getattr(program, "name", "Kafka"))
                program.stop()
            except Failed as failure:
                screen.error(str(failure))
                well = False
                continue
            if isinstance(program, Proc) and program.status not in (0, None) and program.pid not in self._reported:
                screen.error(f"{program.name} ended with status {program.exit_text()}{explain(program.logs[0])}")
                well = False
        return well

    # -- Kafka ---------------------------------------------------------------------------------------------------------

    def start_broker(self) -> None:
        if self.options.brokers:
            screen.step("Kafka", f"the one that runs at {self.brokers}")
        elif self.options.embedded:
            told = self._start("mock", [self.program("nodag-mock")])
            self.brokers = dict(text.split("=", 1) for text in told.splitlines())["brokers"]
            screen.step("Kafka", f"not the real one: librdkafka's mock cluster at {self.brokers}, for a first look.")
            screen.detail("Nothing survives a stop, and of each partition only the newest 5 MiB are kept")
        else:
            self._start_kafka()

    def _start_kafka(self) -> None:
        screen.doing("Kafka", "starting Apache Kafka")
        self.kafka = LocalKafka(self.folder.path / "kafka", self.folder.port("kafka"),
                                say=lambda text: screen.step("Kafka", text))
        try:
            self.kafka.start()
        except Failed as failure:
            hint = "" if shutil.which("java") else "\n  or, without Java: deploy/local/up --embedded"
            raise Failed(f"{failure}{hint}") from None
        self.brokers = self.kafka.brokers
        jar = next((distribution.folder() / "lib").glob("kafka_2.*.jar")).stem
        screen.step("Kafka", f"Apache Kafka {jar.rpartition('-')[2]} (KRaft, one node) at {self.brokers}")

    def create_topics(self) -> None:
        """Those that are missing. The mock has all from its start, and knows no CreateTopics."""
        screen.doing("Topics", "creating")
        said = "" if self.options.embedded else self.command("topics", "create", *self.kafka_options())
        created = sum(" created" in text for text in said.splitlines())
        screen.step("Topics", f"{created} created; `nodag topics list` shows them" if created else "are there")

    # -- the sandbox ---------------------------------------------------------------------------------------------------

    def start_sandbox(self) -> Sandbox:
        screen.doing("Forge", "starting the sandbox")
        state = self.folder.path / "sandbox.json"
        if not state.exists():
            first = {"format": 1, "counters": {"repo": random.SystemRandom().randrange(REPOSITORY_IDS)}}
            state.write_text(json.dumps(first), encoding="utf-8")
        url = self._start("sandbox", [sys.executable, self.root / "deploy" / "sandbox" / "forge.py", "--port",
                                      self.folder.port("sandbox"), "--state", state])
        self.sandbox = Sandbox(url.strip())
        screen.step("Forge", f"a sandbox that behaves as GitHub does, at {self.sandbox.url}/")
        return self.sandbox

    def start_door(self, organisation: str) -> None:
        """The GitHub door for the sandbox's webhooks."""
        screen.doing("Door", "starting nodag-ingest-github")
        path = self.folder.path / "secrets.yaml"
        path.write_text(SECRETS.format(file=json.dumps(str(self.folder.secret("webhook"))), organisation=organisation),
                        encoding="utf-8")
        port = self.folder.port("door")
        told = self._start_daemon("ingest-github", "--secrets", path, "--listen", f"127.0.0.1:{port}")
        self.door_url = f"http://127.0.0.1:{told['port']}/webhooks/github"
        screen.step("Door", f"nodag-ingest-github takes signed webhooks at {self.door_url}")

    # -- the left half: desired state, the data set, training ------------------------------------------------------------

    def start_ingest_git(self, repositories: Path) -> None:
        """The git door for the repositories and sources of that file."""
        screen.doing("Desired", "starting nodag-ingest-git")
        self._start_daemon("ingest-git", "--repositories", repositories, "--state", self.folder.make("mirrors"))

    def start_historian(self, login: str) -> None:
        """`login` is the account under which nodag acts: what it labels is no example."""
        screen.doing("Historian", "starting nodag-historian")
        self._start_daemon("historian", "--login", login)

    def start_trainer(self) -> None:
        screen.doing("Trainer", "starting nodag-trainer")
        self.run_folder.environments.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._start_daemon("trainer", "--runs", self.run_folder.path, "--cache", self.run_folder.environments,
                           "--supervisor", self.program(SUPERVISOR), *self.artefact_options(),
                           env={"NODAG_REQUIREMENTS": str(self.root / "deploy" / "notebooks" / "requirements.txt")})
        screen.step("Trainer", "nodag-trainer keeps true: a fresh model exists")

    def artefact_options(self) -> list[str]:
        """Where versions of models are: for who makes and who uses them."""
        return ["--artefacts", f"file://{self.folder.make('artefacts')}"]

    # -- the labeler ---------------------------------------------------------------------------------------------------

    def labels_with(self, version: str) -> bool:
        """Whether the labeler has taken a version last: its log says so."""
        taken = [entry["version"] for entry in entries(self.folder.logs / "labeler.log")
                 if entry.get("message") == IN_FORCE]
        return taken[-1:] == [version]

    def start_labeler(self, *arguments) -> None:
        screen.doing("Labeler", "starting nodag-labeler")
        self._start_daemon("labeler", *arguments)
        screen.step("Labeler", "nodag-labeler follows github.events")
        for text in complaints(self.folder.logs / "labeler.log"):  # without a model, say, it runs and the issues wait
            screen.detail(screen.yellow(text))

    # -- the real GitHub -----------------------------------------------------------------------------------------------

    def start_door_for_github(self) -> None:
        scopes = [part for pattern in self.options.scope for part in ("--scope", pattern)]
        self._start_daemon("ingest-github", "--listen", self.options.listen, "--secret-file",
                           self.options.webhook_secret_file.resolve(), *scopes)
        self.door_url = f"http://{self.options.listen}/webhooks/github"
        screen.step("Door", f"nodag-ingest-github takes signed webhooks at {self.door_url}")

    def start_labeler_for_github(self) -> None:
        options = self.options
        who = (["--forge-token-file", options.forge_token_file.resolve()] if options.forge_token_file else
               ["--forge-app-id", options.forge_app_id, "--forge-app-key-file", options.forge_app_key_file.resolve()])
        self.start_labeler("--specs", options.specs.resolve(), "--forge-url", options.forge_url, *who)


def entries(log: Path) -> Iterator[dict]:
    """The lines of a daemon's log that are in its own form."""
    for text in log.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(text)


def complaints(log: Path) -> list[str]:
    """What a log says went wrong: its lines of level error, and those that are not in the log's own form (the linker's,
    an assertion's, Python's)."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for text in lines:
        try:
            entry = json.loads(text)
        except ValueError:
            found.append(text)
            continue
        if entry.get("level") == "error":
            said = [str(entry[name]) for name in ("reason", "detail", "error") if entry.get(name)]
            found.append(": ".join([entry.get("message", ""), *said]))
    return found


def explain(log: Path) -> str:
    """Why a program ended, by the last complaints of its log, and where the whole log is."""
    return "\n".join(["", *("  " + text for text in complaints(log)[-COMPLAINTS:]), f"  all of it: {log}"])
