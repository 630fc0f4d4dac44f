"""The ``serving`` section of ``params.yaml``: what the gateway may use. No output depends on it."""

from typing import Annotated, Literal

from pydantic import Field

from cortex_pipelines.settings import Length, PositiveInt, Settings, Threads

EngineName = Literal["torch", "llama"]
Name = Annotated[str, Field(min_length=1, max_length=255)]


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

    cached_mib: Annotated[int, Field(ge=0, le=65_536)]
    """Memory for answers that were given already, in MiB; 0 to answer everything anew."""

    waiting: Annotated[int, Field(ge=1, le=10_000)]
    """Requests that may wait for the model; the next one is told to come back later (429)."""

    requests_per_minute: PositiveInt | None
    """Requests that each key may send in a minute (429 with Retry-After); null for any number."""

    tokens_per_minute: PositiveInt | None
    """Tokens that each key may have read and written in a minute; null for any number."""

    output: Literal["flag", "cut", "off"]
    """What becomes of secrets and personal data in answers: named, replaced, or not looked for."""

    hosts: Annotated[tuple[Name, ...], Field(strict=False)]
    """Host names of the gateway, besides those of this machine where it listens there only."""

    origins: Annotated[tuple[Name, ...], Field(strict=False)]
    """Origins whose pages may ask the gateway (CORS), such as https://tools.example."""

    def with_engine(self, engine: EngineName | None) -> "ServingSettings":
        """The same for another engine; None for the one named here."""
        return self.model_copy(update={"engine": engine}) if engine else self
