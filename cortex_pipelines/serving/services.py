"""Interfaces of services that need a project, and the sentence encoder as a served model."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
        self.version = version
        self._locate = locate
        self._threads = threads
        self._loaded: tuple[SentenceEncoder, TextEncoder, int] | None = None
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> EmbeddingResult:
        """Embed texts; a vector is bit-identical whatever texts are embedded with it."""
        with self._lock:  # it already uses all threads
            encoder, reader, max_tokens = self._open()
            truncated = [text[: (max_tokens + 1) * _CHARACTERS_A_TOKEN] for text in texts]
            lengths = [len(ids) for ids in reader.ids(truncated, add_special_tokens=True)]
            vectors = sentence_part(encoder.encode(texts))
        read_tokens = sum(min(length, max_tokens) for length in lengths)
        return EmbeddingResult(vectors, read_tokens, sum(length > max_tokens for length in lengths))

    def _open(self) -> tuple[SentenceEncoder, TextEncoder, int]:
        if self._loaded is None:
            from tokenizers import Tokenizer

            folder = self._locate()
            reader = TextEncoder(Tokenizer.from_file(str(folder / "tokenizer.json")))
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            max_tokens = min(MAX_TOKENS, int(config.get("max_position_embeddings", MAX_TOKENS)))
            encoder = SentenceEncoder(folder, MAX_TOKENS, _BATCH, self._threads, "auto")
            self._loaded = encoder, reader, max_tokens
        return self._loaded


Expect = Callable[[str, str | None], Mapping[str, Any]]
"""(task, master or None for all) to predicted outcomes and ``version``."""

Search = Callable[[str, str | None, int], Mapping[str, Any]]
"""(query, project or None for all, result limit) to ``results``, ``notice`` and ``versions``."""

Contexts = Callable[[str, str | None, int], Mapping[str, Any]]
"""(task, project or None for all, token limit) to the packed context and ``versions``."""

Relations = Callable[[str, str, str | None, str | None, int], Mapping[str, Any]]
"""(question, name, other end of a path, project or None for all, step limit) to the code graph's
answer and ``versions``."""

Lineage = Callable[[str | None, str], Mapping[str, Any]]
"""(project or None for the router, version of its model) to its lineage tree."""

Score = Callable[[str, Sequence[Mapping[str, Any]]], Mapping[str, Any]]
"""(monitored log, its new records) to ``log``, ``windows``, ``alerts`` and ``version``."""

Redact = Callable[[str], tuple[str, int]]
"""Text to redacted text and number of private values."""


OpenNotes = Callable[[str | None], ProjectNotes]
"""Project, or None for the only one, to its notes."""


class ServiceError(LookupError):
    """A requested service or output does not exist. The message says what to do."""


@dataclass(frozen=True)
class ProjectServices:
    """Services of a project besides its models; each None if not available."""

    expect: Expect | None = None
    score: Score | None = None
    search: Search | None = None
    context: Contexts | None = None
    relations: Relations | None = None
    encoder: CodeEncoder | None = None
    lineage: Lineage | None = None
    templates: Callable[[], Templates] = package_templates
    redact: Redact | None = None
    notes: OpenNotes | None = None
    review: Callable[[Sequence[str], Sequence[Decision]], None] | None = None


NOTHING = ProjectServices()
"""Services of a gateway without a project."""
