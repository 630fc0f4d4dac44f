import random

import pytest

from cortex_pipelines.release.gates import Count, analyse, look_of

RULES = {"least_answers": 50, "most_answers": 400, "margin": 0.05}


@pytest.mark.parametrize(
    ("canary", "champion", "conclusion"),
    [
        (Count(49, 49), Count(900, 0), None),
        (Count(50, 20), Count(900, 9), "failure"),
        (Count(100, 0), Count(49, 0), None),
        (Count(200, 0), Count(900, 9), "success"),
        (Count(100, 4), Count(900, 9), None),
        (Count(400, 25), Count(900, 30), "inconclusive"),
        (Count(400, 0), Count(10, 0), "inconclusive"),
        (Count(50, 50), Count(50, 50), None),
    ],
)
def test_the_rule(canary: Count, champion: Count, conclusion: str | None) -> None:
    analysis = analyse(canary, champion, RULES)
    assert (analysis.conclusion if analysis else None) == conclusion
    if analysis:
        assert f"{canary.failed} of {canary.answered} answers" in analysis.reason


def test_looking_often_withdraws_no_good_canary() -> None:
    """Of canaries as reliable as the champion, at most one in twenty may be withdrawn."""
    chance, withdrawn, runs = random.Random(0), 0, 400
    for _ in range(runs):
        failed = [0, 0]
        for answered in range(1, 801):
            for position in (0, 1):
                failed[position] += chance.random() < 0.1
            if look_of(answered, 50) > look_of(answered - 1, 50):
                counts = [Count(answered, each) for each in failed]
                analysis = analyse(counts[0], counts[1], {**RULES, "most_answers": 10_000})
                if analysis and analysis.conclusion == "failure":
                    withdrawn += 1
                    break
    assert withdrawn / runs <= 0.05
