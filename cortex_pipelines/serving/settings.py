"""The ``serving`` section of ``params.yaml``: what the gateway may use. No output depends on it."""

import re
from string import Formatter
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from cortex_pipelines.serving.security.roles import Role
from cortex_pipelines.settings import Length, PositiveInt, Settings, Threads

EngineName = Literal["torch", "llama", "openai", "vllm"]
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


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError(f"{text!r} is no address such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise ValueError("an address holds no password; serving.upstream.key names a variable")
    return text.rstrip("/")


def _adapter_name(text: str) -> str:
    try:
        fields = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError:
        fields = set()
    if "version" not in fields or fields - {"version", "project"}:
        raise ValueError(f"{text!r} has to hold {{version}}, and may hold {{project}}")
    return text


class UpstreamSettings(Settings):
    """A server that writes for the gateway, with the engine ``openai`` or ``vllm``."""

    url: Annotated[Name, AfterValidator(_address)]
    """Address of its OpenAI interface, such as http://127.0.0.1:8000/v1."""

    model: Name
    """Its name of the base."""

    adapter: Annotated[Name, AfterValidator(_adapter_name)] | None
    """Its name of an adapter, with {project} and {version} (DVC's); null if it has none."""

    key: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None
    """Environment variable that holds its API key; null for none."""

    seconds: Annotated[int, Field(ge=1, le=3600)]
    """Longest wait for the next part of an answer."""

    attempts: Annotated[int, Field(ge=1, le=10)]
    """How often an answer of which nothing has come is asked for, with growing waits between."""

    at_once: Annotated[int, Field(ge=1, le=1000)]
    """Requests that it gets at a time."""


class ServingSettings(Settings):
    """Limits of the gateway."""

    engine: EngineName
    """What writes text: torch for any base, llama.cpp, quicker on a processor, or a server."""

    upstream: UpstreamSettings
    """The server, with the engine openai or vllm."""

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

    review: bool
    """Whether routed tasks that a person should decide are kept, without secrets and personal data,
    until somebody has: `cortex review`."""

    hosts: Annotated[tuple[Name, ...], Field(strict=False)]
    """Host names of the gateway, besides those of this machine where it listens there only."""

    origins: Annotated[tuple[Name, ...], Field(strict=False)]
    """Origins whose pages may ask the gateway (CORS), such as https://tools.example."""

    oidc: OidcSettings | None
    """Whose tokens are accepted in the place of API keys; null for nobody's."""

    def with_engine(self, engine: EngineName | None) -> "ServingSettings":
        """The same for another engine; None for the one named here."""
        return self.model_copy(update={"engine": engine}) if engine else self
