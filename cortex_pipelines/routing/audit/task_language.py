"""Detect the language of a task from its script and frequent words: a weak label, for the audit only."""

import unicodedata
from collections import Counter

_SCRIPTS = {
    "CYRILLIC": "cyrillic",
    "GREEK": "greek",
    "ARABIC": "arabic",
    "HEBREW": "hebrew",
    "CJK": "chinese or japanese",
    "HIRAGANA": "japanese",
    "KATAKANA": "japanese",
    "HANGUL": "korean",
    "DEVANAGARI": "hindi",
    "THAI": "thai",
}
_WORDS = {
    "english": "the a an of to in on for and or is are not with from by when that this all be it "
    "we does how what which why add fix after before without until into too",
    "german": "der die das und oder ist sind nicht mit von für wenn dass ein eine den dem des zu "
    "im auf bei nach vor ohne wird werden alle wie warum auch",
    "french": "le la les des du et ou est sont pas avec dans pour par quand que qui une un aux "
    "sur sans après avant tous comment pourquoi",
    "spanish": "el los las del y es son con para por cuando que una un en sin después antes todos cómo porque al se lo",
    "portuguese": "o os as do da dos das e é são não com para por quando que uma um em no na sem "
    "depois antes todos como ao",
    "italian": "il lo gli della del e è sono non con per quando che una un nel nella senza dopo "
    "prima tutti come perché",
    "dutch": "de het een en of is zijn niet met van voor als dat op bij na zonder alle hoe waarom",
}
_MARKER_WORDS = {name: frozenset(words.split()) for name, words in _WORDS.items()}


def task_language(text: str) -> str | None:
    letters = [char for char in text if char.isalpha()]
    scripts = Counter(_script(char) for char in letters if not char.isascii())
    script, count = scripts.most_common(1)[0] if scripts else (None, 0)
    if script is not None and count * 2 > len(letters):
        return script
    words = ["".join(c for c in word if c.isalpha()) for word in text.casefold().split()]
    votes = {name: sum(word in markers for word in words) for name, markers in _MARKER_WORDS.items()}
    best = max(votes.values())
    first = [name for name, count in votes.items() if count == best]
    return first[0] if best and len(first) == 1 else None


def _script(char: str) -> str | None:
    return _SCRIPTS.get(unicodedata.name(char, "").split(" ")[0].split("-")[0])
