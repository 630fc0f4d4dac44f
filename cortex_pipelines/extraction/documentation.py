"""Doc comments and docstrings without their markers."""

import inspect
import re

_LITERAL = re.compile(r"[A-Za-z]*(\"\"\"|'''|\"|')(.*)\1", re.DOTALL)
_OPENINGS = ("///", "//", "/**", "/*")


def docstring_text(literal: str) -> str | None:
    """Text of a string literal that documents, its indentation removed; None if it is empty."""
    match = _LITERAL.fullmatch(literal)
    return (inspect.cleandoc(match[2]).strip() if match else "") or None


def comment_text(comments: str) -> str | None:
    """Text of doc comments, without slashes, stars and indentation; None if it is empty."""
    lines = [_unmarked(line) for line in comments.split("\n")]
    # a tab does not indent here: Go parts an example from its mark with one
    margin = min((len(line) - len(line.lstrip(" ")) for line in lines[1:] if line.strip(" ")[:1].strip()), default=0)
    return "\n".join(line.removeprefix(" " * margin) for line in lines).strip() or None


def _unmarked(line: str) -> str:
    text = line.strip(" \t\r").replace("/**/", "")
    if text.startswith("*") and not text.startswith("*/"):
        text = text[1:]
    else:
        for opening in _OPENINGS:
            if text.startswith(opening):
                text = text[len(opening) :]
                break
    return text[:-1].rstrip("*") if text.endswith("*/") else text
