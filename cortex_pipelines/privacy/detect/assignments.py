"""Secrets assigned to suspicious names: ``password = "…"``, ``X-Api-Key: …``, ``--token …``."""

import math
import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.providers import SHAPES
from cortex_pipelines.privacy.detect.values import (
    is_drawn,
    is_garbled,
    is_masked,
    is_password,
    is_reference,
    is_sample,
    is_strong_secret,
)
from cortex_pipelines.privacy.detect.wording import entropy
from cortex_pipelines.privacy.settings import PrivacySettings

_NAME_CHARS = 60
_LONGEST_VALUE = 1000
_BEFORE = re.compile(r"[\w$.-]{0,60}$")
_AFTER = re.compile(r"[\w$.-]{0,40}")
# What may stand between a name and its value, and how the value is quoted.
_OPERATOR = re.compile(
    r"""
    (?P<close>\\?["'`]\]?|\]|\)|&quot;|\[\d*\])?         # closes a name
    (?:\s*:\s*(?:str|String|string|&(?:'static\s+)?str|char\s*\*)\s*(?==)
      |[ ]+(?:string|String)[ ]+(?==))?
    (?:
        [ \t]*(?P<op>(?::{1,3}|[?!=.+|]{0,2})={1,3}>?|=>|:{1,2}(?!:)|->|\|\||,|>|\()[ \t]*
      | \)[ \t]*(?:or|\|\||\?\?|\?:)[ \t]*                  # a default
      | [ \t]*,?\s{0,40}["']?(?:value|Value|secret_value|default)["']?[ \t]*[:=][ \t]*
      | [ \t]+(?P<space>)
    )
    (?:\n[ \t]*)?
    (?:(?:Bearer|Basic|Token|Api-Token|ApiKey|Key|FlyV1|bearer|basic|token)[ \t]+)?
    (?P<value>
        (?:[bBrRuUfFL@$]{0,2})(?P<quote>\\?["'`]|&quot;|"{3}|'{3})
      | [^\s"'`]
    )
    """,
    re.VERBOSE,
)
_SCHEME = re.compile(
    r"(?:Bearer|Basic|Token|Api-Token|ApiKey|Key|FlyV1|SSWS|Digest)[ \t:]+", re.IGNORECASE
)
_MOST_TRIES = 4
_BARE = re.compile(rf"[^\s\"'`,;<>|&\\]{{1,{_LONGEST_VALUE}}}")
_CHAINED = re.compile(r"\w=\w")
_ELEMENT = re.compile(r"[^<]{1,400}(?=</)")
_PART = re.compile(r"[^\s{}\"'<>]{10,}")
_QUOTED = {
    quote: re.compile(
        rf"((?:\\.|(?!{re.escape(quote)})[^\\\n]){{0,{_LONGEST_VALUE}}}){re.escape(quote)}"
    )
    for quote in ('"', "'", "`", '"""', "'''")
}
_ESCAPED = {
    quote: re.compile(rf"([^\\\n]{{0,{_LONGEST_VALUE}}}?){re.escape(quote)}")
    for quote in ('\\"', "\\'", "\\`", "&quot;")
}
_PASSWORD_NAME = re.compile(r"pass|pwd|psw|pw|contrase|senha", re.IGNORECASE)
_PASSWORD = re.compile(r"passw|passphrase|pwd", re.IGNORECASE)
# Prose: "pass `padding=True`", "passes 'gelu'"; a password is given with an operator.
_VERB = re.compile(r"pass(?:e[sd]|ing)?", re.IGNORECASE)
# The next argument, or the next in a list: not what the name is given.
_CALLS = ("(", ",")
_COMPARED_CHARS = 30
_EXPRESSION = re.compile(r"[()\[\]{}<>]|->|::|&&")
_COMPARED = re.compile(r"""(["'`])([^"'`\n]{4,160})\1[ \t]*[!=]==?[ \t]*$""")
_OTHER = re.compile(r"(?i)sha|md5|hash|checksum|commit|digest|rev|version|url|path|action|uses")


def assigned_secrets(text: str, lower: str, settings: PrivacySettings) -> Iterator[Span]:
    """Secrets assigned to suspicious names.

    Args:
        text: The text.
        lower: The text in lower case, of the same length.
        settings: What counts.
    """
    done = 0
    runs = _Runs(text)
    for hit in names.SUSPECT.finditer(lower):
        if hit.start() >= done:
            done = _end_of(text, hit.end())
            operator = _OPERATOR.match(text, done)
            if "=" in text[max(0, hit.start() - _COMPARED_CHARS) : hit.start()]:
                yield from _compared_with(text, hit.start(), done, settings)
            if operator is not None and runs.worth_a_look(hit.start(), operator):
                secret = _value_after(text, hit.start(), done, operator, settings)
                if secret:
                    yield secret
                    done = secret.end


def member_secret(name: str, value: str, settings: PrivacySettings) -> str | None:
    """The rule by which an object member's value is a secret; None if it is not.

    Records are data: unlike in code, what a password's key is given is hardly ever a variable.

    Args:
        name: The key.
        value: A text.
        settings: What counts.
    """
    strength = names.suspicion(name)
    operator = _OPERATOR.match('": "')
    if not strength or operator is None or len(value) < settings.min_value_chars:
        return None
    if any(re.fullmatch(pattern, value) for pattern in settings.allowed):
        return None
    if strength == names.STRONG and _PASSWORD.search(name):
        return None if is_reference(value) or is_masked(value) else "password"
    if _is_secret(name, value, strength, operator, settings):
        return "assigned-secret"
    return None


class _Runs:
    """Bounds repeated work on hostile text.

    In a run without blanks or quotes each suspect name is given all that follows: of
    ``key:key:key:`` every part would be judged with a thousand characters behind it.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = self._tries = 0

    def worth_a_look(self, hit: int, operator: re.Match[str]) -> bool:
        """Whether a candidate value is outside runs that were tried too often."""
        if operator["quote"] is not None:
            return True
        if hit >= self._end:
            run = _BARE.match(self._text, operator.start("value"))
            self._end, self._tries = run.end() if run else 0, 0
        self._tries += 1
        return self._tries <= _MOST_TRIES


def provided_secrets(text: str, lower: str, words: str) -> Iterator[Span]:
    """Values in a provider's format next to the provider's name.

    Args:
        text: The text.
        lower: The text in lower case, of the same length.
        words: The distinct words of it, in lower case, joined.
    """
    for provider, shape in SHAPES.items():
        at = lower.find(provider) if provider in words else -1
        while at >= 0:
            end = _end_of(text, at + len(provider))
            operator = _OPERATOR.match(text, end)
            place = operator and _extent(text, operator)
            if place and shape.fullmatch(text, *place):
                value = text[place[0] : place[1]]
                named = _names_provider(text, at, end, provider)
                if named and not is_masked(value) and is_drawn(value):
                    yield Span(*place, SECRET, f"{provider}-key", "high")
            at = lower.find(provider, end)


def _names_provider(text: str, at: int, end: int, provider: str) -> bool:
    """Whether a name is the provider's: ``sumOf`` is not Sumo Logic's key."""
    first, last = text[at], text[at + len(provider) - 1]
    if (last.isupper() and first.islower()) or _OTHER.search(text, at, end):
        return False
    before = text[at - 1 : at]
    return not before.isalpha() or (before.islower() and first.isupper())


def _start_of(text: str, hit: int) -> int:
    """Start of the identifier that contains the character at ``hit``."""
    before = _BEFORE.search(text, max(0, hit - _NAME_CHARS), hit)
    return before.start() if before else hit


def _end_of(text: str, at: int) -> int:
    """End of the identifier that contains the character before ``at``."""
    after = _AFTER.match(text, at)
    return after.end() if after else at


def _value_after(
    text: str, hit: int, end: int, operator: re.Match[str], settings: PrivacySettings
) -> Span | None:
    start = _start_of(text, hit)
    strength = names.suspicion(text[start:end])
    if not strength:
        return None
    place = _extent(text, operator)
    if place is None:
        return None
    value = text[place[0] : place[1]]
    if not _is_secret(text[start:end], value, strength, operator, settings):
        return None
    rule = "password" if _PASSWORD_NAME.search(text[start:end]) else "assigned-secret"
    return Span(place[0], place[1], SECRET, rule, "high" if strength == names.STRONG else "medium")


def _extent(text: str, operator: re.Match[str]) -> tuple[int, int] | None:
    quote = operator["quote"]
    if quote is None:
        start = operator.start("value")
        element = _ELEMENT.match(text, start) if operator["op"] == ">" else None
        if element:
            return _strongest(text, element)
        bare = _BARE.match(text, start)
        if bare is None:
            return None
        return start, bare.end()
    start = operator.end("value")
    closing = (_QUOTED.get(quote) or _ESCAPED[quote]).match(text, start)
    if closing is None:
        return None
    scheme = _SCHEME.match(text, start, closing.end(1))
    return (scheme.end() if scheme else start), closing.end(1)


def _strongest(text: str, element: re.Match[str]) -> tuple[int, int] | None:
    """The secret within an element's text, else all of it: Jenkins wraps secrets in braces."""
    parts = _PART.finditer(text, element.start(), element.end())
    strong = [part.span() for part in parts if is_strong_secret(part[0])]
    return max(strong, key=lambda span: span[1] - span[0]) if strong else element.span()


def _is_secret(
    name: str,
    value: str,
    strength: int,
    operator: re.Match[str],
    settings: PrivacySettings,
) -> bool:
    quoted = operator["quote"] is not None
    if len(value) < settings.min_value_chars or (not quoted and _CHAINED.search(value)):
        return False
    if is_reference(value) or is_sample(value):
        return False
    if operator["space"] is not None and (operator["quote"] == "`" or _VERB.fullmatch(name)):
        return False
    # a short value cannot have much entropy
    if entropy(value) < min(settings.min_entropy, 0.85 * math.log2(len(value))):
        return False
    if strength == names.WEAK:
        return len(value) >= 16 and is_strong_secret(value)
    if is_strong_secret(value) and (quoted or _could_be_bare(value)):
        return True
    if is_garbled(value, quoted) and operator["op"] not in _CALLS and (quoted or operator["op"]):
        return True
    if not _PASSWORD_NAME.search(name) or not is_password(value, quoted):
        return False
    if quoted:
        return True
    spoken = name.startswith("--") or operator["op"] not in ("(", ",", ">", None)
    return spoken and _could_be_bare(value)


def _could_be_bare(value: str) -> bool:
    """Whether an unquoted value may be a secret: it has digits and is no expression."""
    return any(map(str.isdigit, value)) and not _EXPRESSION.search(value)


def _compared_with(text: str, hit: int, end: int, settings: PrivacySettings) -> Iterator[Span]:
    """A literal compared with a suspicious name on its right."""
    start = _start_of(text, hit)
    literal = _COMPARED.search(text, max(0, start - 200), start)
    if literal is None or names.suspicion(text[start:end]) != names.STRONG:
        return
    value = literal[2]
    if len(value) < settings.min_value_chars or is_reference(value) or is_sample(value):
        return
    if is_strong_secret(value) or is_garbled(value, True) or is_password(value, True):
        yield Span(literal.start(2), literal.end(2), SECRET, "assigned-secret", "high")
