"""Units of Python against the language's own parser, over real files."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from cortex_pipelines.extraction.units import units_of

STDLIB = Path(ast.__file__).parent
MODULES = sorted(path for path in STDLIB.glob("*.py") if path.stat().st_size < 60_000)[:60]
PACKAGES = sorted(
    path for name in ("asyncio", "json", "email") for path in STDLIB.glob(f"{name}/*.py")
)


def expected(source: bytes) -> Counter[tuple]:
    """(kind, qualified name, first line, line of the keyword, last line, end byte), documented."""
    lengths = [0]
    for line in source.split(b"\n"):
        lengths.append(lengths[-1] + len(line) + 1)
    found: Counter[tuple] = Counter()
    inside = [(ast.parse(source), "", False)]
    while inside:
        node, prefix, in_class = inside.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            is_class = isinstance(node, ast.ClassDef)
            kind = "class" if is_class else "method" if in_class else "function"
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            end = lengths[node.end_lineno - 1] + node.end_col_offset
            documented = bool((ast.get_docstring(node) or "").strip())
            name = prefix + node.name
            found[(kind, name, first, node.lineno, node.end_lineno, end, documented)] += 1
            prefix, in_class = f"{name}.", is_class
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found[("import", node.lineno, node.end_lineno)] += 1
        elif isinstance(node, ast.Lambda):
            in_class = False
        inside += [(child, prefix, in_class) for child in ast.iter_child_nodes(node)]
    return found


def extracted(source: bytes, path: Path, settings) -> Counter[tuple]:
    found: Counter[tuple] = Counter()
    for unit in units_of(source, "python", path.name, settings):
        assert unit.code.encode() == source[unit.start_byte : unit.end_byte]
        if unit.kind == "import":
            found[("import", unit.name_line, unit.end_line)] += 1
        elif unit.kind not in ("variable", "constant"):
            lines = (unit.start_line, unit.name_line, unit.end_line, unit.end_byte)
            found[(unit.kind, unit.qualified_name, *lines, unit.docstring is not None)] += 1
    return found


@pytest.mark.parametrize("paths", [MODULES, PACKAGES], ids=["modules", "packages"])
def test_units_are_those_of_the_own_parser(paths, settings) -> None:
    wrong: Counter[tuple] = Counter()
    total = 0
    for path in paths:
        source = path.read_bytes()
        own, ours = expected(source), extracted(source, path, settings)
        total += own.total()
        wrong += (own - ours) + (ours - own)
    assert total > 1000
    assert wrong.total() <= 0.001 * total, wrong.most_common(5)


def test_the_oracle_sees_a_wrong_line(settings) -> None:
    source = b"@deco\ndef f():\n    pass\n# trailing\n"
    assert expected(source) == extracted(source, Path("a.py"), settings)
    assert expected(source) != extracted(b"\n" + source, Path("a.py"), settings)


def test_declarations_are_those_at_the_top_of_modules_and_classes(settings) -> None:
    source = (
        "LIMIT: int = 3\nnames = ['ä']\na, b = 1, 2\nclass A:\n    field: int\n    _MAX = 1\n"
        "    def f(self):\n        local = 1\n        self.x = 2\n"
    )
    units = units_of(source, "python", "a.py", settings)
    found = [
        (unit.kind, unit.qualified_name) for unit in units if unit.kind in ("variable", "constant")
    ]
    assert found == [
        ("constant", "LIMIT"),
        ("variable", "names"),
        ("variable", "a"),
        ("variable", "b"),
        ("variable", "A.field"),
        ("constant", "A._MAX"),
    ]


def test_documentation_is_not_implementation(settings) -> None:
    source = '''\
@cache
async def größe(
    a,  # first
    b: int = 1,
) -> int:  # so it is
    """Über alles.

    Mehr:
        Indented.
    """
    # why
    return a
    # trailing


def bare():
    """Only words."""
'''
    first, second = units_of(source, "python", "a.py", settings)
    assert first.signature == "async def größe( a, b: int = 1, ) -> int:"
    assert first.docstring == "Über alles.\n\nMehr:\n    Indented."
    assert source.encode()[first.body_start_byte :].startswith(b"# why")
    assert first.code.endswith("return a")
    assert (first.start_line, first.name_line, first.end_line) == (1, 2, 12)
    assert (second.docstring, second.body_start_byte) == ("Only words.", None)


def test_a_syntax_error_is_flagged_and_the_rest_is_there(settings) -> None:
    source = (
        "def good():\n    return 1\n\nclass Broken:\n    def bad(self):\n        x = = 1\n\n"
        "    def fine(self):\n        pass\n"
    )
    units = {unit.name: unit for unit in units_of(source, "python", "a.py", settings)}
    assert not units["good"].has_error
    assert "fine" in units
    assert any(unit.has_error for unit in units.values())
