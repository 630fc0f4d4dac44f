"""Names of values in nested mappings and lists."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from cortex_pipelines.privacy.detect.names import SUSPECT
from cortex_pipelines.privacy.detect.settings.format import Setting, SettingsFileError
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText
from cortex_pipelines.privacy.detect.text.wording import word_set

MAX_DEPTH = 200
"""Deepest nesting that is read; real files have a dozen levels."""

NAME_KEYS = word_set(
    "name key id variable var parameterkey parameter_key field option setting property header "
    "param envname env_name env"
)
"""Keys whose value names the value beside them, as in lists of environment variables."""

VALUE_KEYS = word_set(
    "value val parametervalue parameter_value stringvalue string_value secret secretvalue "
    "secret_value default defaultvalue default_value content current initial_value plaintext"
)
"""Keys of such a value."""

COMPOUND = re.compile(r"[={\n]|<%")
"""What a value has if it holds others."""


@dataclass(slots=True)
class _Container:
    """An open mapping or list."""

    prefix: str
    is_mapping: bool
    key: str | None = None
    items: int = 0
    is_suspect: bool = False
    entry_name: str = ""
    entry_values: list[Setting] = field(default_factory=list)


@lru_cache(maxsize=1 << 14)
def _suggests(key: str) -> bool:
    return SUSPECT.search(key.lower()) is not None


def _is_pair(key: str) -> bool:
    lower = key.lower()
    return lower in NAME_KEYS or lower in VALUE_KEYS


class NestedKeys:
    """Turns the events of a parser into settings with joined keys.

    Events are `open`, `scalar` and `close`, in the order of the text; in a mapping every other
    scalar is a key.
    """

    def __init__(self, prefix: str = "") -> None:
        self._containers = [_Container(prefix, is_mapping=False)]

    @property
    def depth(self) -> int:
        """Number of open containers."""
        return len(self._containers) - 1

    def open(self, is_mapping: bool) -> None:
        """Begin a mapping or a list.

        Raises:
            SettingsFileError: the text is nested too deeply.
        """
        if self.depth >= MAX_DEPTH:
            raise SettingsFileError(f"nested deeper than {MAX_DEPTH} levels")
        is_suspect = self._is_suspect()
        self._containers.append(_Container(self._next_name(), is_mapping, is_suspect=is_suspect))

    def close(self) -> Iterator[Setting]:
        """End the innermost container; yields its value under the name given next to it."""
        if not self.depth:
            raise SettingsFileError("a bracket is closed that was not opened")
        container = self._containers.pop()
        if container.entry_name:
            for setting in container.entry_values:
                yield Setting(f"{container.entry_name}.value", setting.value, setting.quoted)

    def scalar(self, value: MappedText, quoted: bool) -> Iterator[Setting]:
        """Add a key or a value."""
        container = self._containers[-1]
        if not container.is_mapping:
            yield Setting(self._next_name(), value, quoted)
        elif container.key is None:
            container.key = value.text
        else:
            key = container.key.lower()
            setting = Setting(self._next_name(), value, quoted)
            if key in NAME_KEYS:
                container.entry_name = container.entry_name or value.text
            elif key in VALUE_KEYS:
                container.entry_values.append(setting)
            yield setting

    def _next_name(self) -> str:
        """Name of the value that comes next; its key is used up."""
        container = self._containers[-1]
        if container.is_mapping:
            key = container.key or ""
            container.key = None
        else:
            key = str(container.items) if self.depth else ""
            container.items += 1
        return f"{container.prefix}.{key}" if container.prefix and key else container.prefix or key

    @property
    def expects_key(self) -> bool:
        """Whether the next scalar is a key."""
        return self._containers[-1].is_mapping and self._containers[-1].key is None

    def key(self, key: str) -> None:
        """Add a key."""
        self._containers[-1].key = key

    def is_of_interest(self, value: str) -> bool:
        """Whether the next value may be a secret, name one, or hold other settings."""
        key = self._containers[-1].key or ""
        return self._is_suspect() or _is_pair(key) or COMPOUND.search(value) is not None

    def _is_suspect(self) -> bool:
        container = self._containers[-1]
        return container.is_suspect or _suggests(container.key or "")

    def skip(self) -> None:
        """Skip a value that is neither scalar nor container, such as a reference."""
        self._next_name()
