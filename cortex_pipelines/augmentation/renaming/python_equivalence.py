"""Check that two versions of Python code differ in names of local variables alone.

Independent of the code that renames, and of the interpreter's byte code, which differs from version to version: each
variable is replaced by its scope and its number in order of appearance, and then the syntax trees have to be equal.
"""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from cortex_pipelines.augmentation.python_code import same_tree

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Fields that hold a variable's name; a function's and a class's stay as they are, too.
_NAMES = {
    ast.Name: "id",
    ast.ExceptHandler: "name",
    ast.MatchAs: "name",
    ast.MatchStar: "name",
    ast.MatchMapping: "rest",
    ast.alias: "asname",
    ast.FunctionDef: "name",
    ast.AsyncFunctionDef: "name",
    ast.ClassDef: "name",
}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class NotEquivalentError(ValueError):
    """Two functions differ in more than local variable names."""


def check_equivalent(original: str, renamed: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            for text in (original, renamed):
                compile(text, "unit", "exec", dont_inherit=True, optimize=0)
            before, after = (_numbered(ast.parse(text)) for text in (original, renamed))
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            raise NotEquivalentError(f"does not compile: {error}") from error
    if not same_tree(before, after):
        raise NotEquivalentError("the syntax trees differ in more than names of local variables")


@dataclass
class _Scope:
    number: int
    kind: str  # "module", "class", "function" or "comprehension"
    parent: "_Scope | None"
    bound: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)
    outer: dict[str, str] = field(default_factory=dict)  # names declared ``global`` or ``nonlocal``

    def owner(self, name: str) -> "_Scope | None":
        """The function whose local variable a name is, or None."""
        scope: _Scope | None = self
        while scope is not None:
            declared = scope.outer.get(name)
            if declared == "global":
                return None
            if name in scope.bound and declared is None and (scope is self or scope.kind != "class"):
                local = scope.kind in ("function", "comprehension") and name not in scope.parameters
                return scope if local else None
            scope = scope.parent
        return None


def _numbered(tree: ast.Module) -> ast.Module:
    """The tree with each local variable as its scope and number."""
    scopes: dict[ast.AST, _Scope] = {}
    occurrences: list[tuple[ast.AST, str, str, _Scope]] = []
    _visit(tree, _Scope(0, "module", None), scopes, occurrences)
    numbers: dict[tuple[int, str], int] = {}
    for node, attribute, name, scope in occurrences:
        owner = scope.owner(name)
        if owner is not None:
            number = numbers.setdefault((owner.number, name), len(numbers))
            kept = name if isinstance(node, _DEFINITIONS) else ""
            setattr(node, attribute, f"{kept} local {number}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Nonlocal):
            owners = [scopes[node].owner(name) or scopes[node] for name in node.names]
            pairs = zip(owners, node.names, strict=True)
            node.names = [str(numbers.get((owner.number, name), name)) for owner, name in pairs]
    return tree


def _visit(
    node: ast.AST, scope: _Scope, scopes: dict[ast.AST, _Scope], occurrences: list[tuple[ast.AST, str, str, _Scope]]
) -> None:
    """Enter a node and all below it: which scope binds a name, and where each name is."""
    scopes[node] = scope
    attribute = _NAMES.get(type(node))
    if attribute and getattr(node, attribute) is not None:
        name = getattr(node, attribute)
        occurrences.append((node, attribute, name, scope))
        if not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
            scope.bound.add(name)
    elif isinstance(node, ast.alias):
        scope.bound.add(node.name.partition(".")[0])
    elif isinstance(node, ast.Global | ast.Nonlocal):
        scope.outer |= dict.fromkeys(node.names, type(node).__name__.lower())
    elif isinstance(node, ast.NamedExpr):
        target = scope
        while target.kind == "comprehension" and target.parent is not None:
            target = target.parent
        target.bound.add(node.target.id)
        occurrences.append((node.target, "id", node.target.id, target))
        _visit(node.value, scope, scopes, occurrences)
        return
    for child, inner in _children(node, scope, len(scopes)):
        _visit(child, inner, scopes, occurrences)


def _children(node: ast.AST, scope: _Scope, number: int) -> Iterator[tuple[ast.AST, _Scope]]:
    """Nodes below a node, each with the scope that it is in; a new one for functions, classes and comprehensions."""
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, _FUNCTIONS):
        inner = _Scope(number, "function", scope)
        arguments = [arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg)]
        inner.parameters |= {arg.arg for arg in arguments}
        inner.bound |= inner.parameters
        inside = node.body if isinstance(node.body, list) else [node.body]
        yield from ((child, inner if child in inside else scope) for child in children)
    elif isinstance(node, ast.ClassDef):
        inner = _Scope(number, "class", scope)
        yield from ((child, inner if child in node.body else scope) for child in children)
    elif isinstance(node, _COMPREHENSIONS):
        inner = _Scope(number, "comprehension", scope)
        first = node.generators[0]
        yield first.iter, scope
        for generator in node.generators:
            inside = [generator.target, *generator.ifs, *([] if generator is first else [generator.iter])]
            yield from ((child, inner) for child in inside)
        values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        yield from ((child, inner) for child in values)
    else:
        yield from ((child, scope) for child in children)
