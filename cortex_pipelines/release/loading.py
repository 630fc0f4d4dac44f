"""Load an adapter on a base in memory, only if it was released for that base."""

import json
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.base_model import BaseModel, Precision, load_causal_model, load_tokenizer
from cortex_pipelines.adapters.model.configuration import ConfigurationError, read_configuration
from cortex_pipelines.adapters.model.lora import CONFIGURATION, TRAINING, WEIGHTS
from cortex_pipelines.signing.manifest import UntrustedModelError

A, B = ".lora_A.weight", ".lora_B.weight"  # suffixes of a layer's two matrices: (rank, inputs) and (outputs, rank)
_NAME = "default"
_UNSUPPORTED = ("use_dora", "modules_to_save", "lora_bias", "trainable_token_indices")
"""Features of an adapter's configuration beyond plain LoRA."""


@dataclass(frozen=True)
class Lora:
    configuration: Mapping[str, Any]
    tensors: Mapping[str, Any]

    @property
    def layers(self) -> list[str]:
        return sorted(name.removesuffix(A) for name in self.tensors if name.endswith(A))

    @cached_property
    def peft_config(self) -> Any:
        from peft import LoraConfig

        return LoraConfig.from_peft_type(**dict(self.configuration))

    def scale(self, layer: str) -> float:
        from peft.utils.other import get_pattern_key

        config = self.peft_config
        alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern.keys(), layer), config.lora_alpha)
        rank = self.tensors[layer + A].shape[0]
        # rank-stabilised LoRA (arXiv 2312.03732) divides by the root of the rank
        return float(alpha / (math.sqrt(rank) if config.use_rslora else rank))


class ResidentBase:
    """A base model in memory that adapters are applied to, one at a time.

    Adapter layers are added once, before the first adapter: importing peft takes seconds, which the base alone does
    not need. Applying another adapter only replaces their content, whatever its rank.
    """

    def __init__(self, base: BaseModel, precision: Precision = "fp32", device: str | None = None) -> None:
        self.base, self.tokenizer = base, load_tokenizer(base)
        self.base_model = load_causal_model(base, precision, device=device)
        """The base, whose layers change with each adapter."""

    @cached_property
    def model(self) -> Any:
        """The base with adapter layers, which do nothing at first."""
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=1, target_modules="all-linear", task_type="CAUSAL_LM")
        with warnings.catch_warnings():  # transformers warns peft 0.21 about a renamed attribute
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
            model = get_peft_model(self.base_model, config).eval()
        model.disable_adapter_layers()
        return model

    @cached_property
    def _layers(self) -> dict[str, Any]:
        return {name: module for name, module in self.model.named_modules() if hasattr(module, "lora_A")}

    def apply(self, adapter: Lora) -> None:
        """Apply an adapter in place of the current one; UntrustedModelError if its layers do not match the base."""
        from torch.nn import Parameter

        for name in adapter.layers:
            layer = self._layers.get(name)
            shape = (adapter.tensors[name + A].shape[1], adapter.tensors[name + B].shape[0])
            if layer is None or shape != (layer.in_features, layer.out_features):
                raise UntrustedModelError(
                    f"the adapter does not match {self.base.name}, which has no {name} with "
                    f"{shape[0]} inputs and {shape[1]} outputs"
                )
        changed = set(adapter.layers)
        for name, module in self._layers.items():
            module.scaling[_NAME] = adapter.scale(name) if name in changed else 0.0
            if name in changed:
                for matrix, end in ((module.lora_A, A), (module.lora_B, B)):
                    tensor = adapter.tensors[name + end].to(self.model.device)
                    matrix[_NAME].weight = Parameter(tensor, requires_grad=False)
        self.model.enable_adapter_layers()

    def remove_adapter(self) -> None:
        if "model" in self.__dict__:
            self.model.disable_adapter_layers()


def read_lora(folder: Path) -> Lora:
    """Read the adapter in a folder, from safetensors only; UntrustedModelError if it is missing or no plain LoRA."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    missing = [name for name in (CONFIGURATION, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise UntrustedModelError(f"{folder} contains no adapter: no {' and no '.join(missing)}")
    try:
        configuration = read_configuration(folder)
    except ConfigurationError as error:
        raise UntrustedModelError(str(error)) from error
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()}
    except SafetensorError as error:
        raise UntrustedModelError(f"{folder / WEIGHTS} cannot be read: {error}") from error
    unsupported = [key for key in _UNSUPPORTED if configuration.get(key)]
    other = [n for n in sorted(tensors) if not n.endswith((A, B))]
    if unsupported or other or configuration.get("peft_type") != "LORA":
        raise UntrustedModelError(
            f"{folder} uses features beyond plain LoRA ({', '.join([*unsupported, *other[:3]])}); train without them"
        )
    for name in sorted(tensors):
        a, b = (tensors.get(re.sub(r"\.lora_[AB]\.weight$", end, name)) for end in (A, B))
        if a is None or b is None or a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
            raise UntrustedModelError(f"{folder / WEIGHTS}: {name} lacks its second matrix")
        if not bool(tensors[name].isfinite().all()):
            raise UntrustedModelError(f"{folder / WEIGHTS}: {name} contains NaN or infinity")
    lora = Lora(configuration, tensors)
    try:
        lora.peft_config  # noqa: B018 - peft checks it
    except (TypeError, ValueError) as error:
        raise UntrustedModelError(f"{folder / CONFIGURATION} is not valid for peft: {error}") from error
    return lora


def adapter_folder(folder: Path, task: str | None) -> Path:
    """Folder of an adapter, for models with one per task (``LookupError`` if ``task`` is not one) or one for all."""
    if (folder / WEIGHTS).is_file():
        return folder
    tasks = sorted(path.parent.name for path in folder.glob(f"*/{WEIGHTS}"))
    if task not in tasks:
        raise LookupError(f"{folder} has one adapter per task ({', '.join(tasks) or 'none'}); choose one")
    return folder / str(task)


def base_of(folder: Path) -> dict[str, str] | None:
    base: dict[str, str] | None = _record(folder).get("base")
    return base


def parent_of(folder: Path) -> str | None:
    parent: str | None = _record(folder).get("parent")
    return parent


def _record(folder: Path) -> dict[str, Any]:
    path = folder / TRAINING
    try:
        record = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise UntrustedModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise UntrustedModelError(f"{path} is not a training record")
    return record
