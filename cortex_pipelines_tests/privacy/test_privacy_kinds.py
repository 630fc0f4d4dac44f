"""Secrets where they stand: in code by its syntax, settings, commands and statements; personal data; all made up."""

import base64
import hashlib
import random
import string
from pathlib import PurePosixPath
from unittest.mock import patch

import pytest

from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.named_values import NamedValue, judge_named_values
from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.detect.values import is_strong_secret
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.syntax.grammars import parse_counted
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.privacy.conftest import secrets_in, syntax_errors

CASES = load_cases(__file__)
_DRAWN = "kT9x2QvLw8Zr4Ns6"
_LONG = "9fQx27LmZt0RbY4kWc8VsJ1pHd6NgE3u"
HARMLESS = [*CASES["HARMLESS"], ("a.txt", "AIza" + "SyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe")]


@pytest.mark.parametrize(("path", "text"), CASES["SECRETS"])
def test_what_is_set_is_found_and_gone_after_one_redaction(path: str, text: str, settings: PrivacySettings) -> None:
    assert secrets_in(path, text, settings)
    redacted = redact_text(text, path, None, settings, b"k" * 16).text
    assert redacted.count("\n") == text.count("\n")
    assert spans_of(redacted, path, settings) == []


@pytest.mark.parametrize(("path", "text"), HARMLESS)
def test_names_and_samples_are_not(path: str, text: str, settings: PrivacySettings) -> None:
    assert secrets_in(path, text, settings) == []


def test_every_literal_of_a_split_secret_is_found(settings: PrivacySettings) -> None:
    parts = [_LONG[:9], _LONG[9:20], _LONG[20:]]
    assert secrets_in("a.js", "const apiKey = '" + "' +\n  '".join(parts) + "';", settings) == parts


@pytest.mark.parametrize(("path", "form"), CASES["every_line_of_a_key_without_a_frame_is_found"])
def test_every_line_of_a_key_without_a_frame_is_found(path: str, form: str, settings: PrivacySettings) -> None:
    digests = (hashlib.sha384(str(number).encode()).digest() for number in range(4))
    lines = [base64.b64encode(digest).decode() for digest in digests]
    lines.append(lines[0][:11] + "=")
    assert secrets_in(path, form.format("\n  ".join(lines)), settings) == lines


@pytest.mark.parametrize("value", ["mR7kw&Tv9", "mR7kw,Tv9+x;Lq2!"])
def test_a_bare_password_ends_with_its_line_where_only_settings_are(value: str, settings: PrivacySettings) -> None:
    assert secrets_in("a.env", f"DB_PASSWORD={value}\n", settings) == [value]
    assert secrets_in("a.properties", f"db.password: {value}\n", settings) == [value]


def test_signs_end_a_value_and_a_word_with_a_number_is_a_password_in_settings(settings: PrivacySettings) -> None:
    assert secrets_in("a.sh", "DB_PASSWORD=mR7kwTv9&start\n", settings) == ["mR7kwTv9"]
    assert secrets_in("a.conf", "password_encryption = md5,sha256\n", settings) == []
    assert secrets_in("a.env", "password=mR7kwTv9&user=kim\n", settings) == ["mR7kwTv9"]
    assert secrets_in("a.py", "password = harbour42", settings) == []
    assert secrets_in("a.ini", "password = harbour42", settings) == ["harbour42"]


def test_every_row_that_is_inserted_is_looked_at(settings: PrivacySettings) -> None:
    rows = ", ".join(f"({number}, 'it''s (x), y', 'walrus7{number}')" for number in range(9))
    text = f"INSERT INTO users (id, note, password) VALUES {rows};"
    assert secrets_in("a.sql", text, settings) == [f"walrus7{number}" for number in range(9)]


@pytest.mark.parametrize(("text", "rule", "value"), CASES["PERSONAL"])
def test_personal_data_is_found(text: str, rule: str, value: str, settings: PrivacySettings) -> None:
    assert (rule, value) in [(s.rule, text[s.start : s.end]) for s in spans_of(text, "a", settings)]


@pytest.mark.parametrize("value", CASES["A_HASH_WITH_ITS_SALT"])
def test_a_hash_is_found_with_its_salt(value: str, settings: PrivacySettings) -> None:
    assert secrets_in("a.py", f'x = "{value}"', settings) == [value]


@pytest.mark.parametrize("text", CASES["OF_NOBODY"])
def test_what_belongs_to_nobody_is_passed_over(text: str, settings: PrivacySettings) -> None:
    assert spans_of(text, "a", settings) == []


@pytest.mark.parametrize(
    ("name", "value", "in_code", "in_settings"), CASES["a_value_is_judged_by_its_name_and_where_it_stands"]
)
def test_a_value_is_judged_by_its_name_and_where_it_stands(name, value: str, in_code, in_settings, settings) -> None:
    values = [NamedValue(name, value, 0, len(value), quoted=True)]
    assert bool(list(judge_named_values(values, False, settings))) is in_code
    assert bool(list(judge_named_values(values, True, settings))) is in_settings


def test_each_part_of_a_value_is_a_span_without_the_scheme(settings: PrivacySettings) -> None:
    value = NamedValue("authToken", f"Bearer {_DRAWN}", 10, 44, quoted=True, parts=((10, 25), (36, 44)))
    assert list(judge_named_values([value], False, settings)) == [
        Span(17, 25, SECRET, "assigned-secret", "high"),
        Span(36, 44, SECRET, "assigned-secret", "high"),
    ]
    value = NamedValue("token", f"Bearer {_DRAWN}", 1, 30, quoted=True, parts=((1, 8), (12, 28)))
    assert list(judge_named_values([value], False, settings)) == [Span(12, 28, SECRET, "assigned-secret", "high")]


_CHOSEN = "harbour42#x"
_GENERATED = "kT9x2QvLw8Zr4Ns6Hb3Yc7Jd"


def _generated(seed: object) -> str:
    """A random value that has no words in it, nor in its halves."""
    letters = random.Random(str(seed))
    while True:
        value = "".join(letters.choices(string.ascii_letters + string.digits, k=24))
        if all(map(is_strong_secret, (value, value[:12], value[12:]))):
            return value


def _forms() -> list[tuple[str, str]]:
    return [
        (path, frame.replace("{}", line.replace("<<triple>>", '"' * 3).replace("\\n", "\n")))
        for kind, (path, frame) in CASES["FRAMES"].items()
        for line in CASES["FORMS"][kind].splitlines()
    ]


@pytest.mark.parametrize(("path", "form"), _forms())
def test_a_literal_is_found_and_redacted_in_every_form(path: str, form: str, settings: PrivacySettings) -> None:
    value = _generated(form)
    parts = [value[:12], value[12:]] if "%h" in form else [value]
    text = form.replace("%h", value[:12]).replace("%t", value[12:]).replace("%", value)
    assert secrets_in(path, text, settings) == parts
    redacted = redact_text(text, path, None, settings, b"k" * 16).text
    language = CASES["_LANGUAGES"][PurePosixPath(path).suffix]
    assert not any(part in redacted for part in parts)
    assert redacted.count("\n") == text.count("\n")
    assert syntax_errors(redacted, language, path) <= syntax_errors(text, language, path)


@pytest.mark.parametrize(("path", "text"), CASES["so_is_a_password_that_a_person_chose"])
def test_so_is_a_password_that_a_person_chose(path: str, text: str, settings: PrivacySettings) -> None:
    assert _CHOSEN in "".join(secrets_in(path, text.replace("%", _CHOSEN), settings))


@pytest.mark.parametrize(("path", "text"), CASES["a_literal_that_does_not_reach_the_name_is_not"])
def test_a_literal_that_does_not_reach_the_name_is_not(path: str, text: str, settings: PrivacySettings) -> None:
    assert secrets_in(path, text, settings) == []


@pytest.mark.parametrize("before", ["", "# 🔑 ключ\n", "x = 1\r\n", "s = '\U0001f511' * 2\r\n"])
def test_spans_are_exact_behind_any_characters(before: str, settings: PrivacySettings) -> None:
    assert secrets_in("a.py", f'{before}api_key = str("{_GENERATED}") or "é"\r\n', settings) == [_GENERATED]


@pytest.mark.parametrize("escaped", [_GENERATED + "\\x41\\u0042", "\\103" + _GENERATED, _GENERATED + "\\n"])
def test_escapes_belong_to_the_span(escaped: str, settings: PrivacySettings) -> None:
    assert secrets_in("a.py", f'api_key = str("{escaped}")', settings) == [escaped]


@pytest.mark.parametrize(("path", "filler", "form"), CASES["far_from_the_beginning_of_a_large_text"])
def test_far_from_the_beginning_of_a_large_text(path: str, filler: str, form: str, settings: PrivacySettings) -> None:
    assert secrets_in(path, filler * 1_000 + form.format(_GENERATED) + filler * 1_000, settings) == [_GENERATED]


def test_text_of_secrets_is_parsed_a_few_times_at_most(settings: PrivacySettings) -> None:
    lines = [f'api_key_{number} = str("{_generated(number)}")\n' for number in range(500)]
    text = "".join(lines)
    with patch("cortex_pipelines.privacy.detect.code.tree.parse_counted", wraps=parse_counted) as parser:
        assert len(secrets_in("a.py", text, settings)) == len(lines)
    assert sum(len(call.args[0]) for call in parser.call_args_list) <= 3 * len(text)
