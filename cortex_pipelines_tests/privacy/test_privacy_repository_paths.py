"""Places of files lose the folders that name machines and people."""

import pytest

from cortex_pipelines.privacy.paths import repository_name, repository_path
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


@pytest.mark.parametrize(
    ("path", "expected"),
    [*CASES["only_the_path_in_the_repository_is_left"], ("src/" + "a" * 300, ("src/" + "a" * 300)[:200])],
)
def test_only_the_path_in_the_repository_is_left(path: str, expected: str | None) -> None:
    assert repository_path(path, "shop") == expected
    assert expected is None or repository_path(expected, "shop") == expected


def test_without_a_repository_only_the_name_is_left() -> None:
    assert repository_path("C:\\Users\\jane.doe\\shop\\a.py") == "a.py"


@pytest.mark.parametrize("url", ["acme/shop", "https://example.com/acme/shop.git/", "git@example.com:acme/shop.git"])
def test_a_repositorys_name(url: str) -> None:
    assert repository_name(url) == "shop"
