"""Renaming in languages with block scopes: what is sure is renamed, all else is left alone."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cortex_pipelines.augmentation.renaming.rename import local_variables, rename_locals

CASES = {
    "javascript": {
        "let, const, var, loops and array patterns": (
            "function f(a) {\n  let one = 1; const [two, three] = a; var four = 4;\n"
            "  for (let i = 0; i < one; i++) { four += i; }\n"
            "  for (const k of a) { four += k; }\n  return two + three + four;\n}",
            {"one", "two", "three", "four", "i", "k"},
        ),
        "parameters, catches and labels": (
            "function f(p, {q}, ...r) { const g = (s) => s; lbl: for (;;) break lbl;\n"
            "  try {} catch (e) { p(e); } return g(p, q, r); }",
            {"g"},
        ),
        "shorthand properties": ("function f() { const x = 1, y = 2; return { x, y: y }; }", {"y"}),
        "object patterns": ("function f(o) { const { x, y: z } = o; let w = z; return x + w; }", {"w"}),
        "property names": ("function f(o) { const x = o.x; o.x = x; return { x: x }; }", {"x"}),
        "template strings": ("function f() { const n = 1; return `${n} n`; }", {"n"}),
        "a global of the same name": ("function f() { { let x = 1; g(x); } return x; }", set()),
        "a var is not seen by default values": ("function f(a = x) { var x = 1; return a + x; }", set()),
        "a loop over a var": ("function f(o) { for (var k in o) {} return k; }", {"k"}),
        "closures": ("function f() { let n = 0; return () => { n++; return n; }; }", {"n"}),
        "eval": ("function f() { const x = 1; return eval('x'); }", set()),
        "with": ("function f(o) { const x = 1; with (o) { return x; } }", set()),
        "names of functions": ("function f() { function g() {} class C {} return [g, C]; }", set()),
        "a default that shadows": ("function f(o) { const x = 1; const g = (x = 2) => x; return g() + x; }", {"g"}),
    },
    "typescript": {
        "type annotations": (
            "function f(a: number): number { const n: number = a; const t: typeof n = 1; return n + t; }",
            {"n", "t"},
        ),
        "optional parameters": ("function f(a?: number) { let b = a!; return b as any; }", {"b"}),
    },
    "java": {
        "declarations, loops and resources": (
            "int f(int a) throws E { int x = a, y; for (int i = 0; i < x; i++) { y = i; }\n"
            "  for (String s : names) { use(s); } try (R r = open()) { use(r); } return x; }",
            {"x", "y", "i", "s", "r"},
        ),
        "a field of the same name": (
            "void f() { { int n = 1; use(n); } n = 2; this.m = 1; int m = 3; use(m); }",
            {"m"},
        ),
        "an anonymous class may inherit the name": (
            "Object f() { int n = 1; return new Base() { int g() { return n; } }; }",
            set(),
        ),
        "enum constants of a switch": ("void f(E e) { int RED = 1; switch (e) { case RED: use(RED); } }", set()),
        "lambdas, catches and patterns": (
            "void f(Object o) { int n = 1; run(p -> p + n); try {} catch (E e) { use(e); }\n"
            "  if (o instanceof S s) { use(s); } }",
            {"n"},
        ),
        "methods and fields named like it": ("void f() { Q size = q.size(); q.size = size; size.size(); }", {"size"}),
    },
    "go": {
        "declarations of every sort": (
            "func f(a int) int {\n\tx, y := 1, a\n\tvar z int = x\n"
            "\tfor i := 0; i < z; i++ {\n\t\ty += i\n\t}\n"
            "\tfor k, v := range m {\n\t\ty += k + v\n\t}\n"
            "\tif w, ok := m[x]; ok {\n\t\treturn w\n\t}\n"
            "\tswitch t := g().(type) {\n\tcase int:\n\t\tuse(t)\n\t}\n"
            "\tselect {\n\tcase q := <-c:\n\t\tuse(q)\n\t}\n\treturn y\n}",
            {"x", "y", "z", "i", "k", "v", "w", "ok", "t", "q"},
        ),
        "a package variable of the same name": ("func f() {\n\tx := x + 1\n\tuse(x)\n\ty := 1\n\tuse(y)\n}", {"y"}),
        "a variable of the package in a type switch": (
            "func f() {\n\tswitch v := v.(type) {\n\tcase int:\n\t\tuse(v)\n\t}\n}",
            set(),
        ),
        "keys of literals may be fields": (
            "func f() T {\n\tname := 1\n\tsize := 2\n\treturn T{name: name, other: size}\n}",
            {"size"},
        ),
        "named results": ("func f() (n int, err error) {\n\tn, err = g()\n\treturn\n}", set()),
        "assignment in a range": ("func f(k int) {\n\tfor k = range m {\n\t}\n}", set()),
        "the blank name": ("func f() {\n\t_, x := g()\n\tuse(x)\n}", {"x"}),
    },
    "rust": {
        "let, patterns and loops": (
            "fn f(a: i32) -> i32 { let x = a; let mut y = x; let (p, mut q) = g();\n"
            "  for i in 0..3 { y += i; } q += p; y + q }",
            {"x", "y", "p", "q", "i"},
        ),
        "words of macros": ('fn f() { let x = 1; let y = 2; println!("{x}"); g(y); }', {"y"}),
        "shorthand fields": ("fn f() -> P { let x = 1; let y = 2; P { x, y: y } }", {"y"}),
        "items do not see locals": ("fn f() -> i32 { let x = 1; fn g() -> i32 { x } g() + x }", set()),
        "matches, closures and constants": (
            "fn f(o: Option<i32>) -> i32 { let N = 1; "
            "let c = |s| s; if let Some(v) = o { return v; }\n"
            "  match o { Some(w) => w, z => c(1) } }",
            {"c"},
        ),
        "paths and labels": ("fn f() { let x = 1; x::g(); let a = 2; 'a: loop { break 'a; } }", set()),
        "shadowing": ("fn f() -> i32 { let x = 1; let x = x + 1; { let x = x; x } }", {"x"}),
    },
}


@pytest.mark.parametrize(
    ("language", "code", "names"),
    [(language, *case) for language, cases in CASES.items() for case in cases.values()],
    ids=[f"{language}: {title}" for language, cases in CASES.items() for title in cases],
)
def test_renames_exactly_what_is_sure(language: str, code: str, names: set[str]) -> None:
    kind = "method" if language == "java" else "function"
    variables = local_variables(code, language, kind)
    assert {variable.name for variable in variables} == names
    result = rename_locals(code, language, kind, "", 3)
    assert (result is None) == (not names)
    if result is not None:
        assert {old for old, _ in result.renames} == names


def test_a_method_is_read_inside_a_class() -> None:
    code = "async go(a) {\n    const n = await a;\n    return n;\n  }"
    result = rename_locals(code, "javascript", "method", "", 1)
    assert result is not None
    assert result.renames[0][0] == "n"


def test_a_field_that_holds_a_function_is_read_inside_a_class() -> None:
    code = "handle = (a: number) => { const n = a; return n; }"
    result = rename_locals(code, "typescript", "function", "a.ts", 1)
    assert result is not None


def test_tsx_and_typescript_are_read_by_their_own_grammars() -> None:
    code = "function F() { const n = 1; return <div>{n}</div>; }"
    assert rename_locals(code, "typescript", "function", "a.tsx", 1) is not None
    assert rename_locals(code, "typescript", "function", "a.ts", 1) is None


PROGRAM = """
function f(a, b = 2) {
  const [one, two = 5, ...rest] = a; let total = 0; var seen = {};
  for (let i = 0; i < a.length; i++) { const square = a[i] * a[i]; total += square; }
  for (const key of rest) { seen[key] = (seen[key] || 0) + 1; }
  const add = (n) => { let inner = n; { let inner = n + 1; total += inner; } return inner + b; };
  const out = { total, one: one, seen, two: two };
  function later() { return total + add(1); }
  return JSON.stringify([out, later(), add(3), `${total} total`]);
}
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_renamed_program_does_the_same(tmp_path: Path) -> None:
    result = rename_locals(PROGRAM.strip(), "javascript", "function", "", 5)
    assert result is not None
    assert len(result.renames) >= 5
    outputs = []
    for code in (PROGRAM, result.code):
        script = tmp_path / "program.js"
        script.write_text(code + "\nconsole.log(f([3, 1, 4, 1, 5]));\n")
        completed = subprocess.run(["node", str(script)], capture_output=True, text=True, check=True)
        outputs.append(completed.stdout)
    assert outputs[0] == outputs[1]
