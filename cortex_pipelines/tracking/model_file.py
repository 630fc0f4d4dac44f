"""``MLmodel``: what MLflow shows of a model's inputs and outputs, and what loads it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EXAMPLE = "input_example.json"


@dataclass(frozen=True)
class Interface:
    """What a model takes and gives.

    Args:
        inputs: Type by name of each input.
        outputs: Type by name of each output.
        example: An input.
        loads: Command or call that opens the model, for people.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    example: Mapping[str, Any]
    loads: str


INTERFACES = {
    "code_adapter": Interface(
        {"prompt": "string"},
        {"completion": "string"},
        {"prompt": "def read_lines(path):\n    "},
        "cortex_pipelines.operations.serving.open_adapter",
    ),
    "task_router": Interface(
        {"task": "string"},
        {"master": "string", "probability": "double"},
        {"task": "Rotate the leaked API key"},
        "cortex_pipelines.operations.serving.open_router",
    ),
}
"""By the asset whose output is the model."""


def write_model_file(asset: str, run_id: str, out: Path) -> None:
    """Write ``MLmodel`` and an input example for a model, if it is known what it takes.

    Args:
        asset: The asset whose output is the model.
        run_id: Run that registers it.
        out: Folder to write to.
    """
    interface = INTERFACES.get(asset)
    if interface is None:
        return
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    inputs, outputs = (
        Schema([ColSpec(kind, name) for name, kind in columns.items()])
        for columns in (interface.inputs, interface.outputs)
    )
    model = Model(
        artifact_path="model",
        run_id=run_id,
        signature=ModelSignature(inputs=inputs, outputs=outputs),
        # no pyfunc flavour: a base is needed beside the files, and nothing is loaded unverified
        flavors={"cortex_pipelines": {"loader": interface.loads, "weights": "safetensors"}},
        saved_input_example_info={"artifact_path": _EXAMPLE, "type": "json_object"},
    )
    model.save(str(out / "MLmodel"))
    text = json.dumps(dict(interface.example), indent=1) + "\n"
    (out / _EXAMPLE).write_text(text, encoding="utf-8")
