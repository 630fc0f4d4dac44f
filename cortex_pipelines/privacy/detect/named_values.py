"""Literals with the names they are assigned to, as syntax trees and parsers of settings see them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedValue:
    """A literal that may reach a name.

    Attributes:
        name: The variable, attribute, parameter or key, as written; keys of settings that lie in
            each other are joined by dots.
        value: What the literal stands for, after escapes are resolved.
        start: Character index at which the literal's contents begin, after its opening quote.
        end: Character index after the contents, before the closing quote.
        quoted: Whether the literal stands in quotes.
    """

    name: str
    value: str
    start: int
    end: int
    quoted: bool
