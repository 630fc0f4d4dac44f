"""The ``serving`` section of ``params.yaml``. No pipeline output depends on it."""

import re
from string import Formatter
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from cortex_pipelines.serving.security.access import Role
from cortex_pipelines.settings import Length, PositiveFloat, PositiveInt, Settings, Share, Threads

EngineName = Literal["auto", "torch", "llama", "openvino", "openai", "vllm"]
"""Engines that can answer."""

Name = Annotated[str, Field(min_length=1, max_length=255)]


def _jwks_location(location: str) -> str:
    scheme, _, address = location.partition("://")
    host = re.split(r"[:/]", address)[0]
    if address and scheme != "https" and not (scheme == "http" and host in ("localhost", "127.0.0.1")):
        raise ValueError(f"{location}: an address begins with https://, and a file's has no ://")
    return location


class OidcSettings(Settings):
    """An OpenID Connect provider whose tokens are accepted instead of API keys."""

    issuer: Name
    """Required ``iss`` of a token."""

    audience: Name
    """Required ``aud`` of a token: the name of this gateway at the provider."""

    jwks: Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(_jwks_location)]
    """The provider's public keys (JWKS): an address, or a file in the project."""

    role_claim: Name
    """Claim with the subject's roles or groups; dots nest, as in realm_access.roles."""

    roles: dict[Name, Role] | None
    """Role of each value of that claim; null if the values are roles."""

    project_claim: Name | None
    """Claim with the projects whose models may be used; null for all projects."""


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError(f"{text!r} is not an address such as http://127.0.0.1:8000/v1")
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
    """The upstream server of the engines ``openai`` and ``vllm``."""

    url: Annotated[Name, AfterValidator(_address)]
    """Address of its OpenAI interface, such as http://127.0.0.1:8000/v1."""

    model: Name
    """Its name of the base."""

    adapter: Annotated[Name, AfterValidator(_adapter_name)] | None
    """Its name of an adapter, with {project} and {version} (DVC's); null if it has none."""

    key: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None
    """Environment variable that holds its API key; null for none."""

    seconds: Annotated[int, Field(ge=1, le=3600)]
    """Timeout for the next chunk of an answer, in seconds."""

    attempts: Annotated[int, Field(ge=1, le=10)]
    """Attempts until the first token of an answer, with exponential backoff."""

    at_once: Annotated[int, Field(ge=1, le=1000)]
    """Concurrent requests to the server."""


class TaskBudget(Settings):
    """Limits of an answer to a task; an answer cut off by them is discarded."""

    tokens: PositiveInt
    """Most tokens that a model writes for one answer."""

    seconds: Annotated[float, Field(gt=0, le=3600)]
    """Deadline in seconds; then the best answer so far is given, or the reason why nothing can be given."""


class TasksSettings(Settings):
    """Answers of ``/predict``, agents' tools and ``cortex suggest``."""

    least_confidence: Share
    """Calibrated confidence below which nothing is answered."""

    completion: TaskBudget
    """Code that goes on from the input."""

    refactoring: TaskBudget
    """A unit changed for the better."""

    naming: TaskBudget
    """A name."""

    architecture: TaskBudget
    """Where code belongs, who owns it, what may import what."""

    documentation: TaskBudget
    """What a unit does."""

    tests: TaskBudget
    """A test of a unit."""

    review: TaskBudget
    """What a reviewer would say."""

    translation: TaskBudget
    """A unit in another language."""


class DeadlineSettings(Settings):
    """How long answers may take; a request sets its own by the header x-cortex-deadline."""

    cursor: Annotated[float, Field(gt=0, le=3600)] | None
    """Seconds for a completion at the cursor, twice that until its first statement is whole; null for no limit."""


class ServingSettings(Settings):
    """Limits of the gateway."""

    engine: EngineName
    """Engine: openvino, llama.cpp, torch for any base, auto (the quickest that suits base and machine), or an upstream
    server."""

    upstream: UpstreamSettings
    """Upstream server of the engines openai and vllm."""

    adapters: Annotated[int, Field(ge=1, le=256)]
    """Adapters in memory; the least recently used is evicted."""

    free_mib: Annotated[int, Field(ge=0, le=1_048_576)]
    """Memory to leave free, in MiB, within the limits of container and process. With less, or while tasks wait for
    memory (PSI), adapters are evicted one by one, the least recently used first; 0 for never."""

    precision: Literal["fp32", "bf16", "fp16", "q8", "q4"]
    """Type of the base's weights in memory: q4 by llama.cpp, q8 by openvino and llama.cpp. Where torch answers instead,
    they are in fp32, on a GPU as they are trained there. Adapters are float32."""

    slots: Annotated[int, Field(ge=1, le=64)]
    """Requests that openvino or llama.cpp answers at once, each with memory for a window."""

    threads: Threads
    """CPU threads of the model."""

    window: Length
    """Tokens of prompt and answer; the base's own limit if lower."""

    max_tokens: PositiveInt
    """Longest answer in tokens."""

    tasks: TasksSettings
    """Answers to tasks."""

    deadlines: DeadlineSettings
    """How long answers may take."""

    cached_mib: Annotated[int, Field(ge=0, le=65_536)]
    """Size of the response cache in MiB; 0 disables it."""

    waiting: Annotated[int, Field(ge=1, le=10_000)]
    """Longest queue; further requests are rejected (429)."""

    requests_per_minute: PositiveInt | None
    """Requests per minute and key (429 with Retry-After); null for no limit."""

    tokens_per_minute: PositiveInt | None
    """Prompt and answer tokens per minute and key; null for no limit."""

    output: Literal["flag", "cut", "off"]
    """Handling of secrets and personal data in answers: flagged, replaced, or not scanned for."""

    review: bool
    """Whether to queue routed tasks that a person should decide, without secrets and personal data,
    for `cortex review`."""

    hosts: Annotated[tuple[Name, ...], Field(strict=False)]
    """Further host names of the gateway; on loopback, this machine's names are always accepted."""

    origins: Annotated[tuple[Name, ...], Field(strict=False)]
    """Origins allowed by CORS, such as https://tools.example."""

    oidc: OidcSettings | None
    """OpenID Connect provider whose tokens are accepted; null for none."""


class LatencySettings(Settings):
    """SLA of adapters: 95 of 100 answers to a prompt of 512 tokens that was read before are as quick on this machine.

    It is measured by `cortex promote`, and only if there is a limit.
    """

    engines: Annotated[list[Literal["auto", "llama", "openvino", "torch"]], Field(min_length=1)]
    """Engines that have to meet it, each; auto is serving.engine."""

    first_token_ms: PositiveFloat | None
    """Milliseconds until the first token; null for no limit."""

    tokens_40_ms: PositiveFloat | None
    """Milliseconds until 40 tokens are written; null for no limit."""


class PromotionGates(Settings):
    """What a promotion measures on the machine that serves."""

    latency: LatencySettings
    """How long people may wait for an answer."""
