"""A base, data sets, a repository, and adapters trained on them, as inputs of evaluations."""

import json
from collections.abc import Callable
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import torch

from cortex_pipelines.config import load_parameters
from cortex_pipelines.datasets.settings import GeneralSettings
from cortex_pipelines.evaluation.adapter.assets import code_adapter_evaluation
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.prompts.examples import DATASETS
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines.versioning.champions import ReferenceModel
from cortex_pipelines.versioning.project import read_yaml
from cortex_pipelines_tests.adapters import tinymodel

PARAMETERS = load_parameters(Path(__file__).parents[2])
PROJECT = "project"
SOURCE = "s"
SETTINGS: dict[str, Any] = dict(read_yaml(Path(__file__).with_name("settings.yaml")))


class Workshop:
    """A base, data sets, and adapters trained on them."""

    def __init__(self, root: Path, write_base: Callable[[Path], Any] = tinymodel.write_tiny_base) -> None:
        self.root = root
        self.observed: dict[str, float] = {}
        self.outs: list[Path] = []
        write_base(root / "base")
        self.datasets = tinymodel.write_datasets(root / "datasets")
        self.trained = self.adapter("trained", max_tokens=6000)

    def adapter(self, name: str, **changes: Any) -> Path:
        out = self.root / "adapters" / name
        out.mkdir(parents=True)
        tinymodel.train_adapter(self.root, self.datasets, out, **changes)
        return out

    @cached_property
    def untouched(self) -> Path:
        """An adapter whose update is zero."""
        from safetensors.torch import load_file, save_file

        out = self.adapter("untouched", max_tokens=300)
        weights = load_file(out / "adapter_model.safetensors")
        cleared = {key: torch.zeros_like(value) if ".lora_B." in key else value for key, value in weights.items()}
        save_file(cleared, out / "adapter_model.safetensors", metadata={"format": "pt"})
        return out

    def repository(self, files: dict[str, str]) -> tuple[Path, Path]:
        """Folders of a repository's files and of its units."""
        columns = {"source": SOURCE, "blob": "b", "revision": "r", "trainable": True}
        columns |= {"generated": False, "notebook": False}
        texts = [
            {"path": path, "language": "yaml" if path.endswith(".yaml") else "python", "size_bytes": len(text)}
            | {"text": text, **columns}
            for path, text in files.items()
        ]
        frame = REPOSITORY_FILES.frame(texts)
        folder = self.root / "repositories" / sha256(str(files).encode()).hexdigest()[:8]
        for name in ("files", "units"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        frame.write_parquet(folder / "files" / "files.parquet")
        units = extract(frame, PARAMETERS.extraction).units
        units.write_parquet(folder / "units" / "units.parquet")
        return folder / "files", folder / "units"

    def tables(
        self,
        adapter: Path,
        reference: ReferenceModel | None = None,
        datasets: dict[str, Path] | None = None,
        cache: Path | None = None,
        general: tuple[Path, str | None] | None = None,
        repository: tuple[Path, Path] | None = None,
        **changes: Any,
    ) -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
        """All tables of an evaluation, and its metrics; its folder becomes the last of ``outs``."""
        out = self.root / "evaluations" / str(len(self.outs))
        out.mkdir(parents=True)
        self.outs.append(out)
        general_code, general_project = general or (self.datasets["completion"], None)
        frames = code_adapter_evaluation(
            adapter,
            *((datasets or self.datasets)[name] for name in DATASETS),
            *(general_code, *(repository or self.repository({})), tinymodel.pinned(self.root)),
            *(EvaluationSettings.model_validate({**SETTINGS, **changes}), GeneralSettings(project=general_project)),
            *(PARAMETERS.datasets, PARAMETERS.augmentation, reference),
            lambda model, project, version: self.root / "versions" / f"{model}-{project}" / version,
            *({"code_adapter": f"version-of-{adapter.name}"}, PROJECT, out, self.root),
            *(RowCache(cache or self.root / "cache", "v"), self.observed.__setitem__),
        )
        return frames, json.loads(self.read("metrics.json"))

    def read(self, name: str = "report.html") -> str:
        """A file of the last evaluation."""
        return (self.outs[-1] / name).read_text()

    def scorer(self, cache: Path, **changes: Any) -> ItemScorer:
        settings = EvaluationSettings.model_validate(SETTINGS | changes)
        return ItemScorer(tinymodel.pinned(self.root), self.root, settings, RowCache(cache, "v"))

    def evaluate(
        self, adapter: Path, reference: ReferenceModel | None = None, **changes: Any
    ) -> tuple[pl.DataFrame, dict[str, float]]:
        """The scores of an evaluation, and its metrics."""
        frames, metrics = self.tables(adapter, reference, **changes)
        return frames["scores"], metrics
