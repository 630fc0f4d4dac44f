import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.serving import latency
from cortex_pipelines.serving.deadlines import SPEEDS, measure_speed
from cortex_pipelines.serving.engines import engine as engines
from cortex_pipelines.serving.engines.engine import (
    BusyError,
    EngineError,
    Event,
    GeneratedToken,
    Job,
    Prompt,
    TextDelta,
)
from cortex_pipelines.serving.engines.torch_engine import TorchEngine
from cortex_pipelines.serving.settings import LatencySettings
from cortex_pipelines.tracking import latencies
from cortex_pipelines.tracking.latencies import Latency
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.serving import tinygateway

LLAMA = Latency("llama", "q8", 2, 20, 90.0, 120.0, 580.0, 700.0, 69.0, 410.0, "x86_64 of a test")


class TimedEngine:
    """Answers that take the given seconds until their first token, and 0.5 more, by a clock of its own."""

    name, window = "llama", 2048

    def __init__(self, waits: Iterable[float], monkeypatch: pytest.MonkeyPatch, tokens: int = 40) -> None:
        self._waits, self._tokens, self._now = iter(waits), tokens, 0.0
        self.jobs: list[Job] = []
        monkeypatch.setattr(time, "perf_counter", lambda: self._now)

    def prompt(self, text: str) -> Prompt:
        return Prompt(tuple(map(ord, text)), "", 0)

    def submit(self, job: Job, deliver: Callable[[Event], None]) -> None:
        self.jobs.append(job)
        self._now += next(self._waits)
        token = GeneratedToken("x", None)
        deliver(TextDelta(0, "x", (token,)))
        self._now += 0.5
        deliver(TextDelta(0, "x", (token,) * (self._tokens - 1)))
        deliver(None)


def measured(engine: Any, seconds: float = 1e9) -> Latency:
    return latency.measure(engine, None, tinygateway.settings(precision="q8", threads=2), seconds)


def sla(**limits: float | None) -> LatencySettings:
    return LatencySettings.model_validate({"engines": ["auto"], "first_token_ms": None, "tokens_40_ms": None} | limits)


def test_percentiles_are_of_twenty_answers_after_one_that_reads_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TimedEngine([9.0, *(step / 100 for step in range(20, 0, -1))], monkeypatch)
    found = measured(engine)
    assert (found.engine, found.precision, found.threads, found.answers) == ("llama", "q8", 2, 20)
    assert (found.first_token_ms_p50, found.first_token_ms_p95) == pytest.approx((105, 190.5))
    assert (found.tokens_40_ms_p50, found.tokens_40_ms_p95) == pytest.approx((605, 690.5))
    assert found.tokens_per_second == pytest.approx(40 / 0.605)
    assert {len(job.prompt.ids) for job in engine.jobs} == {512}
    assert len({job.prompt.ids for job in engine.jobs}) == 1


def test_a_slow_model_is_timed_by_three_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(TimedEngine([30.0, 1.0, 2.0, 3.0], monkeypatch), seconds=5.0)
    assert (found.answers, found.first_token_ms_p50) == (3, pytest.approx(2000))


def test_an_answer_that_ends_early_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="answers end after 7 of 40 tokens"):
        measured(TimedEngine([1.0], monkeypatch, tokens=7))


def test_the_95th_percentile_is_held_to_the_sla() -> None:
    assert latency.broken_sla(LLAMA, sla(first_token_ms=120, tokens_40_ms=700)) is None
    sentence = latency.broken_sla(LLAMA, sla(first_token_ms=120, tokens_40_ms=600)) or ""
    words = ("by llama (q8, 2 threads)", "40 tokens took up to 700 ms", "gates.latency.tokens_40_ms allows 600")
    assert missing(sentence, *words, "`cortex serve --check`") == []
    assert "first token" not in sentence
    both = latency.broken_sla(LLAMA, sla(first_token_ms=100, tokens_40_ms=600)) or ""
    assert missing(both, "its first token took up to 120 ms", "gates.latency.first_token_ms allows 100") == []


def test_every_engine_has_to_meet_the_sla(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = ReleasedModel("code_adapter", "shop"), []
    parameters = SimpleNamespace(gates=SimpleNamespace(latency=sla()))
    monkeypatch.setattr(latency, "load_parameters", lambda _root: parameters)

    def measure_model(_project: Any, _model: Any, version: str, engines: list[str]) -> Iterator[Latency | str]:
        asked.append((version, engines))
        yield LLAMA
        yield replace(LLAMA, engine="torch", tokens_40_ms_p95=2000.0)

    monkeypatch.setattr(latency, "measure_model", measure_model)
    project: Any = SimpleNamespace(root=Path())
    assert (latency.too_slow(project, model, "a"), asked) == (None, []), "nothing is measured without a limit"
    parameters.gates.latency = sla(tokens_40_ms=900, engines=["llama", "torch"])
    assert "by torch" in (latency.too_slow(project, model, "a") or "")
    assert asked == [("a", ["llama", "torch"])]
    assert latency.too_slow(project, ReleasedModel("task_router", None), "a") is None
    parameters.gates.latency = sla(tokens_40_ms=2000)
    assert latency.too_slow(project, model, "a") is None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tinygateway.write(tmp_path_factory.mktemp("tiny"))


def trial(home: Path, engine: str) -> latency._Trial:
    settings = tinygateway.settings(engine=engine, precision="q8")
    return latency._Trial(tinygateway.base_in(home), home / "shop", "shop.dir", settings, home / "llama", 0.0)


def test_a_model_is_measured_in_a_process_of_its_own(home: Path) -> None:
    found = latency._in_own_process(trial(home, "torch"))
    assert isinstance(found, Latency), found
    assert (found.engine, found.precision, found.answers) == ("torch", "fp32", 3)
    assert 0 < found.first_token_ms_p50 <= found.tokens_40_ms_p50 <= found.tokens_40_ms_p95
    assert found.memory_mb > 50  # of Python and torch alone


def test_an_engine_that_cannot_serve_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _name: None)
    sentence = latency._try(trial(home, "llama"))
    assert missing(str(sentence), "llama: ", "pip install 'cortex-pipelines[llama]'") == []
    refusal = latency.broken_sla(sentence, sla(tokens_40_ms=600)) or ""
    assert missing(refusal, str(sentence), "take that engine out of gates.latency.engines") == []
    assert "another server" in str(latency._try(trial(home, "vllm")))


def test_what_was_measured_is_remembered_by_version_and_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latencies, "find_version", lambda *_: None)
    project: Any = SimpleNamespace(root=tmp_path)
    assert latencies.recorded(tmp_path, "a") == []
    for each in (LLAMA, replace(LLAMA, engine="torch"), replace(LLAMA, memory_mb=5.0)):
        latencies.record(project, "code_adapter-shop", "a", each)
    assert latencies.recorded(tmp_path, "a") == [replace(LLAMA, memory_mb=5.0), replace(LLAMA, engine="torch")]
    assert latencies.recorded(tmp_path, "b") == latencies.recorded(tmp_path, None) == []
    card = latencies.as_markdown(latencies.recorded(tmp_path, "a"))
    assert "| llama (q8, 2 threads) | 90 (120) | 580 (700) | 69 | 5 | x86_64 of a test, 20 answers |" in card
    assert latencies.as_markdown([]) == ""
    page = (tmp_path / latencies.PAGES / "a.html").read_text()
    assert missing(page, "code_adapter-shop", "llama (q8, 2 threads)", "90 (120)", "torch (q8, 2 threads)") == []
    for damaged in ("{", "[]", '{"a": {"llama": {"engine": "llama"}}}'):
        (tmp_path / latencies.FILE).write_text(damaged)
        assert latencies.recorded(tmp_path, "a") == []


def test_the_speed_is_measured_after_a_first_answer_and_remembered(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = tinygateway.settings()
    engine = TorchEngine(tinygateway.base_in(home), settings)
    submitted: list[Job] = []

    def submit(job: Job, deliver: Callable[[Event], None], real: Any = engine.submit) -> Callable[[], None]:
        submitted.append(job)
        if len(submitted) == 4:
            raise BusyError("64 requests wait already")
        return real(job, deliver)

    monkeypatch.setattr(engine, "submit", submit)
    measure_speed(engine, settings, "base", tmp_path)
    deadline = time.monotonic() + 30
    while not (tmp_path / SPEEDS).is_file() and time.monotonic() < deadline:  # written after the engine has it
        time.sleep(0.01)
    assert engine.speed is not None
    assert min(engine.speed.read, engine.speed.write) > 0
    assert len(submitted[1].prompt.ids) == len(submitted[0].prompt.ids)
    engine.speed = None
    measure_speed(engine, settings, "base", tmp_path)
    assert engine.speed is not None, "what was measured before counts at once"
    while len(submitted) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    engine.close()
    assert "the engine's speed is not measured: 64 requests wait already" in caplog.text
