"""Fine-tuning of a sentence encoder on pairs, by sentence-transformers."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from cortex_pipelines.embeddings.threads import pinned_threads
from cortex_pipelines.learned.settings import EncoderSettings
from cortex_pipelines.progress import quiet_transformers

_WARMUP = 0.1  # of the steps


def fine_tune(base: Path, pairs: pl.DataFrame, settings: EncoderSettings, out: Path) -> None:
    """Train on ``PAIRS``, and write the encoder to ``out`` as sentence-transformers does.

    What belongs to other pairs of a batch does not belong to an anchor (multiple negatives ranking), nor does the
    pair's own negative. The loss is summed over the ``settings.widths`` first numbers of the vectors (Matryoshka).
    """
    with quiet_transformers(), pinned_threads(settings.threads):
        from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
        from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

        model = SentenceTransformer(str(base), device="cpu", local_files_only=True)
        width = model.get_embedding_dimension()
        model.max_seq_length = min(settings.max_tokens, model.max_seq_length or settings.max_tokens)
        ranking = MultipleNegativesRankingLoss(model)
        widths = sorted({min(each, width or each) for each in settings.widths}, reverse=True)
        loss = MatryoshkaLoss(model, ranking, matryoshka_dims=widths)
        with TemporaryDirectory() as scratch:
            trainer = SentenceTransformerTrainer(
                model=model, args=_arguments(settings, scratch), train_dataset=_data_sets(pairs), loss=loss
            )
            trainer.train()
        model.save_pretrained(str(out), create_model_card=False)


def _arguments(settings: EncoderSettings, scratch: str) -> Any:
    from sentence_transformers import SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import BatchSamplers, MultiDatasetBatchSamplers

    return SentenceTransformerTrainingArguments(
        output_dir=scratch,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        learning_rate=settings.learning_rate,
        warmup_steps=_WARMUP,
        seed=settings.seed,
        data_seed=settings.seed,
        use_cpu=True,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        multi_dataset_batch_sampler=MultiDatasetBatchSamplers.PROPORTIONAL,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _data_sets(pairs: pl.DataFrame) -> dict[str, Any]:
    """Pairs with and without a negative apart: a batch has texts of one kind."""
    from datasets import Dataset

    data_sets: dict[str, Any] = {}
    for (kind, has_negative), rows in pairs.with_columns(has=pl.col("negative").is_not_null()).group_by(
        "kind", "has", maintain_order=True
    ):
        columns = ("anchor", "positive", "negative") if has_negative else ("anchor", "positive")
        data_sets[f"{kind}_with_negatives" if has_negative else str(kind)] = Dataset.from_dict(
            {name: rows[name].to_list() for name in columns}
        )
    return data_sets
