import numpy as np
import pytest

from cortex_pipelines.statistics.leaderboard import leaderboard_rows, leaderboard_table

BOOTSTRAP = {"resamples": 1000, "confidence": 0.95, "seed": 20}
RANDOM = np.random.default_rng(4)
PLAIN = RANDOM.exponential(size=200)


def board(higher: bool = False, clusters: list[str] | None = None, **scores: np.ndarray) -> dict[str, dict]:
    rows = leaderboard_rows(
        "asset",
        "task",
        "loss",
        {name: values.tolist() for name, values in scores.items()},
        higher_is_better=higher,
        clusters=clusters,
        **BOOTSTRAP,
    )
    assert sum(row["adopted"] for row in rows) == 1
    return {row["candidate"]: row for row in rows}


def test_the_best_of_those_that_beat_the_simplest_is_adopted() -> None:
    noise = RANDOM.normal(0, 0.1, size=(2, 200))
    rows = board(plain=PLAIN, better=PLAIN - 0.1 + noise[0], best=PLAIN - 0.3 + noise[1], worse=PLAIN + 1)
    assert rows["best"]["adopted"]
    assert rows["best"]["difference"] == pytest.approx(0.3, abs=0.03)
    assert rows["best"]["value"] == pytest.approx(PLAIN.mean() - 0.3, abs=0.03)
    assert (rows["plain"]["difference_low"], rows["worse"]["difference_high"] < 0) == (0, True)
    assert board(higher=True, plain=PLAIN, worse=PLAIN - 0.1, better=PLAIN + 0.1)["better"]["adopted"]
    assert leaderboard_table(rows.values())["candidate"].to_list() == ["best", "better", "plain", "worse"]


def test_candidates_that_differ_by_chance_leave_the_simplest_in_place() -> None:
    """As many as there are, one of them would win without the joint intervals."""
    adopted = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        others = {f"c{n}": PLAIN + random.normal(size=200) for n in range(10)}
        adopted += not board(plain=PLAIN, **others)["plain"]["adopted"]
    assert adopted <= 2


def test_too_few_items_or_clusters_adopt_nothing_and_missing_scores_are_refused() -> None:
    few = board(plain=PLAIN[:29], better=PLAIN[:29] - 1)
    assert few["plain"]["adopted"]
    assert leaderboard_table(few.values()).is_empty()
    assert board(plain=PLAIN[:30], better=PLAIN[:30] - 1)["better"]["adopted"]
    clusters = [str(number % 4) for number in range(200)]
    assert board(clusters=clusters, plain=PLAIN, better=PLAIN - 1)["plain"]["adopted"]
    for broken, message in ((PLAIN * np.nan, "missing or infinite"), (PLAIN[:50], "shapes|broadcast")):
        with pytest.raises(ValueError, match=message):
            board(plain=PLAIN, broken=broken)
