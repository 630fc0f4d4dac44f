"""Retrieval condition: similar training examples before a prompt, without training."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.retrieval.bm25f import Bm25fWeights, FieldTermCounts, Vocabulary, build_postings, term_statistics
from cortex_pipelines.retrieval.queries import query_terms

_IMPORT = re.compile(r"^\s*(?:from|import|use|package|#include|(?:const|let|var)\b.*\brequire)\b")
_BM25 = Bm25fWeights(fields=(1.0,), lengths=(0.5,), saturation=1.2)
_CONSIDERED = 50
"""Most similar examples that are tried for size."""
_LINES_BEFORE = 4
"""Lines kept before a statement, whose prompt is all of its file up to it."""


class SimilarExamples:
    """Completions of a project's train split, ranked by similarity to a prompt.

    Similarity is BM25 over the terms of code (``retrieval.terms``) without imports. As many as fit into ``room`` bytes
    are included. Augmented variants are excluded: they would repeat a function. How this was chosen:
    docs/evaluation.md.
    """

    def __init__(self, completion_dataset: Path, room: int) -> None:
        columns = ("example_id", "kind", "prompt", "completion")
        train = pl.scan_parquet(completion_dataset / "train.parquet").filter(task="completion", origin="original")
        rows = train.select(columns).sort("example_id").collect()
        self._room = room
        self._texts = [_example_prefix(kind, prompt) + completion for _, kind, prompt, completion in rows.iter_rows()]
        self._sizes = [len(text.encode()) for text in self._texts]
        vocabulary, counts = Vocabulary(), FieldTermCounts()
        for row, text in enumerate(self._texts):
            counts.add(row, text, vocabulary)
        self._numbers = vocabulary.numbers
        fields = [counts.matrix(len(self._texts), len(vocabulary))]
        self._postings = build_postings(fields, term_statistics(fields), _BM25)

    def prepend_examples(self, prompt: str) -> str:
        """The prompt after similar examples, the most similar one nearest to it."""
        without_imports = "\n".join(line for line in prompt.split("\n") if not _IMPORT.match(line))
        term_counts = Counter(term for term in query_terms(without_imports) if term in self._numbers)
        query = {self._numbers[term]: 1 + log(count) for term, count in term_counts.items()}
        ranked = np.argsort(-self._postings.scores(query), kind="stable")[:_CONSIDERED]
        remaining_bytes, parts = self._room, [prompt]
        for row in ranked.tolist():
            if self._sizes[row] <= remaining_bytes:
                remaining_bytes -= self._sizes[row]
                parts.append(self._texts[row])
        return "\n\n".join(reversed(parts))

    def with_examples(self, items: Sequence[Example]) -> list[Example]:
        return [replace(item, prompt=self.prepend_examples(item.prompt)) for item in items]


def _example_prefix(kind: str, prompt: str) -> str:
    path, _, body = prompt.partition("\n")
    if kind not in ("function", "method"):
        return "\n".join([path, *body.split("\n")[-_LINES_BEFORE:]])
    _, empty_line, header = prompt.partition("\n\n")  # ends the imports
    return f"{path}\n{header}" if empty_line else prompt
