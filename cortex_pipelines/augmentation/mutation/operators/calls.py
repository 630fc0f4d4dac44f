"""Argument bugs: swapped or missing arguments, swapped keyword values."""

import re
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.evident_types import (
    COMPILED,
    arguments_of,
    evident_type,
    expected_type,
    is_copied,
    type_of_binding,
)
from cortex_pipelines.augmentation.mutation.namespaces import (
    binding_of,
    is_pair,
    is_repeated,
    is_use,
    other_attributes,
    other_callees,
    others_in_scope,
)
from cortex_pipelines.augmentation.mutation.operator import (
    Operator,
    TextEdit,
    everywhere,
    exchange,
    on,
    replace_part,
    replace_quoting_around,
    swapping,
)
from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable, split_words

_FAMILY: Literal["identifier"] = "identifier"
_NOT_POSITIONAL = COMMENTS | split_words(
    "keyword_argument list_splat dictionary_splat spread_element variadic_argument "
    "parenthesized_expression generator_expression"
)


# Words of functions that take their arguments in any order, or in one that their names do not tell: ``cn`` and such
# join the classes of an element.
_SYMMETRIC = split_words(
    "add all any append approx assert classnames close clsx cn combine compare concat cx difference distance eq equal "
    "equals format gcd hypot intersect intersection is join lcm log logger max merge min mul multiply overlap overlaps "
    "print println same sum swap union zip"
)
_TWO_VALUES = re.compile(r"(?:-?\d[\w.]*|[Tt]rue|[Ff]alse)\s*,\s*(?:-?\d[\w.]*|[Tt]rue|[Ff]alse)")
_LISTING = split_words("asList of")  # names of functions whose arguments are the parts of a collection
_LEVELS = split_words("trace debug info log warn warning error")  # of logs: which of them is meant is a choice
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


class ArgumentSwap(Operator):
    name = "argument_swap"
    error_type = _FAMILY
    weight = 2
    places = everywhere("argument_list", script="arguments", rust="arguments")
    explanation = "the arguments of {wrong} are in the wrong order; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        call = view.parent(node)
        if call is None or call.type == "class_definition":
            return
        name = callee_name(call)
        called = view.code(name) if name is not None else ""
        if called in _LISTING or any(word.lower() in _SYMMETRIC for word in (called, *_WORD.findall(called))):
            return
        arguments = [part for part in node.named_children if part.type not in _NOT_POSITIONAL]
        for left, right in pairwise(arguments):
            if not _are_entries(left, right, view) and may_exchange(left, right, view):
                yield exchange(view, call, left, right)

    def is_shown(self, change: TextEdit, view: NodeTable) -> bool:
        return _TWO_VALUES.fullmatch(change.old) is None  # nothing tells which of two a parameter takes


def _are_entries(left: Node, right: Node, view: NodeTable) -> bool:
    """Whether two arguments are equal, or calls of one function that name what they give: any order will do."""
    return view.code(left) == view.code(right) or _entry_of(left, view) == _entry_of(right, view) != ""


def _entry_of(node: Node, view: NodeTable) -> str:
    """What comes before the arguments of a call whose first is a text, such as ``String("name", value)``."""
    arguments = node.child_by_field_name("arguments")
    if arguments is None or not arguments.named_children or "string" not in arguments.named_children[0].type:
        return ""
    return view.between(node.start_byte, arguments.start_byte)


def may_exchange(left: Node, right: Node, view: NodeTable) -> bool:
    """Whether each of two expressions may stand in the other's place, in a language whose compiler checks types."""
    kind = evident_type(left, view) if view.language in COMPILED else ""
    return view.language not in COMPILED or (kind != "" and kind == evident_type(right, view))


class KeywordSwap(Operator):
    name = "keyword_swap"
    error_type = _FAMILY
    places = on(python="argument_list", script="object", rust="field_initializer_list")
    explanation = "two named values in {wrong} are swapped; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        call = view.parent(node)
        if call is None or call.type == "class_definition":
            return
        named_arguments = [part for part in node.named_children if part.type in _NAMED]
        for argument, following in pairwise(named_arguments):
            left, right = (argument.child_by_field_name("value"), following.child_by_field_name("value"))
            if left is None or right is None or view.code(left) == view.code(right):
                continue
            if left.type == right.type in _LITERALS:
                continue  # nothing tells which of two numbers or texts a name has
            if {left.type, right.type} <= _PLAIN and may_exchange(left, right, view):
                yield exchange(view, call, left, right)


_NAMED = split_words("keyword_argument pair field_initializer")
_LITERALS = split_words("string string_literal integer integer_literal number float")
_PLAIN = _LITERALS | split_words(
    "identifier attribute member_expression field_expression true false call call_expression subscript none null"
)


def _exchanged(pairs: str) -> dict[str, tuple[str, ...]]:
    return swapping(*((first, second) for first, _, second in (pair.partition("/") for pair in pairs.split())))


# Pairs that take the same arguments and give the same type; not those that differ on rare values alone, as strip and
# lstrip: nothing says which one was meant.
_PAIRS = {
    "python": _exchanged(
        "startswith/endswith lower/upper lstrip/rstrip split/rsplit partition/rpartition find/rfind ljust/rjust "
        "removeprefix/removesuffix append/extend min/max any/all keys/values add/discard encode/decode"
    )
    | {"items": ("keys",)},
    "javascript": _exchanged(
        "startsWith/endsWith toLowerCase/toUpperCase trimStart/trimEnd indexOf/lastIndexOf padStart/padEnd "
        "some/every min/max floor/ceil keys/values filter/map"
    )
    | {"slice": ("splice",)},
    "java": _exchanged(
        "startsWith/endsWith toLowerCase/toUpperCase indexOf/lastIndexOf min/max anyMatch/allMatch floor/ceil "
        "addFirst/addLast containsKey/containsValue"
    ),
    "go": _exchanged(
        "HasPrefix/HasSuffix ToLower/ToUpper TrimLeft/TrimRight TrimPrefix/TrimSuffix Index/LastIndex Min/Max "
        "Floor/Ceil"
    )
    | {"RLock": ("Lock",), "Contains": ("HasPrefix",), "Split": ("SplitAfter",)},
    "rust": _exchanged(
        "starts_with/ends_with to_lowercase/to_uppercase trim_start/trim_end min/max any/all "
        "is_some/is_none is_ok/is_err push_back/push_front pop_back/pop_front"
    ),
}
_PAIRS["typescript"] = {
    name: others
    for name, others in _PAIRS["javascript"].items()
    if name not in split_words("keys values filter map slice")
}
CALLS = everywhere("call_expression", python="call", java="method_invocation")
"""Node types of calls, by language."""


class SimilarMethod(Operator):
    name = "similar_method"
    error_type = _FAMILY
    weight = 3
    places = CALLS
    explanation = "{wrong} calls {new} instead of {old}; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        name = callee_name(node)
        if name is None or (view.language == "go" and not _is_of_package(node, view)):
            return
        for other in _PAIRS[view.language].get(view.code(name), ()):
            yield replace_part(view, node, name, other)

    def is_shown(self, change: TextEdit, view: NodeTable) -> bool:
        if change.old not in _CASES:
            return True
        name = view.innermost(change.start, change.end)
        call = next((outer for outer in view.ancestors(name) if outer.type in CALLS[view.language]), None)
        return call is not None and _is_case_shown(call, view)


def _is_of_package(call: Node, view: NodeTable) -> bool:
    """Whether a function of Go is one of a package, or of a lock, that has the other, too; others may have none."""
    return re.match(r"(?:bytes|math|slices|strings)\.|.*\.RLock\(", view.code(call)) is not None


_CASES = split_words("lower upper toLowerCase toUpperCase ToLower ToUpper to_lowercase to_uppercase")
_COMPARING = split_words("comparison_operator binary_expression")
_CASED_TEXT = re.compile(r"""["'`][^"'`]*[A-Za-z][^"'`]*["'`]""")


def _is_case_shown(call: Node, view: NodeTable) -> bool:
    """Whether what is called gives a text that is compared with a literal: ``name.lower() == "yes"``."""
    for outer in islice(view.ancestors(call), 2):
        if outer.type in _COMPARING or outer.type in CALLS[view.language]:  # which may be of a method of the text
            context = view.between(outer.start_byte, call.start_byte) + view.between(call.end_byte, outer.end_byte)
            return _CASED_TEXT.search(context) is not None
        if "argument" in outer.type:
            break
    return False


def callee_name(call: Node) -> Node | None:
    if call.type == "method_invocation":
        return call.child_by_field_name("name")
    function = call.child_by_field_name("function")
    for field in ("attribute", "property", "field"):
        part = function.child_by_field_name(field) if function is not None else None
        if part is not None:
            return part
    return function if function is not None and function.type == "identifier" else None


_MOST = 2


class VariableMisuse(Operator):
    name = "variable_misuse"
    error_type = _FAMILY
    weight = 24
    places = everywhere("identifier")
    explanation = "{new} is the wrong variable in {wrong}; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if not is_use(node, view):
            return
        candidates = others_in_scope(node, view)
        if candidates and view.language in COMPILED:
            expected_types = {evident_type(node, view), expected_type(node, view)} - {""}
            closure = next((above for above in view.ancestors(node) if above.type in _CLOSURES), None)
            candidates = [
                candidate
                for candidate in candidates
                if (kind := type_of_binding(candidate, view)) in expected_types
                and is_copied(kind, view.language)
                and (closure is None or closure.start_byte <= candidate.node.start_byte)
            ]
        for candidate in candidates[:_MOST]:
            yield replace_quoting_around(view, node, candidate.name)


_CLOSURES = split_words("lambda_expression")  # of Java, which take only what is never assigned again


class WrongCallee(Operator):
    name = "wrong_callee"
    error_type = _FAMILY
    weight = 8
    places = CALLS
    explanation = "{new} is the wrong function in {wrong}; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        name = callee_name(node)
        if name is None:
            return
        for other, example in other_callees(node, view)[:1]:
            if {view.code(name).lower(), other.lower()} <= _LEVELS:
                continue
            if _takes_and_gives_the_same(node, example, view):
                yield replace_part(view, node, name, other)

    def is_shown(self, change: TextEdit, view: NodeTable) -> bool:
        return is_repeated(view.innermost(change.start, change.end), view)


def _takes_and_gives_the_same(call: Node, other: Node, view: NodeTable) -> bool:
    if view.language not in COMPILED:
        return True
    pairs = zip(arguments_of(call), arguments_of(other), strict=True)
    return _is_asked_for_the_same(call, other, view) and all(may_exchange(*pair, view) for pair in pairs)


def _is_asked_for_the_same(node: Node, other: Node, view: NodeTable) -> bool:
    if view.language not in COMPILED:
        return True
    if view.parent_type(node) == view.parent_type(other) == "expression_statement":
        return True
    kind = expected_type(node, view)
    return kind != "" and kind == expected_type(other, view)


# Of Rust's a local mostly holds what was taken or borrowed, which is of another type.
_KEPT_ATTRIBUTES = on(python="attribute", script="member_expression", java="field_access", go="selector_expression")
_ATTRIBUTES = _KEPT_ATTRIBUTES | on(rust="field_expression")


class WrongAttribute(Operator):
    name = "wrong_attribute"
    error_type = _FAMILY
    weight = 4
    places = _ATTRIBUTES
    explanation = "{new} is the wrong attribute in {wrong}; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        in_tag = view.parent_type(node).startswith("jsx_")  # its two ends name it
        if view.field(node) != "function" and is_pair(node) and not in_tag:
            for other, example in other_attributes(node, view)[:1]:
                if _is_asked_for_the_same(node, example, view):
                    yield replace_part(view, node, node.named_children[1], other)

    def is_shown(self, change: TextEdit, view: NodeTable) -> bool:
        return is_repeated(view.innermost(change.start, change.end), view)


class LostReceiver(Operator):
    """Replaces ``self.x`` by the function's own ``x``."""

    name = "lost_receiver"
    error_type = _FAMILY
    places = _KEPT_ATTRIBUTES
    explanation = "{new} is the local variable, but the attribute is meant; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if view.field(node) in ("function", "left") or not is_pair(node):
            return
        owner, attribute = node.named_children
        name = view.code(attribute)
        if not owner.child_count and binding_of(attribute, view) is not None:
            text = view.code(node)
            yield TextEdit(node.start_byte, node.end_byte, name, text, name, text, name)
