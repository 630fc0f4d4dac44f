"""Each group is in one split, no split is empty, and the shares hold in every stratum where they can."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.datasets.dedup.minhash import IncrementalClustering
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import (
    DatasetError,
    SplitGroup,
    assign_groups,
    assign_splits,
    cluster_units,
    split_by_hash,
)
from cortex_pipelines.schemas.vocabulary import SPLITS


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3), st.sampled_from("ab"), st.booleans()), max_size=40))
def test_three_groups_with_candidates_fill_all_splits(
    settings: DatasetSettings, sizes: list[tuple[int, int, str, bool]]
) -> None:
    groups = [
        SplitGroup(f"u{n}", units, min(candidates, units), None, language, test)
        for n, (units, candidates, language, test) in enumerate(sizes)
    ]
    candidates = {group.name for group in groups if group.candidates}
    if len(candidates) < 3:
        with pytest.raises(DatasetError, match="too small"):
            assign_groups(groups, settings)
        return
    splits = assign_groups(groups, settings)
    assert splits == assign_groups(groups, settings)
    assert {splits[name] for name in candidates} == set(SPLITS)


def test_shares_hold_in_each_language_and_kind_of_product_and_test_code(settings: DatasetSettings) -> None:
    groups = [
        SplitGroup(f"{language}{test}{kind}{n}", 1, kind == "function", None, language, test, kind)
        for language, size in (("python", 300), ("go", 40))
        for test in (True, False)
        for kind in ("function", "import")
        for n in range(size)
    ]
    splits = assign_groups(groups, settings)
    for stratum in {group.stratum for group in groups}:
        of_stratum = [splits[group.name] for group in groups if group.stratum == stratum]
        for split, share in (("test", settings.test_share), ("validation", settings.validation_share)):
            assert abs(of_stratum.count(split) - share * len(of_stratum)) <= 1
    other = settings.model_copy(update={"seed": settings.seed + 1})
    assert splits != assign_groups(groups, other)
    groups = [SplitGroup("big", 900, 9), *(SplitGroup(f"u{n}", 10, 1) for n in range(10))]
    assert assign_groups(groups, settings)["big"] == "train"


def _units(paths: list[str], kinds: list[str] | None = None, source: str = "s") -> pl.DataFrame:
    count = len(paths)
    return pl.DataFrame(
        {
            "unit_id": [f"{source}{number:04}" for number in range(count)],
            "source": [source] * count,
            "path": paths,
            "language": ["python"] * count,
            "kind": kinds or ["function"] * count,
            "start_byte": [100 * number for number in range(count)],
            "end_byte": [100 * number + 90 for number in range(count)],
        }
    )


def test_what_a_prompt_shows_whole_stays_together_and_a_large_type_is_divided(settings: DatasetSettings) -> None:
    small = _units(["a.py"] * 4, ["class", "method", "method", "function"]).with_columns(
        pl.Series("end_byte", [290, 190, 280, 390]), pl.Series("start_byte", [0, 100, 200, 300])
    )
    large = _units(["b.py"] * 61, ["class", *["method"] * 60], "t").with_columns(
        pl.when(pl.col("kind") == "class").then(6100).otherwise("end_byte").alias("end_byte")
    )
    units = pl.concat([small, large, _units([f"{n}.py" for n in range(40)], source="u")])
    for seed in range(20):
        seeded = settings.model_copy(update={"seed": seed})
        splits = assign_splits(units, units["unit_id"].to_list(), seeded)
        together = splits.filter(pl.col("path") == "a.py", pl.col("kind") != "function")
        assert together["split"].n_unique() == 1
        methods = splits.filter(pl.col("path") == "b.py", pl.col("kind") == "method")
        assert set(methods["split"]) == set(SPLITS)


def test_bodies_alone_make_near_duplicates(settings: DatasetSettings) -> None:
    body = "        return [a.first, a.second, a.third]\n"
    units = pl.DataFrame(
        {
            "unit_id": ["a", "b", "c"],
            "code": ["def f(self, one, two, three):" + body, "def other_name(a):" + body, "class C"],
            "body": [body, body, None],
        }
    )
    assert cluster_units(units, IncrementalClustering(None, "shop", settings))["cluster"].to_list() == ["a", "a", "c"]


def test_a_folder_or_a_source_may_stay_together(settings: DatasetSettings) -> None:
    units = _units([f"{folder}/{number}.py" for folder in "abcdefgh" for number in range(5)])
    by_folder = settings.model_copy(update={"split_by": "folder"})
    splits = assign_splits(units, units["unit_id"].to_list(), by_folder)
    folder = pl.col("path").str.split("/").list.first()
    assert splits.group_by(folder).agg(pl.col("split").n_unique())["split"].max() == 1
    assert splits["split_reason"].str.contains("by folder").all()
    assert splits["split"].n_unique() == 3
    by_source = settings.model_copy(update={"split_by": "repository"})
    with pytest.raises(DatasetError, match="or split by unit"):
        assign_splits(units, units["unit_id"].to_list(), by_source)
    four = pl.concat(units.with_columns(pl.lit(s).alias("source"), pl.col("unit_id") + s) for s in "abcd")
    splits = assign_splits(four, four["unit_id"].to_list(), by_source)
    assert splits.group_by("source").agg(pl.col("split").n_unique())["split"].max() == 1


def test_what_was_written_last_is_tested_on_but_no_large_file_wholly(settings: DatasetSettings) -> None:
    units = _units([f"{number}.py" for number in range(380)] + ["large.py"] * 95)
    by_time = settings.model_copy(update={"split_by": "time"})
    written = {
        unit: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
        for day, unit in enumerate(units["unit_id"].to_list()[10:])
    }
    splits = assign_splits(units, units["unit_id"].to_list(), by_time, written)
    small = splits.filter(pl.col("path") != "large.py").with_columns(day=pl.col("unit_id").str.slice(1).cast(pl.Int64))
    last = {split: small.filter(pl.col("split") == split)["day"].max() for split in ("validation", "train")}
    assert 380 > last["validation"] > last["train"] > 10
    assert small.filter(pl.col("day") == 379)["split_reason"][0].endswith("validation by time")
    assert small.filter(pl.col("day") < 10)["split"].unique().to_list() == ["train"]
    large = splits.filter(pl.col("path") == "large.py").sort("unit_id")["split"].to_list()
    assert large == ["train"] * 48 + ["test"] * 47


def test_what_is_in_no_file_gets_its_share(settings: DatasetSettings) -> None:
    splits = [split_by_hash(f"path/{number}", settings) for number in range(5000)]
    assert abs(splits.count("test") / 5000 - settings.test_share) < 0.03
    assert abs(splits.count("validation") / 5000 - settings.validation_share) < 0.03
