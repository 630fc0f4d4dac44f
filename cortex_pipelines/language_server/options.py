"""Settings of an editor, in its section ``cortex`` or as initialization options."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_type_hints
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Options:
    """Options of the language server; the command line and the environment give their defaults."""

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
