"""Files, types, functions and statements as the refactoring detection compares them."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from cortex_pipelines.extraction.refactoring.syntax import FUNCTION_MARKS

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAME = re.compile(r"[A-Z]\w*")

VARIABLE, PARAMETER = "variable", "parameter"
OBJECT = "object"
"""Kind of a named object literal that holds functions: a container, but no class."""

NAMELESS = "{}"
"""What stands for the name of an object literal that has none, as an argument."""

WHOLE = "exports"
"""Name of what a JavaScript file exports as a whole, if it has none of its own: no container."""


@lru_cache(maxsize=65536)
def words_of(name: str) -> tuple[str, ...]:
    """The words of an identifier, in lower case."""
    return tuple(word.lower() for word in _WORDS.findall(name)) or (name,)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function.

    Args:
        name: Its name; each name bound by a destructuring is a parameter of its own.
        type: Text of its type, empty where none is written.
        default: Text of its default value, empty where there is none.
        form: What marks it as standing for many: ``*``, ``**`` or ``...``; else empty.
        line: Line of the name, from 1.
    """

    name: str
    type: str
    default: str
    form: str
    line: int


@dataclass(eq=False)
class Statement:
    """A statement without the statements inside it (of an ``if``, its condition).

    Args:
        kind: Node type of the grammar.
        line: First line, from 1.
        parent: Index of the statement around it in the function's list; -1 at the top.
        texts: Its tokens; a string is one.
        marks: For each token ``i`` (identifier), ``p`` (property or keyword name), ``l`` (literal)
            or ``o`` (other).
        declares: Positions of tokens that name a variable or parameter declared here, and which.
        children: Indices of the statements right inside it.
    """

    kind: str
    line: int
    parent: int
    texts: tuple[str, ...] = ()
    marks: str = ""
    declares: tuple[tuple[int, str], ...] = ()
    children: list[int] = field(default_factory=list)

    @cached_property
    def words(self) -> Counter[str]:
        """Names and values, or all tokens where there are none."""
        pairs = zip(self.texts, self.marks, strict=True)
        return Counter(text for text, mark in pairs if mark != "o") or Counter(self.texts)

    @cached_property
    def parts(self) -> Counter[str]:
        """The words of its names, and its values."""
        counts: Counter[str] = Counter()
        for text, count in self.words.items():
            for part in words_of(text) if text[:1].isalpha() or text[:1] == "_" else [text]:
                counts[part] += count
        return counts

    @cached_property
    def shape(self) -> tuple[str, ...]:
        """The tokens with names and values abstracted."""
        return tuple(
            text if mark == "o" else mark for text, mark in zip(self.texts, self.marks, strict=True)
        )

    @cached_property
    def has_function(self) -> bool:
        """Whether a function without a name begins in it."""
        return bool(self.children) and not FUNCTION_MARKS.isdisjoint(self.texts)

    @cached_property
    def weight(self) -> int:
        """Size of a statement: the number of its names and values."""
        return max(1, len(self.marks) - self.marks.count("o"))


def chosen(statements: list[Statement], indices: list[int]) -> list[Statement]:
    """Copies of some statements of a function, reparented as if the others did not exist."""
    places = {index: place for place, index in enumerate(indices)}
    copies = []
    for index in indices:
        parent = statements[index].parent
        while parent >= 0 and parent not in places:
            parent = statements[parent].parent
        copy = replace(statements[index], parent=places.get(parent, -1), children=[])
        copies.append(copy)
        if copy.parent >= 0:
            copies[copy.parent].children.append(len(copies) - 1)
    return copies


@dataclass(slots=True, eq=False)
class UnitLocation:
    """Location of a unit.

    Args:
        path: File.
        language: Language of the file.
        around: Names of what encloses it, outermost first.
        owner: Name of the type around it, if that is what encloses it next or through functions.
        inside: Name of the function around it, if any.
        line: Line of its name.
        start_line, end_line: Lines of the whole.
        code: Text of the whole.
    """

    path: str
    language: str
    around: tuple[str, ...]
    owner: str | None
    inside: str | None
    line: int
    start_line: int
    end_line: int
    code: str


@dataclass(eq=False)
class Function:
    """A function or method, without the named functions and types inside it.

    Args:
        name: Simple name; empty for the code of a file outside of functions.
        kind: ``function``, ``method`` or ``module``.
        place: Where it is.
        parameters: Its parameters, without the receiver.
        statements: Its statements, outer ones before inner ones, in the order of the text.
        has_body: Whether it is more than a declaration.
        calls: How often it calls what by simple name.
        head: Tokens before its body, without its name and parameters: decorators, result.
        full_name: Name with what it is assigned to: of ``helpers.each = function``, all of it.
    """

    name: str
    kind: str
    place: UnitLocation
    parameters: tuple[Parameter, ...]
    statements: list[Statement]
    has_body: bool
    calls: Counter[str]
    head: tuple[str, ...]
    full_name: str

    @cached_property
    def words(self) -> Counter[str]:
        """Counts of its names and values."""
        counts: Counter[str] = Counter()
        for statement in self.statements:
            counts.update(statement.words)
        return counts

    @cached_property
    def weight(self) -> int:
        """Sum of its statements' weights."""
        return sum(statement.weight for statement in self.statements)

    @cached_property
    def callbacks(self) -> frozenset[int]:
        """Indices of the statements that hold, or are in, functions without a name."""
        found: set[int] = set()
        for index, statement in enumerate(self.statements):
            if statement.parent in found or not FUNCTION_MARKS.isdisjoint(statement.texts):
                found.add(index)
        return frozenset(found)

    @property
    def constructed(self) -> str:
        """The class that ``new`` makes with it: its own, or in JavaScript that of its name."""
        owner = self.place.owner or ""
        return owner if self.name == "constructor" else self.name


@dataclass(slots=True, eq=False)
class Type:
    """A class, struct, trait, interface or enum.

    Args:
        name: Simple name.
        kind: Kind of unit.
        place: Where it is.
        header: Tokens of its head: name, type parameters, what it extends.
        statements: Its fields and other statements outside of functions.
        methods: Its functions.
    """

    name: str
    kind: str
    place: UnitLocation
    header: tuple[str, ...]
    statements: list[Statement]
    methods: list[Function] = field(default_factory=list)

    @property
    def parents(self) -> set[str]:
        """Names in its head: base types, and others it mentions."""
        return {word for part in self.header for word in _NAME.findall(part)} - {self.name}


@dataclass(slots=True, eq=False)
class ParsedFile:
    """A parsed file; after a syntax error its containers are unreliable."""

    path: str
    language: str
    has_error: bool
    functions: list[Function] = field(default_factory=list)
    types: list[Type] = field(default_factory=list)
