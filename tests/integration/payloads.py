"""The real payloads of npm's @octokit/webhooks-examples: fetched once into the cache, pinned by webhook_examples/.

Design: `npm ci --ignore-scripts` verifies the checksums of the lock file. The folder in the cache carries the lock
file's own checksum in its name and is made whole or not at all, so that no run uses another version. Payloads are
written as GitHub writes them: UTF-8, compact.
"""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent / "webhook_examples"
EXAMPLES = "node_modules/@octokit/webhooks-examples/api.github.com/index.json"
INSTALL_S = 300


class Unavailable(Exception):
    """The package cannot be had; the text says why."""


@dataclass(frozen=True)
class Payload:
    """One payload: the event's name, which of its examples it is, the parsed object and its bytes."""
    event: str
    index: int
    content: dict
    body: bytes


def cache_folder() -> Path:
    return Path(os.environ.get("NODAG_CACHE") or Path.home() / ".cache" / "nodag")


def install() -> Path:
    """The folder with the package."""
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm is not installed (deploy/local/install --for test)")
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = cache_folder() / f"webhook-examples-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            run_npm(npm, folder)
    return folder


def run_npm(npm: str, folder: Path) -> None:
    part = Path(tempfile.mkdtemp(prefix="webhook-examples-", dir=folder.parent))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, part)
        done = subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=part, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=INSTALL_S, check=False)
        if done.returncode:
            raise Unavailable(f"npm ci failed: {done.stdout.strip()[-2000:]}")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def load() -> list[Payload]:
    """Every payload of every event."""
    with open(install() / EXAMPLES, encoding="utf-8") as file:
        events = json.load(file)
    return [Payload(event["name"], index, content,
                    json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
            for event in events for index, content in enumerate(event["examples"])]
