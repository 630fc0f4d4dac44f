"""Compare two texts for equality except for layout.

A formatter does more than a token-preserving layout: it changes quotes, redundant brackets and
trailing commas, moves comments, and indents docstrings.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from inspect import cleandoc
from itertools import zip_longest
from typing import cast

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import COMMENTS
from cortex_pipelines.augmentation.snippets import Snippet, text_of, walk

_QUOTES = frozenset("\"'")
_COMMENT_MARKS = re.compile(r"[\s/*#]+")
_END = ("end", "")
_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def is_same_but_for_layout(before: Snippet, after: Snippet) -> bool:
    """Whether two versions have equal syntax trees and comment words; docstrings without indentation (PEP 257)."""
    if after.errors or _commented(before) != _commented(after):
        return False
    if before.language == "python":
        trees = _python_tree(before), _python_tree(after)
        return None not in trees and _same_python(*trees)
    pairs = zip_longest(_shape(before), _shape(after))
    return all(old_leaf == new_leaf for old_leaf, new_leaf in pairs)


def _commented(snippet: Snippet) -> str:
    comments = [text_of(node) for node in walk(snippet.tree.root_node) if node.type in COMMENTS]
    return _COMMENT_MARKS.sub("", "".join(comments))


def _shape(snippet: Snippet) -> Iterator[tuple[str, str]]:
    stack: list[Node | None] = [snippet.tree.root_node]
    while stack:
        node = stack.pop()
        if node is None:
            yield _END
        elif node.type in _QUOTES:
            yield "quote", ""
        elif node.child_count:
            yield node.type, ""
            stack.append(None)
            stack.extend(reversed(node.children))
        elif node.type not in COMMENTS:
            yield node.type, text_of(node)


def _python_tree(snippet: Snippet) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(snippet.prefix + snippet.code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and node.body:
            _without_indentation(node.body[0])
    return tree


def _same_python(before: object, after: object) -> bool:
    pairs = [(before, after)]
    while pairs:
        old_node, new_node = pairs.pop()
        if type(old_node) is not type(new_node):
            return False
        if isinstance(old_node, list) and isinstance(new_node, list):
            if len(old_node) != len(new_node):
                return False
            pairs.extend(zip(old_node, new_node, strict=True))
        elif isinstance(old_node, ast.AST):
            # the kind is the u of u"", which says nothing
            pairs.extend(
                (getattr(old_node, name, None), getattr(new_node, name, None))
                for name in old_node._fields
                if name != "kind"
            )
        elif old_node != new_node:
            return False
    return True


def _without_indentation(first: ast.stmt) -> None:
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        constant = first.value
        if isinstance(constant.value, str):
            lines = cleandoc(constant.value).splitlines()
            constant.value = "\n".join(line.rstrip() for line in lines)


_MIRROR: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.NotIn: ast.In, ast.IsNot: ast.Is}
_SYMMETRIC = (ast.Eq, ast.NotEq)
_STILL = (ast.Name, ast.Constant)
_JUMPS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_BLOCKS = ("body", "orelse", "finalbody")


def canonical(tree: ast.Module) -> str:
    """Canonical form of a tree, the same for all equivalent rewrites.

    Comparisons of names and literals point one way; ``not`` applies to single terms; statements
    after a branch that jumps are in its ``else``; branches have the positive condition first;
    nested conditions are merged; ``x += 1`` is ``x = x + 1``; a value stored only to be returned
    is returned.

    Raises:
        RecursionError: the tree is too deep.
    """
    return ast.dump(_Canonical().visit(tree))


class _Canonical(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        for block in _BLOCKS:
            body = getattr(node, block, None)
            if isinstance(body, list):
                setattr(node, block, _nest_following(body))
        return super().generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) != 1:
            return node
        left, operator, right = node.left, node.ops[0], node.comparators[0]
        if not (isinstance(left, _STILL) and isinstance(right, _STILL)):
            return node
        if type(operator) in _MIRROR:
            return ast.Compare(right, [_MIRROR[type(operator)]()], [left])
        if isinstance(operator, _SYMMETRIC) and ast.dump(left) > ast.dump(right):
            return ast.Compare(right, [operator], [left])
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, ast.Not) and isinstance(node.operand, ast.BoolOp):
            dual = ast.Or() if isinstance(node.operand.op, ast.And) else ast.And()
            terms: list[ast.expr] = [ast.UnaryOp(ast.Not(), operand) for operand in node.operand.values]
            return cast(ast.AST, self.visit(ast.BoolOp(dual, terms)))
        self.generic_visit(node)
        inner = node.operand
        if isinstance(node.op, ast.Not) and isinstance(inner, ast.Compare) and len(inner.ops) == 1:
            for negative, positive in _OPPOSITE.items():
                if isinstance(inner.ops[0], positive):
                    return ast.Compare(inner.left, [negative()], inner.comparators)
                if isinstance(inner.ops[0], negative):
                    return ast.Compare(inner.left, [positive()], inner.comparators)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        terms: list[ast.expr] = []
        for operand in node.values:
            is_nested = isinstance(operand, ast.BoolOp) and type(operand.op) is type(node.op)
            terms += cast(ast.BoolOp, operand).values if is_nested else [operand]
        return ast.BoolOp(node.op, terms)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if not (isinstance(node.target, ast.Name) and isinstance(node.value, ast.Constant)):
            return node
        if not isinstance(node.value.value, int | float):
            return node
        read = ast.Name(node.target.id, ast.Load())
        return ast.Assign([node.target], ast.BinOp(read, node.op, node.value))

    def visit_If(self, node: ast.If) -> ast.AST:
        # before De Morgan's laws take the negation apart
        if node.orelse and (positive := _positive(node.test)) is not None:
            node = ast.If(positive, node.orelse, node.body)
        return self.generic_visit(node)


def _positive(test: ast.expr) -> ast.expr | None:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        positive = _OPPOSITE.get(type(test.ops[0]))
        if positive is not None:
            return ast.Compare(test.left, [positive()], test.comparators)
    return None


def _nest_following(block: list[ast.stmt]) -> list[ast.stmt]:
    nested: list[ast.stmt] = []
    for statement in reversed(block):
        while isinstance(statement, ast.If) and (inner := _held_alone(statement)) is not None:
            statement = ast.If(ast.BoolOp(ast.And(), [statement.test, inner.test]), inner.body, [])
        if isinstance(statement, ast.If) and _jumps(statement.body):
            nested = [ast.If(statement.test, statement.body, [*statement.orelse, *nested])]
        elif isinstance(statement, ast.If) and _jumps(statement.orelse):
            nested = [ast.If(statement.test, [*statement.body, *nested], statement.orelse)]
        elif isinstance(statement, ast.Assign) and nested and _is_returned(statement, nested[0]):
            nested[0] = ast.Return(statement.value)
        else:
            nested.insert(0, statement)
    return nested


def _held_alone(branch: ast.If) -> ast.If | None:
    inner = branch.body[0]
    if branch.orelse or len(branch.body) != 1 or not isinstance(inner, ast.If):
        return None
    return None if inner.orelse else inner


def _jumps(block: list[ast.stmt]) -> bool:
    return bool(block) and isinstance(block[-1], _JUMPS)


def _is_returned(assignment: ast.Assign, following: ast.stmt) -> bool:
    target = assignment.targets[0]
    return (
        len(assignment.targets) == 1
        and isinstance(target, ast.Name)
        and isinstance(following, ast.Return)
        and isinstance(following.value, ast.Name)
        and following.value.id == target.id
    )
