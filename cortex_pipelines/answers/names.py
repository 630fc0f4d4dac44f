"""Names for values, derived from their source in code, in the project's case convention."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from cortex_pipelines.answers.unit import CodeUnit
from cortex_pipelines.augmentation.node_table import split_words
from cortex_pipelines.augmentation.snippets import text_of
from cortex_pipelines.words import split_name

_VERBS = split_words(
    "get load read fetch find create make build new parse compute calculate calc open to as from into try with "
    "of lookup query select extract generate init do"
)
"""Of ``get_user`` the value is a user."""

_KNOWN = {"len": "count", "size": "count", "sum": "total", "open": "file", "range": "index", "enumerate": "index"}
"""Nouns for results of functions whose names do not describe them."""

_TAKEN = {
    **dict.fromkeys(("sum", "min", "max", "mean", "median"), "numbers"),
    **dict.fromkeys(("open", "Open", "ReadFile", "readFile", "readFileSync", "exists", "isfile", "isdir"), "path"),
    **dict.fromkeys(("json.loads", "loads", "JSON.parse", "Atoi", "ParseInt", "parseInt"), "text"),
    **dict.fromkeys(("len", "sorted", "enumerate", "reversed", "any", "all"), "items"),
    **dict.fromkeys(("urlopen", "requests.get", "fetch", "urlparse", "urlsplit"), "url"),
}
"""Functions to what their first argument is."""

_LOOPS = split_words("for_statement for_in_clause for_in_statement enhanced_for_statement range_clause for_expression")
_WRAPPERS = split_words(
    "await try_expression await_expression parenthesized_expression expression_list reference_expression "
    "unary_expression non_null_expression as_expression type_conversion_expression cast_expression"
)
_CALLS = split_words("call call_expression method_invocation")
_MEMBERS = split_words("attribute member_expression field_access selector_expression field_expression")
_MADE = split_words("new_expression object_creation_expression composite_literal struct_expression")
_SETTING = split_words(
    "assignment named_expression variable_declarator assignment_expression short_var_declaration var_spec const_spec "
    "assignment_statement let_declaration"
)
_WITH_ERROR = frozenset({"short_var_declaration", "assignment_statement"})
_LAST = ("attribute", "property", "field", "name")
_PRIMITIVE = split_words(
    "int str float bool bytes object any list dict set tuple string number boolean unknown void long double "
    "char byte short error i8 i16 i32 i64 u8 u16 u32 u64 usize isize f32 f64 self vec option result box map "
    "array func function none null callable iterable sequence mapping optional union interface t k v"
)


@dataclass(frozen=True)
class ValueName:
    """A name; ``score``: share of such names that equal the author's, 0 to 1."""

    name: str
    score: float


def restyled(name: str, style: str, like: str = "") -> str:
    """A name in another case, with the leading underscores of ``like``."""
    words = split_name(name)
    leading = like[: len(like) - len(like.lstrip("_"))] if like else name[: len(name) - len(name.lstrip("_"))]
    if not words:
        return name
    lower = [word.lower() for word in words]
    if style == "snake_case":
        changed = "_".join(lower)
    elif style == "UPPER_CASE":
        changed = "_".join(lower).upper()
    elif style in ("camelCase", "PascalCase"):
        changed = "".join(word if word.isupper() and len(word) > 1 else word.capitalize() for word in words)
        changed = changed if style == "PascalCase" else lower[0] + changed[len(lower[0]) :]
    else:
        return name
    return leading + changed


def named_by_value(unit: CodeUnit, name: str) -> ValueName | None:
    """A name for a variable by its value, the collection it iterates over, or its type."""
    for node in unit.snippet.nodes():
        for field in ("left", "name", "pattern"):
            if value_name := _by_field(node, field, name):
                return value_name
        if declared := _by_type(node, name):
            return ValueName(declared, 0.4)
    used = [noun for node in unit.snippet.nodes() if (noun := _by_use(node, name))]
    return ValueName(used[0], 0.3) if used and len(set(used)) == 1 else None


def _by_use(node: Node, name: str) -> str:
    """The noun for an argument of a function that takes one kind of value: the path of ``open(x)``."""
    if node.type in _CALLS:
        function = node.child_by_field_name("function") or node.child_by_field_name("name")
        arguments = node.child_by_field_name("arguments")
        first = arguments.named_children[0] if arguments is not None and arguments.named_children else None
        if function is None or first is None or text_of(first) != name:
            return ""
        return _TAKEN.get(text_of(function)) or _TAKEN.get(_last_name(function), "")
    over = node.child_by_field_name("right") or node.child_by_field_name("value") if node.type in _LOOPS else None
    return "items" if over is not None and text_of(over) == name else ""


def _by_field(node: Node, field: str, name: str) -> ValueName | None:
    target = node.child_by_field_name(field)
    if node.type in _WITH_ERROR and target is not None and target.named_children:
        target = target.named_children[0]  # the rest are whether there is one, and an error
    if target is None or text_of(target).strip() != name or node.type not in (_SETTING | _LOOPS):
        return None
    value = node.child_by_field_name("value") or node.child_by_field_name("right")
    if value is None or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text_of(value)):
        return None
    if node.type in _LOOPS:
        return ValueName(noun, 0.6) if (noun := _element(value)) else None
    return ValueName(noun, 0.5) if (noun := _noun(value)) else None


def _element(over: Node) -> str:
    """The noun for an element of a collection: an item of ``items``."""
    words = _words_of_value(_bare(over))
    if not words:
        return ""
    last = words[-1].lower()
    singular = _singular(last)
    return "_".join([*words[:-1], singular]) if singular else ""


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else ""


def _noun(value: Node) -> str:
    """The noun for a value: a user of ``get_user()`` and ``User()``, the timeout of ``settings.timeout``.

    Empty for a call that only names an action: on held-out variables of six projects the name of
    ``result = invoke()`` was wrong 19 times of 20.
    """
    node = _bare(value)
    words = _words_of_value(node)
    if node.type in _CALLS:
        nouns = words[1:] if words[:1] and words[0].lower() in _VERBS else list(words)
        is_known = len(words) == 1 and words[0] in _KNOWN.values()
        if not (is_known or len(nouns) < len(words) or (words[:1] and words[0][:1].isupper())):
            return ""
        words = nouns
    elif node.type not in _MADE and node.type not in _MEMBERS:
        return ""
    return "_".join(word.lower() for word in words)


def _words_of_value(node: Node) -> list[str]:
    if node.type in _CALLS:
        function = node.child_by_field_name("function") or node.child_by_field_name("name")
        if function is None:
            return []
        called = _last_name(function)
        if called in _KNOWN:
            return [_KNOWN[called]]
        words = split_name(called)
        if called.lower() in _VERBS or (
            function.type in (*_MEMBERS, "scoped_identifier") and words and words[0].lower() in ("new", "default")
        ):
            return _words_of_owner(function)
        return words
    if node.type in _MADE:
        class_node = next(
            (each for each in (node.child_by_field_name(part) for part in ("constructor", "type", "name")) if each),
            None,
        )
        return split_name(_last_name(class_node)) if class_node is not None else []
    if node.type in _MEMBERS or node.type == "identifier":
        return split_name(_last_name(node))
    return []


def _words_of_owner(member: Node) -> list[str]:
    """The owner of a constructor: the order of ``Order::new()`` and ``Order.create()``."""
    owner = next((node for node in member.named_children), None)
    text = text_of(owner) if owner is not None else ""
    return split_name(text) if text[:1].isupper() else []


def _last_name(node: Node) -> str:
    for field in _LAST:
        child = node.child_by_field_name(field)
        if child is not None:
            return _last_name(child)
    return (
        re.split(r"[.:<(\[]+", text_of(node))[-1]
        if node.type != "generic_type"
        else re.split(r"[<\[]", text_of(node))[0]
    )


def _bare(node: Node) -> Node:
    while node.type in _WRAPPERS and node.named_children:
        node = node.named_children[0]
    return node


def _by_type(node: Node, name: str) -> str | None:
    """The noun for a parameter or variable by its declared type: a request of ``Request``."""
    declared = node.child_by_field_name("type")
    if declared is None:
        return None
    holders: Iterator[Node | None] = (node.child_by_field_name(field) for field in ("name", "pattern", "declarator"))
    names = {text_of(each) for each in holders if each is not None}
    names |= {text_of(each) for each in node.named_children if each.type == "identifier"}
    if name not in names:
        return None
    kind = re.sub(r"^[\s:&*?]+|\bmut\b|'\w+", "", text_of(declared))
    match = re.fullmatch(r"(?:[\w]+(?:\.|::))*([A-Za-z_]\w*)", kind.strip())
    words = [word.lower() for word in split_name(match[1])] if match else []
    while len(words) > 1 and words[-1] in ("type", "t", "alias", "like"):
        words.pop()
    if not words or "".join(words) in _PRIMITIVE or len("".join(words)) < 3:
        return None
    return "_".join(words)
