"""The gateway over a project as the pipeline leaves it."""

import hashlib
import json
import shutil
import socket
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.release.answering import FILE as FILE_OF_RELEASE
from cortex_pipelines.release.answering import Release, write_release
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.release.promotion import ReleaseAction, promote, verdict_folder
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http import server
from cortex_pipelines.serving.http.server import create_app
from cortex_pipelines.serving.open_gateway import open_exported, open_gateway
from cortex_pipelines.serving.project_catalogue import read_catalogue
from cortex_pipelines.signing.manifest import UntrustedModelError
from cortex_pipelines.signing.signatures import signed_folder
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.parameters import FILE
from cortex_pipelines.versioning.root import ProjectError
from cortex_pipelines_tests.integration.miniproject import MiniProject
from cortex_pipelines_tests.serving.tinygateway import wait_until

pytestmark = pytest.mark.slow
PROJECT = "alpha"


def test_a_project_without_a_champion_is_answered_by_its_base(finished: MiniProject) -> None:
    served = read_catalogue(finished.root)
    challenger = finished.version(f"code_adapter@{PROJECT}")
    alone, released = served.models[PROJECT], served.models[f"{PROJECT}@challenger"]
    assert alone.release.way in ("base", "context")
    assert (alone.version, released.version) == (served.models["base"].version, challenger)
    assert released.release.way in ("adapter", "both")
    assert "data/completion_dataset/alpha" in released.details["lineage"]["inputs"]
    assert served.default == "base"
    assert released.release.index in (None, finished.version(f"completion_dataset@{PROJECT}"))


def test_a_champion_is_answered_as_it_was_promoted_when_the_data_has_moved_on(finished_copy: MiniProject) -> None:
    model = ReleasedModel("code_adapter", PROJECT)
    version = finished_copy.version(model.address)
    index = finished_copy.version(f"completion_dataset@{PROJECT}")
    folder = verdict_folder(finished_copy.root, model)
    verdict = json.loads((folder / "verdict.json").read_text()) | {"verdict": "promoted"}
    (folder / "verdict.json").write_text(json.dumps(verdict))
    expected = Release("both", read_catalogue(finished_copy.root).models["base"].version, version, index)
    write_release(expected, folder)
    promote(finished_copy.root, model, ReleaseAction("someone", "2026-01-02T03:04:05+00:00", "better"))
    served = read_catalogue(finished_copy.root).models[PROJECT]
    assert served.release == expected
    assert hashlib.sha256((folder / FILE_OF_RELEASE).read_bytes()).hexdigest()[:32] == (served.release.version)
    lock = finished_copy.root / "dvc.lock"
    lock.write_text(lock.read_text().replace(index, "0" * 32 + ".dir"))
    (finished_copy.root / "data" / "completion_dataset" / PROJECT / "examples.parquet").write_bytes(b"newer")
    champion = read_catalogue(finished_copy.root).models[PROJECT]
    assert champion.release == expected
    assert champion.examples is not None
    assert content_md5(champion.examples) == index
    shutil.rmtree(champion.examples)
    for cached_file in (finished_copy.root / ".dvc" / "cache").rglob(index[2:]):
        cached_file.unlink()
    served_without = read_catalogue(finished_copy.root).models[PROJECT]
    assert (served_without.release.way, served_without.release.index) == ("adapter", None)
    assert "dvc fetch" in served_without.notice


def without_numbers(answer: dict[str, Any]) -> tuple[Any, list[float]]:
    """An answer's JSON without its fractions, and these, but the time it took."""
    numbers: list[float] = []
    del answer["latency_ms"]
    return json.loads(json.dumps(answer), parse_float=lambda number: numbers.append(float(number))), numbers


def test_what_is_promoted_is_served_and_what_was_changed_is_not(finished_copy: MiniProject) -> None:
    with TestClient(create_app(open_gateway(finished_copy.root))) as client:
        request = {"model": f"{PROJECT}@challenger", "prompt": "def f():\n", "max_tokens": 3}
        good = client.post("/v1/completions", json=request)
        version = finished_copy.version(f"code_adapter@{PROJECT}")
        assert good.headers["x-cortex-version"] == version
        task = "Rotate the leaked API key"
        assert client.post("/route", json={"task": task}).headers["x-cortex-way"] == "rules"
        finished_copy.cortex("promote", "task_router", "--why", "tried")
        after = client.post("/route", json={"task": task})
        champion = finished_copy.version("task_router")
        assert after.json()["version"] == after.headers["x-cortex-version"] == champion
        printed = json.loads(finished_copy.cortex("route", task).output.splitlines()[-1])
        served = {key: value for key, value in after.json().items() if key in printed}
        (words, numbers), (served_words, served_numbers) = without_numbers(printed), without_numbers(served)
        assert served_words == words
        assert served_numbers == pytest.approx(numbers, abs=0.02)  # the gateway embeds in 8 bits
    manifest = signed_folder(finished_copy.root, f"code_adapter-{PROJECT}", version) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"directory:base", b"directory:evil"))
    with TestClient(create_app(open_gateway(finished_copy.root))) as client:
        tampered = client.post("/v1/completions", json=request)
    assert (tampered.status_code, tampered.headers["x-cortex-way"]) == (200, "base")
    assert "does not match the signature" in tampered.headers["x-cortex-notice"]
    assert tampered.json()["system_fingerprint"] != version


def test_an_exported_folder_is_served_without_its_project(finished_copy: MiniProject, tmp_path, monkeypatch) -> None:
    reference = f"code_adapter-{PROJECT}@challenger"
    version = finished_copy.version(f"code_adapter@{PROJECT}")
    for form in ("merged", "peft"):
        finished_copy.cortex("export", reference, "--format", form, "--out", str(tmp_path / form))
    key = finished_copy.root / ".cortex" / "keys" / "signing.pub"
    body = {"prompt": "def f():\n", "max_tokens": 12}
    with monkeypatch.context() as inside:
        inside.chdir(finished_copy.root)
        with TestClient(create_app(open_exported(tmp_path / "peft", engine="torch"))) as client:
            expected = client.post("/v1/completions", json=body).json()
            assert client.post("/route", json={"task": "x"}).status_code == 404
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UntrustedModelError, match="unknown key"):
        open_exported(tmp_path / "merged")
    with TestClient(create_app(open_exported(tmp_path / "merged", key, "torch"))) as client:
        answer = client.post("/v1/completions", json=body)
    assert answer.headers["x-cortex-version"] == expected["system_fingerprint"] == version
    assert answer.json()["choices"][0]["text"] == expected["choices"][0]["text"]
    with pytest.raises(ProjectError, match="--format merged"):
        open_exported(tmp_path / "peft")
    (tmp_path / "merged" / "config.json").write_text("{}")
    with pytest.raises(UntrustedModelError, match=r"config\.json: changed"):
        open_exported(tmp_path / "merged")


def test_the_commands(finished_copy: MiniProject, monkeypatch: pytest.MonkeyPatch) -> None:
    model = f"{PROJECT}@challenger"
    words = ("suggest", "naming", "def <NAME>(a):\n    return a\n", "--model", model)
    output = json.loads(finished_copy.cortex(*words, "--alternatives", "0").output.splitlines()[-1])
    assert (output["model"], output["version"]) == (model, finished_copy.version(f"code_adapter@{PROJECT}"))
    assert output["alternatives"] == []
    refused = finished_copy.cortex("suggest", "naming", "def f(): pass", status=1).stderr
    assert "put <NAME> where the name belongs" in refused
    assert "give the text in quotes" in finished_copy.cortex("suggest", "naming", status=2).stderr
    assert "--trust requires --from" in finished_copy.cortex("serve", "--trust", FILE, status=2).stderr
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        port = str(occupied.getsockname()[1])
        assert "cannot be listened on" in finished_copy.cortex("serve", "--port", port, status=1).stderr
    served: list[Gateway] = []

    def run(gateway: Gateway, *_: object) -> None:
        wait_until(lambda: output["version"] in gateway.engine.state()["resident"])  # before the first request
        served.append(gateway)

    monkeypatch.setattr(server, "run", run)
    stderr = finished_copy.cortex("serve", "--port", port, "--model", model).stderr
    (gateway,) = served
    gateway.close()
    assert gateway.source.current.default == model
    assert f"http://127.0.0.1:{port}" in stderr
    unknown = finished_copy.cortex("serve", "--port", port, "--model", "nothing", status=1).stderr
    assert "no model nothing; there is alpha, alpha@challenger, base, " in unknown
