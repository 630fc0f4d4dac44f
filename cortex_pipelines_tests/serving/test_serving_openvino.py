"""What is particular to the OpenVINO engine: its cache of blocks, its passes over several texts, and its refusals."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.adapters.model.base_model import BaseModel, load_causal_model
from cortex_pipelines.models import machine as machines
from cortex_pipelines.models.machine import Machine, this_machine
from cortex_pipelines.serving.engines import engine as engines
from cortex_pipelines.serving.engines.engine import EngineError, Job, RefusedAdapterError, Sampling, open_engine
from cortex_pipelines_tests.models.tinybases import BASES, write_base
from cortex_pipelines_tests.serving import tinygateway
from cortex_pipelines_tests.serving.test_serving_engine import PROMPTS, loaded, run_job, text_of

pytestmark = tinygateway.NEEDS_OPENVINO
SIZE = 4


@pytest.fixture(scope="module", params=["fp32", "q8 by tiles"])
def engine(request: pytest.FixtureRequest, home: Path) -> Iterator[Any]:
    from cortex_pipelines.serving.engines import openvino_model

    if request.param == "fp32":
        changes, narrowest = {"precision": "fp32"}, 256
    else:
        require_tiles()
        changes, narrowest = {"precision": "q8", "threads": 2}, 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(openvino_model, "_NARROWEST", narrowest)
        settings = tinygateway.settings(engine="openvino", **changes)
        engine = open_engine(tinygateway.base_in(home), settings, home / "llama")
        assert engine._base.is_tiled is not bool(narrowest)
        yield engine
    engine.close()


def require_tiles() -> None:
    if not this_machine().amx:
        pytest.skip("this processor has no tiles")


@given(st.data())
def test_a_block_has_the_tokens_of_every_text_that_uses_it(data: st.DataObject) -> None:
    """Against a cache that keeps what was written where: in use, found again, and taken for other tokens."""
    from cortex_pipelines.serving.engines.openvino_model import BlockCache, Text

    written: dict[int, list[int]] = {}
    cache = BlockCache(8, SIZE, lambda block, other: written.update({other: list(written[block])}))
    texts: list[tuple[Text, list[int]]] = []

    def look(text: Text, ids: list[int]) -> None:
        held = [token for block in text.blocks for token in written[block]][: len(text.ids)]
        assert held == text.ids == ids[: len(text.ids)]

    for _ in range(data.draw(st.integers(1, 12))):
        if len(texts) == 2 or (texts and data.draw(st.booleans())):
            text, _ = texts.pop(data.draw(st.integers(0, len(texts) - 1)))
            cache.end(text)
        else:
            ids = data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=3 * SIZE))
            text = cache.begin(ids[:-1])
            look(text, ids)
            while len(text.ids) < len(ids):
                new = ids[len(text.ids) :][: data.draw(st.integers(1, 5))]
                cache.reserve(text, len(new))
                for place, token in enumerate(new, len(text.ids)):
                    block = text.blocks[place // SIZE]
                    written[block] = [*written.get(block, [])[: place % SIZE], token]
                cache.extend(text, new)
                if data.draw(st.booleans()):
                    cache.seal(text)
            texts.append((text, ids))
        for each in texts:
            look(*each)


def test_what_was_read_is_read_again_only_where_its_room_was_needed() -> None:
    from cortex_pipelines.serving.engines.openvino_model import BlockCache

    cache = BlockCache(4, SIZE, lambda *_: None)

    def read(ids: list[int]) -> int:
        text = cache.begin(ids[:-1])
        known = len(text.ids)
        cache.reserve(text, len(ids) - known)
        cache.extend(text, ids[known:])
        cache.end(text)
        return known

    first, second = [*range(9)], [*range(10, 19)]
    assert [read(first), read(first), read([*first[:6], 9, 9]), read(second)] == [0, 8, 6, 0]
    assert read(first) == 4, "of what was used longest ago, the end is let go first"


def test_texts_of_several_models_are_answered_in_turn(engine: Any, home: Path) -> None:
    jobs = [
        Job(loaded(engine, home, project), engine.prompt(prompt), Sampling(12))
        for project in (None, "shop", "docs")
        for prompt in PROMPTS[:2]
    ]
    alone = [text_of(run_job(engine, job)) for job in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        assert [text_of(each) for each in pool.map(partial(run_job, engine), jobs)] == alone


def test_what_is_due_is_read_first_beside_what_is_written(engine: Any) -> None:
    """One chunk in a pass, and another model's texts after it."""
    from cortex_pipelines.serving.engines.openvino_engine import _Passes, _Waiting
    from cortex_pipelines.serving.engines.openvino_model import Part, Text

    def waiting(due: float, ids: list[int], model: Any = engine._base) -> _Waiting:
        return _Waiting(model, Part(Text(due=due), ids, 1))

    passes = _Passes()
    passes.close()
    first, second, third, fourth = (waiting(due, [5] * 200) for due in (4.0, 2.0, 3.0, 1.0))
    short, written, elsewhere = waiting(9.0, [5, 5]), waiting(9.0, [7]), waiting(9.0, [7], object())
    passes._waiting = [first, second, third, written, elsewhere, short]
    assert passes._next_batch() == [written, short, second]
    passes._waiting.append(fourth)
    assert [passes._next_batch() for _ in range(5)] == [[elsewhere], [fourth], [third], [first], []]


def test_the_same_prompt_gives_the_same_answer_once_it_is_known(engine: Any) -> None:
    """To the last bit of its probabilities by tiles, whose first answer begins with the same pass."""
    near = 0 if engine._base.is_tiled else 1e-4
    for prompt in PROMPTS[:3]:
        job = Job(None, engine.prompt(f"{prompt}\n" * 20, 8), Sampling(6))
        fresh, *known = (
            [token for delta in run_job(engine, replace(job, sampling=sampling)) for token in delta.tokens]
            for sampling in (Sampling(6, reuse=False), Sampling(6), Sampling(6))
        )
        for tokens in known:
            assert [token.raw for token in tokens] == [token.raw for token in fresh]
            expected = pytest.approx([token.logprob for token in fresh], abs=near)
            assert [token.logprob for token in tokens] == expected


def test_a_prompt_that_continues_an_answer_is_answered_as_if_nothing_were_known(engine: Any) -> None:
    near = 0 if engine._base.is_tiled else 1e-4
    for text in PROMPTS[:2]:
        for _ in range(3):
            text += text_of(run_job(engine, Job(None, engine.prompt(text, 48), Sampling(9)))) + " x"
            known, fresh = (
                [token.logprob for delta in run_job(engine, job) for token in delta.tokens]
                for job in (Job(None, engine.prompt(text, 48), Sampling(6, reuse=reuse)) for reuse in (True, False))
            )
            assert known == pytest.approx(fresh, abs=near)


def test_no_pass_follows_the_last_token(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortex_pipelines.serving.engines.openvino_engine.PromptLookup.guess", lambda *_: [])
    passes = Mock(side_effect=engine._base.run)
    prompt = engine.prompt(PROMPTS[0].rstrip())
    run_job(engine, Job(None, prompt, Sampling(1)))
    monkeypatch.setattr(engine._base, "run", passes)
    deltas = run_job(engine, Job(None, prompt, Sampling(4)))
    assert (sum(delta.generated for delta in deltas), passes.call_count) == (4, 4)


def test_what_is_guessed_changes_no_answer(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from cortex_pipelines.serving.engines.openvino_engine import PromptLookup

    if not engine._guessed:
        pytest.skip("this processor computes a token another way beside others")
    samplings = [Sampling(48), Sampling(48, temperature=0.9, seed=1), Sampling(48, frequency=0.5)]
    jobs = [Job(None, engine.prompt(prompt), sampling) for prompt in PROMPTS[:2] for sampling in samplings]
    passes, written = [0], list[list[int]]()

    def run(*given: Any, real: Any = engine._base.run) -> Any:
        passes[-1] += 1
        return real(*given)

    def no_guess(self: PromptLookup, _most: int) -> list[int]:
        written[-1] = self._ids
        return []

    def mostly_right(self: PromptLookup, most: int) -> list[int]:
        known = written[0][len(self._ids) :][:most]
        return known if len(self._ids) % 3 else [*known[:1], 7, 7][:most]

    monkeypatch.setattr(engine._base, "run", run)
    for job in jobs:
        written.append([])
        with monkeypatch.context() as patched:
            patched.setattr(PromptLookup, "guess", no_guess)
            alone = text_of(run_job(engine, job))
        passes.append(0)
        with monkeypatch.context() as patched:
            patched.setattr(PromptLookup, "guess", mostly_right)
            assert text_of(run_job(engine, job)) == alone
        passes.append(0)
        written.clear()
    assert sum(passes[1::2]) < 0.7 * sum(passes[::2])


def test_the_next_tokens_are_those_after_the_last_place_that_was_alike() -> None:
    from cortex_pipelines.serving.engines.openvino_engine import PromptLookup

    lookup = PromptLookup([1, 2, 3, 4, 5, 9, 1, 2, 3, 6, 7])
    assert lookup.guess(4) == []
    for token in (1, 2, 3):
        lookup.add(token)
    assert [lookup.guess(most) for most in (-1, 0, 2, 9)] == [[], [], [6, 7], [6, 7, 1, 2, 3]]
    assert PromptLookup([1, 2, 3, 4, 3, 5, 2, 3]).guess(2) == [4, 3], "two tokens say more than one"
    assert PromptLookup([1, 2, 3, 4, 2, 5, 2]).guess(2) == [5, 2], "the last place says more than the first"


def test_a_pass_that_fails_fails_its_texts_alone(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(None, engine.prompt(PROMPTS[0]), Sampling(4))
    expected = text_of(run_job(engine, job))

    def fail(*_: Any) -> None:
        raise RuntimeError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(type(engine._base), "run", fail)
        with pytest.raises(EngineError, match="OpenVINO failed: no room"):
            run_job(engine, job)
    assert text_of(run_job(engine, job)) == expected


def test_an_adapter_without_effect_is_refused(engine: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine._adapters.clear()
    monkeypatch.setattr(engine, "_open", lambda _file: engine._base)
    with pytest.raises(RefusedAdapterError, match="no effect in this engine"):
        loaded(engine, home, "shop")
    assert not engine._resident()


@pytest.mark.parametrize(
    ("family", "words"),
    [("phi3", "rotary embeddings of type longrope"), ("codegen", "models of the family codegen attend")],
)
def test_a_base_that_is_computed_otherwise_is_refused(family: str, words: str, tmp_path: Path) -> None:
    base = BaseModel(write_base(tmp_path / "base", family), "directory:base", "digest")
    with pytest.raises(EngineError, match=words):
        open_engine(base, tinygateway.settings(engine="openvino"), tmp_path / "cache")


def test_a_sliding_window_ends_where_the_bases_does(tmp_path: Path) -> None:
    import torch

    from cortex_pipelines.serving.engines.openvino_files import OpenVinoFiles
    from cortex_pipelines.serving.engines.openvino_model import PagedModel, Part

    window = BASES["gemma3"][2]["sliding_window"]
    base = BaseModel(write_base(tmp_path / "base", "gemma3"), "directory:base", "digest")
    ids = [number % 90 + 5 for number in range(4 * window)]
    with torch.no_grad():
        expected = load_causal_model(base, "fp32")(input_ids=torch.tensor([ids])).logits[0, -1]
    model = PagedModel(OpenVinoFiles(base, "fp32", tmp_path / "cache").base().path, "fp32", 1, 4 * window)
    text = model.blocks.begin(())
    for start in range(0, len(ids), 24):  # in parts that end within windows and blocks
        (logits,) = model.run([Part(text, ids[start : start + 24], 1)])
        model.blocks.extend(text, ids[start : start + 24])
    assert torch.from_numpy(logits[0]).log_softmax(-1) == pytest.approx(expected.log_softmax(-1), abs=1e-3)


_ONE_BY_ONE = [(width, threads, False) for width in ("fp32", "fp16", "q8") for threads in (1, 3)]


@pytest.mark.parametrize(("width", "threads", "tiled"), [*_ONE_BY_ONE, ("q8", 2, True), ("q8", 3, True)])
def test_several_tokens_are_computed_as_one_by_one(
    width: Any, threads: int, tiled: bool, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    import torch

    from cortex_pipelines.serving.engines import openvino_model
    from cortex_pipelines.serving.engines.openvino_files import OpenVinoFiles
    from cortex_pipelines.serving.engines.openvino_model import PagedModel, Part

    if tiled:
        require_tiles()
    monkeypatch.setattr(openvino_model, "_NARROWEST", 0 if tiled else np.inf)
    path = OpenVinoFiles(tinygateway.base_in(home), width, tmp_path).base().path
    ids = [number * 37 % 90 + 5 for number in range(96)]

    def logits_of(*lengths: int) -> Any:
        model = PagedModel(path, width, threads, len(ids))
        text = model.blocks.begin(())
        model.run([Part(text, ids[:70], 1)])
        model.blocks.extend(text, ids[:70])
        logits = []
        for length in lengths:
            new = ids[len(text.ids) :][:length]
            logits += model.run([Part(text, new, length)])
            model.blocks.extend(text, new)
        return np.concatenate(logits)

    changes = {"engine": "openvino", "precision": width, "threads": threads}
    opened = open_engine(tinygateway.base_in(home), tinygateway.settings(**changes), tmp_path)
    exact = bool(opened._guessed)
    opened.close()
    if not exact and not torch.cpu._is_amx_tile_supported():
        pytest.skip("this processor computes a token another way beside others")
    assert exact
    alone = logits_of(*[1] * 20)
    for lengths in [(2,) * 10, (20,), (1, 9, 3, 1, 6)]:
        assert np.array_equal(logits_of(*lengths), alone)


def test_by_tiles_a_prompt_is_as_near_to_torch(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    import torch

    from cortex_pipelines.serving.engines import openvino_model
    from cortex_pipelines.serving.engines.openvino_files import OpenVinoFiles

    require_tiles()
    base = tinygateway.base_in(home)
    path = OpenVinoFiles(base, "q8", tmp_path).base().path
    ids = [number * 37 % 90 + 5 for number in range(60)]
    with torch.no_grad():
        expected = load_causal_model(base, "fp32")(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    differences = []
    for narrowest in (np.inf, 0):
        monkeypatch.setattr(openvino_model, "_NARROWEST", narrowest)
        (logits,) = openvino_model.PagedModel(path, "q8", 2, 64).run(
            [openvino_model.Part(openvino_model.Text(), ids, 1)]
        )
        differences.append(float((torch.from_numpy(logits[0]).log_softmax(-1) - expected).abs().max()))
    assert differences[1] < 2 * differences[0] + 1e-3


def test_an_engine_that_fails_its_first_passes_leaves_no_thread(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cortex_pipelines.serving.engines.openvino_model import PagedModel

    def fail(*_: Any) -> None:
        raise RuntimeError("no room")

    threads = {*threading.enumerate()}
    monkeypatch.setattr(PagedModel, "run", fail)
    with pytest.raises(EngineError, match="OpenVINO failed: no room"):
        open_engine(tinygateway.base_in(home), tinygateway.settings(engine="openvino"), home / "llama")
    assert not {*threading.enumerate()} - threads


def test_what_openvino_cannot_read_falls_to_another_engine(home: Path, tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(engines, "_quicker_engines", lambda *_: ["openvino"])
    base, settings = tinygateway.base_in(home), tinygateway.settings(engine="openvino")
    cache = tmp_path / "cache"
    open_engine(base, settings, cache).close()
    (model,) = cache.rglob("model.xml")
    model.write_text("<net/>")
    with pytest.raises(EngineError, match="OpenVINO cannot load its copy of the base"):
        open_engine(base, settings, cache)
    opened = open_engine(base, tinygateway.settings(engine="auto"), cache)
    assert (opened.name != "openvino", "another engine than openvino answers" in caplog.text) == (True, True)
    opened.close()


def test_a_signal_is_handled_after_another_thread_let_go_of_a_model(home: Path, tmp_path: Path) -> None:
    from cortex_pipelines.serving.engines.openvino_files import OpenVinoFiles

    path = OpenVinoFiles(tinygateway.base_in(home), "fp32", tmp_path).base().path
    program = f"""
import gc
import signal
from pathlib import Path
from threading import Thread

from cortex_pipelines.serving.engines.openvino_model import PagedModel

held = [PagedModel(Path({str(path)!r}), "fp32", 1, 64)]
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
thread = Thread(target=lambda: (held.clear(), gc.collect()))
thread.start()
thread.join()
signal.raise_signal(signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_nobody_is_told_of_conversions(engine: Any) -> None:
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub"


def test_a_precision_that_it_lacks_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"fp32, fp16, q8, not q4; change serving\.precision"):
        open_engine(tinygateway.base_in(home), tinygateway.settings(engine="openvino", precision="q4"), tmp_path)


@pytest.mark.parametrize(
    ("memory", "gpu", "vnni", "usable", "installed", "least", "quicker"),
    [
        (2, 0, True, False, True, 0, ["openvino"]),
        (2, 0, False, False, True, 0, []),
        (0.5, 0, True, False, True, 0, []),
        (2, 0, True, False, False, 0, []),
        (2, 1.3, True, True, True, 0, ["torch", "openvino"]),
        (2, 1.2, True, True, True, 0, ["openvino"]),  # without room for the base
        (2, 1.3, True, False, True, 0, ["openvino"]),  # torch's build does not know it
        (2, 1.3, True, True, True, 1, ["openvino"]),  # the base is too small for it
    ],
)
def test_auto_is_the_engine_that_is_quickest_where_it_fits(
    home: Path,
    memory: float,
    gpu: float,
    vnni: bool,
    usable: bool,
    installed: bool,
    least: float,
    quicker: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    base = tinygateway.base_in(home)
    size = sum(path.stat().st_size for path in base.folder.glob("*.safetensors"))
    machine = Machine(2, 5 * size * memory, gpu * size, bf16=False, vnni=vnni)
    monkeypatch.setattr(engines, "this_machine", lambda: machine)
    monkeypatch.setattr(machines, "find_spec", lambda _name: object() if installed else None)
    monkeypatch.setattr(engines, "_GPU_FROM", least * size)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (gpu * size, 2 * gpu * size))
    assert list(engines._quicker_engines(base, tinygateway.settings(engine="auto", precision="q8"))) == quicker


def test_the_base_is_loaded_once_for_what_is_made_of_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cortex_pipelines.release import loading
    from cortex_pipelines.serving.engines.openvino_files import OpenVinoFiles

    load = Mock(wraps=loading.load_causal_model)
    monkeypatch.setattr(loading, "load_causal_model", load)
    files = OpenVinoFiles(tinygateway.base_in(home), "fp32", tmp_path)
    made = files.base(), files.adapter(home / "shop")
    assert load.call_count == 2
    assert all(file.path.is_file() for file in made)
