"""Sentence embeddings of tasks, the same bytes whichever tasks are embedded together."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortex_pipelines.progress import track
from cortex_pipelines.rowcache import RowCache

Floats = npt.NDArray[np.float32]

_CHARACTERS_A_TOKEN = 64
"""Text beyond this many characters for each token is cut before it is cut to tokens: no tokenizer
merges so much, and a task of megabytes must not cost minutes."""


class EncoderError(RuntimeError):
    """The encoder's files are not there or cannot be read."""


@contextmanager
def pinned_threads(threads: int) -> Iterator[None]:
    """Run torch on this many processor threads, then on as many as before.

    How many there are decides in which order numbers are added up, and so the last digits.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class SentenceEncoder:
    """A frozen sentence encoder: mean of the last layer over the tokens, at length 1.

    That is what the model card of all-MiniLM-L6-v2 asks for; other encoders that pool by mean
    work too.

    Args:
        folder: Model and tokenizer as transformers saves them.
        max_tokens: Most tokens of a text that are read.
        batch: Texts at once.
        threads: Processor threads.

    Raises:
        EncoderError: the folder holds no model that transformers can load.
    """

    def __init__(self, folder: Path, max_tokens: int, batch: int, threads: int) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            # A local folder with pinned files; pickled weights would run whatever they hold.
            self._tokenizer: Any = AutoTokenizer.from_pretrained(  # nosec B615
                folder, local_files_only=True
            )
            self._model: Any = AutoModel.from_pretrained(  # nosec B615
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            ).eval()
        except (OSError, ValueError, SafetensorError) as error:
            raise EncoderError(
                f"sentence encoder in {folder} cannot be loaded ({error}); `cortex doctor` says "
                "what is missing, models.encoder in params.yaml where it comes from"
            ) from error
        self._max_tokens = max_tokens
        self._batch = batch
        self._threads = threads

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embeddings, one a row, in the order of the texts.

        Returns:
            Array of shape (texts, dimensions), float32, rows of length 1.
        """
        tokens = [self._tokens(text) for text in texts]
        found: dict[int, Floats] = {}
        with pinned_threads(self._threads):
            for places in track(self._batches(tokens), "Embedding tasks"):
                vectors = self._forward([tokens[place] for place in places])
                found.update(zip(places, vectors, strict=False))
        width = int(self._model.config.hidden_size)
        rows = [found[place] for place in range(len(texts))]
        return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)

    def _tokens(self, text: str) -> list[int]:
        kept = text[: self._max_tokens * _CHARACTERS_A_TOKEN]
        # Half a surrogate pair, as JSON may hold it, is no text that a tokenizer takes.
        clean = kept.encode("utf-8", "replace").decode("utf-8")
        ids = self._tokenizer(clean, truncation=True, max_length=self._max_tokens)["input_ids"]
        return [int(token) for token in ids]

    def _batches(self, tokens: Sequence[Sequence[int]]) -> list[list[int]]:
        """Places of texts of one length, shortest first: nothing is padded, so nothing changes."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for place, ids in enumerate(tokens):
            by_length[len(ids)].append(place)
        return [
            places[start : start + self._batch]
            for _, places in sorted(by_length.items())
            for start in range(0, len(places), self._batch)
        ]

    def _forward(self, ids: list[list[int]]) -> Floats:
        """Embeddings of texts of one length, in a batch that is always full.

        Matrix products pick another order of additions for another number of rows; with the
        number fixed, a text's embedding does not depend on its company, down to the last bit.
        """
        import torch

        full = ids + [ids[0]] * (self._batch - len(ids))
        with torch.inference_mode():
            batch = torch.tensor(full)
            states = self._model(
                input_ids=batch, attention_mask=torch.ones_like(batch)
            ).last_hidden_state
            pooled = torch.nn.functional.normalize(states.mean(dim=1), dim=1)
        vectors: Floats = pooled.numpy()
        return vectors


def cached_embeddings(
    texts: Sequence[str], load: Callable[[], SentenceEncoder], cache: RowCache, *identity: Any
) -> Floats:
    """Embeddings out of the cache; the encoder is loaded only if one is missing.

    Args:
        texts: Tasks.
        load: Makes the encoder.
        cache: Where embeddings are kept.
        identity: What else decides an embedding: the encoder's pin and its settings.
    """
    keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
    found = {key: cache.get("embedding", *identity, key) for key in keys}
    missing = {key: text for key, text in zip(keys, texts, strict=True) if found[key] is None}
    if missing:
        vectors = load().encode(list(missing.values()))
        for key, vector in zip(missing, vectors, strict=True):
            found[key] = vector.astype("<f4").tobytes()
            cache.put(found[key] or b"", "embedding", *identity, key)
    rows = [np.frombuffer(found[key] or b"", dtype="<f4") for key in keys]
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), dtype=np.float32)
