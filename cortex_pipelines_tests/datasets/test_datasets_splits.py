"""Each component is on one side, no side is empty, and the shares are kept where they can be."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
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


@hypothesis_settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from("ab")), max_size=40))
def test_three_components_fill_all_sides(settings: DatasetSettings, weights: list[tuple[int, str]]) -> None:
    groups = [SplitGroup(f"u{n}", 1, weight, None, language) for n, (weight, language) in enumerate(weights)]
    usable = {c.name: c.weight for c in groups if c.weight}
    if len(usable) < 3:
        with pytest.raises(DatasetError, match="too small"):
            assign_groups(groups, settings)
        return
    splits = assign_groups(groups, settings)
    assert splits == assign_groups(groups, settings)
    filled = {split: sum(w for n, w in usable.items() if splits[n] == split) for split in SPLITS}
    assert all(filled.values())
    assert all(splits[c.name] == "train" for c in groups if not c.weight)


def test_shares_are_kept_but_for_large_components_and_depend_on_the_seed(settings: DatasetSettings) -> None:
    groups = [SplitGroup(f"u{n}", 1, 1) for n in range(1000)]
    splits = list(assign_groups(groups, settings).values())
    assert splits.count("test") == round(1000 * settings.test_share)
    assert splits.count("validation") == round(1000 * settings.validation_share)
    groups = [SplitGroup("big", 9, 900), *(SplitGroup(f"u{n}", 1, 10) for n in range(10))]
    assert assign_groups(groups, settings)["big"] == "train"
    groups = [SplitGroup(f"u{n}", 1, 1) for n in range(100)]
    other = settings.model_copy(update={"seed": settings.seed + 1})
    assert assign_groups(groups, settings) != assign_groups(groups, other)


def test_the_shares_hold_in_each_language_where_no_side_would_be_empty(settings: DatasetSettings) -> None:
    """One language with few large components, one with many small ones, one with a single one."""
    groups = [
        *(SplitGroup(f"python{n}", 1, 1, None, "python") for n in range(200)),
        *(SplitGroup(f"java{n}", 1, 60, None, "java") for n in range(10)),
        *(SplitGroup(f"go{n}", 1, 5, None, "go") for n in range(2)),
        SplitGroup("rust", 1, 90, None, "rust"),
    ]
    splits = assign_groups(groups, settings)

    def count(language: str, split: str) -> int:
        return sum(splits[c.name] == split for c in groups if c.language == language)

    for language, size in (("python", 200), ("java", 10)):
        assert count(language, "test") == round(size * settings.test_share)
        assert count(language, "validation") == round(size * settings.validation_share)
    assert [count("go", split) for split in SPLITS] == [1, 0, 1]
    assert [count("rust", split) for split in SPLITS] == [1, 0, 0]
    groups = [SplitGroup(name, 1, 9, None, name) for name in ("go", "java", "rust")]
    assert sorted(assign_groups(groups, settings).values()) == sorted(SPLITS)


def test_a_language_with_few_components_says_so(settings: DatasetSettings) -> None:
    units = pl.concat([_lone_units([f"{n}.py" for n in range(9)]), _lone_units(["lib.rs"], "r")])
    units = units.with_columns(
        pl.when(pl.col("source") == "r").then(pl.lit("rust")).otherwise("language").alias("language"),
        pl.col("unit_id") + pl.col("source"),
        pl.col("cluster") + pl.col("source"),
    )
    splits = assign_splits(units, units["unit_id"].to_list(), settings)
    (rust,) = splits.filter(pl.col("language") == "rust").iter_rows(named=True)
    assert rust["split"] == "train"
    assert ", of 1 such group(s) in rust: train" in rust["split_reason"]


def test_files_and_near_duplicates_are_joined_through_others(settings: DatasetSettings) -> None:
    duplicate = "def f(a):\n    return [a.first, a.second, a.third, a.fourth, a.fifth]\n"
    rows = [("a1", "a.py", duplicate), ("b1", "b.py", duplicate), ("b2", "b.py", "def g():\n    x()\n")]
    rows += [("b3", "b.py", "def q(one):\n    return one ** 8\n")]
    rows += [(f"c{n}", f"c{n}.py", f"def h{n}(z{n}):\n    w{n} = {n}\n") for n in range(8)]
    units = pl.DataFrame(rows, schema=["unit_id", "path", "code"], orient="row").with_columns(
        pl.lit("s").alias("source"), pl.lit("python").alias("language"), pl.lit(None, dtype=pl.String).alias("body")
    )
    clustered = cluster_units(units, IncrementalClustering(None, "shop", settings))
    assert dict(clustered.select("unit_id", "cluster").iter_rows())["b1"] == "a1"
    splits = assign_splits(clustered, units["unit_id"].to_list(), settings)
    linked = splits.filter(pl.col("unit_id").is_in(["a1", "b1", "b2", "b3"]))
    assert linked["split"].n_unique() == 1
    assert linked["split_reason"].str.contains(r"2 file\(s\) with 4 example unit").all()


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


def _lone_units(paths: list[str], source: str = "s") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "unit_id": [f"u{number:03}" for number in range(len(paths))],
            "source": [source] * len(paths),
            "path": paths,
            "language": ["python"] * len(paths),
            "cluster": [f"u{number:03}" for number in range(len(paths))],
        }
    )


def test_a_folder_or_a_source_may_stay_together(settings: DatasetSettings) -> None:
    paths = [f"{folder}/{number}.py" for folder in "abcdefgh" for number in range(5)]
    units = _lone_units(paths)
    by_folder = settings.model_copy(update={"split_by": "folder"})
    splits = assign_splits(units, units["unit_id"].to_list(), by_folder)
    folder = pl.col("path").str.split("/").list.first()
    assert splits.group_by(folder).agg(pl.col("split").n_unique())["split"].max() == 1
    assert splits["split_reason"].str.contains("joined by folder").all()
    assert splits["split"].n_unique() == 3
    by_source = settings.model_copy(update={"split_by": "repository"})
    with pytest.raises(DatasetError, match="or split by file"):
        assign_splits(units, units["unit_id"].to_list(), by_source)
    four = pl.concat(
        units.with_columns(pl.lit(s).alias("source"), pl.col("unit_id") + s, pl.col("cluster") + s) for s in "abcd"
    )
    splits = assign_splits(four, four["unit_id"].to_list(), by_source)
    assert splits.group_by("source").agg(pl.col("split").n_unique())["split"].max() == 1


def test_what_was_changed_last_is_tested_on(settings: DatasetSettings) -> None:
    units = _lone_units([f"{number}.py" for number in range(100)])
    by_time = settings.model_copy(update={"split_by": "time"})
    changed = {
        ("s", f"{number}.py"): datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(10, 100)
    }
    splits = assign_splits(units, units["unit_id"].to_list(), by_time, changed)
    order = splits.with_columns(pl.col("path").str.strip_suffix(".py").cast(pl.Int64).alias("at"))
    first = {split: order.filter(pl.col("split") == split)["at"].min() for split in SPLITS}
    last = {split: order.filter(pl.col("split") == split)["at"].max() for split in SPLITS}
    assert first["test"] > last["validation"] > first["validation"] > last["train"]
    assert order.filter(pl.col("at") == 99)["split_reason"][0].endswith("test by time")
    assert order.filter(pl.col("at") < 10)["split"].unique().to_list() == ["train"]


def test_what_is_in_no_file_gets_its_share(settings: DatasetSettings) -> None:
    splits = [split_by_hash(f"path/{number}", settings) for number in range(5000)]
    assert abs(splits.count("test") / 5000 - settings.test_share) < 0.03
    assert abs(splits.count("validation") / 5000 - settings.validation_share) < 0.03
