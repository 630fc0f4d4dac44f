"""Suspicious names: the configured filter words within identifiers."""

import re
from functools import lru_cache

from cortex_pipelines.privacy.detect.text.wording import subwords, word_set

STRONG = 2
WEAK = 1
NONE = 0

SUSPECT = re.compile(
    r"p(?:as|sk|wd|s+w|w|riv)|s(?:ecre|alt|enha|ess(?:ion|id)|as)|tok|key|a(?:uth|pi)|c(?:red|ookie|ontras)|"
    r"bear|dsn|log|webh|licen"
)
"""Substrings, in lower case, without which a name is not examined."""

_SECRETS = word_set(
    "password passwd passwort passwrd passwords pswd psw pwd pw pass passphrase passcode secret secrets token tokens "
    "apikey apitoken accesskey secretkey authkey authtoken privatekey appsecret clientsecret accesstoken credential "
    "credentials cred creds bearer authorization contrasena senha secrete passw psswrd passwd1 masterkey signingkey "
    "licensekey psk requirepass masterauth storepass keypass bindpw rootpw userpass dbpass sshpass storepassword"
)
_KEYS = frozenset(["key", "keys"])
# What makes a key one that opens something.
_OPENING = word_set(
    "api access secret private auth encryption encrypt signing sign master account shared license service application "
    "app client consumer admin subscription storage hmac jwt aes ssh rsa security deploy webhook project server "
    "instrumentation integration crypto cipher decryption developer dev oauth authorization user rest ingest write "
    "cert ssl tls production prod live"
)
_WEAK = word_set(
    "auth authentication salt sas api login cookie session dsn webhook nonce sessionid sessid phpsessid jsessionid"
)
# A name that ends so holds something about the secret, not the secret.
_ABOUT = word_set(
    "rate ratio score percent through name names id ids url uri urls path paths file files filename dir folder field "
    "fields label type types size length len count counts index idx placeholder hint prompt message msg error errors "
    "regex pattern format expiry expires expiration expire ttl timeout policy reset form input column endpoint host "
    "alias algorithm alg version prefix suffix header headers param params parameter class event press down up board "
    "frame ring pair word words store vault manager provider providers handler callback validator generator location "
    "ref reference arn digest fingerprint signature title description desc usage scope scopes issuer audience required "
    "enabled disabled valid invalid missing exists env var variable list map dict set array object mode method flow "
    "source kind state status page link selector mesh stone storetype code codes spec template request response dialog "
    "button icon text limit max min number num bits strength rotation age date time at on by is has attempts rule "
    "rules config settings option options schema table model view service helper util utils test tests exception "
    "change changed confirm confirmation check checker checksum rounds iterations bytes width height columns tab tabs"
)
# A key or token that these describe opens nothing.
_HARMLESS = word_set(
    "public pub primary foreign sort partition cache hot translation next page pagination cancellation cancel "
    "continuation bucket natural schema sequence index idx map group lookup dict object hash range row column unique "
    "composite candidate join csrf xsrf authenticity antiforgery parser lexer syntax first last current prev previous "
    "start end eof left right up down arrow enter escape tab shift ctrl home delete space idempotency routing message "
    "event item entry json yaml config setting settings option metadata attribute query sample unknown word stop "
    "special pad mask eos bos sep cls unk registry locale i18n trans issuer data field label menu node state count num "
    "max min accelerator shortcut hotkey keyboard key random"
)
_COMPARED = word_set("expected actual want wanted got")  # a key that a test compares is one of a cache or a table
# Names of values that are not secrets, on purpose.
_DISCLAIMED = word_set(
    "non not no invalid wrong bad fake dummy mock bogus example sample mismatched incorrect malformed placeholder stub"
)
_COMPOUND = re.compile(
    r"(api|access|secret|private|auth|client|master|signing|license|encryption|db|database|user|"
    r"admin|root|my|app|consumer|account|oauth|jwt|bot|personal|deploy|service|ssh|new|old|vault|"
    r"mysql|postgres|redis|mongo|smtp|mail|ftp|web|the|session|shared|wifi|sql|login)"
    r"(password|passwd|passw|pass|pwd|secret|token|key|creds|cred|pw)(s?)"
)


_TAIL = re.compile(r"(?:password|passwd|passphrase|secret|apikey)s?$")
_MISSPELT = re.compile(r"p(?:a?s{1,3})w(?:or|r|o)?[dt]?s?")


@lru_cache(maxsize=1 << 16)
def suspicion(name: str) -> int:
    """How strongly an identifier suggests a secret: `STRONG`, `WEAK` or `NONE`.

    The last word for a secret counts; the words after it must not describe an attribute of it
    (``token_url``), the word before it must not make it harmless (``primary_key``).
    """
    words: list[str] = []
    for subword in subwords(name):
        lower = subword.lower()
        compound = _COMPOUND.fullmatch(lower)
        tail = None if compound else _TAIL.search(lower)
        if compound:
            words += compound.groups()[:2]
        elif tail and tail.start():
            words += (lower[: tail.start()], tail[0])
        else:
            words.append(lower)
    for index in range(len(words) - 1, -1, -1):
        strength = _strength(words, index)
        if strength:
            is_attribute = any(word in _ABOUT or word[:-1] in _ABOUT for word in words[index + 1 :])
            return NONE if is_attribute or not _DISCLAIMED.isdisjoint(words[:index]) else strength
    return NONE


def _strength(words: list[str], index: int) -> int:
    word = words[index]
    before = words[index - 1] if index else ""
    if word in _KEYS:
        if before in _HARMLESS or before in _COMPARED:
            return NONE
        return STRONG if before in _OPENING else WEAK
    if word in _SECRETS or _MISSPELT.fullmatch(word):
        is_password = word.startswith(("passw", "passph", "pwd"))
        return NONE if before in _HARMLESS and not is_password else STRONG
    return WEAK if word in _WEAK else NONE
