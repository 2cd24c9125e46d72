"""Every Python file compiles without a warning of the compiler, and imports nothing that it does not use."""
import ast
import warnings

from tree import Finding, Outcome, Tree

NAME = "python"
WHAT = "Python compiles, and imports are used"


def check(tree: Tree) -> Outcome:
    outcome = Outcome(summary=f"{len(tree.python_files())} files")
    for path in tree.python_files():
        text = tree.text(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                module = ast.parse(text, path)
                compile(module, path, "exec")
        except (SyntaxError, SyntaxWarning, ValueError) as error:
            outcome.findings.append(Finding(path, getattr(error, "lineno", None) or 1, f"does not compile: {error}"))
            continue
        outcome.findings += unused_imports(path, module, text)
    return outcome


def unused_imports(path: str, module: ast.Module, text: str) -> list[Finding]:
    """Names that are imported at the top level and never read. __init__.py re-exports; `# noqa: F401` is a purpose."""
    if path.endswith("__init__.py"):
        return []
    used = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}
    quoted = " ".join(node.value for node in ast.walk(module)  # annotations in quotes, __all__
                      if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 100)
    lines, findings = text.splitlines(), []
    for node in module.body:
        if not isinstance(node, (ast.Import, ast.ImportFrom)) or getattr(node, "module", "") == "__future__":
            continue
        for alias in node.names:
            name = (alias.asname or alias.name).split(".")[0]
            if name not in used and name not in quoted and "noqa: F401" not in lines[node.lineno - 1]:
                findings.append(Finding(path, node.lineno, f"imports {name} and never uses it: take the import out"))
    return findings


SAMPLES = [
    ({"a.py": "def f(:\n"}, "does not compile"),
    ({"run": "#!/usr/bin/env python3\nx = = 1\n"}, "does not compile"),
    ({"a.py": "x = '\\d'\n"}, "does not compile"),
    ({"a.py": "import os\n"}, "imports os"),
    ({"a.py": "from os import path, sep\nprint(sep)\n"}, "imports path"),
]
GOOD = {"a.py": "from __future__ import annotations\nimport os.path\nimport re  # noqa: F401\nprint(os.sep)\n",
        "b/__init__.py": "from a import f\n"}
