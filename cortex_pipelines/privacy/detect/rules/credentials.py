"""Secrets by position: in URLs, on command lines, in private keys."""

import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.names import STRONG, suspicion
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText, longest_word
from cortex_pipelines.privacy.detect.tokens.formats import decoded
from cortex_pipelines.privacy.detect.values import (
    is_default,
    is_mixed,
    is_password,
    is_reference,
    is_sample,
    is_strong_secret,
)

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
        ("user(", rf"create_(?:super)?user\([^\n()]{{3,200}},{_TWO}"),
    )
)
_CHARACTERS = re.compile(r'"([^"\s\\]{6,80})"\s*\.\s*toCharArray\(\)')  # what Java's key stores take
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
    """Secrets in URLs, curl commands, basic authorization, key stores and private keys."""
    text, vocabulary = indexed.text, indexed.vocabulary
    for pattern, is_possible in ((_USER_INFO, "://" in text), (_THIN, " jdbc " in vocabulary)):
        for match in pattern.finditer(text) if is_possible else ():
            if _could_be_password(match[2], match[1]):
                yield Span(*match.span(2), SECRET, "url-password", "high")
    if "curl" in vocabulary:
        yield from _curl_passwords(text)
    for match in _BASIC.finditer(text) if "asic " in vocabulary else ():
        login = decoded(match[1]) or b""
        is_login = b":" in login and all(32 <= byte < 127 for byte in login)
        if is_login or (len(match[1]) > 24 and not is_sample(match[1])):
            yield Span(*match.span(1), SECRET, "basic-authorization", "high")
    for mark, word, pair in _PAIRS:
        for match in pair.finditer(text) if word in vocabulary and mark in text else ():
            # not a sample as in tests of clients
            if _could_be_password(match[4], match[2]) and is_password(match[4], quoted=True, in_data=True):
                yield Span(*match.span(4), SECRET, "password-pair", "high")
    for match in _CHARACTERS.finditer(text) if "tochararray" in vocabulary else ():
        if is_mixed(match[1]) and _could_be_password(match[1], "") and is_password(match[1], quoted=True):
            yield Span(*match.span(1), SECRET, "password", "medium")
    for match in _JSON_WEB_KEY.finditer(text) if " kty " in vocabulary else ():
        if is_strong_secret(match[1]):
            yield Span(*match.span(1), SECRET, "json-web-key", "high")
    if any(word in vocabulary for word in ("private ", "putty", "static ")):
        yield from _private_keys(text)


def _could_be_password(value: str, user: str) -> bool:
    return _may_be(value) and not is_reference(user) and value != user and not _HOST_LIST.match(value)


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


_VALUE = r"""(?:"([^"\n]{4,80})"|'([^'\n]{4,80})'|([^\s"'`|;&<>\\]{4,80}))"""
_REST = r"[^\n|;&]{0,160}?"
_COMMANDS: tuple[tuple[str, str], ...] = (
    ("sshpass", rf"\bsshpass\s+(?:-e\s+)?-p\s*{_VALUE}"),
    ("mysql", rf"\b(?:mysql|mysqldump|mysqladmin|mariadb)\b{_REST}\s-p{_VALUE}"),
    ("login", rf"\b(?:docker|podman|helm|az|oc|buildah|skopeo)\b{_REST}\blogin\b{_REST}\s-p\s+{_VALUE}"),
    ("smb", rf"\bsmb\w{{1,12}}\b{_REST}\s-U\s*[\"']?[\w.\\-]{{1,40}}%{_VALUE}"),
    ("sqlplus", r"\bsqlplus\s+(?:-\w+\s+)*[\"']?\w{1,40}/([^\s@\"'/]{4,80})@"),
    ("password 7 ", r"\bpassword 7 ([0-9A-F]{8,80})\b"),
    ("redis-cli", rf"\bredis-cli\b{_REST}\s-a\s+{_VALUE}"),
    ("openssl", rf"\bopenssl\s+enc\b{_REST}\s-k\s+{_VALUE}"),
    ("pass:", rf"-(?:passin|passout|k)\s+[\"']?pass:{_VALUE}"),
    ("ldap", rf"\bldap(?:search|add|modify|delete|whoami|passwd)\b{_REST}\s-w\s+{_VALUE}"),
    ("htpasswd", rf"\bhtpasswd\s+(?:-\w+\s+)*-\w*b\w*\s+(?:-\w+\s+)*\S+\s+\S+\s+{_VALUE}"),
    ("sudo", rf"\becho\s+(?:-\w+\s+)?{_VALUE}\s*\|\s*sudo\s+(?:-\w+\s+)*-S"),
    ("--password-stdin", rf"\becho\s+(?:-\w+\s+)?{_VALUE}\s*\|[^\n|]{{0,80}}--password-stdin"),
    ("chpasswd", r"\becho\s+(?:-\w+\s+)?[\"']?[\w.-]{1,40}:([^\s\"'|]{4,80})[\"']?\s*\|\s*(?:sudo\s+)?chpasswd"),
    ("ConvertTo-SecureString", rf"ConvertTo-SecureString\s+(?:-\w+\s+)?{_VALUE}"),
    ("net use", rf"\bnet\s+use\s+(?:\w:\s+)?\\\\\S+\s+(?!/){_VALUE}"),
    ("auth-user-pass", r"<auth-user-pass>\s*\n\S+\n(\S{4,80})"),
    ("login", rf"\blogin[ \t]+\S{{1,80}}\s+password[ \t]+{_VALUE}"),
)
_COMPILED = tuple((mark, longest_word(mark), re.compile(pattern)) for mark, pattern in _COMMANDS)
_PGPASS = re.compile(r"(?m)^[^\s:#]{1,80}:(?:\d{1,5}|\*):[^\s:]{1,60}:[^\s:]{1,60}:(\S{4,80})$")
_CRYPT = re.compile(r"(?m)^[\w.@-]{1,60}:([./0-9A-Za-z]{13})$")
_ONE_VALUE = re.compile(r"\s*([A-Za-z0-9+/=_-]{20,200})\s*")
_LONGEST_FILE = 300
_WHOLE = re.compile(r"(?i)\.key$|secret|token|passw|credential")


def commanded_secrets(indexed: IndexedText, path: str) -> Iterator[Span]:
    """Passwords on command lines, and in files whose name announces them."""
    text = indexed.text
    for mark, word, pattern in _COMPILED:
        if word in indexed.vocabulary and mark in text:
            yield from _secret_arguments(pattern, text)
    name = path.rpartition("/")[2].lower()
    if "pgpass" in name:
        yield from _secret_arguments(_PGPASS, text)
    for match in _CRYPT.finditer(text) if "htpasswd" in name else ():
        yield Span(*match.span(1), SECRET, "password-hash", "medium")
    only_value = _ONE_VALUE.fullmatch(text) if len(text) <= _LONGEST_FILE and _WHOLE.search(name) else None
    if only_value and is_strong_secret(only_value[1]) and not is_sample(only_value[1]):
        yield Span(*only_value.span(1), SECRET, "assigned-secret", "high")


def _secret_arguments(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    for match in pattern.finditer(text):
        if _may_be(match[match.lastindex or 0]):
            yield Span(*match.span(match.lastindex or 0), SECRET, "command-password", "high")


def _may_be(value: str) -> bool:
    return not (is_reference(value) or is_sample(value) or is_default(value))


# Matched against the text in lower case: a pattern that begins with a word is fast.
_QUOTED = r"""(?:n?\\?'([^'\n\\]{4,120})\\?'|\\?"([^"\n\\]{4,120})\\?")"""
_IDENTIFIED = re.compile(
    r"identified\s{1,9}(?:with\s{1,9}\S{1,60}\s{1,9}as|(?:with\s{1,9}\S{1,60}\s{1,9})?by)\s{1,9}(?:password\s{1,9})?"
    rf"(?:{_QUOTED}|([\w!#$%^*-]{{6,80}})(?![\w.\[]))"
)
_PASSWORD = re.compile(rf"password\s{{0,9}}(?:=\s{{0,9}}|\(\s{{0,9}})?{_QUOTED}")
_ACCOUNT = re.compile(
    r"(?:create|alter|grant)\s{1,9}(?:user|role|login|group|[\w, ]{2,60}\bto)\s[^;]{0,200}\Z"
    r"|set\s{1,9}password\s[^;\n]{0,80}\Z"
)
_BEFORE = 300
_INSERT = re.compile(
    r"insert\s{1,9}(?:ignore\s{1,9})?into\s{1,9}[\w.`\"\[\]]{1,80}\s{0,9}\(([^()]{1,1000})\)"
    r"\s{0,40}values\s{0,40}"
)
_ROW = re.compile(r"\s*,?\s*\(")
_CELL = re.compile(r"\s*(?:N?'((?:[^'\\\n]|\\.|'')*+)'|\"((?:[^\"\\\n]|\\.)*+)\"|([^,()'\"\n]*+(?:\([^()\n]*+\))?))\s*")
_MOST_ROWS = 2000


def stated_secrets(indexed: IndexedText) -> Iterator[Span]:
    """Passwords in statements of SQL."""
    text, lower, vocabulary = indexed.text, indexed.lower, indexed.vocabulary
    for pattern, word in ((_IDENTIFIED, "identified"), (_PASSWORD, "password")):
        for match in pattern.finditer(lower) if word in vocabulary else ():
            start, end = match.span(match.lastindex or 0)
            value = text[start:end]  # prose may say what something is identified by
            is_certain = pattern is _IDENTIFIED and match[3] is None and " " not in value and not value.isalpha()
            is_of_account = is_certain or _ACCOUNT.search(lower, max(0, match.start() - _BEFORE), match.start())
            if is_of_account and _may_be(value):
                yield Span(start, end, SECRET, "sql-password", "high")
    if "insert " in vocabulary and "values" in vocabulary:
        for match in _INSERT.finditer(lower):
            yield from _in_rows(text, match)


def _in_rows(text: str, insert: re.Match[str]) -> Iterator[Span]:
    columns = [column.strip().strip('`"[]') for column in insert[1].split(",")]
    secret_columns = {index for index, column in enumerate(columns) if suspicion(column) == STRONG}
    position = insert.end()
    for _ in range(_MOST_ROWS if secret_columns else 0):
        row = _ROW.match(text, position)
        if row is None:
            return
        position = row.end()
        for column in range(len(columns)):
            cell = _CELL.match(text, position)
            if cell is None:
                return
            position = cell.end()
            group = cell.lastindex or 0
            value = cell[group] if column in secret_columns and group in (1, 2) else ""
            if len(value) >= 6 and _may_be(value) and is_password(value, quoted=True, in_data=True):
                yield Span(*cell.span(group), SECRET, "sql-password", "high")
            if text[position : position + 1] != ",":
                break
            position += 1
        if text[position : position + 1] != ")":
            return
        position += 1
