"""Calls that this code does not make, each with what to use instead.

Where one is right for a reason, the line (or the one above) says so: `check: allow NAME: the reason`.
"""
import re

from tree import Finding, Outcome, Tree, line_of

NAME = "banned"
WHAT = "no unsafe, blocking or hidden calls"

MEMORY = ("base/memory.c",)
CLOCK = ("base/loop.c", "base/log.c")  # log lines are written before there is a loop; its clock can be replaced too

# (names, paths where they are fine: prefixes or file names, what to do instead)
BANNED = [
    ("strcpy strcat stpcpy strncpy strncat", (), "copy with a length: memcpy, snprintf or base/buffer.h"),
    ("sprintf vsprintf", (), "use snprintf, or base/buffer.h"),
    ("gets scanf sscanf fscanf", (), "parse by hand or with strtol and its end pointer"),
    ("strtok", (), "use strcspn or strtok_r: strtok keeps hidden state"),
    ("atoi atol atoll atof", (), "use strtol or strtod and check the end: these cannot report an error"),
    ("alloca", (), "use base/memory.h: the stack has no error"),
    ("system popen", (), "start a child with a deadline, without a shell: base/child.h"),
    ("sleep usleep nanosleep", ("tests/",), "use a timer of base/loop.h: nothing blocks in a callback"),
    ("exit quick_exit", ("main.c", "tests/"), "return an error: only main.c ends the process"),
    ("malloc calloc realloc reallocarray strdup strndup asprintf vasprintf", MEMORY,
     "use base/memory.h, which aborts where memory is gone"),
    ("time gettimeofday clock_gettime clock", (*CLOCK, "tests/"), "ask base/loop.h: the clock must be replaceable"),
    ("rand srand random srandom drand48 getrandom rand_r", (*CLOCK, "tests/"),
     "ask base/loop.h: runs must be repeatable from a seed"),
    ("localtime gmtime ctime asctime", (), "use the reentrant form (localtime_r, gmtime_r)"),
]
RULES = {name: (places, advice) for names, places, advice in BANNED for name in names.split()}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(RULES) + r")\s*\(")
ASSERT = re.compile(r"\bassert\s*\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")
SIDE_EFFECT = re.compile(r"\+\+|--|(?<![=!<>+\-*/%&|^])=(?!=)|[+\-*/%&|^]=")


def is_fine(path: str, places: tuple) -> bool:
    return any(path.startswith(place) if place.endswith("/") else ("/" + path).endswith("/" + place)
               for place in places)


def is_allowed(lines: list[str], line: int, name: str) -> bool:
    """Whether this line or the one above carries a permission with a reason."""
    permission = re.compile(rf"check: allow {name}: *\w")
    return any(permission.search(text) for text in lines[max(0, line - 2):line])


def check(tree: Tree) -> Outcome:
    outcome = Outcome()
    for path in tree.c_files():
        code, lines = tree.code(path), tree.text(path).splitlines()
        for match in CALL.finditer(code):
            name, line = match.group(1), line_of(code, match.start())
            places, advice = RULES[name]
            before = re.search(r"(\w+|\*)\s*\Z", code[max(0, match.start() - 60):match.start()])
            declares = before is not None and before.group(1) not in ("return", "else", "do", "case", "sizeof")
            if declares or is_fine(path, places) or is_allowed(lines, line, name):
                continue
            outcome.findings.append(Finding(path, line, f"{name}() is banned: {advice}"))
        for match in ASSERT.finditer(code):
            if SIDE_EFFECT.search(match.group(1)):
                outcome.findings.append(Finding(path, line_of(code, match.start()), "assert() with a side effect: do "
                                                "it before, assert the result"))
    outcome.summary = f"{len(tree.c_files())} files, {len(RULES)} calls"
    return outcome


SAMPLES = [
    *(({"base/a.c": f"void f(void)\n{{\n    {name}(x);\n}}\n"}, f"{name}() is banned") for name in RULES),
    ({"base/a.c": "int f(void)\n{\n    return atoi(x);\n}\n"}, "atoi() is banned"),
    ({"base/a.c": "void f(void)\n{\n    /* check: allow exit: */\n    exit(1);\n}\n"}, "exit() is banned"),
    ({"base/a.c": "void f(void)\n{\n    assert(i++ < 3);\n}\n"}, "side effect"),
    ({"base/a.c": "void f(void)\n{\n    assert((x = g()) != NULL);\n}\n"}, "side effect"),
    ({"base/main.cc.c": "void f(void)\n{\n    exit(1);\n}\n"}, "exit() is banned"),
]
GOOD = {
    "reactors/labeler/main.c": "int main(void)\n{\n    exit(1);\n}\n",
    "base/memory.c": "void *x(void)\n{\n    return malloc(3);\n}\n",
    "base/a.c": "/* strcpy(a, b) */\nconst char *s = \"gets(x)\";\nvoid f(void)\n{\n    assert(a == b && c <= d && "
                "e != f);\n    p->time(3);\n    p.sleep(1);\n    my_exit(2);\n    /* check: allow exit: the child of a"
                " fork has no other way */\n    exit(1);\n}\n",
    "tests/unit/a.c": "void f(void)\n{\n    usleep(1);\n}\n",
    "base/b.h": "int64_t time(struct loop *loop);\n",
}
