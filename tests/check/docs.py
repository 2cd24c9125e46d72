"""Every declaration in a header has a doc comment directly above it, and every enum value says what it means.

Looked at: functions, structs, unions, enums, typedefs, variables and macros with a value. Not needed: a forward
declaration (`struct x;`), the include guard, and the call of a macro (`DEFINE_CLEANUP(…)`). A block of
macros without a blank line between them may share one comment; a macro or an enum value may carry its comment at the
end of its line. The file's opening comment documents
the file, not what happens to stand below it.
"""
import re

from tree import Finding, Outcome, Tree, comments_of, line_of, top_level, without_directives

NAME = "docs"
WHAT = "a doc comment on every declaration in a header"

ABOVE_LETTERS_MIN = 5  # "One key." is the least that says something.
BESIDE_LETTERS_MIN = 2  # Beside a value "as the sky" can be all there is to say.
ADVICE = "put a comment directly above it: purpose, units and ranges, ownership, errors and when, which thread"
MACRO_CALL = re.compile(r"^[A-Z][A-Z0-9_]*\([^()]*\);?[ \t]*$", re.MULTILINE)  # DEFINE_CLEANUP(…): names say it
FORWARD = re.compile(r"(?:struct|union|enum)\s+\w+\s*;\Z")
GUARD = re.compile(r"#\s*define\s+\w+\s*\Z")


class Header:
    """One header with what is needed to find the comment of a position."""

    def __init__(self, tree: Tree, path: str):
        self.text, self.code = tree.text(path), tree.code(path)
        self.plain = MACRO_CALL.sub(lambda match: " " * len(match.group()), without_directives(self.code))
        spans = comments_of(self.text)
        if spans and not self.text[:spans[0][0]].strip():
            spans = spans[1:]  # the file's opening comment
        self.ends = {end for start, end in spans if self.letters(start, end) >= ABOVE_LETTERS_MIN}
        self.starts = [start for start, end in spans if self.letters(start, end) >= BESIDE_LETTERS_MIN]

    def letters(self, start: int, end: int) -> int:
        return len(re.findall(r"[A-Za-z0-9]", self.text[start:end]))

    def is_documented_above(self, position: int) -> bool:
        """A comment ends directly above: only white space with one line break between."""
        before = self.text[:position]
        stripped = before.rstrip()
        return len(stripped) in self.ends and before[len(stripped):].count("\n") <= 1

    def is_documented_beside(self, position: int) -> bool:
        """A comment begins on the line of this position, behind it, or the comment goes on there."""
        end = self.text.find("\n", position)
        return any(position <= start < (end if end >= 0 else len(self.text)) for start in self.starts)


def check(tree: Tree) -> Outcome:
    outcome = Outcome()
    count = 0
    for path in tree.headers():
        header = Header(tree, path)
        for position, what, documented in [*declarations(header), *macros(header), *enum_values(header)]:
            count += 1
            if not documented:
                outcome.findings.append(Finding(path, line_of(header.text, position), f"{what} has no doc comment"))
    share = 100 * (1 - len(outcome.findings) / count) if count else 100
    outcome.summary = f"{count} declarations in {len(tree.headers())} headers, {share:.1f}% documented"
    return outcome


def declarations(header: Header):
    for piece in top_level(header.plain):
        code = " ".join(header.plain[piece.start:piece.end].split())
        if FORWARD.match(code) or code.startswith(("_Static_assert", "static_assert")):
            continue
        yield piece.start, describe(code), header.is_documented_above(piece.start)


def describe(code: str) -> str:
    """A short name for a declaration, for the message."""
    found = re.match(r"(?:typedef )?(struct|union|enum) (\w+) ?\{", code)
    if found:
        return f"{found.group(1)} {found.group(2)}"
    if code.startswith("typedef"):
        return "typedef " + (re.search(r"(\w+)\W*\Z", code.split(")(")[0]) or re.search(r"()", "")).group(1)
    found = re.search(r"(\w+) ?\(", code)
    return f"{found.group(1)}()" if found else code[:40]


def macros(header: Header):
    """Macros with a value. In a block without a gap the first one's comment is enough."""
    previous_line, previous_documented = -1, False
    for match in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+(\w+)(?:[^\n\\]|\\.)*", header.code, re.MULTILINE | re.DOTALL):
        if GUARD.match(match.group().strip()):
            continue
        first, last = line_of(header.text, match.start()), line_of(header.text, match.end())
        documented = header.is_documented_above(match.start()) or header.is_documented_beside(match.start()) \
            or (previous_documented and first == previous_line + 1)
        yield match.start(), f"macro {match.group(1)}", documented
        previous_line, previous_documented = last, documented


def enum_values(header: Header):
    for match in re.finditer(r"\benum\b[^{};()]*\{([^{}]*)\}", header.plain):
        for value in re.finditer(r"[^,]+", match.group(1)):
            name = re.search(r"[A-Za-z_]\w*", value.group())
            if not name or "(" in value.group() and "=" not in value.group():
                continue  # an X-macro: its table documents the values
            position = match.start(1) + value.start() + name.start()
            yield position, name.group(), header.is_documented_above(position) or header.is_documented_beside(position)


HEAD = "/* What this header is for, in a sentence. */\n#ifndef A_H\n#define A_H\n"
SAMPLES = [
    ({"base/a.h": HEAD + "int a_do(int x);\n#endif\n"}, "a_do() has no doc"),
    ({"base/a.h": "/* What this header is for, in a sentence. */\nint a_do(int x);\n"}, "a_do() has no doc"),
    ({"base/a.h": HEAD + "/* Does this and that. */\nint a_do(int x);\nint b_do(int x);\n"}, "b_do() has no doc"),
    ({"base/a.h": HEAD + "/* About something else. */\n\nint a_do(int x);\n"}, "a_do() has no doc"),
    ({"base/a.h": HEAD + "struct a {\n    int b; /* in milliseconds */\n};\n"}, "struct a has no doc"),
    ({"base/a.h": HEAD + "/* x */\nint a;\n"}, "int a; has no doc"),
    ({"base/a.h": HEAD + "/* The colours. */\nenum a {\n    RED,\n    BLUE, /* as the sky */\n};\n"}, "RED has no doc"),
    ({"base/a.h": HEAD + "#define A_MAX 3\n"}, "macro A_MAX has no doc"),
    ({"base/a.h": HEAD + "/* Limit of this. */\n#define A_MAX 3\n\n#define B_MAX 3\n"}, "macro B_MAX has no doc"),
    ({"base/a.h": HEAD + "typedef void (*a_done_fn)(int x);\n"}, "typedef a_done_fn has no doc"),
    ({"base/a.h": HEAD + "static inline int a_do(int x)\n{\n    return x;\n}\n"}, "a_do() has no doc"),
]
GOOD = {"base/a.h": HEAD + """
struct b;

/* Limits of this room. */
#define A_MAX 3
#define B_MAX 4

#define C_MAX 5 /* with its comment beside it */

/* The colours. */
enum colour {
    RED, /* as blood */
    /* As the sky. */
    BLUE,
    COLOURS(X)
};

/* Does this and that. */
int a_do(int x, enum colour colour) __attribute__((warn_unused_result));

// Does that and this.
static inline int b_do(int x)
{
    return x;
}
#endif
"""}
