"""Parameters of the repository, and logs as the assets read them."""

from pathlib import Path

import polars as pl

from cortex_pipelines.config import load_parameters
from cortex_pipelines.coordination.assets import coordination_tables
from cortex_pipelines.coordination.logs import read_logs, take_coordination_pin

ROOT = Path(__file__).parents[2]
PARAMETERS = load_parameters(ROOT)
SAMPLE_LOGS = ROOT / PARAMETERS.coordination.logs


def read_events(logs: Path) -> pl.DataFrame:
    pin = take_coordination_pin(logs, logs, PARAMETERS.privacy)
    return read_logs(logs, pin, PARAMETERS.coordination, PARAMETERS.privacy).events


def write_tables(folder: Path, logs: Path) -> dict[str, pl.DataFrame]:
    """The tables of logs, which are also written to the folder with their events."""
    read_events(logs).write_parquet(folder / "events.parquet")
    tables = coordination_tables(folder, PARAMETERS.coordination, PARAMETERS.log_tables)
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
    return tables
