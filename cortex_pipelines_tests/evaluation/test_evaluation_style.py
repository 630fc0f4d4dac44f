from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.evaluation.metrics.style import FEATURES, distances_by_feature, learn_style, style_distance

TEAM = [
    ("python", 'def read_all(paths):\n    found = {"a": 1, "b": 2}\n    return found\n'),
    ("python", 'def write_all(paths):\n    # each\n    given = "c" + "d"\n    return given\n'),
]
LIKE = [("python", 'def move_all(things):\n    kept = {"x": 3}\n    return kept\n')]
UNLIKE = [("python", "def moveAll(theThings):\n  keptOnes={'x':3,'y':4};\n  return keptOnes;\n")]


def distance(code: list[tuple[str, str]], team: list[tuple[str, str]] = TEAM) -> float:
    value = style_distance(learn_style(code), learn_style(team))
    assert value is not None
    return value


def test_code_is_like_itself_and_nearer_to_its_like() -> None:
    assert distance(TEAM) == 0
    assert distance(LIKE) < 0.35 < distance(UNLIKE)


def test_each_feature_is_seen_by_itself() -> None:
    distances = distances_by_feature(learn_style(UNLIKE), learn_style(TEAM))
    for feature in ("quotes", "names", "indentation", "operators", "commas", "semicolons"):
        assert distances[feature] == 1, feature
    assert set(distances) <= set(FEATURES)


def test_what_has_no_code_has_no_style() -> None:
    assert style_distance(learn_style([]), learn_style(TEAM)) is None
    assert style_distance(learn_style([("yaml", "a: 1")]), learn_style(TEAM)) is None
    go = [("go", "func a() {\n\tb := 1\n}\n")]
    assert style_distance(learn_style(go), learn_style(TEAM)) is None  # another language


@given(st.lists(st.sampled_from([*TEAM, *LIKE, *UNLIKE]), min_size=1, max_size=4), st.text(max_size=40))
def test_a_distance_is_symmetric_and_between_0_and_1(texts: list[tuple[str, str]], text: str) -> None:
    style, other = learn_style(texts), learn_style([("python", text), *TEAM])
    first, second = style_distance(style, other), style_distance(other, style)
    assert first == second
    assert first is not None
    assert 0 <= first <= 1
