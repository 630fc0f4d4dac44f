"""Values that are no secrets although they look like some: published, encoded or misshapen ones."""

import hashlib
import re
from functools import lru_cache
from importlib import resources

from cortex_pipelines.privacy.detect.tokens.checksums import decoded
from cortex_pipelines.privacy.detect.values import is_default, is_sample

_LINES = resources.files(__package__).joinpath("published_examples.txt").read_text("utf-8").splitlines()
_PUBLISHED = frozenset(line for line in _LINES if not line.startswith("#"))
_BASE64 = re.compile(r"[A-Za-z0-9+/]{6,60}={0,2}")
# What only Telegram's tokens look like, and their exact form: with one character more or less it was
# typed. And groups that are repeated: 1234-1234-1234-.
_TELEGRAM = re.compile(r"\"?\w*:A[\w-]{20,60}\"?")
_TELEGRAM_TOKEN = re.compile(r"[0-9]{5,16}:A[\w-]{34}")
_REPEATED = re.compile(r"(?<!\d)(\d{3,8})[-_.](?:\1[-_.]){2}")
_ACCOUNTS = ("", "admin", "root", "guest")  # passwords that devices and servers are delivered with


@lru_cache(maxsize=1 << 12)
def is_example(value: str) -> bool:
    """Whether a value is a published example, encodes a sample, or misses its provider's form."""
    if hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()[:16] in _PUBLISHED or _encodes_sample(value):
        return True
    is_near_miss = _TELEGRAM.fullmatch(value) is not None and not _TELEGRAM_TOKEN.fullmatch(value)
    return is_near_miss or _REPEATED.search(value) is not None


def _encodes_sample(value: str) -> bool:
    """Whether a value is base64 of a sample, or of a user with a password that stands for one."""
    data = decoded(value) if _BASE64.fullmatch(value) else None
    if not data or not all(32 <= byte < 127 for byte in data):
        return False
    text = data.decode()
    _, colon, password = text.partition(":")
    if not colon:
        return is_sample(text)
    return password not in _ACCOUNTS and is_default(password.replace(" ", ""))
