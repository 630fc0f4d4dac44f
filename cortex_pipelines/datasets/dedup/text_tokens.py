"""Tokens of code that does not parse, by regular expressions per language, and literals in a normal form.

Literals are independent of formatters and style: ``'it\\'s'`` is ``"it's"``, ``1_000`` is ``1000``, ``0xFF`` ``255``.
"""

import re
import textwrap
from functools import cache

_OPENING = re.compile(r"([A-Za-z]*)(#*)(\"\"\"|'''|\"|'|`)")
_ESCAPE = re.compile(
    r"\\(?:u\{([0-9a-fA-F_]+)\}|u+([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})"
    r"|([0-7]{1,3})|(\r?\n)|(.))",
    re.DOTALL,
)
_SIMPLE = {
    **{"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a"},
    **{"\\": "\\", "'": "'", '"': '"', "`": "`", "$": "$"},
}
_TO_ESCAPE = re.compile(r'[\\"\x00-\x1f\x7f]|\A +| +\Z| {2,}')
_RAW = {"python": "r", "rust": "r"}
_CHARACTERS = frozenset({"java", "go", "rust"})
"""Languages in which a literal in single quotes is a character."""

_HEX = re.compile(r"(0[xX][0-9a-fA-F]+)([lLnN]|[iu](?:8|16|32|64|128|size))?")
_OCTAL = re.compile(r"0[0-7]+")
_LONGEST_NUMBER = 300


def normal_string(literal: str, language: str) -> str:
    """A string literal in double quotes, with only the necessary escapes."""
    match = _OPENING.match(literal)
    if match is None:
        return literal
    prefix, hashes, quote = match[1].lower(), match[2], match[3]
    content = literal[match.end() : len(literal) - len(quote) - len(hashes)]
    raw = _RAW.get(language, "-") in prefix or (language == "go" and quote == "`")
    if language == "java" and quote == '"""':
        content = textwrap.dedent(content.lstrip(" \t\r").removeprefix("\n"))
    text = content if raw else unescaped(content, language)
    mark = "'" if quote == "'" and language in _CHARACTERS else '"'
    kind = "".join(sorted(set(prefix) & set("bc")))
    return f"{kind}{mark}{escaped(text)}{mark}"


def unescaped(content: str, language: str) -> str:
    """Replace escapes by their characters, except those unknown to the language."""
    if "\\" not in content:
        return content.replace("\r\n", "\n")

    def meaning(match: re.Match[str]) -> str:
        braced, short, long, byte, octal, newline, single = match.groups()
        if code := braced or short or long or byte:
            number = int(code.replace("_", "") or "0", 16)
            return chr(number) if number < 0x110000 else match[0]
        if octal:
            return chr(int(octal, 8))
        if newline:
            return ""
        unknown = single if language in ("javascript", "typescript") else match[0]
        return " " if (single, language) == ("s", "java") else _SIMPLE.get(single, unknown)

    text = _ESCAPE.sub(meaning, content.replace("\r\n", "\n"))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def escaped(text: str) -> str:
    """Escape a text for double quotes, including spaces that layout would drop."""

    def escape(match: re.Match[str]) -> str:
        char = match[0]
        if char.startswith(" "):
            return "\\s" * len(char) + " "
        return {"\\": "\\\\", '"': '\\"', "\n": "\\n ", "\t": "\\t "}.get(char, f"\\x{ord(char):02x}")

    return _TO_ESCAPE.sub(escape, text)


def normal_number(literal: str, language: str) -> str:
    plain = literal.replace("_", "").lower()
    if plain.isdecimal() and (plain[0] != "0" or len(plain) == 1):
        return plain
    if hexadecimal := _HEX.fullmatch(plain):
        return f"{int(hexadecimal[1], 16)}{hexadecimal[2] or ''}"
    number = re.match(r"0[bo][0-7]+|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", plain)
    if number is None or len(plain) > _LONGEST_NUMBER:
        return plain
    digits, suffix = number[0], plain[number.end() :]
    if digits[:2] in ("0b", "0o"):
        return f"{int(digits, 0)}{suffix}"
    if digits.isdecimal():
        is_octal = language not in ("python", "rust") and _OCTAL.fullmatch(digits)
        return f"{int(digits, 8 if is_octal else 10)}{suffix}"
    value = float(digits)
    is_whole = language in ("javascript", "typescript") and value.is_integer()
    return f"{int(value) if is_whole else value!r}{suffix}"


_PLACEHOLDER = re.compile("\x01(\\d+)\x02")
_ADJACENT = re.compile("(?:\x01\\d+\x02\\s*){2,}")


class Placeholders:
    """Replaces texts by numbered placeholders, and restores them."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def store(self, text: str) -> str:
        self._texts.append(text)
        return f"\x01{len(self._texts) - 1}\x02"

    def restore(self, text: str) -> str:
        return _PLACEHOLDER.sub(lambda match: self._texts[int(match[1])], _ADJACENT.sub(self._join_strings, text))

    def _join_strings(self, match: re.Match[str]) -> str:
        texts = [self._texts[int(number)] for number in _PLACEHOLDER.findall(match[0])]
        if all(len(text) > 1 and text[0] == text[-1] == '"' for text in texts):
            return self.store('"' + "".join(text[1:-1] for text in texts) + '"')
        return match[0]


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


_FEATURES = {
    "python": r"^\s*(?:async )?def \w+\(.*\).*:|^\s*(?:from \S+ )?import \w+|^\s*(?:el)?if .*:\s*$"
    r"|^\s*for .* in .*:\s*$|^\s*class \w+.*:\s*$|\bself\.\w|\bNone\b|\belif\b"
    r"|^\s*return\b(?!.*[;{])",
    "javascript": r"\bfunction\b|[(=,] ?(?:\w+|\([\w, ]*\)) =>|===|\btypeof\b|\bthis\.\w|"
    r"\b(?:const|let|var) [\w{\[]|\bundefined\b|\bnew Map\b",
    "typescript": r":\s*(?:string|number|boolean|unknown|any|void)\b|^\s*(?:export )?interface \w+"
    r"|\bas (?:const|string|number|any)\b|^\s*(?:export )?type \w+ =|\bPromise<",
    "java": r"\b(?:public|private|protected) (?:static |final )*[\w<>\[\]]+ \w+\s*[(=;]"
    r"|\bnew [A-Z]\w*(?:<.*?>)?\(|^\s*import [\w.]+;|\bString\b|\bfinal \w|\bthrows \w",
    "go": r"\bfunc\b[ (]|:=|\bnil\b|^package \w+|\bmap\[\w+\]|\berr != nil\b|\bchan \w",
    "rust": r"\bfn \w+|\blet mut\b|&(?:mut |self|str)|\bimpl\b|::\w|\bmatch .*\{|-> \w.*\{|\w!\(",
}
_PATTERNS = {name: re.compile(feature, re.MULTILINE) for name, feature in _FEATURES.items()}
_READ = 4000


def guessed_language(text: str) -> str | None:
    """Language with the most matching features; None if no feature matches. Formatters change none of the features."""
    counts = {name: len(pattern.findall(text[:_READ])) for name, pattern in _PATTERNS.items()}
    if counts["typescript"]:
        counts["typescript"] += counts["javascript"]
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None
