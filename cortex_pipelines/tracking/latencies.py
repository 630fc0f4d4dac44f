"""How long people wait for a model: beside its outputs, since times are the same in no two measurements."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from cortex_pipelines import pages
from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.tracking.model_versions import find_version
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.project import Project

FILE = Path(".cortex", "cache", "latency.json")
"""What was measured on this machine, relative to a project's root."""
PAGES = FILE.with_suffix("")
"""A page a version, which the report of its evaluation embeds."""

COLUMNS = ("engine", "first token, ms", "40 tokens, ms", "tokens/s", "MB", "measured on")
NOTE = (
    "Median and 95th percentile, for a prompt of 512 tokens that was read before; memory is that of engine and model."
)


@dataclass(frozen=True)
class Latency:
    """Of a model by one engine: milliseconds, tokens a second of an answer, MB of the engine's processes."""

    engine: str
    precision: str
    threads: int
    answers: int
    first_token_ms_p50: float
    first_token_ms_p95: float
    tokens_40_ms_p50: float
    tokens_40_ms_p95: float
    tokens_per_second: float
    memory_mb: float
    processor: str

    @property
    def way(self) -> str:
        return f"{self.engine} ({self.precision}, {self.threads} threads)"

    def row(self) -> tuple[str, ...]:
        return (
            self.way,
            f"{self.first_token_ms_p50:.0f} ({self.first_token_ms_p95:.0f})",
            f"{self.tokens_40_ms_p50:.0f} ({self.tokens_40_ms_p95:.0f})",
            f"{self.tokens_per_second:.0f}",
            f"{self.memory_mb:.0f}",
            f"{self.processor}, {self.answers} answers",
        )


def record(project: Project, name: str, version: str, latency: Latency) -> None:
    """Remember on this machine; where MLflow knows the version, also log to the run that released it."""
    from mlflow.entities import Metric

    path = project.root / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")), atomic_file(path, durable=False) as file:
        remembered = _remembered(path)
        remembered.setdefault(version, {})[latency.engine] = latency
        file.write_text(json.dumps(remembered, default=asdict, indent=1, sort_keys=True), encoding="utf-8")
        _write_page(project.root / PAGES / f"{version}.html", name, remembered[version].values())
    number = find_version(project, name, version)
    if number is None:
        return
    client, milliseconds = open_client(project.root), int(time.time() * 1000)
    if run_id := client.get_model_version(name, number).run_id:
        values = {key: value for key, value in asdict(latency).items() if isinstance(value, float)}
        metrics = [Metric(f"latency/{latency.engine}/{key}", value, milliseconds, 0) for key, value in values.items()]
        client.log_batch(run_id, metrics=metrics)


def _write_page(path: Path, name: str, latencies: Iterable[Latency]) -> None:
    path.parent.mkdir(exist_ok=True)
    parts = (pages.paragraph(NOTE), pages.table(COLUMNS, [latency.row() for latency in latencies]))
    path.write_text(pages.page(name, parts), encoding="utf-8")


def recorded(root: Path, version: str | None) -> list[Latency]:
    """What was measured of a version on this machine, by engine."""
    return list(_remembered(root / FILE).get(version or "", {}).values())


def _remembered(path: Path) -> dict[str, dict[str, Latency]]:
    """By version and engine; empty if the file is damaged: what it held can be measured again."""
    try:
        remembered = json.loads(path.read_text(encoding="utf-8")).items()
        return {version: {name: Latency(**each) for name, each in engines.items()} for version, engines in remembered}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def as_markdown(latencies: Iterable[Latency]) -> str:
    """A section of a model card; empty without latencies."""
    rows = [f"| {' | '.join(latency.row())} |" for latency in latencies]
    if not rows:
        return ""
    head = (f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}")
    return "\n".join(("", "## How long it lets people wait", "", NOTE, "", *head, *rows, ""))
