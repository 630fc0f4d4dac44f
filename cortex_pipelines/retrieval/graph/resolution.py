"""What the names in references mean: by scope and import, by declared type, else by a unique name.

An expression ``a.b().c`` is followed from its first name on: a variable has the type that it is
declared with or that its constructor or the annotated result of a function gives it, ``self`` that
of the class around it; what is imported is looked up in the file that the architecture facts name.
Nothing is run, and branches are not told apart. Where a name is known to come from outside of the
source, the search ends: no edge is better than a wrong one.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from posixpath import dirname
from typing import NamedTuple

from cortex_pipelines.extraction.architecture.resolvers.index import INTERNAL as INTERNAL
from cortex_pipelines.retrieval.graph.names import Names
from cortex_pipelines.retrieval.graph.references import (
    CALLED,
    FIELD,
    IMPORTED,
    UNKNOWN,
    VARIABLE,
    Reference,
    plain_type,
)

SCOPE, IMPORT, TYPE, UNIQUE = "scope", "import", "type", "unique name"
RESOLUTIONS = (SCOPE, IMPORT, TYPE, UNIQUE)
"""How a name was resolved, the surest first."""

_TYPED = frozenset({"java"})
"""Languages where what has a type of the source says so: what is left is of libraries."""
_OWN = frozenset({"self", "cls", "this", "Self"})
_SUPER = frozenset({"super", "super()"})
_DEPTH = 8
"""Bases, re-exports and types of variables that are followed one after the other."""
_STEM = re.compile(r"(/__init__|/index|/mod|/lib)?(\.d)?\.\w+$")


_SEVERAL_WORDS = re.compile(r"[^\W_]_+[^\W_]|[a-z][A-Z]")
_BUILT_IN = frozenset(
    re.findall(
        r"\w+",
        """
        add_argument addEventListener and_then appendChild as_bytes as_mut as_ref as_str
        charAt charCodeAt codePointAt createElement dispatchEvent endsWith fetch_add
        flat_map for_each forEach format_help from_str getTime hasOwnProperty indexOf
        into_inner into_iter is_alive is_dir is_empty is_err is_file is_none is_ok is_set
        is_some isArray lastIndexOf localeCompare map_err ok_or ok_or_else parse_args
        preventDefault push_str querySelector querySelectorAll read_bytes read_line
        read_text read_to_end read_to_string removeChild removeEventListener replaceAll
        setAttribute setTimeout sort_by sort_by_key split_at starts_with startsWith
        stopPropagation to_lowercase to_owned to_string to_uppercase to_vec toFixed
        toISOString toJSON toLocaleString toLowerCase toString toUpperCase trimEnd
        trimStart try_into unwrap_err unwrap_or unwrap_or_default unwrap_or_else valueOf
        with_capacity write_all write_bytes write_str write_text
        """,
    )
)
"""Methods of types that the languages themselves have."""


class Entity(NamedTuple):
    """What an expression stands for.

    ``kind`` is ``unit`` (a function, or a type itself), ``value`` (of a type), ``super`` (the bases
    of a type), ``module`` (a file or folder, in ``path``) or ``external``.
    """

    kind: str
    number: int = -1
    path: str = ""


class Meaning(NamedTuple):
    """An entity, and how surely: a place in ``RESOLUTIONS``."""

    entity: Entity
    how: int


_EXTERNAL = Entity("external")


class Binding(NamedTuple):
    """What an imported name stands for: a name in a file or folder, or this itself."""

    target: str
    name: str
    line: int
    external: bool = False


Targets = dict[tuple[str, int], list[tuple[str, str]]]
"""Object and scope of each import of a line, by path and first line."""


class ReferenceResolver:
    """Resolves the references of one source.

    Args:
        names: What is defined in it.
        references: References of each file.
        targets: Targets of its imports.
        paths: All its files.
    """

    def __init__(
        self,
        names: Names,
        references: Mapping[str, Sequence[Reference]],
        targets: Targets,
        paths: frozenset[str],
    ) -> None:
        self._names, self._paths = names, paths
        self.bindings: dict[str, dict[str, Binding]] = defaultdict(dict)
        self._stars: dict[str, list[str]] = defaultdict(list)
        self._variables: dict[tuple[str, int], dict[str, list[str]]] = defaultdict(dict)
        self._fields: dict[int, dict[str, list[str]]] = defaultdict(dict)
        self.bases: dict[int, list[int]] = defaultdict(list)
        self._known: dict[tuple[str, int, str], Meaning | None] = {}
        self._open: set[tuple[str, int, str]] = set()
        self._folders: dict[str, str] = {}
        for path, inside in references.items():
            self._bind(path, [one for one in inside if one.kind == IMPORTED], targets)
            self._declare(path, inside)

    def forget(self) -> None:
        """Forget what expressions stand for, after bases became known."""
        self._known.clear()

    def _declare(self, path: str, references: Iterable[Reference]) -> None:
        for one in references:
            if one.kind not in (VARIABLE, FIELD):
                continue
            around = self._names.enclosing(path, one.byte)
            owner = self.type_around(around)
            in_type = around >= 0 and self._names.units[around].is_type
            if one.kind == VARIABLE:
                self._variables[path, around].setdefault(one.name, []).append(one.about)
            if owner >= 0 and (one.kind == FIELD or in_type):
                self._fields[owner].setdefault(one.name, []).append(one.about)

    def _bind(self, path: str, imports: Iterable[Reference], targets: Targets) -> None:
        for one in imports:
            at_line = targets.get((path, one.start_line), [])
            if not at_line:
                continue
            inside = [target for target, scope in at_line if scope == INTERNAL]
            words = [word for word in re.split(r"[./:]+", one.module) if word]
            target = _chosen(inside, words, one.about, only=len(at_line) == len(inside))
            local, bound = _LOCAL[self._names.families.get(path, "python")](one, words, target)
            if target is None:
                if local and local != "*":
                    self.bindings[path].setdefault(
                        local, Binding("", "", one.start_line, external=True)
                    )
            elif local in ("", "*"):
                self._stars[path].append(target)
            else:
                self.bindings[path].setdefault(local, bound)
                if "." in local and target.endswith(".py"):  # import a.b binds a too
                    above = _STEM.sub("", target).split("/")[: 1 - len(words)]
                    top = "/".join([*above, "__init__.py"])
                    if top in self._paths:
                        binding = Binding(top, "", one.start_line)
                        self.bindings[path].setdefault(words[0], binding)

    def type_around(self, number: int) -> int:
        """The type that a unit is or belongs to; -1 for none."""
        units = self._names.units
        for one in self._names.around(number):
            if units[one].is_type:
                return one
            if units[one].owner and units[one].kind == "method":
                inside = self._names.in_file(units[one].path, units[one].owner)
                package = self._names.package(units[one].path)
                if inside < 0 and package:
                    inside = self._names.in_package(package, units[one].owner)
                if inside >= 0 and units[inside].is_type:
                    return inside
        return -1

    def called(self, path: str, around: int, reference: Reference) -> tuple[int, str] | None:
        """The unit that a call refers to, and how it was resolved; None if it is not known.

        Args:
            path: File of the call.
            around: Unit that the call is in; -1 for none.
            reference: The call.
        """
        if reference.about:
            owner = self.evaluate(reference.about, path, around, 0)
            meaning = self._member(owner, reference.name, 0)
            if owner is None:
                return self._unique(path, reference)
        else:
            meaning = self._bare(reference.name, path, around, 0)
        if meaning is None or meaning.entity.kind != "unit":
            return None
        return meaning.entity.number, RESOLUTIONS[meaning.how]

    def type_named(self, name: str, path: str, around: int) -> tuple[int, str] | None:
        """The type of a name as it is written at a place, and how it was resolved."""
        meaning = self.evaluate(name, path, around, 0) if name else None
        if meaning is None or meaning.entity.kind != "unit":
            return None
        number = meaning.entity.number
        if not self._names.units[number].is_type:
            return None
        return number, RESOLUTIONS[meaning.how]

    def imported(self, binding: Binding) -> int:
        """The unit that an imported name stands for; -1 if it is a module, or not known."""
        meaning = self._bound(binding, 0)
        entity = meaning.entity if meaning else _EXTERNAL
        return entity.number if entity.kind == "unit" else -1

    def _unique(self, path: str, reference: Reference) -> tuple[int, str] | None:
        family = self._names.families.get(path)
        if family is None or family in _TYPED or reference.name in _BUILT_IN:
            return None
        if not _SEVERAL_WORDS.search(reference.name):
            return None  # a single word is too often a name of what is not of this source
        number = self._names.only_method(family, reference.name)
        return (number, UNIQUE) if number >= 0 else None

    def evaluate(self, expression: str, path: str, around: int, depth: int) -> Meaning | None:
        """What an expression stands for at a place; None if it is not known.

        Args:
            expression: As ``references.expression`` gives it, or the name of a type.
            path: File that it stands in.
            around: Unit that it stands in; -1 for none.
            depth: How often this was asked on the way.
        """
        if UNKNOWN in expression or depth > _DEPTH:
            return None
        key = (path, around, expression)
        if key in self._open:
            return None  # a variable that is made of itself
        if key not in self._known:
            self._open.add(key)
            self._known[key] = self._follow(expression, path, around, depth)
            self._open.remove(key)
        return self._known[key]

    def _follow(self, expression: str, path: str, around: int, depth: int) -> Meaning | None:
        parts = expression.split(".")
        meaning, at = self._dotted(parts, path)
        if meaning is None:
            meaning, at = self._first(parts[0], path, around, depth), 1
        for part in parts[at:]:
            if meaning is None:
                return None
            name = part.removesuffix(CALLED)
            meaning = self._member(meaning, name, depth + 1)
            if part != name:
                meaning = self._result(meaning, depth + 1)
        return meaning

    def _dotted(self, parts: list[str], path: str) -> tuple[Meaning | None, int]:
        """The module of ``import a.b.c``, which is known by all of its name."""
        bindings = self.bindings.get(path, {})
        for end in range(len(parts), 1, -1):
            binding = bindings.get(".".join(parts[:end]))
            if binding is not None:
                return self._bound(binding, 0), end
        return None, 0

    def _first(self, part: str, path: str, around: int, depth: int) -> Meaning | None:
        if part in _OWN or part in _SUPER:
            owner = self.type_around(around)
            kind = "super" if part in _SUPER else "value"
            return Meaning(Entity(kind, owner), 0) if owner >= 0 else None
        name = part.removesuffix(CALLED)
        meaning = self._bare(name, path, around, depth)
        return self._result(meaning, depth + 1) if part != name else meaning

    def _bare(self, name: str, path: str, around: int, depth: int) -> Meaning | None:
        """What a name stands for where it is written."""
        names, how = self._names, RESOLUTIONS.index(SCOPE)
        family = names.families.get(path, "")
        for one in names.around(around):
            declared = self._variables.get((path, one), {}).get(name)
            if declared is not None and not names.units[one].is_type:
                return self._typed(declared, path, one, depth)
            inside = names.nested(one, name) if not names.units[one].is_type else -1
            if inside >= 0:
                return Meaning(Entity("unit", inside), how)
            if family == "java" and names.units[one].is_type:
                member = self._member(Meaning(Entity("value", one), how), name, depth + 1)
                if member is not None:
                    return member
        number = names.in_file(path, name)
        if number < 0 and names.package(path):
            number = names.in_package(names.package(path), name)
        if number >= 0:
            return Meaning(Entity("unit", number), how)
        binding = self.bindings.get(path, {}).get(name)
        if binding is not None:
            return self._bound(binding, depth)
        declared = self._variables.get((path, -1), {}).get(name)
        if declared is not None:
            return self._typed(declared, path, -1, depth)
        for target in self._stars.get(path, ()):
            meaning = self._in_module(target, name, depth + 1)
            if meaning is not None:
                return meaning
        # types begin with a capital in all six languages, and this one is not of the source
        return Meaning(_EXTERNAL, how) if name[:1].isupper() else None

    def _typed(self, declared: list[str], path: str, around: int, depth: int) -> Meaning | None:
        """A value of the type that a variable is declared with, unless it has several."""
        entities = set()
        for about in filter(None, dict.fromkeys(declared)):
            meaning = self.evaluate(about, path, around, depth + 1)
            if meaning is not None:
                is_type = meaning.entity.kind == "unit"
                entities.add(meaning.entity._replace(kind="value") if is_type else meaning.entity)
            elif not about.endswith(CALLED):
                entities.add(_EXTERNAL)  # a type that no file of the source defines
        return Meaning(entities.pop(), RESOLUTIONS.index(TYPE)) if len(entities) == 1 else None

    def _bound(self, binding: Binding, depth: int) -> Meaning | None:
        how = RESOLUTIONS.index(IMPORT)
        if binding.external:
            return Meaning(_EXTERNAL, how)
        if not binding.name:
            return Meaning(Entity("module", path=binding.target), how)
        meaning = self._in_module(binding.target, binding.name, depth + 1)
        if meaning is None and binding.name == "default":  # require gives the module itself
            return Meaning(Entity("module", path=binding.target), how)
        return meaning

    def _in_module(self, target: str, name: str, depth: int) -> Meaning | None:
        """What a file or folder holds under a name, also what it has imported itself."""
        if depth > _DEPTH:
            return None
        names, how = self._names, RESOLUTIONS.index(IMPORT)
        number = names.in_file(target, name)
        if number < 0 and target not in self._paths:
            number = names.in_package(f"go:{target}", name)
            if number < 0 and (package := self._java_package(target)):
                number = names.in_package(package, name)
        if number >= 0:
            return Meaning(Entity("unit", number), how)
        stem = _STEM.sub("", target).rpartition("/")[2]
        own = names.in_file(target, stem)
        if names.families.get(target) == "java" and own >= 0:  # a static import
            return self._member(Meaning(Entity("unit", own), how), name, depth + 1)
        if name == "default" and own >= 0:
            return Meaning(Entity("unit", own), how)
        binding = self.bindings.get(target, {}).get(name)
        if binding is not None:
            return self._bound(binding, depth)
        declared = self._variables.get((target, -1), {}).get(name)
        if declared is not None:
            return self._typed(declared, target, -1, depth)
        if target.endswith("__init__.py"):
            folder = dirname(target)
            for path in (f"{folder}/{name}.py", f"{folder}/{name}/__init__.py"):
                if path in self._paths:
                    return Meaning(Entity("module", path=path), how)
        for star in self._stars.get(target, ()):
            meaning = self._in_module(star, name, depth + 1)
            if meaning is not None:
                return meaning
        return None

    def _java_package(self, folder: str) -> str:
        if not self._folders:
            for path in sorted(self._names.families):
                if path.endswith(".java"):
                    self._folders.setdefault(dirname(path), self._names.package(path))
        return self._folders.get(folder, "")

    def _member(self, owner: Meaning | None, name: str, depth: int) -> Meaning | None:
        if owner is None or depth > 2 * _DEPTH:
            return None
        entity, how = owner
        if entity.kind == "external":
            return owner
        if entity.kind == "module":
            inside = self._in_module(entity.path, name, depth + 1)
            return inside and Meaning(inside.entity, max(how, inside.how))
        if not self._names.units[entity.number].is_type:
            return None
        types = self.bases.get(entity.number, []) if entity.kind == "super" else [entity.number]
        for one in self._with_bases(types):
            number = self._names.member(one, name)
            if number >= 0:
                return Meaning(Entity("unit", number), how)
            declared = self._fields.get(one, {}).get(name)
            if declared is not None:
                path = self._names.units[one].path
                return self._typed(declared, path, one, depth)
        return None

    def _with_bases(self, types: Sequence[int]) -> list[int]:
        """Types and their bases, the nearest first."""
        ordered = list(types)
        for one in ordered:
            if len(ordered) > 100:
                break
            ordered += [base for base in self.bases.get(one, ()) if base not in ordered]
        return ordered

    def _result(self, meaning: Meaning | None, depth: int) -> Meaning | None:
        """What calling an entity gives."""
        if meaning is None or meaning.entity.kind != "unit":
            return meaning if meaning and meaning.entity.kind == "external" else None
        number = meaning.entity.number
        unit = self._names.units[number]
        if unit.is_type:
            return Meaning(Entity("value", number), meaning.how)
        written = result_type(unit.signature, unit.family)
        if written in _OWN:
            owner = self.type_around(number)
            typed = Meaning(Entity("value", owner), 0) if owner >= 0 else None
        else:
            typed = self._typed([written], unit.path, self._names.parents[number], depth)
        return typed and Meaning(typed.entity, RESOLUTIONS.index(TYPE))


_RESULTS = {
    "python": re.compile(r"->\s*(.+?)\s*:?$"),
    "rust": re.compile(r"->\s*(.+?)(?:\s+where\b.*)?$"),
    "javascript": re.compile(r"\)\s*:\s*([^()]+)$"),
    "go": re.compile(r"\)\s*\(?\s*(?:\w+\s+)?([*\w.]+)[^()]*\)?$"),
    "java": re.compile(r"([\w.]+)(?:<[^()]*>)?\s+\w+\s*\("),
}


def result_type(signature: str, family: str) -> str:
    """The type that a function says it gives; empty if it says none.

    Args:
        signature: As the table of units has it, on one line.
        family: Language; TypeScript is JavaScript.
    """
    match = _RESULTS[family].search(signature)
    return plain_type(match[1]) if match else ""


def _chosen(inside: list[str], words: list[str], name: str, *, only: bool) -> str | None:
    """The target of several on one line that a module and a name in it mean."""
    if only and len(inside) == 1:
        return inside[0]
    tails = [[*words, name]] if name not in ("", "*", "default") else []
    for tail in (*tails, words):
        for target in inside:
            if tail and _STEM.sub("", f"/{target}").split("/")[-len(tail) :] == tail:
                return target
    return inside[0] if only and inside else None


Bound = tuple[str, Binding]


def _python(one: Reference, words: list[str], target: str | None) -> Bound:
    if not one.about:  # import a.b.c: known by all of its name, unless it got another
        whole = one.module if one.name == words[0] else one.name
        return whole, Binding(target or "", "", one.start_line)
    parts = _STEM.sub("", f"/{target}").split("/")
    tail = [*words, one.about]
    is_module = parts[-len(tail) :] == tail and one.about != "*"
    return one.name, Binding(target or "", "" if is_module else one.about, one.start_line)


def _javascript(one: Reference, words: list[str], target: str | None) -> Bound:
    required = one.about in ("*", "")
    return one.name, Binding(target or "", "" if required else one.about, one.start_line)


def _go(one: Reference, words: list[str], target: str | None) -> Bound:
    return one.name, Binding(target or "", "", one.start_line)


def _java(one: Reference, words: list[str], target: str | None) -> Bound:
    return words[-1] if words else "", Binding(
        target or "", words[-1] if words else "", one.start_line
    )


def _rust(one: Reference, words: list[str], target: str | None) -> Bound:
    local = words[-1] if words else ""
    stem = _STEM.sub("", target or "").rpartition("/")[2]
    return local, Binding(target or "", "" if stem == local else local, one.start_line)


_LOCAL = {
    "python": _python, "javascript": _javascript, "go": _go, "java": _java, "rust": _rust,
}  # fmt: skip
