from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from benchmarks.failing_master import LOGGED, WITHIN, World, trial
from cortex_pipelines.routing.features import FeatureExtractor
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.history import RECENT, History
from cortex_pipelines.routing.models.network import JointNetwork, NeuralSettings
from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.routing.train import asked_at, with_attempts
from cortex_pipelines.schemas.coordination import DECISIONS, FEATURES, OUTCOMES
from cortex_pipelines_tests.parameters import sections

CHOSEN = NeuralSettings(0.005, 0.01, 0.1)


@pytest.fixture(scope="module")
def log() -> tuple[World, TrainingData, FeatureExtractor]:
    world = World.of_seed(0)
    return world, *world.log(RoutingSettings.model_validate(sections()["routing"]))


@pytest.fixture(scope="module")
def joint(log: tuple[World, TrainingData, FeatureExtractor]) -> JointNetwork:
    return JointNetwork.fit(log[1], CHOSEN)


def test_a_master_that_begins_to_fail_is_left_by_the_joint_network_alone(
    log: tuple[World, TrainingData, FeatureExtractor], joint: JointNetwork
) -> None:
    world, training, extractor = log
    plain = JointNetwork.fit(replace(training, attempts=None, history=History.empty()), CHOSEN)
    fails, works, unnoticed = (
        trial(world.again(2), extractor, network, 2, fails)
        for network, fails in ((joint, True), (joint, False), (plain.with_history(training.history), True))
    )
    assert fails.left_after <= WITHIN < unnoticed.left_after
    assert fails.kept < 0.3 < 0.8 < min(works.kept, unnoticed.kept)
    assert fails.success > unnoticed.success


def test_what_became_known_later_changes_nothing(
    log: tuple[World, TrainingData, FeatureExtractor], joint: JointNetwork
) -> None:
    _, training, _ = log
    history, middle = training.history, training.history.sent[LOGGED // 2]
    features = training.features.take(np.flatnonzero(training.features.asked <= middle)[-50:])
    later = history.known >= middle
    outcomes = np.where(later[:, None], 1.0 - history.outcomes, history.outcomes)
    changed = joint.with_history(replace(history, outcomes=outcomes))
    assert (changed.scores(features) == joint.scores(features)).all()
    earlier = joint.with_history(replace(history, outcomes=np.where(later[:, None], history.outcomes, 0.0)))
    assert (earlier.scores(features) != joint.scores(features)).any()


def test_a_context_counts_the_latest_outcomes_of_its_master_alone() -> None:
    seconds = np.arange(RECENT + 3, dtype=np.float64) * 3600
    success = (np.arange(RECENT + 3) % 2).astype(np.float64)
    outcomes = np.column_stack([success, np.full((len(success), 2), np.nan)])
    history = History(np.zeros(len(success), dtype=np.int64), seconds, seconds + 60, outcomes)
    values, counted = history.before(np.array([np.inf, seconds[2], np.nan, np.inf]), np.array([0, 0, 0, 1]))
    assert counted.sum(axis=1).tolist() == [RECENT + 1, 3, 1, 1]
    assert values[0, :RECENT, 0].tolist() == (2 * success[::-1][:RECENT] - 1).tolist()
    assert values[1, :2, 0].tolist() == [1.0, -1.0]
    assert (values[2] == values[3]).all()
    assert np.isfinite(values).all()


def test_heads_are_calibrated_and_a_saved_network_says_the_same(
    log: tuple[World, TrainingData, FeatureExtractor], joint: JointNetwork
) -> None:
    world, training, extractor = log
    unseen, _ = replace(world, chance=np.random.default_rng(9)).log(training.settings)
    assert unseen.attempts is not None
    tasks = unseen.attempts.features
    features = extractor.features(tasks.texts, tasks.embeddings, asked=tasks.asked)
    there = joint.with_history(unseen.history)
    heads, actual = there.outcomes(features, unseen.history.masters), unseen.history.outcomes
    calibrated = there.calibrated(heads[::2], actual[::2])
    again = JointNetwork.restore(calibrated.arrays())
    said = again.outcomes(features, unseen.history.masters)[1::2]
    assert (said == calibrated.outcomes(features, unseen.history.masters)[1::2]).all()
    chance, success = 1 / (1 + np.exp(-said[:, 0])), actual[1::2, 0]
    assert ((chance - success) ** 2).mean() < 0.85 * success.var()
    assert abs(chance.mean() - success.mean()) < 0.05
    for column, (low, high) in ((1, (1, 3)), (2, (4, 6))):
        inside = (said[:, low] <= actual[1::2, column]) & (actual[1::2, column] <= said[:, high])
        assert 0.72 < inside.mean() < 0.88


def test_attempts_to_learn_from_lie_in_the_folds_of_their_tasks(settings: RoutingSettings) -> None:
    texts = [f"task number {number}" for number in range(80)]
    when = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number) for number in range(80)]
    frame = pl.DataFrame(
        {
            "text": texts,
            "cluster": texts,
            "master": ["one", "two"] * 40,
            "decided_at": when,
            "known_at": when,
            "success": [float(number % 4 > 0) for number in range(80)],
            "duration_seconds": 60.0,
            "tokens": pl.Series([None] * 80, dtype=pl.Float64),
            "judged": [number >= 70 for number in range(80)],
        }
    )
    vectors = np.random.default_rng(1).normal(size=(80, 8)).astype(np.float32)
    extractor = FeatureExtractor.fit(texts[:60], vectors[:60], settings.dimensions)
    asked = asked_at(texts[:60], frame)
    features = extractor.features(texts[:60], vectors[:60], asked=asked)
    training = TrainingData(features, np.arange(60) % 2, np.ones(60, dtype=np.float32), 2, settings)
    folds = np.arange(60) % 5

    def learn(rows: pl.DataFrame) -> TrainingData:
        return with_attempts(training, rows, ["one", "two"], folds, lambda asked: vectors[: len(asked)], extractor)

    found = learn(frame).attempts
    assert found is not None
    assert found.rows.tolist() == list(range(70))
    assert found.folds[:60].tolist() == folds.tolist()
    assert asked.tolist() == [time.timestamp() for time in when[:60]]
    part, _, _ = learn(frame).refit(np.flatnonzero(folds != 1), np.flatnonzero(folds == 1), 1)
    assert part.attempts is not None
    assert not set(part.attempts.features.texts) & {texts[number] for number in np.flatnonzero(folds == 1)}
    assert learn(frame.with_columns(success=pl.lit(1.0))).attempts is None  # one class says nothing


def test_an_outcome_is_known_when_all_its_records_are() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    shared = {"text": "a task", "test_row": False, "file": "x", "scored_masters": [], "scores": []}

    def decision(number: int, attempt: str, task: str, master: str) -> dict[str, object]:
        at = start + timedelta(hours=number)
        return shared | {
            "attempt_id": attempt,
            "task_id": task,
            "master": master,
            "decided_at": at,
            "byte_offset": number,
        }

    def outcome(attempt: str, hours: int | None, tokens: float | None) -> dict[str, object]:
        at = None if hours is None else start + timedelta(hours=hours)
        return {"attempt_id": attempt, "known_at": at, "success": True, "tokens": tokens, "byte_offset": hours or 0}

    decided = [decision(0, "a", "1", "one"), decision(5, "b", "1", "two"), decision(6, "c", "2", "one")]
    known = [outcome("b", 7, None), outcome("b", 9, 10.0), outcome("c", None, None), outcome("c", 8, 5.0)]
    frames = [
        pl.DataFrame([dict.fromkeys(table.schema) | row for row in rows], schema=table.schema)
        for table, rows in ((DECISIONS, decided), (OUTCOMES, known), (FEATURES, decided))
    ]
    rows = {row["attempt_id"]: row for row in attempts(*frames).iter_rows(named=True)}
    hours = {name: row["known_at"] and (row["known_at"] - start) / timedelta(hours=1) for name, row in rows.items()}
    assert hours == {"a": 5, "b": 9, "c": None}  # a: when it was taken away
    assert (rows["a"]["success"], rows["b"]["success"]) == (0.0, 1.0)
