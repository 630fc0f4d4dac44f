"""Secrets in code of six languages, by its syntax: whatever gives a name a literal is seen."""

import random
import string
from pathlib import PurePosixPath
from unittest.mock import patch

import pytest

from cortex_pipelines.privacy.detect.values import is_strong_secret
from cortex_pipelines.privacy.redaction import redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.syntax.grammars import parse_counted
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.privacy.checks import secrets_in, syntax_errors

CASES = load_cases(__file__)

_LANGUAGES = CASES["_LANGUAGES"]
_PARSER = "cortex_pipelines.privacy.detect.code.tree.parse_counted"
_CHOSEN = "harbour42#x"
_DRAWN = "kT9x2QvLw8Zr4Ns6Hb3Yc7Jd"


def _generated(seed: object) -> str:
    """A random value that has no words in it, nor in its halves."""
    letters = random.Random(str(seed))
    while True:
        value = "".join(letters.choices(string.ascii_letters + string.digits, k=24))
        if all(map(is_strong_secret, (value, value[:12], value[12:]))):
            return value


def _forms() -> list[tuple[str, str]]:
    """Path and text of each form."""
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
    language = _LANGUAGES[PurePosixPath(path).suffix]
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
    text = f'{before}api_key = str("{_DRAWN}") or "é"\r\n'
    assert secrets_in("a.py", text, settings) == [_DRAWN]


@pytest.mark.parametrize("escaped", [_DRAWN + "\\x41\\u0042", "\\103" + _DRAWN, _DRAWN + "\\n"])
def test_escapes_belong_to_the_span(escaped: str, settings: PrivacySettings) -> None:
    assert secrets_in("a.py", f'api_key = str("{escaped}")', settings) == [escaped]


@pytest.mark.parametrize(("path", "filler", "form"), CASES["far_from_the_beginning_of_a_large_text"])
def test_far_from_the_beginning_of_a_large_text(path: str, filler: str, form: str, settings: PrivacySettings) -> None:
    text = filler * 1_000 + form.format(_DRAWN) + filler * 1_000
    assert secrets_in(path, text, settings) == [_DRAWN]


def test_text_of_secrets_is_parsed_a_few_times_at_most(settings: PrivacySettings) -> None:
    lines = [f'api_key_{number} = str("{_generated(number)}")\n' for number in range(500)]
    text = "".join(lines)
    with patch(_PARSER, wraps=parse_counted) as parser:
        assert len(secrets_in("a.py", text, settings)) == len(lines)
    assert sum(len(call.args[0]) for call in parser.call_args_list) <= 3 * len(text)
