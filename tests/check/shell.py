"""Shell scripts parse, and shellcheck finds nothing in them.

Without shellcheck only the syntax is checked, and the report says so.
"""
import json
import re
import shutil
import subprocess

from tree import Finding, Outcome, Tree

NAME = "shell"
WHAT = "shell scripts parse, and shellcheck finds nothing"

SEVERITY = "style"  # everything: a finding that is wrong gets a `# shellcheck disable=…` with its reason


def check(tree: Tree) -> Outcome:
    has_shellcheck = shutil.which("shellcheck") is not None
    outcome = Outcome(summary=f"{len(tree.shell_files())} files" + ("" if has_shellcheck else
                                                                    ", syntax only: shellcheck is not installed"))
    for path in tree.shell_files():
        text = tree.text(path)
        shell = "bash" if re.match(r"#!.*\bbash\b", text) else "sh"
        done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            line = re.search(r"line (\d+)|: (\d+):", done.stderr)
            number = int(line.group(1) or line.group(2)) if line else 1
            outcome.findings.append(Finding(path, number, "does not parse: " + done.stderr.strip().splitlines()[-1]))
        elif has_shellcheck:
            outcome.findings += run_shellcheck(path, text, shell)
    return outcome


def run_shellcheck(path: str, text: str, shell: str) -> list[Finding]:
    command = ["shellcheck", "--format=json", f"--severity={SEVERITY}", f"--shell={shell}", "--exclude=SC1091", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return [Finding(path, item["line"], f"SC{item['code']}: {item['message']}") for item in json.loads(done.stdout)]


SAMPLES = [
    ({"a.sh": "#!/bin/sh\nif true; then\n"}, "does not parse"),
    ({"run": "#!/usr/bin/env bash\nfor x in; do\n"}, "does not parse"),
    *([({"a.sh": "#!/bin/sh\nrm $1\n"}, "SC2086")] if shutil.which("shellcheck") else []),
]
GOOD = {"a.sh": "#!/bin/sh\nset -eu\nrm -- \"$1\"\n"}
