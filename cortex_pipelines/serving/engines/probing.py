"""Whether an adapter does in the engine what its matrices say, found out before anybody asks it.

Three faults are known from engines: an adapter that loads without any effect, one that counts with
another scale than it was trained with, and one that stays on when the base is asked. Each is told
by the logits after a few fixed prompts: against those of the base, against a second computation
that adds the matrices' product to the base's own layers, and against the base's from before.
"""

import math
from collections.abc import Callable
from typing import Any

from cortex_pipelines.release.exports.probe import relative_difference
from cortex_pipelines.release.loading import A, B, Lora, ResidentBase
from cortex_pipelines.serving.engines.engine import RefusedAdapterError
from cortex_pipelines.tokenization.text_encoder import token_ids

PROMPTS = (
    "def parse_version(text):\n    parts = text",
    "class History:\n    def __init__(self, size):",
    "# Settings of the service\nimport os\n\nPORT =",
)
_BOUND = 1e-3
"""Largest difference of logits, relative to the largest: the same sums in another order."""

_SAME = 1e-6
"""The base has to come back exactly, but for how threads share a sum."""


class Probe:
    """Compares what an engine answers with what it has to.

    Args:
        resident: The base that adapters are put on; it is asked here while none is on.
    """

    def __init__(self, resident: ResidentBase) -> None:
        self._resident = resident
        self._model = resident.model.get_base_model()
        self._alone = self._answers()

    def require(self, lora: Lora) -> None:
        """Put an adapter on in place of any other, compare, and take it off.

        Raises:
            UntrustedModelError: it does not fit on the base.
            RefusedAdapterError: it does something else than it should; says which.
        """
        self._resident.remove_adapter()
        wanted = self._reference(lora)
        self._resident.apply(lora)
        try:
            answers = self._answers()
        finally:
            self._resident.remove_adapter()
        if _difference(answers, wanted) > _bound(self._model):
            without = _difference(answers, self._alone) <= _SAME
            raise RefusedAdapterError(
                "the adapter has no effect in this engine"
                if without
                else f"the adapter answers {_difference(answers, wanted):.2g} apart from what its "
                f"matrices give (at most {_bound(self._model):g} is allowed)"
            )
        if _difference(wanted, self._alone) <= _SAME:
            raise RefusedAdapterError("the adapter changes nothing: its matrices are zero")
        if _difference(self._answers(), self._alone) > _SAME:
            raise RefusedAdapterError("the base answers otherwise after the adapter was taken off")

    def wanted(self, lora: Lora | None) -> list[Any]:
        """Logits after each token of each prompt, shape (tokens, vocabulary); None for the base.

        Raises:
            UntrustedModelError: the adapter does not fit on the base.
            RefusedAdapterError: torch itself does something else with it than it should.
        """
        if lora is None:
            return self._alone
        self.require(lora)
        return self._reference(lora)

    def _answers(self) -> list[Any]:
        import torch

        with torch.no_grad():
            return [
                self._model(input_ids=self._ids(text)).logits[0].float().cpu() for text in PROMPTS
            ]

    def _ids(self, text: str) -> Any:
        import torch

        return torch.tensor(token_ids(self._resident.tokenizer, [text]), device=self._model.device)

    def _reference(self, lora: Lora) -> list[Any]:
        """The answers of the base with the adapter's product added to its layers' outputs."""
        layers = dict(self._resident.model.named_modules())
        handles = [
            layers[name].base_layer.register_forward_hook(_added(lora, name))
            for name in lora.layers
            if name in layers and hasattr(layers[name], "base_layer")
        ]
        try:
            return self._answers()
        finally:
            for handle in handles:
                handle.remove()


def _added(lora: Lora, name: str) -> Callable[[Any, Any, Any], Any]:
    a, b = lora.tensors[name + A], lora.tensors[name + B]
    factor = _factor(lora, name)

    def hook(_module: Any, given: Any, output: Any) -> Any:
        first, second = a.to(output.device), b.to(output.device)
        update = (given[0].float() @ first.T) @ second.T
        return output + (factor * update).to(output.dtype)

    return hook


def _factor(lora: Lora, name: str) -> float:
    """What the product counts, read from the configuration without peft."""
    import re

    configuration = lora.configuration
    patterns = configuration.get("alpha_pattern") or {}
    own = [value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", name)]
    alpha = float(own[0] if own else configuration["lora_alpha"])
    rank = lora.tensors[name + A].shape[0]
    return alpha / (math.sqrt(rank) if configuration.get("use_rslora") else rank)


def _bound(model: Any) -> float:
    """Looser where the base's numbers are short."""
    import torch

    return _BOUND if model.dtype == torch.float32 else 0.05


def _difference(first: list[Any], second: list[Any]) -> float:
    return max(relative_difference(left, right) for left, right in zip(first, second, strict=True))
