"""Text that is made to be slow: the work is counted, and grows with the text alone."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.privacy.detect.findings import SECRET, Span
from cortex_pipelines.privacy.detect.rules import assignments
from cortex_pipelines.privacy.redaction import _shift_redactions, redact_text
from cortex_pipelines.privacy.settings import PrivacySettings

KEY = b"k" * 16


@pytest.mark.parametrize("part", ["api_key:", "password=", "token->", "secret::key:"])
def test_names_that_are_given_names_are_not_judged_each_with_the_rest(part: str, settings: PrivacySettings) -> None:
    text = part * (20_000 // len(part))
    with patch.object(assignments, "_is_secret", wraps=assignments._is_secret) as judge:
        redacted = redact_text(text, "a.env", None, settings, KEY)
    assert redacted.text == text
    judged_chars = sum(len(call.args[1]) for call in judge.call_args_list)
    assert judged_chars <= 8 * len(text)


def test_a_secret_behind_some_names_is_still_found(settings: PrivacySettings) -> None:
    text = "api_key:" * 40 + ' password = "xK9mQ2vL7pR4w"; token:secret:key:"Zr8Yq1Wn5Xc3Vb6T"'
    redacted = redact_text(text, "a.js", "javascript", settings, KEY).text
    assert "xK9" not in redacted
    assert "Zr8" not in redacted


@given(st.data())
def test_earlier_placeholders_move_with_the_text(data: st.DataObject) -> None:
    def spans() -> list[Span]:
        cuts = sorted(data.draw(st.sets(st.integers(0, 40), max_size=12)))
        pairs = zip(cuts[::2], cuts[1::2], strict=False)
        return [Span(start, end, SECRET, "rule", "high") for start, end in pairs]

    new, before = spans(), [(span, "placeholder") for span in spans()]
    moves = [(span.end, data.draw(st.integers(-9, 9))) for span in new]
    expected = [
        span.start + next((by for end, by in reversed(moves) if end <= span.start), 0)
        for span, _ in before
        if not any(earlier.start < span.end and span.start < earlier.end for earlier in new)
    ]
    assert [span.start for span, _ in _shift_redactions(before, new, moves)] == expected
