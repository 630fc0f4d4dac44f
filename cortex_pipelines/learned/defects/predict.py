"""Rank the statements of files by how likely each is wrong, and say why one is suspect."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cortex_pipelines.damage import SkipReason
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.learned.defects.likelihood import CodeModel
from cortex_pipelines.learned.defects.network import DefectNetwork
from cortex_pipelines.learned.defects.scores import (
    EDIT_GAIN,
    NETWORK,
    RANDOM,
    STACKED,
    Scores,
    Stack,
    plain_scores,
    possible_edits,
    stacked,
    statement_features,
    with_network,
)
from cortex_pipelines.learned.defects.statements import Region, StatementSpan, regions
from cortex_pipelines.learned.settings import DefectSettings
from cortex_pipelines.retrieval.listing import code_files
from cortex_pipelines.statistics.leaderboard import rank_of
from cortex_pipelines.syntax.grammars import PARSED, grammar_for
from cortex_pipelines.syntax.unparsable import syntax_tree

FILE = "recogniser.json"
"""Of the folder of a trained recogniser."""
_MOST_BYTES = 200_000
"""Larger files would take an hour."""


class DefectError(ValueError):
    """Files in which no defects can be looked for."""


@dataclass(frozen=True)
class Recogniser:
    """The way that is used, and what it needs of training."""

    way: str = EDIT_GAIN
    network: DefectNetwork | None = None
    stack: Stack | None = None

    def scores(self, region: Region, model: CodeModel, settings: DefectSettings) -> Scores:
        scores = plain_scores(region, model, settings.edits, settings.seed)
        scores = with_network(scores, region, self.network)
        return scores if self.stack is None else stacked(scores, self.stack)

    def save(self, folder: Path) -> None:
        stack = None if self.stack is None else asdict(self.stack)
        write_json(folder / FILE, {"way": self.way, "stack": stack})
        if self.network is not None:
            self.network.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "Recogniser":
        facts = json.loads((folder / FILE).read_text(encoding="utf-8"))
        stack = (
            None if facts["stack"] is None else Stack(**{name: tuple(each) for name, each in facts["stack"].items()})
        )
        network = DefectNetwork.load(folder) if facts["way"] in (NETWORK, STACKED) else None
        return cls(facts["way"], network, stack)


@dataclass(frozen=True)
class Ranking:
    """``rows``: every statement, the most suspect first; ``left_out``: a sentence for each file that was not read."""

    rows: list[dict[str, Any]]
    left_out: list[str]


def rank_statements(
    paths: Sequence[Path], recogniser: Recogniser, model: CodeModel, settings: DefectSettings
) -> Ranking:
    """Rank the statements of files, and of the code in folders. Raises DefectError: none could be read."""
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    for path in code_files(paths):
        in_file = read_regions(path)
        if isinstance(in_file, str):
            left_out.append(in_file)
            continue
        text, parts = in_file
        for region in parts:
            scores = recogniser.scores(region, model, settings)
            rows += _rows(path, text, region, scores, recogniser.way)
    if not rows:
        raise DefectError("; ".join(left_out) or "no file of " + ", ".join(sorted(PARSED)) + " is there")
    return Ranking(sorted(rows, key=lambda row: (-row["score"], row["path"], row["line"])), left_out)


def read_regions(path: Path) -> tuple[bytes, list[Region]] | str:
    """A file and its regions, or a sentence that says why it has none."""
    size = path.stat().st_size
    if size > _MOST_BYTES:
        return f"{path}: {size:,} bytes are too many to read statement by statement; at most {_MOST_BYTES:,}"
    data = path.read_bytes()
    try:
        language = language_of(path.name, data.decode())
    except UnicodeDecodeError:
        return f"{path}: is not text in UTF-8"
    if language not in PARSED:
        return f"{path}: {language or 'its language'} is not one of {', '.join(sorted(PARSED))}"
    tree = syntax_tree(data, grammar_for(language, path.name), _MOST_BYTES)
    if isinstance(tree, SkipReason):
        return f"{path}: {tree.detail}"
    parts = regions(tree.root_node, data, language)
    return (data, parts) if parts else f"{path}: has no statement"


def lineno(text: bytes, offset: int) -> int:
    return text.count(b"\n", 0, offset) + 1


def edited_statement(region: Region, statement: StatementSpan, start: int, end: int, replacement: str) -> str:
    code = region.code
    edited = code[statement.start : start] + replacement.encode() + code[end : max(end, statement.end)]
    return edited.decode("utf-8", "replace")


def _rows(path: Path, text: bytes, region: Region, scores: Scores, way: str) -> Iterator[dict[str, Any]]:
    figures = scores.statements[way]
    if way != STACKED:  # any figure, brought between 0 and 1 in its order
        figures = (1 + figures / (1 + np.abs(figures))) / 2
    for statement, best_edit, figure in zip(region.statements, scores.best_edits, figures, strict=True):
        first, last = region.start + statement.start, region.start + statement.end
        suggestion = edited_statement(region, statement, *best_edit[1:]) if best_edit is not None else None
        yield {
            "path": path.as_posix(),
            "line": lineno(text, first),
            "end_line": lineno(text, max(first, last - 1)),
            "kind": best_edit[0] if best_edit is not None else "unknown",
            "score": round(float(figure), 4),
            "shown": False,
            "suggestion": suggestion,
        }


def explain_statement(
    path: Path, line: int | None, recogniser: Recogniser, model: CodeModel, settings: DefectSettings
) -> dict[str, Any]:
    """How each way sees the statement on a line (or the most suspect one of the file), and the edits of it.

    ``ways``: by how many standard deviations each way finds it above the others of its function, and the weight of that
    in the combination, None where another way is used. ``edits``: the measured ones of the statement, the best first,
    with the statement as it would be and its gain (``CodeModel.read``). Raises DefectError: the file cannot be read, or
    no statement is on the line.
    """
    in_file = read_regions(path)
    if isinstance(in_file, str):
        raise DefectError(in_file)
    text, parts = in_file
    candidates = [
        (region, number)
        for region in parts
        for number, each in enumerate(region.statements)
        if line is None or lineno(text, region.start + each.start) <= line <= lineno(text, region.start + each.end - 1)
    ]
    if not candidates:
        raise DefectError(f"{path}: no statement is on line {line}")
    scored = {region.start: recogniser.scores(region, model, settings) for region, _ in candidates}
    way = recogniser.way

    def priority(candidate: tuple[Region, int]) -> float:
        region, number = candidate
        innermost = region.start + region.statements[number].start
        return float(scored[region.start].statements[way][number]) if line is None else innermost

    region, number = max(candidates, key=priority)
    scores, statement = scored[region.start], region.statements[number]
    names = [name for name in scores.statements if name != RANDOM]
    above = statement_features(scores, names)[number]
    weights = (
        dict(zip(recogniser.stack.names, recogniser.stack.statement_weights, strict=False)) if recogniser.stack else {}
    )
    return {
        "path": path.as_posix(),
        "line": lineno(text, region.start + statement.start),
        "code": region.texts()[number],
        "way": way,
        "rank": rank_of(scores.statements[way], number),
        "statements": len(region.statements),
        "ways": [
            {"way": name, "above": float(value), "weight": weights.get(name)}
            for name, value in zip(names, above, strict=True)
        ],
        "edits": _edits(region, number, model, settings),
    }


def _edits(region: Region, number: int, model: CodeModel, settings: DefectSettings) -> list[dict[str, Any]]:
    statement, possible = region.statements[number], possible_edits(region)
    byte_edits = [(edit.start, edit.end, edit.replacement) for _, edit in possible]
    _, gains = model.read(region.code, byte_edits, settings.edits)
    rows = [
        {"kind": family, "code": edited_statement(region, statement, *byte_edit), "gain": gain}
        for (family, _), byte_edit, gain in zip(possible, byte_edits, gains, strict=True)
        if gain is not None and region.statement_at(byte_edit[0]) == number
    ]
    return sorted(rows, key=lambda row: -row["gain"])
