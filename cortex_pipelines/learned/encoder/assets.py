"""The encoder of code in the asset graph."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from cortex_pipelines.annotation.evaluation.agreement import cases
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.embeddings.encoder import HALF, SentenceEncoder, machine_precision, sentence_part
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, weights_folder
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.learned.encoder.comparison import (
    FINE_TUNED,
    EncoderBenchmark,
    encoder_metrics,
    encoder_rows,
    model_name,
)
from cortex_pipelines.learned.encoder.judging import SEARCH, labelled_functions
from cortex_pipelines.learned.encoder.pairs import PAIRS, ProjectFolders, project_pairs, without_duplicates
from cortex_pipelines.learned.encoder.training import fine_tune
from cortex_pipelines.learned.settings import EncoderSettings
from cortex_pipelines.retrieval.settings import RetrievalSettings
from cortex_pipelines.retrieval.vectors import Encode
from cortex_pipelines.schemas.learned import ENCODER_ITEMS, LEADERBOARD
from cortex_pipelines.statistics.leaderboard import leaderboard_table
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.peak_memory import observed_cost

MODEL = "model"  # folder of the encoder that is trained on all projects


@versioned_asset(tables=(ENCODER_ITEMS, LEADERBOARD), partitioned=False, determinism="machine", on_request=True)
def code_encoder(
    code_units: dict[str, Path],
    augmented_units: dict[str, Path],
    code_graph: dict[str, Path],
    refactoring_pairs: dict[str, Path],
    sentence_encoder: PinnedModel,
    encoder_training: EncoderSettings,
    retrieval: RetrievalSettings,
    datasets: DatasetSettings,
    evaluation: EvaluationSettings,
    root: Path,
    out: Path,
    observe: Callable[[str, float], None],
) -> dict[str, pl.DataFrame]:
    """A sentence encoder fine-tuned on the projects' code, against the pretrained one and the search by words."""
    projects = {
        name: ProjectFolders(folder, augmented_units[name], code_graph[name], refactoring_pairs[name])
        for name, folder in code_units.items()
    }
    pretrained = weights_folder(sentence_encoder.source, dict(sentence_encoder.pin), root)
    precision = machine_precision(retrieval.precision, HALF)

    def encoder(folder: Path) -> Encode:
        loaded = SentenceEncoder(folder, retrieval.max_tokens, retrieval.batch, retrieval.threads, precision)
        return lambda texts: sentence_part(loaded.encode(texts))

    def train(pairs: pl.DataFrame, folder: Path) -> Encode | None:
        if pairs.height < encoder_training.batch:
            return None
        fine_tune(pretrained, pairs, encoder_training, folder)
        return encoder(folder)

    def train_for_a_fold(pairs: pl.DataFrame) -> Encode | None:
        with TemporaryDirectory() as scratch:
            return train(pairs, Path(scratch))

    base = encoder(pretrained)
    benchmark = EncoderBenchmark(model_name(sentence_encoder.source), encoder_training)
    benchmark.judge_projects(projects, base, train_for_a_fold, datasets)
    pairs = pl.concat([PAIRS.to_frame(), *(project_pairs(each, encoder_training) for each in projects.values())])
    pairs = without_duplicates(pairs, labelled_functions(cases()), datasets)
    with observed_cost(observe, f"{SEARCH}/{FINE_TUNED}"):
        trained = train(pairs, out / MODEL)
    benchmark.judge_categories(cases(), base, trained)
    for (task, name), seconds in benchmark.seconds.items():
        if (task, name) != (SEARCH, FINE_TUNED):
            observe(f"{task}/{name}/seconds", seconds)
    items = benchmark.items()
    write_json(out / "metrics.json", encoder_metrics(items, pairs, benchmark.narrow))
    return {ENCODER_ITEMS.name: items, LEADERBOARD.name: leaderboard_table(encoder_rows(items, evaluation))}
