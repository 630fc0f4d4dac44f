import json
from pathlib import Path

import pytest

from cortex_pipelines.release.answering import Release
from cortex_pipelines.release.gates import GuardResult, Verdict
from cortex_pipelines.release.report import write_adapter_report, write_report

COMPARISON = {"comparisons": [{"metric": "completion_improvement", "clusters": 11, "needed": 85, "smallest": 0.01}]}
METRICS = {
    "completion_base_bits_per_byte": 0.7,
    "retrieval_bits_per_byte": 0.6,
    "completion_challenger_bits_per_byte": 0.5,
}


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    (tmp_path / "report.html").write_text("<body><h1>Adapter</h1><p>figures</p></body>", encoding="utf-8")
    (tmp_path / "comparison.json").write_text(json.dumps(COMPARISON), encoding="utf-8")
    return tmp_path


def report_page(evaluation: Path, verdict: str, reason: str, guards: tuple[GuardResult, ...] = ()) -> str:
    out = evaluation / "out"
    out.mkdir(exist_ok=True)
    training = {"naming/train_examples": 20.0, "tests/train_examples": 10.0, "naming/train_tokens": 900.0}
    result = Verdict(verdict, reason, {}, guards)  # type: ignore[arg-type]
    write_adapter_report("shop", result, Release("context", "b"), METRICS, training, 45, evaluation, out)
    return (out / "report.html").read_text(encoding="utf-8")


def test_a_held_adapter_says_why_what_would_tell_and_what_serves_today_before_any_figure(evaluation: Path) -> None:
    guard = GuardResult("gain_over_untrained_low", -0.1, 0.0, None, passed=False)
    page = report_page(evaluation, "kept", "not shown <that>; too few", (guard,))
    order = [
        *("Adapter", "Verdict: kept back", "shop is answered by the base model with similar code", "shop@challenger"),
        *("Not shown &lt;that&gt;.", "Too few.", "11 independent groups", "some 85", "from 30 of 45", "(900 tokens)"),
        *("similar code in its prompt does best: 0.600", "the adapter needs 0.500, less by 0.100", "--despite-gate"),
        *("shown that training pays", "-0.1", "at least 0", "figures"),
    ]
    positions = [page.index(words) for words in order]
    assert positions == sorted(positions)


def test_what_passed_needs_no_decision(evaluation: Path) -> None:
    page = report_page(evaluation, "promoted", "significantly better")
    assert "Verdict: passed" in page
    assert "cortex promote code_adapter-shop<" in page
    assert "despite" not in page
    write_report(Verdict("refused", "worse", {}, ()), "It stays.", evaluation, evaluation / "out")
    assert "Verdict: refused" in (evaluation / "out" / "report.html").read_text(encoding="utf-8")
