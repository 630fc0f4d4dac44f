"""Assign units to train, validation and test, once for all data sets and before augmentation.

Near-duplicates stay together, and so does a file (or folder, or source); units linked by either,
directly or transitively, form one component, which goes to one split as a whole. The shares hold
within each language, as far as it has enough components.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from cortex_pipelines.datasets.dedup.incremental_minhash import IncrementalClustering
from cortex_pipelines.datasets.dedup.token_stream import languages_of
from cortex_pipelines.datasets.prompts.unit_text import Place
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.union_find import UnionFind

_SIDES = 3
Changed = Mapping[Place, datetime]
"""When each file was changed last, where that is known."""


class DatasetError(ValueError):
    """A data set cannot be built from the inputs."""


@dataclass(frozen=True)
class Component:
    """Files that must stay in the same split.

    Args:
        name: First unit in it, which names it.
        files: Number of files.
        weight: Number of units that can become examples.
        changed: When one of its files was changed last; None if not known or not asked.
        language: The language of most of these units, the first by name of several.
    """

    name: str
    files: int
    weight: int
    changed: datetime | None = None
    language: str = ""


def cluster_units(units: pl.DataFrame, known: IncrementalClustering) -> pl.DataFrame:
    """Units with near-duplicate ``cluster``, named by its smallest unit id.

    Two units are near-duplicates if their whole code or their bodies are: short functions that
    differ only in their signatures would give the same completion. Code is compared by its token
    stream, so that a reformatted copy is one.

    Args:
        units: Columns ``unit_id``, ``code`` and ``body`` (null if a unit has none), and
            ``language``, which is guessed where the column is missing.
        known: Clusters texts.
    """
    if "language" not in units.columns:
        guessed = pl.Series("language", languages_of(units["code"].to_list()), dtype=pl.String)
        units = units.with_columns(guessed)
    units = units.sort("unit_id").with_row_index("at")
    forest = UnionFind(units.height)
    for column in ("code", "body"):
        there = units.filter(pl.col(column).is_not_null())
        places = there["at"].to_numpy()
        labels = known.firsts(column, there[column].to_list(), there["language"].to_list())
        firsts = np.array(labels, dtype=np.int64)
        forest.join_all(places, places[firsts])
    smallest = units["unit_id"][forest.smallest()]
    return units.drop("at").with_columns(smallest.alias("cluster"))


def assign_sides(
    units: pl.DataFrame,
    candidates: Sequence[str],
    settings: DatasetSettings,
    changed: Changed | None = None,
) -> pl.DataFrame:
    """Add ``split`` and ``split_reason`` to units.

    Args:
        units: Columns ``unit_id``, ``source``, ``path``, ``language``, ``cluster``.
        candidates: Units that can become an example in every data set; shares count these.
        settings: What stays together, shares and seed.
        changed: When files were changed last, for a split by time.

    Raises:
        DatasetError: fewer than three components hold a candidate, so a side would be empty.
    """
    names = _components(units, settings)
    counted = units.with_columns(
        names.alias("component"),
        pl.col("unit_id").is_in(list(candidates)).alias("candidate"),
        pl.Series("changed", _times(units, settings, changed), dtype=pl.Datetime("us", "UTC")),
    )
    summary = counted.group_by("component").agg(
        pl.struct("source", "path").n_unique().alias("files"),
        pl.col("candidate").sum(),
        pl.col("changed").max(),
    )
    languages = _languages(counted)
    components = [
        Component(name, files, weight, newest, languages.get(name, ""))
        for name, files, weight, newest in summary.sort("component").iter_rows()
    ]
    sides = split_components(components, settings)
    groups = Counter(c.language for c in components if c.weight)
    reasons = {c.name: _reason(c, sides[c.name], groups[c.language], settings) for c in components}
    return counted.with_columns(
        pl.col("component").replace_strict(sides, return_dtype=pl.String).alias("split"),
        pl.col("component").replace_strict(reasons, return_dtype=pl.String).alias("split_reason"),
    ).drop("component", "candidate", "changed")


def split_components(components: Sequence[Component], settings: DatasetSettings) -> dict[str, str]:
    """Split of each component.

    In the order of their hashes (by time: newest first) components of a language go to test, then
    to validation, as long as that brings the split nearer to its share; a split into which none
    fits gets the smallest one left. The rest is train. A language with two components has none in
    validation, one with a single one has it in train; where that leaves a split empty, languages
    are ignored.

    Raises:
        DatasetError: fewer than three components have a weight.
    """
    usable = [component for component in components if component.weight]
    if len(usable) < _SIDES:
        raise DatasetError(
            f"this project is too small to be split: its {len(components)} independent groups of "
            f"files hold {len(usable)} with a function that can become an example, and train, "
            "validation and test need one each. Add a source to the project in params.yaml "
            f"(`cortex add NAME SOURCE`), or lower datasets.min_body_bytes{_finer(settings)}"
        )
    strata: dict[str, list[Component]] = defaultdict(list)
    for component in usable:
        strata[component.language].append(component)
    held = _held_out(strata.values(), settings)
    if len(set(held.values())) < _SIDES - 1:
        held = _held_out([usable], settings)
    return {component.name: held.get(component.name, "train") for component in components}


def _held_out(strata: Iterable[Sequence[Component]], settings: DatasetSettings) -> dict[str, str]:
    """Draw validation and test components, stratified."""
    held: dict[str, str] = {}
    for stratum in strata:
        total = sum(component.weight for component in stratum)
        left = sorted(stratum, key=lambda component: _order(component, settings))
        for side, share in (
            ("test", settings.test_share),
            ("validation", settings.validation_share),
        ):
            most = len(left) - (2 if side == "test" and len(stratum) >= _SIDES else 1)
            for component in _fill(left, share * total, most) if most > 0 else ():
                held[component.name] = side
                left.remove(component)
    return held


def side_by_hash(key: str, settings: DatasetSettings) -> str:
    """Split by hash for units outside of components, such as those of deleted files."""
    digest = hashlib.sha256(f"{settings.seed}:side:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < settings.test_share:
        return "test"
    return "validation" if place < settings.test_share + settings.validation_share else "train"


def _fill(components: list[Component], target: float, most: int) -> list[Component]:
    taken: list[Component] = []
    missing = target
    for component in components:
        if len(taken) < most and abs(missing - component.weight) < missing:
            taken.append(component)
            missing -= component.weight
    return taken or [min(components, key=lambda component: (component.weight, component.name))]


def _order(component: Component, settings: DatasetSettings) -> tuple[float, str]:
    newest = -component.changed.timestamp() if component.changed else 1.0
    digest = hashlib.sha256(f"{settings.seed}:{component.name}".encode()).hexdigest()
    return (newest if settings.split_by == "time" else 0.0), digest


def _times(
    units: pl.DataFrame, settings: DatasetSettings, changed: Changed | None
) -> list[datetime | None]:
    if settings.split_by != "time" or not changed:
        return [None] * units.height
    return [changed.get(place) for place in units.select("source", "path").iter_rows()]


def _components(units: pl.DataFrame, settings: DatasetSettings) -> pl.Series:
    """Component of each unit, named by its smallest unit id."""
    ordered = units.select("unit_id", "source", "path", "cluster").with_row_index("row")
    ordered = ordered.sort("unit_id").with_row_index("at")
    forest = UnionFind(units.height)
    for together in (_place(settings), [pl.col("cluster")]):
        firsts = ordered.select(pl.col("at").first().over(together))["at"]
        forest.join_all(ordered["at"].to_numpy(), firsts.to_numpy())
    names = ordered["unit_id"][forest.smallest()]
    return ordered.select("row", names.alias("component")).sort("row")["component"]


def _languages(units: pl.DataFrame) -> dict[str, str]:
    """Most frequent language among the candidates of each component."""
    counts = units.filter("candidate").group_by("component", "language").len()
    first = counts.sort("len", "language", descending=[True, False]).unique(
        "component", keep="first", maintain_order=True
    )
    return dict(first.select("component", "language").iter_rows())


def _place(settings: DatasetSettings) -> list[pl.Expr]:
    """Location key shared by units that must stay together."""
    folder = pl.col("path").str.extract(r"(?s)^(.*)/[^/]*$").fill_null("")
    by = {"repository": [], "folder": [folder]}.get(settings.split_by, [pl.col("path")])
    return [pl.col("source"), *by]


def _reason(component: Component, side: str, groups: int, settings: DatasetSettings) -> str:
    """Readable reason for a split.

    Args:
        component: The component.
        side: Its side.
        groups: Components of its language that hold a candidate.
        settings: What stays together.
    """
    how = "time" if settings.split_by == "time" and component.changed else "hash"
    few = component.weight and groups < _SIDES
    of = f", of {groups} such group(s) in {component.language}" if few else ""
    return (
        f"{component.files} file(s) with {component.weight} example unit(s), joined by "
        f"{'path' if settings.split_by in ('file', 'time') else settings.split_by} or "
        f"near-duplicates as {component.name[:12]}{of}: {side} by {how}"
    )


def _finer(settings: DatasetSettings) -> str:
    return ", or split by file" if settings.split_by in ("folder", "repository") else ""
