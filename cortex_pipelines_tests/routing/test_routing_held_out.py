from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from cortex_pipelines.routing.dataset.labels import wording
from cortex_pipelines.routing.features import FeatureExtractor
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.linear import TfidfLogreg
from cortex_pipelines.routing.selection.held_out import (
    HeldOutReport,
    LatestTasks,
    MasterScore,
    _is_alike,
    _latest,
    extrapolated,
    percent,
)
from cortex_pipelines_tests.routing.logs import PARAMETERS

SCORES = [
    MasterScore("backend", 60, 0.9, 0.9, [("data", 5), ("infra", 1)]),
    MasterScore("data", 40, 0.95, 0.925, [("backend", 3)]),
]


HELD_OUT = HeldOutReport(100, 0.91, None, ("backend", 0.6), SCORES, "TF-IDF", (), 375)


def report(rules: float | None, *curve: tuple[int, float]) -> str:
    return replace(HELD_OUT, rules=rules, curve=curve).sentence()


def test_the_sentence_compares_names_the_worst_pair_and_says_whether_more_tasks_would_help() -> None:
    assert report(0.64, (75, 0.6), (150, 0.8), (300, 0.9)) == (
        "91 % right of 100 held-out tasks (95 % interval 84 % to 95 %), where the keyword rules have 64 %; most often "
        "takes backend for data (5 tasks); 375 tasks are few: TF-IDF gets 60 %, 80 % and 90 % when it learns from 75, "
        "150 and 300; if that goes on, 1,500 would give about 98 %"
    )
    alone = report(None, (75, 0.9), (150, 0.91), (300, 0.91))
    assert "where always backend would have 60 %" in alone
    assert "more tasks of the same kind would change little" in alone
    assert report(0.64).endswith("(5 tasks)")  # of many tasks no curve is measured


def test_a_router_that_errs_is_not_right_of_all() -> None:
    errs = replace(HELD_OUT, tasks=1000, right=0.997).sentence()
    assert errs.startswith("99.7 % right of 1,000 held-out tasks (95 % interval 99 % to 99.9 %)")
    assert replace(HELD_OUT, right=1.0).sentence().startswith("100 % right")


def test_tasks_of_a_template_are_counted_apart() -> None:
    few = replace(HELD_OUT, alike=60, right_of_others=0.55).sentence()
    assert "; of these, 60 share most words with a learnt one; 55 % of the others" in few
    assert "says nothing about tasks of another wording" in replace(HELD_OUT, alike=100).sentence()
    naming = replace(HELD_OUT, naming=60, right_of_not_naming=0.45).sentence()
    assert naming.endswith("; 60 name their master; 45 % of the others are right")
    assert "name their master" not in replace(HELD_OUT, naming=9).sentence()
    texts = (
        "Fix T-1",
        "Refund of Anna is late",
        "Fix T-3",
        "Fix it",
        "Hi, refund of Bo is late",
        "Refund the fee of Bo",
    )
    training = SimpleNamespace(features=SimpleNamespace(texts=texts))
    comparison = SimpleNamespace(
        training=training, folds=np.array([0, 1, 1, 0, 0, 2]), compared=np.array([0, 1, 3, 4, 5])
    )
    assert _is_alike(comparison).tolist() == [True, True, False, True, False]


def test_what_changes_with_time_is_said() -> None:
    """Folds mix the times, so that a master whose tasks all go elsewhere since a day does not show in them."""
    count = 150
    texts = [f"{'fix the page' if n % 2 else 'load the rows'} of shop {n % 7}" for n in range(count)]
    labels = np.array([(n % 2) ^ (n >= 115) for n in range(count)])
    embeddings = np.zeros((count, 4), dtype=np.float32)
    extractor = FeatureExtractor.fit(texts, embeddings, 2)
    features, weights = extractor.features(texts, embeddings), np.ones(count, dtype=np.float32)
    training = TrainingData(features, labels, weights, 2, PARAMETERS.routing)
    times = np.array([86_400.0 * n for n in range(count)])
    compared, right = np.arange(0, count, 1), np.arange(count) % 4 > 0
    comparison = SimpleNamespace(training=training, compared=compared, times=times)
    latest = _latest(comparison, TfidfLogreg.fit, right)
    assert latest == LatestTasks(datetime(1970, 5, 1, tzinfo=UTC), 30, 0.0, float(right[120:].mean()))
    words = replace(HELD_OUT, latest=latest).sentence()
    assert "of the latest 30 (since 1970-05-01), TF-IDF gets 0 % when it learns from the earlier tasks alone" in words
    assert words.endswith(f"the router {percent(right[120:].mean())} when it learns from others of that time too")
    for none in (np.full(count, np.nan), np.zeros(count)):
        assert _latest(SimpleNamespace(**vars(comparison) | {"times": none}), TfidfLogreg.fit, right) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Fix T-1, in PR 7", "fix t 0 in pr 0"),
        ("Lock /srv/data/a.txt is stale", "lock 0 is stale"),
        ("see https://a.example/b?c=d and ~/notes", "see 0 and 0"),
        ("src/app/main.py fails CI/CD and/or lint", "0 fails ci cd and or lint"),
        ("lost deadbeef-cafe-face-beef-abbadadafeed", "lost 0"),
        ("サーバーを3台再起動", "サー ーバ バー ーを 0 台再 再起 起動"),
    ],
)
def test_a_wording_has_no_numbers_ids_paths_or_urls(text: str, words: str) -> None:
    assert wording(text) == words


def test_errors_are_extrapolated_by_a_power_law_or_not_at_all() -> None:
    assert extrapolated([(100, 0.4), (200, 0.2), (400, 0.1)], 800) == pytest.approx(0.05)
    assert extrapolated([(100, 0.4), (200, 0.4), (400, 0.5)], 800) is None
    assert extrapolated([(100, 0.4), (200, 0.2), (400, 0.0)], 800) is None
