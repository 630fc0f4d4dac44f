"""Sentence embeddings that do not depend on the composition of the batch."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortex_pipelines.embeddings.bert import BertForward
from cortex_pipelines.embeddings.threads import cores, idle_cores, side_by_side, torch_threads
from cortex_pipelines.progress import quiet_transformers, track
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.tokenization.text_encoder import TextEncoder

Floats = npt.NDArray[np.float32]

_CHARACTERS_A_TOKEN = 64  # characters per token to which text is truncated before tokenisation, which bounds its cost

PARTS = 4  # pooled parts of an embedding; the first is the embedding proper

_FEWEST_ROWS, _MOST_ROWS = 64, 1024
"""Tokens from which sharing texts among processors pays, and that go through a layer at once: more
do not stay in a processor's cache."""

_MOST_THREADS = 2
"""Threads that share the products of a few texts: on two a text takes a quarter less time; more were not measured."""

TILES = ("_is_amx_tile_supported",)
HALF = (*TILES, "_is_avx512_bf16_supported")
"""Names of torch's for instructions that multiply in half precision: tiles alone, and all."""


class EncoderError(RuntimeError):
    """The encoder's files are missing or unreadable."""


def machine_precision(precision: str, instructions: Sequence[str] = TILES) -> str:
    """``fp32`` or ``bf16``: the meaning of ``auto`` on this machine.

    Half precision is twice as fast where the processor has tiles for it (AMX), with units of code
    half as fast again where it has other instructions for it (AVX-512), and up to a hundred times
    slower where it has to be imitated; the embeddings agree to a cosine of 0.9999.
    """
    import torch

    if precision != "auto":
        return precision
    native = any(getattr(torch.cpu, name, lambda: False)() for name in instructions)
    return "bf16" if native else "fp32"


class SentenceEncoder:
    """A frozen sentence encoder that pools the hidden states of three of its layers.

    A row holds, each at length 1: the mean of the last layer over the tokens (what the model card of all-MiniLM-L6-v2
    asks for), of the layers at two thirds and at one third, and the maximum of the last one at half the weight. The
    earlier layers know words that the last one has forgotten: logistic regression on all of them was right on 0.926 of
    Banking77's training tasks in five folds, on the last one alone on 0.922.

    Raises:
        EncoderError: the folder holds no model that can be loaded.
    """

    def __init__(self, folder: Path, max_tokens: int, batch: int, threads: int, precision: str = "fp32") -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from tokenizers import Tokenizer

        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._states, self._width, longest = _forward_pass(folder, config, machine_precision(precision))
        # tokenizers raises bare Exception for a file that it cannot read
        except Exception as error:
            raise EncoderError(
                f"sentence encoder in {folder} cannot be loaded ({error}); `cortex doctor` says "
                "what is missing, models.encoder in params.yaml where it comes from"
            ) from error
        self._max_tokens = min(max_tokens, longest)
        self._encoder = TextEncoder(tokenizer, max_tokens=self._max_tokens)
        self._batch = batch
        self._threads = threads

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embeddings, shape (texts, 4 x width), in text order; independent of the batch."""
        tokens = self._tokens(texts)

        def embed(part: list[list[int]]) -> list[Floats]:
            (batch,) = part
            # Matrix products pick another order of additions for another number of rows; with the number fixed, a
            # text's embedding does not depend on its company, down to the last bit.
            padded = [tokens[index] for index in batch] + [tokens[batch[0]]] * (self._batch - len(batch))
            return [self._pooled([padded])[0][: len(batch)]]

        return self._rows([[batch] for batch in _batches(tokens, self._batch)], len(texts), embed, self._threads)

    def serve(self, texts: Sequence[str], quick: bool = False) -> Floats:
        """As ``encode``, but faster, with last digits that depend on the batch; ``quick``: with others once more."""
        tokens = self._tokens(texts)
        parts = _parts(tokens, cores() // self._threads)
        alone = max(self._threads, min(1 + idle_cores(), _MOST_THREADS, cores()))

        def embed(part: list[list[int]]) -> list[Floats]:
            return self._pooled([[tokens[index] for index in batch] for batch in part], quick)

        return self._rows(parts, len(texts), embed, alone if len(parts) == 1 else self._threads)

    def _rows(
        self, parts: list[list[list[int]]], count: int, embed: Callable[[list[list[int]]], list[Floats]], threads: int
    ) -> Floats:
        rows = np.zeros((count, PARTS * self._width), dtype=np.float32)
        parts = parts[::-1]  # the longest first: nobody waits for one that is begun last

        def keep(part: list[list[int]], vectors: list[Floats]) -> None:
            for batch, block in zip(part, vectors, strict=True):
                rows[batch] = block

        with torch_threads(threads):
            if len(parts) == 1 or cores() == 1:
                for part in parts:
                    keep(part, embed(part))
                return rows
            with side_by_side(embed, parts, threads) as futures:
                for part, vectors in track(list(zip(parts, futures, strict=True)), "Embedding tasks"):
                    keep(part, vectors.result())
        return rows

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        truncated = [text[: self._max_tokens * _CHARACTERS_A_TOKEN] for text in texts]
        return self._encoder.ids(truncated, add_special_tokens=True)

    def _pooled(self, blocks: list[list[list[int]]], quick: bool = False) -> list[Floats]:
        import torch

        pooled: list[Floats] = []
        with torch.inference_mode():
            for layers in self._states([torch.tensor(block) for block in blocks], quick):
                last = layers[-1].float()
                earlier = [layers[max(0, round(len(layers) * share) - 1)].float() for share in (2 / 3, 1 / 3)]
                pools = [last.mean(dim=1), *(layer.mean(dim=1) for layer in earlier), last.amax(dim=1)]
                scaled = torch.nn.functional.normalize(torch.stack(pools, dim=1), dim=2)
                scaled[:, -1] /= 2
                pooled.append(scaled.flatten(1).numpy())
        return pooled


def sentence_part(embeddings: Floats) -> Floats:
    """The sentence embedding of each row: normalised mean of the last layer."""
    return embeddings[:, : embeddings.shape[1] // PARTS]


def _batches(tokens: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, ids in enumerate(tokens):
        by_length[len(ids)].append(index)
    return [
        indices[start : start + size]
        for _, indices in sorted(by_length.items())
        for start in range(0, len(indices), size)
    ]


def _parts(tokens: Sequence[Sequence[int]], workers: int) -> list[list[list[int]]]:
    """Indices of texts in batches of equal length, and these in parts of about equal cost."""
    total = sum(map(len, tokens))
    most = min(max(-(-total // max(workers, 1)), _FEWEST_ROWS), _MOST_ROWS)
    parts: list[list[list[int]]] = []
    room = 0
    for batch in _batches(tokens, len(tokens)):
        length = max(len(tokens[batch[0]]), 1)
        remaining = batch
        while remaining:
            if room < length:
                parts.append([])
                room = max(most, length)
            count = room // length
            parts[-1].append(remaining[:count])
            room -= length * len(remaining[:count])
            remaining = remaining[count:]
    return parts


def is_bert(config: dict[str, Any]) -> bool:
    """Whether this package's own forward passes compute the model: a BERT with the usual activation."""
    return config.get("model_type") == "bert" and config.get("hidden_act", "gelu") == "gelu"


def _forward_pass(
    folder: Path, config: dict[str, Any], precision: str
) -> tuple[Callable[[Sequence[Any], bool], list[list[Any]]], int, int]:
    """Function as ``BertForward.states``, the width of its states, and the longest input."""
    if is_bert(config):
        model = BertForward(folder, config, precision)
        return model.states, model.width, model.longest
    import torch
    from transformers import AutoModel

    # A local folder with pinned files; pickled weights would run whatever they hold.
    with quiet_transformers():
        general: Any = AutoModel.from_pretrained(  # nosec B615
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        ).eval()

    def states(blocks: Sequence[Any], quick: bool = False) -> list[list[Any]]:
        outputs = (
            general(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True) for ids in blocks
        )
        return [list(output.hidden_states[1:]) for output in outputs]

    return states, int(general.config.hidden_size), int(general.config.max_position_embeddings)


def cached_embeddings(
    texts: Sequence[str], load: Callable[[], SentenceEncoder], cache: RowCache, *identity: Any
) -> Floats:
    """Embeddings through the cache; loads the encoder only if one is missing.

    The identity is what else decides an embedding: the encoder's pin and its settings.
    """
    keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
    cached = {key: cache.get("embedding", *identity, key) for key in keys}
    missing = {key: text for key, text in zip(keys, texts, strict=True) if cached[key] is None}
    if missing:
        vectors = load().encode(list(missing.values()))
        for key, vector in zip(missing, vectors, strict=True):
            cached[key] = vector.astype("<f4").tobytes()
            cache.put(cached[key] or b"", "embedding", *identity, key)
    rows = [np.frombuffer(cached[key] or b"", dtype="<f4") for key in keys]
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), dtype=np.float32)
