"""Complexity against figures counted by hand, one algorithm in six languages."""

import ast
import io
import keyword
import tokenize
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.annotation.complexity.measure import Complexity, Halstead, complexity_of
from cortex_pipelines.annotation.complexity.treewalk import walk
from cortex_pipelines.annotation.evidence import marks_of
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.syntax.grammars import grammar_for, parse
from cortex_pipelines_tests.parameters import EXTRACTION

PACKAGE = Path(__file__).parents[2] / "cortex_pipelines"


def measures(language: str, text: str, path: str = "") -> dict[str, Complexity]:
    data, grammar = text.encode(), grammar_for(language, path)
    tree = parse(data, grammar)
    units = [unit for unit in file_units(text, language, path, EXTRACTION) if unit.kind != "import"]
    offsets = {offset for unit in units for offset in (unit.start_byte, unit.body_start_byte)} - {None}
    walked = walk(tree, data, language, offsets)
    starts = [step.start for step in walked.steps]
    return {
        unit.qualified_name: complexity_of(walked, unit.start_byte, unit.end_byte, unit.body_start_byte, starts)
        for unit in units
    }


# The loop is 1 (cognitive 1), the if 1 (2), the else-if 1 (1) with two "and" 2 (1), the else 0 (1),
# the while 1 (3), the handler 1 (1), the conditional expression 1 (1).
CLASSIFY = {
    "python": """
def classify(items, limit):
    for item in items:
        if item is None:
            continue
        elif item > limit and item != 7 and item % 2:
            total += item
        else:
            while total > 100:
                total -= 1
    try:
        save(total)
    except ValueError:
        total = -1
    return total if total else 0
""",
    "javascript": """
function classify(items, limit) {
  for (const item of items) {
    if (item === null) { continue; }
    else if (item > limit && item !== 7 && item % 2) { total += item; }
    else { while (total > 100) { total -= 1; } }
  }
  try { save(total); } catch (e) { total = -1; }
  return total ? total : 0;
}
""",
    "typescript": """
function classify(items: number[], limit: number): number {
  for (let i = 0; i < items.length; i++) {
    if (items[i] === null) continue;
    else if (items[i] > limit && items[i] !== 7 && items[i] % 2) total += items[i];
    else do { total -= 1; } while (total > 100);
  }
  try { save(total); } catch { total = -1; }
  return total ? total : 0;
}
""",
    "java": """
class A {
  int classify(List<Integer> items, int limit) {
    for (Integer item : items) {
      if (item == null) { continue; }
      else if (item > limit && item != 7 && item % 2 == 1) { total += item; }
      else while (total > 100) { total -= 1; }
    }
    try { save(total); } catch (IOException | Fault e) { total = -1; }
    return total > 0 ? total : 0;
  }
}
""",
    # no handlers and no conditional expression: an if each
    "go": """
package a

func classify(items []int, limit int) int {
	for _, item := range items {
		if item == 0 {
			continue
		} else if item > limit && item != 7 && item%2 == 1 {
			total += item
		} else {
			for total > 100 {
				total--
			}
		}
	}
	if err := save(total); err != nil {
		total = -1
	}
	if total > 0 {
		return total
	}
	return 0
}
""",
    "rust": """
fn classify(items: &[i32], limit: i32) -> i32 {
    for item in items {
        if *item == 0 {
            continue;
        } else if *item > limit && *item != 7 && item % 2 == 1 {
            total += item;
        } else {
            while total > 100 { total -= 1; }
        }
    }
    if let Err(_) = save(total) { total = -1; }
    if total > 0 { return total; }
    0
}
""",
}


@pytest.mark.parametrize("language", CLASSIFY)
def test_one_algorithm_has_one_complexity(language: str) -> None:
    complexities = measures(language, CLASSIFY[language])
    classify = complexities["A.classify" if language == "java" else "classify"]
    assert (classify.cyclomatic, classify.cognitive, classify.nesting) == (9, 11, 3)


# Each case but the default is a decision, the switch is not; it is understood once as a whole.
SWITCHES = {
    "python": "def f(x):\n  match x:\n    case 1: a()\n    case 2 | 3: b()\n    case _: c()\n",
    "javascript": "function f(x) { switch (x) { case 1: a(); case 2: b(); default: c(); } }",
    "typescript": "function f(x: T) { switch (x) { case 1: a(); case 2: b(); default: c(); } }",
    "java": "class A { void f(int x) { switch (x) { case 1: a(); case 2: b(); default: } } }",
    "go": "package a\nfunc f(x int) { switch x { case 1: a()\n case 2: b()\n default: c() } }",
    "rust": "fn f(x: i32) { match x { 1 => a(), 2 | 3 => b(), _ => c() } }",
}


@pytest.mark.parametrize("language", SWITCHES)
def test_a_switch_counts_its_cases(language: str) -> None:
    complexities = measures(language, SWITCHES[language])
    switch = complexities["A.f" if language == "java" else "f"]
    assert (switch.cyclomatic, switch.cognitive, switch.nesting) == (3, 1, 1)


JUMPS = {
    "javascript": "function f() { a: for (;;) { for (;;) { break a; } } }",
    "typescript": "function f() { a: for (;;) { for (;;) { continue a; } } }",
    "java": "class A { void f() { a: for (;;) { for (;;) { break a; } } } }",
    "go": "package a\nfunc f() {\na:\n\tfor {\n\t\tfor {\n\t\t\tbreak a\n\t\t}\n\t}\n}\n",
    "rust": "fn f() { 'a: loop { loop { break 'a; } } }",
}


@pytest.mark.parametrize("language", JUMPS)
def test_a_jump_to_a_label_is_harder_to_follow(language: str) -> None:
    complexities = measures(language, JUMPS[language])
    jumps = complexities["A.f" if language == "java" else "f"]
    assert (jumps.cyclomatic, jumps.cognitive, jumps.nesting) == (3, 4, 2)


@pytest.mark.parametrize(
    ("code", "cyclomatic", "cognitive"),
    [
        ("def f(): pass", 1, 0),
        ("def f():\n  return a and b or c", 3, 2),
        ("def f():\n  return (a and b) or (c and d)", 4, 3),
        ("def f():\n  return a and not (b and c)", 3, 2),
        ("def f():\n  return a and (b and c)", 3, 1),
        ("def f():\n  return a or b or c or d", 4, 1),
        ("def f():\n  return [x for x in y if x if z]", 4, 0),
        ("def f():\n  for x in y: pass\n  else: pass", 3, 2),
        ("def f():\n  try: a()\n  except A: b()\n  except B: c()\n  finally: d()", 3, 2),
        ("def f():\n  with a: pass", 1, 0),
        ("def f():\n  def g():\n    if a: pass\n  return g", 2, 1),
        ("def f():\n  def g():\n    if a: pass\n  g()", 2, 2),
        ("def f(a=1 if b else 2): pass", 2, 1),
        ("def f():\n  x = lambda: 1 if a else 2", 2, 2),
        ("def f():\n  try: a()\n  except A: b()\n  else: c()", 3, 1),
        ("def f():\n  assert a and b", 3, 1),
        ("def f(n):\n  return n * f(n - 1) + f(n - 2)", 1, 1),
        ("def f():\n  def g():\n    if a: f()\n  return g", 2, 2),
        ("def f(g):\n  @wraps(g)\n  def h():\n    if a: g()\n  return h", 2, 1),
        ("def f():\n  if a:\n    pass\n  elif b:\n    if c: pass", 4, 4),
        ("def f():\n  match x:\n    case 1 if a: pass\n    case _: pass", 3, 1),
    ],
)
def test_python_counted_by_hand(code: str, cyclomatic: int, cognitive: int) -> None:
    complexity = measures("python", code)["f"]
    assert (complexity.cyclomatic, complexity.cognitive) == (cyclomatic, cognitive)


def test_a_unit_is_measured_from_its_own_level() -> None:
    complexities = measures("python", "def f():\n  def g():\n    if a:\n      if b: pass\n  if c: g()\n")
    assert (complexities["f.g"].cyclomatic, complexities["f.g"].cognitive, complexities["f.g"].nesting) == (3, 3, 2)
    # the inner function is a level deeper for whoever reads the outer one
    assert (complexities["f"].cyclomatic, complexities["f"].cognitive, complexities["f"].nesting) == (4, 6, 3)


def test_a_type_is_the_sum_of_its_methods() -> None:
    body = "  def f(self):\n    if a: pass\n  def g(self):\n    for b in c:\n      if d: pass\n"
    complexities = measures("python", f"class A:\n{body}")
    assert complexities["A"].cognitive == complexities["A.f"].cognitive + complexities["A.g"].cognitive == 4
    assert complexities["A"].cyclomatic == 4


@pytest.mark.parametrize(
    ("language", "code", "name", "count"),
    [
        ("python", "class A:\n  def f(self, a, /, b: int, *c, d=1, e: A = 2, **f): pass", "A.f", 6),
        ("python", "def f(a=lambda x, y: 1, # c\n b=2): pass", "f", 2),
        ("javascript", "const f = a => 1", "f", 1),
        ("javascript", "function f({a, b}, [c], d = 1, ...rest /* c */) {}", "f", 4),
        ("typescript", "function f(this: A, cb: (x: T, y: T) => void, b?: number) {}", "f", 2),
        ("java", "class A { void f(int a, @N String b, int... c) {} }", "A.f", 3),
        ("java", "interface A { void f(int a); }", "A.f", 1),
        ("go", "package a\nfunc (t *T) f(a, b int, c func(x, y int) int, d ...s) {}", "T.f", 4),
        ("rust", "impl A { fn f(&self, a: i32, b: fn(i32) -> i32) {} }", "A.f", 2),
    ],
)
def test_parameters_without_the_receiver(language: str, code: str, name: str, count: int) -> None:
    grammar = grammar_for(language)
    unit = next(u for u in file_units(code, language, "", EXTRACTION) if u.qualified_name == name)
    _, starts = marks_of(parse(code.encode(), grammar).root_node, grammar, 0)
    end = unit.end_byte if unit.body_start_byte is None else unit.body_start_byte
    assert sum(unit.start_byte <= start < end for start in starts) == count


@given(st.integers(1, 12))
@hypothesis_settings(max_examples=12, deadline=None)
def test_nested_ifs_cost_the_sum_of_their_levels(depth: int) -> None:
    lines = ["def f():", *("  " * level + "if a:" for level in range(1, depth + 1))]
    complexity = measures("python", "\n".join([*lines, "  " * (depth + 1) + "pass"]))["f"]
    assert complexity.nesting == depth
    assert complexity.cyclomatic == 1 + depth
    assert complexity.cognitive == depth * (depth + 1) // 2


@given(st.sampled_from(sorted(CLASSIFY)), st.data())
@hypothesis_settings(max_examples=100, deadline=None)
def test_cut_code_is_measured_too(language: str, data: st.DataObject) -> None:
    text = CLASSIFY[language]
    start = data.draw(st.integers(0, len(text)))
    for complexity in measures(language, text[start : data.draw(st.integers(start, len(text)))]).values():
        assert 1 <= complexity.cyclomatic <= 9
        assert 0 <= complexity.nesting <= 3
        assert 0 <= complexity.cognitive <= 11


@pytest.mark.parametrize(
    ("language", "code", "name", "figures"),
    [
        ("javascript", "function f(a = 1, {b = 2}) { return a?.b ?? c; }", "f", (5, 0)),
        ("typescript", "function f(a = 1, b?: T) { return a?.b?.(c) ?? c; }", "f", (5, 0)),
        ("javascript", "function f() { a ||= b; return c || d; }", "f", (3, 1)),
        ("javascript", "class A { f() { return this.f() + g.f(); } }", "A.f", (1, 1)),
        ("javascript", "const f = (n) => n ? f(n - 1) : 0", "f", (2, 2)),
        ("java", "class A { int f() { return f(); } }", "A.f", (1, 1)),
        ("java", "class A { int f() { return b.f(); } }", "A.f", (1, 0)),
        ("python", "class A:\n  def f(self):\n    return f(self)", "A.f", (1, 0)),
        ("python", "class A:\n  def f(self):\n    return self.f()", "A.f", (1, 1)),
        ("go", "package a\nfunc (t T) f() { t.f() }", "T.f", (1, 1)),
        ("go", "package a\nfunc (t T) f() { u.f() }", "T.f", (1, 0)),
        ("rust", "impl A { fn f(&self) { self.f(); Self::f(); } }", "A.f", (1, 1)),
        ("rust", "fn f() -> R { g()?; let Some(x) = y else { return z }; x }", "f", (3, 1)),
        ("rust", "fn f() { if let A = b && c { } else if d { } else { } }", "f", (4, 4)),
        ("rust", "fn f() { match x { 1 if a => b, _ => c } }", "f", (3, 1)),
        ("go", "package a\nfunc f() { if a { } else { b(); if c { } } }", "f", (3, 4)),
        ("java", "class A { int f() { return a ? b : c ? d : e; } }", "A.f", (3, 3)),
    ],
)
def test_what_only_some_languages_have(language, code, name, figures) -> None:
    complexity = measures(language, code)[name]
    assert (complexity.cyclomatic, complexity.cognitive) == figures


def _tokens(source: str) -> tuple[list[str], list[str]]:
    """Operators and operands by Python's own tokenizer."""
    left_out = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    values = {"None", "True", "False", "..."}
    operators, operands = [], []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = token.type == tokenize.NAME and token.string not in keyword.kwlist
        if token.type in left_out or token.string in (")", "]", "}", ";"):
            continue
        value = token.type in (tokenize.NUMBER, tokenize.STRING) or token.string in values
        (operands if name or value else operators).append(token.string)
    return operators, operands


def _comparable(function: ast.AST) -> bool:
    """Not docstrings, f-strings, `not in` or soft keywords: there the two mean other tokens."""
    text = ast.unparse(function)
    return (
        ast.get_docstring(function) is None
        and not any(isinstance(node, (ast.JoinedStr, ast.NotIn, ast.IsNot, ast.Match)) for node in ast.walk(function))
        and "type" not in text
        and "_ " not in text
    )


def test_halsteads_tokens_are_those_of_pythons_tokenizer() -> None:
    compared = 0
    for path in sorted(PACKAGE.rglob("*.py"))[:120]:
        source = path.read_text()
        complexities = measures("python", source)
        lines = source.split("\n")
        for node in ast.parse(source).body:
            if not isinstance(node, ast.FunctionDef) or node.decorator_list or not _comparable(node):
                continue
            operators, operands = _tokens("\n".join(lines[node.lineno - 1 : node.end_lineno]) + "\n")
            compared += 1
            assert complexities[node.name].halstead == Halstead(
                len(set(operators)), len(set(operands)), len(operators), len(operands)
            ), f"{path}: {node.name}"
    assert compared > 30


def test_halsteads_measures_by_hand() -> None:
    # operators: def ( : return +; operands: f a a 1
    halstead = measures("python", "def f(a):\n  'doc'\n  return a + 1  # more\n")["f"].halstead
    assert halstead == Halstead(5, 3, 5, 4)
    assert halstead.volume == 27.0  # 9 tokens of 8 kinds: 3 bits each
    assert Halstead(0, 0, 0, 0).volume == 0.0


def test_an_interpolated_string_is_its_parts() -> None:
    plain = measures("python", "def f():\n  return 'a b'\n")["f"].halstead
    parts = measures("python", "def f():\n  return f'a {b} c'\n")["f"].halstead
    assert (plain.operands, parts.operands) == (2, 4)
    script = measures("javascript", "function f() { return `a ${b + 1} c`; }")["f"].halstead
    assert script.operands == 5


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "x = " + "(" * 20_000 + "1" + ")" * 20_000),
        ("javascript", "f = " + "()=>" * 20_000 + "1"),
        ("javascript", "if(a)" * 10_000 + "b"),
        ("python", "x = " + " and ".join(["a"] * 20_000)),
        ("go", "package a\nfunc f() {" + "if a {" * 5_000),
        ("rust", "fn f() { " + "x = || " * 10_000),
        ("java", "class A { void f() { " + "{" * 20_000),
        ("python", "\x00\ufffd\r\n" * 1000),
    ],
)
def test_deep_nesting_is_walked_without_recursion(language: str, code: str) -> None:
    data, grammar = code.encode(), grammar_for(language)
    result = walk(parse(data, grammar), data, language, {0})
    assert len(result.operators) == len(result.operator_kinds)
    assert [step.start for step in result.steps] == sorted(step.start for step in result.steps)
