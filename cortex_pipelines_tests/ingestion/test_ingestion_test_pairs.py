from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.ingestion.files import related_files
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


def pairs(*paths: str, **texts: str) -> dict[str, list[str]]:
    files = [(path, language_of(path, "")) for path in paths]
    return related_files.tested_paths(files, lambda path: texts.get(PurePosixPath(path).stem, ""))


@pytest.mark.parametrize(("test", "tested"), CASES["a_test_is_paired_by_the_conventions_of_its_language"])
def test_a_test_is_paired_by_the_conventions_of_its_language(test: str, tested: str) -> None:
    assert pairs(test, tested, "other/thing.py", "other/thing.js") == {test: [tested]}


def test_the_folder_that_agrees_best_is_meant() -> None:
    tested = pairs(
        *("a/models.py", "b/models.py", "tests/a/test_models.py", "tests/b/test_models.py"),
        *("m/src/main/java/x/A.java", "n/src/main/java/x/A.java"),
        "n/src/test/java/x/ATest.java",
    )
    assert tested["tests/a/test_models.py"] == ["a/models.py"]
    assert tested["tests/b/test_models.py"] == ["b/models.py"]
    assert tested["n/src/test/java/x/ATest.java"] == ["n/src/main/java/x/A.java"]


def test_between_equals_the_words_of_the_test_decide() -> None:
    paths = ("one/models.py", "two/models.py", "tests/test_models.py")
    assert pairs(*paths)["tests/test_models.py"] == []
    tested = pairs(*paths, test_models="from two.models import Thing\n")
    assert tested["tests/test_models.py"] == ["two/models.py"]


def test_languages_are_not_mixed_and_helpers_are_no_tests() -> None:
    tested = pairs("signer.go", "tests/test_signer.py", "tests/conftest.py", "tests/__init__.py")
    assert tested == {"tests/test_signer.py": []}


PART = st.sampled_from(["src", "tests", "test", "__tests__", "a", "b", "x_test", "test_x", "index"])
PATHS = st.lists(
    st.tuples(st.lists(PART, max_size=3), PART, st.sampled_from(["py", "js", "go", "rs", "java"])).map(
        lambda at: "/".join([*at[0], f"{at[1]}.{at[2]}"])
    ),
    unique=True,
    max_size=12,
)


@given(PATHS)
def test_no_test_tests_itself_or_another_test(paths: list[str]) -> None:
    tested_by = pairs(*paths)
    tested_names = {path for tested in tested_by.values() for path in tested}
    assert tested_names <= set(paths) - tested_by.keys()
    assert tested_by == pairs(*sorted(paths, reverse=True))


def test_pairs_stand_in_the_table(repository: Any, read: Any) -> None:
    repository.commit({"lib/a.py": "a = 1\n", "tests/test_a.py": "from lib.a import a\n"})
    tables = read({"git": "repository", "ref": "main"})
    assert dict(tables.files.select("path", "tested_paths").iter_rows()) == {
        "lib/a.py": [],
        "tests/test_a.py": ["lib/a.py"],
    }
