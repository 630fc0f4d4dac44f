"""Records and names: nothing private stays, what is ordinary stays as it is, and joins hold."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import logs_key, project_key
from cortex_pipelines.privacy.records import redact_record
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import PROPERTY_STEPS

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
_NAME = st.text("abcAKI@._-019 /\\", max_size=24) | st.text(max_size=12)


def redacted_value(record: Any, settings: PrivacySettings) -> Any:
    return redact_record(record, settings, logs_key(settings)).value


@pytest.mark.parametrize(
    "record",
    [
        {"task_id": "moe-test-ddqd-v5-1763313616-946bd71c", "created_by": "planner"},
        {"task_id": "task-123", "assigned_to": "development-master", "tokens_used": 1200},
        {"event_id": "evt_20251201_093827_85c15a3d1640", "key": "routing.decision_made"},
        {"title": "Rotate the API token of the deploy job", "reviewed_by": "security-master"},
        {"pattern_matched": "implement|bug.*fix", "timestamp": "2025-11-04T15:54:53-0600"},
        {"version": "1.2.3.4", "repository": "cortex-io/cortex", "user": "ci-runner-7"},
        {"trace": "a word of " + "step=" * 60, "bits": "0101=" * 80},
    ],
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


def test_the_key_of_a_value_counts(settings: PrivacySettings) -> None:
    record = {
        "password": "Sommerzeit",
        "credentials": {"db_password": ["correct horse battery"]},
        "variables": [{"name": "ADMIN_PASSWORD", "value": "nothing-special"}],
        "author": "jmiller",
        "approved_by": "Jane Miller",
        "contact": {"phone": 4915123456789},
    }
    text = json.dumps(redacted_value(record, settings))
    for value in ("Sommerzeit", "horse", "special", "jmiller", "Jane", "4915123456789"):
        assert value not in text


def test_the_same_person_is_the_same_in_all_records(settings: PrivacySettings) -> None:
    mail = "jane.miller@kestrel-systems.io"
    author, assignee = (redacted_value({key: mail}, settings)[key] for key in ("author", "assignee"))
    assert author == assignee != mail
    assert redacted_value({"author": mail.upper()}, settings)["author"] == author  # as authors of commits


def test_two_keys_stay_two(settings: PrivacySettings) -> None:
    record = {f"call +49 151 234{number:05}": number for number in range(200)}
    assert sorted(redacted_value(record, settings).values()) == list(range(200))


def test_what_is_only_reported_stays(settings: PrivacySettings) -> None:
    lenient = settings.model_copy(update={"redact": ()})
    record = {"password": "Sommerzeit", "author": "Jane Miller", "phone": 4915123456789}
    assert redacted_value(record, lenient) is record


@pytest.mark.parametrize(
    "path",
    [
        *("src/app.py", "a/b c/Makefile", "@types/node@18.2.0/index.d.ts", "icon@2x.png"),
        *("lib-1.2.3.4.tar.gz", "org/x/10.0.1.2/x.jar", "docs/password_reset.md", "x/../y"),
        *("3f786850e387550fdab836ed7e6dc881de23001b.bin", "123e4567-e89b-12d3-a456-426614174000"),
    ],
)
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
