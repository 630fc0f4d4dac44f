"""Python code that looks renamed or extracted but is not."""

import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.extraction.refactoring.detection import detect
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

Keys = list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> RefactoringSettings:
    return load_parameters(request.config.rootpath).refactoring


def _between(before: dict[str, str], after: dict[str, str], settings: RefactoringSettings) -> Keys:
    return sorted(
        (refactoring.type, refactoring.name_before or "", refactoring.name_after or "")
        for refactoring in detect(before, after, settings)
    )


def _in_one(before: str, after: str, settings: RefactoringSettings) -> Keys:
    return _between({"a.py": before}, {"a.py": after}, settings)


def test_one_parameter_is_no_other_name_of_many(settings: RefactoringSettings) -> None:
    before = "class A:\n    def __exit__(self, *info):\n        self.store.close()\n"
    after = before.replace("*info", "kind, value, trace")
    assert _in_one(before, after, settings) == [
        ("Add Parameter", "", "kind"),
        ("Add Parameter", "", "trace"),
        ("Add Parameter", "", "value"),
        ("Remove Parameter", "info", ""),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # a part of the value got a name of its own
        (
            "title = 'from %s' % clock.now().year\nshow(title)\n",
            "year = clock.now().year\ntitle = 'since %s' % year\nshow(title)\n",
        ),
        # two results are taken in the other order
        (
            "def f(size):\n    low, high = bounds(size, 3)\n    return low.join(high)\n",
            "def f(size):\n    high, low = bounds(size, 3)\n    return low.join(high)\n",
        ),
        # the step between is gone
        (
            "def f(rows):\n    job = Plan(rows, 4)\n    found = job.run()\n    return found[0]\n",
            "def f(rows):\n    found = Plan(rows, 4)\n    return found[0]\n",
        ),
        # another thing, made and used in another way
        (
            "def f(box, data):\n    marker = box.marker(INK)\n    marker.add(data)\n    send(marker.end())\n",
            "def f(box, data):\n    mark = box.mark(data, INK)\n    send(mark)\n",
        ),
        (
            "def f(rows):\n    yield sum(rows[key].get('size', 1) for key in rows)\n",
            "def f(rows):\n    yield sum(cell.get('size', 1) for cell in rows.values())\n",
        ),
    ],
    ids=["part", "order", "step", "other", "key"],
)
def test_a_declaration_in_the_place_of_another_is_no_renaming(
    before: str, after: str, settings: RefactoringSettings
) -> None:
    assert _in_one(before, after, settings) == []


def test_a_declaration_that_is_otherwise_equal_is_a_renaming(settings: RefactoringSettings) -> None:
    before = "def f(rows):\n    for at in count(rows, 3):\n        work()\n"
    expected = [("Rename Variable", "at", "turn")]
    assert _in_one(before, before.replace("at in", "turn in"), settings) == expected


def test_a_returned_name_is_too_little_for_an_extraction(settings: RefactoringSettings) -> None:
    before = (
        "class Board:\n    def status(self, report):\n        report['open'] = self.open\n"
        "        report['load'] = self.load\n        return report\n"
    )
    after = before.replace("self.open", "self.listed(3)") + (
        "\n    def listed(self, depth):\n        if depth == 0:\n            copies = []\n"
        "            for one in self.jobs:\n                copies.append(one.copy())\n"
        "            return copies\n        return self.open\n"
    )
    assert _in_one(before, after, settings) == []


def test_a_function_called_in_place_of_another_is_not_extracted(settings: RefactoringSettings) -> None:
    before = "class Case(Base):\n    def run(self):\n        self.check_(False)\n"
    after = before.replace("check_", "check_true") + (
        "\n    def check_true(self, value):\n        self.checkTrue(value)\n"
    )
    assert _in_one(before, after, settings) == []


def test_an_empty_function_called_in_place_of_another_was_renamed(settings: RefactoringSettings) -> None:
    before = (
        "class Pipe:\n    def run(self, item):\n        for one in self.urls_of(item):\n"
        "            self.load(one, item)\n\n    def urls_of(self, item):\n        pass\n"
    )
    after = before.replace("urls_of", "wanted_requests")
    assert _in_one(before, after, settings) == [("Rename Method", "urls_of", "wanted_requests")]


def test_classes_in_renamed_functions_stay_in_their_files(settings: RefactoringSettings) -> None:
    code = (
        "class Tests:\n    def test_plain(self):\n        class Dummy:\n"
        "            def render(self):\n                return self.template\n"
        "        self.register(Dummy(), 'plain')\n        self.check(Dummy)\n"
    )
    before = {"a.py": code, "b.py": "import b\n\n\n\n" + code}
    after = {path: text.replace("test_plain", "test_named") for path, text in before.items()}
    # the one that stands first in its file would be paired first
    after["a.py"] = "\n\n\n\n\n\n" + after["a.py"]
    assert _between(before, after, settings) == [("Rename Method", "test_plain", "test_named")] * 2


def test_a_holder_of_another_name_renames_no_function(settings: RefactoringSettings) -> None:
    before = "Chart.layout.fit = function (area) {\n  this.draw(area.left, area.top);\n};\n"
    after = before.replace("Chart.layout.", "Chart.layouts.")
    assert _between({"a.js": before}, {"a.js": after}, settings) == []
