"""What every check reads: the files of the project, C text without comments, and the scanner of C declarations.

Design: a check is one file with `NAME`, `WHAT` and `check(tree)`, which returns findings; `SAMPLES` beside it are
small trees that it must refuse, which selftest.py proves. Files come from git (tracked, and new ones not ignored), so
build folders and caches are never looked at; a sample is a tree in memory.

The scanner needs no compiler: it blanks comments and literals with spaces, keeping every position, and then reads
brackets. It is right for code that clang-format accepts, and is not a C parser.

Standard library only.
"""
from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One breach: where, what is wrong, what to do. `warning` ones are shown and do not fail."""
    path: str
    line: int
    text: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {'warning: ' if self.warning else ''}{self.text}"


@dataclass
class Outcome:
    """What a check says: its findings, a line of figures for the report, and why it could not run, if so."""
    findings: list[Finding] = field(default_factory=list)
    summary: str = ""
    skipped: str = ""


class Tree:
    """Files by their path from the root of the project, with `/`."""

    def __init__(self, root: Path | None, texts: dict[str, str] | None = None):
        self.root = root
        self._texts = dict(texts or {})
        self._blank: dict[str, str] = {}
        self.paths = sorted(self._texts) if texts is not None else list_files(root)

    @classmethod
    def of_project(cls) -> "Tree":
        return cls(Path(__file__).resolve().parents[2])

    def text(self, path: str) -> str:
        """The text of a file; bytes that are not UTF-8 are replaced."""
        if path not in self._texts:
            self._texts[path] = (self.root / path).read_text(encoding="utf-8", errors="replace")
        return self._texts[path]

    def write_to(self, folder: Path) -> Path:
        """Writes a sample to a real folder, for checks that call a program."""
        for path in self.paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(self.text(path), encoding="utf-8")
        return folder

    def code(self, path: str) -> str:
        """A C file with comments and the contents of literals blanked; same length, same lines."""
        if path not in self._blank:
            self._blank[path] = blank_comments(self.text(path))
        return self._blank[path]

    def c_files(self) -> list[str]:
        return [path for path in self.paths if path.endswith((".c", ".h"))]

    def headers(self) -> list[str]:
        """The product's headers. A test's header is part of its test: it exports nothing."""
        return [path for path in self.paths if path.endswith(".h") and not path.startswith("tests/")]

    def python_files(self) -> list[str]:
        return [path for path in self.paths if path.endswith(".py") or "python" in self.first_line(path)]

    def shell_files(self) -> list[str]:
        return [path for path in self.paths
                if path.endswith(".sh") or re.match(r"#!.*\b(?:ba|da)?sh\b", self.first_line(path))]

    def first_line(self, path: str) -> str:
        """The `#!` line of a script without an extension, else nothing."""
        if "." in path.rsplit("/", 1)[-1].lstrip("."):
            return ""
        line = self.text(path).split("\n", 1)[0]
        return line if line.startswith("#!") else ""


def list_files(root: Path) -> list[str]:
    """Tracked files and new ones that .gitignore does not name, as far as they exist."""
    done = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                          capture_output=True, check=True)
    names = {name.decode(errors="surrogateescape") for name in done.stdout.split(b"\0") if name}
    return sorted(name for name in names if (root / name).is_file() and not (root / name).is_symlink())


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


COMMENT_OR_LITERAL = re.compile(r"""
    (?P<comment> /\*.*?\*/ | //(?:[^\n\\]|\\.)* ) |
    (?P<text> "(?:[^"\\\n]|\\.)*" ) |
    (?P<letter> '(?:[^'\\\n]|\\.)*' )
""", re.VERBOSE | re.DOTALL)


def blank_comments(text: str) -> str:
    """Spaces for comments and for what is inside quotes. The names in #include "…" stay."""
    def blank(match: re.Match) -> str:
        found = match.group()
        if match.lastgroup != "comment":
            start = text.rfind("\n", 0, match.start()) + 1
            if re.match(r"[ \t]*#[ \t]*include\b", text[start:match.start()]):
                return found
            return found[0] + re.sub(r"[^\n]", " ", found[1:-1]) + found[-1]
        return re.sub(r"[^\n]", " ", found)
    return COMMENT_OR_LITERAL.sub(blank, text)


def comments_of(text: str) -> list[tuple[int, int]]:
    """The (start, end) of every comment."""
    return [match.span() for match in COMMENT_OR_LITERAL.finditer(text) if match.lastgroup == "comment"]


def without_directives(code: str) -> str:
    """Blanked text without preprocessor lines, continued ones included."""
    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\.)*", lambda match: re.sub(r"[^\n]", " ", match.group()), code,
                  flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """One declaration or definition at the top level of a file: `code[start:end]`, and its outer body if any."""
    start: int
    end: int
    body: int  # position of its first outer `{`, or -1


def top_level(code: str) -> list[Piece]:
    """Cuts text without comments and directives into its outermost declarations.

    A `}` ends one when it closed a function's body; after a struct's the declarator and `;` still follow. A macro call
    on a line of its own (such as a test table's) is taken together with what follows it, which is harmless.
    """
    pieces, depth, start, body = [], 0, -1, -1
    for match in re.finditer(r"[{}();]|[^\s{}();]+", code):
        token, at = match.group(), match.start()
        if start < 0 and token not in ";}":
            start = at
        if token in "({":
            if token == "{" and depth == 0 and body < 0:
                body = at
            depth += 1
        elif token in ")}":
            depth = max(0, depth - 1)
            if token == "}" and depth == 0 and is_function(code, start, body):
                pieces.append(Piece(start, match.end(), body))
                start = body = -1
        elif token == ";" and depth == 0 and start >= 0:
            pieces.append(Piece(start, match.end(), body))
            start = body = -1
    return pieces


AGGREGATE = re.compile(r"^(?:typedef\s+)?(?:struct|union|enum)\b[^(]*(?:__attribute__.*)?$", re.DOTALL)


def is_function(code: str, start: int, body: int) -> bool:
    """Whether the `{` at `body` opens a function: its head ends with parameters (and attributes), without an `=`."""
    head = code[start:body].strip() if body >= 0 else ""
    if "(" not in head or "=" in head or AGGREGATE.match(head):
        return False
    return re.fullmatch(r"[\w\s]*", head[head.rindex(")") + 1:]) is not None


@dataclass(frozen=True)
class Function:
    """A function's definition: its name and first and last line."""
    name: str
    first: int
    last: int


def functions_of(tree: Tree, path: str) -> list[Function]:
    """Every function defined in a C file."""
    code = without_directives(tree.code(path))
    found = []
    for piece in top_level(code):
        if not is_function(code, piece.start, piece.body):
            continue
        name = re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", code[piece.start:piece.body]))
        found.append(Function(name.group(1) if name else "?", line_of(code, piece.start), line_of(code, piece.end - 1)))
    return found
