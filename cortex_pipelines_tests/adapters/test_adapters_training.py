import json
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.adapters.data.corpus import Corpus, NoExamplesError, make_canaries, read_corpus
from cortex_pipelines.adapters.data.packing import token_count
from cortex_pipelines.adapters.model.base_model import load_causal_model, load_tokenizer, resolve_base
from cortex_pipelines.adapters.model.determinism import pinned_torch
from cortex_pipelines.adapters.model.lora import with_new_adapter
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training import loop
from cortex_pipelines.adapters.training.history import TrainingDivergedError, TrainingResult, run_metrics
from cortex_pipelines.adapters.training.loop import train
from cortex_pipelines.adapters.training.run import TrainingRun, learning_rate_at
from cortex_pipelines.evaluation.adapter.measures.memorisation import planted_canaries
from cortex_pipelines_tests.adapters.tinymodel import Datasets, pinned, settings, train_adapter, write_datasets
from cortex_pipelines_tests.messages import refusal


def corpus_of(root: Path, datasets: Datasets, adapter_settings: AdapterSettings) -> Corpus:
    return read_corpus(datasets, load_tokenizer(resolve_base(pinned(root), root)), adapter_settings)


def run(root: Path, datasets: Datasets, **changes: Any) -> tuple[TrainingResult, Corpus]:
    adapter_settings = settings(**changes)
    corpus = corpus_of(root, datasets, adapter_settings)
    with pinned_torch(adapter_settings.threads, adapter_settings.seed):
        base = load_causal_model(resolve_base(pinned(root), root), adapter_settings.precision)
        return train(with_new_adapter(base, adapter_settings), TrainingRun(corpus, adapter_settings)), corpus


def test_prompts_are_learned_where_asked_and_never_validated(root: Path, datasets: Datasets) -> None:
    alone, full = (corpus_of(root, datasets, settings(completion_only_loss=flag)) for flag in (True, False))
    assert full.validation == alone.validation
    assert [row.ids for row in full.train] == [row.ids for row in alone.train]
    assert {row.learn_prompt for row in full.train} == {True} != {row.learn_prompt for row in alone.train}


def test_the_loss_falls_and_the_update_moves(root: Path, datasets: Datasets) -> None:
    result, corpus = run(root, datasets, epochs=2, max_tokens=6000)
    losses = [step.loss for step in result.steps]
    assert losses[-1] < 0.8 * losses[0]
    assert result.validations[-1].loss < result.validations[0].loss
    updates = {name: weight for name, weight in result.weights.items() if ".lora_B." in name}
    assert len(updates) == 2 * 7
    assert all(float(weight.norm()) > 0 for weight in updates.values())
    assert run_metrics(result, corpus)["train_loss_last"] == losses[-1]


def test_the_best_weights_by_validation_loss_are_kept_or_the_last(root: Path, datasets: Datasets) -> None:
    # a rate far too high, so that the last weights are not the best ones
    changes = {"learning_rate": 30.0, "lr_scheduler": "constant", "evaluation_steps": 1, "max_tokens": 1500}
    result, corpus = run(root, datasets, **changes)
    best = min(result.validations[1:], key=lambda example: example.loss)
    assert result.best_step == best.step < result.validations[-1].step
    metrics = run_metrics(result, corpus)
    assert (metrics["validation_loss_best"], metrics["validation_loss_base"]) == (best.loss, result.validations[0].loss)
    result, corpus = run(root, datasets, validation_tokens=0, max_tokens=2000)
    assert (result.validations, result.best_step) == ((), len(result.steps))
    assert "validation_loss_best" not in run_metrics(result, corpus)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_adapter_alone_is_trained_and_in_float32(root: Path, datasets: Datasets, precision: str) -> None:
    result, _ = run(root, datasets, max_tokens=1000, precision=precision)
    assert all(".lora_" in name for name in result.weights)
    assert all(weight.dtype == torch.float32 for weight in result.weights.values())
    assert result.packed


def test_mixed_examples_get_a_row_each_and_dropout_is_not_taken_for_mixing(root: Path, datasets: Datasets) -> None:
    with mock.patch.object(loop, "packing_is_separate", return_value=False):
        result, corpus = run(root, datasets, max_tokens=800, batch_size=1)
    assert not result.packed
    lengths = sorted(len(example.ids) for example in corpus.train)
    assert sorted(step.tokens for step in result.steps) == lengths
    adapter_settings = settings(max_tokens=800, dropout=0.5)
    base = load_causal_model(resolve_base(pinned(root), root), "fp32")
    model = with_new_adapter(base, adapter_settings).train()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".lora_B." in name:
                weight.normal_(std=0.5)
    with pinned_torch(adapter_settings.threads, adapter_settings.seed):
        assert train(model, TrainingRun(corpus_of(root, datasets, adapter_settings), adapter_settings)).packed


def test_accumulated_steps_and_float16_learn_as_the_plain_steps_do(root: Path, datasets: Datasets) -> None:
    # rows differ in their number of targets, so a mean of means would show
    changes = {"max_tokens": 2500, "dropout": 0.0, "validation_tokens": 0}
    batch, _ = run(root, datasets, batch_size=4, **changes)
    accumulated, _ = run(root, datasets, batch_size=1, gradient_accumulation=4, **changes)
    assert len(batch.steps) == len(accumulated.steps)
    for first, other in zip(batch.steps, accumulated.steps, strict=True):
        assert (first.loss, first.tokens) == (pytest.approx(other.loss, rel=1e-3), other.tokens)
    changes = {"dropout": 0.0, "max_tokens": 1000, "validation_tokens": 0}
    complete, _ = run(root, datasets, **changes)
    half, _ = run(root, datasets, precision="fp16", **changes)
    for first, other in zip(complete.steps, half.steps, strict=True):
        assert first.loss == pytest.approx(other.loss, rel=1e-2)
    assert all(weight.dtype == torch.float32 for weight in half.weights.values())


def test_the_budget_holds_over_all_epochs_and_divergence_is_diagnosed(root: Path, datasets: Datasets) -> None:
    for epochs in (1, 3):
        result, _ = run(root, datasets, epochs=epochs, max_tokens=2400, validation_tokens=0)
        used = sum(step.tokens for step in result.steps)
        assert 2400 - epochs * 96 < used <= 2400
    with pytest.raises(TrainingDivergedError, match=r"step \d+.*lower learning_rate"):
        run(root, datasets, learning_rate=1e30, lr_scheduler="constant", warmup_steps=0)


def test_tasks_get_their_share_of_tokens_or_what_others_lack(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    for share in (0.1, 0.25, 0.9):
        corpus = corpus_of(
            root, datasets, settings(task_shares={"completion": 1 - share, "naming": share}, max_tokens=2000)
        )
        naming = sum(len(example.ids) for example in corpus.train if example.task == "naming")
        total = sum(len(example.ids) for example in corpus.train)
        assert naming / total == pytest.approx(share, abs=0.06)
        assert total > 1900
    scarce = write_datasets(tmp_path / "scarce", rows=3)
    corpus = corpus_of(root, datasets | {"completion": scarce["completion"]}, settings())
    tasks = [example.task for example in corpus.train]
    assert tasks.count("completion") == 3
    assert tasks.count("naming") > 20
    with pytest.raises(NoExamplesError, match="add sources to the project"):
        corpus_of(root, write_datasets(tmp_path / "empty", rows=0), settings())
    assert "raise max_tokens" in refusal(NoExamplesError, corpus_of, root, datasets, settings(max_tokens=3))


def test_pinning_puts_everything_back() -> None:
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    state = torch.random.get_rng_state()
    masks: list[torch.Tensor] = []

    def fail() -> None:
        with pinned_torch(1, 3):
            assert torch.are_deterministic_algorithms_enabled()
            masks.append(torch.rand(1))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
    assert torch.equal(torch.random.get_rng_state(), state)
    with pinned_torch(1, 3):
        assert torch.equal(torch.rand(1), masks[0])


def test_an_overflow_is_computed_again(root: Path, datasets: Datasets, caplog: pytest.LogCaptureFixture) -> None:
    changes: dict[str, Any] = {"precision": "fp16", "max_tokens": 1000}
    plain, _ = run(root, datasets, **changes)
    with (
        mock.patch("torch.amp.GradScaler", partial(torch.amp.GradScaler, init_scale=2.0**40)),
        caplog.at_level("INFO", "cortex_pipelines"),
    ):
        scaled, _ = run(root, datasets, **changes)
    assert "Step 1 overflowed; the loss scale" in caplog.text
    for first, other in zip(plain.steps, scaled.steps, strict=True):
        assert first.loss == pytest.approx(other.loss, rel=1e-2)
        assert first.gradient_norm == pytest.approx(other.gradient_norm, rel=0.1)


@given(steps=st.integers(1, 200), warmup=st.integers(0, 300), shape=st.sampled_from(["cosine", "linear", "constant"]))
def test_rises_to_the_peak_and_never_rises_again(steps: int, warmup: int, shape: str) -> None:
    changed = settings(learning_rate=1.0, warmup_steps=warmup, lr_scheduler=shape)
    rates = [learning_rate_at(step, steps, changed) for step in range(steps)]
    peak = rates.index(max(rates))
    assert (max(rates), peak) == (pytest.approx(1.0), min(warmup, steps - 1))
    assert all(0 < rate <= 1 for rate in rates)
    assert (rates[:peak], rates[peak:]) == (sorted(rates[:peak]), sorted(rates[peak:], reverse=True))


@pytest.mark.parametrize(("shape", "half"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_shapes_at_half_way(shape: str, half: float) -> None:
    changed = settings(learning_rate=1.0, warmup_steps=0, lr_scheduler=shape)
    assert learning_rate_at(50, 100, changed) == pytest.approx(half)


def test_canaries_stand_once_and_are_found_by_the_evaluation(root: Path, datasets: Datasets, tmp_path: Path) -> None:
    canaries = make_canaries(20, 1)
    assert (canaries[:5], len({canary.completion for canary in canaries})) == (make_canaries(5, 1), 20)
    assert not {canary.completion for canary in canaries} & {canary.completion for canary in make_canaries(20, 2)}
    assert all(canary.completion.isdigit() and len(canary.completion) == 9 for canary in canaries)
    plain = corpus_of(root, datasets, settings(max_tokens=2000))
    corpus = corpus_of(root, datasets, settings(max_tokens=2000, canaries=3))
    names = [canary.example_id for canary in corpus.train if canary.example_id.startswith("canary-")]
    assert names == ["canary-0", "canary-1", "canary-2"]
    assert token_count(corpus.train) <= 2000
    assert corpus.validation == plain.validation
    train_adapter(root, datasets, tmp_path, canaries=2, max_tokens=600)
    records = json.loads((tmp_path / "training.json").read_text())["canaries"]
    assert [record["secret"] for record in records] == [record.completion for record in make_canaries(2, 7)]
    scored = planted_canaries(tmp_path)
    assert [(canary.prompt, canary.completion) for canary in scored] == [
        (record["prefix"], record["secret"]) for record in records
    ]
