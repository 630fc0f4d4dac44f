import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.annotation.fixes.build import smell_fixes
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.schemas.vocabulary import PURPOSES
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

PACKAGE = Path(__file__).parents[2] / "cortex_pipelines"


# Smell, language, before, after.
@pytest.mark.parametrize(("smell", "language", "before", "after"), CASES["FIXED"])
def test_a_smell_is_mended(smell: str, language: str, before: str, after: str) -> None:
    fixes = {fix.smell: fix for fix in smell_fixes(before, language)}
    assert (fixes[smell].after, fixes[smell].before) == (after, before)
    assert fixes[smell].purpose in PURPOSES
    assert fixes[smell].explanation.startswith(LABELS[smell].explanation)
    # and what is mended needs no mending
    assert smell not in {fix.smell for fix in smell_fixes(after, language)}


@pytest.mark.parametrize(("language", "code"), CASES["what_is_not_safe_is_left_alone"])
def test_what_is_not_safe_is_left_alone(language: str, code: str) -> None:
    assert smell_fixes(code, language) == []


def _as_mended(tree: ast.AST) -> str:
    """A tree with the smells of operators mended, by Python's own parser."""

    class Mend(ast.NodeTransformer):
        def visit_Compare(self, node: ast.Compare) -> ast.AST:
            self.generic_visit(node)
            none = isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value is None
            better = {ast.Eq: ast.Is(), ast.NotEq: ast.IsNot()}.get(type(node.ops[0]))
            if none and better and len(node.ops) == 1:
                node.ops = [better]
            return node

        def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
            self.generic_visit(node)
            inner = node.operand
            if isinstance(node.op, ast.Not) and isinstance(inner, ast.Compare):
                better = {ast.In: ast.NotIn(), ast.Is: ast.IsNot()}.get(type(inner.ops[0]))
                if better and len(inner.ops) == 1:
                    inner.ops = [better]
                    return inner
            return node

        def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
            self.generic_visit(node)
            node.type = node.type or ast.Name("Exception", ast.Load())
            return node

        def visit_If(self, node: ast.If) -> ast.AST:
            self.generic_visit(node)
            inner = node.body[0]
            if len(node.body) == 1 and isinstance(inner, ast.If) and not (node.orelse + inner.orelse):
                # `a and b and c` is flat in the one and nested in the other
                return ast.If(ast.BoolOp(ast.And(), [node.test, inner.test]), inner.body, [])
            return node

    return ast.dump(ast.fix_missing_locations(Mend().visit(tree)))


_LINES = st.sampled_from(
    [
        "a = b == None",
        "c(not a in b, None != d)",
        "if not (a is b):\n    e()",
        "if a:\n    if b < c:\n        d('ä')",
        "try:\n    f()\nexcept:\n    g()",
        "for a in b:\n    if c == None: d()",
        "x = 'not a in b == None'",
        "# if a:",
    ]
)


@given(st.lists(_LINES, min_size=1, max_size=5))
def test_all_else_of_the_tree_is_equal_by_pythons_own_parser(lines: list[str]) -> None:
    body = "\n".join(lines).replace("\n", "\n    ")
    code = f"def f():\n    {body}\n    return 1"
    fixes = smell_fixes(code, "python")
    for fix in fixes:
        assert _as_mended(ast.parse(fix.after)) == _as_mended(ast.parse(code))
    # mended one after the other, none is left
    for _ in range(20):
        if not fixes:
            break
        code, fixes = fixes[0].after, smell_fixes(fixes[0].after, "python")
    assert fixes == []


def test_real_functions_still_compile() -> None:
    for path in sorted(PACKAGE.rglob("*.py"))[:40]:
        source = path.read_text()
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                for fix in smell_fixes(ast.get_source_segment(source, node) or "", "python"):
                    assert ast.dump(ast.parse(fix.after)) != ast.dump(ast.parse(fix.before))


@given(
    st.sampled_from(("python", "javascript", "typescript", "java", "go", "rust")),
    st.sampled_from([before for _, _, before, _ in CASES["FIXED"]]),
    st.integers(0, 200),
)
def test_cut_code_is_mended_or_left(language: str, code: str, cut: int) -> None:
    for fix in smell_fixes(code[cut:], language):
        assert fix.after != fix.before
