"""A project's naming conventions and its examples of each task."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log
from pathlib import Path

import polars as pl

from cortex_pipelines.check.project_facts import ProjectFacts
from cortex_pipelines.datasets.tasks.naming import conventions
from cortex_pipelines.prompts.examples import Example, read_examples
from cortex_pipelines.words import split_name

_USUAL = {
    "python": {"class": "PascalCase", "constant": "UPPER_CASE", "": "snake_case"},
    "rust": {"class": "PascalCase", "constant": "UPPER_CASE", "": "snake_case"},
    "java": {"class": "PascalCase", "constant": "UPPER_CASE", "": "camelCase"},
    "javascript": {"class": "PascalCase", "": "camelCase"},
    "typescript": {"class": "PascalCase", "": "camelCase"},
    "go": {"": "camelCase"},
}
"""Conventions of the languages (PEP 8, RFC 430, Google's guides, Effective Go), where the project has none."""

TEAM_ASSETS = (
    *("naming_dataset", "refactoring_dataset", "documentation_dataset", "tests_dataset", "completion_dataset"),
    *("annotated_units", "architecture_facts", "code_units", "unit_splits", "repository_files"),
)
"""Assets whose outputs are read, each when it is first needed."""

TYPES = ("class", "struct", "trait", "interface", "enum")
_FEW_NAMES, _CLEAR_SHARE = 5, 0.6
_WORD = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Team:
    """A project; without ``data``, the folder of its assets' outputs, nothing of it is known.

    ``outputs``: asset to the folder of its output for the project.
    """

    name: str = ""
    outputs: Mapping[str, Path] = field(default_factory=dict)
    facts: ProjectFacts | None = None
    """What `cortex check` knows of it."""

    learned: frozenset[str] = frozenset()
    """Tasks that its adapter was trained on."""

    def convention(self, kind: str, language: str) -> str:
        """Style of most names of a kind: the project's if it is clear, else the language's; empty without one."""
        usual = _USUAL[language]
        kinds = TYPES if kind in TYPES else (kind,)
        counts = Counter[str]()
        for row_kind, row_language, style, _, names in self._conventions.iter_rows():
            if row_kind in kinds and row_language == language:
                counts[style] += names
        style, count = next(iter(counts.most_common(1)), ("", 0))
        if count >= _FEW_NAMES and count >= _CLEAR_SHARE * counts.total() and style != "other":
            return style
        return usual.get("class" if kind in TYPES else kind, usual[""] if kind not in TYPES else "PascalCase")

    def nearest(self, task: str, language: str, text: str, most: int = 5) -> Iterator[tuple[Example, float]]:
        """Training examples most similar to a text, by weighted Jaccard similarity of their words (0 to 1)."""
        examples = self._examples_of(task)
        if not examples:
            return
        terms, weights = _terms(text), self._weights
        scored = []
        for example, of_example in examples:
            if example.language != language:
                continue
            shared = sum(weights.get(term, 1.0) for term in terms & of_example)
            together = sum(weights.get(term, 1.0) for term in terms | of_example)
            scored.append((shared / together if together else 0.0, example))
        scored.sort(key=lambda pair: (-pair[0], pair[1].example_id))
        yield from ((example, score) for score, example in scored[:most])

    @cached_property
    def name_words(self) -> frozenset[str]:
        """Words of the names in its naming examples, in lower case."""
        names = (example.completion for example, _ in self._examples_of("naming"))
        return frozenset(word.lower() for name in names for word in split_name(name))

    @cached_property
    def files(self) -> Mapping[str, Sequence[str]]:
        """Files of the project and the names that they declare, without tests."""
        return self._declared_names("path")

    @cached_property
    def owners(self) -> Mapping[str, Sequence[str]]:
        """Packages of the project and the names that they declare."""
        return self._declared_names("boundary")

    @cached_property
    def imports(self) -> Sequence[tuple[str, str]]:
        """Imports between files of the project, as paths without their endings."""
        facts = self._facts.filter(pl.col("fact") == "module-dependency", pl.col("scope") == "internal")
        pairs = facts.select("path", "object").drop_nulls().unique().sort("path", "object")
        return [(path.rsplit(".", 1)[0], target.rsplit(".", 1)[0]) for path, target in pairs.iter_rows()]

    def _declared_names(self, column: str) -> Mapping[str, Sequence[str]]:
        file = self._file("annotated_units", "units.parquet")
        if file is None:
            return {}
        owners = self._facts.select("path", "boundary").drop_nulls().unique("path")
        units = pl.read_parquet(file, columns=["path", "name", "kind", "context"]).filter(
            pl.col("kind").is_in(["function", "method", *TYPES]),
            ~pl.col("path").str.contains(r"(?i)(^|/)tests?(/|_|\.)|_test\."),
        )
        owned = units.join(owners, on="path", how="left").filter(pl.col(column).is_not_null(), pl.col(column) != "")
        grouped = owned.group_by(column, maintain_order=True).agg(pl.col("name").unique().sort()).sort(column)
        return dict(grouped.iter_rows())

    @cached_property
    def _facts(self) -> pl.DataFrame:
        file = self._file("architecture_facts", "architecture_facts.parquet")
        return pl.read_parquet(file) if file is not None else pl.DataFrame(schema=_FACTS)

    def _file(self, asset: str, name: str) -> Path | None:
        folder = self.outputs.get(asset)
        return folder / name if folder is not None and (folder / name).is_file() else None

    @cached_property
    def _conventions(self) -> pl.DataFrame:
        names = [
            (example.kind, example.language, example.completion.strip()) for example, _ in self._examples_of("naming")
        ]
        return conventions(
            pl.DataFrame(names, schema=["kind", "language", "name"], orient="row") if names else _NO_NAMES
        )

    def _examples_of(self, task: str) -> Sequence[tuple[Example, frozenset[str]]]:
        if task not in self._examples:
            folder = self.outputs.get(f"{task}_dataset")
            examples = (
                read_examples(folder, task, "train")
                if folder is not None and (folder / "train.parquet").is_file()
                else []
            )
            self._examples[task] = [(example, _terms(example.prompt)) for example in examples]
        return self._examples[task]

    @cached_property
    def _examples(self) -> dict[str, list[tuple[Example, frozenset[str]]]]:
        return {}

    @cached_property
    def _weights(self) -> Mapping[str, float]:
        """Inverse document frequency of the words in the examples of all tasks that were read."""
        documents = [terms for examples in self._examples.values() for _, terms in examples]
        counts = Counter(term for terms in documents for term in terms)
        return {term: log((1 + len(documents)) / count) for term, count in counts.items()}


_FACTS = dict.fromkeys(("path", "object", "fact", "scope", "boundary"), pl.String)
_NO_NAMES = pl.DataFrame(schema={"kind": pl.String, "language": pl.String, "name": pl.String})


def _terms(text: str) -> frozenset[str]:
    return frozenset(part.lower() for word in set(_WORD.findall(text)) for part in split_name(word))
