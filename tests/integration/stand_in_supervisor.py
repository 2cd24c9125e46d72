#!/usr/bin/env python3
"""Plays nodag-train-run: keeps to the contract of a run's directory (reactors/trainer/run_directory.h), trains nothing.

    stand_in_supervisor.py [--cache DIR] RUN_DIR

It ends when the file RUN_DIR/end is there, which names its state, when RUN_DIR/cancel is there, or at once where
CONTROL/always is there beside the folder of runs. Its artefacts go into the store as file:// stores have them.
"""
import fcntl
import hashlib
import json
import os
import struct
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

F_OFD_SETLK = 37
POLL_S = 0.02
TAKEN = 4  # exit status: the directory has or had another supervisor


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def take(folder: Path) -> int | None:
    """Makes the lock under another name, locks it, links it: it is never seen unlocked before we died."""
    temporary = folder / f"lock.{os.getpid()}"
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.fcntl(fd, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    os.write(fd, str(os.getpid()).encode())  # for tests that kill it
    try:
        os.link(temporary, folder / "lock")
    except FileExistsError:
        return None
    finally:
        temporary.unlink()
    return fd


def store(spec: dict, text: str) -> dict:
    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    path = Path(spec["artefacts"]["url"].removeprefix("file://")) / "sha256" / digest[:2] / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"uri": f"file://{path}", "sha256": digest, "size_bytes": len(data)}


def wait_for_end(folder: Path) -> tuple[str, str]:
    """State and reason."""
    always = folder.parent.parent / "always"
    while True:
        if (folder / "cancel").exists():
            return "CANCELLED", (folder / "cancel").read_text()
        for order in (folder / "end", always):
            if order.exists():
                state = order.read_text()
                return state, "" if state == "SUCCEEDED" else "it was told to fail"
        time.sleep(POLL_S)


def main() -> int:
    folder = Path(sys.argv[-1])
    lock = take(folder)
    if lock is None:
        return TAKEN
    spec, begun = json.loads((folder / "run.json").read_text()), now()
    state, reason = wait_for_end(folder)
    artefacts = {"log": store(spec, f"log of {spec['run']}")}
    if state == "SUCCEEDED":
        artefacts |= {"model": store(spec, f"model of {spec['run']}"), "dataset": store(spec, "data")}
    f1 = 0.5 + int(hashlib.sha256(spec["run"].encode()).hexdigest()[:2], 16) / 1000
    metrics = {"f1_macro": f1, "labels": [{"name": "kind/bug", "threshold": 0.4, "f1": {"value": f1}, "precision": 0.9}]}
    result = {"state": state, "reason": reason, "started_at": begun, "ended_at": now(), "artefacts": artefacts,
              "metrics": metrics}
    (folder / "result.new").write_text(json.dumps(result))
    (folder / "result.new").rename(folder / "result.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
