"""Serve a released model as an MLflow pyfunc: ``models:/NAME@ALIAS``.

MLflow imports this module by its name in the model's ``MLmodel``. Only models signed by a key that
this project trusts are loaded. The base of an adapter and the encoder of a router come from the
enclosing project, or from the one that ``CORTEX_ROOT`` names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.data.packing import ForcedStart, divide, prompt_ids
from cortex_pipelines.adapters.model.base_model import resolve_base
from cortex_pipelines.catalog import open_project
from cortex_pipelines.release.loading import ResidentBase, adapter_folder, read_lora
from cortex_pipelines.release.open_model import pinned_base
from cortex_pipelines.routing.serving.router import Router, open_trained
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.signing.signatures import verify
from cortex_pipelines.tracking.model_versions import SIGNATURE, read_metadata
from cortex_pipelines.versioning.project import find_root

if TYPE_CHECKING:
    import pandas as pd

Texts = Any
"""Input of a model: a frame or dictionary with its column, a list of strings, or a string."""


@dataclass(frozen=True)
class RouterModel:
    router: Router

    def predict(self, data: Texts, params: Mapping[str, Any] | None = None) -> "pd.DataFrame":
        """Route each task (column ``task`` of a frame).

        Returns one row per task: ``master``, ``probability`` that it is right, and ``abstained``, true if a
        person should decide. Raises ValueError if the data contains no tasks.
        """
        import pandas as pd

        decisions = self.router.route(texts(data, "task"))
        return pd.DataFrame(
            {
                "master": [decision.master for decision in decisions],
                "probability": [decision.confidence for decision in decisions],
                "abstained": [decision.abstained for decision in decisions],
            }
        )


@dataclass(frozen=True)
class AdapterModel:
    resident: ResidentBase
    max_new_tokens: int

    def predict(self, data: Texts, params: Mapping[str, Any] | None = None) -> "pd.DataFrame":
        """Complete each prompt (column ``prompt`` of a frame) by greedy decoding.

        ``max_new_tokens`` in ``params`` holds for this call. Returns one row per prompt: ``completion``,
        without the prompt. Raises ValueError if the data contains no prompts.
        """
        import pandas as pd

        most = int((params or {}).get("max_new_tokens", self.max_new_tokens))
        completions = [self._complete(prompt, most) for prompt in texts(data, "prompt")]
        return pd.DataFrame({"completion": completions})

    def _complete(self, prompt: str, most: int) -> str:
        import torch

        model, tokenizer = self.resident.model, self.resident.tokenizer
        context, space = divide(prompt)
        ids = torch.tensor(prompt_ids(tokenizer, [context]), device=model.device)
        with torch.no_grad():
            output_ids = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=most,
                do_sample=False,
                pad_token_id=tokenizer.eos_token_id,
                logits_processor=[ForcedStart(tokenizer, ids.shape[1], space)],
            )
        text: str = tokenizer.decode(
            output_ids[0, ids.shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text.removeprefix(space)


def texts(data: Texts, column: str) -> list[str]:
    """The strings of an MLflow model input; ``column`` is one of a frame, or a key of a dictionary."""
    values = data
    if hasattr(data, "columns") or isinstance(data, Mapping):
        names = list(data.columns if hasattr(data, "columns") else data)
        if column not in names:
            columns = ", ".join(map(repr, names)) or "none"
            raise ValueError(f"expected a column {column!r} or a list of strings; the columns are {columns}")
        values = data[column]
    rows: Sequence[Any] = [values] if isinstance(values, str) else list(values)
    rows = [row.get(column) if isinstance(row, Mapping) else row for row in rows]
    for number, row in enumerate(rows):
        if not isinstance(row, str):
            raise ValueError(f"row {number} of {column!r} is a {type(row).__name__}, where a string is expected")
    return list(rows)


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> RouterModel | AdapterModel:
    """Entry point that MLflow calls; manifest and signature are in the parent folder."""
    folder, root = Path(path), find_root()
    asset, name, version = read_metadata(folder.parent)
    manifest = verify(root, folder, folder.parent / SIGNATURE, name, version)
    if asset == "task_router":
        return RouterModel(open_trained(folder, root, version))
    config = dict(model_config or {})
    base = resolve_base(pinned_base(open_project(root)), root)
    trained_base = dict(manifest.base or {})
    if trained_base.get("digest") != base.digest:
        raise UntrustedModelError(
            f"{manifest.model} was trained on {trained_base.get('name', 'no base')}, which is not this project's "
            f"{base.name}; run from the project it was trained in, or set models.base in params.yaml to its base"
        )
    resident = ResidentBase(base)
    resident.apply(read_lora(adapter_folder(folder, config.get("task") or None)))
    return AdapterModel(resident, int(config["max_new_tokens"]))
