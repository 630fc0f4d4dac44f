"""Models of the registry through MLflow's own door: signed, and called as any other."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.adapters.model.base_model import BaseModel, resolve_base
from cortex_pipelines.embeddings.encoder import SentenceEncoder
from cortex_pipelines.ingestion.pretrained_models import ModelSource, resolve_model_pin
from cortex_pipelines.release.loading import ResidentBase, base_of, read_lora
from cortex_pipelines.routing.serving.router import Router
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.routing.train import train_router
from cortex_pipelines.serving import pyfunc
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.signing.signatures import sign_version
from cortex_pipelines.tracking.experiments import experiment_id
from cortex_pipelines.tracking.model_versions import ModelMetadata, log_model
from cortex_pipelines.tracking.store import open_client, tracking_uri
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.project import read_yaml, write_yaml
from cortex_pipelines_tests.adapters.tinymodel import pinned, write_tiny_base
from cortex_pipelines_tests.embeddings.tinyencoder import make_tiny_encoder
from cortex_pipelines_tests.parameters import sections
from cortex_pipelines_tests.release.tinyadapter import write_adapter
from cortex_pipelines_tests.routing.test_routing_router import PATTERNS, tasks

ROOT = Path(__file__).parents[2]
TASKS = ["fix the bug in a", "scan b for secrets"]


def registered(root: Path, asset: str, name: str, folder: Path) -> str:
    client, version = open_client(root), str(content_md5(folder))
    run = str(client.create_run(experiment_id(root, name)).info.run_id)
    signed = sign_version(root, folder, name, version, base_of(folder))
    logged = log_model(root, ModelMetadata(asset, name, version, run), folder, signed)
    client.create_registered_model(name)
    entry = client.create_model_version(name, f"models:/{logged}", run, model_id=logged)
    client.set_registered_model_alias(name, "champion", str(entry.version))
    (output,) = client.get_run(run).outputs.model_outputs
    assert output.model_id == logged
    return str(client.get_logged_model(logged).artifact_location).removeprefix("file://")


def load(root: Path, name: str, **given: Any) -> Any:
    import mlflow

    return mlflow.pyfunc.load_model(f"models:/{name}@champion", **given)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("pyfunc") / "project"
    root.mkdir()
    shutil.copy(ROOT / "params.yaml", root)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(root)
        monkeypatch.delenv("CORTEX_ROOT", raising=False)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(root))
        yield root


@pytest.fixture(scope="module")
def adapter(root: Path) -> BaseModel:
    write_tiny_base(root / "base")
    params = read_yaml(root / "params.yaml")
    params["models"] = {"base": {"directory": "base"}}
    write_yaml(root / "params.yaml", params)
    base = pinned(root)
    write_yaml(root / "sources.lock", {"models": {"base": dict(base.pin)}})
    resolved = resolve_base(base, root)
    write_adapter(resolved, root / "adapter")
    return resolved


def test_a_router_answers_lists_and_frames_as_the_platform_does(root: Path) -> None:
    import pandas as pd

    (root / "encoder").mkdir()
    make_tiny_encoder(root / "encoder")
    values = sections()["routing"]
    small = {"trials": 3, "epochs": 4, "max_tokens": 32, "kernel_features": 256}
    settings = RoutingSettings.model_validate({**values, **small}).model_copy(
        update={"precision": "fp32", "adopt_p": 1.0}
    )
    folder = root / "router"
    folder.mkdir()
    encode = SentenceEncoder(root / "encoder", 32, 4, 1).encode
    pin = resolve_model_pin(ModelSource(directory="encoder"), root)
    train_router(tasks(), encode, settings, pin, PATTERNS, folder, root / "studies")
    registered(root, "task_router", "task_router", folder)
    expected = Router.load(folder, root / "encoder").route(TASKS)
    model = load(root, "task_router")
    assert model.metadata.get_input_schema().input_names() == ["task"]
    answer = model.predict(TASKS)
    assert answer["master"].to_list() == [decision.master for decision in expected]
    assert answer["probability"].to_list() == [decision.confidence for decision in expected]
    assert answer["abstained"].to_list() == [decision.abstained for decision in expected]
    outputs = model.metadata.get_output_schema().input_names()
    assert list(answer.columns) == outputs
    frame = pd.DataFrame({"number": [1, 2], "task": TASKS})
    assert model.predict(frame).equals(answer)
    with pytest.raises(ValueError, match="expected a column 'task' or a list of strings"):
        model.predict(frame[["number"]])


def test_an_adapter_completes_prompts_and_nothing_unsigned_is_loaded(root: Path, adapter: BaseModel) -> None:
    import pandas as pd

    model_folder = Path(registered(root, "code_adapter", "code_adapter-a", root / "adapter"))
    prompts = ["def f(x):\n    ", "class A"]
    model = load(root, "code_adapter-a", model_config={"max_new_tokens": 6})
    completions = model.predict(prompts)["completion"].to_list()
    assert model.predict(pd.DataFrame({"prompt": prompts}))["completion"].to_list() == completions
    resident = ResidentBase(adapter)
    alone = pyfunc.AdapterModel(resident, 6).predict(prompts)["completion"].to_list()
    assert completions != alone, "the adapter is on the base"
    resident.apply(read_lora(root / "adapter"))
    assert pyfunc.AdapterModel(resident, 6).predict(prompts)["completion"].to_list() == completions
    weights = model_folder / "files" / "adapter_model.safetensors"
    original_bytes = weights.read_bytes()
    weights.write_bytes(original_bytes[:-1] + bytes([original_bytes[-1] ^ 1]))
    with pytest.raises(UntrustedModelError, match=r"adapter_model\.safetensors: changed"):
        load(root, "code_adapter-a")
    weights.write_bytes(original_bytes)
    keys = root / ".cortex" / "keys"
    keys.rename(root / "keys")
    with pytest.raises(UntrustedModelError, match="unknown key"):
        load(root, "code_adapter-a")
    (root / "keys").rename(keys)


def test_an_adapter_of_another_base_is_refused(root: Path, adapter: BaseModel) -> None:
    write_adapter(replace(adapter, name="directory:other", digest="0" * 64), root / "other")
    registered(root, "code_adapter", "code_adapter-b", root / "other")
    with pytest.raises(UntrustedModelError, match="trained on directory:other, which is not"):
        load(root, "code_adapter-b")


@pytest.mark.parametrize(
    "model_input",
    [
        TASKS,
        tuple(TASKS),
        {"task": TASKS},
        [{"task": text} for text in TASKS],
        pl.DataFrame({"task": TASKS, "other": [1, 2]}),
        pl.Series(TASKS),
    ],
)
def test_strings_are_taken_however_they_are_given(model_input: Any) -> None:
    assert pyfunc.texts(model_input, "task") == TASKS


def test_what_is_no_string_is_named() -> None:
    assert pyfunc.texts("scan b", "task") == ["scan b"]
    with pytest.raises(ValueError, match="row 1 of 'task' is a NoneType"):
        pyfunc.texts(["scan b", None], "task")
    with pytest.raises(ValueError, match="the columns are 'title'"):
        pyfunc.texts({"title": ["a"]}, "task")
