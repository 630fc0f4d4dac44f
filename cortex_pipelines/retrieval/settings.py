"""Settings of what is embedded, and of clusters and their map."""

from typing import Literal

from pydantic import Field

from cortex_pipelines.settings import Batch, PositiveInt, Seed, Settings, Threads


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


class ClusterSettings(Settings):
    """Section ``clustering`` of params.yaml: which units are alike, and their map."""

    seed: Seed
    """Seed of the map and of which units are on it."""

    smallest_cluster: int = Field(ge=2, le=100_000)
    """Fewest units of a cluster (HDBSCAN's ``min_cluster_size``)."""

    most_mapped: int = Field(ge=50, le=50_000)
    """Most units on the map; of more a sample by hash of the place."""

    perplexity: int = Field(ge=2, le=1000)
    """About how many neighbours of a unit the map keeps near it (t-SNE)."""
