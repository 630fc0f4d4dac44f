"""Files, types, functions and statements as the refactoring detection compares them, and refactorings."""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAME = re.compile(r"[A-Z]\w*")

FUNCTION_MARKS = frozenset({"function", "=>", "->", "func"})
"""Tokens of a function without a name that holds statements."""

VARIABLE, PARAMETER = "variable", "parameter"
OBJECT = "object"
"""Kind of a named object literal that holds functions: a container, not a class."""

NAMELESS = "{}"
"""Placeholder name of an object literal without a name, such as an argument."""

MODULE_EXPORT = "exports"
"""Name of the single export of a JavaScript file if it has no name itself; not a container."""


@lru_cache(maxsize=65536)
def identifier_words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORDS.findall(name)) or (name,)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function; each name bound by a destructuring is one of its own."""

    name: str
    type: str
    default: str
    variadic_marker: str  # `*`, `**` or `...`; empty for a single one
    declaration: str  # of all names that it binds, on one line
    line: int


@dataclass(eq=False)
class Statement:
    """A statement without the statements inside it (of an ``if``, its condition).

    ``line`` counts from the body's first, 0, because versions of a file share what did not change. ``parent`` and
    ``children`` are indices in the function's list (-1 at the top). For each token of ``texts``, ``marks`` has ``i``
    (identifier), ``p`` (property or keyword name), ``l`` (literal; a string is one token) or ``o`` (other), and
    ``declarations`` the position and kind of those that declare a name.
    """

    kind: str
    line: int
    parent: int
    texts: tuple[str, ...] = ()
    marks: str = ""
    declarations: tuple[tuple[int, str], ...] = ()
    children: list[int] = field(default_factory=list)

    @cached_property
    def word_counts(self) -> Counter[str]:
        """Names and values; all tokens of a statement without either."""
        pairs = zip(self.texts, self.marks, strict=True)
        return Counter(text for text, mark in pairs if mark != "o") or Counter(self.texts)

    @cached_property
    def subword_counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for text, count in self.word_counts.items():
            for part in identifier_words(text) if text[:1].isalpha() or text[:1] == "_" else [text]:
                counts[part] += count
        return counts

    @cached_property
    def shape(self) -> tuple[str, ...]:
        """The tokens with names and values abstracted."""
        return tuple(text if mark == "o" else mark for text, mark in zip(self.texts, self.marks, strict=True))

    @cached_property
    def calls(self) -> Counter[str]:
        """How often each simple name is called."""
        tokens = zip(self.texts, self.marks, self.texts[1:], strict=False)
        return Counter(text for text, mark, next_text in tokens if next_text == "(" and mark in "ip")

    @cached_property
    def has_function(self) -> bool:
        return bool(self.children) and not FUNCTION_MARKS.isdisjoint(self.texts)

    @cached_property
    def weight(self) -> int:
        """Size of a statement: the number of its names and values."""
        return max(1, len(self.marks) - self.marks.count("o"))


def _sum(counts: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total


def select_statements(statements: list[Statement], indices: list[int]) -> list[Statement]:
    """Copies of some statements of a function, reparented as if the others did not exist."""
    positions = {index: position for position, index in enumerate(indices)}
    copies = []
    for index in indices:
        parent = statements[index].parent
        while parent >= 0 and parent not in positions:
            parent = statements[parent].parent
        copy = replace(statements[index], parent=positions.get(parent, -1), children=[])
        copies.append(copy)
        if copy.parent >= 0:
            copies[copy.parent].children.append(len(copies) - 1)
    return copies


@dataclass(slots=True, eq=False)
class UnitLocation:
    """Location of a unit: the names around it from the outermost in, its owner (enclosing type) and lines."""

    path: str
    language: str
    enclosing_names: tuple[str, ...]
    owner: str | None
    enclosing_function: str | None
    line: int  # of its name
    start_line: int
    end_line: int
    code: str


class Signature(NamedTuple):
    parameters: tuple[Parameter, ...] = ()
    head: tuple[str, ...] = ()


@dataclass(eq=False)
class Body:
    """What a function runs or a type holds, read only if it is asked for: most of what a commit touches is unchanged.

    Bodies with the same ``key`` are read alike; None: nothing is known before it is read.
    """

    read: Callable[[], list[Statement]]
    key: Hashable = None

    @cached_property
    def statements(self) -> list[Statement]:
        return self.read()


def _are_same(first: Body | None, second: Body | None) -> bool:
    return bool(first and second and first.key is not None and first.key == second.key)


@dataclass(eq=False)
class Function:
    """A function or method, without the named functions and types inside it.

    Its name is empty for the code of a file outside of functions (kind ``module``). ``head`` are the
    tokens before the body without name and parameters; ``full_name`` is the name with its assignment
    target: ``helpers.each`` of ``helpers.each = function``; ``body_line`` is the first line of its body.
    """

    name: str
    kind: str
    location: UnitLocation
    read_signature: Callable[[], Signature]
    body: Body | None
    full_name: str
    body_line: int

    @cached_property
    def _signature(self) -> Signature:
        return self.read_signature()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self._signature.parameters

    @property
    def head(self) -> tuple[str, ...]:
        return self._signature.head

    @property
    def has_body(self) -> bool:
        return self.body is not None

    @property
    def statements(self) -> list[Statement]:
        return self.body.statements if self.body else []

    def has_body_of(self, other: "Function") -> bool:
        """Whether two bodies are known to be the same, before they are read."""
        return _are_same(self.body, other.body)

    @cached_property
    def word_counts(self) -> Counter[str]:
        return _sum(statement.word_counts for statement in self.statements)

    @cached_property
    def weight(self) -> int:
        return sum(statement.weight for statement in self.statements)

    @cached_property
    def calls(self) -> Counter[str]:
        """How often each simple name is called."""
        return _sum(statement.calls for statement in self.statements)

    @cached_property
    def callbacks(self) -> frozenset[int]:
        """Indices of the statements that hold, or are in, functions without a name."""
        indices: set[int] = set()
        for index, statement in enumerate(self.statements):
            if statement.parent in indices or not FUNCTION_MARKS.isdisjoint(statement.texts):
                indices.add(index)
        return frozenset(indices)

    @property
    def title(self) -> str:
        return f"the {self.kind} {self.name}" if self.name else "the module"

    @property
    def constructed_class(self) -> str:
        """The class that ``new`` makes with it: its own, or in JavaScript that of its name."""
        owner = self.location.owner or ""
        return owner if self.name == "constructor" else self.name


def titles_of(function: Function, other: Function) -> tuple[str, str]:
    """The titles of two functions, of one name with what tells them apart: the owners, the paths or the parameters."""
    if function.title != other.title or not function.name:
        return function.title, other.title
    first, second = (each.location.owner or each.location.path for each in (function, other))
    if first != second:
        return f"{function.title} of {first}", f"{other.title} of {second}"
    first, second = (", ".join(each.type or each.name for each in both.parameters) for both in (function, other))
    return f"{function.title}({first})", f"{other.title}({second})"


@dataclass(eq=False)
class Type:
    """A class, struct, trait, interface or enum; ``header`` is its head, ``statements`` are its fields."""

    name: str
    kind: str
    location: UnitLocation
    header: tuple[str, ...]
    body: Body | None
    methods: list[Function] = field(default_factory=list)

    @property
    def statements(self) -> list[Statement]:
        return self.body.statements if self.body else []

    def has_body_of(self, other: "Type") -> bool:
        """Whether the fields of two types are known to be the same, before they are read."""
        return _are_same(self.body, other.body)

    @cached_property
    def word_counts(self) -> Counter[str]:
        parts: list[Statement | Function] = [*self.statements, *self.methods]
        return _sum(part.word_counts for part in parts)

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
    size: int = 0  # bytes of its text
    functions: list[Function] = field(default_factory=list)
    types: list[Type] = field(default_factory=list)


CONTRACT = (
    *("type", "name_before", "name_after", "container_before", "container_after"),
    *("path_before", "path_after", "line_before", "line_after", "description", "purity"),
)
"""The fields that ``cortex refactorings --json`` writes."""


@dataclass(frozen=True, slots=True)
class Refactoring:
    """A refactoring between two versions, by RefactoringMiner's names of types.

    Names are simple names (of a reordering, the parameters in order), None on a side without one.
    A container is the function around a parameter or variable, the function that an extracted one was
    taken from or an inlined one went into, or the class around a method or class. The line of an added
    (removed) thing on the other side is that of the unit it is in. ``pure`` is a refactoring if nothing
    but refactorings differs in its units, else ``mixed``. Code is the function or class concerned; of
    an extraction the origin before, origin and extracted function after (reversed for an inlining).
    """

    type: str
    name_before: str | None
    name_after: str | None
    container_before: str | None
    container_after: str | None
    path_before: str
    path_after: str
    line_before: int
    line_after: int
    description: str
    purity: str
    language: str
    code_before: str
    code_after: str
    start_line_before: int
    end_line_before: int
    start_line_after: int
    end_line_after: int

    def contract(self) -> dict[str, str | int | None]:
        return {field: getattr(self, field) for field in CONTRACT}


Pair = tuple[str | None, str | None]


def refactoring_of(
    type_: str,
    names: Pair,
    containers: Pair,
    locations: tuple[UnitLocation, UnitLocation],
    sentence: str,
    is_pure: bool,
    lines: tuple[int, int] | None = None,
    codes: tuple[str, str] | None = None,
) -> Refactoring:
    """A refactoring; ``lines`` and ``codes`` if they are not those of its units."""
    old, new = locations
    return Refactoring(
        type_, *names, *containers, old.path, new.path, *(lines or (old.line, new.line)),
        f"{sentence[:1].upper()}{sentence[1:]}.", "pure" if is_pure else "mixed", new.language,
        *(codes or (old.code, new.code)), old.start_line, old.end_line, new.start_line, new.end_line,
    )  # fmt: skip
