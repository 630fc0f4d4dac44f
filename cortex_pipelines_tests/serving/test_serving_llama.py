"""What is particular to the llama.cpp engine: its processes, its files, and its probe."""

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from cortex_pipelines.adapters.model.lora import WEIGHTS
from cortex_pipelines.cli.serving import serve
from cortex_pipelines.models.machine import Machine
from cortex_pipelines.serving import open_gateway
from cortex_pipelines.serving.engines import engine as engines
from cortex_pipelines.serving.engines.engine import (
    AdapterFiles,
    EngineError,
    Job,
    RefusedAdapterError,
    Sampling,
    ScoredToken,
    open_engine,
)
from cortex_pipelines.serving.engines.llama_engine import LlamaEngine
from cortex_pipelines.serving.engines.llama_files import LlamaFiles, LlamaProcess
from cortex_pipelines.serving.engines.reference import ReferenceFile
from cortex_pipelines.serving.engines.torch_engine import TorchEngine
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.http import server
from cortex_pipelines.serving.latency import measure_settings
from cortex_pipelines.serving.settings import EngineName
from cortex_pipelines.serving.token_stream import StreamedAnswer
from cortex_pipelines_tests.command import run_python
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.test_serving_engine import PROMPTS, loaded, run_job, text_of

CASES = load_cases(__file__)
pytestmark = tinygateway.NEEDS_LLAMA


@pytest.fixture(scope="module")
def files(home: Path) -> LlamaFiles:
    return LlamaFiles(tinygateway.base_in(home), "fp32", home / "llama")


@pytest.fixture(scope="module")
def engine(home: Path) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(tinygateway.base_in(home), tinygateway.settings(), home / "llama")
    yield engine
    engine.close()


def test_a_prompt_goes_to_the_slot_that_has_read_it(files: LlamaFiles) -> None:
    process = LlamaProcess(files.base().path, None, window=512, slots=3, threads=1, exact=True)
    first, second, third, fourth = ([number, *range(20, 220)] for number in (5, 6, 7, 8))
    options = {"n_predict": 200, "n_probs": 1, "cache_prompt": True}

    def slot_of(ids: list[int]) -> int:
        answer = process.generate(ids, options, lambda: False)
        next(answer)
        free = [number for number, _ in process._slots._free]
        answer.close()  # the server goes on writing for a moment
        (number,) = {0, 1, 2} - set(free)
        return number

    try:
        slots = [slot_of(ids) for ids in (first, second, third, first, first, [*first, 9])]
        assert slots == [0, 1, 2, 0, 0, 0]
        assert slot_of(fourth) == 1, "the least recently used"
        with process._slots.take(third) as one, process._slots.take(third) as other, process._slots.take(first):
            assert (one, other) == (2, 0)
            with process._slots.take(first) as none_left:
                assert none_left == -1
    finally:
        process.close()


@pytest.mark.parametrize(("most", "at_once"), [(64, True), (2, False)])
def test_a_prompt_is_read_again_only_for_answers_that_take_longer(
    engine: LlamaEngine, most: int, at_once: bool
) -> None:
    job = Job(None, engine.prompt("x" * 100), Sampling(most))
    assert engine._writes_at_once(job) is at_once


def test_a_process_that_ends_while_it_writes_fails_that_request_alone(
    engine: LlamaEngine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # more than fits into the socket, so that not all of it was sent before the end
    job = Job(loaded(engine, home, "docs"), engine.prompt(PROMPTS[0]), Sampling(230, top=20))

    def end(answer: StreamedAnswer, index: int, scored: ScoredToken, add: Any = StreamedAnswer.add) -> Any:
        running = engine._processes["docs.dir"]._process
        running.kill()
        running.wait()
        return add(answer, index, scored)

    with monkeypatch.context() as patched:
        patched.setattr(StreamedAnswer, "add", end)
        with pytest.raises(EngineError, match=r"llama.cpp ended while it wrote"):
            run_job(engine, job)
    assert text_of(run_job(engine, job))


def test_a_gateway_with_thousands_of_connections_answers(engine: LlamaEngine, files: LlamaFiles) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with ExitStack() as connections:
        connections.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            connections.enter_context(Path(os.devnull).open())
        process = LlamaProcess(files.base().path, None, window=512, slots=1, threads=1, exact=True)
        connections.callback(process.close)
        assert text_of(run_job(engine, Job(None, engine.prompt(PROMPTS[1]), Sampling(4))))


def test_a_process_ends_with_its_engine_and_with_whoever_started_it(home: Path, files: LlamaFiles) -> None:
    engine = LlamaEngine(tinygateway.base_in(home), tinygateway.settings(), home / "llama")
    loaded(engine, home, "shop")
    running = list(engine._processes.values())
    engine.close()
    assert not any(process.alive or process._folder.exists() for process in running)
    process = LlamaProcess(files.base().path, None, window=256, slots=1, threads=1, exact=True)
    pipe = process._process.stdin
    pipe.close()  # as the kernel does when the gateway is killed
    assert process._process.wait(timeout=60) == 0
    process.close()


def also_for_the_base(
    self: LlamaEngine, adapter: ReferenceFile | None, start: Any = LlamaEngine._start
) -> LlamaProcess:
    process: LlamaProcess = start(self, adapter)
    self._processes[None] = process
    return process


def scaled(factor: float) -> Callable[..., Any]:
    def ask(self: LlamaProcess, ids: Any, options: Any, is_abandoned: Any, real: Any = LlamaProcess.generate) -> Any:
        other = [{"id": 0, "scale": factor}] if self._adapter else []
        return real(self, ids, {**options, "lora": other}, is_abandoned)

    return ask


@pytest.mark.parametrize(
    ("changed", "method", "fault", "words"),
    [
        (LlamaEngine, "_start", lambda one, _, start=LlamaEngine._start: start(one, None), "no effect in this engine"),
        (LlamaEngine, "_start", also_for_the_base, "base answers differently since the adapter"),
        (LlamaProcess, "generate", scaled(0.0), "no effect in this engine"),
        (LlamaProcess, "generate", scaled(0.5), "nats apart from what torch gives"),
        (LlamaProcess, "generate", scaled(2.0), "nats apart from what torch gives"),
        (LlamaProcess, "generate", scaled(1.05), "nats apart from what torch gives"),
    ],
)
def test_a_fault_of_the_engine_refuses_the_adapter(home, monkeypatch, changed: type, method: str, fault, words) -> None:
    engine = LlamaEngine(tinygateway.base_in(home), tinygateway.settings(), home / "llama")
    base = engine._processes[None]
    with monkeypatch.context() as patched:
        patched.setattr(changed, method, fault)
        with pytest.raises(RefusedAdapterError, match=words):
            loaded(engine, home, "shop")
    base.close()
    engine.close()


def test_an_adapter_that_changes_nothing_is_refused(engine: LlamaEngine, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "zero"
    shutil.copytree(home / "shop", folder)
    save_file({name: tensor * 0 for name, tensor in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    with pytest.raises(RefusedAdapterError, match="changes nothing: its matrices are zero"):
        engine.load(AdapterFiles("zero.dir", lambda: folder))


def test_another_base_or_architecture_than_the_file_is_refused(home: Path, tmp_path: Path) -> None:
    """A file of other weights under the base's digest, as a change of the cache would be."""
    cache = tmp_path / "llama"
    base = tinygateway.base_in(home)
    files = LlamaFiles(base, "fp32", cache)
    path = files.base().path
    path.unlink()
    shutil.copyfile(files.adapter(home / "shop").path, path)
    with pytest.raises(EngineError, match=r"llama.cpp cannot be started"):
        LlamaEngine(base, tinygateway.settings(), cache)
    root = tmp_path / "other"
    shutil.copytree(home / "base", root / "base")
    config = root / "base" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "mamba"}))
    with pytest.raises(EngineError, match=r"model type mamba.*`--engine torch` serves"):
        LlamaEngine(tinygateway.base_in(root), tinygateway.settings(), tmp_path / "cache")


def test_an_adapter_that_changes_less_than_rounding_to_8_bits_is_served(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slight"
    shutil.copytree(home / "shop", folder)
    save_file({name: tensor / 20 for name, tensor in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)
    engine = LlamaEngine(tinygateway.base_in(home), tinygateway.settings(precision="q8"), home / "llama")
    rounding = engine._comparison.rounding
    for name, place in (("slight", folder), ("shop", home / "shop")):
        engine.load(AdapterFiles(name, partial(Path, place)))
    engine._comparison.rounding = 0.0
    engine._loaded.clear()
    with pytest.raises(RefusedAdapterError, match="of the bits apart from what torch gives"):
        engine.load(AdapterFiles("slight", lambda: folder))
    engine.close()
    assert 0 < rounding < 2 * 0.005


def test_what_a_machine_can_do_is_measured(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(1, 1e10, 0, bf16=False)
    every = measure_settings(tinygateway.base_in(home), tinygateway.settings(), machine, home / "llama")
    measured = [each for each in every if not isinstance(each, str)]
    ways = [("openvino", "q8")] if find_spec("openvino") else []
    ways += [("llama", "q8"), ("llama", "q4"), ("llama", "fp16"), ("torch", "fp32")]
    assert [(each.settings.engine, each.settings.precision) for each in measured] == ways
    assert all(min(each.read, each.write, each.together) > 0 for each in measured)
    assert replace(measured[0], read=400.0, write=64.0).prompt_within(1) == 200
    assert replace(measured[0], write=16.0).prompt_within(1) == 0
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    sentences = list(measure_settings(tinygateway.base_in(home), tinygateway.settings(), machine, tmp_path))[:2]
    for extra, sentence in zip(("openvino", "llama"), sentences, strict=True):
        assert f"pip install 'cortex-pipelines[{extra}]'" in str(sentence)


def test_auto_is_torch_where_llama_cpp_cannot_serve(home: Path, tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    opened = open_engine(tinygateway.base_in(home), tinygateway.settings(engine="auto", precision="q8"), tmp_path)
    assert (type(opened), "another engine than llama answers" in caplog.text) == (TorchEngine, True)
    opened.close()


def test_without_llama_cpp_the_engine_says_what_to_install(home: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    with pytest.raises(EngineError, match=r"pip install 'cortex-pipelines\[llama\]'"):
        open_engine(tinygateway.base_in(home), tinygateway.settings(engine="llama"), tmp_path)


def test_one_server_for_all_would_let_an_adapter_into_the_answers_of_the_base(files, home, engine, tmp_path) -> None:
    """Why each adapter has a process; when this fails, llama.cpp has mended its prompt cache."""
    ids = json.dumps(engine.prompt(PROMPTS[1]).ids)
    paths = [str(files.base().path), str(files.adapter(home / "shop").path)]
    result = run_python("-c", CASES["_ONE_SERVER"], *paths, ids, str(tmp_path / "one.sock"))
    assert result.returncode == 0, result.stderr
    cold, after = json.loads(result.stdout.splitlines()[-1])
    assert abs(cold - after) > 0.05


def test_the_command_takes_another_engine_and_address(gateway: Gateway, home: Path, monkeypatch) -> None:
    requested: list[str | None] = []

    def opened(_folder: Path, _key: Path | None, engine: EngineName | None) -> Gateway:
        requested.append(engine or tinygateway.settings().engine)
        return gateway

    monkeypatch.setattr(open_gateway, "open_exported", opened)
    monkeypatch.setattr(server, "run", lambda *_: None)
    monkeypatch.setattr(server, "require_free", lambda *_: None)
    for words, address in (
        ((), "http://127.0.0.1:8008/"),
        (("--engine", "llama", "--host", "::1"), "http://[::1]:8008/"),
    ):
        result = CliRunner().invoke(serve, ["--from", str(home), *words])
        assert result.exit_code == 0, result.output
        assert f"page: {address}" in result.output
    assert (requested, CliRunner().invoke(serve, ["--engine", "other"]).exit_code) == (["torch", "llama"], 2)
