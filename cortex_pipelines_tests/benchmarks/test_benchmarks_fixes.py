from pathlib import Path

import pytest

from benchmarks.defects import alarm_hits, in_fixes
from benchmarks.fixes import MinedFixes, is_fix, mine_fixes
from cortex_pipelines.learned.defects.compare import score_rows
from cortex_pipelines.learned.defects.predict import Recogniser
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines_tests.ingestion.conftest import Repository
from cortex_pipelines_tests.learned.test_learned_defects import SETTINGS, base_of, judged
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.routing.logs import PARAMETERS

CASES = load_cases(__file__)
PYTHON, GO = CASES["python"], CASES["go"]
TEST = "def test_search():\n    assert search([1], 1) == 0\n"


@pytest.mark.parametrize(("message", "expected"), CASES["messages"].items())
def test_a_fix_is_told_by_what_its_message_says(message: str, expected: bool) -> None:
    subject, _, body = message.partition("\n")
    assert is_fix(subject, body) is expected


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = Repository(tmp_path_factory.mktemp("history") / "repository")
    repository.commit({"search.py": PYTHON, "search.go": GO}, "Search in sorted values")
    mended = PYTHON.replace("high = middle - 1", "high = middle")
    repository.commit(
        {"search.py": "import bisect  # the like\n" + mended, "test_search.py": TEST, "README.md": "# Search\n"},
        "Fix search that misses the last value",
    )
    guarded = mended.replace("    while", "    if not values:\n        return None\n    while")
    repository.commit({"search.py": guarded}, "Fix search in no values at all")
    both = guarded.replace("low = middle + 1", "low = middle").replace("total = 0", "total = 1")
    repository.commit({"search.py": both}, "Fix search and the sum of values")
    further = GO.replace("low < high", "low <= high")
    repository.commit({"search.go": further}, "Allow equal bounds while searching")
    repository.commit({"search.go": further.replace("middle + 1", "middle + 2")}, "fix: skip what was looked at")
    repository.commit({"search.go": further.replace("middle + 1", "middle + 3")}, "Fix typo in the search")
    return repository.folder / ".git"


def mined(history: Path, most: int) -> MinedFixes:
    redactor = PathRedactor(PARAMETERS.privacy, b"key")
    return mine_fixes(history, most, PARAMETERS.defects, PARAMETERS.pairs, PARAMETERS.ingestion, redactor)


def test_a_fix_is_one_changed_function_without_what_else_its_commit_changed(history: Path) -> None:
    found = mined(history, 9)
    assert [(fix.path, [fix.wrong.texts()[number] for number in fix.changed]) for fix in found.fixes] == [
        ("search.go", ["low = middle + 1"]),
        ("search.py", ["high = middle - 1"]),
    ]
    assert (found.commits, found.several_functions, found.insertions, found.other_size) == (4, 1, 1, 0)
    assert found.fixes[1].right.code.decode() == PYTHON.partition("\n\n")[0].replace("middle - 1", "middle")
    assert [fix.path for fix in mined(history, 1).fixes] == ["search.go"]


def test_an_alarm_is_right_on_a_statement_that_the_fix_changes() -> None:
    found = [judged(2, (2, 3), 9, 0), judged(2, (3,), 8, 1), judged(2, (2,), 2, 3), judged(2, (2,), 1, 0)]
    assert [row["rank"] for row in score_rows(found)] == [1, 4.5, 1, 1]  # of six equal ones
    assert alarm_hits(found, "way", 0.25) == (1, 2)
    assert alarm_hits(found, "way", 0.5) == (2, 4)  # one of them in a function that is right
    assert alarm_hits(found, "way", 0.01) == (0, 0)


def test_ways_are_compared_on_real_fixes_and_on_errors_put_into_the_same_functions(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = PARAMETERS.model_copy(update={"defects": SETTINGS})
    in_fixes(Recogniser(), base_of("llama", tmp_path), parameters, "surprise_sum", [history], 9)
    printed = capsys.readouterr().out
    assert "2 of 4 fixing commits; 1 change several functions, 1 only insert, 0 are of another size" in printed
    assert "real fixes: 2 functions of 1 projects (1 go, 1 python)" in printed
    assert "2 of 2 fixes are one of the small edits" in printed
    for line in ("errors put into the same functions: 2", "top-3 control", "top-3 edit_gain", "AUROC surprise_sum"):
        assert line in printed
