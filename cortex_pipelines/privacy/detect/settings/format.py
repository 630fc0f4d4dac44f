"""Output of a settings parser: names, and values with exact positions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cortex_pipelines.privacy.detect.named_values import NamedValue
from cortex_pipelines.privacy.detect.text.mapped_text import MappedText


class SettingsFileError(ValueError):
    """A text that is malformed by the rules of its format."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value in a file of settings.

    Attributes:
        name: Its key; nested keys are joined by dots.
        value: The value, with escapes resolved.
        quoted: Whether it stands in quotes.
    """

    name: str
    value: MappedText
    quoted: bool

    def named_value(self) -> NamedValue | None:
        """The setting with its span in the file; None if it is empty."""
        value = self.value
        if not value.text or value.text.isspace():
            return None
        start, end = value.source_span(0, len(value.text))
        if end - start == len(value.text) and "\n" not in value.text:
            return NamedValue(self.name, value.text, start, end, self.quoted)
        parts = value.source_parts(0, len(value.text))
        several = tuple(parts) if len(parts) > 1 else ()
        return NamedValue(self.name, value.text, parts[0][0], parts[-1][1], self.quoted, several)


Parser = Callable[[MappedText], Iterator[Setting]]


@dataclass(frozen=True, slots=True)
class SettingsFormat:
    """A format of settings files.

    Attributes:
        name: Its name.
        files: Patterns of file names, in lower case, as `fnmatch` reads them.
        fences: Its names after the opening fence of a code block in Markdown.
        parse: Yields the settings of a text. Raises `SettingsFileError` if it is malformed.
    """

    name: str
    files: tuple[str, ...]
    fences: tuple[str, ...]
    parse: Parser
