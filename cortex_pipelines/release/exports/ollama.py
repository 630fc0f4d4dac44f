"""Export a folder for ``ollama create``: base and adapter as GGUF, and a Modelfile."""

import json
import shutil
from pathlib import Path

import numpy as np

from cortex_pipelines.release.exports.gguf_adapter import ADAPTER, write_gguf
from cortex_pipelines.release.exports.gguf_layout import Array, layout_of
from cortex_pipelines.release.exports.llama_cpp import generate
from cortex_pipelines.release.exports.source import ExportChecks, ExportError, Source

BASE = "base.gguf"
MODELFILE = "Modelfile"
_LONGEST_CONTEXT = 4096
_MIN_CORRELATION = 0.9
"""Minimum correlation of the base's rows in GGUF with the original ones; 4-bit reaches 0.99."""


def write_ollama(source: Source, base: Path | None, out: Path) -> ExportChecks:
    """Write base, adapter and Modelfile after checking that base and adapter match. Raises ExportError: the GGUF
    file is missing, or of another model.
    """
    if base is None:
        raise ExportError(
            f"{source.base.name} has no GGUF file; give one with --base, or export with "
            "`--format merged`, which `ollama create` takes as a folder"
        )
    adapter = write_gguf(source, out)
    correlation = compare_base(base, source.base.folder)
    shutil.copyfile(base, out / BASE)
    (out / MODELFILE).write_text(modelfile(source), encoding="utf-8")
    text = generate(out / BASE, out / ADAPTER)
    rows_check = f"the rows of {base.name} are those that the adapter was trained on"
    skipped_check = "not checked by generation: neither llama-cli nor llama_cpp is installed"
    return ExportChecks(
        (*adapter.passed, rows_check, *(("llama.cpp generates with it",) if text is not None else ())),
        () if text is not None else (skipped_check,),
        {**adapter.metrics, "base_likeness": correlation},
    )


def modelfile(source: Source) -> str:
    config = json.loads((source.base.folder / "config.json").read_text(encoding="utf-8"))
    context = min(int(config.get("max_position_embeddings", _LONGEST_CONTEXT)), _LONGEST_CONTEXT)
    return (
        f"# {source.model} {source.number or source.version} on {source.base.name}\n"
        f"FROM ./{BASE}\n"
        f"ADAPTER ./{ADAPTER}\n"
        # adapters are trained on plain code, without a chat template
        'TEMPLATE """{{ .Prompt }}"""\n'
        "PARAMETER temperature 0\n"
        f"PARAMETER num_ctx {context}\n"
    )


def compare_base(gguf_file: Path, folder: Path) -> float:
    """Smallest correlation of a query or key layer in GGUF with that in safetensors.

    llama.cpp stores the rows of these layers in another order; if they agree, so do the rows that an adapter is added
    to.

    Raises:
        ExportError: the layers differ, or the file has other layers.
    """
    import gguf

    layout = layout_of(folder)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(gguf_file).tensors}
    correlations = []
    for layer, weights in _rotated(folder, tuple(layout.heads)):
        name = f"{layout.name_of(layer)}.weight"
        if name not in tensors:
            raise ExportError(f"{gguf_file.name} is a different model: it has no {name}")
        tensor = tensors[name]
        gguf_weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if gguf_weights.shape != weights.shape:
            raise ExportError(f"{gguf_file.name} is a different model: {name} is {gguf_weights.shape}")
        expected = weights[layout.rows(layer, weights.shape[0])]
        correlations.append(float(np.corrcoef(gguf_weights.ravel(), expected.ravel())[0, 1]))
    if not correlations or min(correlations) < _MIN_CORRELATION:
        raise ExportError(
            f"{gguf_file.name} is not the base that the adapter was trained on: its attention "
            f"weights correlate by {min(correlations, default=0.0):.2f}, {_MIN_CORRELATION:g} is "
            "needed"
        )
    return min(correlations)


def _rotated(folder: Path, ends: tuple[str, ...]) -> list[tuple[str, Array]]:
    from safetensors import safe_open

    rotated = []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                layer = name.removesuffix(".weight")
                if name.endswith(".weight") and layer.endswith(ends):
                    rotated.append((layer, file.get_tensor(name).float().numpy()))
    return rotated
