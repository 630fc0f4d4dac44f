"""What the parsers of settings yield: names, and values with exact positions."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cortex_pipelines.privacy.detect.named_values import NamedValue
from cortex_pipelines.privacy.detect.names import SUSPECT
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText
from cortex_pipelines.privacy.detect.text.wording import word_set

MAX_DEPTH = 200
"""Deepest nesting that is read; real files have a dozen levels."""

NAME_KEYS = word_set(
    "name key id variable var parameterkey parameter_key field option setting property header param envname env_name "
    "env"
)
"""Keys whose value names the value beside them, as in lists of environment variables."""

VALUE_KEYS = word_set(
    "value val parametervalue parameter_value stringvalue string_value secret secretvalue secret_value default "
    "defaultvalue default_value content current initial_value plaintext"
)
"""Keys of such a value."""

COMPOUND = re.compile(r"[={\n]|<%")
"""What a value has if it holds others."""


class SettingsFileError(ValueError):
    """A text that is malformed by the rules of its format."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value with its key (nested keys joined by dots), and whether it stands in quotes."""

    name: str
    value: MappedText
    quoted: bool

    def named_value(self) -> NamedValue | None:
        """The setting with its span in the file; None if it is empty."""
        value = self.value
        if not value.text or value.text.isspace():
            return None
        start, end = value.starts[0], value.ends[-1]
        if end - start == len(value.text) and "\n" not in value.text:
            return NamedValue(self.name, value.text, start, end, self.quoted)
        parts = value.source_parts()
        several = tuple(parts) if len(parts) > 1 else ()
        return NamedValue(self.name, value.text, parts[0][0], parts[-1][1], self.quoted, several)


Parser = Callable[[MappedText], Iterator[Setting]]
"""Yields the settings of a text; raises `SettingsFileError` if it is malformed."""


@dataclass(slots=True)
class _Container:
    prefix: str
    is_mapping: bool
    key: str | None = None
    items: int = 0
    is_suspect: bool = False
    entry_name: str = ""
    entry_values: list[Setting] = field(default_factory=list)


class NestedKeys:
    """Turns the events of a parser into settings with joined keys.

    Events are `open`, `scalar` and `close`, in the order of the text; in a mapping every other scalar is a key.
    """

    def __init__(self, prefix: str = "", is_mapping: bool = False) -> None:
        self._containers = [_Container(prefix, is_mapping=False)]
        if is_mapping:
            self.open(is_mapping)

    @property
    def depth(self) -> int:
        return len(self._containers) - 1

    @property
    def expects_key(self) -> bool:
        return self._containers[-1].is_mapping and self._containers[-1].key is None

    def open(self, is_mapping: bool) -> None:
        if self.depth >= MAX_DEPTH:
            raise SettingsFileError(f"nested deeper than {MAX_DEPTH} levels")
        is_suspect = self._is_suspect()  # by the key, which is used up with the name
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
        container = self._containers[-1]
        if container.is_mapping and container.key is None:
            container.key = value.text
            return
        key = (container.key or "").lower()
        setting = Setting(self._next_name(), value, quoted)
        if container.is_mapping and key in NAME_KEYS:
            container.entry_name = container.entry_name or value.text
        elif container.is_mapping and key in VALUE_KEYS:
            container.entry_values.append(setting)
        yield setting

    def key(self, key: str) -> None:
        self._containers[-1].key = key

    def skip(self) -> None:
        """Skip a value that is neither scalar nor container, such as a reference."""
        self._next_name()

    def is_of_interest(self, value: str) -> bool:
        """Whether the next value may be a secret, name one, or hold other settings."""
        key = (self._containers[-1].key or "").lower()
        return self._is_suspect() or key in NAME_KEYS or key in VALUE_KEYS or COMPOUND.search(value) is not None

    def _is_suspect(self) -> bool:
        key = (self._containers[-1].key or "").lower()
        return self._containers[-1].is_suspect or SUSPECT.search(key) is not None

    def _next_name(self) -> str:
        """Name of the value that comes next; its key is used up."""
        container = self._containers[-1]
        if container.is_mapping:
            key, container.key = container.key or "", None
        else:
            key = str(container.items) if self.depth else ""
            container.items += 1
        return f"{container.prefix}.{key}" if container.prefix and key else container.prefix or key


_BLOCK = re.compile(
    r"\{\{(?:[^{}\n]|\}(?!\})|\{(?!\{)){0,500}+\}\}|<%(?:[^%]|%(?!>)){0,1000}+%>"
    r"|\{%(?:[^%]|%(?!\})){0,1000}+%\}"
)
_DIRECTIVE = re.compile(r"(?m)^([ \t]*)((?:\{\{-?[^\n{}]*\}\}|<%(?!=)[^\n]*%>|\{%[^\n]*%\})[ \t]*)$")


def without_templates(text: str) -> str:
    """The text with a word of the same length for each block of a template (ERB, Jinja, Go, Liquid).

    A line that is only a directive becomes a comment. All other characters keep their positions, so
    that a parser of the format underneath reads it.
    """

    def word(match: re.Match[str]) -> str:
        lines = match[0].split("\n")
        return "\n".join(["x" * len(lines[0]), *("#" * len(line) for line in lines[1:])])

    if "{{" not in text and "<%" not in text and "{%" not in text:
        return text
    text = _DIRECTIVE.sub(lambda match: match[1] + "#" * len(match[2]), text)
    return _BLOCK.sub(word, text)
