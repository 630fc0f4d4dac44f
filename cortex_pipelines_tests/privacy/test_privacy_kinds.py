"""Secrets in the files of settings, command lines, statements and literals where they stand.

All values are made up; a passphrase of plain words is what a person chooses.
"""

import base64
import hashlib

import pytest

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.privacy.checks import secrets_in

CASES = load_cases(__file__)

_LONG = "9fQx27LmZt0RbY4kWc8VsJ1pHd6NgE3u"

SECRETS = CASES["SECRETS"]
HARMLESS = [*CASES["HARMLESS"], ("a.txt", "AIza" + "SyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe")]


@pytest.mark.parametrize(("path", "text"), SECRETS)
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
    text = "const apiKey = '" + "' +\n  '".join(parts) + "';"
    assert secrets_in("a.js", text, settings) == parts


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


def test_signs_of_the_shell_of_lists_and_of_queries_end_it(settings: PrivacySettings) -> None:
    assert secrets_in("a.sh", "DB_PASSWORD=mR7kwTv9&start\n", settings) == ["mR7kwTv9"]
    assert secrets_in("a.conf", "password_encryption = md5,sha256\n", settings) == []
    assert secrets_in("a.env", "password=mR7kwTv9&user=kim\n", settings) == ["mR7kwTv9"]


def test_every_row_that_is_inserted_is_looked_at(settings: PrivacySettings) -> None:
    rows = ", ".join(f"({number}, 'it''s (x), y', 'walrus7{number}')" for number in range(9))
    text = f"INSERT INTO users (id, note, password) VALUES {rows};"
    assert secrets_in("a.sql", text, settings) == [f"walrus7{number}" for number in range(9)]


def test_a_word_with_a_number_is_a_name_in_code_and_a_password_in_settings(settings: PrivacySettings) -> None:
    assert secrets_in("a.py", "password = harbour42", settings) == []
    assert secrets_in("a.ini", "password = harbour42", settings) == ["harbour42"]
