"""What must not be mistaken for what, and what is pure."""

import random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.config import load_parameters
from cortex_pipelines.extraction.refactoring.detection import Refactoring, detect
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> RefactoringSettings:
    return load_parameters(request.config.rootpath).refactoring


Key = tuple[str, str | None, str | None]


def _keys(refactorings: list[Refactoring]) -> list[Key]:
    return sorted(
        (refactoring.type, refactoring.name_before or "", refactoring.name_after or "") for refactoring in refactorings
    )


def _between(before: str, after: str, settings: RefactoringSettings, path: str = "a.py") -> list[Key]:
    return _keys(detect({path: before}, {path: after}, settings))


BODY = """
        found = self.store.find(key, limit=10)
        for one in found:
            self.log.info("found %s", one.name)
        return sorted(found, key=self.order)
"""


def test_a_method_that_goes_to_its_superclass_is_pulled_up(settings: RefactoringSettings) -> None:
    base = "class Base:\n    def close(self):\n        self.store.close()\n"
    child = "\n\nclass Child(Base):\n    def open(self):\n        self.store.open(self.path)\n"
    method = f"\n    def search(self, key):{BODY}"
    below, above = base + child + method, base + method + child
    assert _between(below, above, settings) == [("Pull Up Method", "search", "search")]
    assert _between(above, below, settings) == [("Push Down Method", "search", "search")]


def test_a_method_of_another_name_in_another_class_moved_and_was_renamed(settings: RefactoringSettings) -> None:
    class_one = "class One:\n    def close(self):\n        self.store.close()\n"
    two = "\n\nclass Two:\n    def open(self):\n        self.store.open(self.path)\n"
    method = f"\n    def search(self, key):{BODY}"
    before, after = class_one + method + two, class_one + two + method.replace("search", "lookup")
    assert _between(before, after, settings) == [("Move And Rename Method", "search", "lookup")]


def test_a_copy_is_no_move(settings: RefactoringSettings) -> None:
    class_one = f"class One:\n    def search(self, key):{BODY}"
    two = f"\n\nclass Two:\n    def search(self, key):{BODY}"
    assert _between(class_one, class_one + two, settings) == []


def test_a_variable_that_becomes_a_parameter_is_no_added_parameter(settings: RefactoringSettings) -> None:
    before = "def f(a):\n    step = 5\n    total = a * step\n    return g(total, step)\n"
    after = "def f(a, step):\n    total = a * step\n    return g(total, step)\n"
    assert _between(before, after, settings) == []
    assert _between(after, before, settings) == []


def test_a_parameter_split_into_two(settings: RefactoringSettings) -> None:
    before = "def f(x, rate):\n    y = low(x, rate)\n    return high(y, rate)\n"
    after = "def f(x, rate_low, rate_high):\n    y = low(x, rate_low)\n    return high(y, rate_high)\n"
    expected = [("Split Parameter", "rate", "rate_low, rate_high")]
    assert _between(before, after, settings) == expected


def test_an_unused_parameter_is_known_by_its_place(settings: RefactoringSettings) -> None:
    before = "class A:\n    def visit(self, node, context):\n        raise NotImplementedError\n"
    after = before.replace("context", "scope")
    assert _between(before, after, settings) == [("Rename Parameter", "context", "scope")]


def test_parameters_of_inner_functions_are_parameters(settings: RefactoringSettings) -> None:
    before = "def f(xs):\n    ys = sorted(xs, key=lambda e: (e.size, e.name))\n    return ys[0]\n"
    after = before.replace("lambda e: (e.size, e.name)", "lambda o: (o.size, o.name)")
    assert _between(before, after, settings) == [("Rename Parameter", "e", "o")]


def test_the_receiver_is_no_parameter(settings: RefactoringSettings) -> None:
    before = "class A:\n    @staticmethod\n    def f(x):\n        return x + g(x)\n"
    after = "class A:\n    def f(self, x):\n        return x + g(x)\n"
    assert _between(before, after, settings) == []


def test_star_parameters_go_by_their_names(settings: RefactoringSettings) -> None:
    before = "def f(a):\n    return g(a)\n"
    after = "def f(a, *rest, key=None, **options):\n    return g(a)\n"
    assert _between(before, after, settings) == [
        ("Add Parameter", "", "key"),
        ("Add Parameter", "", "options"),
        ("Add Parameter", "", "rest"),
    ]


def test_a_wrapper_keeps_its_name(settings: RefactoringSettings) -> None:
    body = "    total = 0\n    for x in xs:\n        total += x.price * rate(x)\n    return total\n"
    before = f"def price(xs):\n{body}"
    after = f"def price(xs):\n    return round(raw_price(xs), 2)\n\n\ndef raw_price(xs):\n{body}"
    assert _between(before, after, settings) == [("Extract Method", "", "raw_price")]
    assert _between(after, before, settings) == [("Inline Method", "raw_price", "")]


def test_a_name_taken_over_by_another_function(settings: RefactoringSettings) -> None:
    joint = "(length, base):\n    outcomes = product(base, length)\n    pmf = rand(outcomes)\n"
    scalar = "(n):\n    pmf = draw(n)\n    pmf /= pmf.sum()\n"
    end = "    return Distribution(pmf)\n\n\n"
    before = f"def dist{scalar}{end}def joint_dist{joint}{end}"
    after = f"def scalar_dist{scalar}{end}def dist{joint}{end}"
    assert _between(before, after, settings) == [
        ("Rename Method", "dist", "scalar_dist"),
        ("Rename Method", "joint_dist", "dist"),
    ]


def test_replaced_calls_show_a_rename_though_the_body_changed(settings: RefactoringSettings) -> None:
    calls = "def use(a, b, c):\n    x = NAME(a, 1)\n    y = NAME(b, 2)\n    return NAME(c, x + y)\n\n\n"
    old = "def old_limit(a, n):\n    if a > n:\n        raise ValueError(a)\n    return a\n"
    new = "def new_limit(a, n):\n    return min(max(a, -n), n)\n"
    before, after = (calls.replace("NAME", "old_limit") + old, calls.replace("NAME", "new_limit") + new)
    assert _between(before, after, settings) == [("Rename Method", "old_limit", "new_limit")]


def test_one_expression_taken_out_of_two_functions(settings: RefactoringSettings) -> None:
    before = (
        "def a(node):\n    x = node.parent.child(node.index + 1)\n    return f(x)\n\n\n"
        "def b(node):\n    return g(node.parent.child(node.index + 1), node)\n"
    )
    after = (
        "def a(node):\n    x = after(node)\n    return f(x)\n\n\n"
        "def b(node):\n    return g(after(node), node)\n\n\n"
        "def after(node):\n    return node.parent.child(node.index + 1)\n"
    )
    refactorings = detect({"a.py": before}, {"a.py": after}, settings)
    assert [
        (refactoring.type, refactoring.name_after, refactoring.container_before) for refactoring in refactorings
    ] == [("Extract Method", "after", "a"), ("Extract Method", "after", "b")]


def test_a_new_function_that_is_not_called_is_not_extracted(settings: RefactoringSettings) -> None:
    part = "    rows = db.query(sql, limit)\n    rows = [clean(row) for row in rows]\n"
    before = f"def load(sql, limit):\n{part}    return pack(rows)\n"
    after = f"def load(sql, limit):\n    return pack([])\n\n\ndef fetch(sql, limit):\n{part}    return rows\n"
    assert _between(before, after, settings) == []


def test_an_extraction_to_another_class_moved_too(settings: RefactoringSettings) -> None:
    part = "        rows = self.db.query(sql, limit)\n        rows = [clean(row) for row in rows]\n"
    class_one = "class One:\n    def load(self, sql, limit):\n{}        return pack(rows)\n\n\n"
    two = "class Two:\n    def close(self):\n        self.db.close()\n"
    before = class_one.format(part) + two
    after = (
        class_one.format("        rows = self.two.fetch(sql, limit)\n")
        + two
        + f"\n    def fetch(self, sql, limit):\n{part}        return rows\n"
    )
    assert _between(before, after, settings) == [("Extract And Move Method", "", "fetch")]
    assert _between(after, before, settings) == [("Move And Inline Method", "fetch", "")]


def test_a_changed_extraction_is_mixed(settings: RefactoringSettings) -> None:
    part = "    rows = db.query(sql, limit)\n    rows = [clean(row) for row in rows]\n"
    before = f"def load(sql, limit):\n{part}    return pack(rows)\n"
    after = (
        "def load(sql, limit):\n    rows = fetch(sql, limit)\n    return pack(rows)\n\n\n"
        f"def fetch(sql, limit):\n{part}    return rows\n"
    )

    def purity(text: str) -> list[str]:
        return [refactoring.purity for refactoring in detect({"a.py": before}, {"a.py": text}, settings)]

    assert purity(after) == ["pure"]
    assert purity(after.replace("    return rows", "    audit(sql)\n    return rows")) == ["mixed"]
    assert purity(after.replace("pack(rows)", "unpack(rows)")) == ["mixed"]
    assert purity(after.replace("[clean(row) for", "[clean(row, 1) for")) == ["mixed"]


def test_a_class_with_a_changed_method_is_mixed(settings: RefactoringSettings) -> None:
    before = f"class One:\n    limit = 10\n\n    def search(self, key):{BODY}"
    renamed = before.replace("One", "Two")

    def purity(text: str) -> list[str]:
        refactorings = detect({"a.py": before}, {"a.py": text}, settings)
        return [refactoring.purity for refactoring in refactorings if refactoring.type == "Rename Class"]

    assert purity(renamed) == ["pure"]
    assert purity(renamed.replace("limit = 10\n", "limit = 20\n")) == ["mixed"]
    assert purity(renamed + "\n    def more(self):\n        return self.x\n") == ["mixed"]
    assert purity(renamed.replace("sorted(found", "list(found")) == ["mixed"]


def test_a_changed_default_or_decorator_is_mixed(settings: RefactoringSettings) -> None:
    before = "@cache\ndef f(a, b=1):\n    total = a * b\n    return g(total)\n"
    renamed = before.replace("total", "result")

    def purity(text: str) -> list[str]:
        return [refactoring.purity for refactoring in detect({"a.py": before}, {"a.py": text}, settings)]

    assert purity(renamed) == ["pure"]
    assert purity(renamed.replace("b=1", "b=2")) == ["mixed"]
    assert purity(renamed.replace("@cache", "@lru_cache")) == ["mixed"]


def test_overloads_are_told_apart(settings: RefactoringSettings) -> None:
    before = """
class A {
    int f(int a) { int one = a + 1; return g(one); }
    int f(String b) { int two = b.length() * 2; return h(two, b); }
}
"""
    after = before.replace("two", "twice")
    assert _between(before, after, settings, "A.java") == [("Rename Variable", "two", "twice")]


def test_members_of_object_literals_move_with_them(settings: RefactoringSettings) -> None:
    members = "{\n  linear: function (t) { return t; },\n  quad: function (t) { return t * t * 2; }\n};\n"
    before = {"a.js": f"var easing = {members}var x = 1;\n", "b.js": "module.exports = 1;\n"}
    after = {"a.js": "var x = 1;\n", "b.js": f"module.exports = 1;\nvar effects = {members}"}
    assert detect(before, after, settings) == []


def test_what_a_function_is_assigned_to_is_a_part_of_its_name(settings: RefactoringSettings) -> None:
    body = "function (a, b) { var c = join(a, b); return c.map(f).filter(g); };\n"
    before = {"a.js": f"helpers.mix = {body}helpers.x = 1;\n", "b.js": "var y = 1;\n"}
    after = {"a.js": "helpers.x = 1;\n", "b.js": f"var y = 1;\nexports.mix = {body}"}
    assert _keys(detect(before, after, settings)) == [("Move And Rename Method", "mix", "mix")]
    assert detect({"a.js": before["a.js"]}, {"a.js": f"h.mix = {body}helpers.x = 1;\n"}, settings) == []


def test_a_member_that_becomes_a_function_moved(settings: RefactoringSettings) -> None:
    body = "(axis, label) { var time = parse(label); return axis.adjust(time, label); }"
    before = f"var Scale = extend({{\n  parseTime: function {body},\n  x: 1\n}});\n"
    after = f"function parseTime{body}\nvar Scale = extend({{\n  x: 1\n}});\n"
    assert _between(before, after, settings, "a.js") == [("Move Method", "parseTime", "parseTime")]


def test_variables_of_modules(settings: RefactoringSettings) -> None:
    script = "const layout = require('./layout');\nlayout.add(1, chart);\nlayout.remove(chart);\n"
    after = script.replace("const layout", "const layouts").replace("layout.", "layouts.")
    refactorings = detect({"a.js": script}, {"a.js": after}, settings)
    assert [(refactoring.type, refactoring.container_after) for refactoring in refactorings] == [
        ("Rename Variable", None)
    ]
    module = "LIMIT = read('limit')\nprint(LIMIT + 1, LIMIT)\n"
    renamed = module.replace("LIMIT", "BOUND")
    assert _between(module, renamed, settings) == [("Rename Attribute", "LIMIT", "BOUND")]
    main = "if __name__ == '__main__':\n    agent = make(1)\n    run(agent, agent.name)\n"
    renamed = main.replace("agent", "player")
    assert _between(main, renamed, settings) == [("Rename Variable", "agent", "player")]


def test_files_whose_names_were_passed_on(settings: RefactoringSettings) -> None:
    functions = "".join(f"def f{i}(a):\n    x = a.left({i})\n    return x\n\n\n" for i in range(9))
    two = "".join(f"def g{i}(b):\n    y = b.right({i})\n    return y\n\n\n" for i in range(9))
    before = {"a.py": functions, "b.py": two}
    after = {"b.py": functions.replace("x", "z", 2), "c.py": two}
    refactorings = detect(before, after, settings)
    assert [(functions.type, functions.path_before, functions.path_after) for functions in refactorings] == [
        ("Rename Variable", "a.py", "b.py")
    ]


def test_a_syntax_error_moves_nothing(settings: RefactoringSettings) -> None:
    before = "class A {\n  f(a) { const x = g(a); return h(x, a); }\n  k(b) { return m(b).n(b); }\n}\n"
    broken = before.replace("class A {", "class A }{ {")
    types = {refactoring.type for refactoring in detect({"a.js": before}, {"a.js": broken}, settings)}
    assert "Move Method" not in types


@pytest.mark.parametrize("ending", ["py", "js", "ts", "tsx", "java", "go", "rs"])
def test_garbage_does_no_harm(ending: str, settings: RefactoringSettings) -> None:
    draw = random.Random(7)
    texts = ["".join(chr(draw.randrange(1, 0x250)) for _ in range(600)) for _ in range(2)]
    texts += ["f(" * 500, "{" * 500, "\x00", "\ud800", ""]
    path = f"a.{ending}"
    for text in texts:
        for other in texts:
            detect({path: text}, {path: other}, settings)


def test_thousands_of_functions_in_one_file(settings: RefactoringSettings) -> None:
    functions = "".join(f"def f{i}(a):\n    return a.x{i} + {i}\n\n" for i in range(400))
    refactorings = detect({"a.py": functions}, {"a.py": functions.replace("def f", "def g")}, settings)
    assert _keys(refactorings) == sorted(("Rename Method", f"f{i}", f"g{i}") for i in range(400))


def test_a_function_of_a_thousand_statements(settings: RefactoringSettings) -> None:
    function = "def f(a):\n" + "".join(f"    x{i} = a.get({i})\n" for i in range(400))
    refactorings = detect({"a.py": function}, {"a.py": function.replace("    x", "    y")}, settings)
    assert _keys(refactorings) == sorted(("Rename Variable", f"x{i}", f"y{i}") for i in range(400))


def test_files_above_the_limit_are_left_out(settings: RefactoringSettings) -> None:
    text = "def f(a):\n    x = a\n    return g(x, x)\n"
    padding = "#" * settings.max_file_bytes
    assert detect({"a.py": text + padding}, {"a.py": text.replace("x", "y") + padding}, settings) == []


_LINES = st.lists(
    st.sampled_from(["x = f(a)", "y = x + 1", "if x:", "    return y", "for i in a:", "    g(i, x)", "return h(x, y)"]),
    max_size=12,
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(_LINES, _LINES)
def test_the_result_is_the_same_each_time_and_says_nothing_of_equal_code(
    lines_before: list[str], lines_after: list[str]
) -> None:
    settings = RefactoringSettings(
        max_file_bytes=100_000,
        least_rename=0.5,
        least_move=0.5,
        least_move_and_rename=0.75,
        small_body=8,
        least_extract=0.5,
    )
    before = "def f(a):\n    pass\n" + "".join(f"    {line}\n" for line in lines_before)
    after = "def f(a):\n    pass\n" + "".join(f"    {line}\n" for line in lines_after)
    refactorings = detect({"a.py": before}, {"a.py": after}, settings)
    assert refactorings == detect({"a.py": before}, {"a.py": after}, settings)
    assert detect({"a.py": before}, {"a.py": before + "\n\n"}, settings) == []
    for row in refactorings:
        assert row.description.endswith(".")
        assert row.purity in ("pure", "mixed")


@pytest.mark.parametrize(
    ("path", "before", "after", "added"),
    [
        ("A.java", "void f(int a) { g(a); }", "void f(int a, String... b) { g(a); }", ["b"]),
        ("a.go", "func f(a int) { g(a) }", "func f(a, b int, c ...string) { g(a) }", ["b", "c"]),
        ("a.rs", "fn f(a: u8) { g(a); }", "fn f(a: u8, (b, c): (u8, u8)) { g(a); }", ["b", "c"]),
        ("a.rs", "fn f(a: u8) { g(a); }", "fn f(a: u8, P { x, y: z }: P) { g(a); }", ["x", "z"]),
        ("a.js", "const f = a => g(a);", "const f = (a, {b, c: d = 1}) => g(a);", ["b", "d"]),
        ("a.js", "function f(a) { g(a); }", "function f(a, [b], ...c) { g(a); }", ["b", "c"]),
        ("a.ts", "function f(a: T) { g(a); }", "function f(this: S, a: T, b?: U) { g(a); }", ["b"]),
        ("a.py", "def f(a): g(a)", "def f(a, /, b: int = 1, *, c): g(a)", ["b", "c"]),
    ],
)
def test_every_name_that_a_signature_binds_is_a_parameter(
    path: str, before: str, after: str, added: list[str], settings: RefactoringSettings
) -> None:
    head = "class A { " if path == "A.java" else ""
    ones, new_text = head + before + " }" * bool(head), head + after + " }" * bool(head)
    assert _between(ones, new_text, settings, path) == [("Add Parameter", "", name) for name in added]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("a.rs", "fn f(x: Option<u8>) -> u8 { match x { Some(NAME) => g(NAME, 2), None => 0 } }"),
        ("a.rs", "fn f(x: P) -> u8 { let P { a: NAME, b } = x; h(NAME, b, 1); g(NAME, 2) }"),
        ("a.go", "func f(c chan int) {\n\tfor NAME := range c {\n\t\tg(NAME, 2)\n\t}\n}\n"),
        ("a.java", "class A { void f() { try { g(); } catch (E NAME) { h(NAME, 2); } } }"),
        ("a.java", "class A { void f(Object o) { if (o instanceof B NAME) { h(NAME, 2); } } }"),
        ("a.py", "def f(p):\n    with open(p) as NAME:\n        return g(NAME.read(), 2)\n"),
        ("a.py", "def f(p):\n    if (NAME := g(p, 1)) > 2:\n        return h(NAME, 2)\n"),
        ("a.js", "function f(xs) { for (const NAME of xs) { g(NAME, 2); } }"),
        ("a.ts", "function f() { try { g(1); } catch (NAME) { h(NAME, 2); } }"),
        ("a.js", "function f(x) { const { a: NAME, b } = x; h(NAME, b, 1); g(NAME, 2); }"),
    ],
)
def test_every_way_to_bind_a_variable(path: str, code: str, settings: RefactoringSettings) -> None:
    before, after = code.replace("NAME", "first"), code.replace("NAME", "second")
    assert _between(before, after, settings, path) == [("Rename Variable", "first", "second")]


def test_an_expression_of_a_long_statement_is_extracted(settings: RefactoringSettings) -> None:
    long = ", ".join(f"chart.area.edge_{letter}" for letter in "abcdefghijklmnop")
    before = (
        f"def draw(self, chart):\n    self.paint({long},\n"
        "               self.scale.min if self.scale.begins else max(self.scale.low, 0))\n"
    )
    after = (
        f"def draw(self, chart):\n    self.paint({long},\n               self.base())\n\n\n"
        "def base(self):\n"
        "    return self.scale.min if self.scale.begins else max(self.scale.low, 0)\n"
    )
    assert _between(before, after, settings) == [("Extract Method", "", "base")]
    other = after.replace("self.scale.low", "self.scale.lowest")
    assert _between(before, other, settings) == []


def test_an_extracted_function_may_have_grown(settings: RefactoringSettings) -> None:
    before = (
        "def score(text):\n"
        "    ret = run(text)\n"
        "    value = search(PATTERN, ret).group(1)\n"
        "    value = to_float(value, PRECISION)\n"
        "    return value\n"
    )
    after = (
        "def score(text, full):\n    ret = run(text)\n    return parse(ret, full)\n\n\n"
        "def parse(ret, full):\n"
        "    value = search(PATTERN, ret).group(1)\n"
        "    value = to_float(value, PRECISION)\n"
        "    if full:\n"
        "        parts = findall(PARTS, ret, LIMIT, DOTALL)\n"
        "        parts = [part.group(index) for index, part in enumerate(parts, OFFSET)]\n"
        "        shares = normalised(parts, weights=WEIGHTS, base=BASE)\n"
        "        value = combined(value, parts, shares, strict=STRICT)\n"
        "    return value\n"
    )
    assert ("Extract Method", "", "parse") in _between(before, after, settings)


def test_a_parameter_handed_on_by_another_name_is_renamed(settings: RefactoringSettings) -> None:
    before = (
        "function draw(ease, ctx) {\n  begin(ctx);\n  for (const one of SETS) {\n"
        "    paint(one, ease, ctx);\n    mark(one, ease);\n  }\n}\n"
    )
    after = (
        "function draw(ease, ctx) {\n  begin(ctx);\n  drawSets(ease, ctx);\n}\n\n"
        "function drawSets(easingValue, ctx) {\n  for (const one of SETS) {\n"
        "    paint(one, easingValue, ctx);\n    mark(one, easingValue);\n  }\n}\n"
    )
    assert _between(before, after, settings, "a.js") == [
        ("Extract Method", "", "drawSets"),
        ("Rename Parameter", "ease", "easingValue"),
    ]


def test_what_was_extracted_may_be_taken_apart_again(settings: RefactoringSettings) -> None:
    font = "    size = options.get('size', defaults.size)\n    font = make_font(size, options.style)\n"
    text = "    for label in labels:\n        place = where(label, font)\n        write(label, place)\n"
    before = f"def draw(labels, options):\n{font}{text}    return labels\n"
    after = (
        "def draw(labels, options):\n    draw_labels(labels, options)\n    return labels\n\n\n"
        f"def draw_labels(labels, options):\n    font = font_of(options)\n{text}\n\n"
        f"def font_of(options):\n{font}    return font\n"
    )
    refactorings = detect({"a.py": before}, {"a.py": after}, settings)
    assert [
        (refactoring.type, refactoring.name_after, refactoring.container_before) for refactoring in refactorings
    ] == [("Extract Method", "draw_labels", "draw"), ("Extract Method", "font_of", "draw")]


def test_many_functions_in_one_class_are_compared_by_what_they_share(settings: RefactoringSettings) -> None:
    functions = "".join(
        f"def f{i}(a):\n    x = a.left({i})\n    y = x.right[{i}]\n    return x + y\n\n\n" for i in range(120)
    )
    other = functions.replace("def f", "def g") + "def user():\n    return [g1(1), g2(2)]\n"
    refactorings = detect({"a.py": functions + "def user():\n    return [f1(1), f2(2)]\n"}, {"a.py": other}, settings)
    assert _keys(refactorings) == sorted(("Rename Method", f"f{i}", f"g{i}") for i in range(120))


def test_a_statement_without_end_is_compared_by_its_beginning(settings: RefactoringSettings) -> None:
    data = ", ".join(str(number) for number in range(5000))
    before = f"def f(a):\n    table = [{data}]\n    return table[a] + g(table)\n"
    after = before.replace("table", "values")
    assert _between(before, after, settings) == [("Rename Variable", "table", "values")]
    refactorings = detect({"a.py": before}, {"a.py": after.replace("4999", "5000")}, settings)
    assert [refactoring.purity for refactoring in refactorings] == ["mixed"]
