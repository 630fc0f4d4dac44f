"""Tokens of code that does not parse, by regular expressions per language."""

import re
from functools import cache

from cortex_pipelines.datasets.dedup.literals import normal_number, normal_string
from cortex_pipelines.datasets.dedup.placeholders import Placeholders

_NUMBER = (
    r"(?P<number>(?<![\w.])"
    r"(?:0[xXbBoO]\w+|\d[\d_]*\.?[\d_]*(?:[eE][+-]?\d+)?\w*|\.\d+)(?!\w))"
)
_QUOTED = r'"(?:\\.|[^"\\\n])*"'
_SINGLE = r"'(?:\\.|[^'\\\n])*'"
_BACKTICKS = r"`(?:\\.|[^`\\])*`"
# Possessive, each character in one way: quotes that are never closed would cost exponential time.
_TRIPLE_DOUBLE = r'"""(?:\\.|[^"\\]|"(?!""))*+"""'
_TRIPLE_SINGLE = r"'''(?:\\.|[^'\\]|'(?!''))*+'''"
_COMMENT = r"//[^\n]*|/\*.*?(?:\*/|\Z)"
_REGEX = r"(?<=[(,=:\[!&|?{};])[ \t]*/(?![*/ ])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*"
_DOCSTRING = r"(?<=:\n)\s*[rRuU]?(?:\"\"\".*?\"\"\"|'''.*?''')"
_PREFIX = r"(?<!\w)(?:[rRuUbBfF]{0,2})"
_BY_LANGUAGE = {
    "python": (
        rf"#[^\n]*|\\\n|;|{_DOCSTRING}",
        rf"{_PREFIX}(?:{_TRIPLE_DOUBLE}|{_TRIPLE_SINGLE}|{_QUOTED}|{_SINGLE})",
        "",
    ),
    "javascript": (rf"{_COMMENT}|;", f"{_QUOTED}|{_SINGLE}|{_BACKTICKS}", _REGEX),
    "java": (rf"{_COMMENT}|;", rf'""".*?"""|{_QUOTED}|{_SINGLE}', ""),
    "go": (rf"{_COMMENT}|;", f"{_QUOTED}|{_SINGLE}|`[^`]*`", ""),
    "rust": (_COMMENT, rf'(?<!\w)[bc]?r(#*)".*?"\2|(?<!\w)[bc]?{_QUOTED}|(?<!\w)b?\'(?:\\[^\n\']+|[^\'\\\n])\'', ""),
}
_TRAILING_COMMA = re.compile(r",(?=\s*[)\]}>])")


def text_tokens(text: str, language: str) -> str:
    """Token stream of code by regular expressions, close to that of its syntax tree.

    Parentheses stay, and strings with interpolations count as plain ones.
    """
    placeholders = Placeholders()

    def replace(match: re.Match[str]) -> str:
        if match["drop"] is not None:
            return " "
        if match["string"] is not None:
            return placeholders.store(normal_string(match["string"], language))
        if match["number"] is not None:
            return f" {placeholders.store(normal_number(match['number'], language))} "
        return placeholders.store(match[0])

    plain = text.replace("\x01", " ").replace("\x02", " ").replace("\r\n", "\n")
    return placeholders.restore(_TRAILING_COMMA.sub(" ", _pattern(language).sub(replace, plain)))


@cache
def _pattern(language: str) -> re.Pattern[str]:
    drop, string, verbatim = _BY_LANGUAGE["javascript" if language == "typescript" else language]
    verbatim_group = f"|(?P<verbatim>{verbatim})" if verbatim else ""
    return re.compile(f"(?P<string>{string})|(?P<drop>{drop}){verbatim_group}|{_NUMBER}", re.DOTALL)
