"""Literals in a normal form, independent of formatters and style.

``'it\\'s'`` and ``"it's"``, ``r"\\d"`` and ``"\\\\d"``, ``1_000`` and ``1000``, ``0xFF`` and
``255``.
"""

import re
import textwrap

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
    return _TO_ESCAPE.sub(_escape, text)


def normal_number(literal: str, language: str) -> str:
    plain = literal.replace("_", "").lower()
    if plain.isdecimal() and (plain[0] != "0" or len(plain) == 1):
        return plain
    if hexadecimal := _HEX.fullmatch(plain):
        return f"{int(hexadecimal[1], 16)}{hexadecimal[2] or ''}"
    number = re.match(r"0[bo][0-7]+|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", plain)
    if number is None or len(plain) > _LONGEST_NUMBER:
        return plain
    return f"{_value(number[0], language)}{plain[number.end() :]}"


def _value(plain: str, language: str) -> str:
    if plain[:2] in ("0b", "0o"):
        return str(int(plain, 0))
    if plain.isdecimal():
        octal = language != "python" and language != "rust" and _OCTAL.fullmatch(plain)
        return str(int(plain, 8 if octal else 10))
    value = float(plain)
    if language in ("javascript", "typescript") and value.is_integer():
        return str(int(value))
    return repr(value)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char.startswith(" "):
        return "\\s" * len(char) + " "
    return {"\\": "\\\\", '"': '\\"', "\n": "\\n ", "\t": "\\t "}.get(char, f"\\x{ord(char):02x}")
