"""Assign units to train, validation and test, once for all data sets and before augmentation.

Near-duplicates stay together, and so does a file (or folder, or source); units linked by either, directly or
transitively, form one group, which goes to one split as a whole. The shares hold within each language that has enough
groups.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from cortex_pipelines.datasets.dedup.minhash import IncrementalClustering, smallest_connected
from cortex_pipelines.datasets.dedup.token_stream import languages_of
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.unit_text import FileKey

_SPLIT_COUNT = 3
Changed = Mapping[FileKey, datetime]
"""Time of the last change of each file, if known."""


class DatasetError(ValueError):
    """A data set cannot be built from the inputs."""


@dataclass(frozen=True)
class SplitGroup:
    """Files that must stay in the same split."""

    name: str  # id of its first unit
    files: int
    weight: int  # number of units that can become examples
    changed: datetime | None = None  # time of the last change of its files; None if unknown or unused
    language: str = ""  # most frequent language of these units; ties are broken by name


def cluster_units(units: pl.DataFrame, clustering: IncrementalClustering) -> pl.DataFrame:
    """Units with near-duplicate ``cluster``, named by its smallest unit id.

    Two units are near-duplicates if their whole code or their bodies are: short functions that differ only in their
    signatures would give the same completion. Code is compared by its token stream, so that a reformatted copy is
    one.
    ``units``: columns ``unit_id``, ``code`` and ``body`` (null if a unit has none), and ``language``, which is
    guessed if the column is missing.
    """
    if "language" not in units.columns:
        guessed = pl.Series("language", languages_of(units["code"].to_list()), dtype=pl.String)
        units = units.with_columns(guessed)
    units = units.sort("unit_id").with_row_index("at")
    edges = []
    for column in ("code", "body"):
        present = units.filter(pl.col(column).is_not_null())
        firsts = clustering.firsts(column, present[column].to_list(), present["language"].to_list())
        edges.append((present["at"], present["at"][firsts]))
    smallest = units["unit_id"][smallest_connected(units.height, *edges)]
    return units.drop("at").with_columns(smallest.alias("cluster"))


def assign_splits(
    units: pl.DataFrame, candidates: Sequence[str], settings: DatasetSettings, changed: Changed | None = None
) -> pl.DataFrame:
    """Add ``split`` and ``split_reason`` to units.

    ``units``: columns ``unit_id``, ``source``, ``path``, ``language``, ``cluster``. Raises DatasetError: fewer than
    three groups hold a candidate, so a split would be empty.
    """
    names = _components(units, settings)
    with_groups = units.with_columns(
        names.alias("component"),
        pl.col("unit_id").is_in(list(candidates)).alias("candidate"),
        pl.Series("changed", _times(units, settings, changed), dtype=pl.Datetime("us", "UTC")),
    )
    summary = with_groups.group_by("component").agg(
        pl.struct("source", "path").n_unique().alias("files"), pl.col("candidate").sum(), pl.col("changed").max()
    )
    languages = _languages(with_groups)
    groups = [
        SplitGroup(name, files, weight, newest, languages.get(name, ""))
        for name, files, weight, newest in summary.sort("component").iter_rows()
    ]
    group_splits = assign_groups(groups, settings)
    groups_per_language = Counter(c.language for c in groups if c.weight)
    reasons = {c.name: _reason(c, group_splits[c.name], groups_per_language[c.language], settings) for c in groups}
    return with_groups.with_columns(
        pl.col("component").replace_strict(group_splits, return_dtype=pl.String).alias("split"),
        pl.col("component").replace_strict(reasons, return_dtype=pl.String).alias("split_reason"),
    ).drop("component", "candidate", "changed")


def assign_groups(groups: Sequence[SplitGroup], settings: DatasetSettings) -> dict[str, str]:
    """Split of each group.

    In the order of their hashes (by time: newest first) groups of a language go to test, then to validation, as long
    as that brings the split nearer to its share; a split into which none fits gets the smallest remaining one. All
    others go to train. A language with two groups has none in validation, one with a single group has it in train;
    where that leaves a split empty, languages are ignored.
    Raises DatasetError: fewer than three groups have a weight.
    """
    usable = [group for group in groups if group.weight]
    if len(usable) < _SPLIT_COUNT:
        raise DatasetError(
            f"this project is too small to be split: its {len(groups)} independent groups of "
            f"files hold {len(usable)} with a function that can become an example, and train, "
            "validation and test need one each. Add a source to the project in params.yaml "
            f"(`cortex add NAME SOURCE`), or lower datasets.min_body_bytes{_finer(settings)}"
        )
    strata: dict[str, list[SplitGroup]] = defaultdict(list)
    for group in usable:
        strata[group.language].append(group)
    held_out = _draw_held_out(strata.values(), settings)
    if len(set(held_out.values())) < _SPLIT_COUNT - 1:
        held_out = _draw_held_out([usable], settings)
    return {group.name: held_out.get(group.name, "train") for group in groups}


def _draw_held_out(strata: Iterable[Sequence[SplitGroup]], settings: DatasetSettings) -> dict[str, str]:
    held_out: dict[str, str] = {}
    for stratum in strata:
        total = sum(group.weight for group in stratum)
        remaining = sorted(stratum, key=lambda group: _order(group, settings))
        for split, share in (("test", settings.test_share), ("validation", settings.validation_share)):
            max_groups = len(remaining) - (2 if split == "test" and len(stratum) >= _SPLIT_COUNT else 1)
            for group in _fill(remaining, share * total, max_groups) if max_groups > 0 else ():
                held_out[group.name] = split
                remaining.remove(group)
    return held_out


def split_by_hash(key: str, settings: DatasetSettings) -> str:
    """Split by hash for code outside of all groups, such as that of deleted files."""
    digest = hashlib.sha256(f"{settings.seed}:side:{key}".encode()).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    if fraction < settings.test_share:
        return "test"
    return "validation" if fraction < settings.test_share + settings.validation_share else "train"


def _fill(groups: list[SplitGroup], target: float, most: int) -> list[SplitGroup]:
    selected: list[SplitGroup] = []
    missing = target
    for group in groups:
        if len(selected) < most and abs(missing - group.weight) < missing:
            selected.append(group)
            missing -= group.weight
    return selected or [min(groups, key=lambda group: (group.weight, group.name))]


def _order(group: SplitGroup, settings: DatasetSettings) -> tuple[float, str]:
    newest = -group.changed.timestamp() if group.changed else 1.0
    digest = hashlib.sha256(f"{settings.seed}:{group.name}".encode()).hexdigest()
    return (newest if settings.split_by == "time" else 0.0), digest


def _times(units: pl.DataFrame, settings: DatasetSettings, changed: Changed | None) -> list[datetime | None]:
    if settings.split_by != "time" or not changed:
        return [None] * units.height
    return [changed.get(file_key) for file_key in units.select("source", "path").iter_rows()]


def _components(units: pl.DataFrame, settings: DatasetSettings) -> pl.Series:
    numbered = units.select("unit_id", "source", "path", "cluster").with_row_index("row")
    numbered = numbered.sort("unit_id").with_row_index("at")
    edges = [
        (numbered["at"], numbered.select(pl.col("at").first().over(keys))["at"])
        for keys in (_location_key(settings), [pl.col("cluster")])
    ]
    names = numbered["unit_id"][smallest_connected(units.height, *edges)]
    return numbered.select("row", names.alias("component")).sort("row")["component"]


def _languages(units: pl.DataFrame) -> dict[str, str]:
    counts = units.filter("candidate").group_by("component", "language").len()
    first = counts.sort("len", "language", descending=[True, False]).unique(
        "component", keep="first", maintain_order=True
    )
    return dict(first.select("component", "language").iter_rows())


def _location_key(settings: DatasetSettings) -> list[pl.Expr]:
    """Location key shared by units that must stay together."""
    folder = pl.col("path").str.extract(r"(?s)^(.*)/[^/]*$").fill_null("")
    by = {"repository": [], "folder": [folder]}.get(settings.split_by, [pl.col("path")])
    return [pl.col("source"), *by]


def _reason(group: SplitGroup, split: str, language_groups: int, settings: DatasetSettings) -> str:
    method = "time" if settings.split_by == "time" and group.changed else "hash"
    few = group.weight and language_groups < _SPLIT_COUNT
    scope_note = f", of {language_groups} such group(s) in {group.language}" if few else ""
    return (
        f"{group.files} file(s) with {group.weight} example unit(s), joined by "
        f"{'path' if settings.split_by in ('file', 'time') else settings.split_by} or "
        f"near-duplicates as {group.name[:12]}{scope_note}: {split} by {method}"
    )


def _finer(settings: DatasetSettings) -> str:
    return ", or split by file" if settings.split_by in ("folder", "repository") else ""
