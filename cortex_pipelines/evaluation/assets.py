"""Evaluation of the adapters against their base and the champion, on held-out code."""

from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.examples import TASKS
from cortex_pipelines.evaluation.adapter_evaluation import AdapterVersion, evaluate_adapter
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.weights import PinnedModel
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas import ADAPTER_SCORES
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.opponent import Opponent


@versioned_asset(
    tables=(ADAPTER_SCORES,),
    code=(
        "cortex_pipelines/adapters/base_model.py",
        "cortex_pipelines/adapters/determinism.py",
        "cortex_pipelines/adapters/examples.py",
        "cortex_pipelines/adapters/lora.py",
        "cortex_pipelines/adapters/loss.py",
        "cortex_pipelines/adapters/packing.py",
        "cortex_pipelines/adapters/settings.py",
        "cortex_pipelines/evaluation/adapter_evaluation.py",
        "cortex_pipelines/evaluation/adapter_report.py",
        "cortex_pipelines/evaluation/adapter_scores.py",
        "cortex_pipelines/evaluation/assets.py",
        "cortex_pipelines/evaluation/likelihood.py",
        "cortex_pipelines/evaluation/settings.py",
        "cortex_pipelines/evaluation/statistics.py",
        "cortex_pipelines/evaluation/text_similarity.py",
        "cortex_pipelines/ingestion/cache.py",
        "cortex_pipelines/ingestion/weights.py",
        "cortex_pipelines/schemas.py",
    ),
    determinism="machine",
    champion_of="code_adapter",
)
def code_adapter_evaluation(
    code_adapter: Path,
    completion_dataset: Path,
    refactoring_dataset: Path,
    naming_dataset: Path,
    architecture_dataset: Path,
    base_model: PinnedModel,
    evaluation: EvaluationSettings,
    opponent: Opponent | None,
    versions: dict[str, str],
    out: Path,
    root: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Bits per byte of adapter, base and champion on held-out code, item by item, with a report."""
    folders = (completion_dataset, refactoring_dataset, naming_dataset, architecture_dataset)
    scores = evaluate_adapter(
        AdapterVersion(versions["code_adapter"], code_adapter),
        AdapterVersion(opponent.version, opponent.folder) if opponent else None,
        dict(zip(TASKS, folders, strict=True)),
        base_model,
        evaluation,
        out,
        root,
        cache,
    )
    return {"scores": scores}
