import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cortex_pipelines.config import load_parameters
from cortex_pipelines.datasets.settings import GeneralSettings
from cortex_pipelines.release import promote as releasing
from cortex_pipelines.release.ledger import ReleasedModel, moves, refit_of
from cortex_pipelines.release.open_model import open_verified
from cortex_pipelines.release.promotion import ReleaseAction, promote, rollback
from cortex_pipelines.release.refit import read_difference
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.signing.signatures import signed_folder
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.release.tinyadapter import release_adapter

MODEL = ReleasedModel("code_adapter", "demo")
SECTIONS = load_parameters(Path(__file__).parents[2])
ACT = ReleaseAction("someone", "2026-01-02T03:04:05+00:00", "better")


class Workspace:
    """A project with a trained adapter, and its release by the asset."""

    def __init__(self, root: Path) -> None:
        self.root, self.state = root, root / ".cortex"
        tinymodel.write_tiny_base(root / "base")
        self.datasets = tinymodel.write_datasets(root / "datasets")
        self.judged = self.output("code_adapter", "demo")
        self.judged.mkdir(parents=True)
        tinymodel.train_adapter(root, self.datasets, self.judged, max_tokens=1_000)
        self.version = str(content_md5(self.judged))

    def output(self, asset: str, partition: str | None) -> Path:
        return self.root / "data" / asset / str(partition)

    def release(self, *, refit: bool, improvement: float) -> Path:
        evaluation, out = self.root / "evaluation", self.output("code_adapter_release", "demo")
        evaluation.mkdir(exist_ok=True)
        metrics = dict.fromkeys(("improvement", "improvement_low", "improvement_high"), improvement)
        (evaluation / "metrics.json").write_text(json.dumps(metrics | {"items": 100, "clusters": 100}))
        (evaluation / "report.html").write_text("<h1>Adapter</h1>")
        (evaluation / "comparison.json").write_text(json.dumps({"comparisons": []}))
        out.mkdir(parents=True, exist_ok=True)
        changes = {"figure": "improvement", "smallest_items": 1, "guards": {}}
        gate = SECTIONS.release.code_adapter.model_copy(update=changes)
        names = [*(f"{name}_dataset" for name in self.datasets), "code_adapter"]
        release_adapter(
            self.root,
            out,
            **{f"{name}_dataset": folder for name, folder in self.datasets.items()},
            **{"code_adapter": self.judged, "code_adapter_evaluation": evaluation, "general_code": self.root / "none"},
            **{"base_model": tinymodel.pinned(self.root), "adapters": tinymodel.settings(refit=refit)},
            evaluation=SECTIONS.evaluation.model_copy(update={"items": 4, "resamples": 100, "threads": 1}),
            general=GeneralSettings(project=None),
            release=SECTIONS.release.model_copy(update={"code_adapter": gate}),
            versions=dict.fromkeys(names, self.version),
        )
        return out


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.mark.parametrize(("refit", "improvement"), [(False, 0.5), (True, -0.5)])
def test_the_judged_weights_are_served_unless_refit(workspace: Workspace, refit: bool, improvement: float) -> None:
    out = workspace.release(refit=refit, improvement=improvement)
    assert not (out / "refit").exists()
    assert f"Those that were judged, of version `{workspace.version}`." in (out / "model_card.md").read_text()


def test_refit_weights_are_signed_served_and_rolled_back(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    out = workspace.release(refit=True, improvement=0.5)
    record = read_difference(out)
    assert record["judged"] == workspace.version
    assert 0 < record["mean_difference"] < record["bound"]
    card = (out / "model_card.md").read_text()
    assert f"Judged were the weights of version `{workspace.version}`" in card
    assert f"at most {record['bound']:.4g}" in card
    promote(workspace.root, MODEL, ACT)
    assert refit_of(moves(workspace.root, MODEL), workspace.version) == content_md5(out)
    project: Any = SimpleNamespace(root=workspace.root, state=workspace.state, output=workspace.output)
    assert "signs the versions" in refusal(UntrustedModelError, open_verified, project, MODEL, workspace.version)
    monkeypatch.setattr(releasing, "project_models", lambda _: [MODEL])
    assert releasing.sign_released_versions(project) == 2
    served = open_verified(project, MODEL, workspace.version)
    assert (served.folder, served.base["name"]) == (out / "refit", "directory:base")
    rollback(workspace.root, MODEL, ACT)
    assert open_verified(project, MODEL, workspace.version).folder == out / "refit", "as long as it is named"
    manifest = signed_folder(workspace.root, MODEL.name, str(content_md5(out))) / "manifest.json"
    manifest.write_text(manifest.read_text().replace("directory:base", "directory:other"))
    assert "was modified" in refusal(UntrustedModelError, open_verified, project, MODEL, workspace.version)
