"""Each engine: the same text as the evaluation's generation, whatever was asked before."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex_pipelines.adapters.data.packing import divide
from cortex_pipelines.adapters.model.base_model import load_causal_model
from cortex_pipelines.adapters.model.lora import load_adapter
from cortex_pipelines.config import load_parameters
from cortex_pipelines.evaluation.adapter.measures.likelihood import GenerationRequest, generate
from cortex_pipelines.release import loading
from cortex_pipelines.release.loading import ResidentBase
from cortex_pipelines.serving.code_end import code_end
from cortex_pipelines.serving.engines.engine import (
    AdapterFiles,
    BusyError,
    ClosedError,
    Deadline,
    Engine,
    EngineError,
    Event,
    Job,
    LoadedAdapter,
    RefusedAdapterError,
    Sampling,
    ScoredToken,
    Speed,
    TextDelta,
    open_engine,
)
from cortex_pipelines.serving.engines.token_sampler import TokenSampler
from cortex_pipelines.serving.engines.torch_engine import TorchEngine, torch_precision
from cortex_pipelines.serving.token_stream import StreamedAnswer
from cortex_pipelines.tokenization.text_encoder import token_ids
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.release.tinyadapter import write_adapter
from cortex_pipelines_tests.serving import tinygateway, upstream
from cortex_pipelines_tests.serving.tinygateway import NEEDS_LLAMA, NEEDS_OPENVINO

PROMPTS = ("def add(a, b):\n    ", "def add(a, b):\n    total = ", "class Cart:\n", "")
"""The first two share a beginning, of which an engine may reuse what it computed."""
WHO = (None, *tinygateway.ADAPTERS)
AWAY = ("openai", "vllm")
"""Engines of which the weights are in a server, which keeps and loads adapters as it will."""
ENGINES = (
    "torch",
    pytest.param("openvino", marks=NEEDS_OPENVINO),
    *(pytest.param(name, marks=NEEDS_LLAMA) for name in ("llama", *AWAY)),
)


@pytest.fixture(scope="module", params=ENGINES)
def opened(request: pytest.FixtureRequest, home: Path) -> Iterator[Callable[..., Engine]]:
    """Opens one of the engines with changed settings; llama.cpp's own server is the upstream."""
    name = request.param
    with upstream.llama_cpp(home) if name in AWAY else nullcontext() as server:
        upstream_settings = {"upstream": tinygateway.upstream(server.url)} if server else {}

        def open_one(**changes: Any) -> Engine:
            settings = tinygateway.settings(engine=name, **upstream_settings, **changes)
            return open_engine(tinygateway.base_in(home), settings, home / "llama")

        yield open_one


@pytest.fixture(scope="module")
def engine(opened: Callable[..., Engine]) -> Iterator[Engine]:
    engine = opened(adapters=1)
    yield engine
    engine.close()


@pytest.fixture
def weights_here(engine: Engine) -> Engine:
    """The engine, where it has the weights itself."""
    if engine.upstream_model(None):
        pytest.skip("which adapters are in memory, and what they do, is up to the upstream server")
    return engine


def loaded(engine: Engine, home: Path, project: str | None) -> LoadedAdapter | None:
    return engine.load(tinygateway.files(home, project)) if project else None


def run_job(engine: Engine, job: Job, after: Callable[[TextDelta], bool] = lambda _: False) -> list[TextDelta]:
    events: SimpleQueue[Event] = SimpleQueue()
    cancel = engine.submit(job, events.put)
    deltas: list[TextDelta] = []
    while (event := events.get(timeout=60)) is not None:
        if isinstance(event, BaseException):
            raise event
        deltas.append(event)
        if after(event):
            cancel()
    return deltas


def text_of(deltas: list[TextDelta], index: int = 0) -> str:
    return "".join(delta.text for delta in deltas if delta.index == index)


def test_a_prompt_has_the_time_that_those_before_it_leave(
    weights_here: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_here, "speed", Speed(400.0, 50.0))
    monkeypatch.setattr(weights_here, "_note_reading", lambda *_: None)
    prompt = weights_here.prompt("x = 1\n" * 60, 64)
    rooms: list[int] = []

    def look(seconds: float = 1.0) -> Deadline:
        deadline = Deadline(seconds)
        rooms.append(weights_here.prompt_capacity(deadline))
        return deadline

    def ask(deadline: Deadline | None) -> None:
        run_job(weights_here, Job(None, prompt, Sampling(2, deadline=deadline), on_start=look))

    prepared = look()
    look()
    look(0.5)
    assert rooms == [160, 64, 80], "all the time is the first one's, but of what is due earlier"
    del prepared
    look()
    ask(Deadline(0.9))
    look()
    assert len(prompt.ids) > 160
    assert rooms[3:] == [160, 64, 160], "none was submitted, one is not read yet, it was read"
    ask(Deadline(60.0))
    ask(None)
    assert rooms[6:] == [160, 160], "what is due later waits, and what has no deadline"
    cancelled = Deadline(0.9)
    weights_here.submit(Job(None, prompt, Sampling(2, deadline=cancelled)), lambda _: None)()
    look()
    assert rooms[8:] == [160]


def test_prompts_are_cut_alike_until_reading_is_another_matter(home: Path) -> None:
    engine = TorchEngine(tinygateway.base_in(home), tinygateway.settings())
    engine.speed = Speed(500.0, 50.0)

    def capacities(*read: float) -> set[int]:
        rooms = set()
        for tokens_per_second in read:
            engine._note_reading(100, 100 / tokens_per_second)
            rooms.add(engine.prompt_capacity(Deadline(1.0)))
        return rooms

    assert capacities(600, 400, 550, 350, 650, 450) == {200}
    capacities(*[250.0] * 20)
    assert capacities(250) <= set(range(80, 126))
    engine.close()


def test_what_was_measured_on_a_busy_machine_is_forgotten_once_it_is_idle(weights_here: Engine, monkeypatch) -> None:
    monkeypatch.setattr(weights_here, "speed", Speed(1.0, 1.0))
    assert (narrow := weights_here.prompt_capacity(Deadline(1.0))) == 64
    for number in range(4):
        run_job(weights_here, Job(None, weights_here.prompt(f"x{number} = 1\n" * 20), Sampling(1)))
    assert weights_here.prompt_capacity(Deadline(1.0)) > narrow


@pytest.mark.parametrize("project", WHO)
def test_text_is_divided_and_written_as_in_the_evaluation(engine: Engine, home: Path, project: str | None) -> None:
    model = load_causal_model(tinygateway.base_in(home), "fp32")
    if project:
        model = load_adapter(model, home / project)
    settings = load_parameters(tinygateway.ROOT).evaluation.model_copy(update={"max_new_tokens": 24})
    for prompt in PROMPTS[:3]:
        (ids,) = token_ids(engine.tokenizer, [divide(prompt)[0]])
        item = tinymodel.example(0, prompt=prompt)
        # an extent that no answer reaches: braces that nobody opened
        expected = generate(model, engine.tokenizer, ids, GenerationRequest(item, "braced_unit"), settings)
        asked = engine.prompt(prompt)
        sampling = Sampling(24 - len(asked.start))  # a token a byte, which the evaluation counts in the start, too
        text = text_of(run_job(engine, Job(loaded(engine, home, project), asked, sampling)))
        if engine.upstream_model(None):
            text, expected = in_ascii(text), in_ascii(expected)
        # an answer ends before a character that is not whole
        half = "\N{REPLACEMENT CHARACTER}"
        assert text.rstrip(half) == expected.rstrip(half)


@pytest.mark.parametrize("stop", [(), ("\x11", "e")])
def test_tokens_and_their_bytes_are_those_of_the_text(engine: Engine, home: Path, stop: tuple[str, ...]) -> None:
    sampling = Sampling(40, temperature=1.5, seed=3, top=2, stop=stop)
    deltas = run_job(engine, Job(loaded(engine, home, "shop"), engine.prompt(PROMPTS[0]), sampling))
    tokens = [token for delta in deltas for token in delta.tokens]
    text = text_of(deltas)
    assert "".join(token.text for token in tokens) == text
    assert b"".join(token.raw for token in tokens).decode(errors="replace") == text
    assert all(token.offset <= len(text) for token in tokens)
    assert sum(delta.generated for delta in deltas) <= 40


def test_text_that_spells_a_control_token_neither_ends_nor_leaves_an_answer(weights_here: Engine) -> None:
    tokenizer = weights_here.tokenizer
    text = "x <eos> <bos>"
    prompt = weights_here.prompt(text)
    assert tokenizer.decode(prompt.ids, skip_special_tokens=True) == text
    assert len(prompt.ids) == len(text)  # a token a byte
    spelt = "<eos><bos>"
    deltas = run_job(weights_here, Job(None, replace(prompt, start=spelt), Sampling(len(spelt) + 8)))
    assert deltas[-1].finish == "length"
    assert text_of(deltas)
    answer = StreamedAnswer(tokenizer, "", Sampling(99))
    (ids,) = token_ids(tokenizer, [f"{spelt}y"])
    texts = [delta.text for token_id in ids for delta in answer.add(0, ScoredToken(token_id, 0.0))]
    assert "".join(texts) == f"{spelt}y"


def in_ascii(text: str) -> str:
    """The text without parts of characters, for which the file that llama.cpp reads has names."""
    return re.sub(r"<\d+>|[^\x01-\x7f]", "", text)


Cold = Callable[[str | None, str], list[float]]


@pytest.fixture(scope="module")
def cold(opened: Callable[..., Engine], home: Path) -> Cold:
    """Log-probabilities of an answer, by an engine that never answered anything else."""

    @cache
    def score(project: str | None, prompt: str) -> list[float]:
        fresh = opened()
        deltas = run_job(fresh, Job(loaded(fresh, home, project), fresh.prompt(prompt), Sampling(8)))
        fresh.close()
        return scores(deltas)

    return score


def scores(deltas: list[TextDelta]) -> list[float]:
    return [token.logprob for delta in deltas for token in delta.tokens if delta.index == 0]


Requests = list[tuple[str | None, str, str]]
MANNERS = ("whole", "stopped early", "three answers", "without reuse")


def requests_with(prompts: Sequence[str]) -> st.SearchStrategy[Requests]:
    request = st.tuples(st.sampled_from(WHO), st.sampled_from(prompts), st.sampled_from(MANNERS))
    return st.lists(request, min_size=1, max_size=8)


def require_independence(engine: Engine, home: Path, cold: Cold, requests: Requests) -> None:
    for project, prompt, manner in requests:
        sampling = Sampling(8, reuse=manner != "without reuse")
        job = Job(loaded(engine, home, project), engine.prompt(prompt), sampling)
        if manner == "three answers":
            job = replace(job, count=3)
        logprobs = scores(run_job(engine, job, lambda _, manner=manner: manner == "stopped early"))
        assert logprobs == pytest.approx(cold(project, prompt)[: len(logprobs)], abs=0.05)
        assert manner == "stopped early" or len(logprobs) == len(cold(project, prompt))


@given(requests_with(PROMPTS[:2]))
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
def test_no_request_feels_the_adapter_of_another(engine: Engine, home: Path, cold: Cold, requests: Requests) -> None:
    require_independence(engine, home, cold, requests)


@pytest.mark.long
@given(requests_with(PROMPTS))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_nor_does_it_with_other_prompts(engine: Engine, home: Path, cold: Cold, requests: Requests) -> None:
    require_independence(engine, home, cold, requests)


def test_adapters_differ_from_the_base_by_more_than_that(cold: Cold) -> None:
    for project, other in combinations(WHO, 2):
        pairs = [zip(cold(project, text), cold(other, text), strict=False) for text in PROMPTS[:2]]
        assert max(abs(first - right) for pair in pairs for first, right in pair) > 0.05


def test_requests_at_once_are_answered_as_alone_and_read_only_what_changed(engine: Engine, home: Path) -> None:
    adapter = loaded(engine, home, "shop")
    jobs = [Job(adapter, engine.prompt(f"def f{number}(cart):\n" * 4), Sampling(24)) for number in range(4)]
    alone = [text_of(run_job(engine, job)) for job in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        together = list(pool.map(partial(run_job, engine), jobs))
    assert [text_of(deltas) for deltas in together] == alone
    again = replace(jobs[-1], prompt=engine.prompt(f"def f{len(jobs) - 1}(cart):\n" * 4 + "    x"))
    run_job(engine, jobs[-1])
    cached = 0 if engine.upstream_model(adapter) else len(jobs[-1].prompt.ids)
    assert run_job(engine, again)[-1].cached == pytest.approx(cached, abs=1)


def test_only_so_many_adapters_stay_in_memory(weights_here: Engine, home: Path) -> None:
    for name in ("shop", "docs", "shop"):
        loaded(weights_here, home, name)
        assert weights_here.state()["resident"] == [f"{name}.dir"]


@given(st.lists(st.text("ab \n()def", min_size=1, max_size=3), max_size=3))
@settings(max_examples=25)
def test_a_stop_string_is_never_shown_and_nothing_else_is_lost(engine: Engine, stops: list[str]) -> None:
    prompt = engine.prompt(PROMPTS[0])
    full_text = text_of(run_job(engine, Job(None, prompt, Sampling(40))))
    deltas = run_job(engine, Job(None, prompt, Sampling(40, stop=tuple(stops))))
    first = min((full_text.find(stop) for stop in stops if stop in full_text), default=len(full_text))
    assert (text_of(deltas), deltas[-1].finish == "stop") == (full_text[:first], first < len(full_text))


def test_the_same_seed_draws_the_same_and_answers_differ(engine: Engine) -> None:
    sampling = Sampling(16, temperature=1.0, top_p=0.9, seed=5)
    job = Job(None, engine.prompt(PROMPTS[0]), sampling, count=3)
    first, second = (run_job(engine, job) for _ in range(2))
    texts = [text_of(first, index) for index in range(3)]
    assert texts == [text_of(second, index) for index in range(3)]
    assert len(set(texts)) == 3


@pytest.fixture
def parallel_engine(weights_here: Engine) -> Engine:
    if weights_here.name == "torch":
        pytest.skip("it has one thread")
    return weights_here


def test_answers_to_one_prompt_are_written_side_by_side(
    parallel_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = Sampling(16, temperature=1.0, top_p=0.9, seed=5)
    job = Job(None, parallel_engine.prompt(PROMPTS[0]), sampling)
    alone = [
        text_of(run_job(parallel_engine, replace(job, sampling=replace(sampling, seed=5 + index))))
        for index in range(3)
    ]
    begun, two = set[int](), threading.Barrier(2, timeout=60)

    def add(answer: StreamedAnswer, index: int, scored: ScoredToken, real: Any = StreamedAnswer.add) -> Any:
        if index < 2 and index not in begun:
            begun.add(index)
            two.wait()
        return real(answer, index, scored)

    monkeypatch.setattr(StreamedAnswer, "add", add)
    deltas = run_job(parallel_engine, replace(job, count=3))
    assert [text_of(deltas, index) for index in range(3)] == alone
    assert sorted(delta.index for delta in deltas if delta.finish) == [0, 1, 2]
    assert (parallel_engine.state()["waiting"], parallel_engine.state()["busy"]) == (0, False)


def test_a_request_that_is_given_up_makes_room_for_another(
    weights_here: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, events = threading.Event(), SimpleQueue[Event]()

    def add(answer: StreamedAnswer, index: int, scored: ScoredToken, real: Any = StreamedAnswer.add) -> Any:
        go_on.wait(60)
        return real(answer, index, scored)

    monkeypatch.setattr(StreamedAnswer, "add", add)
    job = Job(None, weights_here.prompt(PROMPTS[0]), Sampling(2))
    begun = [threading.Event() for _ in weights_here._threads]
    for event in begun:
        weights_here.submit(replace(job, on_start=event.set), events.put)
    assert all(event.wait(60) for event in begun)
    give_up = weights_here.submit(job, events.put)
    assert weights_here.state()["waiting"] == 1
    for _ in range(2):
        give_up()
        assert weights_here.state()["waiting"] == 0
    go_on.set()
    for _ in range(len(begun) + 1):
        while events.get(timeout=60) is not None:
            pass
    assert weights_here.state()["waiting"] == 0


def test_an_answer_that_fails_ends_those_beside_it(parallel_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(answer: StreamedAnswer, index: int, scored: ScoredToken, real: Any = StreamedAnswer.add) -> Any:
        return real(answer, index, scored) if index < 2 else 1 / 0

    job = Job(None, parallel_engine.prompt(PROMPTS[0]), Sampling(100), count=8)
    before = parallel_engine.state()["written"]
    with monkeypatch.context() as patched:
        patched.setattr(StreamedAnswer, "add", fail)
        with pytest.raises(ZeroDivisionError):
            run_job(parallel_engine, job)
    tinygateway.wait_until(lambda: not parallel_engine.state()["busy"])
    assert parallel_engine.state()["written"] - before < 500
    assert text_of(run_job(parallel_engine, replace(job, count=1)))


def test_an_answer_matches_its_grammar(weights_here: Engine) -> None:
    for prompt in ("Its name:\n", "x = "):  # what is forced to stand before the answer matches too
        sampling = Sampling(24, grammar='answer ::= ("to" | "fro") [A-Z]{2} "\\n"?')
        text = text_of(run_job(weights_here, Job(None, weights_here.prompt(prompt), sampling)))
        assert re.fullmatch(r"(to|fro)[A-Z]{2}\n?", text), text
        random_sampling = replace(sampling, temperature=1.0, seed=1)
        deltas = run_job(weights_here, Job(None, weights_here.prompt(prompt), random_sampling, 3))
        assert all(re.fullmatch(r"(to|fro)[A-Z]{2}\n?", text_of(deltas, index)) for index in range(3))


@pytest.mark.parametrize("before", ["int f() {\n    ", "def f():\n    ", "def f():\n"])
def test_no_answer_moves_the_indentation_before_it(weights_here: Engine, before: str) -> None:
    ending = code_end(before)
    prompt = replace(weights_here.prompt(before), lead=ending.lead)
    job = Job(None, prompt, Sampling(4, temperature=2.0, seed=0, ending=ending), count=32)
    deltas = run_job(weights_here, job)
    answers = ["".join(delta.text for delta in deltas if delta.index == index) for index in range(32)]
    assert not [answer for answer in answers if answer.removeprefix(ending.lead)[:1] in tuple(" \t\r\n")]


def test_the_likeliest_white_space_is_not_added_to_that_before_the_cursor(engine: Engine) -> None:
    import torch

    ending = code_end("def f():\n")
    job = Job(None, replace(engine.prompt("def f():\n"), lead=ending.lead), Sampling(8, ending=ending))
    answer, written = StreamedAnswer(engine.tokenizer, job.prompt.start, job.sampling), []
    ((space,),) = token_ids(engine.tokenizer, [" "])
    logits = torch.zeros(len(engine.tokenizer))
    logits[space] = 9
    for step in TokenSampler(engine.tokenizer, frozenset()).steps(job, 0, answer, logits, [], lambda _: logits):
        written.append(step.token)
        list(answer.add(0, step))
    start = f"{job.prompt.start}{ending.lead}"
    assert engine.tokenizer.decode(written).removeprefix(start)[0] not in (" ", "\n")


def test_a_long_prompt_loses_its_beginning(engine: Engine) -> None:
    prompt = engine.prompt("x" * 1000 + "tail", room=16)
    assert (prompt.cut, engine.tokenizer.decode(prompt.ids[-4:])) == (1004 - (256 - 16), "tail")
    deltas = run_job(engine, Job(None, prompt, Sampling(16)))
    assert sum(len(delta.tokens) for delta in deltas) == 16


@pytest.mark.parametrize("penalty", [0.0, 0.1])
@pytest.mark.parametrize(("prompt", "most"), [(PROMPTS[0], 8), (PROMPTS[2], 1), ("x" + " " * 100, 3), ("x", 0)])
def test_the_white_space_after_a_prompt_takes_no_tokens_of_the_answer(
    engine: Engine, prompt: str, most: int, penalty: float
) -> None:
    deltas = run_job(engine, Job(None, engine.prompt(prompt), Sampling(most, frequency=penalty)))
    assert (sum(delta.generated for delta in deltas), deltas[-1].finish) == (most, "length")


def test_white_space_after_a_prompt_has_room_in_the_window(engine: Engine) -> None:
    prompt = engine.prompt("x" * 1000 + " " * 100, room=16)
    assert len(prompt.ids) + len(prompt.start) + 16 == 256
    assert engine.tokenizer.decode(prompt.ids).lstrip("x") + prompt.start == " " * 100


def test_cancelling_ends_an_answer(engine: Engine) -> None:
    cancel: SimpleQueue[Callable[[], None]] = SimpleQueue()
    events: list[Event] = []
    finished = threading.Event()

    def deliver(event: Event) -> None:
        if not events:  # the engine's own thread, which writes nothing until this returns
            cancel.get(timeout=60)()
        events.append(event)
        if not isinstance(event, TextDelta):
            finished.set()

    cancel.put(engine.submit(Job(None, engine.prompt(PROMPTS[0]), Sampling(128), count=8), deliver))
    assert finished.wait(60)
    assert events.pop() is None
    deltas = [event for event in events if isinstance(event, TextDelta)]
    assert deltas[-1].finish == "cancelled"
    assert sum(len(delta.tokens) for delta in deltas) < 512


def test_closing_ends_what_is_written_and_answers_what_waits(opened: Callable[..., Engine]) -> None:
    engine = opened(slots=1)
    events: list[SimpleQueue[Event]] = [SimpleQueue() for _ in range(3)]
    job = Job(None, engine.prompt(PROMPTS[0]), Sampling(128, temperature=1.0), count=8)
    closing = threading.Event()

    def hold(event: Event) -> None:
        events[0].put(event)
        closing.wait(60)  # in the engine's thread: the first job does not end before it closes

    for queue in events:
        engine.submit(job, hold if queue is events[0] else queue.put)
    assert isinstance(events[0].get(timeout=60), TextDelta)
    closer = threading.Thread(target=engine.close)
    closer.start()
    while engine.state()["alive"]:
        time.sleep(0.001)
    closing.set()
    closer.join()
    for queue in events[1:]:
        assert isinstance(queue.get(timeout=60), EngineError)
    assert not engine.state()["alive"]


def test_too_many_wait(opened: Callable[..., Engine], home: Path) -> None:
    engine = opened(waiting=2)
    job = Job(None, engine.prompt(PROMPTS[0]), Sampling(64))
    ends: list[Event] = []

    def fill() -> None:
        for _ in range(50):
            engine.submit(job, lambda event: ends.append(event) if not isinstance(event, TextDelta) else None)

    with pytest.raises(BusyError, match="2 requests wait already"):
        fill()
    finished = len(ends)
    engine.close()
    assert ends[finished:]
    assert all(end is None or isinstance(end, ClosedError) for end in ends)  # None: it was finished meanwhile
    assert isinstance(ends[-1], ClosedError)
    with pytest.raises(EngineError, match="closed"):
        engine.load(AdapterFiles("later.dir", lambda: home / "shop"))


def twice(self: ResidentBase, adapter: Any, original_apply: Any = ResidentBase.apply) -> None:
    original_apply(self, adapter)
    for module in self._layers.values():
        module.scaling["default"] *= 2


@pytest.mark.parametrize(
    ("method", "fault", "words"),
    [
        ("apply", lambda _self, _adapter: None, "no effect in this engine"),
        ("apply", twice, "apart from what its matrices give"),
        ("remove_adapter", lambda _self: None, "answers differently after the adapter was taken off"),
    ],
)
def test_a_fault_of_the_engine_refuses_the_adapter(home, monkeypatch, method: str, fault: Any, words: str) -> None:
    engine = TorchEngine(tinygateway.base_in(home), tinygateway.settings())
    with monkeypatch.context() as patched:
        patched.setattr(ResidentBase, method, fault)
        with pytest.raises(RefusedAdapterError, match=words):
            loaded(engine, home, "shop")
    engine.close()


@pytest.mark.parametrize(
    "config",
    [{"use_rslora": True}, {"alpha_pattern": {"q_proj": 32}}, {"target_modules": ["q_proj", "v_proj"], "r": 2}],
)
def test_every_plain_adapter_passes_the_probe(weights_here, home: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    folder = write_adapter(tinygateway.base_in(home), tmp_path / "one", 3, **config)
    assert weights_here.load(AdapterFiles(f"{config}", lambda: folder)).version == f"{config}"


@pytest.mark.parametrize(
    ("gpu", "asked", "precision"),
    [(True, "q8", "bf16"), (True, "fp32", "fp32"), (False, "q4", "fp32"), (False, "bf16", "bf16")],
)
def test_torch_holds_a_base_on_a_gpu_as_it_is_trained_there(
    gpu: bool, asked: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert torch_precision(tinygateway.settings(precision=asked)) == precision


@pytest.mark.parametrize("gpu", [True, False])
def test_a_gpu_without_room_for_the_base_is_an_error_that_says_what_to_do(
    gpu: bool, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(loading, "load_causal_model", full)
    known = pytest.raises(EngineError, match=r"in fp32: CUDA out of memory; hide it with CUDA_VISIBLE_DEVICES=")
    with known if gpu else pytest.raises(torch.OutOfMemoryError):
        open_engine(tinygateway.base_in(home), tinygateway.settings(engine="torch"), tmp_path)
