"""The ``serving`` section of ``params.yaml``: what the gateway may use. No output depends on it."""

from typing import Annotated, Literal

from pydantic import Field

from cortex_pipelines.settings import Length, PositiveInt, Settings, Threads

EngineName = Literal["torch", "llama"]


class ServingSettings(Settings):
    """Limits of the gateway."""

    engine: EngineName
    """What writes text: torch for any base, or llama.cpp, quicker on a processor."""

    adapters: Annotated[int, Field(ge=1, le=256)]
    """Adapters kept in memory, the one used longest ago leaving first."""

    precision: Literal["fp32", "bf16", "fp16"]
    """Type of the base's weights in memory; adapters are float32."""

    threads: Threads
    """Processor threads of the model."""

    window: Length
    """Most tokens of a prompt with its answer; the base's own limit where that is lower."""

    max_tokens: PositiveInt
    """Most tokens of one answer."""

    waiting: Annotated[int, Field(ge=1, le=10_000)]
    """Requests that may wait for the model; the next one is told to come back later (429)."""

    def with_engine(self, engine: EngineName | None) -> "ServingSettings":
        """The same for another engine; None for the one named here."""
        return self.model_copy(update={"engine": engine}) if engine else self
