"""What Linux says about a process: processor time and memory, from /proc.

Source: proc(5): /proc/PID/stat (utime and stime, fields 14 and 15, of all threads, also ended ones), /proc/PID/status
(RssAnon: anonymous memory; VmHWM: the peak of all resident memory, files mapped included).
"""
from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KIB = 1024
SAMPLE_S = 0.02  # Peaks of anonymous memory that are shorter are missed; VmHWM, which the kernel keeps, misses none.


def cpu_s(pid: int) -> float:
    """Seconds of processor time, user and system, that the process has used; a resolution of 10 ms is usual."""
    return parse_stat(Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace"))


def parse_stat(text: str) -> float:
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces and parentheses
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@dataclass(frozen=True)
class Memory:
    """Bytes: anonymous and all resident memory now, and the peak of the latter since the process began."""
    anonymous: int
    resident: int
    resident_peak: int


def memory(pid: int) -> Memory:
    return parse_status(Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace"))


def parse_status(text: str) -> Memory:
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return Memory(*(int(rows[name].split()[0]) * KIB for name in ("RssAnon", "VmRSS", "VmHWM")))


class Peak:
    """The largest anonymous memory of a process while the `with` block runs; `anonymous` is in bytes."""

    def __init__(self, pid: int):
        self._pid, self._end = pid, threading.Event()
        self.anonymous = memory(pid).anonymous
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_exception) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(SAMPLE_S):
            try:
                self.anonymous = max(self.anonymous, memory(self._pid).anonymous)
            except (OSError, KeyError):  # it has ended
                return
