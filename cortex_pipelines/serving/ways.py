"""Which way of answering an evaluation names for a project."""

from collections.abc import Mapping, Sequence

from cortex_pipelines.serving.catalogue import Way

_FIGURES: Mapping[Way, str] = {
    "base": "completion_base_bits_per_byte",
    "context": "retrieval_bits_per_byte",
    "adapter": "completion_challenger_bits_per_byte",
    "both": "adapter_with_retrieval_bits_per_byte",
}


def measured_ways(metrics: Mapping[str, float | None]) -> dict[Way, float]:
    """Bits per byte of the held-out completions, by way; of those that were measured."""
    values = {way: metrics.get(name) for way, name in _FIGURES.items()}
    return {way: float(value) for way, value in values.items() if value is not None}


def best_way(metrics: Mapping[str, float | None], among: Sequence[Way]) -> Way:
    """The way that needs the fewest bits; the first of those asked for if none was measured.

    Args:
        metrics: The evaluation's ``metrics.json``.
        among: The ways that can be served, the one to fall back on first.
    """
    known = {way: bits for way, bits in measured_ways(metrics).items() if way in among}
    return min(known, key=lambda way: (known[way], among.index(way)), default=among[0])
