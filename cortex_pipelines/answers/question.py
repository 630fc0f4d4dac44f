"""Questions: a task, its input and context, validated before a model runs."""

from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from cortex_pipelines.answers.unit import CodeUnit, UnitError, parse_code
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.schemas.vocabulary import LANGUAGES

MAX_BYTES = 100_000
"""Longest unit. Longer ones are files, and no window of a model holds them."""

_Short = Annotated[str, Field(max_length=1000)]
_Long = Annotated[str, Field(max_length=2_000_000)]


class TaskError(ValueError):
    """An invalid question; the message begins with the field and says what to do."""


@dataclass(frozen=True)
class TaskContext:
    """Context of a task's input.

    Args:
        path: Source file; its suffix determines the language.
        language: Language, if ``path`` is empty.
        code: Surrounding code, placed before the input.
        unit: Naming: the unit that the name stands in, if the input is a part of it.
        name: Naming: the name to improve.
        kind: Naming: kind of what is named (function, method, class, variable, constant); else read from the code.
        request: Refactoring: what to do, such as ``Extract Method``. Architecture: the line that asks.
        smell: Refactoring: what to improve, such as ``long parameter list``.
        test_path: Tests: the target file of the test.
        target: Translation: the language to translate to.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=False, extra="forbid")  # an object in request bodies

    path: _Short = ""
    language: _Short = ""
    code: _Long = ""
    name: _Short = ""
    kind: _Short = ""
    request: _Short = ""
    smell: _Short = ""
    test_path: _Short = ""
    unit: _Long = ""
    target: _Short = ""


@dataclass(frozen=True)
class Question:
    """A valid question; ``unit`` is the parsed input, None for a task whose input is not a unit."""

    task: str
    text: str
    context: TaskContext
    language: str
    unit: CodeUnit | None

    @property
    def code(self) -> CodeUnit:
        assert self.unit is not None  # nosec B101: of tasks about code
        return self.unit


def require_texts(task: str, text: str, context: TaskContext) -> None:
    """Raises TaskError for a text that is too long, or that UTF-8 cannot hold."""
    texts = {f"context.{each.name}": getattr(context, each.name) for each in fields(context)}
    for name, value in {"input": text, **texts}.items():
        try:
            size = len(value.encode())
        except UnicodeEncodeError as error:
            raise TaskError(f"{name}: the text holds half a surrogate pair, which UTF-8 cannot hold") from error
        if size > MAX_BYTES and task != "completion":
            raise TaskError(f"{name}: {size} bytes; send one function, method or class of at most {MAX_BYTES}")


def parse_question(task: str, text: str, context: TaskContext, code: str | None) -> Question:
    """A question about a text; ``code`` is the unit that it is about, which has to parse. Raises TaskError."""
    language = language_in(context)
    if code is None:
        return Question(task, text, context, language, None)
    if not text.strip() or not code.strip():
        raise TaskError("input: the code is missing; send a function, method or class")
    try:
        unit = parse_code(code, language, context.path)
    except UnitError as error:
        raise TaskError(f"{'context.unit' if context.unit else 'input'}: {error}") from error
    return Question(task, text, context, language, unit)


def language_in(context: TaskContext) -> str:
    name = context.language.lower() or (language_of(context.path, "") if context.path else "python")
    if name in LANGUAGES:
        return name
    field = "language" if context.language else "path"
    problem = f"{name[:40]}" if name else f"the language of {context.path[-80:]} is not known"
    raise TaskError(f"context.{field}: {problem}: no grammar for it; there is one for {', '.join(LANGUAGES)}")
