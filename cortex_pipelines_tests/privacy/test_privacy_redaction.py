"""What redaction promises of code, records and names: nothing private left, the rest as before, and joins hold."""

import base64
import json
import string
import sysconfig
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from cortex_pipelines.privacy.detect.findings import Finding
from cortex_pipelines.privacy.detect.scanning import scan_text
from cortex_pipelines.privacy.paths import PathRedactor, repository_name, repository_path
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key, project_key
from cortex_pipelines.privacy.records import redact_record
from cortex_pipelines.privacy.redaction import RedactedText, redact_text
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import PROPERTY_STEPS, load_cases
from cortex_pipelines_tests.privacy.conftest import syntax_errors

CASES = load_cases(__file__)
_PEM = "\n".join(["MIIEow7Qk2hT0xVb9ZsN4cRfUjLpYwEa" * 2] * 3)
_KEY_BLOCK = f"-----BEGIN RSA PRIVATE KEY-----\n{_PEM}\n-----END RSA PRIVATE KEY-----"
# Code of six languages with a hole in a string (S), in a comment (C) and in a second string (T).
CODE = CASES["CODE"]
_PLANTED = st.one_of(
    st.text(string.ascii_letters + string.digits, min_size=8, max_size=64),
    st.text(string.ascii_letters + string.digits + "+/=_-.!#%&*@:~", min_size=8, max_size=60),
    st.binary(min_size=12, max_size=40).map(lambda data: base64.b64encode(data).decode()),
    *(st.from_regex(form, fullmatch=True) for form in CASES["PRIVATE_FORMS"]),
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
    for file in islice(sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")), 0, 200, 8):
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
    result = redacted('x = ["ann@acmecorp.com", "93.184.216.34"]\n', settings)
    mail, address = result.redactions
    assert (mail.line, mail.start, mail.rule) == (1, 6, "email")
    assert result.text[mail.start : mail.end] == result.redactions[0].placeholder
    assert result.text[address.start : address.end] == result.redactions[1].placeholder


def test_a_category_can_be_left_alone(settings: PrivacySettings) -> None:
    text = 'password = "gR8!mNk2xQ"  # ann@acmecorp.com\n'
    result = redacted(text, settings.model_copy(update={"redact": ("secret",)}))
    assert "ann@acmecorp.com" in result.text
    assert "gR8" not in result.text
    assert [f.rule for f in scan_text(result.text, "a", settings)] == ["email"]


def test_messages_keep_their_trailers(settings: PrivacySettings) -> None:
    result = redacted("Fix login\n\nSigned-off-by: Grace Hopper <grace@navy.mil>\n", settings)
    assert result.text.startswith("Fix login\n\nSigned-off-by: redacted-")
    assert "Grace" not in result.text
    assert "navy" not in result.text


def test_pseudonyms_hold_no_name_and_do_not_depend_on_case(settings: PrivacySettings) -> None:
    key = project_key("demo", settings)
    assert author_pseudonym(" Ada@Acme.org", key) == author_pseudonym("ada@acme.org", key)
    assert author_pseudonym("ada@acme.org", key) != author_pseudonym("bea@acme.org", key)
    assert set(author_pseudonym("ada@acme.org", key)) <= set("0123456789abcdef")
    assert isinstance(Finding(1, 0, 1, "secret", "r", "low"), Finding)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
_NAME = st.text("abcAKI@._-019 /\\", max_size=24) | st.text(max_size=12)


def redacted_value(record: Any, settings: PrivacySettings) -> Any:
    return redact_record(record, settings, logs_key(settings)).value


@pytest.mark.parametrize(
    "record", [*CASES["ordinary_records"], {"trace": "a word of " + "step=" * 60, "bits": "0101=" * 80}]
)
def test_ordinary_records_are_the_same_object(record: Any, settings: PrivacySettings) -> None:
    result = redact_record(record, settings, logs_key(settings))
    assert result.value is record
    assert result.redactions == ()


@given(_JSON)
@example_settings(max_examples=2 * PROPERTY_STEPS, deadline=None)
def test_redacting_again_changes_nothing(settings: PrivacySettings, record: Any) -> None:
    once = redacted_value(record, settings)
    assert redact_record(once, settings, logs_key(settings)).value is once
    json.dumps(once)


def test_the_key_of_a_value_counts_and_what_is_only_reported_stays(settings: PrivacySettings) -> None:
    text = json.dumps(redacted_value(CASES["record_with_keys"], settings))
    for value in ("Sommerzeit", "horse", "special", "jmiller", "Jane", "4915123456789"):
        assert value not in text
    lenient = settings.model_copy(update={"redact": ()})
    record = {"password": "Sommerzeit", "author": "Jane Miller", "phone": 4915123456789}
    assert redacted_value(record, lenient) is record


def test_the_same_person_is_the_same_in_all_records_and_two_keys_stay_two(settings: PrivacySettings) -> None:
    mail = "jane.miller@kestrel-systems.io"
    author, assignee = (redacted_value({key: mail}, settings)[key] for key in ("author", "assignee"))
    assert author == assignee != mail
    assert redacted_value({"author": mail.upper()}, settings)["author"] == author  # as authors of commits
    record = {f"call +49 151 234{number:05}": number for number in range(200)}
    assert sorted(redacted_value(record, settings).values()) == list(range(200))


@pytest.mark.parametrize("path", CASES["ordinary_paths"])
def test_ordinary_paths_stay_byte_for_byte(path: str, settings: PrivacySettings) -> None:
    assert PathRedactor(settings, project_key("demo", settings)).redact(path) == (path, ())


@given(st.lists(_NAME, unique=True, max_size=20))
@example_settings(max_examples=2 * PROPERTY_STEPS, deadline=None)
def test_two_paths_stay_two(settings: PrivacySettings, paths: list[str]) -> None:
    redactor = PathRedactor(settings, project_key("demo", settings))
    # nor can a text that looks like the placeholder of another path
    everything = {*paths, *(redactor(path) for path in paths)}
    assert len({redactor(path) for path in everything}) == len(everything)


def test_a_private_name_keeps_place_and_ending(settings: PrivacySettings) -> None:
    redactor = PathRedactor(settings, project_key("demo", settings))
    mail = "jane.miller@kestrel-systems.io"
    path, (redaction,) = redactor.redact(f"src/{mail}.py")
    assert path[redaction.start : redaction.end] == redaction.placeholder
    assert path.startswith("src/redacted-")
    assert path.endswith(".py")
    assert redactor(f"{mail}/a") == redactor(f"{mail}") + "/a"
    assert not redactor(f"src/{mail}").endswith(".io")  # no ending, but a part of the address


@pytest.mark.parametrize(
    ("path", "expected"),
    [*CASES["only_the_path_in_the_repository_is_left"], ("src/" + "a" * 300, ("src/" + "a" * 300)[:200])],
)
def test_only_the_path_in_the_repository_is_left(path: str, expected: str | None) -> None:
    assert repository_path(path, "shop") == expected
    assert expected is None or repository_path(expected, "shop") == expected


def test_without_a_repository_only_the_name_is_left() -> None:
    assert repository_path("C:\\Users\\jane.doe\\shop\\a.py") == "a.py"


@pytest.mark.parametrize("url", ["acme/shop", "https://example.com/acme/shop.git/", "git@example.com:acme/shop.git"])
def test_a_repositorys_name(url: str) -> None:
    assert repository_name(url) == "shop"
