"""C is laid out as .clang-format says, by one version of clang-format: others break lines differently.

`tests/check/run format --fix` lays it out.
"""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tree import Finding, Outcome, Tree

NAME = "format"
WHAT = "C is laid out as .clang-format says"

PROGRAM = "clang-format-14"  # Debian 12's
STYLE = Path(__file__).resolve().parents[2] / ".clang-format"
COMMAND = [PROGRAM, f"--style=file:{STYLE}"]
MESSAGE = re.compile(r"^(\S+?):(\d+):\d+: warning: code should be clang-formatted", re.MULTILINE)
ADVICE = "run: tests/check/run format --fix"


def check(tree: Tree) -> Outcome:
    if not shutil.which(PROGRAM):
        return Outcome(skipped=f"{PROGRAM} is not installed (on Debian 12: deploy/local/install --for test)")
    files = tree.c_files()
    outcome = Outcome(summary=f"{len(files)} files")
    with tempfile.TemporaryDirectory() as folder:
        root = tree.root or tree.write_to(Path(folder))
        done = subprocess.run([*COMMAND, "--dry-run", "-ferror-limit=0", "--", *files], cwd=root, capture_output=True,
                              text=True, check=False) if files else None
    first: dict[str, int] = {}
    for path, line in MESSAGE.findall(done.stderr if done else ""):
        first.setdefault(path, int(line))
    for path, line in sorted(first.items()):
        outcome.findings.append(Finding(path, line, "not laid out as .clang-format says, from this line on"))
    return outcome


def fix(tree: Tree) -> int:
    """Lays out every file that is not; how many were changed."""
    files = [finding.path for finding in check(tree).findings]
    if files:
        subprocess.run([*COMMAND, "-i", "--", *files], cwd=tree.root, check=True)
    return len(files)


SAMPLES = [({"base/a.c": "int f( void ) {\n  return 1;\n}\n"}, "not laid out")]
GOOD = {"base/a.c": "int f(void)\n{\n    return 1;\n}\n"}
