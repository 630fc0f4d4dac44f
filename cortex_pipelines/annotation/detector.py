"""Base class and registry of detectors that inspect single syntax nodes."""

import importlib
import inspect
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from tree_sitter import Node

from cortex_pipelines.annotation import detectors as folder
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.settings import AnnotationSettings


@dataclass(frozen=True, order=True)
class Evidence:
    """A span of a file that supports a label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class FileContext:
    language: str  # language as tables call it
    path: str
    settings: AnnotationSettings


class Detector(ABC):
    """A rule that inspects syntax nodes of certain types.

    Subclasses set ``labels`` and ``types`` (node types by language); they must run in time linear in the node's size,
    without recursion.
    """

    labels: ClassVar[tuple[str, ...]]
    types: ClassVar[dict[str, frozenset[str]]]

    @abstractmethod
    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]: ...

    def find_all(self, visits: Sequence[NodeVisit], context: FileContext) -> Iterator[Evidence]:
        """Evidence of all nodes of a type in order; override to compare neighbours."""
        for visit in visits:
            yield from self.find(visit, context)


def evidence(label: str, node: Node) -> Evidence:
    return Evidence(node.start_byte, node.end_byte, label)


_TEST = re.compile(r"(^|/)(tests?|__tests__|specs?)/|(^|/)test_[^/]*$|[._](test|spec)s?\.\w+$")


def is_test(path: str) -> bool:
    return _TEST.search(path) is not None


@cache
def detectors() -> tuple[Detector, ...]:
    """One instance of each detector in ``annotation/detectors/``, by module and name."""
    instances = []
    for info in sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name):
        module = importlib.import_module(f"{folder.__name__}.{info.name}")
        instances += [
            kind()
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, Detector) and kind.__module__ == module.__name__ and not inspect.isabstract(kind)
        ]
    return tuple(instances)


@cache
def detectors_of(language: str, labels: frozenset[str]) -> dict[str, tuple[Detector, ...]]:
    by_type: dict[str, list[Detector]] = {}
    for detector in detectors():
        if labels.isdisjoint(detector.labels):
            continue
        for node_type in sorted(detector.types.get(language, ())):
            by_type.setdefault(node_type, []).append(detector)
    return {node_type: tuple(of_type) for node_type, of_type in by_type.items()}
