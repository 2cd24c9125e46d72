"""The jars that a Java program runs from: resolved by Maven once, kept in the cache, checked at every start.

What is said here of Kafka holds for any other program too whose folder has a pom.xml and a checksums.sha256, such as the S3-compatible
server of the integration tests; Kafka's is the default.

Layout of the cache (`$NODAG_CACHE`, default `~/.cache/nodag`):

    kafka/<key>/lib/*.jar       what pom.xml resolves to; <key> changes with pom.xml and checksums.sha256
    kafka/<key>/<jvm>.jsa       class-data archive of this Java: halves the time to start, rebuilt if missing

Invariants: `lib/` appears by one rename, complete and verified, so a killed resolve leaves nothing half done; two
processes that resolve at once wait for one another; a jar that differs from checksums.sha256 is never run, and one
that checksums.sha256 does not name is an error too.

Standard library only.
"""
from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
from proc import Failed  # noqa: E402  (the path is set above)

POM = HERE / "pom.xml"
CHECKSUMS = HERE / "checksums.sha256"
RESOLVE_S = 900  # Maven on a slow line: about 60 MB with its own plugins.
KEY_DIGITS = 12  # Of a SHA-256, to tell apart the few versions that a cache ever holds.
MAVEN_TAIL_LINES = 15


def cache_folder() -> Path:
    """The one folder that keeps third-party parts between runs."""
    chosen = os.environ.get("NODAG_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "nodag"


def folder(pom: Path = POM) -> Path:
    """Where this version is kept, below the name of the pom's folder; it need not exist yet."""
    key = hashlib.sha256(pom.read_bytes() + pom.with_name(CHECKSUMS.name).read_bytes()).hexdigest()[:KEY_DIGITS]
    return cache_folder() / pom.parent.name / key


def need(program: str, package: str) -> str:
    """The path of a program, or an error that says how to get it."""
    found = shutil.which(program)
    if not found:
        raise Failed(f"{program} is not installed, and the local Kafka needs it\n"
                     f"  run: deploy/local/install --for run     (or: apt-get install {package})")
    return found


@contextlib.contextmanager
def locked(path: Path):
    """Holds an exclusive lock on `path` for the length of the block; the kernel drops it if we die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_checksums(checksums: Path) -> dict[str, str]:
    lines = checksums.read_text(encoding="ascii").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return {name: digest for digest, name in pairs}


def digest_jars(lib: Path) -> dict[str, str]:
    found = {}
    for jar in sorted(lib.glob("*.jar")):
        with open(jar, "rb") as file:
            found[jar.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def verify(lib: Path, checksums: Path = CHECKSUMS) -> None:
    """Compares every jar in `lib` with checksums.sha256 (44 MB: about 50 ms). Raises Failed at any difference."""
    want, have = read_checksums(checksums), digest_jars(lib)
    if want == have:
        return
    wrong = [f"  {name}: SHA-256 is {have[name]}, must be {want[name]}" for name in want
             if name in have and have[name] != want[name]]
    missing = [f"  {name}: missing" for name in want if name not in have]
    extra = [f"  {name}: not in {checksums.name}" for name in have if name not in want]
    raise Failed("\n".join([f"the jars in {lib} are not the ones pinned in {checksums}", *wrong, *missing, *extra,
                            "  damaged cache: remove that folder and start again",
                            "  pom.xml was changed on purpose: pin them, as it says, then review the difference"]))


def copy_jars(into: Path, pom: Path = POM) -> None:
    """Lets Maven resolve pom.xml and copy the run-time jars to `into`. Raises Failed with the end of its output."""
    maven = need("mvn", "maven")
    command = [maven, "--batch-mode", "--quiet", "--file", str(pom), "dependency:copy-dependencies",
               "-DincludeScope=runtime", f"-DoutputDirectory={into}", "-Dstyle.color=never"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=RESOLVE_S, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"Maven did not resolve {pom} within {RESOLVE_S} s: is its repository reachable?") from None
    if done.returncode != 0:
        tail = "\n".join("    " + line for line in done.stdout.splitlines()[-MAVEN_TAIL_LINES:])
        raise Failed(f"Maven could not resolve {pom}\n{tail}\n"
                     "  It needs a Maven repository: behind a proxy or with a mirror, say so in ~/.m2/settings.xml")


def resolve(say=lambda text: None, pom: Path = POM, what: str = "Apache Kafka with Maven (once; about 45 MB)") -> Path:
    """The folder of verified jars, resolved first where the cache has none. `say` is told of what takes time."""
    home = folder(pom)
    lib = home / "lib"
    checksums = pom.with_name(CHECKSUMS.name)
    with locked(home.parent / ".lock"):
        if not lib.is_dir():
            say(f"resolving {what}")
            home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=home) as fresh:
                part = Path(fresh) / "lib"
                copy_jars(part, pom)
                verify(part, checksums)
                part.rename(lib)
    verify(lib, checksums)
    return lib


def pin(pom: Path = POM, by: str = "deploy/local/kafka/kafka.py") -> int:
    """Writes checksums.sha256 anew from what pom.xml resolves to now; the number of jars. `by` is the program that pins and runs them."""
    with tempfile.TemporaryDirectory() as fresh:
        lib = Path(fresh) / "lib"
        copy_jars(lib, pom)
        found = digest_jars(lib)
    head = (f"# The jars that pom.xml resolves to, by SHA-256: {Path(by).name} runs these and no others.\n"
            f"# Written by `{by} pin`; review each change. Form: sha256sum's.\n")
    pom.with_name(CHECKSUMS.name).write_text(head + "".join(f"{digest}  {name}\n" for name, digest in found.items()), encoding="ascii")
    return len(found)


def class_path(lib: Path) -> str:
    """In a fixed order: the class-data archive is valid for exactly this path."""
    return ":".join(str(jar) for jar in sorted(lib.glob("*.jar")))


def archive_path(lib: Path, java: str) -> Path:
    """The class-data archive for these jars and this Java: named by the path and size of the virtual machine."""
    real = Path(java).resolve()
    machine = real.parent.parent / "lib" / "server" / "libjvm.so"
    stamp = f"{real}:{machine.stat().st_size}:{machine.stat().st_mtime_ns}" if machine.exists() else str(real)
    return lib.parent / (hashlib.sha256(stamp.encode()).hexdigest()[:KEY_DIGITS] + ".jsa")
