import pytest

from cortex_pipelines.privacy.detect.scanning import spans_of
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

FOUND = CASES["FOUND"]
PASSED_OVER = CASES["PASSED_OVER"]


@pytest.mark.parametrize(("text", "rule", "value"), FOUND)
def test_personal_data_is_found(text: str, rule: str, value: str, settings: PrivacySettings) -> None:
    values = [(s.rule, text[s.start : s.end]) for s in spans_of(text, "a", settings)]
    assert (rule, value) in values


@pytest.mark.parametrize("text", PASSED_OVER)
def test_what_belongs_to_nobody_is_passed_over(text: str, settings: PrivacySettings) -> None:
    assert spans_of(text, "a", settings) == []
