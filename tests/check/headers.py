"""Each header compiles alone, and twice: it includes what it uses, and its guard works.

gcc reads every header in a file of its own, with the strict warnings. What passed is remembered in build/check-cache
by the contents of all headers together, so a second run with no header changed costs nothing.
"""
import concurrent.futures
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tree import Finding, Outcome, Tree

NAME = "headers"
WHAT = "each header compiles alone"

FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-DNODAG_VERSION=\"0\"", "-fsyntax-only", "-Wall", "-Wextra", "-Wconversion",
         "-Wshadow", "-Werror", "-x", "c"]
PACKAGES = ["rdkafka", "libevent", "jansson", "libcurl", "libcrypto", "libmicrohttpd", "yajl", "yaml-0.1"]
CACHE = Path("build") / "check-cache"
MESSAGE_LINES = 3  # Of the compiler's output; the first lines name the cause.


def check(tree: Tree) -> Outcome:
    if not shutil.which("gcc"):
        return Outcome(skipped="gcc is not installed")
    headers = tree.headers()
    everything = hashlib.sha256("\0".join([*FLAGS, *(path + "\0" + tree.text(path) for path in headers)]).encode())
    mark = tree.root / CACHE / f"headers-{everything.hexdigest()}" if tree.root else None
    outcome = Outcome(summary=f"{len(headers)} headers")
    if mark and mark.exists():
        outcome.summary += ", unchanged since they passed"
        return outcome
    with tempfile.TemporaryDirectory() as folder:
        root = tree.root or tree.write_to(Path(folder))
        packages = include_flags()
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            answers = pool.map(lambda path: compile_alone(root, path, packages), headers)
            for path, message in zip(headers, answers):
                if message:
                    outcome.findings.append(Finding(path, 1, "does not compile alone; include what it uses (or "
                                                    f"forward-declare it), and guard it\n{message}"))
    if mark and not outcome.findings:
        shutil.rmtree(mark.parent, ignore_errors=True)
        mark.parent.mkdir(parents=True)
        mark.touch()
    return outcome


def include_flags() -> list[str]:
    """Where the libraries' headers are, for those that are not in the default place."""
    flags = []
    for package in PACKAGES:
        done = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True, check=False)
        flags += [flag.replace("-I", "-isystem", 1) for flag in done.stdout.split()]
    return flags


def compile_alone(root: Path, path: str, packages: list[str]) -> str:
    """Nothing, or the first lines of what the compiler said."""
    done = subprocess.run(["gcc", *FLAGS, f"-I{root}", *packages, "-"], input=f'#include "{path}"\n' * 2,
                          capture_output=True, text=True, check=False, cwd=root)
    lines = [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.splitlines()
    return "\n".join("          " + line for line in lines[:MESSAGE_LINES]) if done.returncode else ""


SAMPLES = [
    ({"base/a.h": "#ifndef A_H\n#define A_H\nsize_t a_size(void);\n#endif\n"}, "size_t"),
    ({"base/a.h": "struct a {\n    int b;\n};\n"}, "redefinition"),
    ({"base/a.h": "#include \"base/missing.h\"\n"}, "missing.h"),
]
GOOD = {"base/a.h": "#ifndef A_H\n#define A_H\n#include <stddef.h>\nsize_t a_size(void);\n#endif\n"}
