"""Assign units to train, validation and test, once for all data sets and before augmentation.

A group of units goes to one split as a whole: a unit with all that is nested in it, if a prompt can show it whole; or
all units of a file, folder or source (``datasets.split_by``). Each split takes its share of every stratum: language,
product or test code, kind. Near-duplicates join no groups: what resembles a held-out unit leaves train instead.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from cortex_pipelines.datasets.dedup.minhash import IncrementalClustering, smallest_connected
from cortex_pipelines.datasets.dedup.token_stream import languages_of
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.schemas.vocabulary import DEFINITIONS

_SPLIT_COUNT = 3
_LARGE_FILE = 0.05
"""Share of the product's units from which a file must be in train with some of them."""
_FEWEST_FUNCTIONS, _MOST_OF_FEW = 60, 0.25
"""A small project holds out a larger share, up to a quarter, to have so many functions to judge by."""


class DatasetError(ValueError):
    """A data set cannot be built from the inputs."""


@dataclass(frozen=True)
class SplitGroup:
    """Units that must stay in the same split."""

    name: str  # id of its first unit
    units: int
    candidates: int  # number of units that give both a completion and a name
    changed: datetime | None = None  # when its newest line was written; None if unknown or unused
    language: str = ""
    test: bool = False
    kind: str = ""  # of its first unit

    @property
    def stratum(self) -> tuple[bool, str, bool, str]:
        return not self.candidates, self.language, self.test, self.kind


def cluster_units(units: pl.DataFrame, clustering: IncrementalClustering) -> pl.DataFrame:
    """Units with near-duplicate ``cluster``, named by its smallest unit id.

    Two units are near-duplicates if their whole code or their bodies are: short functions that differ only in their
    signatures would give the same completion. Code is compared by its token stream, so that a reformatted copy is one.
    ``units``: columns ``unit_id``, ``code`` and ``body`` (null if a unit has none), and ``language``, which is guessed
    if the column is missing.
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
    units: pl.DataFrame,
    candidates: Sequence[str],
    settings: DatasetSettings,
    changed: Mapping[str, datetime] | None = None,
) -> pl.DataFrame:
    """Add ``split`` and ``split_reason`` to units.

    ``units``: columns ``unit_id``, ``source``, ``path``, ``language``, ``kind``, ``start_byte`` and ``end_byte``.
    ``changed``: when the newest line of each unit was written, by unit id; a unit without it is the oldest. Raises
    DatasetError: fewer than three groups hold a candidate, so a split would be empty.
    """
    rows = units.sort("source", "path", "start_byte", -pl.col("end_byte"), "unit_id")
    if settings.split_by in ("unit", "time"):
        keys = _nesting_groups(rows, settings)
    else:
        folder = pl.col("path").str.extract(r"(?s)^(.*)/[^/]*$").fill_null("")
        location = {"file": [pl.col("path")], "folder": [folder], "repository": []}[settings.split_by]
        keys = rows.select(pl.col("unit_id").first().over("source", *location))["unit_id"].to_list()
    is_candidate = set(candidates)
    times = changed if changed and settings.split_by == "time" else {}
    members: dict[str, list[tuple[str, str, str, str]]] = defaultdict(list)
    for key, unit in zip(keys, rows.select("unit_id", "path", "language", "kind").iter_rows(), strict=True):
        members[key].append(unit)
    groups = [
        SplitGroup(
            name=key,
            units=len(group_units),
            candidates=sum(unit[0] in is_candidate for unit in group_units),
            changed=max((times[unit[0]] for unit in group_units if unit[0] in times), default=None),
            language=group_units[0][2],
            test=is_test(group_units[0][1]),
            kind=group_units[0][3],
        )
        for key, group_units in members.items()
    ]
    splits = assign_groups(groups, settings)
    _teach_large_files(splits, groups, {key: group_units[0][1] for key, group_units in members.items()}, settings)
    reasons = {}
    for group in groups:
        code = f"{'test' if group.test else 'product'} code in {group.language}"
        method = f"{splits[group.name]} by {'time' if group.changed else 'hash'}"
        reasons[group.name] = f"{group.units} unit(s) of {code}, by {settings.split_by}: {method}"
    return rows.with_columns(
        pl.Series("split", [splits[key] for key in keys], dtype=pl.String),
        pl.Series("split_reason", [reasons[key] for key in keys], dtype=pl.String),
    )


def assign_groups(groups: Sequence[SplitGroup], settings: DatasetSettings) -> dict[str, str]:
    """Split of each group.

    In each stratum groups go to test, then to validation, in the order of their hashes (by time: newest first), as
    long as that brings the split nearer to its share; what a stratum leaves over or exceeds carries to the next. Each
    split gets a group with a candidate. Raises DatasetError: fewer than three groups have one.
    """
    with_candidates = [group for group in groups if group.candidates]
    if len(with_candidates) < _SPLIT_COUNT:
        raise DatasetError(
            f"this project is too small to be split: of its {len(groups)} groups of units {len(with_candidates)} hold "
            "a function that can become an example, and train, validation and test need one each. Add a source to "
            "the project in params.yaml (`cortex add NAME SOURCE`), or lower datasets.min_body_bytes"
            f"{', or split by unit' if settings.split_by in ('file', 'folder', 'repository') else ''}"
        )
    strata: dict[tuple[bool, str, bool, str], list[SplitGroup]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: _order(group, settings)):
        strata[group.stratum].append(group)
    splits: dict[str, str] = {}
    functions = sum(group.candidates for group in groups)
    for split, share in (("test", settings.test_share), ("validation", settings.validation_share)):
        share = max(share, min(_MOST_OF_FEW, _FEWEST_FUNCTIONS / functions))
        # train, and validation after test, need a candidate too
        most = len([group for group in with_candidates if group.name not in splits]) - (2 if split == "test" else 1)
        missing = 0.0
        for _, stratum in sorted(strata.items()):
            missing += share * sum(group.units for group in stratum)
            for group in stratum:
                if group.name not in splits and group.units < 2 * missing and (most > 0 or not group.candidates):
                    splits[group.name] = split
                    missing -= group.units
                    most -= bool(group.candidates)
        if not any(splits.get(group.name) == split for group in with_candidates):
            left = (group for group in with_candidates if group.name not in splits)
            splits[min(left, key=lambda group: (group.units, group.name)).name] = split
    return {group.name: splits.get(group.name, "train") for group in groups}


def split_by_hash(key: str, settings: DatasetSettings) -> str:
    """Split by hash for code outside of all groups, such as that of deleted files."""
    digest = hashlib.sha256(f"{settings.seed}:side:{key}".encode()).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    if fraction < settings.test_share:
        return "test"
    return "validation" if fraction < settings.test_share + settings.validation_share else "train"


def _order(group: SplitGroup, settings: DatasetSettings) -> tuple[float, str]:
    newest = -group.changed.timestamp() if group.changed else 1.0
    return newest, hashlib.sha256(f"{settings.seed}:{group.name}".encode()).hexdigest()


def _nesting_groups(rows: pl.DataFrame, settings: DatasetSettings) -> list[str]:
    """Group of each unit: the outermost unit around it that a prompt can show whole, or itself.

    ``rows``: units in the order of their files and starts, enclosing units first.
    """
    keys: list[str] = []
    file, outer, outer_end = ("", ""), "", 0
    for unit, source, path, kind, start, end in rows.select(
        "unit_id", "source", "path", "kind", "start_byte", "end_byte"
    ).iter_rows():
        if (source, path) != file:
            file, outer_end = (source, path), 0
        if start >= outer_end:
            outer = unit
            if kind in DEFINITIONS and end - start <= settings.max_prompt_bytes:
                outer_end = end
        keys.append(outer)
    return keys


def _teach_large_files(
    splits: dict[str, str], groups: Sequence[SplitGroup], paths: Mapping[str, str], settings: DatasetSettings
) -> None:
    """Move the oldest half of a large file's groups to train where none of them is there."""
    product = sum(group.units for group in groups if not group.test)
    by_file: dict[str, list[SplitGroup]] = defaultdict(list)
    for group in groups:
        by_file[paths[group.name]].append(group)
    for of_file in by_file.values():
        is_large = not of_file[0].test and sum(group.units for group in of_file) > _LARGE_FILE * product
        if is_large and len(of_file) > 1 and all(splits[group.name] != "train" for group in of_file):
            in_order = sorted(of_file, key=lambda group: _order(group, settings))
            splits.update((group.name, "train") for group in in_order[len(in_order) // 2 :])
