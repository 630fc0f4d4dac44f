import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.routing.keyword_rules import RulesError, load_rules, parse_rules
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
PATTERNS: dict[str, Any] = CASES["PATTERNS"]
RULES = parse_rules(PATTERNS, "here")


@pytest.mark.parametrize(("text", "master", "score"), CASES["keywords_boosters_and_negatives"])
def test_keywords_boosters_and_negatives(text: str, master: str | None, score: float) -> None:
    decision = RULES.decide(text)
    assert (decision.master, decision.score) == (master, pytest.approx(score))


def test_experts_that_are_close_work_together_unless_one_is_sure() -> None:
    both = RULES.decide("fix what the scan says")
    assert (both.master, both.supporting) == ("development", ("security",))
    sure = RULES.decide("fix and add an integration test: the scan and audit")
    assert (sure.master, sure.supporting) == ("development", ())
    far = RULES.decide("scan, audit; fix")
    assert (far.master, far.supporting) == ("security", ())


@given(st.text(max_size=200))
def test_scores_are_shares_for_any_text(text: str) -> None:
    decision = RULES.decide(text)
    assert all(0 <= score < 1 for score in decision.scores.values())
    assert (decision.master is None) == (decision.score < 0.3)


@pytest.mark.parametrize(("path", "value", "message"), CASES["what_is_wrong_in_a_rules_file_is_named"])
def test_what_is_wrong_in_rules_is_named(tmp_path: Path, path: tuple[str, ...], value: Any, message: str) -> None:
    patterns = copy.deepcopy(PATTERNS)
    node: Any = patterns
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    file = tmp_path / "routing-patterns.json"
    file.write_text(json.dumps(patterns))
    with pytest.raises(RulesError, match=message) as caught:
        load_rules(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"\xff", None])
def test_a_rules_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "rules.json"
    if content is not None:
        file.write_bytes(content)
    assert "cannot be read" in refusal(RulesError, load_rules, file)


_LIKE_KEYWORDS = st.sampled_from(["f\u0131x", "\u017fcan", "SCANS", "aPi", "prefix", "Fixes", "\u212a", "-"])


@given(st.lists(_LIKE_KEYWORDS, max_size=6).map(" ".join))
def test_looking_for_letters_first_misses_no_keyword(text: str) -> None:
    lowered = text.lower() if text.isascii() else ""
    for keyword in (keyword for lists in RULES.experts.values() for keywords in lists for keyword in keywords):
        assert keyword.occurs(text, lowered) == (keyword.pattern.search(text) is not None)
