"""Which paths are those of test code."""

import pytest

from cortex_pipelines.extraction.test_cases import is_test


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("shop/tests.py", True),
        ("shop/test.py", True),
        ("src/export/tests.rs", True),
        ("src/prices.test.ts", True),
        ("tests/prices.py", True),
        ("shop/test_prices.py", True),
        ("shop/conftest.py", True),
        ("shop/contests.py", False),
        ("shop/testing.py", False),
        ("docs/tests.md", False),
        ("src/latest.rs", False),
    ],
)
def test_a_path_is_that_of_test_code(path: str, expected: bool) -> None:
    assert is_test(path) == expected
