"""What of a base can be known from its files, and why it cannot be trained, served or filled in here.

Reads neither weights nor code, and loads neither torch nor transformers.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.base_model import weight_files
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.models import memory
from cortex_pipelines.models.family import Family, FamilyError, families, family_of
from cortex_pipelines.models.machine import Machine
from cortex_pipelines.models.memory import Shape, Stored, shape_of
from cortex_pipelines.tokenization.text_encoder import gap_format, gap_marks

_EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight", "wte.weight", "shared.weight")
_TYPES: Mapping[str, Stored] = {"F32": "fp32", "BF16": "bf16", "F16": "fp16"}
_NOT_REAL = {"F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "I8", "U8", "I16", "I32", "I64"}
_HEADS = ("lm_head.weight", "embed_out.weight")
_LAYER = re.compile(r"(?:^|\.)(\d+)\.(?:.*\.)?(\w+)\.weight$")
_ORIGINAL = "take the original ones, and set adapters.quantisation for less memory"
_ADAPTER = "adapter_config.json"
_ANOTHER = "choose another base (`cortex models` lists some)"


class BaseError(ValueError):
    """A base cannot be used; the message says what to do."""


@dataclass(frozen=True)
class BaseFiles:
    """A base by its files.

    Args:
        tokens: Added tokens of its tokenizer.
        template: Whether it has a chat template.
        end: Token that ends a text.
        stored: Type of the weights in the file; None for a type that is not known.
    """

    family: Family
    config: Mapping[str, Any]
    shape: Shape
    tokens: frozenset[str]
    template: bool
    end: str
    stored: Stored | None

    @property
    def fim(self) -> tuple[str, ...]:
        """Its marks of gaps; without them a model sees the code after a gap first."""
        return gap_marks(gap_format(self.tokens))


def read_base(folder: Path) -> BaseFiles | None:
    """Check a base's files; BaseError says what is wrong. None for a GGUF file, which is converted first."""
    try:
        if (folder / "config.json").is_file():
            return _read(folder)
        _check_gguf(folder)
    except BaseError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        kind = type(error).__name__
        raise BaseError(f"{folder} holds no model that can be read ({kind}: {error}); copy its files again") from error
    return None


def _read(folder: Path) -> BaseFiles:
    config = _json(folder / "config.json")
    files = _weight_files(folder)
    if (folder / _ADAPTER).is_file():  # which transformers would load, too
        raise BaseError(f"{folder} has an adapter beside its weights ({_ADAPTER}); take it away, or merge it first")
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise BaseError(f"{folder} has no tokenizer.json, as the tokenizers library writes it; {_ANOTHER}")
    tokens = _json(tokenizer)
    added = {str(token["content"]): int(token["id"]) for token in tokens.get("added_tokens") or ()}
    try:
        family = family_of(config, added)
        shape = shape_of(config, family)
    except FamilyError as error:
        raise BaseError(str(error)) from error
    if family.refusal:
        raise BaseError(f"bases of the family {family.name} cannot be trained: {family.refusal}; {_ANOTHER}")
    tensors = {name: tensor for path in files for name, tensor in _header(path).items()}
    _check_layers(folder, tensors, family, shape, config)
    embedding = next((tensor for name, tensor in tensors.items() if name.endswith(_EMBEDDINGS)), None)
    rows = int(embedding["shape"][0]) if embedding else shape.vocabulary
    declared = _optional(folder / "tokenizer_config.json") | _optional(folder / "special_tokens_map.json")
    jinja = folder / "chat_template.jinja"
    template = jinja.read_text(encoding="utf-8") if jinja.is_file() else json.dumps(declared.get("chat_template") or "")
    end = _end(folder, declared, family)
    vocabulary = _vocabulary(tokens["model"])
    if end not in added and end not in vocabulary:
        raise BaseError(f"the end token {end} in {folder} is none of its tokenizer's; correct eos_token, or {_ANOTHER}")
    unused = {token["content"] for token in tokens.get("added_tokens") or () if token.get("special")} - {end}
    used_ids = [number for token, number in added.items() if token not in unused or token in template]
    size = 1 + max(chain(vocabulary.values(), used_ids), default=-1)
    if size > rows:
        raise BaseError(
            f"the tokenizer in {folder} has {size:,} tokens and the embedding {rows:,} rows: they are of two models; "
            "take both from where the weights come from"
        )
    stored = _TYPES.get(embedding["dtype"]) if embedding else None
    return BaseFiles(family, config, shape, frozenset(added), bool(template.strip('"')), end, stored)


def _end(folder: Path, declared: Mapping[str, Any], family: Family) -> str:
    end = declared.get("eos_token")
    end = end.get("content") if isinstance(end, Mapping) else end
    if not end or not isinstance(end, str):
        raise BaseError(
            f"the tokenizer in {folder} declares no end token, so that no answer would end; write eos_token to "
            f"tokenizer_config.json (of the family {family.name}: {', '.join(family.ends)})"
        )
    return end


def refusals(base: BaseFiles, settings: AdapterSettings, engine: str, machine: Machine) -> Iterator[str]:
    """Why a base cannot be trained by these settings on this machine, or served by the engine."""
    names = settings.target_modules
    unknown = set() if isinstance(names, str) else {name for name in names if name not in base.family.targets}
    if unknown:
        yield (
            f"adapters.target_modules: bases of the family {base.family.name} have no {', '.join(sorted(unknown))}; "
            f"there is: all-linear, or of {', '.join(base.family.targets)}"
        )
    if settings.precision == "bf16" and not machine.bf16:
        yield "adapters.precision is bf16, for which this processor has no instructions; set it to auto or fp32"
    if settings.precision == "fp16" and not machine.gpu_memory:
        yield "adapters.precision is fp16, which needs a GPU, and this machine has none; set it to auto or fp32"
    if settings.quantisation or settings.trainer != "own":
        from cortex_pipelines.adapters.training.launch import MissingPackageError, require_packages

        try:
            require_packages(settings)
        except MissingPackageError as error:
            yield str(error)
    needed = training_memory(base, settings, machine)
    if needed > machine.training_memory:
        yield (
            f"training takes some {needed / 1e9:.1f} GB and this machine has {machine.training_memory / 1e9:.1f}: set "
            "adapters.activation_checkpointing, a smaller max_length, or quantisation (int8, nf4), or choose a smaller "
            "base (`cortex models recommend`)"
        )
    by_engine = {"llama": base.family.export_refusal, "openvino": base.family.openvino_refusal}
    if engine in by_engine and (refusal := by_engine[engine](base.config)):
        yield f"serving.engine is {engine}, and {refusal}; set it to torch, or {_ANOTHER}"


def training_memory(base: BaseFiles, settings: AdapterSettings, machine: Machine) -> float:
    """Bytes at the peak of a training by these settings."""
    half = settings.precision in ("bf16", "fp16") or (settings.precision == "auto" and machine.bf16)
    return memory.training(
        base.shape,
        settings.quantisation or ("bf16" if half else "fp32"),
        tokens=settings.max_length * settings.batch_size,
        rank=settings.rank,
        recomputed=settings.activation_checkpointing,
    )


def _weight_files(folder: Path) -> list[Path]:
    """Those that are there, all of them; BaseError if one is missing."""
    files = weight_files(folder)
    missing = [path.name for path in files if path.parent != folder or not path.is_file()]
    if missing:
        raise BaseError(
            f"{folder} lacks {len(missing)} of its {len(files)} files of weights ({missing[0]}); copy them too"
        )
    if not files:
        pickled = any(folder.glob("*.bin"))
        remedy = "pickled ones run code when they are loaded; save them as safetensors" if pickled else "copy them too"
        raise BaseError(f"{folder} has a config.json and no weights (model.safetensors, or its index); {remedy}")
    return files


def _header(path: Path) -> dict[str, Any]:
    """Types and shapes of a safetensors file by the names of its tensors."""
    damaged = BaseError(f"{path} is not a whole safetensors file; copy it again")
    with path.open("rb") as file:
        try:
            (size,) = struct.unpack("<Q", file.read(8))
            header = dict(json.loads(file.read(min(size, 2**27))))
        except (struct.error, TypeError, ValueError) as error:
            raise damaged from error
    header.pop("__metadata__", None)
    if path.stat().st_size < 8 + size + max((tensor["data_offsets"][1] for tensor in header.values()), default=0):
        raise damaged
    return header


def _check_layers(
    folder: Path, tensors: Mapping[str, Any], family: Family, shape: Shape, config: Mapping[str, Any]
) -> None:
    """Transformers would draw at random what is not there."""
    dtypes = {match.groups(): tensors[name]["dtype"] for name in tensors if (match := _LAYER.search(name))}
    expected = {(str(layer), target) for layer in range(shape.layers) for target in family.targets}
    declared = config.get("quantization_config")
    packed = any(name.endswith(".qweight") for name in tensors)
    if declared or packed or {dtypes.get(each) for each in expected} & _NOT_REAL:
        method = f" ({declared.get('quant_method')})" if declared else ""
        raise BaseError(f"the weights in {folder} are quantised{method}, so they cannot be adapted; {_ORIGINAL}")
    absent = sorted(f"{target} of layer {layer}" for layer, target in expected - dtypes.keys())
    if config.get("tie_word_embeddings") is False and not any(name.endswith(_HEADS) for name in tensors):
        absent.append("the last layer, lm_head")
    if absent:
        raise BaseError(
            f"the weights in {folder} lack {len(absent)} of the model's matrices: {absent[0]}; copy them again"
        )


def _check_gguf(folder: Path) -> None:
    files = sorted(folder.glob("*.gguf"))
    if (folder / _ADAPTER).is_file():
        raise BaseError(f"{folder} holds an adapter; name the base that it belongs on")
    if not files:
        raise BaseError(f"{folder} has neither a config.json nor a GGUF file; name the folder of a model")
    kind = _gguf_architecture(files[0])
    architectures = {family.gguf.architecture.lower() for family in families().values() if family.gguf}
    if kind and kind not in architectures:
        raise BaseError(f"{files[0].name} is of the architecture {kind}, which no family has; {_ANOTHER}")


def _gguf_architecture(file: Path) -> str:
    """The first value of a GGUF file, by convention its architecture; empty if it is another."""
    with file.open("rb") as content:
        head = content.read(512)
    try:
        (size,) = struct.unpack_from("<Q", head, 24)
        key = head[32 : 32 + size].decode()
        (length,) = struct.unpack_from("<Q", head, 36 + size)
        return head[44 + size : 44 + size + length].decode() if key == "general.architecture" else ""
    except (struct.error, UnicodeDecodeError) as error:
        raise BaseError(f"{file} is not a whole GGUF file; copy it again") from error


def _vocabulary(model: Mapping[str, Any]) -> Mapping[str, int]:
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        return {str(token): number for number, (token, _) in enumerate(vocabulary)}
    return dict(vocabulary)


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BaseError(f"{path} is not valid JSON ({error}); copy it again") from error


def _optional(path: Path) -> dict[str, Any]:
    return _json(path) if path.is_file() else {}
