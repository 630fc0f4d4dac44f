"""Lines with secrets in them, and lines that only look so; all values are made up."""

import base64
import json
import re
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.privacy.detect import names
from cortex_pipelines.privacy.detect.findings import Finding
from cortex_pipelines.privacy.detect.scanning import scan_text, spans_of
from cortex_pipelines.privacy.detect.text.indexed_text import IndexedText
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

_SHORT = "kT9x2QvLw8Zr4Ns6"
_LONG = "9fQx27LmZt0RbY4kWc8VsJ1pHd6NgE3u"
_PEM = "\n".join(["MIIEow7Qk2hT0xVb9ZsN4cRfUjLpYwEa" * 2] * 3)


def token(header: dict[str, str]) -> str:
    parts = (json.dumps(part).encode() for part in (header, {"sub": "someone", "iat": 17}))
    encoded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "s1gN4tur3_Xy7Kp2Lm9Qw"])


SECRETS = [
    *CASES["SECRETS"],
    "Authorization: Basic " + base64.b64encode(b"deploy:gR8!mNk2").decode(),
    f'"-----BEGIN PRIVATE KEY-----\\n{_PEM.splitlines()[0]}\\n-----END PRIVATE KEY-----\\n"',
    token({"alg": "HS256", "typ": "JWT"}),
]
HARMLESS = [*CASES["HARMLESS"], "-----BEGIN CERTIFICATE-----\n" + _PEM]


@pytest.mark.parametrize("line", SECRETS)
def test_secrets_are_found(line: str, settings: PrivacySettings) -> None:
    assert [s.rule for s in spans_of(line, "a.txt", settings) if s.category == "secret"]


@pytest.mark.parametrize("line", HARMLESS)
def test_what_only_looks_so_is_not(line: str, settings: PrivacySettings) -> None:
    assert [s.rule for s in spans_of(line, "a.txt", settings) if s.category == "secret"] == []


def test_a_finding_says_where_but_not_what(settings: PrivacySettings) -> None:
    text = f'ключ = 1\n\tpassword = "{_SHORT}"\n'
    findings = scan_text(text, "a.py", settings)
    assert findings == [Finding(2, 13, 13 + len(_SHORT), "secret", "password", "high")]
    line = text.split("\n")[1]
    assert line[findings[0].start : findings[0].end] == _SHORT


def test_a_token_whose_header_is_no_json_object_is_none(settings: PrivacySettings) -> None:
    assert spans_of(token({"alg": "none"}), "a", settings)
    broken = token({"alg": "none"}).replace("eyJ", "eyK", 1)
    assert spans_of(broken, "a", settings) == []


def test_allowed_values_are_no_findings(settings: PrivacySettings) -> None:
    line = f'api_key = "{_LONG}"'
    allowed = settings.model_copy(update={"allowed": (_LONG[:8] + ".*",)})
    assert spans_of(line, "a", settings)
    assert spans_of(line, "a", allowed) == []


def test_capitals_whose_lower_form_is_longer_do_not_shift_places(settings: PrivacySettings) -> None:
    text = f'İİİ password = "{_SHORT}"'
    (span,) = spans_of(text, "a", settings)
    assert text[span.start : span.end] == _SHORT


@pytest.mark.parametrize(
    "unit",
    [
        *("a", '"', "\\", "@", "a@b.", "1.1.", "::", "://a:", "\ud800", "\0", "{{", "${", "|"),
        *("password=", 'password="', "key=key=", "curl -u ", "author ", "copyright 1111 ", "-us"),
        *("-----BEGIN PRIVATE KEY-----\n", "token: \t", "<secret>", "ghp_", "eyJ", "sk-", "(c) "),
        *("insert into a (password) values (", "password='a' + ", "<password><value>", "mysql -p"),
        *("create user password '", "$6$a", "\x1b[", "getConnection(a,'", "password: |\n "),
    ],
)
def test_hostile_text_is_read_to_its_end(unit: str, settings: PrivacySettings) -> None:
    text = unit * (6_000 // len(unit)) + f'\npassword = "{_SHORT}"\n'
    assert any(text[s.start : s.end] == _SHORT for s in spans_of(text, "a", settings))


def test_a_wrong_checksum_lowers_the_severity(settings: PrivacySettings) -> None:
    body = "kT9x2QvLw8Zr4Ns6Hb3Yc7Jd1Pf5Mg"
    number, digits = zlib.crc32(body.encode()), ""
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = alphabet[digit] + digits
    for prefix in ("ghp_", "npm_"):
        right, wrong = f"{prefix}{body}{digits}", f"{prefix}{body}A1b2C3"
        assert [s.severity for s in spans_of(right, "a", settings)] == ["high"]
        assert [s.severity for s in spans_of(wrong, "a", settings)] == ["medium"]


@pytest.mark.parametrize("token", CASES["a_typed_token_of_a_certain_format_is_reported"])
def test_a_typed_token_of_a_certain_format_is_reported(token: str, settings: PrivacySettings) -> None:
    assert [span.severity for span in spans_of(token, "a.txt", settings)] == ["low"]
    head = token[: token.rfind("_") + 1 or 11]
    assert spans_of(head + "x" * (len(token) - len(head)), "a.txt", settings) == []


@pytest.mark.parametrize(("name", "text"), CASES["a_name_behind_escapes_is_seen"])
def test_a_name_behind_escapes_is_seen(name: str, text: str, settings: PrivacySettings) -> None:
    assert [span.category for span in spans_of(text, name, settings)] == ["secret"]


@given(st.text("pasword_keytApi.-$ \n='", max_size=60))
def test_suspicious_names_have_suspicious_words(text: str) -> None:
    indexed = IndexedText(text)
    for name in re.findall(r"[\w$.-]+", text):
        if names.suspicion(name):
            assert indexed.suspicious_words
            assert indexed.suspects
