"""What of a base can be known from its files, and why it cannot be trained, served or filled in here.

Reads neither weights nor code, and loads neither torch nor transformers.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.models import memory
from cortex_pipelines.models.family import Family, FamilyError, families, family_of
from cortex_pipelines.models.machine import Machine
from cortex_pipelines.models.memory import Stored
from cortex_pipelines.models.shape import Shape, shape_of
from cortex_pipelines.tokenization.text_encoder import gap_format, gap_marks

_EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight", "wte.weight", "shared.weight")
_TYPES: Mapping[str, Stored] = {"F32": "fp32", "BF16": "bf16", "F16": "fp16"}
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
    if not (folder / "config.json").is_file():
        _check_gguf(folder)
        return None
    config = _json(folder / "config.json")
    _check_weights(folder)
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise BaseError(f"{folder} has no tokenizer.json, as the tokenizers library writes it; {_ANOTHER}")
    tokens = _json(tokenizer)
    added = {str(token["content"]): int(token["id"]) for token in tokens.get("added_tokens", ())}
    try:
        family = family_of(config, added)
        shape = shape_of(config, family)
    except (FamilyError, ValueError) as error:
        raise BaseError(str(error)) from error
    if family.refusal:
        raise BaseError(f"bases of the family {family.name} cannot be trained: {family.refusal}; {_ANOTHER}")
    size = 1 + max(*_numbers(tokens["model"]), *added.values(), -1, -1)
    rows, stored = _embedding(folder) or (shape.vocabulary, None)
    if size > rows:
        raise BaseError(
            f"the tokenizer in {folder} has {size:,} tokens and the embedding {rows:,} rows: they are of two models; "
            "take both from where the weights come from"
        )
    declared = _optional(folder / "tokenizer_config.json") | _optional(folder / "special_tokens_map.json")
    end = declared.get("eos_token")
    end = end.get("content") if isinstance(end, Mapping) else end
    if not end:
        raise BaseError(
            f"the tokenizer in {folder} declares no end token, so that no answer would end; write eos_token to "
            f"tokenizer_config.json (of the family {family.name}: {', '.join(family.ends)})"
        )
    template = bool(declared.get("chat_template")) or (folder / "chat_template.jinja").is_file()
    return BaseFiles(family, config, shape, frozenset(added), template, str(end), stored)


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


def _check_weights(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    names = sorted(set(_json(index)["weight_map"].values())) if index.is_file() else []
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise BaseError(
            f"{folder} lacks {len(missing)} of its {len(names)} files of weights ({missing[0]}); copy them too"
        )
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin"))
        remedy = "pickled ones run code when they are loaded; save them as safetensors" if pickled else "copy them too"
        raise BaseError(f"{folder} has a config.json and no weights (*.safetensors); {remedy}")


def _check_gguf(folder: Path) -> None:
    files = sorted(folder.glob("*.gguf"))
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


def _embedding(folder: Path) -> tuple[int, Stored | None] | None:
    """Its rows, and their type."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            try:
                (size,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(size, 2**27)))
            except (struct.error, ValueError) as error:
                raise BaseError(f"{path} is not a whole safetensors file; copy it again") from error
        for name, tensor in header.items():
            if name.endswith(_EMBEDDINGS):
                return int(tensor["shape"][0]), _TYPES.get(tensor["dtype"])
    return None


def _numbers(model: Mapping[str, Any]) -> list[int]:
    vocabulary = model["vocab"]
    return [len(vocabulary) - 1] if isinstance(vocabulary, list) else list(vocabulary.values())


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BaseError(f"{path} is not valid JSON ({error}); copy it again") from error


def _optional(path: Path) -> dict[str, Any]:
    return _json(path) if path.is_file() else {}
