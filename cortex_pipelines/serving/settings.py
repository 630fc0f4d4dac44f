"""The ``serving`` section of ``params.yaml``: what the gateway may use. No output depends on it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cortex_pipelines.serving.security.roles import Role
from cortex_pipelines.settings import Length, PositiveInt, Settings, Threads

EngineName = Literal["torch", "llama"]
Name = Annotated[str, Field(min_length=1, max_length=255)]
_HERE = ("http", "127.0.0.1")


def _place_of_keys(place: str) -> str:
    """An address that nobody can change on the way, or a file.

    Raises:
        ValueError: it is another kind of address.
    """
    scheme, _, rest = place.partition("://")
    host = re.split(r"[:/]", rest)[0]
    if rest and scheme != "https" and (scheme, host) not in (("http", "localhost"), _HERE):
        raise ValueError(f"{place}: an address begins with https://, and a file's has no ://")
    return place


class OidcSettings(Settings):
    """An OpenID Connect provider whose tokens are accepted in the place of API keys."""

    issuer: Name
    """What a token's ``iss`` has to be."""

    audience: Name
    """What a token's ``aud`` has to be or to hold: the name of this gateway at the provider."""

    jwks: Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(_place_of_keys)]
    """The provider's public keys (JWKS): an address, or a file in the project."""

    role_claim: Name
    """Claim with the subject's roles or groups; dots lead into it, as in realm_access.roles."""

    roles: dict[Name, Role] | None
    """Role of each value of that claim; null where the values are the roles."""

    project_claim: Name | None
    """Claim with the projects whose models may be used; null for all projects."""


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

    oidc: OidcSettings | None
    """Whose tokens are accepted in the place of API keys; null for nobody's."""

    def with_engine(self, engine: EngineName | None) -> "ServingSettings":
        """The same for another engine; None for the one named here."""
        return self.model_copy(update={"engine": engine}) if engine else self
