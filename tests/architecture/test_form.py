"""The form of the code: short modules, documented names, no float among the records, a README that points right."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
FOLDERS = ("fedgap", "tests", "bench", "examples", "server", "clients")
SECTION = "## Where things are"
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "misc.py", "common.py"}


def sources(*folders: str) -> list[Path]:
    """Every Python file below these folders."""
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts
    )


def undocumented(tree: ast.Module) -> list[str]:
    """Public modules, classes, functions and methods without a docstring."""
    return [name for name, node in _public(tree, "") if ast.get_docstring(node) is None]


Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(node: Documented, prefix: str) -> Iterator[tuple[str, Documented]]:
    yield prefix or "module", node
    inner = node.body if isinstance(node, ast.Module | ast.ClassDef) else []
    for child in inner:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            yield from _public(child, f"{prefix}.{child.name}".lstrip("."))


def floats(tree: ast.AST) -> list[int]:
    """Lines that name the type float or write a number with a point or an exponent."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "float":
            found.add(node.lineno)
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.add(node.lineno)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\bfloat\b", node.value):
            found |= {node.lineno} if not _is_sentence(node.value) else set()
    return sorted(found)


def _is_sentence(text: str) -> bool:
    """A docstring may speak of floats; an annotation written as a text may not."""
    return " " in text.strip() and "|" not in text


def missing_paths(readme: str, root: Path) -> list[str]:
    """Paths that a README names under "Where things are" and that do not exist.

    Raises:
        AssertionError: it has no such section, or the section names no path.
    """
    _, found, rest = readme.partition(f"\n{SECTION}\n")
    assert found, f"README.md has no section {SECTION!r}"
    section = re.split(r"\n## ", rest)[0]
    named = [text for text in re.findall(r"`([^`\s]+)`", section) if "/" in text or text.endswith((".py", ".md"))]
    assert named, "the section names no path"
    return [text for text in named if not (root / text).exists()]


@pytest.mark.parametrize("path", sources(*FOLDERS), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_has_at_most_400_lines_and_a_name_that_says_what_is_inside(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert path.name not in FORBIDDEN_NAMES


@pytest.mark.parametrize("path", sources("fedgap"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_public_names_have_docstrings(path: Path) -> None:
    assert undocumented(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_the_scan_for_docstrings_finds_what_is_missing() -> None:
    source = (
        '"""m"""\nclass A:\n    """a"""\n    def f(self): ...\n    def _g(self): ...\ndef h():\n    def inner(): ...\n'
    )

    assert undocumented(ast.parse(source)) == ["A.f", "h"]
    assert undocumented(ast.parse("x = 1\n")) == ["module"]


@pytest.mark.parametrize("path", sources("fedgap/records"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_records_hold_no_floats(path: Path) -> None:
    """Money and signed bytes leave no room for rounding."""
    assert floats(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_the_scan_for_floats_tells_good_from_bad() -> None:
    good = 'class Paid:\n    """No float here."""\n    cents: int\n    share: Fraction = Fraction(1, 3)\n'
    bad = "class Paid:\n    a: float\n    b = 0.5\n    c: 'float | None'\n    d: dict[str, float]\n    e = 1e3\n"

    assert floats(ast.parse(good)) == []
    assert floats(ast.parse(bad)) == [2, 3, 4, 5, 6]


def test_the_readme_says_where_things_are_and_is_right() -> None:
    assert missing_paths((ROOT / "README.md").read_text(encoding="utf-8"), ROOT) == []


def test_the_scan_of_the_readme_finds_a_wrong_path(tmp_path: Path) -> None:
    (tmp_path / "here.py").touch()
    text = f"# x\n\n{SECTION}\n\n- `here.py`, `not/here.py`, `a b`\n\n## Next\n\n`nor/this`\n"

    assert missing_paths(text, tmp_path) == ["not/here.py"]
    with pytest.raises(AssertionError, match="no section"):
        missing_paths("# x\n", tmp_path)
    with pytest.raises(AssertionError, match="names no path"):
        missing_paths(f"# x\n{SECTION}\nnothing\n", tmp_path)
