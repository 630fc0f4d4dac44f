import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from cortex_pipelines.adapters.data.corpus import GENERAL, Corpus, read_corpus
from cortex_pipelines.adapters.data.packing import token_count
from cortex_pipelines.adapters.model.base_model import load_tokenizer, resolve_base
from cortex_pipelines.adapters.model.lora import SEEN, TRAINING, ParentError, adapter_for, trained_tasks
from cortex_pipelines.prompts.examples import Example, prompt_segments, read_examples
from cortex_pipelines.schemas.datasets import TESTS_DATASET
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines.tokenization.text_encoder import Segment, as_text
from cortex_pipelines.versioning.asset import LoadVersion
from cortex_pipelines_tests.adapters.tinymodel import (
    Datasets,
    Train,
    byte_tokenizer,
    example,
    pinned,
    settings,
    train_adapter,
    train_record,
    write_datasets,
    write_tiny_base,
)
from cortex_pipelines_tests.tokenization.families import qwen


@pytest.fixture(scope="module")
def first(root: Path, datasets: Datasets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("versions") / "first"
    out.mkdir()
    train_adapter(root, datasets, out)
    return out


def corpus_of(root: Path, datasets: Datasets, general: Path | None, **changes: Any) -> Corpus:
    tokenizer = load_tokenizer(resolve_base(pinned(root), root))
    return read_corpus(datasets, tokenizer, settings(**changes), general)


def versions_in(folder: Path) -> LoadVersion:
    return lambda model, project, version: (
        folder / version if (model, project) == ("code_adapter", "mine") else folder / "nothing"
    )


def from_first(root: Path, datasets: Datasets, first: Path, out: Path, **changes: Any) -> Any:
    settings = {"parents": {"mine": "first"}, **changes}
    return train_record(root, datasets, out, load_version=versions_in(first.parent), **settings)


def test_a_warm_start_begins_as_its_parent_ended(root: Path, datasets: Datasets, first: Path, tmp_path: Path) -> None:
    still = {"learning_rate": 1e-12, "max_tokens": 400, "dropout": 0.0}
    record = from_first(root, datasets, first, tmp_path / "still", **still)
    before = load_file(first / "adapter_model.safetensors")
    after = load_file(tmp_path / "still" / "adapter_model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert record["parent"] == "first"
    load_version = json.loads((first / "training.json").read_text())
    assert load_version["parent"] is None
    # the first validation is still the base's
    assert record["validation"][0] == load_version["validation"][0]
    assert record["validation"][-1]["loss"] < record["validation"][0]["loss"]


def test_only_a_parent_that_fits_is_taken(root: Path, datasets: Datasets, first: Path, tmp_path: Path) -> None:
    other = from_first(root, datasets, first, tmp_path / "other", parents={"other": "first"}, max_tokens=400)
    assert other["parent"] is None
    for changes in ({"rank": 2}, {"target_modules": ["q_proj"]}):
        with pytest.raises(ParentError, match=r"rank 4 on .*adapters.rank and target_modules"):
            from_first(root, datasets, first, tmp_path / next(iter(changes)), **changes)
    config = write_tiny_base(tmp_path / "base") / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(ParentError, match=r"another base \(directory:base"):
        from_first(tmp_path, datasets, first, tmp_path / "out")


def test_each_task_gets_an_adapter_of_its_own(root: Path, datasets: Datasets, first: Path, tmp_path: Path) -> None:
    out = tmp_path / "tasks"
    record = from_first(root, datasets, first, out, per_task=True, parents={}, max_tokens=3000)
    assert record["tasks"] == ["completion", "naming"]
    assert (record["parent"], record["settings"]["rank"]) == (None, 4)
    assert (adapter_for(out, "naming"), adapter_for(out, "architecture")) == (out / "naming", None)
    assert adapter_for(first, "naming") == first
    metrics = record["metrics"]
    assert metrics["partial"] == 0
    assert 650 < metrics["naming/train_tokens"] <= 750
    assert 2100 < metrics["completion/train_tokens"] <= 2250
    weights = [load_file(out / task / "adapter_model.safetensors") for task in record["tasks"]]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    with pytest.raises(ParentError, match="per_task: true"):
        train_adapter(root, datasets, tmp_path, parents={"mine": "tasks"}, load_version=versions_in(tmp_path))


def test_other_code_is_replayed_up_to_its_share_of_what_is_seen(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    general = write_datasets(tmp_path / "general")["completion"]
    corpus = corpus_of(root, datasets, general, replay_share=0.2)
    assert {example.task for example in corpus.replayed} == {GENERAL}
    assert {example.task for example in corpus.general} == {GENERAL}
    share = sum(len(example.ids) for example in corpus.replayed) / 4000
    assert 0.15 < share <= 0.2
    assert sum(len(example.ids) for example in corpus.train) <= 4000
    assert corpus_of(root, datasets, None, replay_share=0.2).replayed == ()
    held_out = {example.example_id for example in corpus.general}
    assert not held_out & {example.example_id for example in corpus.replayed}
    corpus = corpus_of(root, datasets, general, max_tokens=10_000_000, replay_share=0.2)
    tokens = token_count(corpus.train)
    assert tokens < 10_000_000
    project_ids = [example.example_id for example in corpus.train if example.task != GENERAL]
    assert len(set(project_ids)) == len(project_ids)
    alone = corpus_of(root, datasets, None, max_tokens=10_000_000)
    assert token_count(corpus.train) - token_count(corpus.replayed) == token_count(alone.train)
    assert token_count(corpus.replayed) <= 0.2 * tokens


def test_forgetting_is_measured_with_and_without_replay(train: Train, tmp_path: Path) -> None:
    general = write_datasets(tmp_path / "general")["completion"]
    for split in ("train", "validation", "test"):
        frame = pl.read_parquet(general / f"{split}.parquet")
        other = frame.with_columns(prompt=pl.lit("zq: "), completion=pl.lit("#!%&/()=?{[]}"))
        other.write_parquet(general / f"{split}.parquet")
    losses = {}
    for share in (0.0, 0.4):
        record = train(str(share), general=general, replay_share=share)
        losses[share] = record["metrics"]["general_loss_after"]
    assert losses[0.4] < losses[0.0] - 1


def test_gaps_are_sampled_at_their_rate(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    mixed = write_datasets(tmp_path)
    for split in ("train", "validation", "test"):
        frame = pl.read_parquet(mixed["completion"] / f"{split}.parquet")
        gap = pl.int_range(frame.height) % 2 == 0
        frame.with_columns(
            task=pl.when(gap).then(pl.lit("fim")).otherwise(pl.lit("completion")),
            suffix=pl.when(gap).then(pl.lit("# after\n")).otherwise(pl.lit("")),
        ).write_parquet(mixed["completion"] / f"{split}.parquet")
    gaps = {
        example.example_id for example in read_examples(mixed["completion"], "completion", "train") if example.suffix
    }
    assert len(gaps) == 30
    changes = {"task_shares": {"completion": 1.0}, "max_tokens": 1500}
    for rate in (0.0, 0.4):
        corpus = corpus_of(root, mixed, None, fim_rate=rate, **changes)
        tokens = [len(example.ids) for example in corpus.train if example.example_id in gaps]
        assert sum(tokens) / 1500 == pytest.approx(rate, abs=0.08)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_corrections_get_their_rate_of_refactoring(root: Path, datasets: Datasets, tmp_path: Path, rate: float) -> None:
    taught = write_datasets(tmp_path, feedback=60)
    changes = {"task_shares": {"completion": 0.5, "refactoring": 0.5}, "max_tokens": 3000}
    corpus = corpus_of(root, taught, None, feedback_rate=rate, **changes)
    parts = {task: [example for example in corpus.train if example.task == task] for task in taught}
    assert token_count(parts["feedback"]) / 3000 == pytest.approx(rate / 2, abs=0.08)
    assert token_count(parts["refactoring"]) / 3000 == pytest.approx((1 - rate) / 2, abs=0.08)
    # without corrections the rate is ignored
    assert corpus_of(root, datasets, None, feedback_rate=rate, **changes) == corpus_of(
        root, datasets, None, feedback_rate=0.0, **changes
    )


def test_with_an_adapter_a_task_corrections_teach_the_one_that_refactors(root: Path, tmp_path: Path) -> None:
    taught, out = write_datasets(tmp_path / "data", rows=9, feedback=9), tmp_path / "out"
    out.mkdir()
    shares = {"naming": 0.5, "refactoring": 0.5}
    train_adapter(root, taught, out, per_task=True, task_shares=shares, max_tokens=1500)
    trained_ids = {task: json.loads((out / task / SEEN).read_text()) for task in shares}
    assert (set(trained_ids["naming"]), set(trained_ids["refactoring"])) == ({"naming"}, {"refactoring", "feedback"})
    assert {path.name for path in out.iterdir() if path.is_dir()} == set(shares)


def test_a_task_without_examples_gets_no_adapter_of_its_own(root: Path, tmp_path: Path) -> None:
    """A project without a docstring or a test is trained on what it has."""
    taught, out = write_datasets(tmp_path / "data", rows=9), tmp_path / "out"
    for split in SPLITS:
        TESTS_DATASET[0].empty().write_parquet(taught["tests"] / f"{split}.parquet")
    out.mkdir()
    shares = {"documentation": 0.5, "tests": 0.5}
    train_adapter(root, taught, out, per_task=True, task_shares=shares, max_tokens=800)
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"documentation"}
    assert json.loads((out / TRAINING).read_text())["tasks"] == ["documentation"]
    assert trained_tasks(out) == ("documentation", "tests")
    together = tmp_path / "together"
    together.mkdir()
    train_adapter(root, taught, together, task_shares=shares, max_tokens=800)
    assert set(json.loads((together / SEEN).read_text())) == {"documentation"}


def test_a_gap_is_marked_with_the_base_s_own_tokens_or_gone_on_with_last() -> None:
    complete = example(1, prompt="def f():\n", completion="    return 1\n")
    gap = Example(**{**complete.__dict__, "suffix": "\nf()\n"})
    plain = byte_tokenizer()
    assert as_text(prompt_segments(plain, complete)) == complete.prompt
    assert as_text(prompt_segments(plain, gap)) == "f()\n\ndef f():\n"
    assert as_text(prompt_segments(plain, replace(gap, suffix="\n"))) == complete.prompt
    prefix, suffix, middle = (Segment(f"<|fim_{part}|>", control=True) for part in ("prefix", "suffix", "middle"))
    assert prompt_segments(qwen(), gap) == (
        prefix,
        Segment("def f():\n"),
        suffix,
        Segment("\nf()\n", continues=True),
        middle,
    )
