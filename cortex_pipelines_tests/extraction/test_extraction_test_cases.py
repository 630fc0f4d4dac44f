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
        ("shop/tests_e2e/helpers.py", True),
        ("e2e/login.ts", True),
        ("shop_tests/command.py", True),
        ("integration-tests/src/lib.rs", True),
        ("src/integrationTest/java/Shop.java", True),
        ("src/test_helpers/client.rs", True),
        ("internal/testutil/server.go", True),
        ("shop/shoptest/fake/server.go", True),
        ("src/cart.test-d.ts", True),
        ("packages/shop/test-dts/cart.ts", True),
        ("api/latest/server.go", False),
        ("shop/shoptest/server.py", False),
        ("src/test-runner/entry.ts", False),
        ("src/testimonials/entry.ts", False),
        ("src/contests/entry.py", False),
        ("src/latest/entry.ts", False),
        ("shop/contests.py", False),
        ("shop/testing.py", False),
        ("docs/tests.md", False),
        ("src/latest.rs", False),
        ("src/export.rs:tests.TempFolder.new", True),
        ("src/export.rs:imp.export_tests.writes", True),
        ("src/export.rs:test_export", True),
        ("src/export.rs:Contests.new", False),
        ("src/export.rs:run_tests", False),
        ("src/export.py:tests.new", False),
    ],
)
def test_a_place_is_that_of_test_code(path: str, expected: bool) -> None:
    path, _, name = path.partition(":")
    assert is_test(path, name) == expected
