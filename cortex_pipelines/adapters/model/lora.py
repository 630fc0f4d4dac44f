"""Create, save and load LoRA adapters."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.jsonl import write_json

if TYPE_CHECKING:
    from cortex_pipelines.adapters.model.base_model import BaseModel
    from cortex_pipelines.adapters.settings import AdapterSettings

WEIGHTS = "adapter_model.safetensors"
CONFIGURATION = "adapter_config.json"
TRAINING = "training.json"
SEEN = "examples.json"
"""Task to the ids of the examples that an adapter was trained on."""


@dataclass(frozen=True)
class AdapterVersion:
    version: str
    folder: Path


class ParentError(ValueError):
    """The parent adapter does not fit the planned training."""


def with_new_adapter(model: Any, settings: "AdapterSettings") -> Any:
    """Add a fresh adapter to a model and freeze all other weights.

    Its weights are float32 whatever the base's type: bfloat16 loses small updates.
    """
    from peft import LoraConfig, get_peft_model

    target: Any = settings.target_modules
    if target == "attention":
        target = _attention_layers(model)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_rslora=settings.rslora,
        target_modules=target if isinstance(target, str) else list(target),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with _no_rename_warning():
        return get_peft_model(model, config)


def _attention_layers(model: Any) -> list[str]:
    """Names of the linear layers of attention, whatever the family calls them."""
    from torch.nn import Linear

    linear = (name.split(".") for name, module in model.named_modules() if isinstance(module, Linear))
    return sorted({path[-1] for path in linear if len(path) > 1 and "att" in path[-2]})


def save_adapter(model: Any, weights: Mapping[str, Any], base: "BaseModel", out: Path) -> None:
    """Write weights and configuration in the form that peft loads.

    ``save_pretrained`` is not used: it writes the base's local path, a list of layers in set order, and float32, twice
    the size for digits that training does not determine.
    """
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    state = get_peft_model_state_dict(model, state_dict=dict(weights), save_embedding_layers=False)
    tensors = {name: tensor.detach().to("cpu", torch.bfloat16).contiguous() for name, tensor in sorted(state.items())}
    # safetensors keeps metadata in a hash map: several entries have no fixed order
    with atomic_file(out / WEIGHTS, durable=False) as scratch:
        save_file(tensors, scratch, metadata={"format": "pt"})
    raw = model.peft_config["default"].to_dict()
    configuration = {key: sorted(value) if isinstance(value, set) else value for key, value in raw.items()}
    configuration |= {"base_model_name_or_path": base.name, "inference_mode": True}
    write_json(out / CONFIGURATION, json.loads(json.dumps(configuration, default=str)))


def load_adapter(model: Any, folder: Path) -> Any:
    from peft import PeftModel

    from cortex_pipelines.adapters.model.configuration import read_configuration  # which needs pydantic

    read_configuration(folder)  # peft accepts NaN and repeated keys
    with _no_rename_warning():
        return PeftModel.from_pretrained(model, str(folder), is_trainable=False).eval()


def adapter_for(folder: Path, task: str) -> Path | None:
    """Folder of the adapter for a task: the task's own or the shared one; None for the base."""
    task_folder = folder / task
    return next((candidate for candidate in (task_folder, folder) if (candidate / CONFIGURATION).is_file()), None)


def load_parent(model: Any, parent: Path, base: "BaseModel") -> None:
    """Copy an earlier adapter's weights into a fresh one.

    Raises ``ParentError`` if the parent has another base, rank or set of layers.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    from cortex_pipelines.adapters.model.configuration import read_configuration  # which needs pydantic

    parent_base = recorded_base(parent)
    if parent_base["digest"] != base.digest:
        raise ParentError(
            f"the parent adapter was trained on another base ({parent_base['name']}; now it is {base.name}); take its "
            "version out of adapters.parents in params.yaml, or set models.base back"
        )
    weights = load_file(parent / WEIGHTS)
    fresh = get_peft_model_state_dict(model, save_embedding_layers=False)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if shapes != {name: tuple(tensor.shape) for name, tensor in fresh.items()}:
        trained = read_configuration(parent)
        raise ParentError(
            f"the parent adapter has rank {trained['r']} on {', '.join(trained['target_modules'])}; set adapters.rank "
            "and target_modules in params.yaml to the same, or take its version out of adapters.parents"
        )
    set_peft_model_state_dict(model, weights)


def recorded_base(adapter: Path) -> dict[str, str]:
    """``name`` and ``digest`` of the base model of an adapter."""
    return dict(json.loads((adapter / TRAINING).read_text())["base"])


def trained_tasks(adapter: Path) -> tuple[str, ...]:
    recorded = json.loads((adapter / TRAINING).read_text())["settings"]
    return tuple(sorted(recorded["task_shares"]))


@contextmanager
def _no_rename_warning() -> Iterator[None]:
    """Silence a warning of transformers about an attribute that peft 0.21 renames."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        yield
