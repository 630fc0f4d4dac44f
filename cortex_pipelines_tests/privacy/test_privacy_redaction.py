"""What redaction promises: nothing private left, the same lines, code that parses as before."""

import base64
import string
import sysconfig
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from cortex_pipelines.privacy.detect.findings import Finding
from cortex_pipelines.privacy.detect.scanning import scan_text
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, project_key
from cortex_pipelines.privacy.redaction import RedactedText, redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import PROPERTY_STEPS, load_cases
from cortex_pipelines_tests.privacy.checks import syntax_errors

CASES = load_cases(__file__)

_PEM = "\n".join(["MIIEow7Qk2hT0xVb9ZsN4cRfUjLpYwEa" * 2] * 3)
_KEY_BLOCK = f"-----BEGIN RSA PRIVATE KEY-----\n{_PEM}\n-----END RSA PRIVATE KEY-----"

# Code of six languages with a hole in a string (S), in a comment (C) and in a second string (T).
CODE = CASES["CODE"]
_PLANTED = st.one_of(
    st.text(string.ascii_letters + string.digits, min_size=8, max_size=64),
    st.text(string.ascii_letters + string.digits + "+/=_-.!#%&*@:~", min_size=8, max_size=60),
    st.binary(min_size=12, max_size=40).map(lambda data: base64.b64encode(data).decode()),
    st.from_regex(r"(AKIA|ASIA)[A-Z2-7]{16}", fullmatch=True),
    st.from_regex(r"ghp_[A-Za-z0-9]{36}", fullmatch=True),
    st.from_regex(r"[a-z]{3,9}\.[a-z]{3,9}@[a-z]{4,9}\.(com|de|io)", fullmatch=True),
    st.from_regex(r"postgres://[a-z]{3,8}:[a-zA-Z0-9!]{6,12}@[a-z]{3,8}/db", fullmatch=True),
    st.from_regex(r"(8|93|151)(\.[1-9][0-9]){3}", fullmatch=True),
    st.from_regex(r"Author: [A-Z][a-z]{3,8} [A-Z][a-z]{3,8}", fullmatch=True),
    st.from_regex(r"\+49 [1-9][0-9]{2} [0-9]{6}", fullmatch=True),
    st.from_regex(r"2a0[0-9]:[0-9a-f]{4}:[0-9a-f]{4}::[0-9a-f]{4}", fullmatch=True),
    st.just("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIiwiaWF0IjoxfQ.s1gN4tur3Xy7Kp2Lm9Qw"),
)


def redacted(text: str, settings: PrivacySettings, project: str = "demo", language: str | None = None) -> RedactedText:
    return redact_text(text, "a", language, settings, project_key(project, settings))


def check_promises(text: str, language: str, settings: PrivacySettings) -> RedactedText:
    result = redacted(text, settings, language=language)
    assert result.text.count("\n") == text.count("\n")
    assert scan_text(result.text, "a", settings, language) == []
    assert redacted(result.text, settings, language=language).text is result.text
    assert syntax_errors(result.text, language) <= syntax_errors(text, language)
    lines = result.text.split("\n")
    for redaction in result.redactions:
        if redaction.rule != "private-key":
            assert lines[redaction.line - 1][redaction.start : redaction.end] == redaction.placeholder
    return result


@pytest.mark.parametrize("language", sorted(CODE))
@given(first=_PLANTED, second=_PLANTED, comment=_PLANTED)
@example_settings(max_examples=PROPERTY_STEPS, deadline=None)
def test_redacted_code_parses_and_hides_everything(language, first: str, second: str, comment: str, settings) -> None:
    holes = {'"S"': first, "'S'": first, '"T"': second, "`T`": second, "C\n": f"{comment}\n"}
    text = CODE[language]
    for hole, value in holes.items():
        quote = hole[0] if hole[0] in "\"'`" else ""
        text = text.replace(hole, f"{quote}{value}{quote}")
    check_promises(text, language, settings)


@pytest.mark.parametrize("language", sorted(CODE))
def test_what_is_planted_is_gone(language: str, settings: PrivacySettings) -> None:
    planted = ("Zq8rT3wXy6Lm2Np9Vb4Kc7Hd", "joe.miller@acmecorp.com", "93.184.216.34")
    text = CODE[language].replace('"S"', f'"{planted[0]}"').replace("'S'", f"'{planted[0]}'")
    text = text.replace("C\n", f"{planted[1]}\n").replace("C */", f"{planted[1]} */")
    text = text.replace('"T"', f'"{planted[2]}"').replace("`T/", f"`{planted[2]}/")
    result = check_promises(text, language, settings)
    assert not any(value in result.text for value in planted)
    assert len(result.redactions) >= 3


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", f'KEY = """{_KEY_BLOCK}"""\n'),
        ("python", "KEY = (\n" + "".join(f'    "{x}\\n"\n' for x in _KEY_BLOCK.split("\n")) + ")\n"),
        ("javascript", "const k =\n" + " +\n".join(f"  '{x}\\n'" for x in _KEY_BLOCK.split("\n"))),
        ("go", f"package a\n\nconst k = `{_KEY_BLOCK}`\n"),
        ("java", "class A {\n// " + _KEY_BLOCK.replace("\n", "\n// ") + "\n}\n"),
        ("rust", f'const K: &str = "{_KEY_BLOCK}";\n'),
        ("typescript", "const k = '" + _KEY_BLOCK.replace("\n", "\\n") + "';\n"),
    ],
)
def test_private_keys_keep_their_lines(language: str, text: str, settings: PrivacySettings) -> None:
    result = redacted(text, settings)
    assert [redaction.rule for redaction in result.redactions] == ["private-key"]
    assert result.text.count("\n") == text.count("\n")
    assert "MIIEow7Qk2hT0xVb9" not in result.text
    assert syntax_errors(result.text, language) == syntax_errors(text, language) == 0
    assert scan_text(result.text, "a", settings) == []


def test_real_code_stays_as_it_is_but_for_what_is_private(settings: PrivacySettings) -> None:
    root = Path(sysconfig.get_paths()["stdlib"])
    for file in islice(sorted(root.glob("*.py")), 0, 200, 8):
        text = file.read_text("utf-8")
        result = check_promises(text, "python", settings)
        if not result.redactions:
            assert result.text is text
        compile(result.text, str(file), "exec", dont_inherit=True)


def test_same_value_same_placeholder_in_a_project_and_only_there(settings: PrivacySettings) -> None:
    text = 'a = "ann@acmecorp.com"\nb = "bob2@acmecorp.com"\nc = "ann@acmecorp.com"\n'
    first, second, third = (r.placeholder for r in redacted(text, settings).redactions)
    assert first == third != second
    other = redacted(text, settings, "other").redactions[0].placeholder
    salted = settings.model_copy(update={"salt": "another"})
    assert len({first, other, redacted(text, salted).redactions[0].placeholder}) == 3


def test_places_are_those_of_the_sanitised_text(settings: PrivacySettings) -> None:
    text = 'x = ["ann@acmecorp.com", "93.184.216.34"]\n'
    result = redacted(text, settings)
    mail, address = result.redactions
    assert (mail.line, mail.start, mail.rule) == (1, 6, "email")
    assert result.text[mail.start : mail.end] == result.redactions[0].placeholder
    assert result.text[address.start : address.end] == result.redactions[1].placeholder


def test_a_category_can_be_left_alone(settings: PrivacySettings) -> None:
    text = 'password = "gR8!mNk2xQ"  # ann@acmecorp.com\n'
    only = settings.model_copy(update={"redact": ("secret",)})
    result = redacted(text, only)
    assert "ann@acmecorp.com" in result.text
    assert "gR8" not in result.text
    assert [f.rule for f in scan_text(result.text, "a", settings)] == ["email"]


def test_messages_keep_their_trailers(settings: PrivacySettings) -> None:
    text = "Fix login\n\nSigned-off-by: Grace Hopper <grace@navy.mil>\n"
    result = redacted(text, settings)
    assert result.text.startswith("Fix login\n\nSigned-off-by: redacted-")
    assert "Grace" not in result.text
    assert "navy" not in result.text


def test_pseudonyms_hold_no_name_and_do_not_depend_on_case(settings: PrivacySettings) -> None:
    key = project_key("demo", settings)
    assert author_pseudonym(" Ada@Acme.org", key) == author_pseudonym("ada@acme.org", key)
    assert author_pseudonym("ada@acme.org", key) != author_pseudonym("bea@acme.org", key)
    assert set(author_pseudonym("ada@acme.org", key)) <= set("0123456789abcdef")
    assert isinstance(Finding(1, 0, 1, "secret", "r", "low"), Finding)
