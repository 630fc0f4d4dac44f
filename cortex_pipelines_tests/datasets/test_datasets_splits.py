"""Each component is on one side, no side is empty, and the shares are kept where they can be."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.datasets.dedup.incremental_minhash import IncrementalClustering
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
def test_no_side_is_empty_where_three_components_have_examples(
    settings: DatasetSettings, weights: list[tuple[int, str]]
) -> None:
    components = [
        SplitGroup(f"u{n}", 1, weight, None, language)
        for n, (weight, language) in enumerate(weights)
    ]
    usable = {c.name: c.weight for c in components if c.weight}
    if len(usable) < 3:
        with pytest.raises(DatasetError, match="too small"):
            assign_groups(components, settings)
        return
    sides = assign_groups(components, settings)
    assert sides == assign_groups(components, settings)
    filled = {side: sum(w for n, w in usable.items() if sides[n] == side) for side in SPLITS}
    assert all(filled.values())
    assert all(sides[c.name] == "train" for c in components if not c.weight)


def test_the_shares_are_kept_where_components_are_small(settings: DatasetSettings) -> None:
    components = [SplitGroup(f"u{n}", 1, 1) for n in range(1000)]
    sides = list(assign_groups(components, settings).values())
    assert sides.count("test") == round(1000 * settings.test_share)
    assert sides.count("validation") == round(1000 * settings.validation_share)


def test_the_shares_hold_in_each_language(settings: DatasetSettings) -> None:
    """One language with few large components, one with many small ones, one with a single one."""
    components = [
        *(SplitGroup(f"python{n}", 1, 1, None, "python") for n in range(200)),
        *(SplitGroup(f"java{n}", 1, 60, None, "java") for n in range(10)),
        *(SplitGroup(f"go{n}", 1, 5, None, "go") for n in range(2)),
        SplitGroup("rust", 1, 90, None, "rust"),
    ]
    sides = assign_groups(components, settings)

    def count(language: str, side: str) -> int:
        return sum(sides[c.name] == side for c in components if c.language == language)

    for language, size in (("python", 200), ("java", 10)):
        assert count(language, "test") == round(size * settings.test_share)
        assert count(language, "validation") == round(size * settings.validation_share)
    assert [count("go", side) for side in SPLITS] == [1, 0, 1]
    assert [count("rust", side) for side in SPLITS] == [1, 0, 0]


def test_languages_do_not_count_where_a_side_would_be_empty(settings: DatasetSettings) -> None:
    components = [SplitGroup(name, 1, 9, None, name) for name in ("go", "java", "rust")]
    assert sorted(assign_groups(components, settings).values()) == sorted(SPLITS)


def test_a_language_with_few_components_says_so(settings: DatasetSettings) -> None:
    units = pl.concat([_lone_units([f"{n}.py" for n in range(9)]), _lone_units(["lib.rs"], "r")])
    units = units.with_columns(
        pl.when(pl.col("source") == "r")
        .then(pl.lit("rust"))
        .otherwise("language")
        .alias("language"),
        pl.col("unit_id") + pl.col("source"),
        pl.col("cluster") + pl.col("source"),
    )
    sides = assign_splits(units, units["unit_id"].to_list(), settings)
    (rust,) = sides.filter(pl.col("language") == "rust").iter_rows(named=True)
    assert rust["split"] == "train"
    assert ", of 1 such group(s) in rust: train" in rust["split_reason"]


def test_a_component_too_large_for_a_side_goes_to_train(settings: DatasetSettings) -> None:
    components = [SplitGroup("big", 9, 900), *(SplitGroup(f"u{n}", 1, 10) for n in range(10))]
    assert assign_groups(components, settings)["big"] == "train"


def test_another_seed_is_another_split(settings: DatasetSettings) -> None:
    components = [SplitGroup(f"u{n}", 1, 1) for n in range(100)]
    other = settings.model_copy(update={"seed": settings.seed + 1})
    assert assign_groups(components, settings) != assign_groups(components, other)


def test_files_and_near_duplicates_are_joined_through_others(settings: DatasetSettings) -> None:
    duplicate = "def f(a):\n    return [a.first, a.second, a.third, a.fourth, a.fifth]\n"
    rows = [
        ("a1", "a.py", duplicate),
        ("b1", "b.py", duplicate),
        ("b2", "b.py", "def g():\n    x()\n"),
    ]
    rows += [("b3", "b.py", "def q(one):\n    return one ** 8\n")]
    rows += [(f"c{n}", f"c{n}.py", f"def h{n}(z{n}):\n    w{n} = {n}\n") for n in range(8)]
    units = pl.DataFrame(rows, schema=["unit_id", "path", "code"], orient="row").with_columns(
        pl.lit("s").alias("source"),
        pl.lit("python").alias("language"),
        pl.lit(None, dtype=pl.String).alias("body"),
    )
    clustered = cluster_units(units, IncrementalClustering(None, "", settings))
    assert dict(clustered.select("unit_id", "cluster").iter_rows())["b1"] == "a1"
    sides = assign_splits(clustered, units["unit_id"].to_list(), settings)
    joined = sides.filter(pl.col("unit_id").is_in(["a1", "b1", "b2", "b3"]))
    assert joined["split"].n_unique() == 1
    assert joined["split_reason"].str.contains(r"2 file\(s\) with 4 example unit").all()


def test_bodies_alone_make_near_duplicates(settings: DatasetSettings) -> None:
    body = "        return [a.first, a.second, a.third]\n"
    units = pl.DataFrame(
        {
            "unit_id": ["a", "b", "c"],
            "code": [
                "def f(self, one, two, three):" + body,
                "def other_name(a):" + body,
                "class C",
            ],
            "body": [body, body, None],
        }
    )
    assert cluster_units(units, IncrementalClustering(None, "", settings))["cluster"].to_list() == [
        "a",
        "a",
        "c",
    ]


def _lone_units(paths: list[str], source: str = "s") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "unit_id": [f"u{at:03}" for at in range(len(paths))],
            "source": [source] * len(paths),
            "path": paths,
            "language": ["python"] * len(paths),
            "cluster": [f"u{at:03}" for at in range(len(paths))],
        }
    )


def test_a_folder_or_a_source_may_stay_together(settings: DatasetSettings) -> None:
    paths = [f"{folder}/{at}.py" for folder in "abcdefgh" for at in range(5)]
    units = _lone_units(paths)
    by_folder = settings.model_copy(update={"split_by": "folder"})
    sides = assign_splits(units, units["unit_id"].to_list(), by_folder)
    folder = pl.col("path").str.split("/").list.first()
    assert sides.group_by(folder).agg(pl.col("split").n_unique())["split"].max() == 1
    assert sides["split_reason"].str.contains("joined by folder").all()
    assert sides["split"].n_unique() == 3
    by_source = settings.model_copy(update={"split_by": "repository"})
    with pytest.raises(DatasetError, match="or split by file"):
        assign_splits(units, units["unit_id"].to_list(), by_source)
    four = pl.concat(
        units.with_columns(pl.lit(s).alias("source"), pl.col("unit_id") + s, pl.col("cluster") + s)
        for s in "abcd"
    )
    sides = assign_splits(four, four["unit_id"].to_list(), by_source)
    assert sides.group_by("source").agg(pl.col("split").n_unique())["split"].max() == 1


def test_what_was_changed_last_is_tested_on(settings: DatasetSettings) -> None:
    units = _lone_units([f"{at}.py" for at in range(100)])
    by_time = settings.model_copy(update={"split_by": "time"})
    changed = {
        ("s", f"{at}.py"): datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=at)
        for at in range(10, 100)
    }
    sides = assign_splits(units, units["unit_id"].to_list(), by_time, changed)
    order = sides.with_columns(pl.col("path").str.strip_suffix(".py").cast(pl.Int64).alias("at"))
    first = {side: order.filter(pl.col("split") == side)["at"].min() for side in SPLITS}
    last = {side: order.filter(pl.col("split") == side)["at"].max() for side in SPLITS}
    assert first["test"] > last["validation"] > first["validation"] > last["train"]
    assert order.filter(pl.col("at") == 99)["split_reason"][0].endswith("test by time")
    assert order.filter(pl.col("at") < 10)["split"].unique().to_list() == ["train"]


def test_what_is_in_no_file_gets_its_share(settings: DatasetSettings) -> None:
    sides = [split_by_hash(f"path/{at}", settings) for at in range(5000)]
    assert abs(sides.count("test") / 5000 - settings.test_share) < 0.03
    assert abs(sides.count("validation") / 5000 - settings.validation_share) < 0.03
