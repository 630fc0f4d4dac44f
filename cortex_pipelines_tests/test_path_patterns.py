import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_pipelines.path_patterns import PathPatternError, path_pattern
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
PATHS = CASES["PATHS"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    for path in PATHS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def ignored(tree: Path, pattern: str) -> set[str]:
    (tree / ".gitignore").write_text(pattern + "\n", encoding="utf-8")
    command = ["git", "-c", "core.quotePath=false", "-C", str(tree), "check-ignore", "-z", "--stdin"]
    result = subprocess.run(command, input="\0".join(PATHS), capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stderr
    return set(result.stdout.split("\0")) - {""}


def matching(pattern: str) -> set[str]:
    """By both engines, which have to agree."""
    one_by_one = {path for path in PATHS if path_pattern(pattern).matches(path)}
    paths = pl.Series(PATHS)
    assert one_by_one == set(paths.filter(path_pattern(pattern).match_all(paths)))
    return one_by_one


@pytest.mark.parametrize(("pattern", "count"), CASES["PATTERNS"].items())
def test_a_pattern_means_what_git_says(tree: Path, pattern: str, count: int) -> None:
    assert (matching(pattern), len(matching(pattern))) == (ignored(tree, pattern), count)


@pytest.mark.parametrize("pattern", ["src/**/*.py", "**/*.py", "src/?.py", "src/b/**", "lib/**/a.py"])
def test_a_pattern_of_files_means_what_a_pathspec_of_git_says(tree: Path, pattern: str) -> None:
    command = ["git", "-C", str(tree), "ls-files", "-z", "--others", f":(glob){pattern}"]
    tracked = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert matching(pattern) == set(tracked.split("\0")) - {"", ".gitignore"}


SEGMENTS = ["src", "b", "*", "**", "*.py", "a.py", "?", "s*", "[!x]*", "test_*", "été", "lib"]


@settings(max_examples=60, derandomize=True)
@given(
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4).map("/".join),
    st.sampled_from(["", "/"]),
    st.sampled_from(["", "/"]),
)
def test_any_pattern_means_what_git_says(tree: Path, body: str, front: str, end: str) -> None:
    assert matching(front + body + end) == ignored(tree, front + body + end)


@pytest.mark.parametrize(("pattern", "plain"), CASES["SAME"].items())
def test_other_ways_of_writing_the_same(pattern: str, plain: str) -> None:
    assert matching(pattern) == matching(plain) != set()


@pytest.mark.parametrize(("pattern", "words"), [*CASES["REFUSED"].items(), ("a" * 2_000, "more than 1,000")])
def test_what_would_match_nothing_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(PathPatternError, match=words):
        path_pattern(pattern)


def test_leading_dots_do_not_count_and_stars_beside_other_signs_stay_in_a_folder() -> None:
    assert path_pattern("src/**/*.py").matches("./src/a.py")
    # as git documents it; git itself lets these two cross folders behind a literal beginning
    assert matching("src**/a.py") == {"src/a.py", "srcs/a.py"}


def test_stars_without_end_take_linear_time() -> None:
    began = time.process_time()
    assert not path_pattern("a*" * 40 + "b").matches("a" * 4_000)
    assert not path_pattern("**/a/" * 40 + "b").matches("a/" * 2_000)
    assert time.process_time() - began < 5
