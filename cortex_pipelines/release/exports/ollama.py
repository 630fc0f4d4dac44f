"""Export a folder for ``ollama create``: base and adapter as GGUF, and a Modelfile."""

import json
import shutil
import subprocess  # nosec B404
from pathlib import Path

import numpy as np

from cortex_pipelines.release.exports.gguf_files import ADAPTER, layout_of, weights_of, write_gguf
from cortex_pipelines.release.exports.source import ExportChecks, ExportError, Source

PROMPT = "def read_lines(path):\n    "
_TOKENS = 24
_SECONDS = 300


def generate(base: Path, adapter: Path) -> str | None:
    """Greedy completion of a fixed prompt by base and adapter in llama.cpp; None without ``llama-cli`` on the PATH.

    Raises ``ExportError`` if llama.cpp cannot load the files, or generates nothing.
    """
    program = shutil.which("llama-cli")
    if program is None:
        return None
    options = ["-m", str(base), "--lora", str(adapter), "-p", PROMPT, "-n", str(_TOKENS)]
    options += ["--temp", "0", "--no-display-prompt", "-no-cnv"]
    process = subprocess.run(  # nosec B603
        [program, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if process.returncode:
        raise ExportError(f"llama-cli cannot load them: {process.stderr.strip()[-500:]}")
    if not process.stdout.strip():
        raise ExportError("llama.cpp loads base and adapter but generates no text")
    return process.stdout


BASE = "base.gguf"
MODELFILE = "Modelfile"
_LONGEST_CONTEXT = 4096
_MIN_CORRELATION = 0.9  # minimum correlation of the base's rows in GGUF with the original ones; 4-bit reaches 0.99


def write_ollama(source: Source, base: Path | None, out: Path) -> ExportChecks:
    """Write base, adapter and Modelfile; raises ``ExportError`` if the GGUF file is missing, or of another model."""
    if base is None:
        raise ExportError(
            f"{source.base.name} has no GGUF file; give one with --base, or export with "
            "`--format merged`, which `ollama create` takes as a folder"
        )
    adapter = write_gguf(source, out)
    correlation = compare_base(base, source.base.folder)
    shutil.copyfile(base, out / BASE)
    config = json.loads((source.base.folder / "config.json").read_text(encoding="utf-8"))
    context = min(int(config.get("max_position_embeddings", _LONGEST_CONTEXT)), _LONGEST_CONTEXT)
    (out / MODELFILE).write_text(
        f"# {source.model} {source.number or source.version} on {source.base.name}\n"
        f"FROM ./{BASE}\nADAPTER ./{ADAPTER}\n"
        # adapters are trained on plain code, without a chat template
        'TEMPLATE """{{ .Prompt }}"""\n'
        "PARAMETER temperature 0\n"
        f"PARAMETER num_ctx {context}\n",
        encoding="utf-8",
    )
    text = generate(out / BASE, out / ADAPTER)
    passed = (*adapter.passed, f"the rows of {base.name} are those that the adapter was trained on")
    metrics = {**adapter.metrics, "base_likeness": correlation}
    if text is None:
        skipped = "not checked by generation: llama-cli is not installed"
        return ExportChecks(passed, (skipped,), metrics)
    return ExportChecks((*passed, "llama.cpp generates with it"), (), metrics)


def compare_base(gguf_file: Path, folder: Path) -> float:
    """Smallest correlation of a query or key layer in GGUF with that in safetensors.

    llama.cpp stores the rows of these layers in another order; if they agree, so do the rows that an adapter is added
    to. Raises ``ExportError`` if the layers differ, or the file has other layers.
    """
    import gguf

    layout = layout_of(folder)
    try:
        tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(gguf_file).tensors}
    except (ValueError, IndexError, KeyError) as error:
        raise ExportError(f"{gguf_file} cannot be read as GGUF: {error}") from error
    correlations = []
    for weight_name, weights in weights_of(folder, tuple(f"{end}.weight" for end in layout.attention)):
        layer = weight_name.removesuffix(".weight")
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
            f"{gguf_file.name} is not the base that the adapter was trained on: its attention weights correlate by "
            f"{min(correlations, default=0.0):.2f}, {_MIN_CORRELATION:g} is needed"
        )
    return min(correlations)
