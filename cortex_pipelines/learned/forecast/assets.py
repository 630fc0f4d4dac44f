"""The analyser of performance in the asset graph."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from cortex_pipelines.coordination.settings import CoordinationSettings
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.hyperparameter_search import TRIALS_FILE
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.learned.forecast.collections import all_series
from cortex_pipelines.learned.forecast.compare import NETWORK, ForecastBenchmark, forecast_metrics, forecast_rows
from cortex_pipelines.learned.forecast.network import train_network
from cortex_pipelines.learned.settings import ForecastSettings
from cortex_pipelines.schemas.coordination import SYSTEM_METRICS, WORKER_METRICS
from cortex_pipelines.schemas.feedback import INTERACTIONS
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.learned import FORECAST_ERRORS, FORECAST_SERIES, LEADERBOARD
from cortex_pipelines.statistics.leaderboard import leaderboard_table
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.peak_memory import observed_cost


@versioned_asset(
    tables=(FORECAST_SERIES, FORECAST_ERRORS, LEADERBOARD), partitioned=False, determinism="machine", on_request=True
)
def performance_analyser(
    coordination_tables: Path,
    repository_commits: dict[str, Path],
    interactions: Path,
    forecasts: ForecastSettings,
    evaluation: EvaluationSettings,
    coordination: CoordinationSettings,
    out: Path,
    observe: Callable[[str, float], None],
) -> dict[str, pl.DataFrame]:
    """Forecast workers' metrics and other real series: an LSTM with attention against plainer ways."""
    metrics = pl.concat(table.read(coordination_tables) for table in (WORKER_METRICS, SYSTEM_METRICS))
    commits = {project: REPOSITORY_COMMITS.read(folder) for project, folder in repository_commits.items()}
    series = all_series(forecasts.collections, metrics, commits, INTERACTIONS.read(interactions))
    benchmark = ForecastBenchmark(series, forecasts)
    with observed_cost(observe, f"forecast/{NETWORK}"):
        trained = train_network(benchmark.training_series(), forecasts, out / TRIALS_FILE)
    if trained is not None:
        trained[0].save(out)
        write_json(out / TRIALS_FILE, trained[1].as_json("pinball loss"))
    benchmark.run(None if trained is None else trained[0])
    for name, seconds in benchmark.seconds.items():
        if name != NETWORK:
            observe(f"forecast/{name}/seconds", seconds)
    tables = benchmark.tables()
    write_json(out / "metrics.json", forecast_metrics(tables, coordination.sample))
    rows = forecast_rows(tables[FORECAST_ERRORS.name], evaluation)
    return {**tables, LEADERBOARD.name: leaderboard_table(rows)}
