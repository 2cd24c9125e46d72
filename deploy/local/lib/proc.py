"""Child processes, free ports and waiting, for the local stack and the tests.

Design: a `Proc` is one program with its output in one file. It dies with the process that started it (the kernel
sends it SIGTERM when the parent is gone), so that an interrupted test run leaves nothing behind; `detach=True` is for
what must outlive its starter. Nothing here sleeps for a fixed time: a wait polls a condition until a deadline, and a
wait for an exit blocks on a pidfd, which cannot be fooled by a pid that was used again.

Invariants: every wait has a deadline; `stop()` returns only when the process is gone; a port from `free_ports()` is
below the kernel's ephemeral range.

Standard library only. Linux, Python 3.11.
"""
from __future__ import annotations

import os
import random
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

POLL_S = 0.02  # Between two looks at a condition: short beside what is waited for (tens of milliseconds and more).
STOP_S = 20.0  # A daemon that has not drained by then is stuck; it gets SIGKILL and the caller is told.
LOWEST_PORT = 15000  # Above it few well-known services live.
UNLESS_ORPHAN = '[ "$PPID" = "$0" ] && exec "$@"'  # The parent may have died before the kernel was told to watch it.
TAIL_LINES = 20  # How much of a log an error message carries.


class Failed(Exception):
    """Something did not start, stop or become true in time. The text says what, and what to do."""


def wait_until(condition, timeout_s: float, what: str, proc: "Proc | None" = None):
    """Polls `condition` until it returns something true, and returns that.

    Raises Failed after `timeout_s`, or as soon as `proc` (if given) has exited. `what` completes "waited N s for …".
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if proc is not None and not proc.alive():
            raise Failed(f"{proc.name} exited with status {proc.exit_text()} before {what}\n{proc.tail()}")
        left = deadline - time.monotonic()
        if left <= 0:
            raise Failed(f"waited {timeout_s:g} s for {what}" + (f"\n{proc.tail()}" if proc is not None else ""))
        pause = min(POLL_S, left)
        if proc is not None:
            proc.wait(pause)
        else:
            time.sleep(pause)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` TCP ports on 127.0.0.1 that nothing listens on now.

    They lie below the kernel's ephemeral range on purpose. A port inside it can be taken as the source port of any
    outgoing connection while a server is being restarted; worse, a client that keeps connecting to a closed port of
    the range sooner or later connects to itself and blocks the server's restart. Another process may still take a
    port between this call and its use: the chance is small (random choice out of thousands), the caller tries again.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        highest = int(file.read().split()[0]) - 1
    if highest - LOWEST_PORT < 1000:  # a host with an unusual range: take it as it is
        highest = 32767
    found: list[int] = []
    for port in random.SystemRandom().sample(range(LOWEST_PORT, highest), 500):
        if port_is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise Failed(f"no {count} free ports between {LOWEST_PORT} and {highest} on 127.0.0.1")


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot: with the pid it names a process for good. None if gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])  # 22nd field of the line; state Z is dead, not yet reaped


class Proc:
    """One running program. Make it with `Proc.start`, or find a detached one again with `Proc.adopt`."""

    def __init__(self, name: str, pid: int, logs: list[Path], popen: subprocess.Popen | None):
        self.name, self.pid, self.logs = name, pid, logs
        self._popen = popen
        self._pidfd = os.pidfd_open(pid)

    @classmethod
    def start(cls, argv: list[str], log: Path, *, name: str | None = None, env: dict | None = None,
              cwd: Path | None = None, detach: bool = False, more_logs: list[Path] | None = None) -> "Proc":
        """Starts `argv` with stdin closed and all output appended to `log`. `env` is added to the environment.

        Not detached, it gets SIGTERM when the *thread* that started it ends: start it from a thread that lasts.
        `more_logs`: files that it writes itself, shown by tail() too.
        """
        command = [str(part) for part in argv]
        if not detach and shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", "--", "sh", "-c", UNLESS_ORPHAN, str(os.getpid()), *command]
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as out:
            popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                                     env={**os.environ, **(env or {})}, start_new_session=True)
        return cls(name or Path(str(argv[0])).name, popen.pid, [log, *(more_logs or [])], popen)

    @classmethod
    def adopt(cls, name: str, pid: int, ticks: int, logs: list[Path]) -> "Proc | None":
        """The process `pid` that was started at `ticks` (see start_ticks); None when it is no longer there."""
        try:
            proc = cls(name, pid, logs, None)
        except ProcessLookupError:
            return None
        return proc if start_ticks(pid) == ticks else None

    def __del__(self):
        if getattr(self, "_pidfd", None) is not None:
            os.close(self._pidfd)

    def alive(self) -> bool:
        return not self.wait(0)

    def wait(self, timeout_s: float) -> bool:
        """Waits for the exit; True when the process has exited."""
        exited = bool(select.select([self._pidfd], [], [], max(0.0, timeout_s))[0])
        if exited and self._popen is not None:
            self._popen.wait()
        return exited

    @property
    def status(self) -> int | None:
        """Exit status, negative signal number when killed by one, None while it runs or when it was adopted."""
        return self._popen.poll() if self._popen is not None else None

    def exit_text(self) -> str:
        status = self.status
        if status is None:
            return "unknown"
        return signal.Signals(-status).name if status < 0 else str(status)

    def signal(self, number: int) -> None:
        """Sends a signal; a process that is already gone is no error."""
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        self.signal(signal.SIGKILL)
        if not self.wait(STOP_S):
            raise Failed(f"{self.name} (pid {self.pid}) is still there after SIGKILL")

    def stop(self, timeout_s: float = STOP_S) -> None:
        """SIGTERM, and waits until it is gone. Raises Failed when only SIGKILL could end it."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a paused process would never see the other signal
        if not self.wait(timeout_s):
            self.kill()
            raise Failed(f"{self.name} did not stop within {timeout_s:g} s of SIGTERM and was killed\n{self.tail()}")

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The end of each of its logs, indented, headed by where the whole is; empty ones are left out."""
        shown = []
        for log in self.logs:
            try:
                text = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
            except OSError:
                continue
            if text:
                shown += [f"  the end of {log}:", *("    " + line for line in text)]
        return "\n".join(shown) or f"  {self.name} printed nothing"
