"""An engine's own files of base and adapters, and the comparison of its answers with torch's.

The files are content-addressed, and lie beside torch's log-probabilities after a few prompts.
"""

import gc
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.adapters.model.lora import CONFIGURATION, WEIGHTS
from cortex_pipelines.atomic import publish, scratch_folder
from cortex_pipelines.freed_memory import give_back
from cortex_pipelines.release.loading import Lora, ResidentBase
from cortex_pipelines.serving.engines.engine import RefusedAdapterError
from cortex_pipelines.serving.engines.queued import PROMPTS, Probe

Chances = npt.NDArray[np.float32]

_EXPECTED = "wanted.npy"

_BOUND_16 = 0.05
"""Largest difference (nats) between log-probabilities of likely tokens, by weights of 16 bits, and torch's."""

_BOUNDS = {"q8": 0.005, "q4": 0.15}
"""Most bits that weights of 8 and of 4 bits add to a text, as a share of its bits."""

_LIKELIEST = 32
"""Tokens compared after each prompt."""

_SHARE = 0.25
"""Largest difference relative to the adapter's effect; half or twice its scale exceeds it. Bits grow by its square."""

_NO_CHANGE = 1e-6


@dataclass(frozen=True)
class ReferenceFile:
    """A file, and torch's log-probabilities after each probe prompt, shape (prompts, vocabulary)."""

    path: Path
    expected_logprobs: Chances


class ReferenceFiles:
    """Files made of a base and of adapters, each once, in ``cache``; ``versions`` are of what makes them."""

    def __init__(self, base: BaseModel, cache: Path, *versions: str) -> None:
        self._base_model = base
        self._folder = cache / _key(*versions, base.digest, *PROMPTS)

    def _cached_file(self, key: str, name: str, write: Callable[[Path], None]) -> ReferenceFile:
        """A file in the cached folder of this key, which is written once, under a lock, with what torch answers."""
        folder = self._folder / key
        if not folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / f"{key}.lock"):
                if not folder.is_dir():
                    with scratch_folder(self._folder, f".{key}.") as scratch:
                        output = scratch / "made"
                        output.mkdir()
                        write(output)
                        gc.collect()  # torch's and the converter's graphs refer to themselves
                        give_back()
                        publish(output, folder)
        return ReferenceFile(folder / name, np.load(folder / _EXPECTED))

    def _write_expected(self, out: Path, lora: Lora | None = None) -> ResidentBase:
        """Write what torch answers, with an adapter or without; the base that answered."""
        import torch

        resident = ResidentBase(self._base_model, device="cpu")
        logits = Probe(resident).expected_logits(lora)
        chances = torch.stack([each[-1] for each in logits]).log_softmax(-1)
        np.save(out / _EXPECTED, chances.numpy().astype(np.float32))
        return resident


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def adapter_key(folder: Path) -> str:
    return _key(*(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (CONFIGURATION, WEIGHTS)))


Answers = Sequence[dict[int, float]]
"""Log-probabilities of an engine's likeliest tokens after each probe prompt."""


class Comparison:
    """Compares an engine's answers with torch's.

    Args:
        precision: Of the engine's weights.
        exact_bound: Largest difference in nats where they are of 32 bits.
        expected: Of the base, by torch in 32 bits.
    """

    likeliest = _LIKELIEST

    def __init__(self, precision: str, exact_bound: float, expected: Chances) -> None:
        self._expected = expected
        self._in_bits = precision in _BOUNDS
        if self._in_bits:
            self._apart, self.unit, self.bound, self._share = _added_bits, "of the bits", _BOUNDS[precision], _SHARE**2
        else:
            self.bound = exact_bound if precision == "fp32" else _BOUND_16
            self._apart, self.unit, self._share = _largest_difference, "nats", _SHARE
        self.rounding = 0.0
        """What rounding may add; an adapter that changes less cannot be told from it."""

    def of_base(self, answers: Answers) -> float:
        """How far the base's answers are from torch's; up to ``bound`` it is served."""
        difference = self._apart(answers, self._expected)
        self.rounding = 2 * difference if self._in_bits else 0.0
        return difference

    def require_adapter(self, answers: Answers, expected: Chances, base_answers: Callable[[], Answers]) -> None:
        """Compare answers of an adapter, and the base's after it was loaded; RefusedAdapterError names the fault."""
        likeliest_ids = np.argsort(expected)[:, -_LIKELIEST:]
        likeliest = [
            {int(token): float(row[token]) for token in tokens}
            for row, tokens in zip(expected, likeliest_ids, strict=True)
        ]
        effect = self._apart(likeliest, self._expected)
        if effect <= _NO_CHANGE:
            raise RefusedAdapterError("the adapter changes nothing: its matrices are zero")
        allowed = min(self.bound, max(self._share * effect, self.rounding))
        if (difference := self._apart(answers, expected)) > allowed:
            has_no_effect = self._apart(answers, self._expected) <= allowed
            raise RefusedAdapterError(
                "the adapter has no effect in this engine"
                if has_no_effect
                else f"the adapter answers {difference:.2g} {self.unit} apart from what torch gives (at "
                f"most {allowed:.2g} are allowed)"
            )
        if self._apart(base_answers(), self._expected) > self.bound:
            raise RefusedAdapterError("the base answers differently since the adapter was loaded")


def _largest_difference(answers: Answers, expected: Chances) -> float:
    if len(answers) != len(expected):
        return float("inf")
    return max(
        abs(chance - float(row[token]))
        for answer, row in zip(answers, expected, strict=True)
        for token, chance in answer.items()
    )


def _added_bits(answers: Answers, expected: Chances) -> float:
    """Bits that the answers' chances add to texts of the expected ones (Kullback-Leibler), as a share of their bits."""
    if len(answers) != len(expected):
        return float("inf")
    added = 0.0
    for answer, row in zip(answers, expected, strict=True):
        chances, logprobs = np.exp(row[list(answer)], dtype=np.float64), np.array(list(answer.values()))
        added += float(chances @ (row[list(answer)] - logprobs))
        true_rest, written_rest = 1 - chances.sum(), 1 - np.exp(logprobs).sum()  # of tokens the answer does not name
        added += float(true_rest * np.log(true_rest / written_rest)) if min(true_rest, written_rest) > 0 else 0.0
    return added / -float((np.exp(expected) * expected).sum())
