"""Forms of functions and scopes that JavaScript has and other languages have not."""

import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.extraction.refactoring.detection import detect
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

Keys = list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> RefactoringSettings:
    return load_parameters(request.config.rootpath).refactoring


def _between(before: dict[str, str], after: dict[str, str], settings: RefactoringSettings) -> Keys:
    refactorings = detect(before, after, settings)
    return sorted(
        (refactoring.type, refactoring.name_before or "", refactoring.name_after or "") for refactoring in refactorings
    )


def _in_one(before: str, after: str, settings: RefactoringSettings) -> Keys:
    return _between({"a.js": before}, {"a.js": after}, settings)


FILL = "this.rows = rows.map(row => row.pad(this.width)); this.count = rows.length;"
DRAW = "const out = this.rows.join(mark); screen.clear(out.length); return screen.write(out, 2);"
CONSTRUCTOR = f"function Grid(rows, mark) {{ {FILL} }}\n"
MEMBER = f"Grid.prototype.draw = function (screen, mark) {{ {DRAW} }};\n"
PARTS = CONSTRUCTOR + MEMBER
CLASS = f"class Grid {{\n  constructor(rows, mark) {{ {FILL} }}\n  draw(screen, mark) {{ {DRAW} }}\n}}\n"


def test_a_prototype_that_is_written_as_a_class_is_the_same(settings: RefactoringSettings) -> None:
    assert _in_one(PARTS, CLASS, settings) == []
    assert _in_one(CLASS, PARTS, settings) == []
    nested = f"var Grid = extend(Base, {{\n  draw: function (screen, mark) {{ {DRAW} }}\n}});\n"
    class_code = f"class Grid extends Base {{\n  draw(screen, mark) {{ {DRAW} }}\n}}\n"
    assert _in_one(nested, class_code, settings) == []


def test_a_member_of_a_prototype_moves_under_its_name(settings: RefactoringSettings) -> None:
    before = {"a.js": MEMBER + "var x = 1;\n", "b.js": "var y = 2;\n"}
    after = {"a.js": "var x = 1;\n", "b.js": "var y = 2;\n" + MEMBER.replace("Grid", "Sheet")}
    assert _between(before, after, settings) == [("Move Method", "draw", "draw")]


def test_members_of_a_prototype_move_with_what_makes_it(settings: RefactoringSettings) -> None:
    before = {"a.js": PARTS + "run(new Grid([], 1));\n", "b.js": "var y = 2;\n"}
    after = {"a.js": "run(new Grid([], 1));\n", "b.js": "var y = 2;\n" + PARTS}
    assert _between(before, after, settings) == [("Move Method", "Grid", "Grid"), ("Move Method", "draw", "draw")]


BODY = "{ const kept = rows.filter(wanted); report(kept.length, rows); return kept.sort(); }\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"module.exports = function pick(rows, wanted) {BODY}", f"function pick(rows, wanted) {BODY}"),
        (f"module.exports = function (rows, wanted) {BODY}", f"export default (rows, wanted) => {BODY}"),
        (f"a.pick = function pick(rows, wanted) {BODY}", f"function pick(rows, wanted) {BODY}"),
    ],
)
def test_a_function_has_one_name_however_it_is_exported(before: str, after: str, settings: RefactoringSettings) -> None:
    assert _in_one(before, after, settings) == []


def test_what_is_in_an_export_without_a_name_stays_there(settings: RefactoringSettings) -> None:
    inner = f"  function pick(rows, wanted) {BODY}"
    before = f"module.exports = function (api) {{\n{inner}  return api.use(pick);\n}};\n"
    after = f"export default (api) => {{\n{inner}  return api.use(pick);\n}};\n"
    assert _in_one(before, after, settings) == []


OUTER = "function run(rows) {\n%s  show(%s(rows, isNew));\n  rows.clear();\n}\n"


def test_a_function_that_leaves_a_function_and_its_file_moved(settings: RefactoringSettings) -> None:
    before = {"a.js": OUTER % (f"  function pick(rows, wanted) {BODY}", "pick"), "b.js": "f(1);\n"}
    after = {"a.js": OUTER % ("", "tools.select"), "b.js": f"f(1);\nexports.select = function (rows, wanted) {BODY}"}
    assert _between(before, after, settings) == [("Move And Rename Method", "pick", "select")]


def test_what_is_in_a_function_that_is_none_any_more_did_not_move(settings: RefactoringSettings) -> None:
    inner = f"  function pick(rows, wanted) {BODY}"
    before = f"export default function load(api) {{\n{inner}  return api.use(pick);\n}};\n"
    assert _in_one(before, before.replace("default f", "default known && f"), settings) == []


def test_a_test_may_change_its_title(settings: RefactoringSettings) -> None:
    before = f"it('picks rows', () => {{\n  function pick(rows, wanted) {BODY}  check(pick);\n}});\n"
    assert _in_one(before, before.replace("picks rows", "picks some rows"), settings) == []


def test_a_function_without_a_name_is_extracted_to_one_that_is_handed_on(settings: RefactoringSettings) -> None:
    code = "const width = row.measure(font); row.resize(width, 2); total.add(width);"
    before = f"function fit(rows, font) {{\n  rows.forEach(function (row) {{ {code} }});\n}}\n"
    after = f"function fit(rows, font) {{\n  rows.forEach(fitRow);\n}}\nfunction fitRow(row) {{ {code} }}\n"
    assert _in_one(before, after, settings) == [("Extract Method", "", "fitRow")]
    assert _in_one(after, before, settings) == [("Inline Method", "fitRow", "")]


def test_a_call_means_the_function_of_its_file(settings: RefactoringSettings) -> None:
    statements = "const all = read(path); all.sort(byDate); keep(all, path);"
    part = "log('kept', all.length); mail(all.owner, all.length);"
    before = f"function load(path) {{ {statements} {part} }}\n"
    after = f"function load(path) {{ {statements} tell(all); }}\nfunction tell(all) {{ {part} }}\n"
    copies = ("a.js", "b.js", "c.js")
    refactorings = _between(dict.fromkeys(copies, before), dict.fromkeys(copies, after), settings)
    assert refactorings == [("Extract Method", "", "tell")] * 3


def test_each_variable_of_a_declaration_is_a_statement(settings: RefactoringSettings) -> None:
    before = (
        "function place(at) {\n  var map = this.map,\n      high = 180 * at.size / 4007,\n"
        "      wide = high / Math.cos(Math.PI / 180 * at.lat),\n"
        "      box = bounds([at.lat - high, at.lng - wide], [at.lat + high, at.lng + wide]),\n"
        "      options = this.options;\n  map.show(box, options);\n}\n"
    )
    after = (
        "function place(at) {\n  const map = this.map;\n  const box = around(at);\n"
        "  const options = this.options;\n  map.show(box, options);\n}\n"
        "function around(at) {\n  const high = 180 * at.size / 4007;\n"
        "  const wide = high / Math.cos(Math.PI / 180 * at.lat);\n"
        "  return bounds([at.lat - high, at.lng - wide], [at.lat + high, at.lng + wide]);\n}\n"
    )
    assert _in_one(before, after, settings) == [("Extract Method", "", "around")]
    parameter_list = "function f(a) {\n  var one = a.first(2), two = a.second(one);\n  return g(one, two);\n}\n"
    apart = "function f(a) {\n  const start = a.first(2);\n  const two = a.second(start);\n  return g(start, two);\n}\n"
    assert _in_one(parameter_list, apart, settings) == [("Rename Variable", "one", "start")]


def test_a_variable_of_a_function_without_a_name_is_its_own(settings: RefactoringSettings) -> None:
    case = "suite('{}', function () {{\n  var chart = make({});\n  check(chart.size, {});\n}});\n"
    first, other = case.format("a", 1, 7), case.format("b", 2, 8)
    renamed = other.replace("chart", "graph")
    assert _in_one(first + other, first + renamed, settings) == [("Rename Variable", "chart", "graph")]


def test_functions_show_the_new_name_of_what_they_see(settings: RefactoringSettings) -> None:
    uses = "".join(
        f"function {name}(a) {{\n  a.{name} = make(a.rows, {count});\n}}\n"
        for count, name in enumerate(("run", "stop", "wait"))
    )
    before = "const make = require('./make');\n" + uses
    after = "const { build } = require('./tools');\n" + uses.replace("make(", "build(")
    assert _in_one(before, after, settings) == [("Rename Variable", "make", "build")]
    own_versions = before.replace("(a) {", "(a, make) {"), after.replace("(a) {", "(a, build) {")
    assert _in_one(*own_versions, settings) == [("Rename Parameter", "make", "build")] * 3
