"""The learning rate of each optimiser step."""

from math import cos, pi

from cortex_pipelines.adapters.settings import AdapterSettings


def learning_rate_at(step: int, steps: int, settings: AdapterSettings) -> float:
    """Linear warm-up to the peak, then down to zero or level; steps count from 0."""
    # a run shorter than its warm-up still reaches the peak once
    warmup = min(settings.warmup_steps, steps - 1)
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    factor = {"cosine": (1 + cos(pi * progress)) / 2, "linear": 1 - progress, "constant": 1.0}
    return settings.learning_rate * factor[settings.lr_scheduler]
