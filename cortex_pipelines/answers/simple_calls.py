"""Calls of a Python function with simple values, from its signature, its own literals and the team's."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest

_MOST_VALUES, _MOST_CALLS = 12, 160
_MOST_CHARS = 60
_BY_TYPE: Mapping[str, tuple[str, ...]] = {
    "int": ("0", "1", "2", "3", "-1", "10"),
    "float": ("0.0", "1.5", "-2.0"),
    "str": ("'a'", "''", "'Hello World'", "'a b'", "'a=1'", "'A,b'", "'1'"),
    "bytes": ("b'a'", "b''"),
    "bool": ("True", "False"),
    "list": ("[1, 2, 3]", "[]", "['a', 'b']", "[3, 1, 2, None]", "[('a', 1)]"),
    "dict": ("{'a': 1}", "{}", "{'b': 2, 'A': None}"),
    "set": ("{1, 2}", "set()"),
    "tuple": ("(1, 2)", "()"),
    "None": ("None",),
}
_ANY = ("int", "str", "list", "dict", "bool", "None")
_ALIASES = {
    **{"sequence": "list", "iterable": "list", "collection": "list", "iterator": "list", "mapping": "dict"},
    **{"mutablemapping": "dict", "text": "str", "anystr": "str", "number": "int", "object": "int", "any": "int"},
    **{"frozenset": "set", "optional": "None", "none": "None"},
}
_ONLY_TEXT = ("path", "file", "filename", "folder", "directory", "url", "uri")
_BY_NAME = (
    (
        "str",
        ("name", "text", "string", "word", "line", "value", "key", "title", "msg", "message", "s", "prefix", "path"),
    ),
    ("list", ("items", "values", "args", "words", "lines", "xs", "rows", "numbers", "elements", "seq", "iterable")),
    ("int", ("n", "count", "size", "index", "year", "width", "limit", "number", "i", "x", "y", "a", "b", "num")),
    ("dict", ("mapping", "headers", "options", "params", "config", "kwargs", "data", "d")),
    ("bool", ("flag", "force", "verbose", "strict")),
)


@dataclass(frozen=True)
class Argument:
    """A parameter and expressions to pass; ``keyword`` if it is keyword-only, ``optional`` if it has a default."""

    name: str
    values: tuple[str, ...]
    keyword: bool
    optional: bool


def simple_calls(code: str, qualified_name: str, team_calls: Iterable[str] = ()) -> list[str]:
    """Statements that call a unit and end with an expression, the most informative first.

    ``team_calls``: calls in the team's tests, as they stand.
    ``qualified_name``: of a function, or of a class's method, whose object is then made with simple values too.
    """
    tree = ast.parse(code)
    parts = qualified_name.split(".")
    node = _definition(tree, parts)
    if not isinstance(node, ast.FunctionDef):
        return []
    literals = list(dict.fromkeys([*_literals(node), *(text for call in team_calls for text in _arguments(call))]))
    if len(parts) > 1:
        calls = list(_method_calls(tree, parts, node, literals))
    else:
        arguments = _call_arguments(node, literals, skip=0)
        calls = [*_literal_calls(team_calls, parts[-1]), *_calls(qualified_name, arguments)]
        if not _returns_value(node) and arguments:
            calls = [*_mutation_calls(qualified_name, arguments)]
    return list(dict.fromkeys(calls))[:_MOST_CALLS]


def _method_calls(
    tree: ast.Module, parts: Sequence[str], node: ast.FunctionDef, literals: Sequence[str]
) -> Iterator[str]:
    owner = ".".join(parts[:-1])
    decorators = {ast.unparse(each) for each in node.decorator_list}
    if decorators & {"staticmethod", "classmethod"}:
        yield from _calls(".".join(parts), _call_arguments(node, literals, skip="classmethod" in decorators))
        return
    initializer = _definition(tree, [*parts[:-1], "__init__"])
    objects = [f"{owner}()"]
    if isinstance(initializer, ast.FunctionDef):
        objects = _calls(owner, _call_arguments(initializer, literals, skip=1))[:_MOST_VALUES]
    is_property = any(each.endswith("property") for each in decorators)
    uses = [""] if is_property else _calls("", _call_arguments(node, literals, skip=1))
    pairs = product(uses[: _MOST_CALLS // max(len(objects), 1)], objects)
    if parts[-1] != "__init__" and (is_property or _returns_value(node)):
        yield from (f"{construction}.{parts[-1]}{use}" for use, construction in pairs)
        return
    variable = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", parts[-2]).lower().strip("_")
    for use, construction in pairs:
        call = (
            f"{variable} = {construction}"
            if parts[-1] == "__init__"
            else f"{variable} = {construction}\n{variable}.{parts[-1]}{use}"
        )
        yield from (f"{call}\n{variable}.{name}" for name in _changed_attributes(node))


def _returns_value(node: ast.FunctionDef) -> bool:
    values = (part.value for part in ast.walk(node) if isinstance(part, ast.Return))
    is_generator = any(isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(node))
    return is_generator or any(value is not None and ast.unparse(value) != "None" for value in values)


def _changed_attributes(node: ast.FunctionDef) -> list[str]:
    """Public attributes that a method assigns or changes in place."""
    called = {id(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
    attributes = (
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "self"
        if id(part) not in called and not part.attr.startswith("_")
    )
    return list(dict.fromkeys(attributes))


def _mutation_calls(name: str, arguments: Sequence[Argument]) -> Iterator[str]:
    """Calls of a function without a result, each followed by its mutated first argument."""
    first, *other_arguments = arguments
    for value in first.values:
        if value[:1] in "[{":
            values = [each.values[0] for each in other_arguments if not each.optional and each.values]
            yield f"{first.name} = {value}\n{name}({', '.join([first.name, *values])})\n{first.name}"


def _definition(tree: ast.Module, parts: Sequence[str]) -> ast.AST | None:
    body: Sequence[ast.stmt] = tree.body
    definition: ast.AST | None = None
    for name in parts:
        candidates = (
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name
        )
        # the last: those before it are overloads
        definition = max(candidates, key=lambda node: node.lineno, default=None)
        if definition is None:
            return None
        body = definition.body
    return definition


def _call_arguments(node: ast.FunctionDef, literals: Sequence[str], skip: int) -> list[Argument]:
    spec = node.args
    positional = [*spec.posonlyargs, *spec.args]
    defaults: list[ast.expr | None] = [*[None] * (len(positional) - len(spec.defaults)), *spec.defaults]
    paired = [*zip(positional, defaults, strict=True)][skip:]
    arguments = [(argument, default, False) for argument, default in paired]
    arguments += [
        (argument, default, True) for argument, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    ]
    return [
        Argument(each.arg, tuple(_values(each, default, literals, node)), keyword, default is not None)
        for each, default, keyword in arguments
    ]


def _values(
    argument: ast.arg, default: ast.expr | None, literals: Sequence[str], function: ast.FunctionDef
) -> list[str]:
    types = _types(argument, default)
    fitting = [text for text in literals if _type_of(text) in types]
    numbers = [int(text) for text in fitting if _type_of(text) == "int" and len(text) < 10]
    fitting += [str(number + step) for number in numbers for step in (1, -1)]
    simple = zip_longest(*(_BY_TYPE.get(name, (name,)) for name in types))
    pool = [text for group in simple for text in group if text is not None]
    mixed = [text for pair in zip_longest(pool, fitting) for text in pair if text is not None]
    if default is not None:
        mixed = [ast.unparse(default), *mixed]
    return list(dict.fromkeys(mixed))[:_MOST_VALUES]


def _types(argument: ast.arg, default: ast.expr | None) -> tuple[str, ...]:
    """Types that a parameter may take: those of its annotation, its default and what its name suggests."""
    if argument.annotation is not None:
        text = ast.unparse(argument.annotation).strip("'\"")
        words = [part.strip() for part in text.partition("[")[0].split("|")] + [
            name.id for name in ast.walk(argument.annotation) if isinstance(name, ast.Name)
        ]
        type_names = [_ALIASES.get(word.rpartition(".")[2].lower(), word) for word in words]
        if types := tuple(dict.fromkeys(word for word in type_names if word in _BY_TYPE)):
            return types
        classes = [word for word in words if re.fullmatch(r"[A-Z]\w*[a-z]\w*", word)]
        if classes:
            return tuple(f"{word}()" for word in dict.fromkeys(classes))
    if isinstance(default, ast.Constant) and default.value is not None:
        return (type(default.value).__name__,) if type(default.value).__name__ in _BY_TYPE else _ANY
    if argument.arg.rpartition("_")[2] in _ONLY_TEXT:
        return ("str",)
    hinted = [kind for kind, names in _BY_NAME if argument.arg in names or argument.arg.rpartition("_")[2] in names]
    return tuple(dict.fromkeys([*hinted, *_ANY]))


def _type_of(literal: str) -> str:
    try:
        return type(ast.literal_eval(literal)).__name__.replace("NoneType", "None")
    except (ValueError, SyntaxError):
        return ""


def _literals(node: ast.AST) -> Iterator[str]:
    """Literals that a function compares with or looks for."""
    prose = {id(part.value) for part in ast.walk(node) if isinstance(part, ast.Expr)}
    for part in ast.walk(node):
        if (
            isinstance(part, ast.Constant)
            and id(part) not in prose
            and not isinstance(part.value, bool)
            and part.value not in (None, ..., "")
        ):
            text = repr(part.value)
            if len(text) <= _MOST_CHARS and "\n" not in text:
                yield text


def _arguments(call: str) -> Iterator[str]:
    tree = ast.parse(call, mode="eval").body
    if isinstance(tree, ast.Call):
        values = (*tree.args, *(keyword.value for keyword in tree.keywords))
        yield from (text for text in map(ast.unparse, values) if _type_of(text) and len(text) <= _MOST_CHARS)


def _literal_calls(team_calls: Iterable[str], name: str) -> Iterator[str]:
    """Calls of the unit itself with literals only."""
    for call in team_calls:
        tree = ast.parse(call, mode="eval").body
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == name:
            values = [*tree.args, *(keyword.value for keyword in tree.keywords)]
            if values and all(_type_of(ast.unparse(value)) for value in values):
                yield call


def _calls(name: str, arguments: Sequence[Argument]) -> list[str]:
    """Calls that vary required arguments together, then each optional one alone."""
    required = [each for each in arguments if not each.optional]
    optional = [each for each in arguments if each.optional]
    if any(not each.values for each in required):
        return []
    diagonal = [tuple(each.values[index % len(each.values)] for each in required) for index in range(_MOST_VALUES)]
    shortened = [each.values[: max(2, round(_MOST_CALLS ** (1 / max(len(required), 1))))] for each in required]
    choices = list(dict.fromkeys([*diagonal, *product(*shortened)])) if required else [()]
    calls = [(choice, "") for choice in choices]
    extras = [f"{each.name}={value}" for each in optional for value in each.values[1:]]
    calls += [(choice, extra) for extra in extras for choice in choices[:3]]
    return [f"{name}({', '.join(_rendered(required, choice, extra))})" for choice, extra in calls[: 2 * _MOST_CALLS]]


def _rendered(arguments: Sequence[Argument], values: Sequence[str], extra: str) -> Iterator[str]:
    for argument, value in zip(arguments, values, strict=True):
        yield f"{argument.name}={value}" if argument.keyword else value
    if extra:
        yield extra
