"""Starting, watching and stopping the programs of the local stack.

Design: one method for each program; each returns when the program is ready (its ready file, or its port answers). What must be the same
in the next run (ports, secrets, ids) is in DIR/stack.json.

    DIR/stack.json  kafka/  sandbox.json(.d)  secrets/  secrets.yaml  labeler.yaml  label.model  history.csv  logs/  run/

Invariants: programs are stopped in reverse order, the daemons by SIGTERM so that they drain; secrets are files that only their owner reads.
"""
from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import screen
from kafka import LocalKafka
from proc import Failed, Proc, free_ports, port_is_free, wait_until
from sandbox_api import Sandbox

READY_S = 30.0  # a daemon that is not ready by then is stuck
COMMAND_S = 120.0  # training on thousands of issues takes seconds
WATCH_S = 1.0  # how often a running stack looks whether its programs still run


class Services:
    """The programs of one data folder."""

    def __init__(self, options, root: Path):
        self.options, self.root = options, root
        self.directory = options.dir.resolve()
        self.logs = self.directory / "logs"
        for folder in (self.directory, self.logs, self.directory / "secrets", self.directory / "run"):
            folder.mkdir(parents=True, exist_ok=True)
        os.chmod(self.directory / "secrets", 0o700)
        self.memory = self._recall()
        self.brokers = options.brokers or ""
        self.kafka: LocalKafka | None = None
        self.sandbox: Sandbox | None = None
        self.door_url = ""
        self.admin_ports: dict[str, str] = {}
        self._running: list[Proc] = []

    # -- memory ------------------------------------------------------------------------------------------------------

    def _recall(self) -> dict:
        path = self.directory / "stack.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            path.write_text("{}\n", encoding="utf-8")
            return {}
        except ValueError:
            raise Failed(f"{path} is damaged; start over with --fresh") from None

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

    def secret_file(self, name: str, content: str | None = None) -> Path:
        """A file under secrets/, made with `content` or 32 random bytes if it is not there yet."""
        path = self.directory / "secrets" / name
        if content is not None or not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(content or secrets.token_hex(32))
        return path

    # -- programs ----------------------------------------------------------------------------------------------------

    def program(self, name: str) -> Path:
        return self.root / "build" / "release" / "bin" / name

    def command(self, *arguments, echo: bool = False) -> str:
        """Runs a nodag command to its end and returns its output; Failed with what it said otherwise."""
        argv = [str(self.program("nodag")), *map(str, arguments)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Failed(f"`nodag {' '.join(map(str, arguments))}` failed with status {done.returncode}:\n{done.stderr or done.stdout}")
        if echo:
            for text in done.stdout.splitlines():
                screen.line(text)
        return done.stdout

    def _start(self, name: str, argv: list, ready: Path) -> dict[str, str]:
        """Starts a program and waits for its ready file; returns the file's name=value lines."""
        ready.unlink(missing_ok=True)
        proc = Proc.start([str(part) for part in argv], self.logs / f"{name}.log", name=name)
        self._running.append(proc)
        wait_until(ready.exists, READY_S, f"{name} to be ready", proc)
        lines = ready.read_text(encoding="utf-8").splitlines()
        return dict(text.split("=", 1) for text in lines if "=" in text)

    def _start_daemon(self, name: str, *arguments) -> dict[str, str]:
        ready = self.directory / "run" / f"{name}.ready"
        told = self._start(name, [self.program(f"nodag-{name}"), "--brokers", self.brokers, "--admin-address", "127.0.0.1:0",
                                  "--ready-file", ready, "--kafka-properties", self._kafka_properties(), *arguments], ready)
        self.admin_ports[name] = told["admin_port"]
        return told

    def _kafka_properties(self) -> Path:
        path = self.directory / "kafka.properties"
        path.write_text("# Properties of librdkafka for this stack: the broker listens on IPv4 only.\nbroker.address.family=v4\n",
                        encoding="utf-8")
        return path

    def start_broker(self) -> None:
        if self.options.brokers:
            screen.step(f"Using the Kafka at {self.brokers}")
        elif self.options.embedded:
            screen.step("Starting the embedded broker")
            ready = self.directory / "run" / "mock.ready"
            told = self._start("mock", [self.program("nodag-mock"), "--ready-file", ready], ready)
            self.brokers = told["brokers"]
            screen.line("it is librdkafka's mock cluster, for a first look and for fault tests: nothing survives a stop, and only the")
            screen.line("newest few megabytes of a partition are kept")
        else:
            screen.step("Starting Apache Kafka (KRaft, one node)")
            self.kafka = LocalKafka(self.directory / "kafka", say=screen.line)
            self.kafka.start()
            self.brokers = self.kafka.brokers
            screen.line(f"serving at {self.brokers}, data in {os.path.relpath(self.directory / 'kafka')}")

    def create_topics(self) -> None:
        if self.options.embedded:
            return  # the mock has them from its start; it knows no CreateTopics
        screen.step("Creating topics")
        self.command("topics", "create", "--brokers", self.brokers, "--kafka-properties", self._kafka_properties(), "--replication", "1")

    def start_sandbox(self) -> Sandbox:
        screen.step("Starting the sandbox forge, a GitHub for this machine")
        ready = self.directory / "run" / "sandbox.ready"
        argv = [sys.executable, self.root / "deploy" / "sandbox" / "forge.py", "--port", self.port("sandbox"), "--ready-file", ready]
        if not self.options.embedded:
            argv += ["--state", self.directory / "sandbox.json"]
        self._start("sandbox", argv, ready)
        self.sandbox = Sandbox(ready.read_text(encoding="utf-8").strip())
        screen.line(f"its pages: {self.sandbox.url}/")
        return self.sandbox

    def start_door(self, organisation: str) -> None:
        """The GitHub door for the sandbox's webhooks."""
        screen.step("Starting nodag-ingest-github, the door for webhooks")
        self.secret_file("webhook")
        path = self.directory / "secrets.yaml"
        path.write_text("# Which secret signs whose webhooks.\nsecrets:\n  - id: local\n    file: secrets/webhook\n"
                        f"    organisations: [{organisation}]\n", encoding="utf-8")
        told = self._start_daemon("ingest-github", "--listen", f"127.0.0.1:{self.port('door')}", "--secrets", path)
        self.door_url = f"http://127.0.0.1:{told['port']}/webhooks/github"
        screen.line(f"listening at {self.door_url}")

    def start_labeler(self, *arguments) -> None:
        screen.step("Starting nodag-labeler")
        self._start_daemon("labeler", *arguments)
        screen.line("ready: it has joined the topic and read its tables")

    # -- the real GitHub ---------------------------------------------------------------------------------------------

    def start_door_for_github(self) -> None:
        screen.step("Starting nodag-ingest-github")
        scopes = [part for pattern in self.options.scope for part in ("--scope", pattern)]
        self._start_daemon("ingest-github", "--listen", self.options.listen, "--secret-file",
                           self.options.webhook_secret_file.resolve(), *scopes)

    def start_labeler_for_github(self) -> None:
        who = ["--forge-token-file", self.options.forge_token_file.resolve()] if self.options.forge_token_file else [
            "--forge-app-id", self.options.forge_app_id, "--forge-app-key-file", self.options.forge_app_key_file.resolve()]
        self.start_labeler("--document", self.options.document.resolve(), "--forge-url", self.options.forge_url, *who)

    # -- the end -----------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Returns never, unless a program ends by itself: then Failed."""
        while True:
            for proc in self._running:
                if not proc.alive():
                    raise Failed(f"{proc.name} ended by itself with status {proc.exit_text()}\n{proc.tail()}")
            if self.kafka and not self.kafka.alive():
                raise Failed(f"Kafka ended by itself; its log is {self.kafka.log}")
            self._running[0].wait(WATCH_S)

    def stop(self) -> bool:
        """Stops everything, newest first. False if something had to be killed or ended badly."""
        screen.step("Stopping")
        well = True
        for proc in reversed(self._running):
            try:
                proc.stop()
                if proc.status not in (0, None):
                    screen.error(f"{proc.name} ended with status {proc.exit_text()}\n{proc.tail()}")
                    well = False
            except Failed as failure:
                screen.error(str(failure))
                well = False
        if self.kafka:
            try:
                self.kafka.stop()
            except Failed as failure:
                screen.error(str(failure))
                well = False
        return well
