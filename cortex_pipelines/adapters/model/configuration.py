"""Read a LoRA adapter's configuration, which may come from anywhere."""

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel as PydanticModel
from pydantic import ConfigDict, ValidationError

from cortex_pipelines.adapters.model.lora import CONFIGURATION
from cortex_pipelines.settings import PartShare, PositiveFloat, Rank, Regex

_LARGEST_CONFIGURATION = 2**20
_AGAIN = "take the adapter again from DVC or from whoever exported it"


class ConfigurationError(ValueError):
    """An ``adapter_config.json`` does not describe a plain LoRA adapter."""


class AdapterConfiguration(PydanticModel):
    """The fields of ``adapter_config.json`` that matter here; the rest is kept as is."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    peft_type: Literal["LORA"]
    r: Rank
    lora_alpha: PositiveFloat
    lora_dropout: PartShare
    target_modules: str | list[str]
    use_rslora: bool
    alpha_pattern: dict[Regex, PositiveFloat]
    rank_pattern: dict[Regex, Rank]
    bias: Literal["none"]


def read_configuration(adapter: Path) -> dict[str, Any]:
    """The ``adapter_config.json`` in a folder, as written.

    Raises ``ConfigurationError`` if it is missing or invalid JSON, has a duplicate key, a number that is not finite,
    or values that no LoRA adapter has.
    """
    path = adapter / CONFIGURATION
    try:
        data = path.read_bytes()
        if len(data) > _LARGEST_CONFIGURATION:
            raise ValueError(f"it has {len(data):,} bytes")
        value: dict[str, Any] = json.loads(
            data.decode(), object_pairs_hook=_unique_keys, parse_constant=_finite, parse_float=_finite
        )
        AdapterConfiguration.model_validate(value)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'all of it'}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)[:5]
        )
        raise ConfigurationError(f"{path} is not a plain LoRA configuration: {problems}; {_AGAIN}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}; {_AGAIN}") from error
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("it contains a key twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value
