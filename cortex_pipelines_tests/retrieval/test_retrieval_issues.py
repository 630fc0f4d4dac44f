"""Issues of a tracker are places that a search gives, beside the code."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.api import load_parameters
from cortex_pipelines.retrieval.excerpts import DocumentLocation, ExcerptSource
from cortex_pipelines.retrieval.index import IndexManifest, build_index
from cortex_pipelines.retrieval.open_index import reading_limits
from cortex_pipelines.retrieval.search import Filters, Searcher
from cortex_pipelines.retrieval.tables import build_search_tables, read_searched_files
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.retrieval import SEARCHED_DOCUMENTS, SEARCHED_FILES
from cortex_pipelines_tests.retrieval.searchedproject import save

PARAMETERS = load_parameters()
CODE = "def apply_voucher(order, voucher):\n    return order.total - voucher.amount\n"
PAGE = "# Vouchers are counted twice\n\nSee below.\n\n## Steps\n\n" + "Take a voucher.\n" * 150
FILES = (
    ("git:../shop", "shop/order.py", CODE, "python"),
    ("git:../shop", "issues/tickets/7.md", PAGE, "markdown"),
    ("dlt:tracker", "issues/tickets/7.md", PAGE, "markdown"),
    ("dlt:tracker", "reviews/remarks/ab.json", '{"body": "Fine."}', "json"),
)


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    columns: dict[str, Any] = {"revision": "r", "generated": False, "licence": None, "author": None}
    names = ("source", "path", "text", "language")
    rows = [dict(zip(names, file, strict=True)) | columns for file in FILES]
    units = {"source": "git:../shop", "path": "shop/order.py", "qualified_name": "apply_voucher"}
    frame = pl.DataFrame(rows, schema_overrides={"licence": pl.String, "author": pl.String})
    return build_search_tables(
        frame,
        pl.DataFrame([units | {"start_line": 1, "category": "other", "cyclomatic": 1}]),
        REPOSITORY_COMMITS.empty(),
        PARAMETERS.extraction,
    )


def test_an_issue_is_one_place(tables: dict[str, pl.DataFrame]) -> None:
    documents = tables["documents"].filter(kind="issue")
    (issue,) = documents.iter_rows(named=True)
    assert (issue["source"], issue["name"]) == ("dlt:tracker", "Vouchers are counted twice")
    assert (issue["start_line"], issue["end_line"]) == (1, PAGE.count("\n") + 1)
    assert issue["documentation"].startswith("See below.")
    assert issue["embedded"] is None
    # the same page in a repository is cut as prose is
    sections = tables["documents"].filter(source="git:../shop", path="issues/tickets/7.md")
    assert set(sections["kind"]) == {"section"}
    assert sections.height > 1


def test_an_issue_is_found(tables: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    both = (SEARCHED_FILES, SEARCHED_DOCUMENTS)
    save(tmp_path, *((table, tables[table.name]) for table in both))
    index = build_index(read_searched_files(tmp_path), IndexManifest("", None), None)
    searcher = Searcher(index, reading_limits(PARAMETERS))
    hits = searcher.search("voucher counted twice", 5, filters=Filters(kind="issue"))
    assert [result.path for result in hits] == ["issues/tickets/7.md"]
    assert searcher.search("apply voucher order", 1)[0].path == "shop/order.py"


def test_an_issue_is_shown_whole_or_by_its_title() -> None:
    location = DocumentLocation("issue", "Vouchers are counted twice", 1, PAGE.count("\n") + 1)
    source = ExcerptSource(PAGE, "issues/tickets/7.md", "markdown", [location], PARAMETERS.extraction)
    assert source.render(source.full_lines(location)).startswith("# Vouchers are counted twice\n\nSee below.")
    assert source.outline_lines(location) == []
    assert source.render(source.signature_lines(location)) == "# Vouchers are counted twice"
