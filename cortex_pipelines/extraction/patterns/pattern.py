"""A pattern: code that a team writes, code that it avoids, and when this applies.

Code of a pattern may hold metavariables in ast-grep's notation: ``$NAME`` is one node, ``$$$NAME``
any number of them.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Language = Literal["python", "javascript", "typescript", "java", "go", "rust"]

METAVARIABLE = re.compile(r"\$\$\$([A-Z_][A-Z0-9_]*)?|\$([A-Z_][A-Z0-9_]*)")
# Several nodes in place of a statement: alone on a line, or all code between braces.
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
"""Keywords of all languages; a filled-in metavariable avoids them."""


class PatternError(ValueError):
    """A pattern cannot be used; the message says which key is wrong and why."""


class Pattern(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")
    """Identifier."""

    when: str = Field(max_length=500)
    """A sentence: when the pattern applies."""

    example: str = Field(max_length=10_000)
    """Code as it should be."""

    counter_example: str | None = Field(None, max_length=10_000)
    """The same code as it should not be; null for a pattern without a check."""

    languages: tuple[Language, ...] = Field(min_length=1)
    """Languages of the code; several only where it reads the same in all."""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        fields = {str(key).replace("-", "_"): value for key, value in raw.items()}
        languages = fields.get("languages")
        if isinstance(languages, str):
            fields["languages"] = (languages,)
        elif isinstance(languages, list):
            fields["languages"] = tuple(languages)
        return fields

    @field_validator("when")
    @classmethod
    def _one_line(cls, text: str) -> str:
        return _not_empty(" ".join(text.split()))

    @field_validator("example", "counter_example")
    @classmethod
    def _code(cls, text: str | None) -> str | None:
        return None if text is None else _not_empty(text.strip("\n").rstrip())


def parse_pattern(value: Any) -> Pattern:
    """The pattern that a YAML value holds; a PatternError names the key that is not valid."""
    try:
        return Pattern.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"][:1])) or "pattern"
        keys, message = ", ".join(Pattern.model_fields), first["msg"].removeprefix("Value error, ")
        sentences = {
            "literal_error": f"takes {', '.join(get_args(Language))}",
            "string_pattern_mismatch": "takes an identifier: letters, digits, - and _, at most 64",
            "extra_forbidden": f"is not a key of a pattern; valid keys: {keys}",
            "model_type": f"is not a mapping with the keys {keys}",
        }
        sentence = sentences.get(first["type"], message[0].lower() + message[1:])
        raise PatternError(f"{key}: {sentence}") from error


def fill_metavariables(code: str, language: str) -> str:
    """The code with names in place of its metavariables: ``$PATH`` becomes ``path``."""
    end = "()" if language in ("python", "go") else "();"
    with_calls = _STATEMENTS.sub(lambda match: f"{match[1]}{_name(match[2])}{end}", code)
    return METAVARIABLE.sub(lambda match: _name(match[1] or match[2] or ""), with_calls)


def _name(metavariable: str) -> str:
    name = metavariable.strip("_").lower() or "rest"
    return f"{name}_" if name in _KEYWORDS or name[0].isdigit() else name


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text
