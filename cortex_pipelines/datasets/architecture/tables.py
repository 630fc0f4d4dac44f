"""Build the tables of the architecture data set from architecture facts."""

from collections.abc import Callable, Container, Mapping, Sequence
from itertools import accumulate
from typing import Any

import polars as pl

from cortex_pipelines.datasets.architecture.rules import DependencyRule, learnt_rules
from cortex_pipelines.datasets.architecture.settings import ArchitectureExampleSettings
from cortex_pipelines.datasets.architecture.structures import structures
from cortex_pipelines.datasets.architecture.violations import (
    RuleSides,
    imports_of,
    judged_imports,
    rule_sides,
)
from cortex_pipelines.datasets.assemble.manifest import count_redactions, manifest
from cortex_pipelines.datasets.assemble.selection import require_no_leakage, select_rows, with_ids
from cortex_pipelines.datasets.dedup.incremental_join import IncrementalSimilarityJoin
from cortex_pipelines.datasets.dedup.minhash import near_duplicate_clusters
from cortex_pipelines.datasets.dedup.similarity_join import COMPARED
from cortex_pipelines.datasets.dedup.token_stream import token_streams
from cortex_pipelines.datasets.filters.decontamination import Fingerprints, contaminated
from cortex_pipelines.datasets.publish.card import CardSection
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import side_by_hash
from cortex_pipelines.schemas.datasets.architecture import (
    ARCHITECTURE_DATASET,
    ARCHITECTURE_EXAMPLES,
    DEPENDENCY_RULES,
)
from cortex_pipelines.schemas.datasets.examples import MANIFEST
from cortex_pipelines.schemas.vocabulary import SPLITS

NAME = "architecture_dataset"
_COMPARED = (("target",), *COMPARED[NAME])
"""What is compared across sides; of an import to judge also what is seen, but for the listing."""

Row = dict[str, Any]
_S = pl.String
_SCHEMA = pl.Schema(
    {
        **dict.fromkeys(("unit_id", "source", "path", "language", "kind", "origin"), _S),
        **dict.fromkeys(("prompt", "completion", "target", "technology", "rule"), _S),
        **dict.fromkeys(("explanation", "description_source", "not_made"), _S),
        **dict.fromkeys(("split", "split_reason", "revision", "blob", "licence"), _S),
        **dict.fromkeys(("start_line", "end_line", "start_byte", "end_byte"), pl.Int64),
        "weight": pl.Float64,
    }
)


def architecture_tables(
    facts: pl.DataFrame,
    files: pl.DataFrame,
    redactions: pl.DataFrame,
    splits: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    examples: ArchitectureExampleSettings,
    settings: DatasetSettings,
    join: IncrementalSimilarityJoin | None = None,
) -> dict[str, pl.DataFrame]:
    """Tables of the architecture data set; any kind or split may be empty.

    Args:
        facts: ARCHITECTURE_FACTS of one project.
        files: REPOSITORY_FILES of the same project.
        redactions: REDACTIONS of the same project.
        splits: UNIT_SPLITS of the same project: a file is on the side that its units are on.
        benchmarks: What must not be trained on.
        examples: What becomes an example.
        settings: Sizes, shares and thresholds.
        join: Finds near-duplicates; may know those of texts that have not changed.
    """
    join = join or IncrementalSimilarityJoin(None, NAME, settings)
    stated = facts.sort("source", "path", "start_line", "end_line", "fact_id").to_dicts()
    about = {(row["source"], row["path"]): row for row in files.iter_rows(named=True)}
    imports = imports_of(stated)
    rules = learnt_rules(imports.edges, examples)
    files_with_units = _sides(splits)

    def side_of(place: tuple[str, str]) -> str:
        return files_with_units.get(place) or side_by_hash(":".join(place), settings)

    sides = RuleSides(rule_sides(rules, settings), side_of)
    made = [
        *structures(stated, {place: row["text"] for place, row in about.items()}, examples),
        *judged_imports(imports, rules, sides, examples, settings.seed),
    ]
    offsets = _Offsets()
    rows = [_candidate(row, about, files_with_units, side_of, offsets) for row in made]
    candidates = _judged(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), benchmarks, settings)
    counted = candidates.with_columns(count_redactions(candidates, redactions))
    return _selected(counted, settings, join) | {DEPENDENCY_RULES.name: _rules_table(rules)}


def missing_kinds(tables: Mapping[str, pl.DataFrame]) -> CardSection:
    """Kinds without examples in the project, for the data card."""
    kinds = set(pl.concat([tables[split].select("kind") for split in SPLITS])["kind"])
    none = [kind for kind in ARCHITECTURE_EXAMPLES if kind not in kinds]
    empty = [split for split in SPLITS if tables[split].is_empty()]
    rules = tables[DEPENDENCY_RULES.name]
    return CardSection(
        "Architecture",
        f"Kinds without an example in this project: {', '.join(none) or 'none'}. "
        f"Sides without a row: {', '.join(empty) or 'none'}.",
        f"{rules.height} dependency rules were learnt, {int(rules['against'].sum())} imports are "
        "against one of them. Imports of origin `injected` were put in on purpose. A rule is on "
        "one side of the split with all examples; a prompt lists which parts import which.",
        rules.sort(["edges", "rule_id"], descending=[True, False])
        .head(20)
        .select("folder", "upper", "lower", "edges", "against", "learnt"),
    )


def _sides(splits: pl.DataFrame) -> dict[tuple[str, str], str]:
    known = splits.filter(pl.col("split").is_not_null()).sort("unit_id")
    return {
        (source, path): split
        for source, path, split in known.select("source", "path", "split").iter_rows()
    }


def _candidate(
    made: Row,
    about: Mapping[tuple[str, str], Row],
    files_with_units: Container[tuple[str, str]],
    side_of: Callable[[tuple[str, str]], str],
    offsets: "_Offsets",
) -> Row:
    fact = made["fact"]
    place = fact["source"], fact["path"]
    file = about[place]
    side = side_of(place)
    known = place in files_with_units
    how = "with the units of its file" if known else "path of its file, by hash"
    if made["rule"] is not None:
        how += ", where its rule is too"
    begins = offsets.of(place, file["text"])
    lines = fact["start_line"], fact["end_line"]
    start, end = begins[lines[0] - 1], max(begins[lines[1]] - 1, begins[lines[0] - 1])
    return {
        **{name: value for name, value in made.items() if name != "fact"},
        "unit_id": fact["fact_id"],
        **{name: fact[name] for name in ("source", "path", "technology")},
        "language": fact["language"] or fact["technology"] or "text",
        "not_made": None if file["trainable"] else "licence",
        "split": side,
        "split_reason": f"{how}: {side}",
        **{name: file[name] for name in ("revision", "blob", "licence")},
        "weight": 1.0,
        "start_line": lines[0],
        "end_line": lines[1],
        "start_byte": start,
        "end_byte": end,
    }


class _Offsets:
    """Byte offsets of the lines of files, including the end of the last line."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], list[int]] = {}

    def of(self, place: tuple[str, str], text: str) -> list[int]:
        if place not in self._known:
            sizes = (len(line.encode()) + 1 for line in text.split("\n"))
            self._known[place] = list(accumulate(sizes, initial=0))
        return self._known[place]


def _judged(
    rows: pl.DataFrame, benchmarks: Sequence[Fingerprints], settings: DatasetSettings
) -> pl.DataFrame:
    """Candidates with near-duplicate cluster and exclusion reason."""
    rows = rows.sort("unit_id", "kind", "origin", "prompt")
    clusters = near_duplicate_clusters(
        token_streams(rows["target"].to_list(), rows["language"].to_list()), settings
    )
    dirty = contaminated(
        rows["completion"].to_list(), benchmarks, settings, rows["language"].to_list()
    )
    ids, sides = rows["unit_id"].to_list(), rows["split"].to_list()
    size = pl.Series("cluster", [f"{ids[first]}" for first in clusters], dtype=_S)
    elsewhere = [sides[first] != side for first, side in zip(clusters, sides, strict=True)]
    body, prompt = pl.col("completion").str.len_bytes(), pl.col("prompt").str.len_bytes()
    short = (body < settings.min_body_bytes) | (body > settings.max_body_bytes)
    return rows.with_columns(size).with_columns(
        pl.len().over("cluster").cast(pl.Int64).alias("cluster_size"),
        pl.coalesce(
            "not_made",
            pl.when(
                pl.Series([benchmark is not None for benchmark in dirty], dtype=pl.Boolean)
            ).then(pl.lit("contaminated")),
            pl.when(short).then(pl.lit("body_size")),
            pl.when(prompt > settings.max_prompt_bytes).then(pl.lit("prompt_size")),
            # a cluster is on the side of its first member
            pl.when(pl.Series(elsewhere, dtype=pl.Boolean)).then(
                pl.lit("near_duplicate_elsewhere")
            ),
        ).alias("not_made"),
    )


def _selected(
    candidates: pl.DataFrame, settings: DatasetSettings, join: IncrementalSimilarityJoin
) -> dict[str, pl.DataFrame]:
    made = with_ids(candidates.filter(pl.col("not_made").is_null()), NAME)
    selected = select_rows(made, NAME, _COMPARED, settings, join)
    require_no_leakage(selected.rows, NAME, _COMPARED, join)
    not_made = candidates.filter(pl.col("not_made").is_not_null())
    left_out = pl.concat(
        [selected.left_out, not_made.with_columns(pl.col("not_made").alias("left_out"))],
        how="diagonal",
    )
    tables = {t.name: t.conform(selected.rows[t.name]) for t in ARCHITECTURE_DATASET[:3]}
    return tables | {MANIFEST.name: manifest(selected.rows, left_out, settings)}


def _rules_table(rules: Sequence[DependencyRule]) -> pl.DataFrame:
    return DEPENDENCY_RULES.frame(
        [
            {
                "rule_id": rule.rule_id,
                "source": rule.parts.source,
                "folder": rule.parts.folder,
                "upper": rule.parts.importer,
                "lower": rule.parts.imported,
                "edges": rule.edges,
                "against": rule.against,
                "learnt": rule.learnt,
            }
            for rule in rules
        ]
    )
