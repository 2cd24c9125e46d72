"""`nodag specs check` and `schema`, which need no broker, as people and their continuous integration call them."""
import json
from pathlib import Path

import pytest
from daemon import run_program

CASES = Path(__file__).resolve().parents[1] / "cases" / "specs"
LABELER = """\
apiVersion: nodag.dev/v1
kind: Labeler
metadata: {{name: {name}}}
spec:
  repositories: ["{repositories}"]
  labels: {{include: ["area/*"]}}
  models: [{{file: label.model}}]
"""


@pytest.fixture
def specs(bin_dir):
    def run(*arguments, status: int = 0):
        return run_program([bin_dir / "nodag", "specs", *arguments], status)
    return run


def test_valid(specs):
    """All in one: the folder's cases have names in common, so each file is checked by itself."""
    for path in sorted((CASES / "valid").glob("*.yaml")):
        assert "valid document" in specs("check", path).stdout


def test_invalid(specs):
    for path in sorted((CASES / "invalid").glob("*.yaml")):
        done = specs("check", path, status=1)
        assert str(path) in done.stderr


def test_json(specs):
    path = CASES / "invalid" / "unknown_name.yaml"
    found = json.loads(specs("check", "--json", path, status=1).stdout)
    assert found == {"valid": [], "errors": [{"file": str(path), "line": 7, "column": 3,
                                              "text": "unknown name 'coment'; did you mean 'comment'?"}]}


def test_together(specs, tmp_path):
    """What several files mean together: one name twice, and repositories that two Labelers match."""
    (tmp_path / "a.yaml").write_text(LABELER.format(name="a", repositories="acme/*"), encoding="utf-8")
    assert specs("check", tmp_path).stdout == "1 valid document in 1 file\n"
    (tmp_path / "b.yaml").write_text(LABELER.format(name="b", repositories="acme/one"), encoding="utf-8")
    said = specs("check", tmp_path, status=1).stderr
    assert "Labeler/b and Labeler/a" in said and "both match acme/one" in said
    (tmp_path / "b.yaml").write_text(LABELER.format(name="a", repositories="other/*"), encoding="utf-8")
    said = specs("check", tmp_path, status=1).stderr
    assert "b.yaml:1: Labeler/a stands in" in said and "a.yaml:1: Labeler/a stands in" in said


def test_allow(specs, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(LABELER.format(name="a", repositories="acme/*"), encoding="utf-8")
    specs("check", "--allow-target", "acme/*", "--allow-label", "area/*", "--allow-name", "Labeler/*", path)
    said = specs("check", "--allow-target", "acme/one", path, status=1).stderr
    assert "its source may not act on `acme/*` (allow.targets)" in said
    said = specs("check", "--from-folder", path, status=1).stderr
    assert "`since` is required" in said


def test_nowhere(specs, tmp_path):
    assert "cannot read" in specs("check", tmp_path / "none", status=1).stderr
    assert "there is no document" in specs("check", tmp_path).stderr


@pytest.mark.parametrize("kind", ["Model", "Deployment", "Labeler"])
def test_schema(specs, kind):
    schema = json.loads(specs("schema", kind).stdout)
    assert schema["title"] == kind and schema["properties"]["kind"]["enum"] == [kind]
    assert f"## {kind}\n" in specs("schema", kind, "--format", "markdown").stdout


def test_unknown_kind(specs):
    assert "did you mean Labeler?" in specs("schema", "Labeller", status=2).stderr


def test_completion(specs):
    assert {"list", "show", "check", "schema"} <= set(specs("--list-options").stdout.split())
    assert "--json" in specs("check", "--list-options").stdout
