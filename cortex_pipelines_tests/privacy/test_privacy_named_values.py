"""What counts as a secret of all that parsers see under a name."""

import pytest

from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.named_values import NamedValue, judge_named_values
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

_DRAWN = "kT9x2QvLw8Zr4Ns6"


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


def test_a_part_that_is_only_a_scheme_stays(settings: PrivacySettings) -> None:
    value = NamedValue("token", f"Bearer {_DRAWN}", 1, 30, quoted=True, parts=((1, 8), (12, 28)))
    assert list(judge_named_values([value], False, settings)) == [Span(12, 28, SECRET, "assigned-secret", "high")]
