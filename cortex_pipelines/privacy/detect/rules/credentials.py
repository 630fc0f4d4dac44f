"""Secrets by position: in URLs, on command lines, in private keys."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText, longest_word
from cortex_pipelines.privacy.detect.tokens.formats import decoded
from cortex_pipelines.privacy.detect.values import is_default, is_password, is_reference, is_sample, is_strong_secret

_USER_INFO = re.compile(r"""://([^\s/"'`<>:?#\\]*):([^\s/"'`<>@\\]{3,200})@(?=[\w\[$%{.-])""")
_HOST_LIST = re.compile(r"\d{1,5},")  # the port of the first host of several
_CURL_USER = re.compile(
    r"""(?:\s-u|\s--user)(?:=|[ \t]*)
    (?:"([^"\n]{0,80}?):([^"\n]{3,80})" | '([^'\n]{0,80}?):([^'\n]{3,80})'
     | ([\w.@+-]{1,80}):(?:["']([^"'\s]{3,80})["']|([^\s"']{3,80})))""",
    re.VERBOSE,
)
_CURL_HALF = re.compile(r"""(?:\s-u|\s--user)(?:=|[ \t]*)["']([^"':\s]{6,80}):["']""")
_BASIC = re.compile(r"""(?i:authorization["']?\s*[:=,]\s*["']?\s*basic|["'`]basic)\s+([A-Za-z0-9+/]{8,}={0,2})""")
# User and password by position: of HTTP clients, of JDBC, in Oracle's own addresses.
_TWO = r"""[ \t]*(["'])([^"'\n]{0,80})\1[ \t]*,[ \t]*(["'])([^"'\n]{4,80})\3[ \t]*(?:[)\],;.]|$)"""
_PAIRS = tuple(
    (mark, longest_word(mark), re.compile(pattern))
    for mark, pattern in (
        ("auth", rf"auth[\"']?[ \t]*[=:][ \t]*[(\[]{_TWO}"),
        ("asic", rf"asic_?[Aa]uth\w{{0,20}}\({_TWO}"),
        ("Credential", rf"Credentials?\({_TWO}"),
        ("Authentication", rf"PasswordAuthentication\({_TWO}"),
        (".login", rf"\.login\({_TWO}"),
        ("connect(", rf"(?:mysql|mysqli|pg|odbc)_p?connect\([^\n()]{{3,200}}?,{_TWO}"),
        ("PDO(", rf"new PDO\([^\n()]{{3,200}}?,{_TWO}"),
        ("sp_add", rf"sp_add\w{{0,20}}[ ]{_TWO}"),
        ("getConnection", rf"getConnection\([^\n()]{{3,200}},{_TWO}"),
    )
)
_JSON_WEB_KEY = re.compile(r'"(?:k|d|p|q|dp|dq|qi)"\s{0,9}:\s{0,9}"([\w-]{20,1000})"')
_THIN = re.compile(r"jdbc:oracle:(?:thin|oci):([\w.-]{1,60})/([^\s@\"'/]{4,80})@")
_KEY_BEGIN = re.compile(
    r"-----BEGIN[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d"
    r"|---- BEGIN SSH2 [A-Z ]{0,20}PRIVATE KEY ----"
    r"|-----BEGIN OpenVPN Static key V1-----"
)
_KEY_END = re.compile(r"-----END[ A-Z0-9_-]{0,60}(?:PRIVATE KEY(?: BLOCK)?|Static key V1)-----|Private-MAC:[^\n]*")
_MATERIAL = re.compile(r"[A-Za-z0-9+/]{16,}")
_LONGEST_KEY = 20_000


def placed_secrets(indexed: IndexedText) -> Iterator[Span]:
    """Secrets in URLs, curl commands, basic authorization and private keys."""
    text, vocabulary = indexed.text, indexed.vocabulary
    for match in _USER_INFO.finditer(text) if "://" in text else ():
        if _could_be_password(match[2], match[1]):
            yield Span(*match.span(2), SECRET, "url-password", "high")
    if "curl" in vocabulary:
        yield from _curl_passwords(text)
    if "asic " in vocabulary:
        for match in _BASIC.finditer(text):
            login = decoded(match[1]) or b""
            is_login = b":" in login and all(32 <= byte < 127 for byte in login)
            if is_login or (len(match[1]) > 24 and not is_sample(match[1])):
                yield Span(*match.span(1), SECRET, "basic-authorization", "high")
    for mark, word, pair in _PAIRS:
        for match in pair.finditer(text) if word in vocabulary and mark in text else ():
            # not a sample as in tests of clients
            if _could_be_password(match[4], match[2]) and is_password(match[4], quoted=True, in_data=True):
                yield Span(*match.span(4), SECRET, "password-pair", "high")
    if " kty " in vocabulary:
        for match in _JSON_WEB_KEY.finditer(text):
            if is_strong_secret(match[1]):
                yield Span(*match.span(1), SECRET, "json-web-key", "high")
    if " jdbc " in vocabulary:
        for match in _THIN.finditer(text):
            if _could_be_password(match[2], match[1]):
                yield Span(*match.span(2), SECRET, "url-password", "high")
    if any(word in vocabulary for word in ("private ", "putty", "static ")):
        yield from _private_keys(text)


def _could_be_password(value: str, user: str) -> bool:
    if is_reference(value) or is_reference(user) or is_sample(value):
        return False
    return not is_default(value) and value != user and not _HOST_LIST.match(value)


def _curl_passwords(text: str) -> Iterator[Span]:
    start = text.find("curl")
    while start >= 0:
        limit = min(len(text), start + 2000)
        end = text.find("\n", start, limit)
        while end > 0 and text[end - 1 : end] == "\\":  # the command goes on
            end = text.find("\n", end + 1, limit)
        end = limit if end < 0 else end
        for match in _CURL_USER.finditer(text, start, end):
            group = match.lastindex or 0
            user = match[1] or match[3] or match[5] or ""
            if _could_be_password(match[group], user):
                yield Span(*match.span(group), SECRET, "curl-user", "high")
        for match in _CURL_HALF.finditer(text, start, end):
            if _could_be_password(match[1], ""):
                yield Span(*match.span(1), SECRET, "curl-user", "high")
        start = text.find("curl", max(end, start + 4))


def _private_keys(text: str) -> Iterator[Span]:
    begin = _KEY_BEGIN.search(text)
    while begin is not None:
        following = _KEY_BEGIN.search(text, begin.end())
        limit = min(following.start() if following else len(text), begin.end() + _LONGEST_KEY)
        end = _KEY_END.search(text, begin.end(), limit)
        stop = end.end() if end else _end_of_material(text, begin.end(), limit)
        runs = _MATERIAL.findall(text[begin.end() : end.start() if end else stop])
        if sum(len(run) for run in runs if not is_sample(run)) >= 32:
            yield Span(begin.start(), stop, SECRET, "private-key", "high")
        begin = following


def _end_of_material(text: str, start: int, limit: int) -> int:
    """End of a truncated private key: its last line of key material."""
    end, line_end = start, start
    for line in text[start:limit].split("\n"):
        line_end += len(line) + 1
        if _MATERIAL.search(line):
            end = line_end - 1
        elif line.strip() and end > start:
            break
    return min(end, limit)
