"""Registry of detectors, which inspect single syntax nodes."""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from tree_sitter import Node

from cortex_pipelines.annotation import detectors as folder
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.schemas.vocabulary import LANGUAGES


@dataclass(frozen=True, order=True)
class Evidence:
    """A span of a file that supports a label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class FileContext:
    language: str  # language as tables call it
    settings: AnnotationSettings


@dataclass(frozen=True)
class Detector:
    labels: tuple[str, ...]
    types: Mapping[str, Collection[str]]  # node types by language
    find: Callable[[Sequence[NodeVisit], FileContext], Iterator[Evidence]]


_DETECTORS: list[Detector] = []


def detector(
    *labels: str,
    types: str | Mapping[str, Collection[str]] = "",
    script: str = "",
    together: bool = False,
    **of_language: str,
) -> Callable[[Callable[..., Iterator[Evidence]]], Callable[..., Iterator[Evidence]]]:
    """Register a function that inspects syntax nodes and yields evidence for labels.

    It must run in time linear in a node's size, without recursion. Node types, separated by blanks: ``types`` for all
    languages (or by language), ``script`` for JavaScript and TypeScript, else by language. ``together``: it gets all
    nodes of a type in a file at once, in order, to compare neighbours.
    """
    by_language = dict.fromkeys(LANGUAGES, types.split()) if isinstance(types, str) else dict(types)
    by_language |= {language: names.split() for language, names in of_language.items()}
    by_language |= dict.fromkeys(("javascript", "typescript"), script.split()) if script else {}

    def register(find: Callable[..., Iterator[Evidence]]) -> Callable[..., Iterator[Evidence]]:
        def find_each(visits: Sequence[NodeVisit], context: FileContext) -> Iterator[Evidence]:
            for visit in visits:
                yield from find(visit, context)

        _DETECTORS.append(Detector(labels, by_language, find if together else find_each))
        return find

    return register


def evidence(label: str, node: Node) -> Evidence:
    return Evidence(node.start_byte, node.end_byte, label)


@cache
def detectors() -> tuple[Detector, ...]:
    """All detectors in ``annotation/detectors/``."""
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    return tuple(_DETECTORS)


@cache
def detectors_of(language: str, labels: frozenset[str]) -> dict[str, list[Detector]]:
    """Detectors of any of the labels, by node type."""
    by_type: dict[str, list[Detector]] = {}
    for candidate in detectors():
        if not labels.isdisjoint(candidate.labels):
            for node_type in candidate.types.get(language, ()):
                by_type.setdefault(node_type, []).append(candidate)
    return by_type
