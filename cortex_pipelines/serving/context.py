"""Similar code of the project before a prompt, as the evaluation measures it."""

from collections.abc import Sequence
from pathlib import Path

from cortex_pipelines.adapters.data.examples import read_examples
from cortex_pipelines.datasets.dedup.shingles import all_shingles, jaccard, shingles
from cortex_pipelines.evaluation.adapter.measures.baselines import without_imports


class SimilarExamples:
    """The training examples of a project, by how similar they are to a prompt.

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
        """The prompt with the most similar examples before it, the most similar one the nearest."""
        return "\n\n".join([*reversed(self._shown(prompt)), prompt])

    def _shown(self, prompt: str) -> Sequence[str]:
        mine = shingles(without_imports(prompt), self._size)
        ranked = sorted(
            range(len(self._ids)),
            key=lambda at: (-jaccard(mine, self._shingles[at]), self._ids[at]),
        )
        return [self._texts[at] for at in ranked[: self._count]]
