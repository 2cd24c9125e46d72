"""The data folder of a local stack: the lock, what must be the same in the next run, ports, secrets.

    DIR/sandbox/   stack.json  kafka/  sandbox.json(.d)  secrets/  secrets.yaml  logs/  run/
                   repositories.yaml  mirrors/  desired-state/  runs/  artefacts/  reports/
    DIR/embedded/  the same for --embedded, thrown away at each start: its broker keeps nothing either
    DIR/github/    the same for --github

Invariants: one `up` at a time for such a folder; secrets are files that only their owner reads; nothing is removed that
does not look like a data folder.
"""
from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path

from proc import Failed, free_ports, port_is_free

KEY_BITS = 2048  # of the sandbox App's key, as GitHub makes them
MEMORY = "stack.json"
LOCK = ".lock"


class Folder:
    """The folder for such a run; `options` are stack.py's. It is made where it is not there, and emptied on request."""

    def __init__(self, options):
        mode = "embedded" if options.embedded else "github" if options.github else "sandbox"
        self.path = options.dir.resolve() / mode
        self.logs, self.run, self.secrets = (self.path / name for name in ("logs", "run", "secrets"))
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.path / LOCK, "w", encoding="ascii")
        try:
            self._take()
            if options.fresh or options.embedded:
                self._empty()
            for path in (self.logs, self.run, self.secrets):
                path.mkdir(exist_ok=True)
            os.chmod(self.secrets, 0o700)
            self.memory: dict = self._recall()
        except Failed:
            self.close()
            raise

    def close(self) -> None:
        """Lets another `up` use the folder; so does the end of the process."""
        self._lock.close()

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"another `up` runs on {self.path}: stop it (Ctrl-C there), or take another --dir") from None

    def _empty(self) -> None:
        """Removes an earlier run's data."""
        old = [path for path in self.path.iterdir() if path.name != LOCK]
        if old and not (self.path / MEMORY).exists():
            raise Failed(f"{self.path} is no data folder of `up` (it has no {MEMORY}), and is not removed: do it by "
                         "hand, or take another --dir")
        for path in old:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def make(self, name: str) -> Path:
        """A folder of that name for this user alone, made when it is not there yet."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    # -- what is remembered --------------------------------------------------------------------------------------------

    def _recall(self) -> dict:
        try:
            return json.loads((self.path / MEMORY).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise Failed(f"{self.path / MEMORY} is damaged; start over with --fresh") from None

    def remember(self, **values) -> None:
        self.memory |= values
        part = self.path / f"{MEMORY}.part"
        part.write_text(json.dumps(self.memory, indent=2) + "\n", encoding="utf-8")
        part.rename(self.path / MEMORY)

    def insist(self, **values) -> None:
        """Remembers what the data belongs to. Raises Failed when it belongs to something else."""
        for name, value in values.items():
            before = self.memory.get(name, value)
            if before != value:
                raise Failed(f"the data in {self.path} belongs to another {name} ({before}, now {value}): take another "
                             "--dir, or start over with --fresh")
        self.remember(**values)

    def port(self, name: str) -> int:
        """The port of the last run if it is still free, else another one."""
        key = f"{name}_port"
        if not self.memory.get(key) or not port_is_free(self.memory[key]):
            self.remember(**{key: free_ports(1)[0]})
        return self.memory[key]

    # -- secrets -------------------------------------------------------------------------------------------------------

    def secret(self, name: str) -> Path:
        """A file with 32 random bytes in hexadecimal, made when it is not there yet."""
        path = self.secrets / name
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32))
        return path

    def key_pair(self, name: str) -> tuple[Path, str]:
        """The file of a private RSA key, made when it is not there yet, and the public key (PEM)."""
        path = self.secrets / name
        if not path.exists():
            part = path.with_suffix(".part")
            part.touch(0o600)
            run_openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{KEY_BITS}", "-out", part)
            part.rename(path)
        return path, run_openssl("pkey", "-in", path, "-pubout")


def run_openssl(*arguments) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          check=False)
    if done.returncode != 0:
        raise Failed(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def shown(path: Path) -> str:
    """A path as short as it can be written here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("../..") else relative
