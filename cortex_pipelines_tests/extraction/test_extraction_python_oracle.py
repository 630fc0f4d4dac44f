import ast
from collections import Counter
from pathlib import Path

import pytest

from cortex_pipelines.extraction.units import file_units
from cortex_pipelines_tests.parameters import load_cases

STDLIB = Path(ast.__file__).parent
MODULES = sorted(path for path in STDLIB.glob("*.py") if path.stat().st_size < 60_000)[:60]
PACKAGES = sorted(path for name in ("asyncio", "json", "email") for path in STDLIB.glob(f"{name}/*.py"))


def expected(source: bytes) -> Counter[tuple]:
    """(kind, qualified name, first line, line of the keyword, last line, end byte), documented."""
    lengths = [0]
    for line in source.split(b"\n"):
        lengths.append(lengths[-1] + len(line) + 1)
    counts: Counter[tuple] = Counter()
    inside = [(ast.parse(source), "", False)]
    while inside:
        node, prefix, in_class = inside.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            is_class = isinstance(node, ast.ClassDef)
            kind = "class" if is_class else "method" if in_class else "function"
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            end = lengths[node.end_lineno - 1] + node.end_col_offset
            documented = bool((ast.get_docstring(node) or "").strip())
            name = prefix + node.name
            counts[(kind, name, first, node.lineno, node.end_lineno, end, documented)] += 1
            prefix, in_class = f"{name}.", is_class
        elif isinstance(node, ast.Import | ast.ImportFrom):
            counts[("import", node.lineno, node.end_lineno)] += 1
        elif isinstance(node, ast.Lambda):
            in_class = False
        inside += [(child, prefix, in_class) for child in ast.iter_child_nodes(node)]
    return counts


def extracted(source: bytes, path: Path, settings) -> Counter[tuple]:
    counts: Counter[tuple] = Counter()
    for unit in file_units(source, "python", path.name, settings):
        assert unit.code.encode() == source[unit.start_byte : unit.end_byte]
        if unit.kind == "import":
            counts[("import", unit.name_line, unit.end_line)] += 1
        elif unit.kind not in ("variable", "constant"):
            lines = (unit.start_line, unit.name_line, unit.end_line, unit.end_byte)
            counts[(unit.kind, unit.qualified_name, *lines, unit.docstring is not None)] += 1
    return counts


@pytest.mark.parametrize("paths", [MODULES, PACKAGES], ids=["modules", "packages"])
def test_units_are_those_of_the_own_parser(paths, settings) -> None:
    wrong: Counter[tuple] = Counter()
    total = 0
    for path in paths:
        source = path.read_bytes()
        reference, ours = expected(source), extracted(source, path, settings)
        total += reference.total()
        wrong += (reference - ours) + (ours - reference)
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
    units = file_units(source, "python", "a.py", settings)
    declared_names = [(unit.kind, unit.qualified_name) for unit in units if unit.kind in ("variable", "constant")]
    variables = [("variable", name) for name in ("names", "a", "b", "A.field")]
    assert declared_names == [("constant", "LIMIT"), *variables, ("constant", "A._MAX")]


def declared(source: bytes) -> Counter[tuple]:
    """(qualified name, first line) of what a module and its classes assign, by Python's parser."""
    counts: Counter[tuple] = Counter()
    bodies: list[tuple[list, str, bool]] = [(ast.parse(source).body, "", False)]
    while bodies:
        body, prefix, local = bodies.pop()
        for node in body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            if isinstance(node, ast.Assign | ast.AnnAssign) and not local:
                names = [bound for target in targets for bound in _assigned(target)]
                counts.update((prefix + name, node.lineno) for name in names)
            elif isinstance(node, ast.ClassDef):
                bodies.append((node.body, f"{prefix}{node.name}.", False))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                bodies.append((node.body, f"{prefix}{node.name}.", True))
            elif isinstance(node, ast.If | ast.Try):
                blocks = [node.body, node.orelse, getattr(node, "finalbody", [])]
                blocks += [handler.body for handler in getattr(node, "handlers", [])]
                bodies += [(block, prefix, local) for block in blocks]
    return counts


def _assigned(target: ast.expr) -> list[str]:
    if isinstance(target, ast.Starred):
        return _assigned(target.value)
    if isinstance(target, ast.Tuple | ast.List):
        return [name for element in target.elts for name in _assigned(element)]
    return [target.id] if isinstance(target, ast.Name) else []


def test_declarations_are_those_of_the_own_parser(settings) -> None:
    wrong: Counter[tuple] = Counter()
    total = 0
    for path in [*MODULES, *PACKAGES]:
        source = path.read_bytes()
        ours = Counter(
            (unit.qualified_name, unit.start_line)
            for unit in file_units(source, "python", path.name, settings)
            if unit.kind in ("variable", "constant")
        )
        from_ast = declared(source)
        total += from_ast.total()
        wrong += (from_ast - ours) + (ours - from_ast)
    assert total > 1000
    assert wrong.total() <= 0.005 * total, (total, wrong.total(), wrong.most_common(20))


def test_documentation_is_not_implementation(settings) -> None:
    source = load_cases(__file__)["documentation_is_not_implementation"]
    first, second = file_units(source, "python", "a.py", settings)
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
    units = {unit.name: unit for unit in file_units(source, "python", "a.py", settings)}
    assert not units["good"].has_error
    assert "fine" in units
    assert any(unit.has_error for unit in units.values())
