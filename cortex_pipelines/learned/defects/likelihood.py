"""How likely a base language model finds code, and how much likelier a small edit makes it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cortex_pipelines.adapters.model.base_model import (
    base_digest,
    load_causal_model,
    load_tokenizer,
    resolve_base,
    resolve_precision,
)
from cortex_pipelines.adapters.model.determinism import pinned_torch
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.tokenization.text_encoder import tokens_with_ends

_MOST_TOKENS = 1024
"""Tokens of a text that are read; what follows has no likelihood."""
_AFTER = 24
"""Tokens behind an edit whose likelihood counts, too: a name that is used later, an index."""
_BATCH = 16

ByteEdit = tuple[int, int, str]
"""First byte, byte after the last, replacement."""


@dataclass(frozen=True)
class Reading:
    """Of each token of a text: its number, the byte after it, and its negative log-likelihood in nats."""

    ids: list[int]
    ends: list[int]
    nats: np.ndarray


@dataclass(frozen=True)
class _Trial:
    """An edited text from its first new token on; ``before``: nats of what stands there unedited."""

    number: int
    first: int
    ids: list[int]
    before: float


def first_difference(sequence: Sequence[int], other: Sequence[int]) -> int:
    """Where two sequences differ first; the length of the shorter, where it begins the other."""
    shorter = min(len(sequence), len(other))
    return next((index for index in range(shorter) if sequence[index] != other[index]), shorter)


class CodeModel:
    """The base model of a project, loaded when something is read."""

    def __init__(self, pinned: PinnedModel, root: Path, threads: int) -> None:
        self._pinned, self._root, self._threads = pinned, root, threads
        self.precision = resolve_precision("auto")

    @property
    def key(self) -> list[object]:
        """What its figures depend on besides the code."""
        return [base_digest(self._pinned), self.precision, self._threads]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        base = resolve_base(self._pinned, self._root)
        return load_tokenizer(base), load_causal_model(base, self.precision)

    def read(self, code: bytes, edits: Sequence[ByteEdit], most: int) -> tuple[Reading, list[float | None]]:
        """Read code, and measure what edits gain: nats of what they replace and what follows, before and after.

        Of more than ``most`` edits those are measured whose first new token is likeliest beside the one that stands
        there; None for others.
        """
        import torch

        ids, ends = self._tokens(code)
        if not ids:
            return Reading([], [], np.zeros(0)), [None] * len(edits)
        tokenizer, model = self._loaded
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        with pinned_torch(self._threads, 0), torch.no_grad():
            inputs = torch.tensor([[start, *ids]], device=model.device)
            output = model(input_ids=inputs, use_cache=True)
            log_probs = output.logits[0].float().log_softmax(-1)
            nats = -log_probs[:-1].gather(1, inputs[0, 1:, None])[:, 0].double()
            reading = Reading(ids, ends, nats.cpu().numpy())
            trials = [(self._promise(trial, log_probs, reading), trial) for trial in self._trials(code, reading, edits)]
            trials.sort(key=lambda pair: (-pair[0], pair[1].number))
            likeliest = sorted((trial for _, trial in trials[:most]), key=lambda trial: len(trial.ids))
            gains: list[float | None] = [None] * len(edits)
            memory = [(layer.keys, layer.values) for layer in output.past_key_values.layers]
            if any(keys.shape[2] != inputs.shape[1] for keys, _ in memory):  # layers that forget, as Gemma's
                for trial in likeliest:
                    gains[trial.number] = trial.before - self._nats_whole(trial, inputs[0])
                likeliest = []
            for begin in range(0, len(likeliest), _BATCH):
                batch = likeliest[begin : begin + _BATCH]
                for trial, after in zip(batch, self._nats_after(batch, memory, log_probs), strict=True):
                    gains[trial.number] = trial.before - after
        return reading, gains

    def _tokens(self, code: bytes) -> tuple[list[int], list[int]]:
        # no longer text is read than its tokens could be, each of a dozen bytes
        text = code[: 12 * _MOST_TOKENS].decode("utf-8", "replace")
        ids, ends = tokens_with_ends(self._loaded[0], text)
        sizes = np.concatenate([[0], np.cumsum([len(letter.encode()) for letter in text])])
        return ids[:_MOST_TOKENS], [int(sizes[end]) for end in ends[:_MOST_TOKENS]]

    def _trials(self, code: bytes, reading: Reading, edits: Sequence[ByteEdit]) -> Iterator[_Trial]:
        old = reading.ids
        for number, (start, end, replacement) in enumerate(edits):
            new, _ = self._tokens(code[:start] + replacement.encode() + code[end:])
            shorter, first = min(len(old), len(new)), first_difference(old, new)
            tail = next((n for n in range(shorter - first) if old[-1 - n] != new[-1 - n]), shorter - first)
            if first == shorter:
                continue
            more = min(tail, _AFTER)
            before = float(reading.nats[first : len(old) - tail + more].sum())
            yield _Trial(number, first, new[first : len(new) - tail + more], before)

    @staticmethod
    def _promise(trial: _Trial, log_probs: Any, reading: Reading) -> float:
        return float(log_probs[trial.first, trial.ids[0]]) + float(reading.nats[trial.first])

    def _nats_whole(self, trial: _Trial, inputs: Any) -> float:
        import torch

        edited = torch.cat([inputs[: trial.first + 1], torch.tensor(trial.ids, device=inputs.device)])[None]
        logits = self._loaded[1](input_ids=edited, use_cache=False).logits[0, trial.first : -1]
        log_probs = logits.float().log_softmax(-1)
        return -float(log_probs.gather(1, edited[0, trial.first + 1 :, None]).double().sum())

    def _nats_after(self, batch: Sequence[_Trial], memory: Sequence[tuple[Any, Any]], log_probs: Any) -> list[float]:
        """Nats of edited texts; what stands before an edit was read, the rest of the memory is masked."""
        import torch
        from transformers import DynamicCache

        _, model = self._loaded
        past, longest = memory[0][0].shape[2], max(len(trial.ids) for trial in batch)
        cache = DynamicCache()
        for layer, tensors in enumerate(memory):
            cache.update(*(tensor.expand(len(batch), -1, -1, -1) for tensor in tensors), layer)
        mask = torch.zeros(len(batch), past + longest, dtype=torch.long)
        inputs = torch.zeros(len(batch), longest, dtype=torch.long)
        for row, trial in enumerate(batch):
            mask[row, : trial.first + 1] = 1  # with the start token
            mask[row, past : past + len(trial.ids)] = 1
            inputs[row, : len(trial.ids)] = torch.tensor(trial.ids)
        firsts = torch.tensor([[trial.first + 1] for trial in batch])
        logits = model(
            input_ids=inputs.to(model.device),
            past_key_values=cache,
            attention_mask=mask.to(model.device),
            position_ids=(firsts + torch.arange(longest)).to(model.device),
            use_cache=True,
        ).logits
        nats = []
        for row, trial in enumerate(batch):
            following = torch.tensor(trial.ids[1:], device=model.device)
            later = logits[row, : len(following)].float().log_softmax(-1).gather(1, following[:, None])
            nats.append(-float(log_probs[trial.first, trial.ids[0]]) - float(later.double().sum()))
        return nats
