"""Mechanical fixes: what they make of a smell, and that all else stays."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.annotation.fixes.build import smell_fixes
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.schemas.vocabulary import PURPOSES

PACKAGE = Path(__file__).parents[2] / "cortex_pipelines"

# Smell, language, before, after.
FIXED = [
    (
        "mutable-default",
        "python",
        'def f(a, b=[]):\n    "Doc."\n    b.append(a)\n    return b',
        'def f(a, b=None):\n    "Doc."\n    if b is None:\n        b = []\n    b.append(a)\n    return b',
    ),
    (
        "mutable-default",
        "python",
        "def f(self, b: dict[str, int] = {}) -> None:\n        self.b = b",
        "def f(self, b: dict[str, int] | None = None) -> None:\n"
        "        if b is None:\n            b = {}\n        self.b = b",
    ),
    ("none-by-equality", "python", "def f(a):\n    return a == None", "def f(a):\n    return a is None"),
    ("none-by-equality", "python", "def f(a):\n    return a != None", "def f(a):\n    return a is not None"),
    ("negated-operator", "python", "def f(a):\n    return not a in b", "def f(a):\n    return a not in b"),
    ("negated-operator", "python", "def f(a):\n    if not a is b: return 1", "def f(a):\n    if a is not b: return 1"),
    (
        "bare-except",
        "python",
        "def f():\n    try:\n        g()\n    except:\n        h()",
        "def f():\n    try:\n        g()\n    except Exception:\n        h()",
    ),
    (
        "unsafe-yaml",
        "python",
        "def f(a):\n    return yaml.load(a, Loader=yaml.Loader)",
        "def f(a):\n    return yaml.safe_load(a)",
    ),
    (
        "disabled-tls-verification",
        "python",
        "def f(a):\n    return requests.get(a, verify=False, timeout=3)",
        "def f(a):\n    return requests.get(a, timeout=3)",
    ),
    (
        "range-len-loop",
        "python",
        "def f(lines):\n    for i in range(len(lines)):\n        g(lines[i], lines[i] + 1)",
        "def f(lines):\n    for line in lines:\n        g(line, line + 1)",
    ),
    (
        "string-concat-in-loop",
        "python",
        'def f(xs):\n    out = ""\n    for x in xs:\n        out += g(x) + "\\n"\n    return out',
        "def f(xs):\n    parts = []\n    for x in xs:\n"
        '        parts.append(g(x) + "\\n")\n    out = "".join(parts)\n    return out',
    ),
    (
        "else-after-return",
        "python",
        "def f(a):\n    if a:\n        return 1\n    else:\n        b()\n        return 2",
        "def f(a):\n    if a:\n        return 1\n    b()\n    return 2",
    ),
    (
        "else-after-return",
        "javascript",
        "function f(a) {\n  if (a) {\n    return 1;\n  } else {\n    g();\n    return 2;\n  }\n}",
        "function f(a) {\n  if (a) {\n    return 1;\n  }\n  g();\n  return 2;\n}",
    ),
    (
        "else-after-return",
        "java",
        "int f(int a) {\n    if (a > 0) {\n      return 1;\n    } else {\n      return 2;\n    }\n  }",
        "int f(int a) {\n    if (a > 0) {\n      return 1;\n    }\n    return 2;\n  }",
    ),
    (
        "else-after-return",
        "go",
        "func f(a int) int {\n\tif a > 0 {\n\t\treturn 1\n\t} else {\n\t\treturn 2\n\t}\n}",
        "func f(a int) int {\n\tif a > 0 {\n\t\treturn 1\n\t}\n\treturn 2\n}",
    ),
    (
        "collapsible-if",
        "python",
        "def f(a, b):\n    if a or b:\n        if b:\n            g()\n            h()",
        "def f(a, b):\n    if (a or b) and b:\n        g()\n        h()",
    ),
    (
        "collapsible-if",
        "typescript",
        "function f(a: T) {\n  if (a) {\n    if (a.b > 1) {\n      g();\n    }\n  }\n}",
        "function f(a: T) {\n  if (a && a.b > 1) {\n    g();\n  }\n}",
    ),
    (
        "collapsible-if",
        "rust",
        "fn f(a: u8) {\n    if a > 1 {\n        if a < 9 {\n            g();\n        }\n    }\n}",
        "fn f(a: u8) {\n    if a > 1 && a < 9 {\n        g();\n    }\n}",
    ),
    (
        "redundant-boolean",
        "python",
        "def f(a):\n    if a > 1:\n        return True\n    else:\n        return False",
        "def f(a):\n    return a > 1",
    ),
    (
        "redundant-boolean",
        "python",
        "def f(a):\n    if a.b:\n        return False\n    else:\n        return True",
        "def f(a):\n    return not (a.b)",
    ),
    (
        "redundant-boolean",
        "javascript",
        "function f(a) {\n  if (a) {\n    return true;\n  } else {\n    return false;\n  }\n}",
        "function f(a) {\n  return Boolean(a);\n}",
    ),
    ("commented-out-code", "go", "func f() {\n\t// x := 1\n\t// g(x)\n\th()\n}", "func f() {\n\th()\n}"),
    ("dead-code", "python", "def f():\n    return 1\n    print(2)", "def f():\n    return 1"),
    (
        "loose-equality",
        "javascript",
        'function f(a) { return typeof a == "string"; }',
        'function f(a) { return typeof a === "string"; }',
    ),
    (
        "string-identity",
        "java",
        'boolean f(String a) { return a != "b"; }',
        'boolean f(String a) { return !"b".equals(a); }',
    ),
]


@pytest.mark.parametrize(("smell", "language", "before", "after"), FIXED)
def test_a_smell_is_mended(smell: str, language: str, before: str, after: str) -> None:
    fixes = {fix.smell: fix for fix in smell_fixes(before, language)}
    assert fixes[smell].after == after
    assert fixes[smell].before == before
    assert fixes[smell].purpose in PURPOSES
    assert fixes[smell].explanation.startswith(LABELS[smell].explanation)
    # and what is mended needs no mending
    assert smell not in {fix.smell for fix in smell_fixes(after, language)}


@pytest.mark.parametrize(
    ("language", "code"),
    [
        # the index is used by itself, the elements are replaced, or the list is
        ("python", "def f(xs):\n    for i in range(len(xs)):\n        g(i, xs[i])"),
        ("python", "def f(xs):\n    for i in range(len(xs)):\n        xs[i] = 1"),
        ("python", "def f(xs):\n    for i in range(len(xs)):\n        xs[i] += 1"),
        ("python", "def f(xs):\n    for i in range(len(xs)):\n        g(xs[i], xs)"),
        ("python", "def f(xs):\n    for i in range(len(xs)):\n        g(xs[i])\n    return i"),
        # the text is read in the loop
        ("python", "def f(xs):\n    s = ''\n    for x in xs:\n        s += x\n        g(s)\n    return s"),
        # a comment stands where lines move
        ("python", "def f(a):\n    if a:\n        # why\n        if b:\n            g()"),
        ("python", "def f(a):\n    if a:\n        return 1\n    else:\n        # why\n        return 2"),
        # text over several lines would get another margin
        ("python", 'def f(a):\n    if a:\n        return 1\n    else:\n        return """\n        x"""'),
        # a name of the block would be seen outside of it
        (
            "javascript",
            "function f(a) {\n  if (a) {\n    return 1;\n  } else {\n    const b = 2;\n    return b;\n  }\n}",
        ),
        # an assignment makes the name local, a yield a generator
        ("python", "def f():\n    return x\n    x = 1"),
        ("python", "def f():\n    return 1\n    g((yield))"),
        ("javascript", "function f(a) { return a == 1; }"),
        ("python", "def f(a=[]): return a"),
        ("python", "def f():\n    try:\n        g()\n    except:\n        h()\n        raise"),
        ("go", "func f() {\n\tif err := g(); err != nil {\n\t\tif a {\n\t\t\th()\n\t\t}\n\t}\n}"),
        ("rust", "fn f() {\n    if let Some(a) = b {\n        if a {\n            g();\n        }\n    }\n}"),
        ("python", "def f(:\n    return a == None"),
    ],
)
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

    mended = Mend().visit(tree)
    return ast.dump(ast.fix_missing_locations(mended))


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
@hypothesis_settings(max_examples=40, deadline=None)
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
    st.sampled_from([before for _, _, before, _ in FIXED]),
    st.integers(0, 200),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_cut_code_is_mended_or_left(language: str, code: str, cut: int) -> None:
    for fix in smell_fixes(code[cut:], language):
        assert fix.after != fix.before
