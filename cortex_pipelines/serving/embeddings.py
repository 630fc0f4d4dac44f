"""The sentence encoder as a model that is served: texts to vectors, with its version."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.embeddings.encoder import Floats, SentenceEncoder, sentence_part
from cortex_pipelines.tokenization.text_encoder import TextEncoder

MAX_TOKENS = 256
"""Most of a text, or fewer where the model reads fewer (model card of all-MiniLM-L6-v2)."""

_BATCH = 8
_CHARACTERS_A_TOKEN = 64


@dataclass(frozen=True)
class Embedded:
    """Vectors of texts.

    Args:
        vectors: Shape (texts, width), float32, each of length 1.
        tokens: How many tokens were read, of all texts.
        cut: How many texts were too long for the model and lost their end.
    """

    vectors: Floats
    tokens: int
    cut: int


class CodeEncoder:
    """The encoder, in memory from the first request on.

    Args:
        version: Digest of its pinned files.
        locate: Gives its folder, verified against the pin.
        threads: Processor threads.
    """

    def __init__(self, version: str, locate: Callable[[], Path], threads: int) -> None:
        self.version = version
        self._locate = locate
        self._threads = threads
        self._opened: tuple[SentenceEncoder, TextEncoder, int] | None = None
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> Embedded:
        """Embed; a text's vector does not depend on its company, down to the last bit.

        Raises:
            WeightsError: the encoder is not on this machine, or is not what was pinned.
        """
        with self._lock:  # its threads are the machine's already
            encoder, reader, most = self._open()
            known = [text[: (most + 1) * _CHARACTERS_A_TOKEN] for text in texts]
            lengths = [len(ids) for ids in reader.ids(known, add_special_tokens=True)]
            vectors = sentence_part(encoder.encode(texts))
        read = sum(min(length, most) for length in lengths)
        return Embedded(vectors, read, sum(length > most for length in lengths))

    def _open(self) -> tuple[SentenceEncoder, TextEncoder, int]:
        if self._opened is None:
            from tokenizers import Tokenizer

            folder = self._locate()
            reader = TextEncoder(Tokenizer.from_file(str(folder / "tokenizer.json")))
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            most = min(MAX_TOKENS, int(config.get("max_position_embeddings", MAX_TOKENS)))
            made = SentenceEncoder(folder, MAX_TOKENS, _BATCH, self._threads, "auto")
            self._opened = made, reader, most
        return self._opened
