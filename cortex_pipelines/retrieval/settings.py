"""Settings of what is embedded."""

from typing import Literal

from cortex_pipelines.settings import Batch, PositiveInt, Settings, Threads


class RetrievalSettings(Settings):
    """Section ``retrieval`` of params.yaml: how texts are embedded."""

    max_tokens: PositiveInt
    """Tokens of a text that are embedded."""

    batch: Batch
    """Texts of equal length at once; a smaller batch is padded, so that a vector never depends on
    its company."""

    threads: Threads
    """Threads of one product; more processors take further batches."""

    precision: Literal["auto", "fp32", "bf16"]
    """Precision of the encoder; ``auto`` takes ``bf16`` where the processor has instructions
    for it."""
