"""Clusters of units: found again, named by their own terms, the same each time, and on a page."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cortex_pipelines.retrieval.clusters.grouping import OUTLIER, ClusterMap, cluster_units
from cortex_pipelines.retrieval.clusters.page import map_page
from cortex_pipelines.retrieval.settings import ClusterSettings
from cortex_pipelines.schemas.retrieval import CLUSTERED_UNITS, CLUSTERS
from cortex_pipelines_tests.parameters import sections

SETTINGS = ClusterSettings.model_validate(sections()["clustering"])
ABOUT = (
    ("cache", "def evict(cache, key): drop the oldest entry of the cache, whose key is unused"),
    ("grammar", "def parse(grammar, token): reduce each token by a rule of the grammar"),
    ("socket", "def connect(socket, host): open a socket and greet the host again"),
)
EACH = 25


def units(count: int) -> pl.DataFrame:
    """Of three subjects in turn."""
    subjects = [ABOUT[number % 3][0] for number in range(count)]
    return pl.DataFrame(
        {
            "source": ["git:x"] * count,
            "path": [f"{subject}/{number}.py" for number, subject in enumerate(subjects)],
            "number": pl.Series([0] * count, dtype=pl.Int64),
            "name": [f"{subject}.</script>" for subject in subjects],
            "start_line": pl.Series([3] * count, dtype=pl.Int64),
        },
        schema_overrides=dict.fromkeys(("source", "path", "name"), pl.String),
    )


def vectors(count: int) -> np.ndarray:
    directions = np.eye(16)[[number % 3 for number in range(count)]]
    rows = directions + np.random.default_rng(3).normal(0, 0.08, (count, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def texts(count: int) -> list[str]:
    return [ABOUT[number % 3][1] for number in range(count)]


def grouped(count: int = 3 * EACH, settings: ClusterSettings = SETTINGS) -> ClusterMap:
    return cluster_units(units(count), vectors(count), texts(count), settings)


def test_subjects_become_clusters_with_names_from_their_terms() -> None:
    cluster_map = grouped()
    CLUSTERED_UNITS.conform(cluster_map.units)
    inside = cluster_map.units.filter(pl.col("cluster") != OUTLIER)
    assert inside.height > 2 * EACH
    for _, rows in inside.group_by("cluster"):
        assert rows["path"].str.split("/").list.first().n_unique() == 1
    for row in cluster_map.clusters.iter_rows(named=True):
        assert row["path"] in row["terms"], row
        assert row["share"] == 1
        assert row["example"].startswith(row["path"])
    assert set(cluster_map.clusters["path"]) == {subject for subject, _ in ABOUT}


def test_the_same_bytes_each_time_in_any_order_of_threads() -> None:
    first, again = grouped(), grouped()
    assert first.units.equals(again.units)
    assert map_page("shop", first) == map_page("shop", again)


def test_the_sample_of_too_many_units_does_not_depend_on_what_is_left_out() -> None:
    few = SETTINGS.model_copy(update={"most_mapped": 50})
    cluster_map = grouped(settings=few)
    assert (cluster_map.units.height, cluster_map.unmapped) == (50, 3 * EACH - 50)
    sampled = units(3 * EACH)["path"].is_in(cluster_map.units["path"].to_list()).to_numpy()
    sample = np.flatnonzero(sampled)
    alone = cluster_units(
        units(3 * EACH)[sample], vectors(3 * EACH)[sample], [texts(3 * EACH)[index] for index in sample], few
    )
    assert alone.units.equals(cluster_map.units)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_projects_with_hardly_any_code(count: int) -> None:
    cluster_map = grouped(count)
    assert CLUSTERED_UNITS.conform(cluster_map.units).height == count
    assert CLUSTERS.conform(cluster_map.clusters).is_empty()
    assert "0 clusters" in map_page("shop", cluster_map)


def test_names_cannot_end_the_script_and_the_page_asks_for_nothing_outside() -> None:
    page = map_page("shop", grouped())
    assert page.count("</script>") == 2
    assert not re.search(r"https?://|src=|@import", page)
    data = page.split('id="data">')[1].split("</script>")[0]
    assert json.loads(data)["units"][0][4].endswith(".</script>")


@pytest.mark.browser
def test_the_map_zooms_names_a_unit_and_finds(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    file = tmp_path / "report.html"
    file.write_text(map_page("shop", grouped()), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(file.as_uri())
        page.locator("#in").click()
        page.locator("#map canvas").hover(position={"x": 5, "y": 5})
        page.mouse.wheel(0, -300)
        assert page.evaluate("zoom") > 1.6
        page.fill("#find", "grammar/")
        assert page.inner_text("#count") == f"{EACH} of {3 * EACH} units"
        assert page.evaluate("zoom") == 1
        point = page.evaluate("[...hits].map(i => [across(units[i][0]), down(units[i][1])])[0]")
        page.locator("#map canvas").hover(position={"x": point[0], "y": point[1]})
        assert page.inner_text("#tip").startswith("grammar.</script> · grammar/")
        browser.close()
    assert errors == []
