"""The layers: which room may include which, read from every #include "…".

    base ← topics ← ingest/*
    base ← topics ← reactors/kernel, reactors/clients ← each reactor
    base ← reactors/classifier ← each reactor

A reactor never includes another reactor or ingest. Includes name the path from the root, so that a reader sees the
room; a .c file includes its own header first, which proves that the header stands alone. `plan.c` of a reactor decides
and does nothing else: it reaches, through any chain of headers, only headers without input and output.
"""
import re

from tree import Finding, Outcome, Tree, line_of

NAME = "layers"
WHAT = "includes keep to the layers, and plan.c to headers without input and output"

REACTOR_MAY = ("base", "topics", "reactors/kernel", "reactors/clients", "reactors/classifier")
# What a room may include beside itself. A room that is not named here: any reactor, or any door of ingest.
MAY = {
    "base": (),
    "topics": ("base",),
    "reactors/kernel": ("base", "topics"),
    "reactors/clients": ("base", "topics"),
    "reactors/classifier": ("base",),
}
INGEST_MAY = ("base", "topics")

# Project headers that plan.c may reach: values and text, no clock, socket, file, log or thread. Its own room's headers
# may be reached too, as far as all that they include in turn is pure. A header that does no input and output and is
# missing here may be added.
PURE = {
    "base/buffer.h", "base/cleanup.h", "base/digest.h", "base/error.h", "base/generator.h", "base/json_text.h",
    "base/memory.h", "base/nearest.h", "base/time_text.h", "base/wildcard.h", "base/yaml_text.h",
    "topics/envelope.h", "topics/subject.h", "topics/topic.h", "topics/record.h", "topics/run_state.h",
}
PURE_SYSTEM = {
    "assert.h", "ctype.h", "errno.h", "float.h", "inttypes.h", "limits.h", "math.h", "stdalign.h", "stdarg.h",
    "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h", "strings.h", "jansson.h",
    "uthash.h", "utarray.h", "utlist.h", "utstring.h",
}

INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*([<\"])([^>\"\n]+)[>\"]", re.MULTILINE)


def room_of(path: str) -> str:
    """`base`, `topics`, `reactors/labeler`, `ingest/github`, `tests`…"""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in ("reactors", "ingest") and len(parts) > 2 else parts[0]


def may_include(room: str) -> tuple | None:
    """The rooms that this one may include; None: any (tests)."""
    if room == "tests":
        return None
    if room in MAY:
        return MAY[room]
    if room.startswith("reactors/"):
        return REACTOR_MAY
    if room.startswith("ingest/"):
        return INGEST_MAY
    return ()


def includes_of(tree: Tree, path: str) -> list[tuple[int, bool, str]]:
    """(line, whether quoted, name) of every include."""
    code = tree.code(path)
    return [(line_of(code, match.start()), match.group(1) == '"', match.group(2)) for match in INCLUDE.finditer(code)]


def check(tree: Tree) -> Outcome:
    outcome = Outcome()
    known, count = set(tree.paths), 0
    for path in tree.c_files():
        room, quoted = room_of(path), []
        for line, is_quoted, name in includes_of(tree, path):
            if is_quoted:
                count += 1
                quoted.append((line, name))
                outcome.findings += check_include(path, line, room, name, known)
        own = path[:-2] + ".h"
        if path.endswith(".c") and own in known and quoted and quoted[0][1] != own:
            outcome.findings.append(Finding(path, quoted[0][0], f"include the own header first: \"{own}\" (it proves "
                                            "that the header compiles alone)"))
        if path.endswith("/plan.c") and room.startswith("reactors/"):
            outcome.findings += check_pure(tree, path)
    outcome.summary = f"{count} includes in {len(tree.c_files())} files"
    return outcome


def check_include(path: str, line: int, room: str, name: str, known: set) -> list[Finding]:
    if name not in known:
        return [Finding(path, line, f"\"{name}\" is no file of this tree: name the path from the root, such as "
                        "\"base/error.h\"; library headers go in <…>")]
    target, allowed = room_of(name), may_include(room)
    if allowed is None or target == room or target in allowed:
        return []
    return [Finding(path, line, f"{room} must not include {target} (\"{name}\"): it may include "
                    f"{', '.join(allowed) or 'libraries only'}. Move what is needed down a layer, or hand it in")]


def check_pure(tree: Tree, plan: str) -> list[Finding]:
    """Follows the includes of a plan.c; the finding names the chain."""
    findings, seen, waiting = [], {plan}, [(plan, "")]
    known = set(tree.paths)
    while waiting:
        path, chain = waiting.pop()
        for line, is_quoted, name in includes_of(tree, path):
            if not is_quoted:
                if name not in PURE_SYSTEM and path not in PURE:
                    findings.append(Finding(path, line, f"<{name}> is not among the pure headers, and {plan} reaches "
                                            f"it{chain}: planning does no input and output"))
            elif name not in seen and name in known:
                seen.add(name)
                if name not in PURE and room_of(name) not in (room_of(plan), "reactors/classifier"):
                    findings.append(Finding(path, line, f"\"{name}\" is not among the pure headers, and {plan} reaches "
                                            f"it{chain}: hand values to plan, or, if that header does no input and "
                                            "output, add it to PURE in tests/check/layers.py"))
                else:
                    waiting.append((name, f" through {name}"))
    return findings


A_H = {"base/error.h": "", "base/loop.h": "", "topics/event.h": "#include \"base/error.h\"\n",
       "reactors/labeler/plan.h": "", "reactors/trainer/plan.h": "", "ingest/github/door.h": ""}
SAMPLES = [
    ({**A_H, "base/a.c": "#include \"topics/event.h\"\n"}, "base must not include topics"),
    ({**A_H, "topics/a.c": "#include \"reactors/labeler/plan.h\"\n"}, "topics must not include reactors/labeler"),
    ({**A_H, "ingest/git/a.c": "#include \"ingest/github/door.h\"\n"}, "must not include ingest/github"),
    ({**A_H, "reactors/labeler/a.c": "#include \"reactors/trainer/plan.h\"\n"}, "must not include reactors/trainer"),
    ({**A_H, "reactors/labeler/a.c": "#include \"ingest/github/door.h\"\n"}, "must not include ingest/github"),
    ({**A_H, "reactors/kernel/a.c": "#include \"reactors/labeler/plan.h\"\n"}, "must not include reactors/labeler"),
    ({**A_H, "reactors/classifier/a.c": "#include \"topics/event.h\"\n"}, "must not include topics"),
    ({**A_H, "base/a.c": "#include \"error.h\"\n"}, "no file of this tree"),
    ({**A_H, "base/error.c": "#include \"base/loop.h\"\n#include \"base/error.h\"\n"}, "own header first"),
    ({**A_H, "reactors/labeler/plan.c": "#include \"reactors/labeler/plan.h\"\n#include <sys/socket.h>\n"},
     "<sys/socket.h> is not among the pure"),
    ({**A_H, "reactors/labeler/plan.h": "#include \"base/loop.h\"\n",
      "reactors/labeler/plan.c": "#include \"reactors/labeler/plan.h\"\n"}, "through reactors/labeler/plan.h"),
]
GOOD = {**A_H, "reactors/labeler/plan.c": "#include \"reactors/labeler/plan.h\"\n\n#include <string.h>\n\n"
        "#include \"base/error.h\"\n// #include \"ingest/github/door.h\"\n",
        "tests/unit/base/error_test.c": "#include \"base/error.h\"\n#include \"ingest/github/door.h\"\n",
        "reactors/labeler/act.c": "#include \"topics/event.h\"\n#include \"base/loop.h\"\n"}
