"""The sentence encoder as a served model: texts to vectors."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.embeddings.encoder import Floats, SentenceEncoder, sentence_part
from cortex_pipelines.tokenization.text_encoder import TextEncoder

MAX_TOKENS = 256
"""Longest text, or less if the model reads less (model card of all-MiniLM-L6-v2)."""

_BATCH = 8
_CHARACTERS_A_TOKEN = 64


@dataclass(frozen=True)
class EmbeddingResult:
    """Vectors of texts.

    Args:
        vectors: Shape (texts, width), float32, each of length 1.
        tokens: Tokens read, over all texts.
        cut: Number of texts that were truncated.
    """

    vectors: Floats
    tokens: int
    cut: int


class CodeEncoder:
    """The encoder, loaded by the first request.

    Args:
        version: Digest of its pinned files.
        locate: Returns its folder, verified against the pin.
        threads: Processor threads.
    """

    def __init__(self, version: str, locate: Callable[[], Path], threads: int) -> None:
        self.version = version
        self._locate = locate
        self._threads = threads
        self._loaded: tuple[SentenceEncoder, TextEncoder, int] | None = None
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> EmbeddingResult:
        """Embed texts; a vector is bit-identical whatever texts are embedded with it.

        Raises:
            WeightsError: the encoder is not on this machine, or is not what was pinned.
        """
        with self._lock:  # it already uses all threads
            encoder, reader, max_tokens = self._open()
            truncated = [text[: (max_tokens + 1) * _CHARACTERS_A_TOKEN] for text in texts]
            lengths = [len(ids) for ids in reader.ids(truncated, add_special_tokens=True)]
            vectors = sentence_part(encoder.encode(texts))
        read_tokens = sum(min(length, max_tokens) for length in lengths)
        return EmbeddingResult(vectors, read_tokens, sum(length > max_tokens for length in lengths))

    def _open(self) -> tuple[SentenceEncoder, TextEncoder, int]:
        if self._loaded is None:
            from tokenizers import Tokenizer

            folder = self._locate()
            reader = TextEncoder(Tokenizer.from_file(str(folder / "tokenizer.json")))
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            max_tokens = min(MAX_TOKENS, int(config.get("max_position_embeddings", MAX_TOKENS)))
            encoder = SentenceEncoder(folder, MAX_TOKENS, _BATCH, self._threads, "auto")
            self._loaded = encoder, reader, max_tokens
        return self._loaded
