from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.base_model import BaseModel, load_causal_model
from cortex_pipelines.adapters.model.lora import TRAINING, save_adapter
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.release.assets import code_adapter_release
from cortex_pipelines.rowcache import RowCache


def write_adapter(base: BaseModel, folder: Path, seed: int = 0, **config: Any) -> Path:
    """A folder as training writes it, with random matrices.

    Args:
        base: What it belongs on.
        folder: Absent or empty.
        seed: Of the matrices.
        config: Of peft's LoraConfig.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    defaults = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    model = get_peft_model(load_causal_model(base, "fp32"), LoraConfig(**{**defaults, **config}))
    generator = torch.Generator().manual_seed(seed)
    state = {name: value for name, value in model.state_dict().items() if "lora_" in name}
    for value in state.values():
        value.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    folder.mkdir(parents=True, exist_ok=True)
    save_adapter(model, state, base, folder)
    write_json(folder / TRAINING, {"base": {"name": base.name, "digest": base.digest}})
    return folder


def release_adapter(root: Path, out: Path, **inputs: Any) -> None:
    """The asset of the project ``demo``, below a folder."""
    code_adapter_release(
        **inputs,
        load_version=lambda _model, _project, version: Path(version),
        observe=lambda _name, _value: None,
        **{"root": root, "out": out, "project": "demo", "cache": RowCache(root / "rows", "1")},
    )
