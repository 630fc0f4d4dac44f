import re
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.annotation.detector import detectors
from cortex_pipelines.annotation.evaluation import agreement as agreement_module
from cortex_pipelines.annotation.evaluation.agreement import (
    ConfusionCounts,
    SampleError,
    agreement,
    cached_agreement,
    cases,
    predict_sample,
)
from cortex_pipelines.annotation.labels import labelling
from cortex_pipelines.annotation.labels.categories import CATEGORIES, DEFAULT
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.vocabulary import LANGUAGES, PURPOSES
from cortex_pipelines_tests.parameters import EXTRACTION

# As params.yaml has them: the sample was labelled for these.
AS_SHIPPED = {"max_lines": 50, "max_parameters": 5, "max_nesting": 4, "max_methods": 20}


@pytest.fixture(scope="module")
def shipped(settings: AnnotationSettings) -> AnnotationSettings:
    return settings.model_copy(update=AS_SHIPPED)


def test_the_sample_is_large_and_names_only_what_there_is() -> None:
    units = cases()
    assert len(units) >= 150
    assert {case.language for case in units} == set(LANGUAGES)
    assert all(sum(case.language == language for case in units) >= 25 for language in LANGUAGES)
    assert {case.category for case in units} <= {*CATEGORIES, DEFAULT}
    assert {label for case in units for label in case.labels} <= set(LABELS)
    labelled = {label for case in cases() for label in case.labels}
    assert {name for name, label in LABELS.items() if label.purpose in ("security", "performance")} <= labelled


def test_rules_agree_with_the_person_and_confidence_is_the_rate_of_agreement(shipped) -> None:
    result = agreement(shipped, EXTRACTION)
    assert result.right / result.cases > 0.85
    disagreeing = [
        (prediction.case.path, prediction.case.name, sorted(prediction.labels ^ prediction.case.labels))
        for prediction in predict_sample(shipped, EXTRACTION)
        if prediction.labels != prediction.case.labels
    ]
    assert len(disagreeing) <= 0.05 * result.cases, disagreeing
    for name, counts in result.labels.items():
        if counts.both + counts.person_only >= 3:
            assert counts.recall >= 0.6, name
            assert counts.precision >= 0.6, name
    result = agreement(shipped, EXTRACTION)
    for name, counts in result.labels.items():
        expected = (counts.both + 2 * LABELS[name].belief) / (counts.both + counts.rules_only + 2)
        assert result.label_confidence(name) == round(expected, 4)


def test_agreement_is_cached(shipped, tmp_path) -> None:
    cache = RowCache(tmp_path, "1")
    first = cached_agreement(shipped, EXTRACTION, cache)
    with patch.object(agreement_module, "predict_sample", side_effect=AssertionError):
        again = cached_agreement(shipped, EXTRACTION, cache)
    assert first == again == cached_agreement(shipped, EXTRACTION, None)
    assert list(first.labels) == list(again.labels)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_more_evidence_is_never_less_confidence(shipped, scores) -> None:
    result = agreement(shipped, EXTRACTION)
    rates = [result.category_confidence(score) for score in sorted(scores)]
    assert rates == sorted(rates)
    assert all(0 < rate <= 1 for rate in rates)


def test_counts_by_hand() -> None:
    counts = ConfusionCounts(both=20, rules_only=5, person_only=10, neither=15)
    assert (counts.precision, counts.recall) == (0.8, 2 / 3)
    assert counts.kappa == pytest.approx(0.4)  # Cohen's own example: 0.7 agree, 0.5 by chance
    empty = ConfusionCounts(0, 0, 0, 9)
    assert (empty.precision, empty.recall, empty.kappa) == (None, None, None)


def test_labels_are_declared_once_with_what_a_finding_needs() -> None:
    for label in LABELS.values():
        assert label.kind in ("pattern", "anti-pattern", "smell")
        assert label.purpose in (None, *PURPOSES)
        assert 0 < label.belief < 1
    queries = Path(agreement_module.__file__).parents[1].glob("queries/*.scm")
    marked = {name for path in queries for name in re.findall(r"@found\.([a-z-]+)", path.read_text())}
    detected = {label for detector in detectors() for label in detector.labels}
    sized = {"long-method", "long-parameter-list", "deep-nesting", "complex-method", "god-class"}
    by_name = {label for label, _ in (*labelling._OF_TYPES, *labelling._OF_FUNCTIONS)}
    assert marked | detected | sized | by_name == set(LABELS)


def test_a_case_without_its_four_parts_is_refused(tmp_path: Path) -> None:
    for language in LANGUAGES:
        (tmp_path / f"{language}.txt").write_text("=== a.py | f | utility\ndef f(): pass\n")
    with pytest.raises(SampleError, match=r"python\.txt.*=== path"):
        cases(tmp_path)
