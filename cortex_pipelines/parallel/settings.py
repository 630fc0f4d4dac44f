"""Settings of parallel work."""

from typing import Literal

from cortex_pipelines.settings import PositiveInt, Settings, Threads


class ExecutionSettings(Settings):
    """Section ``execution`` of params.yaml: where rows are computed; no output depends on it."""

    backend: Literal["processes", "ray", "serial"]
    """Processes of this machine, the Ray cluster that ``RAY_ADDRESS`` names, or this process alone."""

    workers: Threads | None
    """Tasks at the same time; null for the cores of this machine, or those of the Ray cluster."""

    memory: PositiveInt | None
    """MB that this process and its workers may use, with fewer workers if need be; null for what is free."""
