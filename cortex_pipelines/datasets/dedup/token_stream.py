"""Token streams of code, independent of formatting.

Copies that differ in quotes, semicolons, trailing commas, parentheses that change nothing, comments, docstrings or
layout have the same token stream: the code with these removed or normalised. White space in it has no meaning, as
shingles are made of its tokens.

Queries (``queries/<language>.scm``) define the changes:

- ``@drop``: removed. ``@verbatim``: left as it is.
- ``@string``, ``@number``: normalised. ``@key``: without quotes if possible.
- ``@parens``: removed, unless an enclosing operator makes them significant. ``@group``: an
  operation within an operation of another operator, parenthesised if it is not.
- ``@braces``: removed around a single expression. ``@call``: gets empty parentheses.
- ``@needed``: a significant comma before a closing bracket; all others are removed.

Code that does not parse, not even wrapped in brackets, is tokenised by regular expressions (``text_tokens``).
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from tree_sitter import Node

from cortex_pipelines.datasets.dedup.text_tokens import (
    Placeholders,
    escaped,
    guessed_language,
    normal_number,
    normal_string,
    text_tokens,
    unescaped,
)
from cortex_pipelines.syntax.grammars import PARSED, Grammar, TooManyStepsError, captures, grammar_for, parse

_QUERIES = Path(__file__).parent / "queries"
_LONGEST = 200_000
"""Maximum length of a text to parse, in characters; longer ones are data, not code."""
_CACHE_SIZE = 1 << 9  # texts of some 7 KB with their streams

_INSERTED = ("interpolation", "template_substitution")
_OPERATION = re.compile(
    r"\w+_operator|\w*(?:unary|binary|ternary|conditional|await|update|spread|member|subscript|call"
    r"|new|as|satisfies|non_null|cast|instanceof|index|selector|slice|type_assertion|reference"
    r"|range|try|field|optional_chain|type_conversion|class_heritage|type_cast)_expression"
    r"|attribute|subscript|call|await|spread_element|field_access|method_invocation|array_access"
    r"|list_splat|dictionary_splat|class_heritage|named_expression|method_reference"
)
"""Nodes in which parentheses around an operation may be significant."""
_ATOM = re.compile(
    r"\w*identifier|\w*literal|string|template_string|integer|float|number|regex|true|false|none"
    r"|null|nil|this|self|super|call|call_expression|method_invocation|attribute|subscript|tuple"
    r"|member_expression|subscript_expression|field_expression|field_access|selector_expression"
    r"|index_expression|array_access|array|list|dictionary|set|\w*comprehension"
    r"|parenthesized_expression|jsx_element|jsx_self_closing_element|concatenated_string"
)
"""Nodes that need no parentheses anywhere."""
_NAME = re.compile(r"[^\W\d][\w$]*")
_NAMED = re.compile(r"\w")
_STATEMENT = ("_statement", "_declaration", "_item", "line_comment", "block_comment")
_TRAILING_COMMA = re.compile(r",(?=\s*[)\]}>])")

Edit = tuple[int, int, str]


def token_streams(texts: Sequence[str], languages: Sequence[str | None]) -> list[str]:
    """Token stream of each text; texts in other languages are returned unchanged.

    ``languages``: language of each text, or None.
    """
    return [
        token_stream(text, language) if language in PARSED else text
        for text, language in zip(texts, languages, strict=True)
    ]


def languages_of(texts: Sequence[str]) -> list[str | None]:
    return [guessed_language(text) for text in texts]


@lru_cache(maxsize=_CACHE_SIZE)
def token_stream(text: str, language: str) -> str:
    stream = _stream(text, language)
    return stream if _NAMED.search(stream) else text  # of a comment alone it would be empty


def _stream(text: str, language: str) -> str:
    if len(text) <= _LONGEST:
        plain = text.replace("\x01", " ").replace("\x02", " ")
        for before, after in _wrappers(plain, language):
            stream = _parse_stream(plain, before, after, grammar_for(language))
            if stream is not None:
                return stream
    return text_tokens(text, language)


def _wrappers(text: str, language: str) -> Iterator[tuple[str, str]]:
    """Prefixes and suffixes with which a fragment may parse, likeliest first."""
    if language == "python":
        stripped = text.rstrip()
        yield "", " pass" if stripped.endswith(":") else ""
        return
    opened = text.count("{") - text.count("}")
    body = {"java": "class A { void a() {", "go": "func a() {", "rust": "fn a() {"}
    if opened == -1:  # a body without its first brace
        yield body.get(language, "async function* a() {"), " }" if language == "java" else ""
        yield "class A {", ""
        return
    yield "", " }" * opened
    if language in ("javascript", "typescript", "java"):
        yield "class A {", " }" * (opened + 1)
    if opened == 0:
        yield body.get(language, "async function* a() {"), " }" * (2 if language == "java" else 1)


def _parse_stream(text: str, before: str, after: str, grammar: Grammar) -> str | None:
    lead, data = len(before.encode()), text.encode("utf-8", "surrogatepass")
    if after.startswith(" pass"):
        data = data.rstrip()
    source = b"%s%s%s" % (before.encode(), data, after.encode())
    root = parse(source, grammar).root_node
    if root.has_error:
        return None
    try:
        nodes = captures(grammar, root, _QUERIES)
    except TooManyStepsError:
        return None
    placeholders = Placeholders()
    edits = _edits(nodes, grammar.language, placeholders)
    inside = [edit for edit in edits if lead <= edit[0] and edit[1] <= lead + len(data)]
    return placeholders.restore(_TRAILING_COMMA.sub(" ", _apply_edits(source, inside, lead, lead + len(data))))


def _apply_edits(data: bytes, edits: list[Edit], start: int, end: int) -> str:
    """Apply edits to a text, ignoring edits within removed or replaced spans."""
    segments: list[bytes] = []
    position = start
    # insertions come before deletions at the same offset
    for first, last, new in sorted(edits, key=lambda edit: (edit[0], edit[1] > edit[0], -edit[1])):
        if first < position:
            continue
        segments += [data[position:first], new.encode("utf-8", "surrogatepass")]
        position = last
    segments.append(data[position:end])
    return b"".join(segments).decode("utf-8", "surrogatepass")


def _edits(nodes: dict[str, list[Node]], language: str, placeholders: Placeholders) -> list[Edit]:
    edits = [(node.start_byte, node.end_byte, " ") for node in nodes.get("drop", ())]
    for node in nodes.get("key", ()):
        literal = normal_string(_text(node), language)
        is_name = _NAME.fullmatch(literal[1:-1])
        edits.append((*node.byte_range, f" {literal[1:-1]} " if is_name else placeholders.store(literal)))
    keys = {node.start_byte for node in nodes.get("key", ())}
    for node in nodes.get("string", ()):
        if node.start_byte not in keys:
            edits += _string_edits(node, language, placeholders)
    for node in nodes.get("number", ()):
        text = _text(node)
        if not (text.isdecimal() and text[0] != "0"):
            edits.append((*node.byte_range, f" {placeholders.store(normal_number(text, language))} "))
    edits += [(*n.byte_range, placeholders.store(_text(n))) for n in nodes.get("verbatim", ())]
    edits += [(*node.byte_range, ", ,") for node in nodes.get("needed", ())]
    edits += [(node.end_byte, node.end_byte, "()") for node in nodes.get("call", ())]
    for node in nodes.get("braces", ()):
        inner = _inner(node)
        if inner is not None and not inner.type.endswith(_STATEMENT):
            edits += _strip_ends(node)
    edits += [e for node in nodes.get("parens", ()) if not _is_significant(node) for e in _strip_ends(node)]
    for node in nodes.get("group", ()):
        if node.parent is not None and _operator(node) != _operator(node.parent):
            edits += [(node.start_byte, node.start_byte, "("), (node.end_byte, node.end_byte, ")")]
    return edits


def _string_edits(node: Node, language: str, placeholders: Placeholders) -> Iterator[Edit]:
    inserted = [child for child in node.children if child.type in _INSERTED]
    if not inserted:
        yield (*node.byte_range, placeholders.store(normal_string(_text(node), language)))
        return
    literal, start = node.text or b"", node.start_byte
    opening = re.match(rb"([A-Za-z]*)(\"\"\"|'''|\"|'|`)", literal)
    quote = opening[2] if opening else b"`"
    raw = bool(opening) and b"r" in opening[1].lower() if opening else False
    begins = [start + (opening.end() if opening else 1), *(node.end_byte for node in inserted)]
    ends = [*(node.start_byte for node in inserted), node.end_byte - len(quote)]
    yield start, begins[0], placeholders.store('f"')
    for begin, end in zip(begins, ends, strict=True):
        text = literal[begin - start : end - start].decode("utf-8", "replace")
        if text:
            yield (begin, end, placeholders.store(escaped(text if raw else unescaped(text, language))))
    yield ends[-1], node.end_byte, placeholders.store('"')


def _strip_ends(node: Node) -> Iterator[Edit]:
    yield node.start_byte, node.start_byte + 1, " "
    yield node.end_byte - 1, node.end_byte, " "


def _is_significant(node: Node) -> bool:
    inner, parent = _inner(node), node.parent
    if inner is None or parent is None or _ATOM.fullmatch(inner.type):
        return False
    if parent.type == "arrow_function":
        return inner.type in ("object", "sequence_expression")
    if parent.type == "ternary_expression":
        return inner.type not in ("binary_expression", "unary_expression")
    if inner.type == parent.type == "binary_expression" and _operator(inner) == _operator(parent):
        return parent.child_by_field_name("left") != node
    return _OPERATION.fullmatch(parent.type) is not None or inner.type in ("object", "function")


def _operator(node: Node) -> str:
    sign = node.child_by_field_name("operator")
    return sign.type if sign is not None else ""


def _inner(node: Node) -> Node | None:
    children = [child for child in node.named_children if "comment" not in child.type]
    return children[0] if len(children) == 1 else None


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
