"""Decide whether a value may be a secret: not a reference, sample, word or hash."""

import re
from functools import lru_cache
from itertools import pairwise
from unicodedata import category

from cortex_pipelines.privacy.detect.text.wording import entropy, is_lexical, lexical_share, subwords, word_set

PLACEHOLDER = re.compile(r"REDACTED_[A-Z0-9_]+_[0-9a-f]{8}|redacted-[0-9a-f]{8}")
"""Placeholder of a redacted value."""

_REFERENCE = re.compile(
    r"""
      \$\{[\w.:?@!/, -]*\} | ^\$\{\w+:?\? | \$\{(?:\(\w+\)|\w+\[)  # the last two of zsh
    | \$\([^)]*\) | \$[A-Za-z_]\w*$ | ^\$[A-Za-z_] | ^\$\$?\w+$
    | \{\{[\s\w.$|:"'()/-]*(?:\}\}|$) | <%|%>                       # mustache, erb
    | \#\{[^}]*\} | ^\{[\w.:!]*\}$ | (?<!\{)\{[a-zA-Z_][\w.]*\} | \{\d?\}  # format strings
    | %\(\w+\)[sdr] | ^%[sdvq]$ | ^%\w+%$ | %[sdv]\b | ^@\w+@$
    | ^<[^>]*>?$ | <[\w\s./_-]+>$ | ^\[[\w\s-]+\]$ | ^&lt; | ^__\w+__$
    | ^[A-Za-z_][\w.:>-]*\(.*\)?;?$ | ^\w+\[.*\]?$ | ^\w+(?:->|::)\w     # calls, items
    | ^(?:process\.env|os\.environ|env|secrets|vars?|self|this|config|settings|data|local)\.\w
    | ^(?:function|lambda|new|await|return|async)\b | =>
    | ^!?\w+\s*(?:\|\||&&)
    """,
    re.VERBOSE,
)
_SAMPLE = re.compile(
    r"""
      (?:x{4,}|X{4,}|\*{3,}|\.{3,}|\#{4,}|-{4,}|_{4,}|0{7,}|1{7,}|\?{4,}|…|•)
    | ^[xX*.?#_-]+$ | ^(.)\1+$
    | (?i:example|placeholder|changeme|change[-_ ]?(?:this|me|it)|redacted|replace|dummy|fake|
      your[-_ ]?|insert|sample|invalid|foobar|lorem|todo|fixme|not[-_ ]?(?:real|set|used|a)|
      no[-_ ]?(?:pass|secret|token|key)|goes[-_ ]?here|put[-_ ]|enter[-_ ]|fill[-_ ]|some[-_ ]|
      any[-_ ]|(?:my|the)[-_ ](?:secret|pass|api|token|key)|mysecret|mypass|secret[-_]?key$|
      (?:^|[^a-z])test[-_ ]?(?:key|token|secret|password|pass|pwd|user|api|value|ing)|^test\d*$|
      \btbd\b)
    """,
    re.VERBOSE,
)
_LITERALS = word_set(
    "null none nil undefined true false yes no empty unknown default disabled enabled required optional string number "
    "boolean object any password passwd secret token key apikey value username user admin root guest hidden masked "
    "encrypted plain text bearer basic digest on off n/a na void"
)
_NAMED_SO = re.compile(r"[a-z][-_. ](?:password|passphrase|passwd|secret|token)$")
_DEFAULTS = word_set(
    "password pass passwd pwd secret user username admin root guest test postgres mysql redis token key foo bar baz "
    "tiger admin123 pass123 password1 passw0rd p4ssword p@ssw0rd changeit devpassword testpass mypassword mypass "
    "userpass secretpassword somepassword passwort wachtwoord contrasena senha heslo haslo parola salasana lozinka "
    "adgangskode passord jelszo required confirmed hashed bcrypt argon2 scram sensitive expired reset changed prompt "
    "repo scope prefix opensesame sesame plaintext external trust ldap kerberos keyring keychain vault environment "
    "stdin nullable text"
)
# A word of these with a number is a name or a sample, also where settings are given.
_COMMON_STEM = re.compile(
    r"(?i)(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|user|login|auth|test|foo|bar|baz|value|val|"
    r"str|string|int|input|arg|param|field|item|type|data|name|text|label|sha|md|base|utf|oauth|http|"
    r"https|x|rsa|ed|aes|des|hmac|bcrypt|pbkdf|scrypt|argon|bearer|version|v|step|page|option|id|"
    r"python|py|node|web|api|app|node|host|server|client|config|env|default|sample|example|abc|a|b|c|"
    r"one|two|line|col|column|row|part|tmp|temp|max|min|var|level|section|chapter|table|test-?\w+)"
    r"[-_.]?\d{0,4}"
)
_ALGORITHM = re.compile(r"(?i)(?:(?:hmac|pbkdf2|rsa|ecdsa|ssha|scram)[-_]?)*(?:sha|md|aes)[-_]?\d{1,4}")
_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]+")
_ENDINGS = (
    "py js ts tsx json yaml yml xml html htm txt md pem key crt cer p12 pfx jks keystore keytab "
    "java go rs c h cpp php rb sh css png jpg jpeg svg conf cfg ini properties lock toml log csv "
    "db sql zip jar gz exe dll so com org net io"
)
_PATH = re.compile(
    r"^(?:[.~]{0,2}/|[A-Za-z]:[\\/]|file:|https?://|www\.|//)|^[\w.-]+(?:/[\w.#:-]+)+/?$"
    rf"|\.(?:{'|'.join(_ENDINGS.split())})$"
)
_VERSION = re.compile(r"^v?\d+(?:\.\d+)+(?:[-_.+][\w.-]*|[a-z]+\d*)?$|SNAPSHOT", re.IGNORECASE)
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}|^\d{1,2}[:/]\d{2}")
_INTEGRITY = re.compile(r"^sha(?:1|256|384|512)-[A-Za-z0-9+/]+=*$")  # of a package that anyone may download
_CONSTANT = re.compile(r"^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*$")
_DOTTED = re.compile(r"^[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)+$")
_RUNS = ("0123456789abcdefghijklmnopqrstuvwxyz", "90", "qwertyuiop", "asdfghjkl")
_PATTERN = re.compile(
    r"\[\^|\[[^\]\s]*(?:\w-\w|\\)[^\]\s]*\]|\[[\w|()?.+-]{1,20}\][*+?{)|]|\\[dwsbDWSB](?![A-Za-z]{3})"
    r"|\w\|\w+\|\w|\(\?[:=!<iP]|\.[*+][?)(\[$\\]|\w\?\|\w"
)
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+){2,}")
_ODD = frozenset("!#$%&()*+,;<=>?@[]^{|}~")
_NOT_IN_CODE = frozenset("!#$%^&*?@~")
_NUMBERED_WORD = re.compile(r"^[A-Za-z]+(?:[-_.][A-Za-z]+)*[-_.]?\d{0,2}$")
_CHOSEN_WORD = re.compile(r"[A-Za-z](?:[a-z]*|[A-Z]*)(?:[-_!@#$%&*+.][A-Za-z]*){0,4}")
_ALPHABET = 16
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_GUARDS = str.maketrans("", "", "-_. ")


def is_reference(value: str) -> bool:
    """Whether a value refers to another: a variable, template, call or format."""
    return _REFERENCE.search(value.strip("'\"")) is not None


def is_sample(value: str) -> bool:
    """Whether a value is a sample or dummy, or most of it a sequence on the keyboard or in the alphabet."""
    if is_masked(value):
        return True
    longest = longest_run(value)
    return longest * 2 > len(value.translate(_GUARDS)) or longest >= _ALPHABET


def is_masked(value: str) -> bool:
    """Whether a value is marked as not secret: by words, crosses or a literal."""
    return _SAMPLE.search(value) is not None or value.lower().rstrip("?") in _LITERALS


def is_default(value: str) -> bool:
    """Whether a value is a word that stands for a password: ``password``, Oracle's ``tiger``."""
    lower = value.lower()
    return lower in _DEFAULTS or len(set(lower)) <= 2 or _NAMED_SO.search(lower) is not None


def is_pattern(value: str) -> bool:
    """Whether a value is a regular expression: it has classes, groups or repeated dots."""
    return _PATTERN.search(value) is not None


def is_identifier(value: str) -> bool:
    """Whether a value is a name of three or more words: ``set1_master_key``."""
    return _IDENTIFIER.fullmatch(value) is not None and lexical_share(value) >= 0.6


def longest_run(value: str) -> int:
    """Length of the longest keyboard or alphabet sequence, in characters."""
    longest, step, size = 1, 0, 1
    for first, second in pairwise(value.lower().translate(_GUARDS)):
        by = _STEPS.get(first + second, 0)
        if by and by == step:
            size += 1
        else:
            size = 2 if by else 1
        longest, step = max(longest, size), by
    return longest


_STEPS: dict[str, int] = {}
for _number, _run in enumerate(_RUNS, 1):
    for _first, _second in pairwise(_run):
        _STEPS.setdefault(_first + _second, _number)
        _STEPS.setdefault(_second + _first, -_number)


def is_drawn(value: str) -> bool:
    """Whether a value of a known shape looks random rather than typed."""
    if entropy(value) < 2.5:
        return False
    return _HEX.fullmatch(value.replace(":", "")) is not None or lexical_share(value) < 0.6


@lru_cache(maxsize=1 << 14)
def is_random(value: str) -> bool:
    """Whether a value looks random: few words for its length, varied characters."""
    size = sum(map(str.isalnum, value))
    if size < 8 or entropy(value) < 2.5 or _is_wording(value):
        return False
    if _HEX.fullmatch(value):
        return size >= 16 and not value.isdigit() and entropy(value) >= 2.9
    parts = subwords(value)
    if len(parts) == 1:
        return size >= 10 and parts[0].isalpha() and not is_lexical(parts[0])
    return lexical_share(value) < 0.5 and _kinds(value) >= 2


def _is_wording(value: str) -> bool:
    """Whether a value is text in another language, whose words `is_lexical` does not know."""
    if " " in value and not value.isascii():
        return True
    if " " not in value and value.isascii():
        return False
    is_mixed = any(map(str.isdigit, value)) or any(a.islower() and b.isupper() for a, b in pairwise(value))
    return not is_mixed or is_unspaced(value)


def is_unspaced(value: str) -> bool:
    """Whether a value is mostly of a script that does not divide words, as Chinese."""
    return sum(category(character) == "Lo" for character in value) * 2 > len(value)


def is_escaped_text(value: str, shortest: int) -> bool:
    r"""Whether a value such as ``\u5e15\u52b3`` stands for a word: its script has no spaces, or the word is shorter
    than ``shortest``.
    """
    written = _ESCAPE.sub(lambda code: chr(int(code[1], 16)), value)
    return written != value and (len(written) < shortest or is_unspaced(written))


def _kinds(value: str) -> int:
    """How many of digits, capitals and small letters a value has."""
    return sum(any(map(kind, value)) for kind in (str.isdigit, str.isupper, str.islower))


def is_mixed(value: str) -> bool:
    """Whether a value may be part of a random one: digits, capitals and small letters."""
    return _kinds(value) == 3 and lexical_share(value) < 0.5


def is_strong_secret(value: str) -> bool:
    """Whether a value may be a key or token: random, long enough, and not a path, version, date or words."""
    if len(value) < 10 or not is_random(value):
        return False
    share = lexical_share(value)
    if _VERSION.search(value) or _DATE.match(value) or _INTEGRITY.match(value) or share > 0.6:
        return False
    is_base64 = "/" in value and "." not in value and len(value) >= 24 and share < 0.4
    if (_PATH.search(value) and not is_base64) or (_DOTTED.match(value) and share > 0.5):
        return False
    return not _is_constant(value)


def is_garbled(value: str, quoted: bool) -> bool:
    """Whether a value mixes too many kinds of symbols to be words or code."""
    odd = set(value) & _ODD
    needed = 3 if quoted else 5
    return len(value) >= 12 and " " not in value and len(odd) >= needed and bool(odd & _NOT_IN_CODE)


def is_password(value: str, quoted: bool, in_data: bool = False) -> bool:
    """Whether a value may be a password that a person chose."""
    if len(value) < 6 or " " in value or (value.isdigit() and not quoted):
        return False
    if _PATH.search(value) or _VERSION.search(value) or _DATE.match(value) or _is_constant(value):
        return False
    if not any(map(str.isalpha, value)) or _ALGORITHM.fullmatch(value):
        return False
    if is_unspaced(value):
        return False
    digits = any(map(str.isdigit, value))
    if digits or any(not c.isalnum() and c not in "-_. :/" for c in value):
        dotted = _DOTTED.match(value) is not None and lexical_share(value) > 0.7
        if in_data and digits and not dotted:
            return _COMMON_STEM.fullmatch(value) is None
        is_numbered_word = _NUMBERED_WORD.match(value) is not None and lexical_share(value) >= 0.6
        return not dotted and not is_numbered_word
    return is_random(value)


def is_chosen_word(value: str) -> bool:
    """Whether a value may be a password without digits: one word, or some with hyphens."""
    if not 6 <= len(value) <= 40 or _CHOSEN_WORD.fullmatch(value) is None:
        return False
    if value.lower().endswith(("password", "passwd", "secret", "token")):
        return False
    return _COMMON_STEM.fullmatch(value) is None and not is_default(value)


def _is_constant(value: str) -> bool:
    return "_" in value and len(value) < 40 and _CONSTANT.match(value) is not None
