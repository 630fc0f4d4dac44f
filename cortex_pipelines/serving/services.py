"""Interfaces of services that need a project, and the sentence encoder as a served model."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cortex_pipelines.embeddings.encoder import Floats, SentenceEncoder, sentence_part
from cortex_pipelines.prompts.templates import Templates, package_templates
from cortex_pipelines.retrieval.notes.project_notes import ProjectNotes
from cortex_pipelines.routing.serving.router import Decision
from cortex_pipelines.tokenization.text_encoder import TextEncoder

MAX_TOKENS = 256
"""Longest text, or less if the model reads less (model card of all-MiniLM-L6-v2)."""

_BATCH = 8
_CHARACTERS_A_TOKEN = 64


@dataclass(frozen=True)
class EmbeddingResult:
    """Vectors, float32 of shape (texts, width) and length 1; tokens read; number of texts truncated."""

    vectors: Floats
    tokens: int
    cut: int


class CodeEncoder:
    """The encoder, loaded by the first request; ``locate`` returns its verified folder."""

    def __init__(self, version: str, locate: Callable[[], Path], threads: int) -> None:
        self.version, self._locate, self._threads = version, locate, threads
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> EmbeddingResult:
        """Embed texts; a vector is bit-identical whatever texts are embedded with it."""
        with self._lock:  # it already uses all threads
            encoder, reader, max_tokens = self._model
            truncated = [text[: (max_tokens + 1) * _CHARACTERS_A_TOKEN] for text in texts]
            lengths = [len(ids) for ids in reader.ids(truncated, add_special_tokens=True)]
            vectors = sentence_part(encoder.encode(texts))
        read_tokens = sum(min(length, max_tokens) for length in lengths)
        return EmbeddingResult(vectors, read_tokens, sum(length > max_tokens for length in lengths))

    @cached_property
    def _model(self) -> tuple[SentenceEncoder, TextEncoder, int]:
        from tokenizers import Tokenizer

        folder = self._locate()
        reader = TextEncoder(Tokenizer.from_file(str(folder / "tokenizer.json")))
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        max_tokens = min(MAX_TOKENS, int(config.get("max_position_embeddings", MAX_TOKENS)))
        return SentenceEncoder(folder, MAX_TOKENS, _BATCH, self._threads, "auto"), reader, max_tokens


class ServiceError(LookupError):
    """A requested service or output does not exist. The message says what to do."""


Answer = Mapping[str, Any]


@dataclass(frozen=True)
class ProjectServices:
    """Services of a project besides its models; each None if not available. A project of None means all.

    Args:
        expect: (task, master or None for all) to predicted outcomes and ``version``.
        score: (monitored log, its new records) to ``log``, ``windows``, ``alerts`` and ``version``.
        search: (query, project, result limit) to ``results``, ``notice`` and ``versions``.
        context: (task, project, token limit) to the packed context and ``versions``.
        relations: (question, name, other end of a path, project, step limit) to the code graph's answer and
            ``versions``.
        lineage: (project or None for the router, version of its model) to its lineage tree.
        redact: Text to redacted text and number of private values.
        notes: Project, or None for the only one, to its notes.
        report: The page on all projects, in HTML.
        leaderboard: Rows of `cortex leaderboard`.
    """

    expect: Callable[[str, str | None], Answer] | None = None
    score: Callable[[str, Sequence[Answer]], Answer] | None = None
    search: Callable[[str, str | None, int], Answer] | None = None
    context: Callable[[str, str | None, int], Answer] | None = None
    relations: Callable[[str, str, str | None, str | None, int], Answer] | None = None
    encoder: CodeEncoder | None = None
    lineage: Callable[[str | None, str], Answer] | None = None
    templates: Callable[[], Templates] = package_templates
    redact: Callable[[str], tuple[str, int]] | None = None
    notes: Callable[[str | None], ProjectNotes] | None = None
    review: Callable[[Sequence[str], Sequence[Decision]], None] | None = None
    report: Callable[[], str] | None = None
    leaderboard: Callable[[], Sequence[Answer]] | None = None


def telling(services: ProjectServices, tell: Callable[[str | None], None]) -> ProjectServices:
    """The services, which tell of the project that a search, context or relation is asked for."""

    def wrapped(call: Callable[..., Answer] | None, position: int) -> Callable[..., Answer] | None:
        def answer(*arguments: Any) -> Answer:
            tell(arguments[position])
            return call(*arguments)  # type: ignore[misc]

        return call and answer

    search, context, relations = (services.search, 1), (services.context, 1), (services.relations, 3)
    return replace(services, search=wrapped(*search), context=wrapped(*context), relations=wrapped(*relations))


NOTHING = ProjectServices()
"""Services of a gateway without a project."""
