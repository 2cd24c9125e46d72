"""Every source file opens with a comment: what it is for, its design, its invariants.

Looked at: C, Python, shell, CMake, YAML and other scripts that begin with `#!`. What is counted is words, so an empty
frame does not pass.
"""
import re

from tree import Finding, Outcome, Tree

NAME = "heads"
WHAT = "every source file opens with what it is for"

WORDS_MIN = 6  # Less says no more than the file's name.
EXEMPT = ("tests/cases/", "tests/fuzz/corpus/")  # data, kept as found
LACKS = f"does not open with a comment, or with one of fewer than {WORDS_MIN} words"
ADVICE = "open the file with what it is for, its design and its invariants"


def opening_comment(path: str, text: str) -> str | None:
    """The text of the first comment if the file opens with one; None for a kind of file that has no comments."""
    if path.endswith((".c", ".h")):
        match = re.match(r"\s*(/\*.*?\*/|(?://[^\n]*\n?)+)", text, re.DOTALL)
    elif path.endswith(".xml"):
        match = re.match(r"(?:<\?[^>]*\?>)?\s*(<!--.*?-->)", text, re.DOTALL)
    else:
        match = re.match(r"(?:#![^\n]*\n)?(?:# -\*-[^\n]*\n)?\s*((?:#[^\n]*(?:\n|$))+|(?:[rR]?\"\"\".*?\"\"\"))",
                         text, re.DOTALL)
    return match.group(1) if match else ""


def is_source(tree: Tree, path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    if path.startswith(EXEMPT) or not tree.text(path).strip():
        return False
    return name.endswith((".c", ".h", ".py", ".sh", ".cmake", ".yml", ".yaml", ".xml")) or bool(tree.first_line(path)) \
        or name in ("CMakeLists.txt", "Makefile", "Dockerfile", ".clang-format", ".gitignore")


def check(tree: Tree) -> Outcome:
    outcome = Outcome()
    paths = [path for path in tree.paths if is_source(tree, path)]
    for path in paths:
        comment = opening_comment(path, tree.text(path))
        if len(re.findall(r"[A-Za-z]{2,}", comment)) < WORDS_MIN:
            outcome.findings.append(Finding(path, 1, LACKS))
    outcome.summary = f"{len(paths)} files"
    return outcome


SAMPLES = [
    ({"base/a.c": "#include <x.h>\n"}, LACKS),
    ({"base/a.h": "/* a.h */\n#pragma once\n"}, LACKS),
    ({"deploy/a.py": "import os\n\"\"\"Too late: this is not the head of the file at all.\"\"\"\n"}, LACKS),
    ({"deploy/run": "#!/bin/sh\nset -e\n# Too late: this is not the head of the file at all.\n"}, LACKS),
    ({"deploy/a.yml": "a: 1\n"}, LACKS),
    ({"base/CMakeLists.txt": "add_library(a)\n"}, LACKS),
    ({"deploy/pom.xml": "<?xml version=\"1.0\"?>\n<project/>\n"}, LACKS),
]
GOOD = {
    "base/a.c": "/* What this is for, in a sentence or two. */\n",
    "deploy/a.py": "#!/usr/bin/env python3\n\"\"\"What this is for, in a sentence or two.\"\"\"\n",
    "deploy/run": "#!/bin/sh\n# What this is for, in a sentence or two.\n",
    "deploy/pom.xml": "<?xml version=\"1.0\"?>\n<!-- What this is for, in a sentence or two. -->\n",
    "deploy/a.json": "{}\n",
    "tests/__init__.py": "",
}
