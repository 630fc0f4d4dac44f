import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cortex_pipelines.embeddings.encoder import SentenceEncoder
from cortex_pipelines.routing import train as training
from cortex_pipelines.routing.keyword_rules import parse_rules
from cortex_pipelines.routing.serving.bundle import RouterError, load_config, load_router
from cortex_pipelines.routing.serving.explanation import explain
from cortex_pipelines.routing.serving.router import Decision, Router
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.routing.train import TooFewMastersError, train_router
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
PATTERNS = CASES["PATTERNS"]
SAYS = CASES["SAYS"]


def tasks(masters: int = 3, each: int = 12) -> pl.DataFrame:
    rows = [
        {"text": says[n % 3].format("abcdefghijkl"[n % 12] * (1 + n // 12)), "master": master}
        | {"weight": 1.0 if n else 0.5, "label_source": "outcome" if n else "decision"}
        for master, says in list(SAYS.items())[:masters]
        for n in range(each)
    ]
    return pl.DataFrame(rows)


def train(
    tiny_encoder: Path, settings: RoutingSettings, out: Path, frame: pl.DataFrame, rules: Any = None, **changes: Any
) -> dict[str, float]:
    encoder = SentenceEncoder(tiny_encoder, 32, 4, 1)
    changed = settings.model_copy(update={"precision": "fp32", **changes})
    return train_router(frame, encoder.encode, changed, {"wheel": "x==1"}, rules, out, out.parent / "studies")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, settings: RoutingSettings) -> Path:
    out = tmp_path_factory.mktemp("router")
    train(tiny_encoder, settings, out, tasks(), PATTERNS, adopt_p=1.0)
    return out


@pytest.fixture(scope="module")
def router(folder: Path, tiny_encoder: Path) -> Router:
    return Router.load(folder, tiny_encoder)


def changed(folder: Path, tiny_encoder: Path, tmp_path: Path, **config: object) -> Router:
    """The same router with another configuration."""
    shutil.copytree(folder, tmp_path / "changed")
    values = json.loads((folder / "config.json").read_text())
    (tmp_path / "changed" / "config.json").write_text(json.dumps({**values, **config}))
    return Router.load(tmp_path / "changed", tiny_encoder)


def test_an_unfinished_search_goes_on_only_with_the_same_packages(
    tiny_encoder: Path, settings: RoutingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Path] = []

    def interrupted(*arguments: Any) -> None:
        files.append(next(argument for argument in arguments if isinstance(argument, Path)))
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "search", interrupted)
    for versions in ({"torch": "2.1"}, {"torch": "2.1"}, {"torch": "2.2"}):
        monkeypatch.setattr(training, "installed", lambda versions=versions: versions, raising=False)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_encoder, settings, tmp_path / "router", tasks(), PATTERNS)
    assert files[0] == files[1] != files[2]


def test_what_a_word_counts_for_is_what_the_decision_loses_without_it(router: Router) -> None:
    text = "fix the bug in a"
    explanation = explain(router, text)
    decision, shorter = router.route_by_all([text, "fix the in a"])
    words = dict(explanation.attributions)
    assert list(words) == ["fix", "the", "bug", "in", "a"]
    assert words["bug"] == pytest.approx(
        math.log(decision.probabilities["development"] / shorter.probabilities["development"])
    )
    assert max(words, key=lambda word: words[word]) in ("fix", "bug")
    assert explanation.as_json()["evidence"]
    if explanation.counterfactual is not None:
        removed, master = explanation.counterfactual
        (other,) = router.route_by_all([" ".join(word for word in text.split() if word not in removed)])
        assert other.master == master != explanation.decision.master
    assert explain(router, "?!").attributions == ()


def test_a_long_task_is_explained_by_its_runs_of_words_with_a_bounded_number_of_questions(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    route = router.route_by_all
    monkeypatch.setattr(router, "route_by_all", lambda texts: asked.extend(texts) or route(texts))
    runs = [run for run, _ in explain(router, " ".join(f"word{number}" for number in range(480))).attributions]
    assert (len(runs), len(asked)) == (48, 1 + 48 + 5)
    assert (runs[0], runs[-1].split()[-1]) == (" ".join(f"word{number}" for number in range(10)), "word479")


def test_a_decision_says_all_that_it_promises(router: Router, folder: Path) -> None:
    (decision,) = router.route(["fix the bug in a"])
    answer = decision.as_json()
    assert answer["master"] == "development"
    assert 0 <= answer["in_scope"] <= 1
    assert sum(decision.probabilities.values()) == pytest.approx(1)
    assert answer["confidence"] == pytest.approx(max(decision.probabilities.values()), abs=1e-5)
    assert answer["confidence"] >= answer["alternatives"][0]["probability"]
    logged = {(row["text"], row["master"]) for row in tasks().iter_rows(named=True)}
    for past in answer["evidence"]:
        assert (past["text"], past["master"]) in logged
        assert past["outcome"] in ("succeeded", "not known")
    similarities = [past["similarity"] for past in answer["evidence"]]
    assert (similarities, similarities[0]) == (sorted(similarities, reverse=True), pytest.approx(1.0, abs=1e-3))
    assert len(answer["evidence"]) == 3
    assert answer["latency_ms"] > 0
    assert answer["model_version"] == router.version == content_md5(folder)
    json.dumps(answer)


def test_training_learns_and_company_does_not_matter(router: Router) -> None:
    frame = tasks()
    together = router.route(frame["text"].to_list())
    right = [decision.master == master for decision, master in zip(together, frame["master"], strict=True)]
    assert np.mean(right) > 0.8
    for text, decision in zip(frame["text"], together, strict=True):
        (alone,) = router.route([text])
        assert (alone.master, alone.confidence) == (decision.master, pytest.approx(decision.confidence, abs=1e-4))
    assert (router.route([]), router.masters) == ([], ("cicd", "development", "security"))
    few = tasks()["text"].to_list()
    decisions = router.route(few)
    for index, decision in enumerate(router.route(few * 10)):
        other = decisions[index % len(few)]
        assert (decision.master, decision.confidence) == (other.master, pytest.approx(other.confidence, abs=1e-4))
        assert decision.latency_ms > 0


def test_tasks_that_tfidf_is_sure_of_need_no_encoder(
    tiny_encoder: Path, settings: RoutingSettings, tmp_path: Path
) -> None:
    train(tiny_encoder, settings, tmp_path, tasks(3, 24), adopt_p=1.0, first_tier_risk=0.2)
    bundle = load_router(tmp_path)
    texts = [*tasks(3, 24)["text"], "my knee hurts when I climb stairs", ""]
    cascade = Router.load(tmp_path, tiny_encoder).route(texts)
    first = [text for text, decision in zip(texts, cascade, strict=True) if decision.tier == "tf-idf"]
    assert 10 < len(first) < len(texts) - 1
    assert not set(texts[-2:]) & set(first)
    without = Router(bundle, None, None, None).route(first)  # which has no encoder to ask
    assert without == [decision for decision in cascade if decision.tier == "tf-idf"]
    for text, decision in zip(first, without, strict=True):
        assert (decision.evidence[0]["text"], decision.decided_by, decision.abstained) == (text, "lexical", False)
        assert decision.evidence[0]["similarity"] == pytest.approx(1.0, abs=1e-5)
        assert decision.in_scope >= bundle.config.in_scope


@pytest.mark.parametrize("text", ["", "  \n", "!!! ...", "\ud800", "\x00\x01", "x" * 2_000_000, "日本語", "🙂" * 500])
def test_odd_texts_get_a_clear_answer(router: Router, text: str) -> None:
    (decision,) = router.route([text])
    assert decision.master in router.masters
    assert 0 <= decision.confidence <= 1
    if not any(char.isalnum() for char in text):
        assert (decision.abstained, decision.in_scope, decision.evidence) == (True, 0.0, ())
        assert decision.decided_by == "person"


def test_below_the_threshold_sure_rules_decide_or_a_person(folder: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    router = changed(folder, tiny_encoder, tmp_path, accept=1.0, supporting=0.0, alternatives=1)
    by_rules, by_person = router.route(["fix the bug in a", "fix a"])
    assert (by_rules.master, by_rules.decided_by) == ("development", "rules")
    assert not by_rules.abstained
    assert (by_person.decided_by, by_person.abstained) == ("person", True)
    assert (len(by_rules.supporting), len(by_rules.alternatives)) == (2, 1)


def test_what_is_out_of_scope_is_for_a_person(folder: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    router = changed(folder, tiny_encoder, tmp_path, in_scope=1.0, accept=0.0, evidence=0)
    decision, keywords = router.route(["deploy a", "fix the bug"])
    assert (decision.abstained, decision.evidence) == (True, ())
    # the rules are sure of it, but keywords are no sign that a request is like known tasks
    assert keywords.abstained


def test_the_rules_alone_decide_where_no_model_is_promoted(tmp_path: Path) -> None:
    file = tmp_path / "routing-patterns.json"
    file.write_text(json.dumps(PATTERNS))
    router = Router.from_rules(file, "cicd")
    sure, unknown = router.route(["fix the bug, scan it", "hello"])
    assert (sure.master, sure.decided_by, sure.abstained) == ("development", "rules", False)
    assert sure.alternatives == (("security", 0.5),)
    assert (unknown.master, unknown.decided_by, unknown.confidence) == ("cicd", "person", 0.0)
    assert (unknown.in_scope, Router.from_rules(file, None).route(["hello"])[0].master) == (0.0, None)
    assert set(sure.as_json()) == set(unknown.as_json())
    assert (router.masters, router.weights) == (("development", "legal", "security"), {})
    assert router.candidate_scores(["x"], router.encode(["x"])) == {}
    assert "cortex run" in refusal(RouterError, Router, None, None, None, None)


def test_training_repeats_bytes(folder: Path, tiny_encoder: Path, settings: RoutingSettings, tmp_path: Path) -> None:
    train(tiny_encoder, settings, tmp_path, tasks().reverse(), PATTERNS, adopt_p=1.0)
    names = sorted(file.name for file in folder.iterdir())
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert load_router(tmp_path).version == load_router(folder).version


def test_labels_come_back_as_they_are(tiny_encoder: Path, settings: RoutingSettings, tmp_path: Path) -> None:
    names = {"development": "Dév / ops\u200b", "security": "ſecurity", "cicd": "CI-CD?"}
    frame = tasks().with_columns(pl.col("master").replace(names))
    train(tiny_encoder, settings, tmp_path, frame)
    router = Router.load(tmp_path, tiny_encoder)
    assert set(router.masters) == set(names.values())
    assert {decision.master for decision in router.route(frame["text"].to_list())} <= set(names.values())
    assert router.rules is None


def test_few_tasks_do_not_stop_it_but_one_master_is_nothing_to_decide_between(
    tiny_encoder: Path, settings: RoutingSettings, tmp_path: Path
) -> None:
    frame = pl.concat([tasks(2, 3), tasks(3, 1)[2:]])
    figures = train(tiny_encoder, settings, tmp_path, frame, precision=settings.precision)
    assert figures["smallest_master_tasks"] == 1.0
    assert Router.load(tmp_path, tiny_encoder).route(["fix a"])[0].master is not None
    with pytest.raises(TooFewMastersError, match="at least two masters"):
        train_router(tasks(1), lambda texts: np.zeros((len(texts), 4)), settings, {}, None, tmp_path, tmp_path)


@pytest.mark.parametrize(("file", "content"), CASES["a_damaged_router_is_a_clear_error"])
def test_a_damaged_router_is_a_clear_error(folder: Path, tmp_path: Path, file: str, content: str | None) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / file).write_text(content) if content is not None else (tmp_path / file).unlink()
    with pytest.raises(RouterError, match=file):
        Router.load(tmp_path, tmp_path)


def test_a_router_whose_rules_are_gone_is_a_clear_error(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text()) | {"weights": {"rules": 1.0}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "rules.json").unlink()
    assert "rules.json" in refusal(RouterError, Router.load, tmp_path, tmp_path)


def test_a_decision_repeats_but_for_its_latency_by_the_configuration_as_written(folder: Path, router: Router) -> None:
    assert load_config(folder).masters == ("cicd", "development", "security")
    assert parse_rules(PATTERNS, "x").masters == load_router(folder).rules.masters  # type: ignore[union-attr]
    first, second = (router.route(["deploy a"])[0] for _ in range(2))
    assert isinstance(first, Decision)
    assert replace(first, latency_ms=0.0) == second
