"""The machine that figures belong to: processor, cores, memory, system, versions of what takes part, and how busy it is.

Design: everything is read, nothing is asked of a person; what cannot be found out is left out. The load average is that
of before the start, because afterwards it is our own.
"""
from __future__ import annotations

import ctypes.util
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ASK_S = 20
QUIET_LOAD_PER_CORE = 0.25  # Above it others use the machine, and absolute figures say little.
GIB = 1 << 30


def first_match(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return found.group(1).strip() if found else None


def ask(*command: str) -> str | None:
    """The first line that a program prints; None if it is not there or fails."""
    if not shutil.which(command[0]):
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=True)
    except (subprocess.SubprocessError, OSError):
        return None
    return ((done.stdout or done.stderr).splitlines() or [None])[0]


def librdkafka_version() -> str | None:
    """Of the shared library that programs would load."""
    name = ctypes.util.find_library("rdkafka")
    if not name:
        return None
    library = ctypes.CDLL(name)
    library.rd_kafka_version_str.restype = ctypes.c_char_p
    return library.rd_kafka_version_str().decode()


def go_version() -> str | None:
    found = re.search(r"go(\d[\w.]*)", ask("go", "version") or "")
    return found.group(1) if found else None


def describe() -> dict:
    """One flat object; the keys are those that `lines` shows."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = {
        "processor": first_match(Path("/proc/cpuinfo"), r"^model name\s*:(.*)") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_bytes / GIB, 1),
        "kernel": platform.release(),
        "distribution": first_match(Path("/etc/os-release"), r'^PRETTY_NAME="?([^"\n]*)'),
        "compiler": ask("gcc", "--version"),
        "librdkafka": librdkafka_version(),
        "kafka": first_match(ROOT / "deploy" / "local" / "kafka" / "pom.xml",
                             r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([^<]+)"),
        "java": ask("java", "--version"),
        "go": go_version(),
        "commit": ask("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "load_average": round(os.getloadavg()[0], 2),
    }
    return {key: value for key, value in found.items() if value is not None}


def is_quiet(found: dict) -> bool:
    return found["load_average"] <= QUIET_LOAD_PER_CORE * found["cores"]


def lines(found: dict) -> list[str]:
    """The description for people."""
    head = f"{found['cores']} × {found['processor']}, {found['memory_gib']} GiB"
    system = ", ".join(text for text in (found.get("distribution"), f"Linux {found['kernel']}") if text)
    parts = [f"{name} {found[key]}" for name, key in (("librdkafka", "librdkafka"), ("Kafka", "kafka"), ("Go", "go"))
             if key in found]
    parts = [text for text in (found.get("compiler"), *parts, found.get("java")) if text]
    shown = [f"machine    {head}", f"system     {system}", f"parts      {', '.join(parts)}"]
    if "commit" in found:
        shown.append(f"commit     {found['commit']}")
    shown.append(f"load       {found['load_average']} in the last minute before the start")
    if not is_quiet(found):
        shown.append("           WARNING: the machine is not quiet; ratios may be off, absolute figures say little")
    return shown
