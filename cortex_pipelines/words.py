"""Split text in any language into words, and words into parts that compare equal.

The tokeniser of search, notes, the router's features and the comparison of tasks.

- Forms of one character are one (NFKC): fullwidth and halfwidth letters, ligatures, combining marks
  that follow their letter. Case is folded in full (``ß`` is ``ss``, ``İ`` and ``ı`` are ``i``, a
  final sigma is a sigma).
- Accents do not count in Latin and Greek, nor do ``ё``, vowel points of Hebrew and Arabic and forms
  of alef. ``ü`` equals ``u``, not ``ue``. Other marks are letters of their own: ``й``, voiced kana,
  vowels and tones of Hindi and Thai.
- Scripts without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) and Korean,
  whose words carry their particles, are cut into overlapping pairs of characters, which needs no
  dictionary (Nie, Gao, Zhang, Zhou: "On the use of words and n-grams for Chinese information
  retrieval", 2000).
- ``C++``, ``C#``, ``F#`` and ``.NET`` are words of their own, and so is a version such as
  ``v3.12`` or ``1.2.3``; ``3.12`` may be a number.
- Emoji and other symbols are not words.
"""

import re
import unicodedata
from functools import cache, lru_cache
from itertools import groupby, pairwise

MAX_WORD_CHARS = 100
"""Longest word in characters; longer ones are data (keys, encoded bytes)."""


_WITHOUT_SPACES = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3105-\u312f\u31a0-\u31bf"  # kana
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb"  # Hangul
    "\u0e01-\u0e4e\u0e81-\u0ece\u1780-\u17d3\u1000-\u103f\u1050-\u109f"  # Thai, Lao, Khmer, Burmese
)

_START = r"(?<!\w)"
_START_IN_ANY = rf"(?<![^\W{_WITHOUT_SPACES}])"


def _with_signs(start: str) -> tuple[str, str, str]:
    # in code, `c++;` and `f(c++)` increment
    plus = rf"(?<={start}[CG])\+\+(?!\+)|(?<={start}[cg])\+\+(?![+;)\]])"
    sharp = rf"(?<={start}[cCfFjJqQ])#(?![A-Za-z_])"
    vendors = "|".join(rf"(?<={start}{name})" for name in ("[aA][sS][pP]", "[aA][dD][oO]", "[vV][bB]"))
    number = r"[vV]\d+(?:\.\d+)+|\d+(?:\.\d+){2,}"
    version = rf"{start}(?<!\.)(?:{number})(?![A-Za-z0-9_])"
    return (version, f"(?:{plus}|{sharp})?", rf"(?:{start}|{vendors})\.(?:NET|Net|net)(?![A-Za-z0-9_])")


_ASCII = re.compile(r"\w+")
_DECIMAL = re.compile(r"\.\d")
_SIGNS = re.compile(r"[cCgG]\+\+|[cCfFjJqQ]#|\.[nN][eE][tT]\b|[vV]\d+\.\d|\d\.\d+\.\d")
# A word that nothing of note follows, which most are, is matched without a look at the rest.
_USUAL = r"[A-Za-z_][A-Za-z0-9_]*+(?![^\x00-\x7f]|[+#]|\.\d)"
_ASCII_WITH_SIGNS = re.compile(r"{}|{}|\w+{}|{}".format(_USUAL, *_with_signs(_START)))
_SPELT_OUT = {
    **{"c++": "cplusplus", "g++": "gplusplus", ".net": "dotnet"},
    **{"c#": "csharp", "f#": "fsharp", "j#": "jsharp", "q#": "qsharp"},
}
"""Words with signs, spelt in letters, for indexes that cannot hold signs."""

# Symbols that NFKC would turn into letters, and invisible joiners.
_SYMBOLS = re.compile("[\u2100-\u214f\u24b6-\u24e9\u3297\u3299\U0001f100-\U0001f2ff\u200b]")
_INVISIBLE = re.compile("[\u00ad\u200c-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]")

_ASCII_PART = re.compile(r"[A-Z]{2,}s(?![a-z])|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SEPARATOR = re.compile(r"\.|::")
_GROUPED = re.compile(r"\d{1,3}(?:_\d{3})+")

_ACCENTS = re.compile("(?<=[a-z\u0180-\u02af\u0370-\u03ff\u0300-\u036f])[\u0300-\u036f]")
_CYRILLIC = re.compile("(?<=\u0435)\u0308|(?<=[аеиоуыэюя])[\u0300\u0301]")
_POINTS = re.compile("[\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]")
_LETTERS = str.maketrans(
    {
        **{"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe"},
        **{"þ": "th", "ð": "d", "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه"},
    }
)


@cache
def _marks() -> str:
    """Combining marks as ranges of a character class; ``\\w`` lacks them."""
    numbers = [n for n in range(0x300, 0x1F000) if unicodedata.category(chr(n)) in ("Mn", "Mc")]
    grouped = groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    ranges = ([number for _, number in group] for _, group in grouped)
    return "".join(f"{chr(numbers[0])}-{chr(numbers[-1])}" for numbers in ranges)


# Patterns of all scripts take 20 ms to make, which a process that reads ASCII alone need not wait.
@cache
def _word() -> re.Pattern[str]:
    version, signs, net = _with_signs(_START_IN_ANY)
    letter = rf"[^\W{_WITHOUT_SPACES}]"
    pairs = f"[{_WITHOUT_SPACES}][{_WITHOUT_SPACES}{_marks()}]*"
    return re.compile(rf"{_USUAL}|{version}|{pairs}|{letter}(?:{letter}|[{_marks()}])*{signs}|{net}")


@cache
def _run() -> re.Pattern[str]:
    marks = _marks()
    return re.compile(
        rf"(?P<pairs>[{_WITHOUT_SPACES}][{_WITHOUT_SPACES}{marks}]*)|\d+"
        rf"|(?P<letters>(?:[^\W\d_{_WITHOUT_SPACES}][{marks}]*)+)"
    )


@cache
def _cluster() -> re.Pattern[str]:
    return re.compile(rf".[{_marks()}]*")


def split_words(text: str) -> list[str]:
    """The words of a text as written, in order; identifiers, and runs of a script without spaces, stay whole."""
    if not text.isascii():
        return _word().findall(_composed(text))
    return (_ASCII_WITH_SIGNS if _has_signs(text) else _ASCII).findall(text)


def folded_words(text: str) -> list[str]:
    """The words of a text in comparable form: folded, scripts without spaces in pairs."""
    if text.isascii() and not _has_signs(text):
        return _ASCII.findall(text.lower())
    return [part for word in split_words(text) for part in _folded_word(word)]


def word_count(text: str) -> int:
    return len(split_words(text)) + unseparated_words(text)


def unseparated_words(text: str) -> int:
    """About how many words more a text has than its spaces show: each two characters are one."""
    if text.isascii():
        return 0
    runs = (characters_of_word(word) for word in split_words(text))
    return sum((len(characters) - 1) // 2 for characters in runs if characters)


def whole_word(word: str, endings: str = "") -> re.Pattern[str]:
    """Pattern of words in ``fold``ed text, with regular endings, not within a longer one: not ``C`` in ``C++``."""
    folded_word = fold(word)
    start, end = (_in_pairs(char) for char in (folded_word[0], folded_word[-1]))
    signs = r"(?!\+\+|#)" if re.search(r"(?<!\w)[cgfjq]\Z", folded_word) else ""
    dot = r"(?<!\.)" if folded_word == "net" else ""
    before = "" if start else dot + _START_IN_ANY
    after = "" if end else rf"(?:{endings})?(?![^\W{_WITHOUT_SPACES}]){signs}"
    return re.compile(before + re.escape(folded_word) + after, re.IGNORECASE)


def _in_pairs(char: str) -> bool:
    run = None if char.isascii() else _run().fullmatch(char)
    return run is not None and run["pairs"] is not None


def parts_of_word(word: str) -> list[str]:
    """The parts of an identifier, folded; empty for a text too long to be a word.

    ``HTTPServer2`` is ``http``, ``server``, ``2``; ``设置文件`` is ``设置``, ``置文``, ``文件``.
    """
    if len(word) > MAX_WORD_CHARS and word.isascii():
        return []
    if word.isascii() and word.isalpha():
        return [part.lower() for part in _ASCII_PART.findall(word)]
    return list(_parts(word))


def characters_of_word(word: str) -> list[str]:
    """The single characters of the text that ``parts_of_word`` splits into pairs."""
    if word.isascii():
        return []
    runs = (_cluster().findall(run["pairs"] or "") for run in _run().finditer(_composed(word)))
    return [fold(cluster) for clusters in runs if len(clusters) > 1 for cluster in clusters]


def is_name(text: str) -> bool:
    """Whether a text is an identifier of some language, dotted or with ``::`` or not."""
    parts = _SEPARATOR.split(_composed(text) if not text.isascii() else text)
    return all(part.replace("$", "_").isidentifier() for part in parts)


def normalise_name(name: str) -> str:
    """A name as it is looked up: compilers take forms of one character for one (NFKC)."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


def split_name(name: str) -> list[str]:
    """The words of an identifier as written: ``get``, ``HTTP``, ``Url``; a run of a script without spaces is one."""
    if name.isascii():
        return _ASCII_PART.findall(name)
    runs = _run().finditer(_composed(name))
    return [part for run in runs for part in (_humps(run[0]) if run["letters"] else (run[0],))]


def fold(text: str) -> str:
    """A text in the form that words are compared in: without case, accents and character forms."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", _composed(text).casefold())
    decomposed = _POINTS.sub("", _CYRILLIC.sub("", _ACCENTS.sub("", decomposed))).translate(_LETTERS)
    return unicodedata.normalize("NFC", "".join(map(_digit, decomposed)))


def _has_signs(text: str) -> bool:
    may_have_signs = any(sign in text for sign in ("++", "#", ".net", ".NET", ".Net"))
    return (may_have_signs or _DECIMAL.search(text) is not None) and _SIGNS.search(text) is not None


def _composed(text: str) -> str:
    plain = _INVISIBLE.sub("", _SYMBOLS.sub(" ", text))
    return unicodedata.normalize("NFKC", plain)


def _digit(char: str) -> str:
    return char if char.isascii() or not char.isdecimal() else str(unicodedata.decimal(char))


@lru_cache(maxsize=1 << 16)
def _folded_word(word: str) -> tuple[str, ...]:
    if word.isascii():
        return (_SPELT_OUT.get(word.lower(), word.lower()),)
    return tuple(_pairs(word)) if _in_pairs(word[0]) else (fold(word),)


@lru_cache(maxsize=1 << 16)
def _parts(word: str) -> tuple[str, ...]:
    if spelt_name := _SPELT_OUT.get(word.lower()):
        return (spelt_name,)
    if _GROUPED.fullmatch(word):
        return (word.replace("_", ""),)
    parts: list[str] = []
    for match in _run().finditer(_composed(word)):
        if match["pairs"]:
            parts += _pairs(match["pairs"])
        elif match["letters"]:
            parts += [part for hump in _humps(match["letters"]) if (part := fold(hump))]
        else:
            parts.append(fold(match[0]))
    return tuple(part for part in parts if len(part) <= MAX_WORD_CHARS)


def _pairs(run: str) -> list[str]:
    clusters = [fold(cluster) for cluster in _cluster().findall(run)]
    if len(clusters) < 2:
        return clusters
    return [first + second for first, second in pairwise(clusters)]


def _humps(run: str) -> list[str]:
    if run.isascii():
        return _ASCII_PART.findall(run)
    clusters = _cluster().findall(run)
    upper, lower = ([test(cluster[0]) for cluster in clusters] for test in (str.isupper, str.islower))
    borders = [
        index
        for index in range(1, len(clusters))
        if upper[index] and (lower[index - 1] or any(lower[index + 1 : index + 2]))
    ]
    edges = zip([0, *borders], [*borders, len(clusters)], strict=True)
    return ["".join(clusters[start:end]) for start, end in edges]
