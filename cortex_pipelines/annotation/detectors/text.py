"""Magic numbers, SQL injection and other suspicious literals."""

import re
from collections.abc import Iterator, Sequence

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import COMMENTS, STRINGS, child, normalized_text, text
from cortex_pipelines.annotation.complexity.syntax import node_types
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Evidence, FileContext, detector, evidence
from cortex_pipelines.schemas.vocabulary import LANGUAGES
from cortex_pipelines.syntax.grammars import grammar_for, parse

_NUMBERS = node_types(
    "integer float number int_literal float_literal integer_literal decimal_integer_literal "
    "decimal_floating_point_literal"
)
# Self-explanatory: identities, halves, tens, powers of two up to a byte.
_PLAIN = {0, 1, 2, 3, 4, 8, 10, 16, 32, 64, 100, 128, 255, 256, 1000, 1024, 0.5}
_OPERATIONS = node_types(
    "binary_operator binary_expression comparison_operator augmented_assignment augmented_assignment_expression "
    "compound_assignment_expr"
)
_CALCULATION = re.compile(r"[\d_.]+(?:\s*[*+/-]\s*[\d_.]+)*")
_SHIFTS, _MASKING = ("<<", ">>", "<<=", ">>="), ("&", "|", "^", "&=", "|=", "^=")
_TESTS = re.compile(r"(?i)\b(len|length|size|count|code|argc|shape|ndim)\b|status|version_info")


@detector("magic-number", types=dict.fromkeys(LANGUAGES, _NUMBERS))
def magic_number(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    outer = visit.parent
    if visit.function is None or outer is None:
        return
    if outer.type == "unary_operator" and visit.grandparent is not None:
        outer = visit.grandparent
    operator = text(child(outer, "operator"))
    if outer.type not in _OPERATIONS or operator in ("||", "&&", "??"):
        return
    is_of_bits = operator in _SHIFTS or (operator in _MASKING and text(visit.node)[:2] in ("0x", "0X", "0b"))
    if is_of_bits or _value(visit.node) in _PLAIN:
        return
    siblings = [sibling for sibling in outer.named_children if sibling.id != visit.node.id]
    # a count of arguments is what it is; two numbers are a calculation written out
    codes = map(normalized_text, siblings)
    is_number = any(sibling.type in _NUMBERS for sibling in siblings)
    if not is_number and not any(_TESTS.search(code) or _CALCULATION.fullmatch(code) for code in codes):
        yield evidence("magic-number", visit.node)


def _value(node: Node) -> float:
    digits = text(node).replace("_", "").lower()
    digits = re.sub(r"(?<=[\d.])(u8|u16|u32|u64|usize|i8|i16|i32|i64|isize|f32|f64|[lfdn])$", "", digits)
    try:
        return float(digits) if not digits.startswith("0x") else float(int(digits, 16))
    except (ValueError, OverflowError):
        return 0.0  # a literal in a language-specific notation: not a magic number


_QUERY = re.compile(
    r"(?i)\W*(SELECT\s[^;]*\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|DROP\s+TABLE\s)"
)
_JOINING = frozenset({"binary_operator", "binary_expression"})
_COLLECTIONS = frozenset({"array", "list", "set", "tuple"})
_FORMATTING = re.compile(r"(\.format|^fmt\.S?printf|^String\.format|Sprintf)$")


@detector("sql-concatenation", types=STRINGS | {"rust": frozenset({"macro_invocation"})})
def query_by_concatenation(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    node, code = visit.node, normalized_text(visit.node)
    is_macro = node.type == "macro_invocation"
    if is_macro and not code.startswith("format!"):
        return
    string = code.removeprefix("format!") if is_macro else code
    if _QUERY.match(string[:400].lstrip("rRbBfFuU")):
        assembled = _assembled(visit) if not is_macro else node if "{" in text(node) else None
        if assembled is not None:
            yield evidence("sql-concatenation", assembled)


def _assembled(visit: NodeVisit) -> Node | None:
    """Node that inserts a value into a string: interpolation, operator or formatting call."""
    node, outer = visit.node, visit.parent
    parts = [part for part in node.named_children if part.type in ("interpolation", "template_substitution")]
    if parts and not all("placeholder" in text(part).lower() for part in parts):
        # a tag takes the values apart again
        tagged = outer is not None and child(outer, "arguments") == node
        return None if tagged else node
    if outer is None:
        return None
    if outer.type in _JOINING:
        operator = text(child(outer, "operator"))
        siblings = [part for part in outer.named_children if part.id != node.id]
        constant = all(part.type == node.type for part in siblings)
        return outer if operator in ("+", "%") and not constant else None
    if outer.type in ("attribute", "argument_list") and visit.grandparent is not None:
        callee = child(visit.grandparent, "function")
        names = (child(visit.grandparent, field) for field in ("object", "name"))
        name = normalized_text(callee) or ".".join(map(normalized_text, names))
        formatted = outer.type == "attribute" or outer.named_children[0].id == node.id
        if formatted and _FORMATTING.search(name):
            return visit.grandparent
    return None


@detector("hard-coded-bind", types=STRINGS)
def hard_coded_bind(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    inside = text(visit.node).strip("\"'`") if visit.node.end_byte - visit.node.start_byte < 40 else ""
    outer = visit.parent
    if outer is not None and outer.type in _COLLECTIONS:  # that an address is one of
        outer = visit.grandparent
    is_argument = outer is not None and outer.type not in _JOINING | {"comparison_operator", "pair"}
    if is_argument and visit.function is not None and re.fullmatch(r"(tcp://)?0\.0\.0\.0(:\d+)?", inside):
        yield evidence("hard-coded-bind", visit.node)


@detector("raw-html", script="jsx_attribute")
def raw_html(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    if re.match("dangerouslySetInnerHTML(?!.*[sS]aniti[sz]e)", normalized_text(visit.node)):
        yield evidence("raw-html", visit.node)


_TODO = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
_MARKERS = re.compile(r"^\s*(?:#+!?|//+!?|/\*+|\*+/?)?(.*?)(?:\*+/)?\s*$")
_MAX_BYTES = 4000
_MAX_PARSED = 500  # of a file: a table in comments is not looked at line by line
# Before parsing: a line of code ends in a way, or has a form, that prose does not; `NOOP;` is a word.
_CODE_LINE = re.compile(
    r"^(?!\s*\w+;\s*$).*[;{}]\s*$|^\s*[\w.\[\]'\"]+\s*(=|\+=|:=)\s*\S|^\s*(return|yield|raise|throw|import|from|del|await)\s+\S+"
    r"|^\s*(if|for|while|def|class|elif|else|try|with)\b.*[:{]\s*$|^\s*[\w.]+\(.*\)\s*$"
)
_PROSE = re.compile(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,} [a-z]{2,}|https?://|^\s*(e\.g\.|i\.e\.|see )", re.I)
_STATEMENTS = re.compile(r"statement|declaration|assignment|call|definition|if_expression|let_")
_EFFECTS = re.compile(r"assignment|call|await|yield|update_expression|new_expression")


@detector("todo-comment", types=COMMENTS)
def todo(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    if _TODO.search(text(visit.node)):
        yield evidence("todo-comment", visit.node)


@detector("commented-out-code", types=COMMENTS, together=True)
def commented_out_code(visits: Sequence[NodeVisit], context: FileContext) -> Iterator[Evidence]:
    parsed = 0
    for run in _runs([comment.node for comment in visits]):
        start, end = run[0].start_byte, run[-1].end_byte
        if end - start > _MAX_BYTES or parsed >= _MAX_PARSED:
            continue
        code = _code("\n".join(text(comment).rstrip("\n") for comment in run))
        parsed += code is not None
        if code is not None and _parses(code, context.language):
            yield Evidence(start, end, "commented-out-code")


def _runs(comments: Sequence[Node]) -> Iterator[list[Node]]:
    """Comments on lines one below the other, at the same margin."""
    run: list[Node] = []
    for comment in comments:
        if run:
            # a line comment of Rust ends where the next line begins
            row, column = run[-1].end_point
            rows = comment.start_point[0] - (row - 1 if column == 0 else row)
            if rows != 1 or run[-1].start_point[1] != comment.start_point[1]:
                yield run
                run = []
        run.append(comment)
    if run:
        yield run


def _code(raw: str) -> str | None:
    """Comment text without markers, if it looks like code."""
    if raw.startswith(("///", "//!", "/**", "#!", "# type:", "# noqa", "# pragma", "//go:")):
        return None
    lines = [_MARKERS.sub(r"\1", line) for line in raw.split("\n")]
    code = [line for line in lines if line.strip()]
    looks = [line for line in code if _CODE_LINE.search(line)]
    if not looks or 2 * len(looks) < len(code) or _PROSE.search(raw):
        return None
    return "\n".join(lines).strip("\n")


def _parses(code: str, language: str) -> bool:
    """Whether text parses without error as more than a name or number."""
    margin = len(code) - len(code.lstrip(" "))
    lines = (line[margin:] if line[:margin].isspace() else line for line in code.split("\n"))
    dedented = "\n".join(lines)
    for before, after in _FRAMES[language]:
        root = parse(f"{before}{dedented}{after}".encode(), grammar_for(language)).root_node
        if not root.has_error:
            return bool(before) or any(map(_does_something, root.named_children))
    return False


def _does_something(statement: Node) -> bool:
    """Whether a statement is more than a value: ``{'id': 1}`` or ``size == 0`` is an example, or a heading."""
    if statement.type == "expression_statement":
        return any(_EFFECTS.search(part.type) for part in statement.named_children)
    return bool(_STATEMENTS.search(statement.type))


# What has to stand around a statement for it to be a file; a header of Python needs a body.
_FRAMES = {
    "python": (("", ""), ("", "\n    pass\n")),
    "javascript": (("", ""), ("async function f() {", "\n}")),
    "typescript": (("", ""), ("async function f() {", "\n}")),
    "java": (("class A { void f() {", "\n}}"),),
    "go": (("package a\nfunc f() {\n", "\n}\n"),),
    "rust": (("fn f() {", "\n}"), ("fn f() {", ";\n}")),
}
