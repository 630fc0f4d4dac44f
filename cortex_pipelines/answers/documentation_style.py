"""How a team writes documentation, learned from its documented functions, and its words for names."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl

from cortex_pipelines.annotation.labels.vocabulary import words_of
from cortex_pipelines.answers.unit_facts import UnitFacts
from cortex_pipelines.augmentation.node_table import split_words
from cortex_pipelines.datasets.tasks.documentation import first_paragraph

Mood = Literal["imperative", "third person"]
Sections = Literal["none", "sphinx", "google", "tags"]

VERBS = split_words(
    "accept add adjust allow append apply assert assign attach begin bind build cache calculate call cancel "
    "change check choose clean clear close collect compare complete compute configure connect construct consume "
    "convert copy count create decode define delete detach detect determine disable discard dispatch display do "
    "drop emit enable encode ensure escape evaluate exclude execute expand export extend extract fetch fill "
    "filter find finish fire flush force format forward gather generate get guess handle hide hold ignore import "
    "include increment initialise initialize insert install invoke iterate join keep launch limit link list load "
    "lock log look lookup make mark match measure merge mock modify mount move normalise normalize notify obtain "
    "open override pad parse pass patch peek pick pop prefix prepare prepend print process prompt provide publish "
    "pull push put quote raise read receive record redirect reduce refresh register reject release remove rename "
    "render repeat replace report request require reset resolve restore retrieve return reverse rewind round run "
    "save scan search seek select send serialise serialize serve set setup show shift skip sort split start stop "
    "store stream strip style submit subscribe sum swap sync take test throw toggle track transform translate "
    "trigger trim truncate try unlock unmount unpack unset unwrap update upload use validate verify visit wait "
    "walk warn wrap write yield"
)
"""Verbs that names of functions begin with."""

_GO_FIRST: Mapping[str, Mood] = {"go": "third person", "java": "third person", "rust": "third person"}
_ENOUGH = 5
"""Documented functions from which a convention is learned; with fewer the language's own holds."""
_SPHINX = re.compile(r"^[ \t]*:param\s+(?:[\w.\[\]]+\s+)?(\w+):[ \t]*(.+(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_TAG = re.compile(r"^[ \t]*@param\s+(?:\{[^}]*\}\s*)?(\w+)[ \t]+-?[ \t]*(.+(?:\n(?![ \t]*@)[ \t]*\S.*)*)", re.MULTILINE)
_GOOGLE = re.compile(r"^[ \t]*(?:Args|Arguments|Parameters):[ \t]*\n((?:[ \t]+\S.*\n?)+)", re.MULTILINE)
_GOOGLE_ENTRY = re.compile(r"^[ \t]+(\w+)(?:[ \t]*\([^)]*\))?:[ \t]+(.+)$", re.MULTILINE)
_ES = re.compile(r"(?:s|x|z|ch|sh|o)$")


class DocumentedUnit(NamedTuple):
    name: str
    language: str
    kind: str
    docstring: str
    code: str


@dataclass(frozen=True)
class DocumentationStyle:
    """Conventions of a language's documentation: mood of the first word, its stop, sections for parameters.

    ``starts_with_name`` is Go's convention; ``literal`` are the marks around code.
    """

    mood: Mood = "imperative"
    full_stop: bool = True
    starts_with_name: bool = False
    sections: Sections = "none"
    literal: str = "`"
    glossary: Mapping[str, str] = field(default_factory=dict)

    def styled(self, text: str, name: str) -> str:
        """A text whose first sentence follows the conventions; only its form changes."""
        first, tail = _first_word(text)
        if self.starts_with_name:
            if first != name:
                verb = first.lower()
                predicate = third_person(verb) if verb in VERBS else f"is {verb}" if verb in _ARTICLES else verb
                text = f"{name} {predicate}{tail}"
        else:
            verb = imperative(first.lower())
            if verb in VERBS:
                first = third_person(verb) if self.mood == "third person" else verb
            text = first[:1].upper() + first[1:] + tail if first.islower() else first + tail
        head, blank, sections = text.partition("\n\n")
        head = head.rstrip()
        if self.full_stop and head[-1:] not in ".!?:":
            head += "."
        elif not self.full_stop and head.count(".") == 1:
            head = head.removesuffix(".")
        return head + blank + sections

    def broken_convention(self, text: str, name: str) -> str:
        """The first convention that a text breaks, as a clause; empty if it follows all."""
        head = text.partition("\n\n")[0].rstrip()
        first = _first_word(head)[0]
        if self.starts_with_name and first != name:
            return f"it does not begin with {name}"
        if not self.starts_with_name and first[:1].islower():
            return "it begins in lower case"
        if not self.starts_with_name and imperative(first.lower()) in VERBS and _mood(first) != self.mood:
            return f"its verb is not in the {self.mood}"
        return "it has no full stop" if self.full_stop and head[-1:] not in ".!?:" else ""


_ARTICLES = ("a", "an", "the")


def default_style(language: str) -> DocumentationStyle:
    """PEP 257's imperative; the third person of Go's, Java's and Rust's own guides."""
    mood = _GO_FIRST.get(language, "imperative")
    return DocumentationStyle(mood, starts_with_name=language == "go")


def learn_style(units: Iterable[DocumentedUnit], language: str) -> DocumentationStyle:
    """The conventions that most documented functions of a language follow."""
    default = default_style(language)
    texts = [unit for unit in units if unit.language == language and unit.kind in ("function", "method")]
    summaries = [(unit, first_paragraph(unit.docstring)) for unit in texts]
    summaries = [(unit, text) for unit, text in summaries if text]
    glossary = _glossary(texts)
    if len(summaries) < _ENOUGH:
        return DocumentationStyle(default.mood, True, default.starts_with_name, "none", "`", glossary)
    moods = Counter(_mood(_first_word(text)[0]) for _, text in summaries)
    name_first_count = sum(_first_word(text)[0] == unit.name for unit, text in summaries)
    stops = sum(text[-1] in ".!?:" for _, text in summaries)
    sphinx, google, tags = (
        sum(bool(form.search(unit.docstring)) for unit in texts) for form in (_SPHINX, _GOOGLE, _TAG)
    )
    most, sections = max((sphinx, "sphinx"), (google, "google"), (tags, "tags"))
    doubles = sum(unit.docstring.count("``") // 2 for unit in texts)
    singles = sum(len(re.findall(r"(?<!`)`(?!`)", unit.docstring)) // 2 for unit in texts)
    return DocumentationStyle(
        "third person" if moods["third person"] > moods["imperative"] else "imperative",
        2 * stops > len(summaries),
        2 * name_first_count > len(summaries),
        sections if 4 * most > len(texts) else "none",  # type: ignore[arg-type]
        "``" if doubles > singles else "`",
        glossary,
    )


def described_parameters(docstring: str) -> dict[str, str]:
    """Parameters that a text describes in Sphinx, Google or tag style, with their descriptions."""
    entries = [*_SPHINX.findall(docstring), *_TAG.findall(docstring)]
    entries += [entry for block in _GOOGLE.findall(docstring) for entry in _GOOGLE_ENTRY.findall(block)]
    return {name: " ".join(text.split()) for name, text in entries}


def _glossary(units: Iterable[DocumentedUnit]) -> dict[str, str]:
    """The most frequent description of each parameter name."""
    descriptions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for unit in units:
        for name, text in described_parameters(unit.docstring).items():
            descriptions[name][text] += 1
    return {name: max(texts, key=lambda text: (texts[text], -len(text), text)) for name, texts in descriptions.items()}


def third_person(verb: str) -> str:
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}{'es' if _ES.search(verb) else 's'}"


def imperative(word: str) -> str:
    """The verb of a word in the third person; any other word as it is."""
    for verb in (word[:-1], word[:-2], f"{word[:-3]}y"):
        if verb in VERBS and third_person(verb) == word:
            return verb
    return word


def _mood(word: str) -> str:
    lower = word.lower()
    return "imperative" if lower in VERBS else "third person" if imperative(lower) in VERBS else "other"


def _first_word(text: str) -> tuple[str, str]:
    match = re.match(r"\s*([\w.]*\w)(.*)", text, re.DOTALL)
    return (match[1], match[2]) if match else ("", text)


def name_words(name: str) -> list[str]:
    return words_of(name.strip("_")).split()


_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_DOCSTRING = re.compile(r"\"{3}.*?\"{3}", re.DOTALL)
_COLUMNS = ("name", "language", "kind", "docstring", "code")
_ALIKE, _NEARLY_THE_SAME = 0.5, 0.8
"""Share of common words in the code of two units, of one name or of different names, that one text may document."""


@dataclass(frozen=True)
class TeamDocumentation:
    """The documented units of a team's train split, and the names that its code knows."""

    units: Sequence[DocumentedUnit] = ()
    words: frozenset[str] = frozenset()
    _styles: dict[str, DocumentationStyle] = field(default_factory=dict, compare=False)

    def style(self, language: str) -> DocumentationStyle:
        """The team's conventions; the language's own where too little is documented."""
        if language not in self._styles:
            self._styles[language] = learn_style(self.units, language) if self.units else default_style(language)
        return self._styles[language]

    def knows(self, name: str) -> bool:
        return name in self.words

    def nearest(self, facts: UnitFacts) -> tuple[DocumentedUnit, float] | None:
        """The documented unit whose text fits best, with the similarity of the code (0 to 1)."""
        kind, language = facts.unit.kind, facts.language
        similar: list[tuple[bool, float, DocumentedUnit]] = []
        for unit, words in self._words_of.get((language, kind), ()):
            similarity = len(words & facts.identifiers) / max(len(words | facts.identifiers), 1)
            if similarity >= (_ALIKE if unit.name == facts.name else _NEARLY_THE_SAME):
                similar.append((unit.name == facts.name, similarity, unit))
        if not similar:
            return None
        _, similarity, unit = max(similar)
        return unit, similarity

    @cached_property
    def _words_of(self) -> Mapping[tuple[str, str], list[tuple[DocumentedUnit, frozenset[str]]]]:
        grouped: dict[tuple[str, str], list[tuple[DocumentedUnit, frozenset[str]]]] = {}
        for unit in self.units:
            words = frozenset(_IDENTIFIER.findall(_DOCSTRING.sub("", unit.code, count=1)))
            grouped.setdefault((unit.language, unit.kind), []).append((unit, words))
        return grouped


def team_documentation(outputs: Mapping[str, Path]) -> TeamDocumentation:
    """Documentation of a project's units; empty without ``code_units`` and ``unit_splits``."""
    units, splits = (
        outputs.get(asset, Path()) / name
        for asset, name in (("code_units", "units.parquet"), ("unit_splits", "splits.parquet"))
    )
    if not units.is_file() or not splits.is_file():
        return TeamDocumentation()
    return _read(units, splits, units.stat().st_mtime_ns, splits.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(units: Path, splits: Path, *_versions: int) -> TeamDocumentation:
    split = pl.read_parquet(splits, columns=["unit_id", "split"]).filter(split="train")
    train = pl.read_parquet(units, columns=["unit_id", *_COLUMNS]).join(split, on="unit_id", how="semi").sort("unit_id")
    words = frozenset(word for code in train["code"] for word in _IDENTIFIER.findall(code))
    documented = train.filter(pl.col("docstring").is_not_null()).select(_COLUMNS)
    return TeamDocumentation([DocumentedUnit(*row) for row in documented.iter_rows()], words)
