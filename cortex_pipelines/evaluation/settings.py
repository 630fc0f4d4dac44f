"""How models are measured: the ``evaluation`` section of ``params.yaml``."""

from typing import Literal

from pydantic import Field

from cortex_pipelines.settings import Settings


class EvaluationSettings(Settings):
    """What is measured on held-out items, and how sure the comparison has to be."""

    items: int = Field(ge=1)
    """Most held-out examples of each task that a model is scored on, sampled by the seed."""

    max_length: int = Field(ge=16)
    """Most tokens of one item; a longer prompt loses its beginning."""

    precision: Literal["fp32", "bf16"]
    """Type of the base's weights while scoring."""

    generated_items: int = Field(ge=0)
    """Items of each task completed by greedy generation for exact match and edit similarity;
    0 leaves both out (slow on a processor)."""

    max_new_tokens: int = Field(ge=1)
    """Most tokens generated for one item."""

    resamples: int = Field(ge=100)
    """Resamples of the paired bootstrap."""

    confidence: float = Field(gt=0, lt=1)
    """Confidence of every interval, two-sided."""

    seed: int
    """Seed of sampling and bootstrap."""

    threads: int = Field(ge=1)
    """Processor threads of scoring; part of the result."""
