"""Functions that were lifted, split, called in another's place, or assigned to something else."""

import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.extraction.refactoring.detection import detect
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> RefactoringSettings:
    return load_parameters(request.config.rootpath).refactoring


Key = tuple[str, str | None, str | None]


def _between(before: dict[str, str], after: dict[str, str], settings: RefactoringSettings) -> list[Key]:
    refactorings = detect(before, after, settings)
    return sorted(
        (refactoring.type, refactoring.name_before or "", refactoring.name_after or "") for refactoring in refactorings
    )


INNER = """
    function spread(values, width) {
        const rows = [];
        for (const value of values) {
            rows.push(value.padEnd(width, mark));
        }
        return rows.join(divider);
    }
"""
PRINT = """
function print(report) {%s
    const lines = report.sections.map(section => section.title);
    report.out.write(spread(lines, report.columns));
}
"""


@pytest.mark.parametrize("path", ["a.js", "a.ts"])
def test_a_function_that_is_lifted_out_of_another_moved(path: str, settings: RefactoringSettings) -> None:
    inside, outside = PRINT % INNER, INNER + PRINT % ""
    assert _between({path: inside}, {path: outside}, settings) == [("Move Method", "spread", "spread")]
    assert _between({path: outside}, {path: inside}, settings) == [("Move Method", "spread", "spread")]


def test_a_function_goes_along_with_what_it_is_inside_of(settings: RefactoringSettings) -> None:
    other = "export const STOP = new Set(['a', 'the']);\n"
    before = {"a.js": PRINT % INNER + "\nexport const depth = 3;\n", "b.js": other}
    after = {"a.js": "\nexport const depth = 3;\n", "b.js": other + PRINT % INNER}
    assert _between(before, after, settings) == [("Move Method", "print", "print")]


def test_the_same_body_under_the_same_name_elsewhere_is_no_rename(settings: RefactoringSettings) -> None:
    uses = "".join(
        f"\ndef show_{name}(data):\n    log({name})\n    return part_text(data.{name}, 1)\n"
        for name in ("rows", "cells", "heads", "tails")
    )
    part = """
def part_text(part, depth):
    while part.reference:
        part = follow(part.reference)
    return describe(part, depth, "  ")
"""
    options = "\ndef option_part_text(part):\n    return texts.part_text(SCHEMA, part)\n"
    before = {"errors.py": part + uses, "texts.py": "DEPTH = 3\n"}
    after = {"errors.py": options + uses.replace(" part_text(", " option_part_text("), "texts.py": "DEPTH = 3\n" + part}
    assert _between(before, after, settings) == [("Move Method", "part_text", "part_text")]


def test_a_changed_function_elsewhere_is_known_by_its_calls(settings: RefactoringSettings) -> None:
    before = """
function draw(points) {
    prepare(points);
    lineToPoint(points.first, points.last);
}

class Pen {
    lineToPoint(first, last) {
        this.sink.start(first.x, first.y, this.colour);
        if (last.stepped) {
            this.sink.step(last.x, first.y, this.width);
        }
        this.sink.finish(last.x, last.y);
    }
}
"""
    after = """
function draw(points) {
    prepare(points);
    pens.lineTo(points.first, points.last);
}

class Pen {
}

function lineTo(first, last) {
    sink.start(first.x, first.y, context.style.shade, context.style.end);
    if (last.stepped && context.allowed) {
        sink.step(last.x, first.y, context.style.size);
    }
    context.sinks.current.done(last.x, last.y);
}
"""
    expected = ("Move And Rename Method", "lineToPoint", "lineTo")
    assert expected in _between({"a.js": before}, {"a.js": after}, settings)
    unused = "    pens.lineTo(points.first, points.last);\n"
    assert unused in after
    silent = after.replace(unused, "    finish(points.count);\n")
    assert expected not in _between({"a.js": before}, {"a.js": silent}, settings)


def test_a_statement_that_is_now_called_was_extracted(settings: RefactoringSettings) -> None:
    before = """
class Charts:
    def destroy(self):
        self.stop()
        for at in range(len(self.charts)):
            meta = self.meta_of(at)
            if meta.controller:
                meta.controller.destroy()
                meta.controller = None
        self.canvas.release(self.context)
"""
    after = """
class Charts:
    def forget(self, at):
        number, known = self.number, self.data.known[at]
        found = known.charts and known.charts.get(number)
        meta = self.read(found, number, strict=self.strict)
        if meta and self.live.contains(number):
            meta.controller.destroy()
            del known.charts[number]
            self.live.remove(number)

    def destroy(self):
        self.stop()
        for at in range(len(self.charts)):
            self.forget(at)
        self.canvas.release(self.context)
"""
    extracted = ("Extract Method", "", "forget")
    assert extracted in _between({"a.py": before}, {"a.py": after}, settings)
    different_call = after.replace("            self.forget(at)\n", "            self.watch(at)\n")
    different_call = different_call.replace("self.stop()\n", "self.forget(0)\n        self.stop()\n")
    assert extracted not in _between({"a.py": before}, {"a.py": different_call}, settings)


def test_a_part_that_becomes_a_function_inside_of_its_origin_moved_too(settings: RefactoringSettings) -> None:
    part = """{0}if (options.complete && options.complete.call) {{
{0}    options.complete.call(chart, options.value);
{0}    chart.log("complete", options.value);
{0}}}
"""
    before = f"function render(chart, options) {{\n    chart.draw();\n{part.format('    ')}}}\n"
    after = (
        "function render(chart, options) {\n"
        f"    const finish = function () {{\n{part.format('        ')}    }};\n"
        "    chart.draw();\n    finish();\n}\n"
    )
    refactorings = _between({"a.js": before}, {"a.js": after}, settings)
    assert refactorings == [("Extract And Move Method", "", "finish")]


def test_what_a_function_is_assigned_to_may_change_alone(settings: RefactoringSettings) -> None:
    code = """
helpers.clip = function(context, area) {
    context.save();
    context.rect(area.left, area.top, area.width, area.height);
};
"""
    after = code.replace("helpers.clip", "helpers.canvas.clip")
    refactorings = detect({"a.js": code}, {"a.js": after}, settings)
    assert [(refactoring.type, refactoring.name_after) for refactoring in refactorings] == [("Rename Method", "clip")]
    assert "helpers.canvas.clip" in refactorings[0].description
    exported = code.replace("helpers.clip", "exports.clip")
    assert not detect({"a.js": exported}, {"a.js": "module." + exported.lstrip()}, settings)


def test_an_extraction_beside_its_origin_in_one_line_is_none_into_it(settings: RefactoringSettings) -> None:
    extracted_code = "int x = compute(this.first, this.second); use(x); done(x);"
    before = "class A { void a(){ log(1); " + extracted_code + " } }"
    after = "class A { void a(){ log(1); b(); } void b(){ " + extracted_code + " } }"
    refactorings = _between({"A.java": before}, {"A.java": after}, settings)
    assert refactorings == [("Extract Method", "", "b")]
