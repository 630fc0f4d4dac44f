from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.evaluation.metrics.style import (
    FEATURES,
    distances_by_feature,
    learnt_style,
    style_distance,
)

TEAM = [
    ("python", 'def read_all(paths):\n    found = {"a": 1, "b": 2}\n    return found\n'),
    ("python", 'def write_all(paths):\n    # each\n    given = "c" + "d"\n    return given\n'),
]
LIKE = [("python", 'def move_all(things):\n    kept = {"x": 3}\n    return kept\n')]
UNLIKE = [("python", "def moveAll(theThings):\n  keptOnes={'x':3,'y':4};\n  return keptOnes;\n")]


def distance(one: list[tuple[str, str]], team: list[tuple[str, str]] = TEAM) -> float:
    found = style_distance(learnt_style(one), learnt_style(team))
    assert found is not None
    return found


def test_code_is_like_itself_and_nearer_to_its_like() -> None:
    assert distance(TEAM) == 0
    assert distance(LIKE) < 0.35 < distance(UNLIKE)


def test_each_feature_is_seen_by_itself() -> None:
    found = distances_by_feature(learnt_style(UNLIKE), learnt_style(TEAM))
    for feature in ("quotes", "names", "indentation", "operators", "commas", "semicolons"):
        assert found[feature] == 1, feature
    assert set(found) <= set(FEATURES)


def test_what_has_no_code_has_no_style() -> None:
    assert style_distance(learnt_style([]), learnt_style(TEAM)) is None
    assert style_distance(learnt_style([("yaml", "a: 1")]), learnt_style(TEAM)) is None
    go = [("go", "func a() {\n\tb := 1\n}\n")]
    assert style_distance(learnt_style(go), learnt_style(TEAM)) is None  # another language


@given(
    st.lists(st.sampled_from([*TEAM, *LIKE, *UNLIKE]), min_size=1, max_size=4), st.text(max_size=40)
)
def test_a_distance_is_symmetric_and_between_0_and_1(
    texts: list[tuple[str, str]], text: str
) -> None:
    one, other = learnt_style(texts), learnt_style([("python", text), *TEAM])
    first, second = style_distance(one, other), style_distance(other, one)
    assert first == second
    assert first is not None
    assert 0 <= first <= 1
