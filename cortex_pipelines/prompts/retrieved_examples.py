"""Similar training examples before a prompt: context without training."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.retrieval.bm25f import (
    Bm25fWeights,
    FieldTermCounts,
    Vocabulary,
    build_postings,
    term_statistics,
)
from cortex_pipelines.retrieval.terms import query_terms

_IMPORT = re.compile(r"^\s*(?:from|import|use|package|#include|(?:const|let|var)\b.*\brequire)\b")
_BM25 = Bm25fWeights(fields=(1.0,), lengths=(0.5,), saturation=1.2)
_CONSIDERED = 50
"""The most similar examples, of which those that fit are shown."""
_LINES_BEFORE = 4
"""Lines shown before a statement, whose prompt is all of its file that comes before it."""


class SimilarExamples:
    """The completions of a project's train split, by how similar they are to a prompt.

    Similarity is BM25 of the words of code (``retrieval.terms``), imports left out. As many as fit
    are shown, without their imports, and none of the variants made by augmentation, which would
    show one function several times. How this was chosen: docs/evaluation.md.

    Args:
        completion_dataset: Folder of the completion data set.
        room: Most bytes of what is shown (``evaluation.retrieved_bytes``).
    """

    def __init__(self, completion_dataset: Path, room: int) -> None:
        columns = ("example_id", "kind", "prompt", "completion")
        train = pl.scan_parquet(completion_dataset / "train.parquet").filter(
            task="completion", origin="original"
        )
        rows = train.select(columns).sort("example_id").collect()
        self._room = room
        self._texts = [
            _shown(kind, prompt) + completion for _, kind, prompt, completion in rows.iter_rows()
        ]
        self._sizes = [len(text.encode()) for text in self._texts]
        vocabulary, counts = Vocabulary(), FieldTermCounts()
        for row, text in enumerate(self._texts):
            counts.add(row, text, vocabulary)
        self._numbers = vocabulary.numbers
        fields = [counts.matrix(len(self._texts), len(vocabulary))]
        self._postings = build_postings(fields, term_statistics(fields), _BM25)

    def before(self, prompt: str) -> str:
        """The prompt with similar examples before it, the most similar one the nearest."""
        counted = Counter(
            term for term in query_terms(without_imports(prompt)) if term in self._numbers
        )
        query = {self._numbers[term]: 1 + log(count) for term, count in counted.items()}
        ranked = np.argsort(-self._postings.scores(query), kind="stable")[:_CONSIDERED]
        left, shown = self._room, [prompt]
        for place in ranked.tolist():
            if self._sizes[place] <= left:
                left -= self._sizes[place]
                shown.append(self._texts[place])
        return "\n\n".join(reversed(shown))

    def asked(self, items: Sequence[Example]) -> list[Example]:
        """Items with the examples before their prompts."""
        return [replace(item, prompt=self.before(item.prompt)) for item in items]


def without_imports(text: str) -> str:
    """The lines of a text but those that import something."""
    return "\n".join(line for line in text.split("\n") if not _IMPORT.match(line))


def _shown(kind: str, prompt: str) -> str:
    """A prompt's path and what stands right before the completion."""
    path, _, rest = prompt.partition("\n")
    if kind not in ("function", "method"):
        return "\n".join([path, *rest.split("\n")[-_LINES_BEFORE:]])
    _, empty_line, header = prompt.partition("\n\n")  # which the imports end with
    return f"{path}\n{header}" if empty_line else prompt
