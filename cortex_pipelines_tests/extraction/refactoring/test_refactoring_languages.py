from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cortex_pipelines.extraction.refactoring.detection import detect
from cortex_pipelines.extraction.refactoring.model import Refactoring
from cortex_pipelines.extraction.settings import RefactoringSettings

# Types named in the contract; other types may come with these.
SCORED = {
    *("Rename Class", "Move Class", "Rename Method", "Move Method", "Extract Method", "Inline Method"),
    *("Rename Parameter", "Rename Variable", "Add Parameter", "Remove Parameter", "Reorder Parameter"),
}


@dataclass(frozen=True)
class Sample:
    """Code in one language, and the words of it that refactorings change."""

    path: str
    other_path: str
    basket: str  # a type with two methods
    clean: str  # a function
    other: str  # what the second file holds
    part: dict[str, str]  # what is extracted from ``total``, and the call of it
    extracted: str  # the method that the part becomes
    parameters: tuple[str, str, str, str]  # of ``total``: as it is, one more, one less, turned

    def before(self) -> dict[str, str]:
        return {self.path: self.basket + self.clean, self.other_path: self.other}


SAMPLES = {
    language: Sample(**fields)
    for language, fields in yaml.safe_load((Path(__file__).parent / "samples.yaml").read_text(encoding="utf-8")).items()
}
GO, JAVA = SAMPLES["go"], SAMPLES["java"]
LANGUAGES = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)


def _detected(before: dict[str, str], after: dict[str, str], settings: RefactoringSettings) -> list[Refactoring]:
    return [refactoring for refactoring in detect(before, after, settings) if refactoring.type in SCORED]


def _keys(refactorings: list[Refactoring]) -> list[tuple[str | None, ...]]:
    return [(r.type, r.name_before, r.name_after, r.container_before, r.container_after) for r in refactorings]


def _replaced(sample: Sample, *words: tuple[str, str]) -> dict[str, str]:
    after = sample.before()
    for old, new in words:
        assert any(old in text for text in after.values()), old
        after = {path: text.replace(old, new) for path, text in after.items()}
    return after


@LANGUAGES
def test_same_code_has_no_refactorings(sample: Sample, settings: RefactoringSettings) -> None:
    assert detect(sample.before(), sample.before(), settings) == []
    reformatted = {path: text.replace("\n\n", "\n\n\n") for path, text in sample.before().items()}
    assert detect(sample.before(), reformatted, settings) == []


@LANGUAGES
@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("Basket", "Cart"), ("Rename Class", "Basket", "Cart", None, None)),
        (("heaviest(", "of_most_weight("), ("Rename Method", "heaviest", "of_most_weight", "Basket", "Basket")),
        (("discount", "reduction"), ("Rename Parameter", "discount", "reduction", "total", "total")),
    ],
)
def test_renamed_unit(sample, words, key: tuple[str | None, ...], settings: RefactoringSettings) -> None:
    refactorings = _detected(sample.before(), _replaced(sample, words), settings)
    assert _keys(refactorings) == [key]
    assert refactorings[0].purity == "pure"


@LANGUAGES
def test_renamed_variable(sample: Sample, settings: RefactoringSettings) -> None:
    refactorings = _detected(sample.before(), _replaced(sample, ("amount", "due")), settings)
    assert _keys(refactorings) == [("Rename Variable", "amount", "due", "total", "total")]
    assert refactorings[0].purity == "pure"
    line = next(number for number, text in enumerate(sample.basket.split("\n"), start=1) if "amount" in text)
    assert (refactorings[0].line_before, refactorings[0].line_after) == (line, line)


@LANGUAGES
def test_several_renames_at_once(sample: Sample, settings: RefactoringSettings) -> None:
    words = ("amount", "due"), ("price", "cost"), ("discount", "reduction"), ("total(", "owed(")
    assert sorted(_keys(_detected(sample.before(), _replaced(sample, *words), settings))) == [
        ("Rename Method", "total", "owed", "Basket", "Basket"),
        ("Rename Parameter", "discount", "reduction", "total", "owed"),
        ("Rename Variable", "amount", "due", "total", "owed"),
        ("Rename Variable", "price", "cost", "total", "owed"),
    ]


@LANGUAGES
def test_changed_parameters(sample: Sample, settings: RefactoringSettings) -> None:
    as_it_is, more, less, turned = sample.parameters
    added = _detected(sample.before(), _replaced(sample, (as_it_is, more)), settings)
    assert _keys(added) == [("Add Parameter", None, "strict", "total", "total")]
    assert added[0].purity == "pure"
    declared = more.partition("strict")[2].partition(")")[0]
    assert added[0].description.startswith("The method total got the parameter strict (")
    assert added[0].description.endswith(f"strict{declared}), after discount.")
    removed = _detected(sample.before(), _replaced(sample, (as_it_is, less)), settings)
    assert _keys(removed) == [("Remove Parameter", "discount", None, "total", "total")]
    reordered = _detected(sample.before(), _replaced(sample, (as_it_is, turned)), settings)
    assert _keys(reordered) == [("Reorder Parameter", "rate, discount", "discount, rate", "total", "total")]


@LANGUAGES
def test_extracted_and_inlined_method(sample: Sample, settings: RefactoringSettings) -> None:
    gap = sample.basket.rindex("\n\n")
    if sample is GO:
        with_method = sample.basket + sample.extracted
    else:
        with_method = sample.basket[:gap] + "\n" + sample.extracted + sample.basket[gap + 1 :]
    after = sample.before() | {
        sample.path: with_method.replace(sample.part["before"], sample.part["after"], 1) + sample.clean
    }
    extracted = _detected(sample.before(), after, settings)
    assert _keys(extracted) == [("Extract Method", None, "finish", "total", "total")]
    assert extracted[0].purity == "pure"
    assert "finish(amount, rate, discount)" in extracted[0].code_after
    inlined = _detected(after, sample.before(), settings)
    assert _keys(inlined) == [("Inline Method", "finish", None, "total", "total")]
    assert inlined[0].purity == "pure"


@LANGUAGES
def test_moved_class_and_method(sample: Sample, settings: RefactoringSettings) -> None:
    before = sample.before()
    head = "\npackage shop\n" if sample is GO else ""
    after = {sample.path: head + sample.clean, sample.other_path: sample.other + sample.basket.removeprefix(head)}
    refactorings = _detected(before, after, settings)
    assert _keys(refactorings) == [("Move Class", "Basket", "Basket", None, None)]
    assert (refactorings[0].path_before, refactorings[0].path_after) == (sample.path, sample.other_path)
    assert refactorings[0].purity == "pure"
    if sample is JAVA:
        return  # a function of Java does not stand alone
    after = {sample.path: sample.basket, sample.other_path: sample.other + sample.clean}
    refactorings = _detected(before, after, settings)
    assert _keys(refactorings) == [("Move Method", "clean", "clean", None, None)]
    assert refactorings[0].purity == "pure"


@LANGUAGES
def test_a_renamed_file_is_followed(sample: Sample, settings: RefactoringSettings) -> None:
    path = sample.path.replace("basket", "cart").replace("Basket", "Cart")
    after = _replaced(sample, ("amount", "due"))
    after[path] = after.pop(sample.path)
    classes = 2 if sample is JAVA else 1
    refactorings = _detected(sample.before(), after, settings)
    assert [refactoring.type for refactoring in refactorings].count("Move Class") == classes
    assert ("Rename Variable", "amount", "due", "total", "total") in _keys(refactorings)
    assert len(refactorings) == classes + 1


@LANGUAGES
def test_a_change_of_behaviour_makes_it_mixed(sample: Sample, settings: RefactoringSettings) -> None:
    after = _replaced(sample, ("amount", "due"), ("due > discount", "due >= discount"))
    refactorings = _detected(sample.before(), after, settings)
    assert _keys(refactorings) == [("Rename Variable", "amount", "due", "total", "total")]
    assert refactorings[0].purity == "mixed"


@LANGUAGES
def test_new_code_is_no_refactoring(sample: Sample, settings: RefactoringSettings) -> None:
    less = sample.before() | {sample.path: sample.basket}
    assert (_detected(less, sample.before(), settings), _detected(sample.before(), less, settings)) == ([], [])
    assert _detected({}, sample.before(), settings) == []
