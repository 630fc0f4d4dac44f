"""A pattern: what a team writes, what it does not, and when that applies.

Code of a pattern may hold metavariables in ast-grep's notation: ``$NAME`` is one node, ``$$$NAME``
any number of them.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Language = Literal["python", "javascript", "typescript", "java", "go", "rust"]

METAVARIABLE = re.compile(r"\$\$\$([A-Z_][A-Z0-9_]*)?|\$([A-Z_][A-Z0-9_]*)")
# Several nodes in a statement's place: alone on a line, or all that stands between braces.
_STATEMENTS = re.compile(r"(?:(?<=\{)|^)([ \t]*)\$\$\$([A-Z0-9_]*)(?=[ \t]*(?:\}|$))", re.MULTILINE)
_KEYWORDS = frozenset(
    {
        *("as", "assert", "async", "await", "break", "case", "catch", "chan", "class", "const"),
        *("continue", "def", "default", "defer", "del", "do", "elif", "else", "enum", "except"),
        *("export", "extends", "false", "final", "finally", "fn", "for", "from", "func"),
        *("function", "go", "goto", "if", "impl", "import", "in", "int", "interface", "is"),
        *("lambda", "let", "loop", "map", "match", "mod", "move", "mut", "new", "nil", "none"),
        *("not", "null", "or", "and", "package", "pass", "private", "public", "raise", "range"),
        *("ref", "return", "select", "self", "static", "struct", "super", "switch", "this"),
        *("throw", "trait", "true", "try", "type", "typeof", "use", "var", "void", "where"),
        *("while", "with", "yield"),
    }
)
"""Of any of the languages: no metavariable is called so when it is filled in."""


class PatternError(ValueError):
    """A pattern cannot be used; the message says which key is wrong and why."""


class Pattern(BaseModel):
    """One pattern, as a person writes it in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")
    """Identifier."""

    when: str = Field(max_length=500)
    """A sentence: when the pattern applies."""

    example: str = Field(max_length=10_000)
    """Code as it should be."""

    counter_example: str | None = Field(None, max_length=10_000)
    """The same as it should not be; null for a pattern that nothing is checked against."""

    languages: tuple[Language, ...] = Field(min_length=1)
    """Languages of the code; several only where it reads the same in all."""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, given: Any) -> Any:
        """Accept a hyphen in a key, and one language without brackets."""
        if not isinstance(given, Mapping):
            return given
        known = {str(key).replace("-", "_"): value for key, value in given.items()}
        languages = known.get("languages")
        if isinstance(languages, str):
            known["languages"] = (languages,)
        elif isinstance(languages, list):
            known["languages"] = tuple(languages)
        return known

    @field_validator("when")
    @classmethod
    def _one_line(cls, text: str) -> str:
        return _not_empty(" ".join(text.split()))

    @field_validator("example", "counter_example")
    @classmethod
    def _code(cls, text: str | None) -> str | None:
        return None if text is None else _not_empty(text.strip("\n").rstrip())


def pattern_of(given: Any) -> Pattern:
    """The pattern that a YAML value holds.

    Raises:
        PatternError: it is none; names the key.
    """
    try:
        return Pattern.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"][:1])) or "pattern"
        raise PatternError(f"{key}: {_words(first)}") from error


def filled(code: str, language: str) -> str:
    """The code with names in place of its metavariables: ``$PATH`` becomes ``path``.

    Args:
        code: Of a pattern.
        language: Says how a call is written where statements are meant.
    """
    end = "()" if language in ("python", "go") else "();"
    called = _STATEMENTS.sub(lambda match: f"{match[1]}{_name(match[2])}{end}", code)
    return METAVARIABLE.sub(lambda match: _name(match[1] or match[2] or ""), called)


def _name(metavariable: str) -> str:
    name = metavariable.strip("_").lower() or "rest"
    return f"{name}_" if name in _KEYWORDS or name[0].isdigit() else name


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


def _words(error: Mapping[str, Any]) -> str:
    if error["type"] == "literal_error":
        return f"takes {', '.join(get_args(Language))}"
    if error["type"] == "string_pattern_mismatch":
        return "takes an identifier: letters, digits, - and _, at most 64"
    if error["type"] == "extra_forbidden":
        return f"is no key of a pattern; it has {', '.join(Pattern.model_fields)}"
    if error["type"] == "model_type":
        return f"is no mapping with the keys {', '.join(Pattern.model_fields)}"
    words = str(error["msg"]).removeprefix("Value error, ")
    return words[0].lower() + words[1:]
