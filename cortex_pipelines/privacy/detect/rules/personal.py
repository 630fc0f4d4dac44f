"""Personal data with a fixed form: mail addresses, IP addresses, phone numbers."""

import ipaddress
import re
from collections.abc import Iterator

from cortex_pipelines.privacy.detect.findings import PERSONAL, Span
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.detect.text.wording import word_set

_USER = re.compile(r"(?<![\w.+%/-])[A-Za-z0-9][\w.+%-]{0,63}\Z", re.ASCII)  # `$` would take a line break
_AUTHORITY = re.compile(r"://[^\s/]*\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,18}(?![\w(@:]|-\w)", re.ASCII)
# Country codes have two letters; longer endings are only those that addresses have in practice, as `a@b.shape` is code.
_ENDINGS = word_set(
    "com org net edu gov mil int info biz name pro coop aero museum jobs mobi travel tel cat asia app dev xyz online "
    "site tech store cloud email live company page blog work works team systems solutions software digital agency "
    "studio design network group global world life health care shop club space today zone center academy consulting "
    "engineering science community foundation"
)
_FILES = word_set("js ts py md rs sh go cc hh mm vb xx ii th nd st")
_NO_MAIL = re.compile(r"(?:^|\.)(?:example(?:\.\w+)?|invalid|test|localhost(?:\.\w+)?)$")
_ROBOT = re.compile(r"no-?reply|do-?not-?reply")
_ROBOT_OR_REMOTE = re.compile(rf"git|hg|svn|{_ROBOT.pattern}")  # in brackets `git@` is a person's
# In documents a made-up user at a made-up domain; either alone may be somebody's.
_ANYBODY = re.compile(
    r"(?:[a-z]|user|username|your[._-]?(?:name|email)|name|email|me|you|someone|somebody|nobody|j(?:oh|a)ne?\.?doe|foo|bar"
    r"|baz|test(?:er|user)?|alice|bob)@(?:(?:your|my)?-?domain|email|company|yourcompany|acme|foo|bar|host|server|[a-z])"
    r"\.\w+"
)
_IPV4 = re.compile(r"[0-9][0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![\w-]|\.\w)")
# What makes four numbers a version or a section instead.
_VERSION = re.compile(
    r"(?i)(?:version|ver|release|v|build|==|>=|<=|~=|\^|[\w-]+/|oid|section|rfc|§"
    r"|(?:bumps?|updates(?= `)) \S{1,80} (?:from \S{1,20} )?(?:from|to))\W{0,4}\Z"
)
# Numbers of an SVG's path.
_DRAWN = re.compile(r"(?=[^A-Za-z]*?(?:[A-Za-z]|\.\d+-))[\dMmLlHhVvCcSsQqTtAaZz\s.,-]{20,40}\Z")
_LEAST_COLONS = 4  # slices of Python (`[0::2]`) have fewer
_COLONS = re.compile(r":[0-9a-fA-F]{0,4}:")
_IPV6_START = re.compile(r"(?<![\w:.])[0-9a-fA-F:]{0,39}\Z")
_IPV6 = re.compile(r"[0-9a-fA-F:]{3,39}(?![\w:])")
_NUMBER = re.compile(r" ([0-9]{1,4})(?= )")
_PHONES = (
    re.compile(
        r"\+[1-9][0-9]{0,2}(?:[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{2,4}|([ .-])(?:\(0\) ?)?[1-9](?=\1))"
        r"(?:[ .-]?[0-9]{2,4}){2,4}(?: ?- ?[0-9]| [0-9](?! ?\w))?(?![\w-]|\.\d)"
    ),
    re.compile(r"\([0-9]{3}\) ?[0-9]{3}-[0-9]{4}(?![\w-]|\.\d)"),
    re.compile(r"[0-9][0-9]{2}-[0-9]{3}-[0-9]{4}(?![\w-]|\.\d)"),
)
_FICTION = re.compile(r"555-?01\d\d$")


def personal_data(indexed: IndexedText) -> Iterator[Span]:
    """Mail addresses, public IP addresses and phone numbers in a text.

    Addresses that belong to nobody are skipped: those reserved for documents, private networks and
    tests (RFC 2606, 5737, 3849, 1918), those of robots, and 555-01xx.
    """
    text = indexed.text
    yield from mail_addresses(text)
    yield from _ipv6(text)
    lengths = {len(number) for number in _NUMBER.findall(indexed.vocabulary)}
    for match in _IPV4.finditer(text) if lengths & {1, 2, 3} else ():
        is_version = _VERSION.search(text, max(0, match.start() - 120), match.start())
        is_number = is_version or _DRAWN.search(text, max(0, match.start() - 40), match.start())
        if _stands_alone(text, match.start()) and _is_public(match[0]) and not is_number:
            yield Span(*match.span(), PERSONAL, "ipv4", "low")
    for pattern in _PHONES if "+" in text or lengths >= {3, 4} else ():
        for match in pattern.finditer(text):
            digits = re.sub(r"\D", "", match[0])
            is_phone = 10 <= len(digits) <= 15 and len(set(digits)) > 3 and not _FICTION.search(match[0])
            if is_phone and _stands_alone(text, match.start()):
                yield Span(*match.span(), PERSONAL, "phone", "medium")


def mail_addresses(text: str) -> Iterator[Span]:
    position = text.find("@")
    while position >= 0:
        host = _HOST.match(text, position + 1)
        user = _USER.search(text, max(0, position - 65), position) if host and position else None
        # not user and password of a URL
        if host and user and not _AUTHORITY.search(text, max(0, user.start() - 80), user.start()):
            name = host[0].lower()
            ending = name.rpartition(".")[2]
            is_bracketed = text[user.start() - 1 : user.start()] == "<" and text[host.end() : host.end() + 1] == ">"
            # git takes the name of a computer, in .local or .lan, for its author's address, too
            is_domain = is_bracketed or ending in _ENDINGS or (len(ending) == 2 and ending not in _FILES)
            robots = _ROBOT if is_bracketed else _ROBOT_OR_REMOTE
            is_made_up = robots.fullmatch(user[0].lower()) or _ANYBODY.fullmatch(f"{user[0].lower()}@{name}")
            if is_domain and not _NO_MAIL.search(name) and not is_made_up:
                yield Span(user.start(), host.end(), PERSONAL, "email", "medium")
        position = text.find("@", host.end() if host else position + 1)


def _ipv6(text: str) -> Iterator[Span]:
    scanned_end = 0
    for colons in _COLONS.finditer(text):
        if colons.start() < scanned_end:
            continue
        start = _IPV6_START.search(text, max(scanned_end, colons.start() - 40), colons.start())
        match = _IPV6.match(text, start.start()) if start else None
        if match is None:
            continue
        scanned_end = match.end()
        if match[0].count(":") >= _LEAST_COLONS and _is_public(match[0]):
            yield Span(*match.span(), PERSONAL, "ipv6", "low")


def _stands_alone(text: str, start: int) -> bool:
    before = text[start - 1 : start]
    return not before or not (before.isalnum() or before in "_.-/+:=")


def _is_public(address: str) -> bool:
    """Whether an IP address is public: not private, reserved, a network address, four digits or one number repeated."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    is_made_up = parsed.version == 4 and (len(address) == len("1.2.3.4") or len(set(address.split("."))) == 1)
    return parsed.is_global and not parsed.is_multicast and not address.endswith((".0", "::")) and not is_made_up
