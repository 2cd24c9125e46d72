"""Starting, watching and stopping the programs of the local stack.

Design: one method for each program; each returns when the program is ready (its ready file, or its port answers). What must be
the same in the next run (ports, ids, whose data this is) is in stack.json.

    DIR/sandbox/   stack.json  kafka/  sandbox.json(.d)  secrets/  secrets.yaml  labeler.yaml  history.csv  label.model  logs/  run/
    DIR/embedded/  the same for --embedded, thrown away at each start: its broker keeps nothing either
    DIR/github/    the same for --github

Invariants: one `up` at a time for such a folder (lock); programs are stopped in reverse order, by SIGTERM, so that they drain;
secrets are files that only their owner reads; what listens, listens on 127.0.0.1.
"""
from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import distribution
import screen
from kafka import LocalKafka
from proc import Failed, Proc, free_ports, port_is_free, wait_until
from sandbox_api import Sandbox

READY_S = 60.0  # a daemon takes less than a second; on a busy machine a multiple
COMMAND_S = 300.0  # training on thousands of issues takes seconds
DRAIN_S = 15  # what daemons are given to drain: below proc.STOP_S, so that they end by themselves
KEY_BITS = 2048  # of the sandbox App's key, as GitHub makes them
REPOSITORY_IDS = 1 << 30  # first repository ids of a new world lie below: a Kafka that outlives it never sees one twice
COMPLAINTS = 3  # lines of a daemon's log in an error message


class Services:
    """The programs of one data folder. `options` are stack.py's, `root` is the checkout."""

    def __init__(self, options, root: Path):
        self.options, self.root = options, root
        self.directory = options.dir.resolve() / mode_name(options)
        self.logs = self.directory / "logs"
        self._lock = self._take_folder()
        for folder in (self.logs, self.directory / "secrets", self.directory / "run"):
            folder.mkdir(parents=True, exist_ok=True)
        os.chmod(self.directory / "secrets", 0o700)
        self.memory = self._recall()
        self.brokers = options.brokers or ""
        self.kafka: LocalKafka | None = None
        self.sandbox: Sandbox | None = None
        self.door_url = ""
        self.admin_ports: dict[str, str] = {}
        self._running: list[Proc] = []
        self._reported: set[int] = set()  # pids whose bad end was told already

    # -- the folder and what it remembers ------------------------------------------------------------------------------

    def _take_folder(self):
        """The open lock file; removes earlier data first where that is asked for."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = open(self.directory / ".lock", "w", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"another `up` runs on {self.directory}: stop it (Ctrl-C there), or take another --dir") from None
        old = [path for path in self.directory.iterdir() if path.name != ".lock"]
        if not old or not (self.options.fresh or self.options.embedded):
            return lock
        if not (self.directory / "stack.json").exists():
            raise Failed(f"{self.directory} does not look like a data folder of `up` (it has no stack.json), and is not "
                         "removed; do it by hand, or take another --dir")
        for path in old:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return lock

    def _recall(self) -> dict:
        path = self.directory / "stack.json"
        try:
            memory = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            memory = {}
        except ValueError:
            raise Failed(f"{path} is damaged; start over with --fresh") from None
        world = {"kafka": self.options.brokers or "its own",
                 "history": str(self.options.issues.resolve()) if self.options.issues else "the generator"}
        for name, value in world.items():
            if memory.get(name, value) != value:
                raise Failed(f"the data in {self.directory} belongs to another {name} ({memory[name]}, now {value}): take "
                             "another --dir, or start over with --fresh")
        self.memory = memory
        self.remember(**world)
        return self.memory

    def remember(self, **values) -> None:
        self.memory |= values
        part = self.directory / "stack.json.part"
        part.write_text(json.dumps(self.memory, indent=2) + "\n", encoding="utf-8")
        part.rename(self.directory / "stack.json")

    def port(self, name: str) -> int:
        """The port of the last run if it is still free, else another one."""
        key = f"{name}_port"
        if not self.memory.get(key) or not port_is_free(self.memory[key]):
            self.remember(**{key: free_ports(1)[0]})
        return self.memory[key]

    def secret_file(self, name: str) -> Path:
        """A file under secrets/ with 32 random bytes, made when it is not there yet."""
        path = self.directory / "secrets" / name
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32))
        return path

    def key_pair(self, name: str) -> tuple[Path, str]:
        """The file of a private RSA key under secrets/, made when it is not there yet, and the public key (PEM)."""
        path = self.directory / "secrets" / name
        if not path.exists():
            part = path.with_suffix(".part")
            run_openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{KEY_BITS}", "-out", part)
            os.chmod(part, 0o600)
            part.rename(path)
        return path, run_openssl("pkey", "-in", path, "-pubout")

    def shown(self, path: Path) -> str:
        """A path as short as it can be written here."""
        relative = os.path.relpath(path)
        return relative if not relative.startswith("../..") else str(path)

    # -- running programs ----------------------------------------------------------------------------------------------

    def program(self, name: str) -> Path:
        """An executable of nodag: in $NODAG_BIN, else as `up` built it."""
        folder = Path(os.environ.get("NODAG_BIN") or self.root / "build" / "release" / "bin")
        path = folder / name
        if not path.exists():
            raise Failed(f"{path} is not there: `deploy/local/up` builds it (and NODAG_BIN names the folder of another build)")
        return path

    def command(self, *arguments) -> str:
        """Runs a nodag command to its end and returns its output. Failed, with what it said, when it fails."""
        argv = [str(self.program("nodag")), *map(str, arguments)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=COMMAND_S,
                                  stdin=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"`nodag {' '.join(argv[1:])}` took more than {COMMAND_S:g} s") from None
        if done.returncode != 0:
            raise Failed(f"`nodag {' '.join(argv[1:])}` failed with status {done.returncode}:\n{done.stderr or done.stdout}")
        return done.stdout

    def _start(self, name: str, argv: list, ready: Path) -> str:
        """Starts a program and waits for its ready file; returns what that says."""
        ready.unlink(missing_ok=True)
        log = self.logs / f"{name}.log"
        if log.exists():  # the complaints of an earlier run must not be taken for this one's
            log.rename(log.with_name(log.name + ".before"))
        proc = Proc.start([str(part) for part in argv], log, name=name)
        self._running.append(proc)
        wait_until(lambda: ready.exists() or self.check(), READY_S, f"{name} to be ready", proc)
        return ready.read_text(encoding="utf-8")

    def _start_daemon(self, name: str, *arguments) -> dict[str, str]:
        ready = self.directory / "run" / f"{name}.ready"
        told = self._start(name, [self.program(f"nodag-{name}"), *self.kafka_options(), "--admin-address", "127.0.0.1:0",
                                  "--ready-file", ready, "--drain-timeout", f"{DRAIN_S}s", *arguments], ready)
        values = dict(text.split("=", 1) for text in told.splitlines())
        self.admin_ports[name] = values["admin_port"]
        return values

    def kafka_options(self) -> list[str]:
        """What every program that talks to Kafka is given."""
        path = self.directory / "kafka.properties"
        if self.options.brokers:
            path.write_text("# librdkafka properties of this stack: TLS, SASL and the like go here.\n", encoding="utf-8")
        else:
            path.write_text("# librdkafka properties of this stack: the broker listens on IPv4 only.\n"
                            "broker.address.family=v4\n", encoding="utf-8")
        return ["--brokers", self.brokers, "--kafka-properties", str(path)]

    def check(self) -> None:
        """Raises Failed when a program has ended by itself, with its own last complaint."""
        for proc in self._running:
            if not proc.alive():
                self._reported.add(proc.pid)
                raise Failed(f"{proc.name} ended by itself with status {proc.exit_text()}{explain(proc.logs[0])}")
        if self.kafka and not self.kafka.alive():
            raise Failed(f"Kafka ended by itself; its log is {self.kafka.log}")

    def stop(self) -> bool:
        """Stops everything, newest first. False if something had to be killed or ended badly."""
        well = True
        for proc in reversed(self._running):
            screen.doing("Stopping", proc.name)
            try:
                proc.stop()
                if proc.status not in (0, None) and proc.pid not in self._reported:
                    screen.error(f"{proc.name} ended with status {proc.exit_text()}{explain(proc.logs[0])}")
                    well = False
            except Failed as failure:
                screen.error(str(failure))
                well = False
        if self.kafka:
            screen.doing("Stopping", "Kafka")
            try:
                self.kafka.stop()
            except Failed as failure:
                screen.error(str(failure))
                well = False
        return well

    # -- the programs --------------------------------------------------------------------------------------------------

    def start_broker(self) -> None:
        if self.options.brokers:
            screen.step("Kafka", f"the one that runs at {self.brokers}")
        elif self.options.embedded:
            self._start_mock()
        else:
            self._start_kafka()

    def _start_mock(self) -> None:
        ready = self.directory / "run" / "mock.ready"
        told = self._start("mock", [self.program("nodag-mock"), "--ready-file", ready], ready)
        self.brokers = dict(text.split("=", 1) for text in told.splitlines())["brokers"]
        screen.step("Kafka", f"not the real one: librdkafka's mock cluster at {self.brokers}, for a first look and fault tests.")
        screen.detail("Nothing survives a stop, and only the newest few megabytes of a partition are kept.")

    def _start_kafka(self) -> None:
        screen.doing("Kafka", "starting Apache Kafka")
        self.kafka = LocalKafka(self.directory / "kafka", self.port("kafka"), say=lambda text: screen.step("Kafka", text))
        self.kafka.start()
        self.brokers = self.kafka.brokers
        jar = next((distribution.folder() / "lib").glob("kafka_2.*.jar")).stem
        screen.step("Kafka", f"Apache Kafka {jar.rpartition('-')[2]} (KRaft, one node) at {self.brokers}")

    def create_topics(self) -> None:
        """Those that are missing. The mock has all from its start, and knows no CreateTopics."""
        screen.doing("Topics", "creating")
        said = "" if self.options.embedded else self.command("topics", "create", *self.kafka_options())
        created = sum(" created" in text for text in said.splitlines())
        screen.step("Topics", f"{created} created; `nodag topics list` shows them" if created else "are there")

    def start_sandbox(self) -> Sandbox:
        screen.doing("Forge", "starting the sandbox")
        ready = self.directory / "run" / "sandbox.ready"
        state = self.directory / "sandbox.json"
        if not state.exists():
            first = {"format": 1, "counters": {"repo": random.SystemRandom().randrange(REPOSITORY_IDS)}}
            state.write_text(json.dumps(first), encoding="utf-8")
        url = self._start("sandbox", [sys.executable, self.root / "deploy" / "sandbox" / "forge.py", "--port",
                                      self.port("sandbox"), "--ready-file", ready, "--state", state], ready)
        self.sandbox = Sandbox(url.strip())
        screen.step("Forge", f"a sandbox that behaves as GitHub does, at {self.sandbox.url}/")
        return self.sandbox

    def start_door(self, organisation: str) -> None:
        """The GitHub door for the sandbox's webhooks."""
        screen.doing("Door", "starting nodag-ingest-github")
        self.secret_file("webhook")
        path = self.directory / "secrets.yaml"
        path.write_text("# Which secret signs whose webhooks. Edit it: the door notices.\nsecrets:\n  - id: local\n"
                        f"    file: {json.dumps(str(self.directory / 'secrets' / 'webhook'))}\n"
                        f"    organisations: [{organisation}]\n", encoding="utf-8")
        told = self._start_daemon("ingest-github", "--listen", f"127.0.0.1:{self.port('door')}", "--secrets", path)
        self.door_url = f"http://127.0.0.1:{told['port']}/webhooks/github"
        screen.step("Door", f"nodag-ingest-github takes signed webhooks at {self.door_url}")

    def start_labeler(self, *arguments) -> None:
        screen.doing("Labeler", "starting nodag-labeler")
        self._start_daemon("labeler", *arguments)
        screen.step("Labeler", "nodag-labeler follows github.events")
        for text in complaints(self.logs / "labeler.log"):  # it goes on without a model, for example, and its issues wait
            screen.detail(screen.yellow(text))

    # -- the real GitHub -----------------------------------------------------------------------------------------------

    def start_door_for_github(self) -> None:
        scopes = [part for pattern in self.options.scope for part in ("--scope", pattern)]
        self._start_daemon("ingest-github", "--listen", self.options.listen, "--secret-file",
                           self.options.webhook_secret_file.resolve(), *scopes)
        screen.step("Door", f"nodag-ingest-github takes signed webhooks at http://{self.options.listen}/webhooks/github")

    def start_labeler_for_github(self) -> None:
        who = ["--forge-token-file", self.options.forge_token_file.resolve()] if self.options.forge_token_file else [
            "--forge-app-id", self.options.forge_app_id, "--forge-app-key-file", self.options.forge_app_key_file.resolve()]
        self.start_labeler("--document", self.options.document.resolve(), "--forge-url", self.options.forge_url, *who)


def mode_name(options) -> str:
    """The data folder of such a run, below --dir."""
    return "embedded" if options.embedded else "github" if options.github else "sandbox"


def run_openssl(*arguments) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise Failed(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def complaints(log: Path) -> list[str]:
    """What a log says went wrong: its lines of level error, and those that are not in the log's own form (the linker's, an
    assertion's, Python's)."""
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
