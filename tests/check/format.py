"""C is laid out as .clang-format says, by one version of clang-format: others break lines differently.

`tests/check/run format --fix` lays it out.
"""
import shutil
import subprocess
from pathlib import Path

from tree import Finding, Outcome, Tree

NAME = "format"
WHAT = "C is laid out as .clang-format says"

PROGRAM = "clang-format-14"  # Debian 12's
STYLE = Path(__file__).resolve().parents[2] / ".clang-format"
ADVICE = "run: tests/check/run format --fix"


def check(tree: Tree) -> Outcome:
    if not shutil.which(PROGRAM):
        return Outcome(skipped=f"{PROGRAM} is not installed (on Debian 12: deploy/local/install --for test)")
    outcome = Outcome(summary=f"{len(tree.c_files())} files")
    for path in tree.c_files():
        text = tree.text(path)
        better = lay_out(path, text)
        if better != text:
            pairs = enumerate(zip(text.splitlines(), better.splitlines()), 1)
            first = next((number for number, (have, want) in pairs if have != want), 1)
            outcome.findings.append(Finding(path, first, "not laid out as .clang-format says, from this line on"))
    return outcome


def lay_out(path: str, text: str) -> str:
    done = subprocess.run([PROGRAM, f"--style=file:{STYLE}", f"--assume-filename={path}"], input=text,
                          capture_output=True, text=True, check=True)
    return done.stdout


def fix(tree: Tree) -> int:
    """Lays out every file that is not; how many were changed."""
    changed = 0
    for path in tree.c_files():
        better = lay_out(path, tree.text(path))
        if better != tree.text(path):
            (tree.root / path).write_text(better, encoding="utf-8")
            changed += 1
    return changed


SAMPLES = [({"base/a.c": "int f( void ) {\n  return 1;\n}\n"}, "not laid out")]
GOOD = {"base/a.c": "int f(void)\n{\n    return 1;\n}\n"}
