"""Resolve the names in references: by scope and import, by declared type, else by a unique name.

An expression ``a.b().c`` is followed from its first name on: a variable has the type that it is declared with or that
its constructor or the annotated result of a function gives it, ``self`` that of the class around it; what is imported
is looked up in the file that the architecture facts name. Nothing is run, and branches are not told apart. Where a name
is known to come from outside of the source, the search ends: no edge is better than a wrong one.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile
from posixpath import dirname
from typing import NamedTuple

from cortex_pipelines.retrieval.graph.declarations import Declarations, is_of_hidden
from cortex_pipelines.retrieval.graph.imports import STEM, ImportBinding
from cortex_pipelines.retrieval.graph.names import SymbolTable, is_telling
from cortex_pipelines.retrieval.graph.references import CALLED, RESULT, UNKNOWN, WRITE, YIELD, Reference, result_type

SCOPE, IMPORT, TYPE, UNIQUE = "scope", "import", "type", "unique name"
RESOLUTIONS = (SCOPE, IMPORT, TYPE, UNIQUE)  # how a name was resolved, the surest first

_TYPED = frozenset({"java"})  # languages where what has a type of the source says so: what is left is of libraries
_SELF_NAMES = frozenset({"self", "cls", "this", "Self"})
_SUPER = frozenset({"super", "super()"})
_PATH_STARTS = frozenset({"crate", "super"})  # of modules in Rust; the file itself, where none is imported
_RUST_UNWRAPS = ("unwrap", "expect", "unwrap_or", "unwrap_or_else", "unwrap_or_default", "take")
_RUST_RESULTS = ("ok", "ok_or", "ok_or_else", "map_err")
_RUST_BORROWS = ("clone", "cloned", "as_ref", "as_mut", "lock", "read", "write", "borrow", "borrow_mut")
# Methods of the wrappers that ``plain_type`` leaves out: what they give is of the same type.
_UNWRAPS = {"rust": frozenset((*_RUST_UNWRAPS, *_RUST_RESULTS, *_RUST_BORROWS))}
_STANDARD = frozenset({"alloc", "core", "std"})  # crates of Rust that no file names
_DEPTH = 8  # bases, re-exports and types of variables that are followed one after the other


class Symbol(NamedTuple):
    """The symbol that an expression stands for.

    ``kind`` is ``unit`` (a function, or a type itself), ``value`` (of a type), ``super`` (the bases
    of a type), ``object`` (not a unit; known by one of its methods, ``SymbolTable.method_of``), ``module``
    (a file or folder, in ``path``) or ``external``.
    """

    kind: str
    number: int = -1
    path: str = ""


class ResolvedSymbol(NamedTuple):
    """A symbol, and its rank in ``RESOLUTIONS``; 0 is the surest."""

    symbol: Symbol
    rank: int


_EXTERNAL = Symbol("external")


class ReferenceResolver:
    def __init__(self, symbols: SymbolTable, declarations: Declarations, paths: frozenset[str]) -> None:
        self._symbols, self._declared, self._paths = symbols, declarations, paths
        self.bases: dict[int, list[int]] = defaultdict(list)
        self._resolved: dict[tuple[str, int, str], ResolvedSymbol | None] = {}
        self._in_progress: set[tuple[str, int, str]] = set()

    def reset(self) -> None:
        """Clear resolved expressions, after bases became known."""
        self._resolved.clear()

    def resolve_call(self, path: str, enclosing_unit: int, reference: Reference) -> tuple[int, str] | None:
        """The unit that a call refers to, and how it was resolved; None if it is not known."""
        owner = self.evaluate(reference.about, path, enclosing_unit, 0) if reference.about else None
        if reference.about:
            resolved = self._member(owner, reference.name, 0)
        else:
            resolved = self._bare_name(reference.name, path, enclosing_unit, 0, is_called=True)
        if resolved is None or resolved.symbol.kind != "unit":
            called = f"{reference.about}.{reference.name}" if reference.about else reference.name
            outside = self._declared.scope_outside(called, path, enclosing_unit)
            resolved = None if outside is None else self.evaluate(called, path, outside, 0)
        if resolved is not None and resolved.symbol.kind == "unit":
            return resolved.symbol.number, RESOLUTIONS[resolved.rank]
        # a single word is too often a name of what is not of this source
        family = self._symbols.families.get(path)
        if not reference.about or owner or family is None or family in _TYPED or not is_telling(reference.name):
            return None
        number = self._symbols.only_method(family, reference.name)
        # a method that calls its name on another value hands on to that value's
        return (number, UNIQUE) if number >= 0 and number != enclosing_unit else None

    def resolve_property(self, path: str, enclosing_unit: int, reference: Reference) -> tuple[int, str] | None:
        """The getter that a read of an attribute runs, or the setter that a write does."""
        resolved = self._member(self.evaluate(reference.about, path, enclosing_unit, 0), reference.name, 0)
        if (
            resolved is None
            or resolved.symbol.number not in self._declared.properties
            or resolved.symbol.kind != "unit"
        ):
            return None
        unit = self._symbols.units[resolved.symbol.number]
        setters = (
            number
            for number in self._symbols.overloads[unit.path, unit.qualified_name]
            if number in self._symbols.secondary
        )
        number = next(setters, resolved.symbol.number) if reference.kind == WRITE else resolved.symbol.number
        return number, RESOLUTIONS[resolved.rank]

    def resolve_dispatch(self, number: int, reference: Reference) -> int:
        """The function that an implementation is registered for; -1 if it is not of the source."""
        unit = self._symbols.units[number]
        same_owner = unit.qualified_name[: -len(unit.name)] + reference.about
        resolved = self.evaluate(reference.about, unit.path, self._symbols.parents[number], 0)
        symbol = resolved.symbol if resolved else _EXTERNAL
        in_file = self._symbols.overloads.get((unit.path, same_owner), [-1])
        return symbol.number if symbol.kind == "unit" and not self._symbols.units[symbol.number].is_type else in_file[0]

    def resolve_type(self, name: str, path: str, enclosing_unit: int) -> tuple[int, str] | None:
        resolved = self.evaluate(name, path, enclosing_unit, 0) if name else None
        if resolved is None or resolved.symbol.kind != "unit":
            return None
        number = resolved.symbol.number
        return (number, RESOLUTIONS[resolved.rank]) if self._symbols.units[number].is_type else None

    def imported_unit(self, binding: ImportBinding) -> int:
        """The unit that an imported name stands for; -1 if it is a module, or not known."""
        resolved = self._resolve_binding(binding, 0)
        symbol = resolved.symbol if resolved else _EXTERNAL
        return symbol.number if symbol.kind == "unit" else -1

    def evaluate(self, expression: str, path: str, enclosing_unit: int, depth: int) -> ResolvedSymbol | None:
        """Resolve an expression (as ``references.expression`` gives it, or the name of a type) in its scope."""
        if UNKNOWN in expression or depth > _DEPTH:
            return None
        key = (path, enclosing_unit, expression)
        if key in self._in_progress:
            return None  # a variable that is made of itself
        if key not in self._resolved:
            self._in_progress.add(key)
            self._resolved[key] = self._follow(expression, path, enclosing_unit, depth)
            self._in_progress.remove(key)
        return self._resolved[key]

    def _follow(self, expression: str, path: str, enclosing_unit: int, depth: int) -> ResolvedSymbol | None:
        parts = expression.split(".")
        # the module of ``import a.b.c`` is known by all of its name
        bindings = self._declared.bindings.get(path, {})
        is_path = parts[0] in _PATH_STARTS and self._symbols.families.get(path) == "rust"
        in_file = is_path and parts[0] == "super" and self._symbols.is_in_inline_module(enclosing_unit)
        least = 0 if is_path and not in_file else 1
        start = next((end for end in range(len(parts), least, -1) if ".".join(parts[:end]) in bindings), 0)
        resolved = self._resolve_binding(bindings[".".join(parts[:start])], 0) if start else None
        if resolved is None and is_path:
            start = sum(1 for _ in takewhile(_PATH_STARTS.__contains__, parts))
            resolved = ResolvedSymbol(Symbol("module", path=path), RESOLUTIONS.index(SCOPE))
        elif resolved is None and (parts[0] in _SELF_NAMES or parts[0] in _SUPER):
            owner, start = self._symbols.enclosing_type(enclosing_unit), 1
            kind = "super" if parts[0] in _SUPER else "value"
            if owner < 0:
                kind, owner = "object", self._symbols.enclosing_object(enclosing_unit)
            resolved = ResolvedSymbol(Symbol(kind, owner), 0) if owner >= 0 else None
        elif resolved is None:
            name, start = parts[0].removesuffix(CALLED), 1
            resolved = self._bare_name(name, path, enclosing_unit, depth, is_called=parts[0] != name)
            resolved = self._result(resolved, depth + 1) if parts[0] != name else resolved
        unwraps = _UNWRAPS.get(self._symbols.families.get(path, ""), frozenset())
        for part in parts[start:]:
            if resolved is None:
                return None
            name, value = part.removesuffix(CALLED), resolved
            resolved = self._member(resolved, name, depth + 1)
            if resolved is None and value.symbol.kind == "value" and name in unwraps:
                resolved = value
                continue
            is_property = resolved is not None and resolved.symbol.number in self._declared.properties
            if part != name or (is_property and resolved and resolved.symbol.kind == "unit"):
                resolved = self._result(resolved, depth + 1)
        return resolved

    def _bare_name(
        self, name: str, path: str, enclosing_unit: int, depth: int, is_called: bool = False
    ) -> ResolvedSymbol | None:
        symbols, rank = self._symbols, RESOLUTIONS.index(SCOPE)
        family = symbols.families.get(path, "")
        for unit in symbols.enclosing_units(enclosing_unit):
            declared = self._declared.variables.get((path, unit), {}).get(name)
            is_method = is_called and family == "java"  # where a variable may have the name of a method
            if declared is not None and not symbols.units[unit].is_type and not is_method:
                scope = symbols.parents[unit] if is_of_hidden(name, declared) else unit
                fixture = -1 if any(declared) else self._declared.fixture(path, name)
                return (
                    self._returned(fixture, (YIELD, RESULT), depth)
                    if fixture >= 0
                    else self._declared_value(declared, path, scope, depth)
                )
            nested = symbols.nested(unit, name) if not symbols.units[unit].is_type else -1
            if nested >= 0:
                return ResolvedSymbol(Symbol("unit", nested), rank)
            if family == "java" and symbols.units[unit].is_type:
                member = self._member(ResolvedSymbol(Symbol("value", unit), rank), name, depth + 1)
                if member is not None:
                    return member
        number = symbols.in_scope(path, name, enclosing_unit)
        if number < 0 and symbols.package(path):
            number = symbols.in_package(symbols.package(path), name)
        if number >= 0:
            return ResolvedSymbol(Symbol("unit", number), rank)
        bindings = self._declared.bindings.get(path, {})
        binding = (bindings.get(name + CALLED) if is_called else None) or bindings.get(name)
        if binding is not None:
            return self._resolve_binding(binding, depth)
        resolved = self._module_value(path, name, depth, rank)
        if resolved is not None or name in self._declared.variables.get((path, -1), {}):
            return resolved
        if (resolved := self._starred(path, name, depth)) is not None:
            return resolved
        # types begin with a capital in all six languages, and this one is not of the source
        is_standard = family == "rust" and name in _STANDARD
        return ResolvedSymbol(_EXTERNAL, rank) if name[:1].isupper() or is_standard else None

    def _returned(self, number: int, kinds: Sequence[str], depth: int) -> ResolvedSymbol | None:
        """What all results of a function are, as far as its code says it."""
        path = self._symbols.units[number].path
        by_kind = self._declared.results.get(number, {})
        expressions = next((by_kind[kind] for kind in kinds if kind in by_kind), [])
        values = {self.evaluate(expression, path, number, depth + 1) for expression in dict.fromkeys(expressions)}
        symbols = {value.symbol for value in values if value is not None and value.symbol.kind == "value"}
        return ResolvedSymbol(symbols.pop(), RESOLUTIONS.index(TYPE)) if len(symbols) == 1 == len(values) else None

    def _declared_value(self, declared: list[str], path: str, enclosing_unit: int, depth: int) -> ResolvedSymbol | None:
        """A value of the type that a variable is declared with, unless it has several."""
        symbols = set()
        for declared_type in filter(None, dict.fromkeys(declared)):
            resolved = self.evaluate(declared_type, path, enclosing_unit, depth + 1)
            if resolved is not None:
                is_type = resolved.symbol.kind == "unit" and self._symbols.units[resolved.symbol.number].is_type
                symbols.add(resolved.symbol._replace(kind="value") if is_type else resolved.symbol)
            elif not declared_type.endswith(CALLED):
                symbols.add(_EXTERNAL)  # a type that no file of the source defines
        return ResolvedSymbol(symbols.pop(), RESOLUTIONS.index(TYPE)) if len(symbols) == 1 else None

    def _resolve_binding(self, binding: ImportBinding, depth: int) -> ResolvedSymbol | None:
        rank = RESOLUTIONS.index(IMPORT)
        if binding.external:
            return ResolvedSymbol(_EXTERNAL, rank)
        if not binding.name:
            return ResolvedSymbol(Symbol("module", path=binding.target), rank)
        resolved = self._in_module(binding.target, binding.name, depth + 1)
        if resolved is None and binding.name == "default":  # require gives the module itself
            return ResolvedSymbol(Symbol("module", path=binding.target), rank)
        return resolved

    def _in_module(self, target: str, name: str, depth: int) -> ResolvedSymbol | None:
        """What a file or folder holds under a name, also what it has imported itself."""
        if depth > _DEPTH:
            return None
        symbols, rank = self._symbols, RESOLUTIONS.index(IMPORT)
        number = symbols.in_file(target, name)
        if number < 0 and target not in self._paths:
            number = symbols.in_package(f"go:{target}", name)
            if number < 0 and (package := symbols.java_packages.get(target)):
                number = symbols.in_package(package, name)
        if number >= 0:
            return ResolvedSymbol(Symbol("unit", number), rank)
        stem = STEM.sub("", target).rpartition("/")[2]
        same_named = symbols.in_file(target, stem)
        if symbols.families.get(target) == "java" and same_named >= 0:  # a static import
            return self._member(ResolvedSymbol(Symbol("unit", same_named), rank), name, depth + 1)
        if (about := self._declared.exports.get((target, name))) is not None:
            exported = self.evaluate(about, target, -1, depth + 1)
            if exported is None:  # an object made in place has the names of its module
                return None if about == UNKNOWN else ResolvedSymbol(_EXTERNAL, rank)
            return ResolvedSymbol(exported.symbol, max(rank, exported.rank))
        bindings = self._declared.bindings.get(target, {})
        binding = bindings.get(name + CALLED) or bindings.get(name)
        if binding is not None:
            return self._resolve_binding(binding, depth)
        resolved = self._module_value(target, name, depth, rank)
        if resolved is not None or name in self._declared.variables.get((target, -1), {}):
            return resolved
        if target.endswith("__init__.py"):
            folder = dirname(target)
            for path in (f"{folder}/{name}.py", f"{folder}/{name}/__init__.py"):
                if path in self._paths:
                    return ResolvedSymbol(Symbol("module", path=path), rank)
        return self._starred(target, name, depth) if name != "default" else None

    def _module_value(self, target: str, name: str, depth: int, rank: int) -> ResolvedSymbol | None:
        """The value of a variable of a file or folder, or the object of which only methods are known."""
        declared = self._declared.variables.get((target, -1), {}).get(name)
        value = self._declared_value(declared, target, -1, depth) if declared is not None else None
        inside = target if target in self._paths else f"{target}/package.go"  # of Go, the folder is imported
        number = self._symbols.method_of(inside, name) if value is None else -1
        return ResolvedSymbol(Symbol("object", number), rank) if number >= 0 else value

    def _starred(self, path: str, name: str, depth: int) -> ResolvedSymbol | None:
        """What a name is of the modules all of whose names a file imports."""
        for star in self._declared.stars.get(path, ()) if depth <= _DEPTH else ():
            owner = self._resolve_binding(star, depth + 1) or self._resolve_binding(star._replace(name=""), depth)
            resolved = self._member(owner, name, depth + 1)
            if resolved is not None:
                return resolved
        return None

    def _member(self, owner: ResolvedSymbol | None, name: str, depth: int) -> ResolvedSymbol | None:
        if owner is None or depth > 2 * _DEPTH:
            return None
        symbol, rank = owner
        if symbol.kind == "external":
            return owner
        if symbol.kind == "module":
            member = self._in_module(symbol.path, name, depth + 1)
            return member and ResolvedSymbol(member.symbol, max(rank, member.rank))
        unit = self._symbols.units[symbol.number]
        if symbol.kind == "object":
            number = self._symbols.sibling(symbol.number, name)
            return ResolvedSymbol(Symbol("unit", number), rank) if number >= 0 else None
        if not unit.is_type:
            return None
        types = self.bases.get(symbol.number, []) if symbol.kind == "super" else [symbol.number]
        for type_number in self.with_bases(types):
            number = self._symbols.member(type_number, name)
            if number >= 0:
                return ResolvedSymbol(Symbol("unit", number), rank)
            declared = self._declared.fields.get(type_number, {}).get(name)
            if declared is not None:
                path = self._symbols.units[type_number].path
                return self._declared_value(declared, path, type_number, depth)
        return None

    def with_bases(self, types: Sequence[int]) -> list[int]:
        lineage = list(types)
        for type_number in lineage:
            if len(lineage) > 100:
                break
            lineage += [base for base in self.bases.get(type_number, ()) if base not in lineage]
        return lineage

    def _result(self, resolved: ResolvedSymbol | None, depth: int) -> ResolvedSymbol | None:
        if resolved is None or resolved.symbol.kind != "unit":
            return resolved if resolved and resolved.symbol.kind in ("external", "object") else None
        number = resolved.symbol.number
        unit = self._symbols.units[number]
        if unit.is_type:
            return ResolvedSymbol(Symbol("value", number), resolved.rank)
        return_type = result_type(unit.family, unit.signature)
        if not return_type:
            is_script = unit.family == "javascript" and unit.kind == "function"
            method = self._symbols.method_of(unit.path, unit.name) if is_script else -1
            if method >= 0 and self._symbols.units[method].kind == "method":  # a constructor with a prototype
                return ResolvedSymbol(Symbol("object", method), resolved.rank)
            return self._returned(number, (RESULT,), depth)
        if return_type in _SELF_NAMES:
            owner = self._symbols.enclosing_type(number)
            value = ResolvedSymbol(Symbol("value", owner), 0) if owner >= 0 else None
        else:
            value = self._declared_value([return_type], unit.path, self._symbols.parents[number], depth)
        return value and ResolvedSymbol(value.symbol, RESOLUTIONS.index(TYPE))
