"""One daemon under test: started with a ready file, asked over its admin port, ended by SIGTERM or SIGKILL.

Design: built on deploy/local/lib/proc.py. Everything of one daemon is in its folder: `log` (all that it printed, over
restarts) and `ready`. The admin server gets a free port, so that tests need not choose any.

Invariants: ready means that the daemon wrote its ready file; a sanitizer's report anywhere in the log is a failure,
whenever the log is looked at; end() leaves no process behind.
"""
from __future__ import annotations

import http.client
import re
import signal
import subprocess
from pathlib import Path

from proc import Proc, wait_until

READY_S = 60  # With sanitizers on a busy machine; half a second is usual.
STOP_S = 40  # Drain timeout and the wait for librdkafka's threads, with sanitizers.
ADMIN_S = 10  # For one answer of the admin port.
PROGRAM_S = 120  # For a command that runs to its end.
SANITIZER = re.compile(rb"(ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer|Assertion .* failed)")


def run_program(command: list, status: int = 0, env: dict | None = None) -> subprocess.CompletedProcess:
    """Runs a command to its end and returns what it printed; asserts its exit status."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=PROGRAM_S,
                          check=False, env=env)
    assert done.returncode == status, f"{command} exited with {done.returncode}\n{done.stdout}{done.stderr}"
    return done


class Daemon:
    """A program with the options that every daemon has. `arguments` are its own."""

    def __init__(self, program: Path, arguments: list[str], folder: Path, env: dict | None = None):
        self.program, self.arguments, self.folder, self.env = program, arguments, folder, env
        self.log, self.ready_file = folder / "log", folder / "ready"
        self.told: dict[str, str] = {}  # what the ready file says
        self.proc: Proc | None = None

    def start(self, wait: bool = True) -> "Daemon":
        """Starts it, also again after it ended; waits until it is ready unless told not to."""
        self.ready_file.unlink(missing_ok=True)
        command = [self.program, *self.arguments, "--admin-address", "127.0.0.1:0", "--ready-file", self.ready_file]
        self.proc = Proc.start(command, self.log, env=self.env)
        return self.wait_ready() if wait else self

    def wait_ready(self) -> "Daemon":
        """Waits until the ready file is there and reads it."""
        wait_until(self.ready_file.exists, READY_S, f"{self.program.name} to be ready", self.proc)
        lines = self.ready_file.read_text(encoding="utf-8").splitlines()
        self.told = dict(line.split("=", 1) for line in lines if "=" in line)
        return self

    @property
    def port(self) -> int:
        """The port that it announced as `port`."""
        return int(self.told["port"])

    def ask_admin(self, path: str) -> tuple[int, str]:
        """Status and text of /healthz, /readyz or /metrics."""
        connection = http.client.HTTPConnection("127.0.0.1", int(self.told["admin_port"]), timeout=ADMIN_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, series: str) -> float | None:
        """The value of a series as it stands in the exposition text, labels and all; None if it is not there."""
        for line in self.ask_admin("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return None

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def signal(self, number: int) -> None:
        self.proc.signal(number)

    def kill(self) -> None:
        """SIGKILL, as a crash; returns when it is gone."""
        self.proc.kill()
        self.check_log()

    def stop(self) -> None:
        """SIGTERM; asserts that it drained and exited with 0."""
        self.proc.stop(STOP_S)
        self.check_log()
        assert self.proc.status == 0, f"{self.program.name} exited with {self.proc.exit_text()}\n{self.proc.tail()}"

    def end(self) -> None:
        """Ends it if it still runs: at the end of a test."""
        if self.proc is not None and self.proc.alive():
            self.stop()
        self.check_log()

    def check_log(self) -> None:
        """Fails on a report of a sanitizer."""
        data = self.log.read_bytes() if self.log.exists() else b""
        found = SANITIZER.search(data)
        assert not found, data[max(0, found.start() - 1000):found.start() + 8000].decode(errors="replace")

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again."""
        self.signal(signal.SIGHUP)
