import re
from pathlib import Path

import polars as pl
import pytest

from cortex_pipelines.extraction.patterns.pattern import PatternError
from cortex_pipelines.extraction.patterns.pattern_files import (
    folder_patterns,
    project_checks,
    read_patterns,
    valid_patterns,
)
from cortex_pipelines_tests.extraction.tables import repository_files
from cortex_pipelines_tests.parameters import load_cases

GOOD = load_cases(__file__)["GOOD"]


def files(texts: dict[str, str], source: str = "directory:shop") -> pl.DataFrame:
    return repository_files({path: ("yaml", text) for path, text in texts.items()}, source=source)


def test_patterns_are_found_below_folders_of_that_name_alone() -> None:
    texts = {
        "docs/patterns/http/one.yaml": GOOD.format(name="one"),
        "patterns/proposed/two.yaml": GOOD.format(name="two"),
        "deploy/three.yaml": GOOD.format(name="three"),
        "patterns/four.yaml": "- " + GOOD.format(name="four").replace("\n", "\n  ").rstrip(),
        "patterns/service.yaml": "name: web\nports: [80]\n",
    }
    assert [(entry.path, entry.pattern and entry.pattern.name) for entry in read_patterns(files(texts))] == [
        ("docs/patterns/http/one.yaml", "one"),
        ("patterns/four.yaml", "four"),
    ]
    (alone,) = read_patterns(files({"x.yaml": GOOD.format(name="x")}, "directory:../patterns"))
    assert alone.pattern is not None


def test_keys_may_stand_in_braces_and_in_quotation_marks() -> None:
    good = GOOD.format(name="one")
    texts = {
        "patterns/braces.yaml": f"- {{{', '.join(good.splitlines())}}}\n",
        "patterns/quoted.yaml": re.sub(r"^(\w+):", r'"\1":', good.replace("one", "two"), flags=re.M),
    }
    assert [entry.name for entry in valid_patterns(read_patterns(files(texts)))] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "why_not", "words"),
    [
        (GOOD.format(name="a").replace("when: Always.\n", ""), "pattern_invalid", "a: when: field"),
        (
            *(GOOD.format(name="a") + "example: h()\n", "pattern_damaged"),
            'no YAML: found duplicate key "example" with value "h()" (original value: "g($A)"), ',
        ),
        (
            *(GOOD.format(name="a") + "\tmore: 1\n", "pattern_damaged"),
            "no YAML: found character '\\t' that cannot start any token, line 6",
        ),
        (GOOD.format(name="a") + "more: [" + "[" * 300, "pattern_damaged", "no YAML"),
        pytest.param(
            *(GOOD.format(name="a") + "more: [" + "[" * 5000, "pattern_damaged", "no YAML: maximum recursion"),
            marks=pytest.mark.long,
        ),
        (GOOD.format(name="a") + "more: *nothing\n", "pattern_damaged", "no YAML"),
        (GOOD.format(name="a") + "#" * 70_000, "pattern_damaged", "65,536 characters"),
        (GOOD.format(name="a").replace("f($A)", "$A"), "pattern_invalid", "any code matches"),
    ],
)
def test_what_has_the_keys_and_is_no_pattern_is_reported(text: str, why_not: str, words: str) -> None:
    (entry,) = read_patterns(files({"patterns/a.yaml": text}))
    assert (entry.pattern, entry.why_not) == (None, why_not)
    assert words in entry.sentence
    assert entry.sentence.startswith("patterns/a.yaml: ")


def test_of_two_patterns_with_one_name_the_first_counts() -> None:
    text = GOOD.format(name="same")
    first, second = read_patterns(files({"patterns/b.yaml": text, "patterns/a.yaml": text}))
    assert (first.path, first.why_not) == ("patterns/a.yaml", "")
    assert (second.path, second.why_not) == ("patterns/b.yaml", "pattern_repeated")
    assert "patterns/a.yaml" in second.detail


def test_a_project_is_held_against_its_patterns(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    repository_files = files({"patterns/a.yaml": GOOD.format(name="a"), "patterns/b.yaml": "name: 1\nwhen: 2"})
    repository_files.write_parquet(tmp_path / "files" / "files.parquet")
    assert project_checks(tmp_path / "files").violated_patterns("f(1)", "python") == ["a"]


def test_a_folder_is_read_like_a_source(tmp_path: Path) -> None:
    (tmp_path / "proposed").mkdir()
    (tmp_path / "a.yaml").write_text(GOOD.format(name="a") + "---\n" + GOOD.format(name="b"))
    (tmp_path / "proposed" / "c.yaml").write_text(GOOD.format(name="c"))
    assert [entry.name for entry in valid_patterns(folder_patterns(tmp_path))] == ["a", "b"]
    with pytest.raises(PatternError, match="no such folder"):
        folder_patterns(tmp_path / "gone")
