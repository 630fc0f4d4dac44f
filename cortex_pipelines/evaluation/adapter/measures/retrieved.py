"""Similar training examples before a prompt: context without training."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cortex_pipelines.adapters.data.examples import Example, read_examples
from cortex_pipelines.datasets.dedup.shingles import KnownShingles, all_shingles, shingles

_IMPORT = re.compile(r"^\s*(?:from|import|use|package|#include|(?:const|let|var)\b.*\brequire)\b")


class SimilarExamples:
    """The training examples of a project, by how similar they are to a prompt.

    Similarity is Jaccard's index of the token shingles of the prompts without imports, which half
    of a project shares; ties are broken by identity.

    Args:
        completion_dataset: Folder of the completion data set.
        shingle_tokens: Tokens in a shingle (``datasets.shingle_tokens``).
        count: Examples that are shown (``evaluation.retrieved``).
    """

    def __init__(self, completion_dataset: Path, shingle_tokens: int, count: int) -> None:
        train = read_examples(completion_dataset, "completion", "train")
        self._ids = [example.example_id for example in train]
        self._texts = [example.prompt + example.completion for example in train]
        self._size, self._count = shingle_tokens, count
        self._shingles = all_shingles(
            [without_imports(example.prompt) for example in train], self._size
        )

    def before(self, prompt: str) -> str:
        """The prompt with the most similar examples before it, the most similar one the nearest.

        Examples are shown in full, as in training. One pass over all of them takes some 10 ms for
        a million shingles.
        """
        return "\n\n".join([*reversed(self._shown(prompt)), prompt])

    def asked(self, items: Sequence[Example]) -> list[Example]:
        """Items with the examples before their prompts."""
        return [replace(item, prompt=self.before(item.prompt)) for item in items]

    def _shown(self, prompt: str) -> Sequence[str]:
        mine = shingles(without_imports(prompt), self._size)
        places = KnownShingles(mine).places(self._shingles.hashes)
        counted = np.concatenate([[0], np.cumsum(places >= 0)])[self._shingles.borders]
        common = np.diff(counted)
        similar = common / np.maximum(len(mine) + self._shingles.sizes - common, 1)
        ranked = sorted(zip(-similar, self._ids, self._texts, strict=True))
        return [text for _, _, text in ranked[: self._count]]


def without_imports(text: str) -> str:
    """The lines of a text but those that import something."""
    return "\n".join(line for line in text.split("\n") if not _IMPORT.match(line))
