"""One pass of a converted base over parts of many texts, and the blocks in which their KV cache lies."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cortex_pipelines.serving.engines.openvino_files import Width, load_openvino, openvino_core, read_paged
from cortex_pipelines.serving.engines.queued import common_prefix

Logits = npt.NDArray[np.float32]
_CACHE_TYPES = {"fp32": "f32", "fp16": "f16", "q8": "f16"}

_STEP = 4
"""Of the rows of a pass that writes. Another number than in the pass before costs half as much as the pass itself."""


@dataclass
class Text:
    """A text that is read and written: tokens whose keys and values are in the cache, and the blocks with them."""

    ids: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    place: int = 0
    """Of its last full block among the known ones, 0 before the first; -1 once it has one that is not known."""


class BlockCache:
    """Blocks of the KV cache, kept for texts with the same beginning until their room is needed.

    A text uses full blocks of others as they are, and a copy of one that begins as its next tokens do. ``copy`` gets
    the number of the block and of its copy.
    """

    def __init__(self, count: int, size: int, copy: Callable[[int, int], None]) -> None:
        self.count, self._size, self._copy = count, size, copy
        self._lock = threading.Lock()
        self._users = [0] * count
        self._free = list(range(count))
        self._following: dict[int, dict[tuple[int, ...], tuple[int, int]]] = {}
        """By the place of the block before and a block's tokens, its own place and its number."""
        self._keys: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        """Known blocks that no text uses, the first to go first."""
        self._places = 0

    def begin(self, ids: Sequence[int]) -> Text:
        """A text with the blocks of earlier ones that begin with the same tokens, as far as they do."""
        with self._lock:
            text = Text()
            while len(text.ids) + self._size <= len(ids):
                part = tuple(ids[len(text.ids) : len(text.ids) + self._size])
                if (known := self._following.get(text.place, {}).get(part)) is None:
                    break
                text.place, block = known
                self._use(block)
                text.blocks.append(block)
                text.ids += part
            rest = ids[len(text.ids) : len(text.ids) + self._size]
            following = self._following.get(text.place, {})
            most, source = max(
                ((common_prefix(part, rest), block) for part, (_, block) in following.items()), default=(0, 0)
            )
            if most:
                self._use(source)
                text.blocks.append(self._new())
                self._copy(source, text.blocks[-1])
                self._let_go(source)
                text.ids += rest[:most]
            return text

    def reserve(self, text: Text, tokens: int) -> None:
        """Blocks for so many more tokens; there are enough for as many texts as are answered at once."""
        with self._lock:
            for _ in range(len(text.blocks), -(-(len(text.ids) + tokens) // self._size)):
                text.blocks.append(self._new())

    def extend(self, text: Text, ids: Sequence[int]) -> None:
        """Note tokens that were run; others may use the blocks that are full now."""
        with self._lock:
            full = len(text.ids) // self._size
            text.ids += ids
            for index in range(full, len(text.ids) // self._size):
                self._know(text, index)

    def end(self, text: Text) -> None:
        with self._lock:
            if len(text.ids) % self._size:
                self._know(text, len(text.ids) // self._size)
            for block in reversed(text.blocks):  # a beginning is of use without what follows it, not the reverse
                self._let_go(block)
            text.blocks = []

    def _know(self, text: Text, index: int) -> None:
        """Let others use one of a text's blocks, unless another has the same tokens."""
        part = tuple(text.ids[index * self._size : (index + 1) * self._size])
        if text.place < 0 or part in self._following.get(text.place, {}):
            text.place = -1
            return
        self._places += 1
        self._following.setdefault(text.place, {})[part] = self._places, text.blocks[index]
        self._keys[text.blocks[index]] = text.place, part
        text.place = self._places

    def _new(self) -> int:
        if not self._free:
            oldest, _ = self._idle.popitem(last=False)
            place, part = self._keys.pop(oldest)
            del self._following[place][part]
            if not self._following[place]:
                del self._following[place]
            self._free.append(oldest)
        block = self._free.pop()
        self._users[block] = 1
        return block

    def _use(self, block: int) -> None:
        self._users[block] += 1
        self._idle.pop(block, None)

    def _let_go(self, block: int) -> None:
        self._users[block] -= 1
        if not self._users[block]:
            if block in self._keys:
                self._idle[block] = None
            else:
                self._free.append(block)


class _Row(NamedTuple):
    """Tokens that are run as one text: of a text, so many after those that it has."""

    text: Text
    start: int
    ids: Sequence[int]


class PagedModel:
    """A compiled base, or one with an adapter, and its KV cache for a number of tokens."""

    def __init__(self, path: Path, width: Width, threads: int, tokens: int) -> None:
        openvino = load_openvino()

        options = {
            "INFERENCE_PRECISION_HINT": "f32",  # bf16 is a tenth of a nat away
            "KV_CACHE_PRECISION": _CACHE_TYPES[width],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # other processes have the same processors
        }
        model = openvino_core().compile_model(read_paged(path), "CPU", options)
        self._request = model.create_infer_request()
        self._inputs = {place.get_any_name(): place for place in model.inputs}
        caches = [place for name, place in self._inputs.items() if name.startswith(("key_cache", "value_cache"))]
        size = caches[0].get_partial_shape()[2].get_length()
        self.blocks = BlockCache(-(-tokens // size) + 1, size, self._copy)
        self._least = threads
        self._spare = self.blocks.begin(())
        self.blocks.reserve(self._spare, 1)
        self._cache: list[npt.NDArray[Any]] = []
        for place in caches:  # the system gives memory when it is written to
            shape = [self.blocks.count, *(each.get_length() for each in list(place.get_partial_shape())[1:])]
            tensor = openvino.Tensor(place.get_element_type(), openvino.Shape(shape))
            self._request.set_tensor(place, tensor)
            self._cache.append(tensor.data)

    def run(self, parts: Sequence[tuple[Text, Sequence[int], int]]) -> list[Logits]:
        """Run the next tokens of some texts; logits after the last ones of each, shape (count, vocabulary).

        Logits after all of a text's tokens are meant to be, to the last bit, those of a pass for each token: OpenVINO
        has other kernels, with other roundings, for one row, several tokens of a text, and fewer texts than threads.
        """
        openvino = load_openvino()

        rows: list[_Row] = []
        sampled: list[int] = []
        tokens = 0
        for text, new, count in parts:
            self.blocks.reserve(text, len(new))
            length = 1 if count == len(new) else len(new)
            rows += [_Row(text, start, new[start : start + length]) for start in range(0, len(new), length)]
            tokens += len(new)
            sampled += range(tokens - count, tokens)
        if tokens == len(rows):
            rows += [_Row(self._spare, 0, [0])] * (max(self._least, -(-tokens // _STEP) * _STEP) - tokens)
        known = [len(row.text.ids) + row.start for row in rows]
        ends = [each + len(row.ids) for each, row in zip(known, rows, strict=True)]
        values: dict[str, npt.NDArray[Any]] = {
            "input_ids": np.array([each for row in rows for each in row.ids], np.int64),
            "position_ids": np.concatenate([np.arange(*each) for each in zip(known, ends, strict=True)]),
            "past_lens": np.array(known, np.int32),
            "subsequence_begins": np.cumsum([0, *(len(row.ids) for row in rows)], dtype=np.int32),
            "block_indices": np.array([each for row in rows for each in row.text.blocks], np.int32),
            "block_indices_begins": np.cumsum([0, *(len(row.text.blocks) for row in rows)], dtype=np.int32),
            "max_context_len": np.array(max(ends), np.int32),
            "sampled": np.array(sampled, np.int32),
        }
        for name, value in values.items():
            if name in self._inputs:  # a base without rotary embeddings may have no use for positions
                self._request.set_tensor(self._inputs[name], openvino.Tensor(value))
        self._request.infer()
        logits = np.array(self._request.get_tensor("logits").data, np.float32)
        return np.split(logits.reshape(len(sampled), -1), np.cumsum([count for _, _, count in parts])[:-1])

    def _copy(self, block: int, other: int) -> None:
        for cache in self._cache:
            cache[other] = cache[block]
