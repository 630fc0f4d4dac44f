"""Names of a file that each of its units uses: imported ones, and variables that may hold what a library gives.

Names are told apart by the tokens around them, in one pass over the tokens of a file: a member (``a.name``), a key,
an argument's name or a declaration is no use, and what a function declares itself hides what the file imports.
"""

import builtins
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cortex_pipelines.annotation.complexity.treewalk import WalkResult
from cortex_pipelines.annotation.detector import Evidence
from cortex_pipelines.annotation.evidence import owners
from cortex_pipelines.annotation.technologies.bindings import STAR, Binding

JSX = "<>"
"""The name of what turns JSX into calls."""
IMPORTED, UNLISTED, CRATE = "import ", "* ", "::"
"""Before a name: it is imported here; it may be of an import that does not list its names; it is a crate's."""
NODES = {
    "javascript": ("jsx_element", "jsx_self_closing_element"),
    "typescript": ("jsx_element", "jsx_self_closing_element"),
    "rust": ("impl_item",),
}
"""Types of nodes that show a use, beside those that import."""

_TYPES = frozenset({"class", "struct", "interface", "trait", "enum"})
_DATA = frozenset({"variable", "constant"})
_FUNCTIONS = frozenset({"function", "method"})
_AFTER = re.compile(rb"\s*(:=|==|=>|::|.)?", re.DOTALL)
_WORD_BEFORE = re.compile(rb"(\w+)\s+\Z")
_DECLARING = b"def class function func fn struct interface enum trait type mod const let var val mut static as for"
_OF_TYPES = rb"class|interface|enum|trait|struct|record|extends"
_DECLARES = frozenset(_DECLARING.split())
_SPACES = b" \t\r\n"
_MOST_HEAD, _MOST_LINE = 2_000, 300  # bytes of a declaration, and of a line before a name, that are looked at
_MOST_STEPS = 3  # from a variable to the next that it is made from
_NEAR = 24  # bytes before a name in which its declaring keyword stands
# what may stand between a declared name and its type, or the call that makes it
_TYPE_OR_MAKER = re.compile(rb"(?:[^=({]|=>)*(?:=\s*(?:[\w.\s]+(?:\|\||\?\?|\bor\b)\s*)?(?:await\s+|new\s+|&)*)?\Z")
_ANNOTATIONS = re.compile(rb"@[\w.]+(?:\([^)]*\))?|#\[[^\]]*\]")
_FIELDS = {
    "python": re.compile(rb"(\w+)\s*(?::[^=({]*)?(?:=\s*(?:await\s+)?)?\Z"),
    **dict.fromkeys(
        ("javascript", "typescript"), re.compile(rb"#?(\w+)[?!]?\s*(?::[^=({]*)?(?:=\s*(?:await\s+|new\s+)*)?\Z")
    ),
    "go": re.compile(rb"\A\s*(\w+)\s+[*\[\]\w.]*\Z"),
    "rust": re.compile(rb"(\w+)\s*:\s*[&\w<>:,\s']*\Z"),
}
# by which a field is declared inside of a method
_OF_OBJECT = re.compile(rb"(?:\b(?:self|this)\s*\.\s*|\b(?:private|protected|public|readonly)\s+)\Z")
_EMBEDDED, _WORD = re.compile(rb"^\s*\*?(\w+)(?:\.\w+)?\s*$", re.MULTILINE), re.compile(rb"[A-Za-z_$][\w$]*")
_RUST_PATH = re.compile(rb"(?<![\w:])([a-z]\w*)(?=::)")
_NOT_CRATES = frozenset({b"std", b"core", b"alloc", b"crate", b"self", b"super"})
_JAVA_LANG = (
    "Boolean Byte Character Class Deprecated Double Enum Error Exception Float FunctionalInterface Integer Iterable "
    "Long Math Number Object Override Runnable Runtime RuntimeException SafeVarargs Short String StringBuilder "
    "SuppressWarnings System Thread Throwable Void"
)
_BUILT_IN: dict[str, frozenset[str]] = defaultdict(
    frozenset, python=frozenset(dir(builtins)), java=frozenset(_JAVA_LANG.split())
)
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*\Z")
_CAPITAL, _CALLED = re.compile(rb"[A-Z]\w*\Z"), re.compile(rb"\s*[(!]")


@dataclass
class UnitNames:
    uses: set[str] = field(default_factory=set)
    heads: set[str] = field(default_factory=set)  # of a variable: names of its type, or of what makes its value
    bases: set[str] = field(default_factory=set)  # of a type: names that it extends or implements


def names_of_units(
    units: Sequence[dict[str, Any]],
    data: bytes,
    language: str,
    walk: WalkResult,
    parameters: Sequence[int],
    imported: Sequence[Binding],
) -> dict[str, UnitNames]:
    """Names by unit id. ``units``: all of a file; ``parameters``: first bytes of the parameters of its functions."""
    return _FileNames(units, data, language, walk, parameters, imported).read()


class _FileNames:
    def __init__(
        self,
        units: Sequence[dict[str, Any]],
        data: bytes,
        language: str,
        walk: WalkResult,
        parameters: Sequence[int],
        imported: Sequence[Binding],
    ) -> None:
        self._units = sorted(units, key=lambda unit: unit["start_byte"])
        self._unit_starts = [unit["start_byte"] for unit in self._units]
        self._data, self._language, self._walk = data, language, walk
        self._parameters, self._imported = frozenset(parameters), imported
        self._names = {unit["unit_id"]: UnitNames() for unit in units}
        # by type and field, names of what it may hold
        self._fields: dict[str, dict[bytes, set[str]]] = defaultdict(lambda: defaultdict(set))
        spans = sorted({(binding.start, binding.end) for binding in imported})
        self._import_starts, self._import_ends = [start for start, _ in spans], [end for _, end in spans]
        impls = [visit.node for visit in walk.visits.get("impl_item", ())]
        traits = [(node.child_by_field_name("trait"), node) for node in impls]
        self._traits = sorted((trait.start_byte, trait.end_byte, node.end_byte) for trait, node in traits if trait)

    def read(self) -> dict[str, UnitNames]:
        known = {binding.local for binding in self._imported} - {"", "_", STAR}
        found = list(self._imports())
        found += self._tokens(known)
        if self._language == "rust":
            found += self._crates(known)
        if any(binding.local == STAR for binding in self._imported):
            found += self._unlisted(known)
        for node_type in ("jsx_element", "jsx_self_closing_element"):
            found += [Evidence(v.node.start_byte, v.node.end_byte, JSX) for v in self._walk.visits.get(node_type, ())]
        self._assign(found)
        for _ in range(_MOST_STEPS):
            holding = self._variables() - known
            if not holding:
                break
            self._assign(list(self._tokens(holding)))
            known |= holding
        self._add_bases(known)
        self._add_fields()
        return self._names

    def _variables(self) -> set[str]:
        """Variables of the module that hold what an import, or such a variable, gives."""
        units = (unit for unit in self._units if unit["kind"] in _DATA and unit["qualified_name"] == unit["name"])
        return {unit["name"] for unit in units if self._names[unit["unit_id"]].heads}

    def _add_bases(self, known: set[str]) -> None:
        types = [unit for unit in self._units if unit["kind"] in _TYPES]
        known = known | {unit["name"] for unit in types}
        for unit in types:
            code = self._data[unit["start_byte"] : min(unit["end_byte"], unit["start_byte"] + _MOST_HEAD)]
            if self._language == "go":
                words = _EMBEDDED.findall(code)
            else:
                listed = rb"(?:\[[^]]*\])?\(([^)]*)" if self._language == "python" else rb"\b([^{]*)"
                after = re.search(rb"\b(?:%s)\s+%s%s" % (_OF_TYPES, re.escape(unit["name"].encode()), listed), code)
                words = _WORD.findall(after[1]) if after is not None else []
            names = {word.decode(errors="replace") for word in words}
            self._names[unit["unit_id"]].bases |= (names & known) - {unit["name"]}

    def _imports(self) -> Iterator[Evidence]:
        for binding in self._imported:
            label = binding.local or binding.module
            yield Evidence(binding.start, binding.end, f"{IMPORTED}{label}")

    def _tokens(self, names: set[str]) -> Iterator[Evidence]:
        wanted = {number: name for name in names if (number := self._walk.texts.get(name.encode())) is not None}
        for start, number in zip(self._walk.operands, self._walk.operand_texts, strict=True):
            if number in wanted and not self._in_import(start):
                name = wanted[number]
                yield Evidence(start, start + len(name.encode()), name)

    def _in_import(self, position: int) -> bool:
        index = bisect_right(self._import_starts, position) - 1
        return index >= 0 and position < self._import_ends[index]

    def _crates(self, known: set[str]) -> Iterator[Evidence]:
        tokens = frozenset(self._walk.operands)
        for match in _RUST_PATH.finditer(self._data):
            name = match[1]
            if name not in _NOT_CRATES and match.start() in tokens and not self._in_import(match.start()):
                text = name.decode()
                if text not in known:
                    yield Evidence(*match.span(), f"{CRATE}{text}")

    def _unlisted(self, known: set[str]) -> Iterator[Evidence]:
        declared = known | {unit["name"] for unit in self._units} | _BUILT_IN[self._language]
        texts = self._walk.texts.items()
        names = {number: text for text, number in texts if _NAME.match(text) and text.decode() not in declared}
        # of Java, members are imported by a star below a type
        java = [b.module.removesuffix(".*").rpartition(".")[2][:1].isupper() for b in self._imported if b.local == STAR]
        types, members = (not all(java), any(java)) if self._language == "java" else (True, True)
        for start, number in zip(self._walk.operands, self._walk.operand_texts, strict=True):
            text = names.get(number)
            called = text is not None and _CALLED.match(self._data, start + len(text)) is not None
            if text is not None and ((types and _CAPITAL.match(text)) or (members and called)):
                yield Evidence(start, start + len(text), f"{UNLISTED}{text.decode()}")

    def _assign(self, found: Sequence[Evidence]) -> None:
        hidden: dict[str, set[str]] = defaultdict(set)  # names by the function that declares them
        uses = []
        for item in found if self._traits else ():
            if self._declares(item) is False:
                self._add_implemented(item)
        for item, _, holders in owners(sorted(found), self._units):
            declares = self._declares(item)
            if declares is None:
                continue
            if declares:
                function = next((unit for unit in reversed(holders) if unit["kind"] in _FUNCTIONS), None)
                if function is not None:
                    hidden[function["unit_id"]].add(item.label)
            else:
                uses.append((item, list(holders)))
        for item, holders in uses:
            is_path = self._data.startswith(b"::", item.end)
            if not is_path and any(item.label in hidden.get(unit["unit_id"], ()) for unit in holders):
                continue
            for unit in holders:
                names = self._names[unit["unit_id"]]
                names.uses.add(item.label)
                if unit["kind"] in _DATA and self._is_head(item, unit):
                    names.heads.add(item.label)
            self._find_field(item, holders)

    def _declares(self, item: Evidence) -> bool | None:
        """Whether a name is declared here; None if it is neither declared nor used."""
        if item.label.startswith((IMPORTED, JSX)):
            return False
        data, start = self._data, item.start
        before = data[max(start - _NEAR, 0) : start]
        last = before.rstrip(_SPACES)[-2:]
        if last.endswith(b".") and not last.endswith(b".."):
            return None
        if last == b"::" and not item.label.startswith(CRATE):
            return None
        if start in self._parameters and self._language != "java":
            return True
        match = _AFTER.match(data, item.end)
        after = (match[1] if match is not None else None) or b""
        if item.label.startswith(CRATE) or after == b"::":
            return False
        word = _WORD_BEFORE.search(before)
        if word is not None and word[1] in _DECLARES and not (self._language == "python" and word[1] == b"type"):
            return self._language != "rust" or word[1] not in (b"for", b"as")
        if after == b":=" or (after == b"=" and self._language in ("python", "go")):
            return True
        if after == b":" and self._language in ("javascript", "typescript", "go", "rust"):
            return None if last[-1:] != b"?" else False
        return False

    def _is_head(self, item: Evidence, unit: dict[str, Any]) -> bool:
        if item.start - unit["start_byte"] > _MOST_HEAD:
            return False
        prefix = _ANNOTATIONS.sub(b"", self._data[unit["start_byte"] : item.start])
        return not prefix.rstrip(_SPACES).endswith(b"@") and _TYPE_OR_MAKER.match(prefix) is not None

    def _find_field(self, item: Evidence, holders: Sequence[dict[str, Any]]) -> None:
        owner = next((unit for unit in reversed(holders) if unit["kind"] in _TYPES), None)
        if owner is None:
            return
        fields, inner = self._fields[owner["name"]], holders[-1]
        if self._language == "java":
            if inner["kind"] in _DATA and self._is_head(item, inner):
                fields[inner["name"].encode()].add(item.label)
            return
        near = max(owner["start_byte"], item.start - _MOST_LINE)
        line = self._data[max(self._data.rfind(b"\n", near, item.start) + 1, near) : item.start]
        match = _FIELDS[self._language].search(line)
        if match is None:
            return
        function = next((unit for unit in reversed(holders) if unit["kind"] in _FUNCTIONS), None)
        if function is None or function["start_byte"] < owner["start_byte"] or _OF_OBJECT.search(line[: match.start()]):
            fields[match[1]].add(item.label)
        elif item.start < (function["body_start_byte"] or 0) and (stored := self._stored(match[1], function)):
            fields[stored].add(item.label)

    def _stored(self, parameter: bytes, method: dict[str, Any]) -> bytes:
        """The field that a method puts a parameter into; empty for none."""
        body = self._data[method["body_start_byte"] : method["end_byte"]][:_MOST_HEAD]
        match = re.search(rb"\b(?:self|this)\.(\w+)\s*(?::[^=\n]*)?=\s*%s\b" % re.escape(parameter), body)
        return match[1] if match is not None else b""

    def _add_implemented(self, item: Evidence) -> None:
        """The methods by which a type of Rust implements a trait use it."""
        index = bisect_right(self._traits, (item.start, len(self._data), 0)) - 1
        if index >= 0 and item.start < self._traits[index][1]:
            start, _, end = self._traits[index]
            for unit in self._units[bisect_left(self._unit_starts, start) : bisect_left(self._unit_starts, end)]:
                self._names[unit["unit_id"]].uses.add(item.label)

    def _add_fields(self) -> None:
        for unit in self._units:
            owner = unit["qualified_name"].rpartition(".")[0].rpartition(".")[2] if unit["kind"] == "method" else ""
            fields = self._fields.get(owner)
            if not fields:
                continue
            code = self._data[unit["start_byte"] : unit["end_byte"]]
            receiver = rb"(?<![\w.])(?:this\s*\.\s*)?" if self._language == "java" else _receiver(code, self._language)
            for match in re.finditer(receiver + rb"(\w+)", code):
                self._names[unit["unit_id"]].uses |= fields.get(match[1], set())


def _receiver(code: bytes, language: str) -> bytes:
    if language == "go":
        match = re.match(rb"func\s*\(\s*(\w+)", code)
        return rb"\b%s\s*\.\s*" % (match[1] if match is not None else b"_")
    return rb"\b(?:self|this|cls)\s*[?!]?\.\s*#?"
