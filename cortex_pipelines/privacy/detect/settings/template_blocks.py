"""Blocks of template languages (ERB, Jinja, Go, Liquid) inside files of settings."""

import re

_BLOCK = re.compile(
    r"\{\{(?:[^{}\n]|\}(?!\})|\{(?!\{)){0,500}+\}\}|<%(?:[^%]|%(?!>)){0,1000}+%>"
    r"|\{%(?:[^%]|%(?!\})){0,1000}+%\}"
)
_DIRECTIVE = re.compile(r"(?m)^([ \t]*)((?:\{\{-?[^\n{}]*\}\}|<%(?!=)[^\n]*%>|\{%[^\n]*%\})[ \t]*)$")


def without_templates(text: str) -> str:
    """The text with a word of the same length for each template block, or a comment for its line.

    All other characters keep their positions, so that a parser of the format underneath reads it.
    """
    if "{{" not in text and "<%" not in text and "{%" not in text:
        return text
    text = _DIRECTIVE.sub(lambda match: match[1] + "#" * len(match[2]), text)
    return _BLOCK.sub(_word, text)


def _word(match: re.Match[str]) -> str:
    """A word, with the line feeds of a block where they were."""
    lines = match[0].split("\n")
    return "\n".join(["x" * len(lines[0]), *("#" * len(line) for line in lines[1:])])
