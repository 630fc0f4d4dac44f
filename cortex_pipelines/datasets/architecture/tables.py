"""Build the tables of the architecture data set from architecture facts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from itertools import accumulate
from typing import Any

import polars as pl

from cortex_pipelines.datasets.answerable import ProjectWords
from cortex_pipelines.datasets.architecture.dependency_rules import (
    RuleSplits,
    collect_imports,
    learn_rules,
    split_rules,
    violation_examples,
)
from cortex_pipelines.datasets.architecture.questions import questions
from cortex_pipelines.datasets.assemble.build import finish_tables
from cortex_pipelines.datasets.assemble.selection import count_redactions, is_empty
from cortex_pipelines.datasets.decontamination import Fingerprints, contaminated
from cortex_pipelines.datasets.dedup.minhash import IncrementalClustering
from cortex_pipelines.datasets.dedup.similarity_join import COMPARED
from cortex_pipelines.datasets.publish.card import CardSection
from cortex_pipelines.datasets.settings import ArchitectureExampleSettings, DatasetSettings
from cortex_pipelines.datasets.splitting.assign import split_by_hash
from cortex_pipelines.datasets.unit_text import file_bytes, with_layout
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.datasets import ARCHITECTURE_DATASET, ARCHITECTURE_EXAMPLES, DEPENDENCY_RULES
from cortex_pipelines.schemas.vocabulary import SPLITS

NAME = "architecture_dataset"
TOO_FEW = "too_few_rows"
"""Reason for leaving out all rows of a data set of which there are fewer than ``min_rows``."""
_COMPARED = (("target",), *COMPARED[NAME])
"""Columns compared across splits. ``target`` is an import with its file, without the listing."""

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
    units: pl.DataFrame,
    files: pl.DataFrame,
    redactions: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    examples: ArchitectureExampleSettings,
    settings: DatasetSettings,
    cache: RowCache | None = None,
    unit_splits: Mapping[str, str] | None = None,
) -> dict[str, pl.DataFrame]:
    """Tables of the architecture data set.

    ``unit_splits``: split of each unit, which questions about it share with all other tasks; facts about a file are
    split by its path.
    """
    fact_rows = facts.sort("source", "path", "start_line", "end_line", "fact_id").to_dicts()
    texts = file_bytes(files)
    unit_rows = with_layout(units, texts, settings).sort("source", "path", "start_byte", "unit_id").to_dicts()
    words = ProjectWords(texts.values())
    files_by_key = {(row["source"], row["path"]): row for row in files.iter_rows(named=True)}
    imports = collect_imports(fact_rows)
    rules = learn_rules(imports.edges, examples)

    def split_of(file_key: tuple[str, str]) -> str:
        return split_by_hash(":".join(file_key), settings)

    rule_splits = RuleSplits(split_rules(rules, settings), split_of)
    example_rows = [
        *questions(unit_rows, fact_rows, words, examples, settings.seed),
        *violation_examples(imports, rules, rule_splits, examples, settings.seed),
    ]
    line_starts: dict[tuple[str, str], list[int]] = {}
    rows = [_candidate(row, files_by_key, split_of, line_starts, unit_splits or {}) for row in example_rows]
    candidates = _with_exclusions(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), benchmarks, settings, cache)
    with_redactions = candidates.with_columns(count_redactions(candidates, redactions))
    if with_redactions["not_made"].null_count() < examples.min_rows:
        with_redactions = with_redactions.with_columns(pl.col("not_made").fill_null(TOO_FEW))
    tables = finish_tables(NAME, ARCHITECTURE_DATASET, with_redactions, settings, cache, texts=_COMPARED)
    rule_rows = [(rule.rule_id, *astuple(rule.parts), rule.edges, rule.against, rule.learnt) for rule in rules]
    rule_table = pl.DataFrame(rule_rows, schema=DEPENDENCY_RULES.schema, orient="row")
    return tables | {DEPENDENCY_RULES.name: DEPENDENCY_RULES.conform(rule_table)}


def missing_kinds(tables: Mapping[str, pl.DataFrame]) -> CardSection:
    kinds = set(pl.concat([tables[split].select("kind") for split in SPLITS])["kind"])
    absent = [kind for kind in ARCHITECTURE_EXAMPLES if kind not in kinds]
    empty = [split for split in SPLITS if tables[split].is_empty()]
    rules = tables[DEPENDENCY_RULES.name]
    too_few = is_empty(tables, TOO_FEW)
    return CardSection(
        "Architecture",
        *(["There are too few questions with a known answer: the task is left out."] if too_few else []),
        f"Kinds without an example in this project: {', '.join(absent) or 'none'}. "
        f"Sides without a row: {', '.join(empty) or 'none'}.",
        f"{rules.height} dependency rules were learnt, {int(rules['against'].sum())} imports are "
        "against one of them. Imports of origin `injected` were put in on purpose. A rule is on "
        "one side of the split with all examples; a prompt lists which parts import which.",
        rules.sort(["edges", "rule_id"], descending=[True, False])
        .head(20)
        .select("folder", "upper", "lower", "edges", "against", "learnt"),
    )


def _candidate(
    example: Row,
    files_by_key: Mapping[tuple[str, str], Row],
    split_of: Callable[[tuple[str, str]], str],
    line_starts: dict[tuple[str, str], list[int]],
    unit_splits: Mapping[str, str],
) -> Row:
    fact = example["fact"]
    file_key = fact["source"], fact["path"]
    file = files_by_key[file_key]
    own_split = unit_splits.get(fact["fact_id"])
    split = own_split or split_of(file_key)
    reason = "with its unit" if own_split else "path of its file, by hash"
    if example["rule"] is not None:
        reason += ", where its rule is too"
    if file_key not in line_starts:  # in bytes, with the end of the last line
        sizes = (len(line.encode()) + 1 for line in file["text"].split("\n"))
        line_starts[file_key] = list(accumulate(sizes, initial=0))
    start = line_starts[file_key][fact["start_line"] - 1]
    return {
        **{name: value for name, value in example.items() if name != "fact"},
        "unit_id": fact["fact_id"],
        **{name: fact[name] for name in ("source", "path", "technology")},
        "language": fact["language"] or fact["technology"] or "text",
        "not_made": None if file["trainable"] else "licence",
        "split": split,
        "split_reason": f"{reason}: {split}",
        **{name: file[name] for name in ("revision", "blob", "licence")},
        "weight": 1.0,
        **{name: fact[name] for name in ("start_line", "end_line")},
        "start_byte": start,
        "end_byte": max(line_starts[file_key][fact["end_line"]] - 1, start),
    }


def _with_exclusions(
    rows: pl.DataFrame, benchmarks: Sequence[Fingerprints], settings: DatasetSettings, cache: RowCache | None
) -> pl.DataFrame:
    rows = rows.sort("unit_id", "kind", "origin", "prompt")
    clustering = IncrementalClustering(cache, NAME, settings)
    clusters = clustering.firsts("target", rows["target"].to_list(), rows["language"].to_list())
    # the same few parameters are the answer of many functions
    first_split = pl.col("split").first().over("kind", "completion")
    is_known = (pl.col("kind") == "interface") & (pl.col("split") != first_split)
    is_contaminated = contaminated(rows["completion"].to_list(), benchmarks, rows["language"].to_list())
    ids, splits = rows["unit_id"].to_list(), rows["split"].to_list()
    cluster_ids = pl.Series("cluster", [f"{ids[first]}" for first in clusters], dtype=_S)
    crosses_split = [splits[first] != split for first, split in zip(clusters, splits, strict=True)]
    body, prompt = pl.col("completion").str.len_bytes(), pl.col("prompt").str.len_bytes()
    return rows.with_columns(cluster_ids).with_columns(
        pl.len().over("cluster").cast(pl.Int64).alias("cluster_size"),
        pl.coalesce(
            "not_made",
            pl.when(is_contaminated).then(pl.lit("contaminated")),
            pl.when(body > settings.max_body_bytes).then(pl.lit("body_size")),
            pl.when(prompt > settings.max_prompt_bytes).then(pl.lit("prompt_size")),
            # a cluster is in the split of its first member
            pl.when(pl.Series(crosses_split, dtype=pl.Boolean) | is_known).then(pl.lit("near_duplicate_elsewhere")),
        ).alias("not_made"),
    )
