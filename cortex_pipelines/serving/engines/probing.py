"""Check before the first request that an adapter behaves in the engine as its matrices say.

Engines are known for three faults: an adapter that loads without effect, one applied at another
scale than in training, and one that stays active when the base is requested. Each shows in the
logits after a few fixed prompts: compared with the base's, with a second computation that adds the
matrices' product to the base's layers, and with the base's logits from before.
"""

import math
from collections.abc import Callable
from typing import Any

from cortex_pipelines.release.exports.source import relative_difference
from cortex_pipelines.release.loading import A, B, Lora, ResidentBase
from cortex_pipelines.serving.engines.engine import RefusedAdapterError
from cortex_pipelines.tokenization.text_encoder import token_ids

PROMPTS = (
    "def parse_version(text):\n    parts = text",
    "class History:\n    def __init__(self, size):",
    "# Settings of the service\nimport os\n\nPORT =",
)
_BOUND = 1e-3
"""Largest relative difference of logits: the same sums in another order."""

_SAME = 1e-6
"""The base's logits must return exactly, except for the order of sums across threads."""


class Probe:
    """Compares an engine's logits with the expected ones; no adapter may be active at first."""

    def __init__(self, resident: ResidentBase) -> None:
        self._resident = resident
        self._model = resident.model.get_base_model()
        self._base_answers = self._answers()

    def require(self, lora: Lora) -> None:
        """Activate an adapter in place of any other, compare, and deactivate it; raises RefusedAdapterError."""
        self._resident.remove_adapter()
        expected = self._reference(lora)
        self._resident.apply(lora)
        try:
            answers = self._answers()
        finally:
            self._resident.remove_adapter()
        if _difference(answers, expected) > _bound(self._model):
            has_no_effect = _difference(answers, self._base_answers) <= _SAME
            raise RefusedAdapterError(
                "the adapter has no effect in this engine"
                if has_no_effect
                else f"the adapter answers {_difference(answers, expected):.2g} apart from what "
                f"its matrices give (at most {_bound(self._model):g} is allowed)"
            )
        if _difference(expected, self._base_answers) <= _SAME:
            raise RefusedAdapterError("the adapter changes nothing: its matrices are zero")
        if _difference(self._answers(), self._base_answers) > _SAME:
            raise RefusedAdapterError("the base answers differently after the adapter was taken off")

    def expected_logits(self, lora: Lora | None) -> list[Any]:
        """Logits after each token of each prompt, shape (tokens, vocabulary); None for the base."""
        if lora is None:
            return self._base_answers
        self.require(lora)
        return self._reference(lora)

    def _answers(self) -> list[Any]:
        import torch

        inputs = [
            torch.tensor(token_ids(self._resident.tokenizer, [text]), device=self._model.device) for text in PROMPTS
        ]
        with torch.no_grad():
            return [self._model(input_ids=ids).logits[0].float().cpu() for ids in inputs]

    def _reference(self, lora: Lora) -> list[Any]:
        """Logits of the base with the adapter's product added to its layers' outputs."""
        layers = dict(self._resident.model.named_modules())
        handles = [
            layers[name].base_layer.register_forward_hook(_addition_hook(lora, name))
            for name in lora.layers
            if name in layers and hasattr(layers[name], "base_layer")
        ]
        try:
            return self._answers()
        finally:
            for handle in handles:
                handle.remove()


def _addition_hook(lora: Lora, name: str) -> Callable[[Any, Any, Any], Any]:
    a, b = lora.tensors[name + A], lora.tensors[name + B]
    factor = _factor(lora, name)

    def hook(_module: Any, inputs: Any, output: Any) -> Any:
        first, second = a.to(output.device), b.to(output.device)
        update = (inputs[0].float() @ first.T) @ second.T
        return output + (factor * update).to(output.dtype)

    return hook


def _factor(lora: Lora, name: str) -> float:
    import re

    configuration = lora.configuration
    patterns = configuration.get("alpha_pattern") or {}
    overrides = [value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", name)]
    alpha = float(overrides[0] if overrides else configuration["lora_alpha"])
    rank = lora.tensors[name + A].shape[0]
    return alpha / (math.sqrt(rank) if configuration.get("use_rslora") else rank)


def _bound(model: Any) -> float:
    import torch

    return _BOUND if model.dtype == torch.float32 else 0.05


def _difference(first: list[Any], second: list[Any]) -> float:
    return max(relative_difference(actual, reference) for actual, reference in zip(first, second, strict=True))
