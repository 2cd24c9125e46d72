"""An sshd to test with, without installing one: a package that is installed starts a server on the machine.

Design: an sshd that is there is used by its path. Else Debian's package is downloaded by apt-get, with a library that
few machines have, and unpacked into the cache ($NODAG_CACHE, default ~/.cache/nodag); its own scripts are not run. What
they would have made is made for the one process: the user `sshd`, whom OpenSSH asks for when root starts it, stands in
a passwd file that only a mount namespace of that process sees (unshare(1)).

Invariants: nothing outside the cache and /run/sshd is written, and that folder goes again if it was not there; a folder
in the cache is whole or not there. Where anything of it is impossible, Unavailable says what.
"""
from __future__ import annotations

import os
import platform
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

APT_S = 120
PACKAGES = ("openssh-server", "libwrap0")
RUN = Path("/run/sshd")  # Compiled into Debian's sshd: an empty folder of root's.
USER_LINE = "sshd:x:{uid}:65534::/run/sshd:/usr/sbin/nologin\n"
INNER = 'mount --bind "$0" /etc/passwd && exec "$@"'


class Unavailable(Exception):
    """There is no sshd to be had; the text says why."""


def cache_folder() -> Path:
    return Path(os.environ.get("NODAG_CACHE") or Path.home() / ".cache" / "nodag")


def run(command: list, folder: Path | None = None) -> str:
    try:
        done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True,
                              timeout=APT_S, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise Unavailable(f"{command[0]}: {failure}") from failure
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(map(str, command[:3]))}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def unpack() -> Path:
    """The folder with the unpacked packages, from the cache or downloaded."""
    try:
        system = platform.freedesktop_os_release()
    except OSError as failure:
        raise Unavailable("this is not a Debian") from failure
    home = cache_folder() / f"sshd-{system.get('ID')}-{system.get('VERSION_ID')}-{platform.machine()}"
    if home.is_dir():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        os.chmod(folder, 0o755)  # apt-get downloads as another user
        run(["apt-get", "download", *PACKAGES], Path(folder))
        root = Path(folder) / "root"
        for package in Path(folder).glob("*.deb"):
            run(["dpkg", "-x", package, root])
        root.rename(home)
    return home


def helper_lines(root: Path) -> str:
    """OpenSSH from 9.8 on runs programs of its own, by paths that can be configured."""
    found = ""
    for name, option in (("sshd-session", "SshdSessionPath"), ("sshd-auth", "SshdAuthPath")):
        path = root / "usr/lib/openssh" / name
        found += f"{option} {path}\n" if path.exists() else ""
    return found


class Sshd:
    """How to start it: `command` before its options, `env`, lines of its configuration."""

    def __init__(self, folder: Path):
        if os.getuid() != 0:
            raise Unavailable("sshd starts sessions only as root")
        for program in ("ssh", "ssh-keygen", "ssh-keyscan"):
            if not shutil.which(program):
                raise Unavailable(f"{program} is not installed (deploy/local/install --for test)")
        self.command, self.env, self.lines = [], dict(os.environ), ""
        program = Path(shutil.which("sshd") or "/usr/sbin/sshd")
        if not os.access(program, os.X_OK):
            root = unpack()
            program, self.lines = root / "usr/sbin/sshd", helper_lines(root)
            libraries = [str(path.parent) for path in root.rglob("libwrap.so.0")]
            self.env["LD_LIBRARY_PATH"] = ":".join(libraries)
            self._check_libraries(program)
        self._find_user(folder)
        self.command.append(program)
        self.has_made_run = not RUN.exists()
        RUN.mkdir(mode=0o755, exist_ok=True)

    def _check_libraries(self, program: Path) -> None:
        done = subprocess.run(["ldd", program], capture_output=True, text=True, env=self.env, check=False)
        missing = [line.split()[0] for line in done.stdout.splitlines() if "not found" in line]
        if missing:
            raise Unavailable(f"{program} needs {', '.join(missing)}, which this machine does not have")

    def _find_user(self, folder: Path) -> None:
        try:
            pwd.getpwnam("sshd")
        except KeyError:
            taken = {entry.pw_uid for entry in pwd.getpwall()}
            uid = next(number for number in range(999, 100, -1) if number not in taken)
            passwd = folder / "passwd"
            passwd.write_text(Path("/etc/passwd").read_text() + USER_LINE.format(uid=uid))
            passwd.chmod(0o644)
            self.command = ["unshare", "--mount", "sh", "-c", INNER, passwd]
            run([*self.command, "true"])  # containers may forbid it

    def close(self) -> None:
        if self.has_made_run:
            shutil.rmtree(RUN, ignore_errors=True)
