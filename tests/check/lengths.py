"""Functions fit on a screen and files can be read in one go.

A function of more than 80 lines (signature to closing brace) and a file of more than 600 lines fail; a file of more
than 500 lines and lines of more than 120 characters are warnings. The share of functions within 50 lines is reported:
the codebases that read well keep about nine in ten there.
"""
from tree import Finding, Outcome, Tree, functions_of

NAME = "lengths"
WHAT = "functions of at most 80 lines, files of at most 600"

FUNCTION_LINES_MAX = 80
FUNCTION_LINES_GOOD = 50
FILE_LINES_MAX = 600
FILE_LINES_GOOD = 500
LINE_CHARACTERS_MAX = 120  # clang-format holds C code to 100; this is for comments and the other languages
NOT_WRITTEN_BY_HAND = ("tests/cases/",)


def check(tree: Tree) -> Outcome:
    outcome = Outcome()
    lengths = []
    for path in tree.c_files():
        for function in functions_of(tree, path):
            lines = function.last - function.first + 1
            lengths.append(lines)
            if lines > FUNCTION_LINES_MAX:
                outcome.findings.append(Finding(path, function.first, f"{function.name}() has {lines} lines, at most "
                                                f"{FUNCTION_LINES_MAX}: give its parts names as functions"))
    written = [path for path in sorted({*tree.c_files(), *tree.python_files(), *tree.shell_files()})
               if not path.startswith(NOT_WRITTEN_BY_HAND)]
    for path in written:
        outcome.findings += check_file(path, tree.text(path).splitlines())
    good = sum(1 for lines in lengths if lines <= FUNCTION_LINES_GOOD)
    share = f"{100 * good / len(lengths):.1f}%" if lengths else "none"
    outcome.summary = (f"{len(lengths)} functions, {share} within {FUNCTION_LINES_GOOD} lines, longest "
                       f"{max(lengths, default=0)}; {len(written)} files")
    return outcome


def check_file(path: str, lines: list[str]) -> list[Finding]:
    wide = [number for number, line in enumerate(lines, 1) if len(line) > LINE_CHARACTERS_MAX]
    findings = [Finding(path, wide[0], f"{len(wide)} lines of more than {LINE_CHARACTERS_MAX} characters, of which "
                        "this is the first: break them", warning=True)] if wide else []
    if len(lines) > FILE_LINES_GOOD:
        hard = len(lines) > FILE_LINES_MAX
        findings.append(Finding(path, 1, f"{len(lines)} lines, at most {FILE_LINES_MAX if hard else FILE_LINES_GOOD}: "
                                "split it where its subject changes", warning=not hard))
    return findings


SAMPLES = [
    ({"base/a.c": "int f(void)\n{\n" + "    g();\n" * 78 + "}\n"}, "f() has 81 lines"),
    ({"base/a.c": "static struct x *f(int a,\n    int b) MUST_CHECK\n{\n" + "    g();\n" * 90 + "}\n"}, "f() has 94"),
    ({"base/a.c": "int a;\n" * 601}, "601 lines, at most 600"),
    ({"base/a.py": "a = 1\n" * 601}, "601 lines"),
]
GOOD = {"base/a.c": "int f(void)\n{\n" + "    g();\n" * 77 + "}\nstatic int t[] = {\n" + "    1,\n" * 100 + "};\n"}
