#!/usr/bin/env python3
"""One Apache Kafka (KRaft, a single node) on 127.0.0.1, for the local stack and the integration tests.

    kafka.py start --dir DIR [--port N] [--set KEY=VALUE]…   start it, or find it running; prints 127.0.0.1:PORT
    kafka.py run   --dir DIR [--port N] [--set KEY=VALUE]…   the same in the foreground, until SIGTERM or Ctrl-C
    kafka.py stop  --dir DIR [--kill]                        stop it (SIGTERM), or kill it as a crash would (SIGKILL)
    kafka.py status --dir DIR                                prints 127.0.0.1:PORT and exits 0 while it serves
    kafka.py resolve                                         only fetch what it needs into the cache
    kafka.py pin                                             rewrite checksums.sha256 after a change of pom.xml

From Python: `with LocalKafka(folder) as kafka: … kafka.brokers …`; see the class.

Everything of one instance is in DIR: `data/` (the log directory), `kafka.log` (Kafka's own log), `kafka.out` (what the
Java machine printed), `server.properties`, and `kafka.json` (ports, cluster id, pid). A second start on the same DIR
keeps data and port. Ready means that the broker itself has said so (probe.py), not that time has passed.

Invariants: one broker for each DIR (lock); only processes that were started from DIR are signalled, known by pid and
start time; nothing listens on anything but 127.0.0.1.
"""
from __future__ import annotations

import argparse
import base64
import json
import shutil
import signal
import sys
import tempfile
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
import distribution  # noqa: E402
from probe import ask_cluster  # noqa: E402
from proc import Failed, Proc, free_ports, port_is_free, start_ticks, wait_until  # noqa: E402

START_S = 60.0  # 2 s when nothing else runs; a busy machine with two cores takes a multiple.
STOP_S = 20.0
FORMAT_S = 60.0
PORT_TRIES = 3  # Between choosing a free port and binding it another process may take it.
COMPLAINTS = 5  # Lines of Kafka's own log in an error message: the first ones name the cause.
HEAP_MIB = 512
MESSAGE_MAX_BYTES = 29 << 20  # The largest that a topic of nodag allows (dead.letters); the topics set their own.
CLEANER_BUFFER_BYTES = 16 << 20  # Kafka's 128 MiB would be a quarter of the heap.
SESSION_MS = 3000  # After kill -9 the broker may register again only when its old session has ended (default 9 s).

# What differs from Kafka's defaults, and why.
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",  # a misspelt topic must be an error
    "default.replication.factor": "1",  # there is one node
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",  # the first member need not wait for others
    "message.max.bytes": str(MESSAGE_MAX_BYTES),
    "replica.fetch.max.bytes": str(MESSAGE_MAX_BYTES),
    "log.cleaner.dedupe.buffer.size": str(CLEANER_BUFFER_BYTES),
    "broker.heartbeat.interval.ms": str(SESSION_MS // 6),
    "broker.session.timeout.ms": str(SESSION_MS),
    "num.network.threads": "2",  # a small machine
    "num.io.threads": "4",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "1",
    "group.coordinator.threads": "1",
}

# Serial collector and the first compiler only: both start faster, and no test is bound by the broker's speed.
JAVA_FLAGS = [f"-Xmx{HEAP_MIB}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto",
              "-Xlog:disable", "-Xlog:all=error:stderr", "-Djava.awt.headless=true",
              "-Djava.net.preferIPv4Stack=true", f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}"]


def say_nothing(text: str) -> None:
    """The default for `say`."""


class LocalKafka:
    """A broker whose whole state is in `directory`.

    `port` 0: the port of the last start of this directory, else a free one. `properties`: more broker settings, over
    PROPERTIES. `java_flags`: instead of JAVA_FLAGS. `detach`: it outlives this process (the command line's `start`);
    else the kernel ends it with the thread that started it. `say` is told of what takes time. Not for use by several
    threads.
    """

    def __init__(self, directory, port: int = 0, *, properties: dict | None = None, detach: bool = False,
                 java_flags: list[str] = JAVA_FLAGS, say=say_nothing):
        self.directory = Path(directory).resolve()
        self.port = port
        self.log = self.directory / "kafka.log"
        self._properties = {**PROPERTIES, **(properties or {})}
        self._java_flags, self._detach, self._say = java_flags, detach, say
        self._state_file = self.directory / "kafka.json"
        self._state = self._read_state()
        self._proc = self._adopt()
        if self._proc or not port:
            self.port = self._state.get("port", port)

    # -- what it offers ------------------------------------------------------------------------------------------

    @property
    def brokers(self) -> str:
        """For bootstrap.servers."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._proc.pid if self._proc else None

    def alive(self) -> bool:
        return self._proc is not None and self._proc.alive()

    def serves(self) -> bool:
        """Whether clients can use it now."""
        return self.alive() and ask_cluster(self.port) == self._state["cluster"]

    def start(self, timeout_s: float = START_S) -> "LocalKafka":
        """Returns when it serves. On data of an earlier run: that data, and the port of then. Running: no harm.

        Raises Failed, with the end of Kafka's log, when it does not serve within `timeout_s`.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with distribution.locked(self.directory / ".lock"):
            self._state = self._read_state()
            self._proc = self._adopt() or self._proc
            if not self.alive():
                self._start_new(timeout_s)
        wait_until(self.serves, timeout_s, "Kafka to serve", self._proc)
        return self

    def stop(self, timeout_s: float = STOP_S) -> None:
        """SIGTERM; returns when it is gone. Raises Failed when only SIGKILL could end it."""
        if self._proc:
            self._proc.stop(timeout_s)

    def kill(self) -> None:
        """SIGKILL, as a crash; returns when it is gone."""
        if self._proc:
            self._proc.kill()

    def restart(self) -> "LocalKafka":
        self.stop()
        return self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers, as with a broker that hangs."""
        self._proc.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._proc.signal(signal.SIGCONT)

    def wait(self, timeout_s: float) -> bool:
        """Waits for its exit; True when it has exited."""
        return self._proc is None or self._proc.wait(timeout_s)

    def __enter__(self) -> "LocalKafka":
        return self.start()

    def __exit__(self, *exception) -> None:
        self.stop()

    # -- how -----------------------------------------------------------------------------------------------------

    def _read_state(self) -> dict:
        try:
            return json.loads(self._state_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise Failed(f"{self._state_file} is damaged; remove {self.directory} to start over") from None

    def _logs(self) -> list[Path]:
        return [self.directory / "kafka.out", self.log]

    def _adopt(self) -> Proc | None:
        """The broker of this directory that another process started, if it still runs."""
        if "pid" not in self._state:
            return None
        return Proc.adopt("Kafka", self._state["pid"], self._state["ticks"], self._logs())

    def _start_new(self, timeout_s: float) -> None:
        """Starts the broker and waits until it serves, with other ports where somebody took the chosen ones."""
        java, lib, archive = prepare(self._say)
        chosen = bool(self.port)
        if chosen and not port_is_free(self.port):
            raise self._port_is_taken()
        for attempt in range(PORT_TRIES):
            self._choose_ports(chosen)
            self._write_properties()
            self._format(java, lib, archive)
            self._launch(java, lib, archive)
            try:
                wait_until(self.serves, timeout_s, "it served", self._proc)
                return
            except Failed as failure:
                self.kill()
                log = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
                if "BindException" not in log:
                    raise self._describe(failure, log) from None
                if chosen and not port_is_free(self.port):
                    raise self._port_is_taken() from None
                if attempt + 1 == PORT_TRIES:
                    raise self._describe(failure, log) from None
            except KeyboardInterrupt:
                self.kill()  # also where it was to outlive us: nobody would know of it
                raise

    def _port_is_taken(self) -> Failed:
        return Failed(f"port {self.port} of 127.0.0.1 is taken by another program: stop that, choose another with "
                      f"--port, or remove {self.directory} to start over")

    def _describe(self, failure: Failed, log: str) -> Failed:
        """The failure with Kafka's own complaints, which are rarely at the end of its log."""
        complaints = [line for line in log.splitlines() if " ERROR " in line or " FATAL " in line][:COMPLAINTS]
        if not complaints:
            return failure
        return Failed("\n".join([str(failure).splitlines()[0], f"  errors in {self.log}:",
                                 *("    " + line for line in complaints)]))

    def _choose_ports(self, keep: bool = False) -> None:
        """The broker's port stays the same over restarts (clients know it); the controller's is nobody's business."""
        broker, controller = free_ports(2)
        self.port = self.port if keep else broker
        self._state = {"cluster": self._find_cluster_id(), "port": self.port, "controller_port": controller}

    def _find_cluster_id(self) -> str:
        """The one that the data belongs to; a new one where there is no data yet."""
        try:
            lines = (self.directory / "data" / "meta.properties").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return new_cluster_id()
        return dict(line.split("=", 1) for line in lines if "=" in line)["cluster.id"]

    def _write_properties(self) -> None:
        controller = f"127.0.0.1:{self._state['controller_port']}"
        settings = {**self._properties,
                    "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://{controller}",
                    "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
                    "controller.quorum.voters": f"1@{controller}",
                    "log.dirs": str(self.directory / "data")}
        lines = ["# Written by kafka.py at each start: change it there, or use --set."]
        lines += [f"{key}={value}" for key, value in sorted(settings.items())]
        (self.directory / "server.properties").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _java(self, java: str, lib: Path, flags: list[str]) -> list[str]:
        return [java, *self._java_flags, *flags, f"-Dnodag.kafka.log={self.log}", "-cp", distribution.class_path(lib)]

    def _format(self, java: str, lib: Path, archive: Path) -> None:
        """Writes the cluster id into an empty data directory; leaves one with data alone."""
        if (self.directory / "data" / "meta.properties").exists():
            return
        command = [*self._java(java, lib, archive_flags(archive)), "kafka.tools.StorageTool", "format",
                   "--cluster-id", self._state["cluster"], "--config", str(self.directory / "server.properties")]
        tool = Proc.start(command, self.directory / "kafka.out", name="StorageTool", more_logs=[self.log])
        if not tool.wait(FORMAT_S):
            tool.kill()
        if tool.status != 0:
            raise Failed(f"formatting {self.directory / 'data'} failed\n{tool.tail()}")

    def _launch(self, java: str, lib: Path, archive: Path) -> None:
        command = [*self._java(java, lib, archive_flags(archive)), "kafka.Kafka",
                   str(self.directory / "server.properties")]
        for log in self._logs():  # the messages of an earlier run must not be taken for this one's
            if log.exists():
                log.rename(log.with_name(log.name + ".before"))
        self._proc = Proc.start(command, self._logs()[0], name="Kafka", detach=self._detach, more_logs=[self.log])
        self._state |= {"pid": self._proc.pid, "ticks": start_ticks(self._proc.pid)}
        self._state_file.write_text(json.dumps(self._state) + "\n", encoding="utf-8")


def new_cluster_id() -> str:
    """A random UUID in the form that Kafka writes: URL-safe base64, which must not begin with a dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def archive_flags(archive: Path) -> list[str]:
    return [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []


def prepare(say=say_nothing) -> tuple[str, Path, Path]:
    """Java, the verified jars and the class-data archive, each made first where it is missing."""
    java = distribution.need("java", "default-jre-headless")
    lib = distribution.resolve(say)
    archive = distribution.archive_path(lib, java)
    if not archive.exists():
        with distribution.locked(archive.with_suffix(".lock")):
            if not archive.exists():
                say("preparing Kafka to start faster (once)")
                train(java, lib, archive)
    return java, lib, archive


def train(java: str, lib: Path, archive: Path) -> None:
    """Runs a broker once to record the classes that it loads; without the archive all works, only slower."""
    with tempfile.TemporaryDirectory() as folder:
        broker = LocalKafka(folder)
        part = Path(folder) / "part.jsa"
        broker._choose_ports()
        broker._write_properties()
        broker._format(java, lib, archive)
        command = [*broker._java(java, lib, [f"-XX:ArchiveClassesAtExit={part}"]), "kafka.Kafka",
                   str(broker.directory / "server.properties")]
        broker._proc = Proc.start(command, broker._logs()[0], name="Kafka", more_logs=[broker.log])
        try:
            wait_until(broker.serves, START_S, "it served", broker._proc)
            broker.stop(START_S)
        except Failed:
            broker.kill()
            raise
        if part.exists():
            shutil.move(part, archive.with_suffix(".part"))
            archive.with_suffix(".part").rename(archive)


# -- the command line --------------------------------------------------------------------------------------------------


def say_on_stderr(text: str) -> None:
    print(f"kafka: {text}", file=sys.stderr, flush=True)


def split_setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"'{text}' is not KEY=VALUE")
    return key, value


def read_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kafka.py", description=__doc__.split("\n\n", 1)[0],
                                     epilog="The jars are kept in $NODAG_CACHE, default ~/.cache/nodag.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (("start", "start it, or find it running; prints 127.0.0.1:PORT"),
                       ("run", "the same in the foreground, until SIGTERM or Ctrl-C")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--dir", required=True, metavar="DIR", help="everything of this instance is kept there")
        command.add_argument("--port", type=int, default=0, metavar="N",
                             help="default: the port of the last start, else a free one")
        command.add_argument("--set", type=split_setting, action="append", default=[], metavar="KEY=VALUE",
                             help="a broker setting; may be repeated")
        command.add_argument("--timeout", type=float, default=START_S, metavar="SECONDS",
                             help="how long it may take until it serves (default %(default)g)")
    command = commands.add_parser("stop", help="stop it; no harm when it does not run")
    command.add_argument("--dir", required=True, metavar="DIR")
    command.add_argument("--kill", action="store_true", help="SIGKILL instead of SIGTERM: a crash")
    command = commands.add_parser("status", help="prints 127.0.0.1:PORT and exits 0 while it serves, else exits 1")
    command.add_argument("--dir", required=True, metavar="DIR")
    commands.add_parser("resolve", help="only fetch what it needs into the cache")
    commands.add_parser("pin", help="rewrite checksums.sha256 after a change of pom.xml")
    return parser.parse_args(argv)


def start_command(options: argparse.Namespace) -> int:
    foreground = options.command == "run"
    broker = LocalKafka(options.dir, options.port, properties=dict(options.set), detach=not foreground,
                        say=say_on_stderr)
    was_alive = broker.alive()
    if was_alive and options.port not in (0, broker.port):
        raise Failed(f"the Kafka of {broker.directory} already runs, on port {broker.port}: stop it first")
    if foreground and was_alive:
        raise Failed(f"the Kafka of {broker.directory} already runs (pid {broker.pid}): stop it first")
    broker.start(options.timeout)
    print(broker.brokers, flush=True)
    if not foreground:
        return 0
    try:
        while not broker.wait(3600):
            pass
    except KeyboardInterrupt:
        broker.stop()
        return 0
    raise Failed("Kafka exited by itself; see " + str(broker.log))


def main(argv: list[str]) -> int:
    options = read_arguments(argv)
    if options.command in ("start", "run"):
        return start_command(options)
    if options.command == "resolve":
        print(prepare(say_on_stderr)[1])
    elif options.command == "pin":
        print(f"pinned {distribution.pin()} jars in {distribution.CHECKSUMS}")
    elif options.command == "stop":
        broker = LocalKafka(options.dir)
        if options.kill:
            broker.kill()
        else:
            broker.stop()
    else:
        broker = LocalKafka(options.dir)
        if not broker.serves():
            say_on_stderr(f"the Kafka of {broker.directory} " + ("does not serve yet" if broker.alive() else "is down"))
            return 1
        print(broker.brokers)
    return 0


def interrupt(number, frame) -> None:
    """SIGTERM ends `run` as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as failure:
        say_on_stderr(str(failure))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
