"""What looks like a renamed or extracted thing in Python and is none."""

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
        (one.type, one.name_before or "", one.name_after or "")
        for one in detect(before, after, settings)
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
