"""Canonical form of Python syntax trees, to compare rewritten code.

Independent of the rewriting code: it works on Python's own syntax tree and only knows which forms
are equivalent, not which rewrite was applied.
"""

import ast
from typing import cast

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


def _both(first: ast.expr, second: ast.expr) -> ast.BoolOp:
    return ast.BoolOp(ast.And(), [first, second])


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
            statement = ast.If(_both(statement.test, inner.test), inner.body, [])
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
