"""Tests are paired with what they exercise, and with nothing else."""

import polars as pl
import pytest

from cortex_pipelines.extraction.test_pairing import MAX_TESTS
from cortex_pipelines.extraction.units import Extraction, extract
from cortex_pipelines_tests.extraction.tables import repository_files
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)


def extracted(settings, texts: dict[str, str], tested: dict[str, list[str]] | None = None) -> Extraction:
    files = pl.concat(
        repository_files({path: text}, blob=f"{index:040d}", tested_paths=(tested or {}).get(path, []))
        for index, (path, text) in enumerate(texts.items())
    )
    return extract(files, settings, "p")


def pairs(extraction: Extraction) -> dict[str, list[str]]:
    names = dict(extraction.tests.select("unit_id", "name").iter_rows())
    tested = extraction.units.filter(pl.col("tests").list.len() > 0)
    return {
        row["qualified_name"]: [names[test] for test in row["tests"]]
        for row in tested.sort("path", "start_byte").iter_rows(named=True)
    }


PYTHON = CASES["PYTHON"]
JAVASCRIPT = CASES["JAVASCRIPT"]
JAVA = CASES["JAVA"]
GO = {
    "shop/shop.go": "package shop\nfunc Price() int { return 1 }\nfunc Open() {}\n",
    "shop/shop_test.go": ("package shop\nfunc TestPrice(t *testing.T) { Price() }\nfunc Testify() { Open() }\n"),
    "other/shop_test.go": "package other\nfunc TestOther(t *testing.T) { Open() }\n",
}
RUST = CASES["RUST"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (PYTHON, {"total": ["test_total"], "Cart": ["test_add"], "Cart.add": ["test_add"]}),
        (JAVASCRIPT, {"add": ["adds"]}),
        (JAVA, {"Shop": ["sells"], "Shop.price": ["sells"]}),
        (GO, {"Price": ["TestPrice"]}),
        (RUST, {"price": ["sells"], "Shop.open": ["opens"]}),
    ],
    ids=["python", "javascript", "java", "go", "rust"],
)
def test_a_test_is_paired_with_what_it_calls_and_reaches(settings, texts, expected) -> None:
    extraction = extracted(settings, texts)
    if texts is JAVASCRIPT:
        by_path = {
            row["path"]: row["tests"] for row in extraction.units.filter(pl.col("name") == "add").iter_rows(named=True)
        }
        names = dict(extraction.tests.select("unit_id", "name").iter_rows())
        assert {path: [names[test] for test in tests] for path, tests in by_path.items()} == {
            "lib/math.js": ["adds"],
            "lib/text.js": ["adds text"],
        }
    assert pairs(extraction).keys() == expected.keys()
    if texts is not JAVASCRIPT:
        assert pairs(extraction) == expected


def test_a_name_of_two_units_within_reach_is_not_paired(settings) -> None:
    texts = PYTHON | {
        "tests/test_both.py": (
            "import shop\nfrom shop.other import Bag\n\ndef test_it():\n    shop.total([])\n    x.add(1)\n"
        )
    }
    assert "test_it" not in {name for names in pairs(extracted(settings, texts)).values() for name in names}


def test_what_ingestion_pairs_by_name_is_within_reach(settings) -> None:
    texts = {"a.py": "def f(): pass\n", "check/test_a.py": "def test_f():\n    load('a').f()\n"}
    assert pairs(extracted(settings, texts)) == {}
    assert pairs(extracted(settings, texts, {"check/test_a.py": ["a.py"]})) == {"f": ["test_f"]}


def test_few_tests_of_many_the_closest_first(settings) -> None:
    cases = "".join(f"def test_case_{i}():\n    f({i})\n\n" for i in range(9))
    texts = {"m.py": "def f(x): pass\n", "test_m.py": f"import m\n\n{cases}def test_f():\n    m.f({'1' * 50})\n"}
    (names,) = pairs(extracted(settings, texts)).values()
    assert len(names) == MAX_TESTS
    assert names[0] == "test_f"


def test_the_order_of_files_does_not_matter(settings) -> None:
    texts = PYTHON | JAVASCRIPT | JAVA | GO | RUST
    backwards = dict(reversed(texts.items()))
    forwards, other = (pairs(extracted(settings, each)) for each in (texts, backwards))
    assert forwards == other


def test_a_test_of_qunit_is_one_and_its_module_is_none(settings) -> None:
    texts = {
        "lib/text.js": "export function add(a) { return a }\n",
        "test/text.js": (
            "import { add } from '../lib/text.js';\n"
            "QUnit.module('text', function (hooks) {\n"
            "  QUnit.test('adds', function (assert) { assert.equal(add('a'), 'a') });\n"
            "  Other.test('is none', () => { add() });\n});\n"
        ),
    }
    assert pairs(extracted(settings, texts)) == {"add": ["adds"]}
