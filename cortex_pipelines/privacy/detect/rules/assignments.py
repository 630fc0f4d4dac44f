"""Secrets assigned to suspicious names: ``password = "…"``, ``X-Api-Key: …``, ``--token …``."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.context import (
    is_beside_an_address,
    is_code,
    is_connection_entry,
    is_defined,
    is_flush,
    is_program,
    is_prose,
    is_whole_line,
)
from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.named_values import (
    EXPRESSION,
    PASSWORD_NAME,
    SCHEME,
    could_be_bare,
    has_entropy,
    is_long_secret,
)
from cortex_pipelines.privacy.detect.settings.values import formats_of
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.text.mapped_text import key_lines, pieces_after
from cortex_pipelines.privacy.detect.tokens.formats import ANY_PROVIDER, SHAPES
from cortex_pipelines.privacy.detect.values import (
    PLACEHOLDER,
    is_chosen_word,
    is_drawn,
    is_escaped_text,
    is_garbled,
    is_masked,
    is_password,
    is_reference,
    is_sample,
    is_strong_secret,
)
from cortex_pipelines.privacy.settings import PrivacySettings

_NAME_CHARS = 60
_LONGEST_VALUE = 1000
_BEFORE = re.compile(r"[\w$.-]*")  # backwards
_AFTER = re.compile(r"[\w$.-]{0,40}")
# What may stand between a name and its value, and how the value is quoted.
_OPERATOR = re.compile(
    r"""
    (?P<close>\\?["'`]\]?|\]|\)|\[\d*\])?         # closes a name
    (?:\??\s*:\s*(?:str|String|string|&(?:'static\s+)?str|char\s*\*)\s*(?==)
      |[ ]As[ ]String[ ](?==)
      |[ ]+(?:string|String)[ ]+(?==))?
    (?:
        (?:,\s{0,40}["']?[\w-]{1,30}["']?[ \t]?[:=][ \t]?["'][^"'\n]{0,60}["']){0,2}
        [ \t]*,?\s{0,40}["']?(?:value|Value|secret_value|default)["']?[ \t]*[:=][ \t]*
      | (?P<tag>
            (?:[ \t]+[\w:.-]{1,40}=["'][^"'\n<>]{0,80}["']){1,3}[ \t]*>  # further attributes
          | [ \t]*/?>\s{0,40}<(?:value|string|val)>                   # an element inside
        )
      | [ \t]*(?P<op>(?::{1,3}|[?!=.+|]{0,2})={1,3}>?|=>|:{1,2}(?!:)|->|<-|\|\||,|>|\()[ \t]*
        (?:[|>][+-]?[0-9]?[ \t]*\n[ \t]*|\n[ \t]*-[ \t]+|\*\*[ ])?  # a block
        (?P<open>[(\[]\s{0,40}(?=["'`]))?
      | \)[ \t]*(?:or|\|\||\?\?|\?:)[ \t]*                  # a default
      | [ \t]+(?P<space>)
    )
    (?:\n[ \t]*)?
    (?:(?:Bearer|Basic|Token|Api-Token|ApiKey|Key|FlyV1|bearer|basic|token)[ \t]+)?
    (?P<value>
        (?:[bBrRuUfFL@$]{0,2})(?P<quote>\\?["'`]|"{3}|'{3})
      | [^\s"'`]
    )
    """,
    re.VERBOSE,
)
_MOST_TRIES = 4
_BARE = re.compile(rf"[^\s\"'`,;<>|&\\]{{1,{_LONGEST_VALUE}}}")
_ENDING = ",;|&"
_RUN = re.compile(rf"[^\s\"'`]{{1,{_LONGEST_VALUE}}}")
# A setting after one that is empty: ``password=``, and in the next line ``db.url=``.
_NEXT_NAME = re.compile(r"\w=\w|\A[\w-]+(?:\.[\w-]+)+=\Z")
_ELEMENT = re.compile(r"[^<]{1,400}?(?=(?:\]\]>)?\s{0,40}</)")
_PART = re.compile(r"[^\s{}\"'<>]{10,}")
_QUOTED = {
    quote: re.compile(rf"((?:\\.|(?!{re.escape(quote)})[^\\\n]){{0,{_LONGEST_VALUE}}}){re.escape(quote)}")
    for quote in ('"', "'", "`", '"""', "'''")
}
_ESCAPED = {
    quote: re.compile(rf"([^\\\n]{{0,{_LONGEST_VALUE}}}?){re.escape(quote)}") for quote in ('\\"', "\\'", "\\`")
}
_PIECE = re.compile(r"[^\s{}<>\"']*|(?:Bearer|Basic|Token|Key)[ ]", re.IGNORECASE)
_PLAIN_QUOTES = ('"', "'", "`")
_PASSWORD = re.compile(r"passw|passphrase|pwd", re.IGNORECASE)
# Prose: "pass `padding=True`", "passes 'gelu'"; a password is given with an operator.
_VERB = re.compile(r"pass(?:e[sd]|ing)?", re.IGNORECASE)
# The next argument, or the next in a list: not what the name is given.
_CALLS = ("(", ",")
_SETTER = re.compile(r"(?i)[\w.]*?(?:set|with|use)?_?(?:password|passwd|passphrase|pwd)")
_COMPARED_CHARS = 30
_COMPARED = re.compile(r"""(["'`])([^"'`\n]{4,160})\1[ \t]*[!=]==?[ \t]*\Z""")
_OTHER = re.compile(r"(?i)sha|md5|hash|checksum|commit|digest|rev|version|url|path|action|uses")


def assigned_secrets(indexed: IndexedText, path: str, settings: PrivacySettings) -> Iterator[Span]:
    """Secrets assigned to suspicious names; the path tells settings from code."""
    if not indexed.could_assign_secrets:
        return
    text = indexed.text
    scanned_end = run_end = tries = 0
    for start, end in indexed.suspects:
        if start >= scanned_end:
            scanned_end = _end_of(text, end)
            operator = _OPERATOR.match(text, scanned_end)
            if "=" in text[max(0, start - _COMPARED_CHARS) : start]:
                yield from _compared_with(text, start, scanned_end, settings)
            if operator is None:
                continue
            if operator["quote"] is None:
                # In hostile text without blanks or quotes the value of each name is the rest of the run: each part of
                # `key:key:key:` would be judged with the thousand characters after it.
                if start >= run_end:
                    run = _BARE.match(text, operator.start("value"))
                    run_end, tries = run.end() if run else 0, 0
                tries += 1
                if tries > _MOST_TRIES:
                    continue
            for secret in _values_after(text, start, scanned_end, operator, path, settings):
                yield secret
                scanned_end = secret.end


def member_secret(name: str, value: str, settings: PrivacySettings) -> str | None:
    """Rule by which an object member's value is a secret, or None.

    Records are data: unlike in code, the value of a password's key is hardly ever a variable.
    """
    strength = names.suspicion(name)
    operator = _OPERATOR.match('": "')
    if not strength or operator is None or len(value) < settings.min_value_chars:
        return None
    if any(re.fullmatch(pattern, value) for pattern in settings.allowed):
        return None
    if strength == names.STRONG and _PASSWORD.search(name):
        return None if is_reference(value) or is_masked(value) else "password"
    return "assigned-secret" if _is_secret(name, value, strength, operator, settings) else None


def provided_secrets(indexed: IndexedText) -> Iterator[Span]:
    """Values in a provider's format next to the provider's name."""
    if not indexed.has_dense_word:
        return
    text, lower = indexed.text, indexed.lower
    for provider in sorted(set(ANY_PROVIDER.findall(indexed.vocabulary))):
        shape, start = SHAPES[provider], lower.find(provider)
        while start >= 0:
            end = _end_of(text, start + len(provider))
            operator = _OPERATOR.match(text, end)
            span = operator and _extent(text, operator)
            if span and shape.fullmatch(text, *span) and _names_provider(text, start, end, provider):
                value = text[span[0] : span[1]]
                if not is_masked(value) and is_drawn(value):
                    yield Span(*span, SECRET, f"{provider}-key", "high")
            start = lower.find(provider, end)


def _names_provider(text: str, start: int, end: int, provider: str) -> bool:
    """Whether a name is the provider's: ``sumOf`` is not Sumo Logic's key."""
    first, last = text[start], text[start + len(provider) - 1]
    if (last.isupper() and first.islower()) or _OTHER.search(text, start, end):
        return False
    before = text[start - 1 : start]
    return not before.isalpha() or (before.islower() and first.isupper())


def _start_of(text: str, hit: int) -> int:
    before = _BEFORE.match(text[max(0, hit - _NAME_CHARS) : hit][::-1])
    return hit - before.end() if before else hit


def _end_of(text: str, position: int) -> int:
    after = _AFTER.match(text, position)
    return after.end() if after else position


def _values_after(
    text: str, hit: int, end: int, operator: re.Match[str], path: str, settings: PrivacySettings
) -> Iterator[Span]:
    """Spans of the secret assigned to a name; one span per literal."""
    start = _start_of(text, hit)
    name = text[start:end]
    strength = names.suspicion(name)
    if not strength:
        return
    for parts in (*_extended_spans(text, start, operator, path), *_candidates(text, operator, path)):
        value = "".join(text[first:last] for first, last in parts)
        if PLACEHOLDER.search(value) or is_escaped_text(value, settings.min_value_chars):
            return
        if _is_secret(name, value, strength, operator, settings) or (
            strength == names.STRONG and _is_set(text, start, parts[-1][1], value, operator, path, settings)
        ):
            rule = "password" if PASSWORD_NAME.search(name) else "assigned-secret"
            severity = "high" if strength == names.STRONG else "medium"
            yield from (Span(*part, SECRET, rule, severity) for part in parts)
            return


def _extended_spans(text: str, start: int, operator: re.Match[str], path: str) -> Iterator[list[tuple[int, int]]]:
    """Spans beyond one literal or word: a key of several lines, a bare value with punctuation."""
    quote = operator["quote"]
    value_start = operator.start("value") if quote is None else operator.end("value")
    if quote in ('"', "'") and text.startswith(2 * quote, value_start):
        value_start += 2
    lines = key_lines(text, value_start)
    if lines:
        yield lines
    if quote is not None or operator["op"] not in ("=", ":") or is_program(path):
        return
    run = _RUN.match(text, value_start)
    value = run[0].rstrip(_ENDING) if run else ""
    odd = {sign for sign in _ENDING if sign in value}
    # lists have the other signs, too
    is_value = odd == {"&"} or (odd and is_garbled(value, quoted=True))
    if run and is_value and "=" not in value and is_whole_line(text, start, run.end(), False):
        yield [(value_start, value_start + len(value))]


def _candidates(text: str, operator: re.Match[str], path: str) -> Iterator[list[tuple[int, int]]]:
    """Possible values of a name: all concatenated literals, then the first alone."""
    span = _extent(text, operator)
    if span is None:
        return
    # settings have no literals that are put together; the next may be a key
    if operator["quote"] in _PLAIN_QUOTES and not formats_of(path):
        if operator["open"] and operator["open"].startswith("["):
            return
        parts = [span, *pieces_after(text, span[1] + 1)]
        if len(parts) > 1 and all(_PIECE.fullmatch(text, *part) for part in parts[:-1]):
            yield [part for part in parts if part[0] < part[1]]
    yield [span]


def _is_set(
    text: str, start: int, end: int, value: str, operator: re.Match[str], path: str, settings: PrivacySettings
) -> bool:
    """Whether a password is in a position of settings, where it may look like a name."""
    if len(value) < settings.min_value_chars or is_reference(value) or is_sample(value):
        return False
    quoted, element = operator["quote"] is not None, operator["op"] == ">" or operator["tag"] is not None
    if not quoted and (_NEXT_NAME.search(value) or EXPRESSION.search(value) or value[-1] == ":"):
        return False
    if operator["op"] == "=" and not quoted and is_connection_entry(text, start, end):
        return is_chosen_word(value) or is_password(value, True, in_data=True)
    op, name = operator["op"], text[start : operator.start()]
    code = is_code(path)
    if quoted:
        is_assigned = _is_assigned(text, start, name, operator, path)
    else:
        option = text.startswith("-", start) and not code
        alone = is_whole_line(text, start, end, op == "=")
        flush = is_flush(text, end, op, text[operator.start("value") - 1].isspace())
        is_assigned = ((element or option or alone or flush) and not code) or (alone and name.isupper())
    if not is_assigned:
        return False
    if is_password(value, True, in_data=True):
        return bool(PASSWORD_NAME.search(name)) or (not code and is_long_secret(value))
    if code or is_prose(path) or not PASSWORD_NAME.search(name):
        return False
    return is_chosen_word(value) and (value.islower() or is_beside_an_address(text, start, end))


def _is_assigned(text: str, start: int, name: str, operator: re.Match[str], path: str) -> bool:
    """Whether a quoted value is assigned to the name, not an argument next to it."""
    op = operator["op"]
    if op == "(":
        return _SETTER.fullmatch(name) is not None
    if op == ",":
        is_name = (name.isupper() and not PLACEHOLDER.fullmatch(name)) or path.endswith(".sql")
        return operator["close"] is not None and is_name
    if op is None and operator["space"] is not None:
        if operator["quote"] == "`" or _VERB.fullmatch(name):
            return False
        return is_defined(text, start) if is_code(path) else not is_prose(path)
    return True


def _extent(text: str, operator: re.Match[str]) -> tuple[int, int] | None:
    quote = operator["quote"]
    if quote is None:
        start = operator.start("value")
        is_element = operator["op"] == ">" or operator["tag"] is not None
        element = _ELEMENT.match(text, start) if is_element else None
        if element:
            return _strongest(text, element)
        bare = _BARE.match(text, start)
        return (start, bare.end()) if bare else None
    start = operator.end("value")
    closing = (_QUOTED.get(quote) or _ESCAPED[quote]).match(text, start)
    if closing is None:
        return None
    scheme = SCHEME.match(text, start, closing.end(1))
    return (scheme.end() if scheme else start), closing.end(1)


def _strongest(text: str, element: re.Match[str]) -> tuple[int, int] | None:
    """The secret within an element's text, else its only line: Jenkins wraps secrets in braces."""
    parts = _PART.finditer(text, element.start(), element.end())
    strong = [part.span() for part in parts if is_strong_secret(part[0])]
    if strong:
        return max(strong, key=lambda span: span[1] - span[0])
    start = element.end() - len(element[0].lstrip())
    end = start + len(element[0].strip())
    return (start, end) if start < end and "\n" not in text[start:end] else None


def _is_secret(name: str, value: str, strength: int, operator: re.Match[str], settings: PrivacySettings) -> bool:
    quoted = operator["quote"] is not None
    if len(value) < settings.min_value_chars or (not quoted and _NEXT_NAME.search(value)):
        return False
    if is_reference(value) or is_sample(value):
        return False
    if operator["space"] is not None and (operator["quote"] == "`" or _VERB.fullmatch(name)):
        return False
    if not has_entropy(value, settings):
        return False
    if strength == names.WEAK:
        return len(value) >= 16 and is_strong_secret(value) and (quoted or could_be_bare(value))
    if is_strong_secret(value) and (quoted or could_be_bare(value)):
        return True
    if is_garbled(value, quoted) and operator["op"] not in _CALLS and (quoted or operator["op"]):
        return True
    if not PASSWORD_NAME.search(name) or not is_password(value, quoted):
        return False
    is_given = name.startswith("--") or operator["op"] not in ("(", ",", ">", None)
    return quoted or (is_given and could_be_bare(value))


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
