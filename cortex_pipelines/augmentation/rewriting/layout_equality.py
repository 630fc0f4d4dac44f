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
