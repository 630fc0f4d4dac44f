"""What each way to find defects says of the statements of a region, and of the region itself."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.inject import is_equivalent, sites
from cortex_pipelines.augmentation.mutation.operator import TextEdit, replace_span
from cortex_pipelines.augmentation.node_table import NodeTable, split_words
from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.augmentation.snippets import parse_unit
from cortex_pipelines.learned.defects.likelihood import CodeModel
from cortex_pipelines.learned.defects.network import DefectNetwork
from cortex_pipelines.learned.defects.statements import Region
from cortex_pipelines.rowcache import RowCache

_ONE_WAY = split_words(
    "removed_conversion missing_return removed_await removed_optional_chain removed_error_propagation early_return "
    "missing_break lost_receiver removed_loop lost_accumulation wrong_sameness similar_method swapped_branches"
)
"""Operators that only break: what they leave out, none puts back."""
_BINARY = split_words("binary_operator binary_expression")
_VALUES = _BINARY | split_words(
    "identifier attribute member_expression field_access selector_expression field_expression call call_expression "
    "method_invocation"
)
_HOLDERS = _BINARY | split_words(
    "argument_list arguments subscript slice index_expression array_access subscript_expression comparison_operator "
    "assignment return_statement expression_list variable_declarator slice_expression range_expression for_clause"
)
_HELD = ("left", "name", "function", "object", "operand", "value")  # not the place that is assigned, called or indexed
_SIGNS = ("+", "-", "*", "//", "/", "%")
_LONGEST_EDIT = 120  # bytes of code that an edit replaces


def edits(view: NodeTable) -> Iterator[tuple[str, TextEdit]]:
    """Edits with the family of the mistake that each would mend, each once."""
    keys: set[tuple[int, int, str]] = set()
    for name, family, edit in _all_edits(view):
        key = edit.start, edit.end, edit.replacement
        if key not in keys and edit.end - edit.start <= _LONGEST_EDIT and not is_equivalent(name, edit, view):
            keys.add(key)
            yield family, edit


def _all_edits(view: NodeTable) -> Iterator[tuple[str, str, TextEdit]]:
    for operator, node in sites(view):
        if operator.name not in _ONE_WAY:
            yield from ((operator.name, operator.error_type, edit) for edit in operator.edits_at(node, view))
    for node in view.nodes:
        yield from (("off_by_one", "literal", edit) for edit in _terms(node, view))


def _terms(node: Node, view: NodeTable) -> Iterator[TextEdit]:
    """A term left out, and one added to a value or taken from it."""
    if node.type in _BINARY and len(node.children) == 3:
        left_operand, sign, right_operand = node.children
        if sign.type in _SIGNS:
            yield replace_span(view, node, left_operand.end_byte, right_operand.end_byte, "")
            yield replace_span(view, node, left_operand.start_byte, right_operand.start_byte, "")
    parent = view.parent_type(node)
    is_initial = parent == "variable_declarator" and view.field(node) == "value"
    if node.type in _VALUES and parent in _HOLDERS and (is_initial or view.field(node) not in _HELD):
        for term in (" + 1", " - 1"):
            yield replace_span(view, node, node.end_byte, node.end_byte, term)


RANDOM, EDIT_GAIN, NETWORK, STACKED = "random", "edit_gain", "cnn_transformer", "stacked"
PLAIN = (RANDOM, "position", "complexity", "surprise_mean", "surprise_max", "surprise_sum", EDIT_GAIN)
"""Ways that learn nothing here, from the simplest."""
_LONGEST = 8192  # bytes of a region whose edits are measured


@dataclass(frozen=True)
class Scores:
    """``statements``: a figure for each statement by way; ``region``: one for the region. Higher is more suspect.

    ``best_edits``: error family, first and last byte, and replacement of the edit that gains most, of each statement.
    """

    statements: Mapping[str, np.ndarray]
    region: Mapping[str, float]
    best_edits: Sequence[tuple[str, int, int, str] | None]

    def with_way(self, way: str, statements: np.ndarray, region: float) -> "Scores":
        return Scores({**self.statements, way: statements}, {**self.region, way: region}, self.best_edits)


def plain_scores(region: Region, model: CodeModel, most: int, seed: int, cache: RowCache | None = None) -> Scores:
    """Scores by the ways of ``PLAIN``; of ``most`` edits."""
    possible = possible_edits(region)
    key = [*model.key, region.code.decode("utf-8", "replace"), most]
    stored = cache.get(*key) if cache is not None else None
    if stored is None:
        reading, measured = model.read(region.code, [(e.start, e.end, e.replacement) for _, e in possible], most)
        stored = json.dumps([reading.ends, reading.nats.tolist(), measured]).encode()
        if cache is not None:
            cache.put(stored, *key)
    ends, nats, gains = json.loads(stored)
    owners = [region.statement_at(end - 1) for end in ends]
    of_each: list[list[float]] = [[] for _ in region.statements]
    for owner, value in zip(owners, nats, strict=True):
        if owner is not None:
            of_each[owner].append(value)
    texts = region.texts()
    best, best_edits = _best_edits(region, possible, gains)
    values = {
        RANDOM: np.array([draw(seed, region.code, number) / 2**64 for number in range(len(texts))]),
        "position": np.arange(len(texts), dtype=float),
        "complexity": np.array([float(len(text.split()) + sum(not c.isalnum() for c in text)) for text in texts]),
        "surprise_mean": np.array([np.mean(each) if each else 0.0 for each in of_each]),
        "surprise_max": np.array([max(each, default=0.0) for each in of_each]),
        "surprise_sum": np.array([sum(each) for each in of_each]),
        EDIT_GAIN: best,
    }
    region_scores = {name: float(each.max()) for name, each in values.items()}
    region_scores |= {"position": float(len(texts)), "complexity": float(values["complexity"].sum())}
    region_scores |= {"surprise_mean": float(np.mean(nats)) if nats else 0.0, "surprise_sum": float(sum(nats))}
    return Scores(values, region_scores, best_edits)


def with_network(scores: Scores, region: Region, network: DefectNetwork | None) -> Scores:
    return scores if network is None else scores.with_way(NETWORK, *network.scores(region))


def possible_edits(region: Region) -> list[tuple[str, TextEdit]]:
    """Edits with the error family that each would mend; their bytes count from the region's first."""
    snippet = parse_unit(region.code, region.language, "method") if len(region.code) <= _LONGEST else None
    if snippet is None:
        return []
    shift, size = len(snippet.prefix), len(snippet.code)
    return [
        (family, TextEdit(start, edit.end - shift, edit.replacement, edit.right, edit.wrong, edit.old, edit.new))
        for family, edit in edits(NodeTable(snippet))
        if (start := edit.start - shift) >= 0 and edit.end <= shift + size
    ]


def _best_edits(
    region: Region, possible: Sequence[tuple[str, TextEdit]], gains: Sequence[float | None]
) -> tuple[np.ndarray, list[tuple[str, int, int, str] | None]]:
    best: list[float | None] = [None] * len(region.statements)
    best_edits: list[tuple[str, int, int, str] | None] = [None] * len(region.statements)
    for (family, edit), gain in zip(possible, gains, strict=True):
        owner = region.statement_at(edit.start)
        if owner is None or gain is None:
            continue
        so_far = best[owner]
        if so_far is None or gain > so_far:
            best[owner], best_edits[owner] = gain, (family, edit.start, edit.end, edit.replacement)
    lowest = min((each for each in best if each is not None), default=0.0) - 1  # no edit of it is worth measuring
    return np.array([lowest if each is None else each for each in best]), best_edits


@dataclass(frozen=True)
class Stack:
    """Logistic regressions over the scores of the others, each standardised among the statements of a region."""

    names: tuple[str, ...]
    statement_weights: tuple[float, ...]
    whole_weights: tuple[float, ...]


def stacked(scores: Scores, stack: Stack) -> Scores:
    """With the probability of each statement to be the wrong one of a region that holds a defect, and of that."""
    statements = _probability(statement_features(scores, stack.names), stack.statement_weights)
    region = _probability(region_features(scores, stack.names)[None], stack.whole_weights)
    return scores.with_way(STACKED, statements, float(region[0]))


def statement_features(scores: Scores, names: Sequence[str]) -> np.ndarray:
    """(statements, names); by how many deviations a statement is above the others."""
    columns = [scores.statements[name] for name in names]
    return np.column_stack([np.clip((each - each.mean()) / (each.std() + 1e-9), -3, 5) for each in columns])


def region_features(scores: Scores, names: Sequence[str]) -> np.ndarray:
    values = np.array([scores.region[name] for name in names])
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


def _probability(features: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Logistic; the last weight is the intercept."""
    return np.asarray(1 / (1 + np.exp(-(features @ np.array(weights[:-1]) + weights[-1]))))


def fit_stack(scored: Sequence[tuple[Scores, int]], clean: Sequence[Scores]) -> Stack:
    """Fit on regions with the number of their wrong statement, and on regions without a known defect."""
    from sklearn.linear_model import LogisticRegression

    def fitted(features: np.ndarray, target: np.ndarray) -> tuple[float, ...]:
        model = LogisticRegression(max_iter=1000).fit(features, target)
        return (*model.coef_[0].tolist(), float(model.intercept_[0]))

    names = tuple(name for name in scored[0][0].statements if name not in (RANDOM, "position", STACKED))
    rows = np.vstack([statement_features(scores, names) for scores, _ in scored])
    target = np.concatenate([np.arange(len(scores.best_edits)) == defect for scores, defect in scored])
    region_rows = np.vstack([region_features(scores, names) for scores in [*(each for each, _ in scored), *clean]])
    return Stack(names, fitted(rows, target), fitted(region_rows, np.arange(len(region_rows)) < len(scored)))
