from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_extraction.text import TfidfVectorizer

from cortex_pipelines.routing import evaluation
from cortex_pipelines.routing.features import FeatureExtractor, _letter_terms, _options, _word_terms
from cortex_pipelines.routing.keyword_rules import parse_rules
from cortex_pipelines.routing.models.base import KeywordRules, TrainingData
from cortex_pipelines.routing.models.knn import KnnClassifier, nearest
from cortex_pipelines.routing.models.linear import EmbeddingLogreg, KernelRidge, TfidfLogreg, fit_softmax
from cortex_pipelines.routing.models.network import JointNetwork, NeuralSettings
from cortex_pipelines.routing.selection import ensemble
from cortex_pipelines.routing.selection.first_tier import FirstTier, learn_first_tier
from cortex_pipelines.routing.selection.model_selection import AVERAGE, beats, compare_above, select_model
from cortex_pipelines.routing.selection.out_of_scope import OutOfScopeModel, learn_scope, read_requests
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.routing.train import compared_tasks, folds_of, search_fold
from cortex_pipelines.statistics.significance import higher_likelihood_p
from cortex_pipelines.words import fold

CHOSEN = NeuralSettings(0.01, 0.01, 0.1)
JUDGED_BY = Path(evaluation.__file__).parent / "out_of_scope_requests.txt"
WORDS = ("alpha", "beta", "gamma", "delta")


def lesson_of(settings: RoutingSettings, tasks: int = 80, masters: int = 4, noise: float = 0.3) -> TrainingData:
    """Tasks whose embedding and words both tell their master, up to noise."""
    random = np.random.default_rng(3)
    labels = np.arange(tasks) % masters
    parts = random.normal(size=(tasks, 4, 8)) * noise
    parts[np.arange(tasks), :, labels] += 1.0
    parts /= np.linalg.norm(parts, axis=2, keepdims=True)
    embeddings = parts.reshape(tasks, 32).astype(np.float32)
    texts = [f"{WORDS[label]} task {number}" for number, label in enumerate(labels)]
    extractor = FeatureExtractor.fit(texts, embeddings, settings.dimensions)
    weights = np.ones(tasks, dtype=np.float32)
    return TrainingData(extractor.features(texts, embeddings), labels, weights, masters, settings)


PLAIN = (TfidfLogreg.fit, EmbeddingLogreg.fit, KnnClassifier.fit, KernelRidge.fit)
EACH = pytest.mark.parametrize("fit", [*PLAIN, lambda training: JointNetwork.fit(training, CHOSEN)])


@EACH
def test_each_candidate_learns_and_repeats_itself(fit, settings: RoutingSettings) -> None:  # type: ignore[no-untyped-def]
    training = lesson_of(settings)
    train, test = np.arange(0, 80)[:60], np.arange(60, 80)
    candidate, again = fit(training.take(train)), fit(training.take(train))
    scores = candidate.scores(training.features.take(test))
    assert (scores.argmax(axis=1) == training.labels[test]).mean() >= 0.9
    assert np.isfinite(scores).all()
    for name, array in candidate.arrays().items():
        assert (array == again.arrays()[name]).all()


@EACH
def test_a_master_without_tasks_is_possible_and_unlikely(fit, settings: RoutingSettings) -> None:  # type: ignore[no-untyped-def]
    training = lesson_of(settings)
    rows = np.flatnonzero(training.labels != 2)
    scores = fit(training.take(rows)).scores(training.features)
    assert (scores.shape, np.isfinite(scores).all()) == ((80, 4), True)
    assert not (scores.argmax(axis=1) == 2).any()


def test_logistic_regression_is_at_its_optimum(settings: RoutingSettings) -> None:
    from sklearn.linear_model import LogisticRegression

    training = lesson_of(settings, noise=1.0)
    ours = fit_softmax(training.features.projected, training.labels, training.weights, 4, 1.0)
    reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=2000)
    reference.fit(training.features.projected, training.labels)
    chances = training.features.projected @ ours[:-1] + ours[-1]
    chances = np.exp(chances) / np.exp(chances).sum(axis=1, keepdims=True)
    assert np.allclose(chances, reference.predict_proba(training.features.projected), atol=2e-3)


def test_neighbours_are_the_nearest_and_reliability_counts_each_task_once() -> None:
    cosines = np.array([[0.1, 0.9, 0.9, 0.3]], dtype=np.float32)
    indices, values = nearest(cosines, 3)
    assert (indices.tolist(), values[0].tolist()) == ([[1, 2, 3]], pytest.approx([0.9, 0.9, 0.3]))
    assert nearest(cosines, 9)[0].tolist() == [[1, 2, 3, 0]]
    bins = ensemble.reliability([0.05, 0.06, 0.95, 1.0], [False, True, True, True])
    assert ([tasks for _, _, tasks in bins], [was for _, was, _ in bins]) == ([2, 2], [0.5, 1.0])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(2, 7))
def test_folds_deal_each_master_out_evenly(labels: list[int], folds: int) -> None:
    array = np.array(labels)
    keys = [f"{number * 7919 % 1000:04}" for number in range(len(labels))]
    fold_of = folds_of(keys, array, folds)
    for label in set(labels):
        counts = np.bincount(fold_of[array == label], minlength=folds)
        assert counts.max() - counts.min() <= 1
    counts = np.bincount(fold_of, minlength=folds)
    assert counts.max() - counts.min() <= 1


def noisy(labels: np.ndarray, strength: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    scores = random.normal(size=(len(labels), 3))
    scores[np.arange(len(labels)), labels] += strength
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def test_learnt_weights_are_likely_and_overconfident_scores_calibrated() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 600)
    scores = [noisy(labels, strength, 7 + n) for n, strength in enumerate((0.0, 1.0, 3.0))]
    weights = ensemble.learn_weights(scores, labels, np.ones(600))
    assert weights[0] < 0.2 < weights[1] < weights[2]
    plain, learnt = (
        ensemble.combine(scores, candidate_weights)[np.arange(600), labels].mean()
        for candidate_weights in ([1 / 3] * 3, weights)
    )
    assert learnt > plain
    labels = np.random.default_rng(1).integers(0, 3, 1500)
    bold = noisy(labels, 1.0, 5) * 6
    folds = np.arange(1500) % 5
    logs = ensemble.cross_fit([bold], labels, np.ones(1500), folds)
    errors = []
    for log_probabilities in (ensemble.combine([bold], [1.0]), logs):
        right = log_probabilities.argmax(axis=1) == labels
        errors.append(
            ensemble.expected_calibration_error(np.exp(log_probabilities.max(axis=1)).tolist(), right.tolist())
        )
    assert errors[1] < 0.05 < errors[0]
    labels = np.array([0, 1, 2])
    scores = noisy(labels, 1.0, 1)
    scored = ensemble.cross_fit([scores], labels, np.ones(3), np.zeros(3, dtype=np.int64))
    assert np.allclose(scored, ensemble.combine([scores], [1.0]))


def rules_of(shift: int, fallback: str | None) -> KeywordRules:
    """Rules whose keyword of each master is that of the master ``shift`` places on."""
    experts = {f"m{n}": {"activation_keywords": [WORDS[n + shift]]} for n in range(4)}
    thresholds = {"single_expert": 0.7, "multi_expert": 0.6, "minimum_activation": 0.3}
    return KeywordRules(parse_rules({"thresholds": thresholds, "experts": experts}, "x"), list(experts), fallback)


def test_the_plainest_stays_until_the_one_above_beats_it(settings: RoutingSettings) -> None:
    training = lesson_of(settings, noise=0.1)
    keywords = rules_of(0, None)
    selection = select_model(training, np.arange(80), np.arange(80) % 5, keywords, CHOSEN)
    # the rules are always right here, so no other can be right more often
    assert (selection.steps[0].model, selection.steps[0].accuracy) == ("rules", 1.0)
    assert ([step.model for step in selection.steps if step.adopted], list(selection.weights)) == (["rules"], ["rules"])
    assert selection.metrics["accuracy"] == 1.0
    training = lesson_of(settings, tasks=200, noise=0.25)
    keywords = rules_of(-1, "m0")
    selection = select_model(training, np.arange(200), np.arange(200) % 5, keywords, CHOSEN)
    table = {step.model: step for step in selection.steps}
    assert list(table)[:2] == ["rules", "lexical"]
    # always wrong, so they have no weight, and what is left is the first master for every task
    assert (table["rules"].accuracy, table["lexical"].adopted) == (0.25, True)
    assert table["lexical"].p_value is not None
    assert table["lexical"].p_value < 0.001
    assert table["lexical"].gained - table["lexical"].lost == pytest.approx(200 * (table["lexical"].accuracy - 0.25))
    assert not table["average"].adopted
    assert "rules" not in selection.weights


def test_where_nothing_can_be_learnt_every_master_is_as_likely(settings: RoutingSettings) -> None:
    training = lesson_of(settings)
    shuffled = replace(training, labels=np.random.default_rng(4).permutation(training.labels))
    selection = select_model(shuffled, np.arange(80), np.arange(80) % 5, None, CHOSEN)
    assert selection.weights == {"lexical": 0.0}
    assert ensemble.combine([np.zeros((1, 4))], list(selection.weights.values())) == pytest.approx(np.log(0.25))


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def two_sorts(seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Sentence embeddings of 60 tasks and 60 other requests, on two sides of a space."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(120, 16)) * 0.5
    noise[:60, 0] += 1.0
    noise[60:, 1] += 1.0
    rows = unit(noise)
    return rows[:60], rows[60:]


def test_the_limit_keeps_the_stated_share_and_leaves_the_unlike_to_a_person() -> None:
    tasks, requests = two_sorts()
    learnt, metrics = learn_scope(tasks, np.arange(60), requests, 0.9)
    assert metrics["scope_auroc"] > 0.9
    assert metrics["scope_abstained"] > 0.8
    new_tasks, new_requests = two_sorts(seed=6)
    in_scope, abstained = (
        learnt.score(-np.sort(-(rows @ tasks.T), axis=1), rows) >= learnt.limit for rows in (new_tasks, new_requests)
    )
    assert in_scope.mean() > 0.75
    assert abstained.mean() < 0.25
    everything, _ = learn_scope(tasks, np.arange(60), requests, 0.999)
    assert everything.limit < learnt.limit
    for handful in (1, 2, 5):
        scope, _ = learn_scope(tasks[:handful], np.arange(handful), requests, 0.95)
        assert np.isfinite([scope.slope, scope.bias, scope.limit]).all()


def test_a_task_is_no_neighbour_of_itself_and_what_is_no_nearer_is_no_more_familiar() -> None:
    tasks, requests = two_sorts()
    twice = np.concatenate([tasks, requests[:1]])
    # the one request among the tasks is unlike all others, though it is its own nearest
    learnt, _ = learn_scope(twice, np.array([60]), requests, 0.5)
    assert learnt.limit < 0.5
    tasks, requests = two_sorts()
    odd, _ = learn_scope(requests[::2] * 1, np.arange(30), requests[1::2] * -1, 0.95)
    assert odd.slope >= 0
    level = OutOfScopeModel(requests, 0.0, 0.0, 0.0).score(tasks @ tasks.T, tasks)
    assert set(level) == {0.5}


def test_neither_fold_nor_requests_are_judged_on_what_was_learnt_from() -> None:
    training_requests, held_out = read_requests(), read_requests(JUDGED_BY)
    assert (len(training_requests), len(held_out)) == (100, 60)
    assert len({text.casefold() for text in training_requests + held_out}) == 160
    folds = np.array([3, 0, 1, 2, 3, 0, 1, 2])
    borne_out = np.array([1, 2, 4, 5, 6])
    compared = compared_tasks(borne_out, folds)
    assert compared.tolist() == [2, 4, 6]
    assert search_fold(borne_out, folds) not in folds[compared]
    assert compared_tasks(np.array([1, 5]), folds).tolist() == [1, 5]  # there are no others


def test_the_first_tier_decides_hardly_anything_otherwise() -> None:
    random, tasks = np.random.default_rng(5), 8000
    sure = random.normal(size=tasks)
    same = random.random(tasks) < 1 / (1 + np.exp(-4 * sure - 2))
    labels, folds = np.arange(tasks) % 2, np.arange(tasks) % 5
    chosen = np.log(np.where(np.eye(2)[labels] > 0, 0.99, 0.01))
    scores = np.where(same[:, None], chosen, chosen[:, ::-1])
    of_tasks, of_requests = sure[:, None], random.normal(-2.0, 0.5, size=(100, 1))
    train = np.arange(tasks) < 4000

    def learn(rows: npt.NDArray[np.bool_], risk: float, accept: float = 0.5) -> FirstTier | None:
        return learn_first_tier(
            of_tasks[rows], of_requests, folds[rows], scores[rows], chosen[rows], labels[rows], accept, risk
        )

    tier = learn(train, 0.0015)
    assert tier is not None
    answers = tier.score(of_tasks[~train]) >= tier.limit
    assert 0.15 < answers.mean() < 0.7
    assert (answers & ~same[~train]).mean() <= 0.004
    assert not (tier.score(of_requests) >= tier.limit).any()
    few = np.arange(tasks) < 150
    assert [learn(train, 0.0), learn(few, 0.0015), learn(train, 0.0015, accept=0.999), learn(train, 0.1)] == [None] * 4


def test_what_holds_a_fold_out_holds_it_out_of_terms_and_components(settings: RoutingSettings) -> None:
    training = lesson_of(settings)
    outside = np.arange(20, 80)
    part, unseen, _ = training.refit(outside, np.arange(20))
    assert (len(part.features), len(unseen)) == (60, 20)
    changed = lesson_of(settings)
    changed.features.embeddings[:20] *= -3.0
    texts = ("other words",) * 20 + changed.features.texts[20:]
    again, *_ = replace(changed, features=replace(changed.features, texts=texts)).refit(outside, np.arange(20))
    assert (again.features.projected == part.features.projected).all()
    assert (again.features.lexical != part.features.lexical).nnz == 0


def test_a_gain_that_one_test_would_show_is_corrected_for_all_candidates() -> None:
    """Of seven candidates no better than the first one has a p-value of 0.03 by chance."""
    labels = np.zeros(200, dtype=np.int64)
    right, wrong = np.log([0.6, 0.4]), np.log([0.4, 0.6])
    rows = np.arange(200)
    below = np.where((rows < 17)[:, None], wrong, right)
    better = np.where(((rows >= 17) & (rows < 22))[:, None], wrong, right)
    table = {"rules": below, "semantic": better}
    (alone,) = compare_above("rules", table, labels)
    assert alone.gained > alone.lost
    many = compare_above("rules", table | {f"copy {number}": below for number in range(6)}, labels)
    assert many[0].p_value == alone.p_value
    assert alone.p_corrected is not None
    assert many[0].p_corrected is not None
    limit = (alone.p_corrected + many[0].p_corrected) / 2
    assert beats(alone, limit)
    assert not beats(many[0], limit)
    (average,) = compare_above("rules", {"rules": below, AVERAGE: better}, labels)
    assert not beats(average, 1.0)


def test_texts_without_words_have_a_view_too(settings: RoutingSettings) -> None:
    extractor = FeatureExtractor.fit(["", "!!!"], np.ones((2, 8), dtype=np.float32), settings.dimensions)
    features = extractor.features(["", "x" * 50_000, "\ud800"], np.ones((3, 8), dtype=np.float32))
    assert (len(features), np.isfinite(features.projected).all()) == (3, True)
    restored = FeatureExtractor(extractor.arrays, extractor.vocabulary).features(["", "b"], np.ones((2, 8)))
    assert restored.lexical.shape == (2, features.lexical.shape[1])


def test_terms_are_weighed_as_scikit_learn_does(settings: RoutingSettings) -> None:
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["Fix the bug, the BUG!", "scan for secrets", "fix secrets", "", "?", "Ä ß the the the"]
    new_texts = [*texts, "unknown words entirely", "fix fix fix bug"]
    extractor = FeatureExtractor.fit(texts, np.eye(len(texts), dtype=np.float32)[:, :4], settings.dimensions)
    ours = extractor.features(new_texts, np.zeros((len(new_texts), 4), dtype=np.float32)).lexical
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True)
    folded_texts, folded_new = ([fold(text) for text in originals] for originals in (texts, new_texts))
    expected = hstack([vectorizer.fit(folded_texts).transform(folded_new) for vectorizer in (words, letters)])
    assert ours.shape == expected.shape
    assert np.allclose(ours.toarray(), expected.toarray(), atol=1e-6)


@given(st.integers(0, 1000))
def test_a_likelier_answer_is_told_from_noise(seed: int) -> None:
    random = np.random.default_rng(seed)
    below = -random.exponential(1.0, 400)
    noise = random.normal(0.0, 0.2, 400)
    better = higher_likelihood_p(below + noise - noise.mean() + 0.1, below)
    worse = higher_likelihood_p(below + noise - noise.mean() - 0.1, below)
    assert better < 1e-6
    assert (worse, higher_likelihood_p(below, below)) == (pytest.approx(1 - better), 1.0)


def test_few_tasks_find_the_same_neighbours_as_many(settings: RoutingSettings) -> None:
    """Few are looked up by bytes first; what they find, and in which order, is exact."""
    training = lesson_of(settings, tasks=2_400, noise=0.5)
    retrieval = KnnClassifier.fit(training)
    subset = training.features.take(np.arange(0, 160))
    neighbours, cosines = retrieval.nearest(subset, 20)
    for start in range(0, 160, 4):
        part = slice(start, start + 4)
        few, values = retrieval.nearest(subset.take(np.arange(160)[part]), 20)
        assert np.allclose(values, cosines[part], atol=1e-6)
        assert (few == neighbours[part]).mean() > 0.99  # but for ties in the last digit
        assert (few[:, 0] == neighbours[part][:, 0]).all()


@given(st.text(max_size=60))
def test_terms_are_those_of_scikit_learn(text: str) -> None:
    for level, terms in (("words", _word_terms), ("letters", _letter_terms)):
        assert sorted(terms(text)) == sorted(TfidfVectorizer(**_options(level)).build_analyzer()(text))


@given(arrays(np.float32, (3, 30), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])), st.integers(1, 40))
def test_few_tasks_have_the_neighbours_of_many(cosines: npt.NDArray[np.float32], count: int) -> None:
    few, values = nearest(cosines, count)
    many = nearest(np.tile(cosines, (4, 1)), count)[1][:3]
    assert (values == many).all()
    assert (np.take_along_axis(cosines, few, axis=1) == values).all()
