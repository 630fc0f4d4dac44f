"""An editor's settings, and completions from a running gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import httpx2


@dataclass(frozen=True)
class Options:
    """Settings of an editor, in its section ``cortex`` or as initialization options.

    The command line and the environment give their defaults.
    """

    gateway: str = "http://127.0.0.1:8008"
    """Address of a running gateway; empty for no completions."""

    key: str = field(default="", repr=False)
    """Its API key."""

    model: str = ""
    """Project, project@champion or project@1.2.0; empty for the gateway's default."""

    project: str = ""
    """Project whose conventions hold for all open files; empty for the one whose source a file is."""

    check: bool = True
    """Whether to report what `cortex check` finds."""

    max_tokens: int = 64
    """Longest completion in tokens."""

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Options).items():
            value = getattr(self, name)
            if type(value) is not kind:
                rendered = "what is there" if name == "key" else repr(value)
                raise ValueError(f"cortex.{name} has to be {_KINDS[kind]}, not {rendered}")
        if self.gateway:
            object.__setattr__(self, "gateway", _address(self.gateway))
        if not self.key.isascii() or not self.key.isprintable():
            raise ValueError("cortex.key holds a character that no key has; copy it again from `cortex keys create`")
        if not 1 <= self.max_tokens <= 4096:
            raise ValueError(f"cortex.max_tokens is {self.max_tokens}; give 1 to 4096")

    def with_settings(self, settings: Any) -> "Options":
        """These options with an editor's settings applied. Raises ValueError."""
        if isinstance(settings, Mapping) and isinstance(settings.get("cortex"), Mapping):
            settings = settings["cortex"]
        if not settings:
            return self
        names = [each.name for each in fields(self)]
        if not isinstance(settings, Mapping):
            raise ValueError(f"the settings of cortex are a table of {', '.join(names)}, not {settings!r}")
        if unknown := sorted(set(settings) - set(names)):
            raise ValueError(f"cortex.{unknown[0]} is not a setting; there are {', '.join(names)}")
        return replace(self, **settings)


_KINDS = {str: "text", bool: "true or false", int: "a whole number"}


def _address(text: str) -> str:
    """The address of a gateway without the slash and ``/v1`` at its end; ValueError for any other text."""
    try:
        parts = urlsplit(text)
        well_formed = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is not a number, or brackets without an address
        well_formed = False
    if not well_formed or parts.query or parts.fragment or any(character.isspace() for character in text):
        raise ValueError(f"the gateway's address is not {text!r}, but such as http://127.0.0.1:8008")
    if parts.username or parts.password:
        raise ValueError("the gateway's address holds no password; a key is cortex.key or the variable CORTEX_API_KEY")
    return text.rstrip("/").removesuffix("/v1")


_PREFIX, _SUFFIX = 16_000, 8_000
"""Characters around the cursor that are sent; the windows of the usual bases hold less."""

_TIMEOUT = httpx2.Timeout(30, connect=2)
"""Seconds. Slow gateways exist; an editor that has moved on cancels."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class GatewayError(RuntimeError):
    """A completion failed; the message is for the person at the editor."""


class BusyGatewayError(GatewayError):
    """The gateway is overloaded; a later completion may succeed."""


class CompletionClient:
    """Asks one gateway; closed by ``close``. A cancelled request closes its connection, which ends its generation."""

    def __init__(self, options: Options) -> None:
        self._options = options
        headers = {"authorization": f"Bearer {options.key}"} if options.key else {}
        # a proxy of the environment is not asked for this machine
        away = urlsplit(options.gateway).hostname not in _LOOPBACK
        self._client = httpx2.AsyncClient(base_url=options.gateway, headers=headers, timeout=_TIMEOUT, trust_env=away)

    async def complete(self, text: str, offset: int) -> str:
        """The gateway's completion at ``offset``, which may be empty. Raises GatewayError."""
        prompt, suffix = _cursor_context(text, offset)
        if not f"{prompt}{suffix}".strip():
            return ""  # an empty file says nothing of what it will be
        body = {"prompt": prompt, "max_tokens": self._options.max_tokens}
        body |= {"suffix": suffix} if suffix.strip() else {}
        body |= {"model": self._options.model} if self._options.model else {}
        try:
            answer = await self._client.post("/v1/completions", json=body)
            if answer.is_success:
                return str(answer.json()["choices"][0]["text"])
        except httpx2.ReadTimeout as error:
            raise BusyGatewayError(f"{self._options.gateway} has not answered in {_TIMEOUT.read} s") from error
        except httpx2.HTTPError as error:
            raise GatewayError(
                f"no completions: no gateway answers at {self._options.gateway} ({error}); start one with "
                "`cortex serve`, or set cortex.gateway to its address, or to nothing"
            ) from error
        except (ValueError, LookupError, TypeError) as error:
            raise GatewayError(
                f"no completions: {self._options.gateway} does not answer as a gateway; correct cortex.gateway"
            ) from error
        raise self._refusal(answer)

    def _refusal(self, answer: httpx2.Response) -> GatewayError:
        try:
            sentence = str(answer.json()["error"]["message"])
        except (ValueError, LookupError, TypeError):
            sentence = f"status {answer.status_code}"
        if answer.status_code in (httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE):
            return BusyGatewayError(sentence)
        remedy = ""
        if answer.status_code in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
            remedy = "; put a key that may complete into cortex.key or the variable CORTEX_API_KEY"
        return GatewayError(f"no completions: {self._options.gateway} refuses: {sentence}{remedy}")

    async def close(self) -> None:
        await self._client.aclose()


def _cursor_context(text: str, offset: int) -> tuple[str, str]:
    """The text before and after a cursor, whole lines of it, by the limits above."""
    start, end = max(0, offset - _PREFIX), offset + _SUFFIX
    if start:
        start = text.find("\n", start, offset) + 1 or start
    if end < len(text):
        end = text.rfind("\n", offset, end) + 1 or end
    # half a surrogate pair cannot be sent as UTF-8
    before, after = (part.encode("utf-8", "replace").decode() for part in (text[start:offset], text[offset:end]))
    return before, after
