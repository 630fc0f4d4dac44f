"""Canaries are planted, listed, and tell a model that has seen them from one that has not."""

import json
from pathlib import Path

from cortex_pipelines.adapters.data.canaries import planted
from cortex_pipelines.adapters.data.corpus import token_count
from cortex_pipelines.evaluation.adapter.measures.canary_exposure import planted_canaries
from cortex_pipelines_tests.adapters.test_adapters_training import Datasets, corpus_of
from cortex_pipelines_tests.adapters.tinymodel import settings, train_adapter


def test_canaries_differ_and_depend_on_the_seed_alone() -> None:
    found = planted(20, 1)
    assert found[:5] == planted(5, 1)
    assert len({one.completion for one in found}) == 20
    assert not {one.completion for one in found} & {one.completion for one in planted(20, 2)}
    assert all(one.completion.isdigit() and len(one.completion) == 9 for one in found)


def test_they_stand_once_among_the_examples_within_the_budget(
    root: Path, datasets: Datasets
) -> None:
    plain = corpus_of(root, datasets, settings(max_tokens=2000))
    corpus = corpus_of(root, datasets, settings(max_tokens=2000, canaries=3))
    names = [one.example_id for one in corpus.train if one.example_id.startswith("canary-")]
    assert names == ["canary-0", "canary-1", "canary-2"]
    assert token_count(corpus.train) <= 2000
    assert corpus.validation == plain.validation


def test_the_evaluation_finds_those_that_training_planted(
    root: Path, datasets: Datasets, tmp_path: Path
) -> None:
    train_adapter(root, datasets, tmp_path, canaries=2, max_tokens=600)
    listed = json.loads((tmp_path / "training.json").read_text())["canaries"]
    assert [one["secret"] for one in listed] == [one.completion for one in planted(2, 7)]
    asked = planted_canaries(tmp_path)
    assert [(one.prompt, one.completion) for one in asked] == [
        (one["prefix"], one["secret"]) for one in listed
    ]
