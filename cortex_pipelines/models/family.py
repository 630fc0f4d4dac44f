"""Families of base models: what differs between them, as one file a family in ``families/``."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cortex_pipelines.tokenization.text_encoder import GAP_FORMATS, gap_marks

FOLDER = Path(__file__).parent / "families"


class FamilyError(ValueError):
    """A base is of no family that is known, or of one that cannot do what is asked."""


@dataclass(frozen=True)
class GgufMap:
    """What a family's GGUF needs beside gguf's own map of its tensors' names.

    Args:
        architecture: Name in ``gguf.MODEL_ARCH``.
        activations: Activations that llama.cpp computes for it.
        rope: Kinds of rotary embeddings that can be written.
        numbers: ``add_<name>`` of gguf's writer to the key of ``config.json`` that has its value.
        rows: Last part of a layer's name to the order in which llama.cpp has its rows: ``pairs`` of the rotary
            embedding side by side, or query, key and value of all ``heads`` apart.
        norm_offset: Added to the weights of norms.
        bound: Largest difference (nats) of llama.cpp's log-probabilities from torch's, both in float32.
        sliding: Whether llama.cpp computes attention in a sliding window; if not, the window limits the context.
        whole_heads: Whether llama.cpp takes the hidden size for the width of all heads together.
        fixed: Keys of ``config.json`` that llama.cpp does not read, and what it computes with: a value, or another key.
    """

    architecture: str
    activations: tuple[str, ...]
    rope: tuple[str, ...]
    numbers: Mapping[str, str]
    rows: Mapping[str, str] = field(default_factory=dict)
    norm_offset: float = 0.0
    bound: float = 1e-3
    sliding: bool = False
    whole_heads: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """A family of base models.

    Args:
        name: Name of its file.
        about: Models that belong to it.
        model_type: As in ``config.json``.
        targets: Names of the layers that LoRA adapts by ``all-linear``.
        fim: Key of ``GAP_FORMATS``; None if its models were trained without marks: they see the code after a gap first.
        turn: Mark that begins a turn in its chat template.
        ends: Tokens that end an answer, beside those that the base declares.
        context: Tokens of its usual models.
        gated: Whether its feed-forward layers have a gate, a third matrix.
        gguf: None if llama.cpp does not know it.
        paged: Whether its attention can be computed over a paged KV cache.
        token: Token that tells it from other families of its ``model_type``.
        refusal: Why it cannot be trained; empty if it can.
    """

    name: str
    about: str
    model_type: str
    targets: tuple[str, ...]
    fim: str | None
    turn: str | None
    ends: tuple[str, ...]
    context: int
    gated: bool
    gguf: GgufMap | None
    paged: bool = True
    token: str = ""
    refusal: str = ""

    @property
    def marks(self) -> tuple[str, ...]:
        """Of a gap, in the order in which its models see them."""
        return gap_marks(GAP_FORMATS[self.fim]) if self.fim else ()

    def export_refusal(self, config: Mapping[str, Any]) -> str:
        """Why a base of this family cannot be written as GGUF; empty if it can."""
        if self.gguf is None:
            return f"llama.cpp does not know the family {self.name}"
        rope, activation = rope_of(config), activation_of(config)
        kind = rope["rope_type"]
        if kind not in self.gguf.rope:
            can = " and ".join(self.gguf.rope)
            return f"rotary embeddings of type {kind} cannot be written as GGUF yet (for {self.name}: {can})"
        for key, fixed in _FIXED.items():
            if rope.get(key, fixed) not in (None, fixed):
                return f"llama.cpp does not read {key} of rotary embeddings ({rope[key]})"
        if kind == "yarn" and rope.get("attention_factor"):
            return f"llama.cpp does not read attention_factor of rotary embeddings ({rope['attention_factor']})"
        for key, fixed in self.gguf.fixed.items():
            expected = config.get(fixed) if isinstance(fixed, str) else fixed
            if key in config and config[key] != expected:
                return f"llama.cpp does not read {key} ({config[key]}) in models of the family {self.name}"
        if activation not in self.gguf.activations:
            return f"llama.cpp does not compute {activation} in models of the family {self.name}"
        size = config.get("head_dim") if self.gguf.whole_heads else None
        if size and size * config["num_attention_heads"] != config["hidden_size"]:
            return f"llama.cpp does not read models of the family {self.name} without some of their heads"
        return ""

    def openvino_refusal(self, config: Mapping[str, Any]) -> str:
        """Why a base of this family cannot be served by OpenVINO; empty if it can."""
        if not self.paged:
            return f"OpenVINO is not told how models of the family {self.name} attend"
        kind = rope_of(config)["rope_type"]
        return "" if kind in _OF_PLACES else f"OpenVINO is not told how to compute rotary embeddings of type {kind}"


_OF_PLACES = ("default", "linear", "llama3", "yarn")
"""Kinds of rotary embeddings that do not depend on how long a text is."""


@cache
def families() -> Mapping[str, Family]:
    """All families by name."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.yaml"))}


def _read(path: Path) -> Family:
    with path.open(encoding="utf-8") as file:
        values = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # nosec B506: both are safe loaders
    gguf = values.pop("gguf")
    return Family(path.stem, gguf=GgufMap(**_fixed(gguf)) if gguf else None, **_fixed(values))


def _fixed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def family_of(config: Mapping[str, Any], tokens: Collection[str] = ()) -> Family:
    """The family of a base by its ``config.json`` and its added tokens; FamilyError names those that there are."""
    kind = config.get("model_type")
    of_type = [family for family in families().values() if family.model_type == kind]
    for family in of_type:
        if family.token and family.token in tokens:
            return family
    for family in of_type:
        if not family.token:
            return family
    raise FamilyError(
        f"no family of bases has the model type {kind}; there is: "
        f"{', '.join(sorted({family.model_type for family in families().values()}))}; choose another base "
        "(`cortex models` lists some), or add a file to cortex_pipelines/models/families"
    )


def rope_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Parameters of the rotary embeddings, by their names in transformers 5; older files have some beside the others.

    Where kinds of layers differ, those of layers that see all of the text.
    """
    rope: Mapping[str, Any] = config.get("rope_parameters") or config.get("rope_scaling") or {}
    layer_rope = rope.get("full_attention", rope)
    older = {
        "rope_theta": first(config, ("rope_theta", "rotary_emb_base"), 10_000.0),
        "partial_rotary_factor": first(config, ("partial_rotary_factor", "rotary_pct"), 1.0),
    }
    return {**older, **layer_rope, "rope_type": layer_rope.get("rope_type") or layer_rope.get("type") or "default"}


_FIXED = {
    **{"beta_fast": 32, "beta_slow": 1, "truncate": True},
    **dict.fromkeys(("mscale", "mscale_all_dim", "short_mscale", "long_mscale")),
}
"""Parameters of rotary embeddings that llama.cpp does not read, and what it computes with."""


def original_context(config: Mapping[str, Any]) -> int:
    """Tokens that a base was trained on before its rotary embeddings were stretched."""
    key = "original_max_position_embeddings"
    return int(rope_of(config).get(key) or config.get(key) or config["max_position_embeddings"])


def activation_of(config: Mapping[str, Any]) -> str:
    keys = ("hidden_activation", "hidden_act", "activation_function")
    return next((str(config[key]) for key in keys if config.get(key)), "silu")


def first(config: Mapping[str, Any], keys: Iterable[str], default: Any = None) -> Any:
    """The first value that is there, as families call the same number by other names."""
    return next((config[key] for key in keys if config.get(key) is not None), default)
