"""``MLmodel``: signature and loader of a model for MLflow."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_EXAMPLE = "input_example.json"
_LOADER = "cortex_pipelines.serving.pyfunc"
FILES, SIGNATURE = "files", "signature"
"""Folders beside ``MLmodel``: what DVC versions, and what proves that it is that."""


@dataclass(frozen=True)
class ModelSignature:
    """``inputs``, ``outputs``: type by name; ``loads``: command or call that opens the model, for people;
    ``configuration``: what a caller of MLflow can choose.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    example: Mapping[str, Any]
    loads: str
    configuration: Mapping[str, Any] = field(default_factory=dict)


SIGNATURES = {
    "code_adapter": ModelSignature(
        {"prompt": "string"},
        {"completion": "string"},
        {"prompt": "def read_lines(path):\n    "},
        "cortex_pipelines.release.open_model.open_adapter",
        {"task": "", "max_new_tokens": 128},
    ),
    "task_router": ModelSignature(
        {"task": "string"},
        {"master": "string", "probability": "double", "abstained": "boolean"},
        {"task": "Rotate the leaked API key"},
        "cortex_pipelines.release.open_model.open_router",
    ),
}
"""Interfaces by the asset that makes the model."""


@dataclass(frozen=True)
class ModelMetadata:
    asset: str
    name: str
    version: str
    run_id: str | None
    model_id: str | None = None


def write_model_file(model_metadata: ModelMetadata, out: Path) -> None:
    """Write ``MLmodel`` and an input example for a model with a known interface.

    Its flavour is MLflow's ``python_function``: the loader is a part of this package, and takes nothing but what is
    signed.
    """
    interface = SIGNATURES.get(model_metadata.asset)
    if interface is None:
        return
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    inputs, outputs = (
        Schema([ColSpec(kind, name) for name, kind in columns.items()])
        for columns in (interface.inputs, interface.outputs)
    )
    signature = ModelSignature(inputs=inputs, outputs=outputs)
    # the loaded model checks its input itself: MLflow would refuse a list of strings, since that has no column's name
    signature._is_signature_from_type_hint = True
    model = Model(
        artifact_path=model_metadata.name,
        run_id=model_metadata.run_id,
        model_id=model_metadata.model_id,
        signature=signature,
        flavors={"cortex_pipelines": {"loader": interface.loads, "weights": "safetensors"}},
        saved_input_example_info={"artifact_path": _EXAMPLE, "type": "json_object"},
        metadata={"asset": model_metadata.asset, "model": model_metadata.name, "version": model_metadata.version},
    )
    pyfunc.add_to_model(model, loader_module=_LOADER, data=FILES, model_config=dict(interface.configuration))
    model.save(str(out / "MLmodel"))
    text = json.dumps(dict(interface.example), indent=1) + "\n"
    (out / _EXAMPLE).write_text(text, encoding="utf-8")


def read_metadata(folder: Path) -> tuple[str, str, str]:
    """Asset, name and version from the ``MLmodel`` in a folder. Raises ValueError: it names none; MLflow wrote it
    for a model of somebody else's.
    """
    from mlflow.models import Model

    metadata = Model.load(str(folder)).metadata or {}
    try:
        return str(metadata["asset"]), str(metadata["model"]), str(metadata["version"])
    except KeyError as error:
        raise ValueError(f"{folder / 'MLmodel'} has no {error.args[0]} in its metadata") from None
