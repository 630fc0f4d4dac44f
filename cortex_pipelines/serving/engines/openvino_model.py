"""One pass of a converted base over parts of many texts, and the blocks in which their KV cache lies."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cortex_pipelines.models.machine import this_machine
from cortex_pipelines.serving.engines.openvino_files import Width, read_paged
from cortex_pipelines.serving.engines.openvino_runtime import compiled, load_openvino
from cortex_pipelines.serving.engines.queued import common_prefix

Logits = npt.NDArray[np.float32]

_CACHE_TYPES = {"fp32": "f32", "fp16": "f16", "q8": "f16"}
_SMALL_CACHE = {"KV_CACHE_PRECISION": "u8", "KEY_CACHE_QUANT_MODE": "BY_TOKEN"}
"""The only type that passes in 32 bits and in bfloat16 share. By channel, a key would depend on those around it."""

_NARROWEST = 256
"""Inputs of the linear layers of a model that is read by tiles. OpenVINO 2026.4 divides by zero where layers with 64
or 128 have few outputs, with one thread."""

_STEP = 4
"""Of the rows of a pass that writes. Another number than in the pass before costs half as much as the pass itself."""


@dataclass
class Text:
    """A text that is read and written: tokens whose keys and values are in the cache, and the blocks with them."""

    ids: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    place: int = 0
    """Of its last full block among the known ones, 0 before the first; -1 once it has one that is not known."""
    due: float = 0.0
    """Time at which its answer is due."""


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
                if (entry := self._following.get(text.place, {}).get(part)) is None:
                    break
                text.place, block = entry
                self._use(block)
                text.blocks.append(block)
                text.ids += part
            remainder = ids[len(text.ids) : len(text.ids) + self._size]
            following = self._following.get(text.place, {})
            most, source = max(
                ((common_prefix(part, remainder), block) for part, (_, block) in following.items()), default=(0, 0)
            )
            if most:
                self._use(source)
                text.blocks.append(self._new())
                self._copy(source, text.blocks[-1])
                self._let_go(source)
                text.ids += remainder[:most]
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

    def seal(self, text: Text) -> None:
        """Let others use all that was run so far, and nothing that follows."""
        with self._lock:
            if len(text.ids) % self._size:
                self._know(text, len(text.ids) // self._size)
            text.place = -1

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
            parent, part = self._keys.pop(oldest)
            del self._following[parent][part]
            if not self._following[parent]:
                del self._following[parent]
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


@dataclass(frozen=True, eq=False)
class Part:
    """The next tokens of a text; logits are asked for after the last ``count``."""

    text: Text
    ids: Sequence[int]
    count: int

    @property
    def is_short(self) -> bool:
        """Whether tokens are run as texts of one token each: to give logits after each, or as they are few."""
        return len(self.ids) <= max(self.count, _STEP)


class _Row(NamedTuple):
    """Tokens that are run as one text: of a text, so many after those that it has."""

    text: Text
    start: int
    ids: Sequence[int]


class PagedModel:
    """A compiled base, or one with an adapter, and its KV cache for a number of tokens.

    With weights of 8 bits, prompts are read in bfloat16 where the processor has tiles for it: 1.6 times as fast as with
    inputs rounded to 8 bits, and as near to 32 bits. One token takes longer so; it needs a second copy of the weights.
    """

    def __init__(self, path: Path, width: Width, threads: int, tokens: int) -> None:
        openvino = load_openvino()

        graph = read_paged(path)
        self.is_tiled = width == "q8" and _has_tiles() and _narrowest(graph) >= _NARROWEST
        """Whether a token that is read differs in its last bits from one that is written."""
        cache_options = _SMALL_CACHE if self.is_tiled else {"KV_CACHE_PRECISION": _CACHE_TYPES[width]}
        self._inputs = {port.get_any_name() for port in graph.inputs}
        self._writing = self._reading = compiled(graph, threads, "f32", **cache_options)
        if self.is_tiled:
            self._reading = compiled(graph, threads, "bf16", **cache_options)
        compiled_inputs = self._writing.get_compiled_model().inputs
        caches = [each for each in compiled_inputs if each.get_any_name().startswith(("key_cache", "value_cache"))]
        block = caches[0].get_partial_shape()[2].get_length()
        self.blocks = BlockCache(-(-tokens // block) + 1, block, self._copy)
        self._least = threads
        self._spare = self.blocks.begin(())
        self.blocks.reserve(self._spare, 1)
        self._cache: list[npt.NDArray[Any]] = []
        for port in caches:  # the system gives memory when it is written to
            shape = [self.blocks.count, *(each.get_length() for each in list(port.get_partial_shape())[1:])]
            tensor = openvino.Tensor(port.get_element_type(), openvino.Shape(shape))
            for request in (self._writing, self._reading):
                request.set_tensor(port.get_any_name(), tensor)
            self._cache.append(tensor.data)

    def run(self, parts: Sequence[Part]) -> list[Logits]:
        """Run the next tokens of some texts; logits after the last ones of each, shape (count, vocabulary).

        Logits after all of a text's tokens are meant to be, to the last bit, those of a pass for each token: OpenVINO
        has other kernels, with other roundings, for one row, several tokens of a text, and fewer texts than threads.
        """
        if not self.is_tiled:
            return self._infer(self._writing, parts)
        logits: dict[int, Logits] = {}
        for request, short in ((self._writing, True), (self._reading, False)):
            indices = [index for index, part in enumerate(parts) if part.is_short is short]
            if indices:
                logits |= zip(indices, self._infer(request, [parts[index] for index in indices]), strict=True)
        return [logits[index] for index in range(len(parts))]

    def _infer(self, request: Any, parts: Sequence[Part]) -> list[Logits]:
        openvino = load_openvino()

        rows: list[_Row] = []
        sampled: list[int] = []
        tokens = 0
        for part in parts:
            ids = part.ids
            self.blocks.reserve(part.text, len(ids))
            length = 1 if part.is_short else len(ids)
            rows += [_Row(part.text, start, ids[start : start + length]) for start in range(0, len(ids), length)]
            tokens += len(ids)
            sampled += range(tokens - part.count, tokens)
        if tokens == len(rows):
            rows += [_Row(self._spare, 0, [0])] * (max(self._least, -(-tokens // _STEP) * _STEP) - tokens)
        lengths = [len(row.text.ids) + row.start for row in rows]
        ends = [each + len(row.ids) for each, row in zip(lengths, rows, strict=True)]
        values: dict[str, npt.NDArray[Any]] = {
            "input_ids": np.array([each for row in rows for each in row.ids], np.int64),
            "position_ids": np.concatenate([np.arange(*each) for each in zip(lengths, ends, strict=True)]),
            "past_lens": np.array(lengths, np.int32),
            "subsequence_begins": np.cumsum([0, *(len(row.ids) for row in rows)], dtype=np.int32),
            "block_indices": np.array([each for row in rows for each in row.text.blocks], np.int32),
            "block_indices_begins": np.cumsum([0, *(len(row.text.blocks) for row in rows)], dtype=np.int32),
            "max_context_len": np.array(max(ends), np.int32),
            "sampled": np.array(sampled, np.int32),
        }
        for name, value in values.items():
            if name in self._inputs:  # a base without rotary embeddings may have no use for positions
                request.set_tensor(name, openvino.Tensor(value))
        request.infer()
        logits = np.array(request.get_tensor("logits").data, np.float32)
        return np.split(logits.reshape(len(sampled), -1), np.cumsum([part.count for part in parts])[:-1])

    def _copy(self, block: int, other: int) -> None:
        for blocks in self._cache:
            blocks[other] = blocks[block]


@cache
def _has_tiles() -> bool:
    return this_machine().amx


def _narrowest(graph: Any) -> int:
    """Fewest inputs of a linear layer."""
    shapes = [node.input(1).get_partial_shape() for node in graph.get_ops() if node.get_type_name() == "MatMul"]
    return int(min(shape[1].get_length() for shape in shapes if shape.is_static and len(shape) == 2))
