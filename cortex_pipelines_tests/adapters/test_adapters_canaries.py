"""Canaries are planted, listed, and tell a model that has seen them from one that has not."""

import json
from pathlib import Path

from cortex_pipelines.adapters.data.corpus import make_canaries, token_count
from cortex_pipelines.evaluation.adapter.measures.memorisation import planted_canaries
from cortex_pipelines_tests.adapters.test_adapters_training import Datasets, corpus_of
from cortex_pipelines_tests.adapters.tinymodel import settings, train_adapter


def test_canaries_differ_and_depend_on_the_seed_alone() -> None:
    canaries = make_canaries(20, 1)
    assert canaries[:5] == make_canaries(5, 1)
    assert len({canary.completion for canary in canaries}) == 20
    assert not {canary.completion for canary in canaries} & {canary.completion for canary in make_canaries(20, 2)}
    assert all(canary.completion.isdigit() and len(canary.completion) == 9 for canary in canaries)


def test_they_stand_once_among_the_examples_within_the_budget(root: Path, datasets: Datasets) -> None:
    plain = corpus_of(root, datasets, settings(max_tokens=2000))
    corpus = corpus_of(root, datasets, settings(max_tokens=2000, canaries=3))
    names = [canary.example_id for canary in corpus.train if canary.example_id.startswith("canary-")]
    assert names == ["canary-0", "canary-1", "canary-2"]
    assert token_count(corpus.train) <= 2000
    assert corpus.validation == plain.validation


def test_the_evaluation_finds_those_that_training_planted(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    train_adapter(root, datasets, tmp_path, canaries=2, max_tokens=600)
    records = json.loads((tmp_path / "training.json").read_text())["canaries"]
    assert [record["secret"] for record in records] == [record.completion for record in make_canaries(2, 7)]
    scored = planted_canaries(tmp_path)
    assert [(canary.prompt, canary.completion) for canary in scored] == [
        (record["prefix"], record["secret"]) for record in records
    ]
