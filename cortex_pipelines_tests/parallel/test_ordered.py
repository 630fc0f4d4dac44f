import os
import time
from contextlib import closing

import pytest
from psutil import Process, wait_procs

from cortex_pipelines.extraction.units import extract
from cortex_pipelines.parallel import ordered
from cortex_pipelines.parallel.backends import BackendError
from cortex_pipelines.parallel.ordered import BACKEND, WORKERS, KilledWorkersError, executing, ordered_map, overridden
from cortex_pipelines.parallel.processes import Processes, preload
from cortex_pipelines.parallel.settings import ExecutionSettings
from cortex_pipelines_tests.extraction.tables import repository_files
from cortex_pipelines_tests.parallel import work
from cortex_pipelines_tests.parameters import EXTRACTION

TWO = ExecutionSettings(backend="processes", workers=2, memory=None)
ITEMS = range(60)


def mapped(function, skipped=None):
    batches = ordered_map(function, iter(ITEMS), lambda _: 40_000, "numbers", skipped=skipped)
    return [value for batch in batches for value in batch]


@pytest.fixture
def at_once(monkeypatch):
    """Workers from the first batch on."""
    monkeypatch.setattr(ordered, "_SECONDS_ALONE", -1)
    yield
    ordered.close_backends()


def test_workers_give_the_same_in_the_same_order(at_once) -> None:
    alone = mapped(work.squares)
    with executing(TWO):
        together = mapped(work.squares_and_process)
    assert [square for square, _ in together] == alone == [item**2 for item in ITEMS]
    assert len({process for _, process in together}) == 2


def test_workers_import_nothing_from_the_current_folder(at_once, tmp_path, monkeypatch) -> None:
    (tmp_path / "json.py").write_text("raise ImportError")
    monkeypatch.chdir(tmp_path)
    with executing(TWO):
        assert mapped(work.squares) == [item**2 for item in ITEMS]


def test_a_batch_that_ends_three_workers_is_found_and_skipped_or_named(at_once) -> None:
    with executing(TWO):
        assert mapped(work.deadly, lambda item, reason: [reason]) == [
            "ended 3 workers (signal 9)" if item == work.DEADLY else item for item in ITEMS
        ]
        with pytest.raises(KilledWorkersError, match=f"^{work.DEADLY} ended 3 workers"):
            mapped(work.deadly)
        with pytest.raises(KeyError):
            mapped(work.failing)


def test_a_worker_with_other_code_is_refused_each_time(monkeypatch) -> None:
    monkeypatch.setattr("cortex_pipelines.parallel.processes.code_digest", lambda: "of the driver")
    with closing(Processes(1)) as processes:
        processes.submit_to_all(preload, "json")  # of which nobody looks at the outcome
        for _ in range(2):
            with pytest.raises(BackendError, match="changed while it ran"):
                processes.submit(b"", b"").result(30)


def test_what_hangs_a_worker_is_found_and_skipped(at_once, monkeypatch) -> None:
    monkeypatch.setattr(ordered, "_MOST_SECONDS", 0.2)
    before = Process().children(recursive=True)
    with executing(TWO):
        assert mapped(work.hanging, lambda item, reason: [reason]) == [
            "ended 3 workers (out of processor time)" if item == work.DEADLY else item for item in ITEMS
        ]
    started = [child for child in Process().children(recursive=True) if child not in before]
    ordered.close_backends()
    assert started
    assert wait_procs(started, timeout=30)[1] == []


def test_a_file_that_would_hang_the_parser_is_skipped_by_a_worker_as_here(at_once) -> None:
    texts = {"hangs.rs": 'r#"' * 20_000, "fine.rs": "fn f() {}\n" * 4_000}
    files = repository_files(texts)
    here = extract(files, EXTRACTION)
    with executing(TWO):
        there = extract(files, EXTRACTION)
    assert ordered._BACKENDS
    (skipped,) = there.unparsed_files.to_dicts()
    assert (skipped["path"], skipped["reason"]) == ("hangs.rs", "too_many_steps")
    assert there.unparsed_files.equals(here.unparsed_files)
    assert there.units.equals(here.units)
    assert not there.units.is_empty()


def test_work_goes_on_here_until_the_workers_are_ready(at_once, monkeypatch) -> None:
    begun = time.monotonic()
    monkeypatch.setattr(Processes, "is_ready", lambda _: time.monotonic() > begun + 0.5)
    with executing(TWO):
        results = mapped(work.slow_and_process)
    assert [item for item, _ in results] == [*ITEMS]
    processes = [process for _, process in results]
    assert processes[0] == os.getpid() != processes[-1]


def test_workers_that_will_never_answer_are_not_waited_for(at_once, monkeypatch) -> None:
    def gone(self) -> bool:
        if self._running:
            raise BackendError("no node is left")
        return True

    monkeypatch.setattr(ordered, "_SECONDS_BETWEEN_LOOKS", 0.1)
    monkeypatch.setattr(Processes, "is_ready", gone)
    with executing(TWO), pytest.raises(BackendError, match="no node is left"):
        mapped(work.endless)


def test_small_work_starts_no_worker() -> None:
    ordered.close_backends()  # of tests before this one
    with executing(TWO):
        assert mapped(work.squares) == [item**2 for item in ITEMS]
    assert not ordered._BACKENDS


@pytest.mark.parametrize(("name", "value"), [(WORKERS, "0"), (WORKERS, "many"), (BACKEND, "hadoop")])
def test_a_wrong_variable_is_named(name, value, monkeypatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BackendError, match=value):
        overridden(TWO)


def test_workers_are_as_many_as_fit_the_memory() -> None:
    def settings(memory):
        return TWO.model_copy(update={"workers": 4, "memory": memory})

    assert ordered.fitting_workers(settings(1_000_000)) == 4
    assert ordered.fitting_workers(settings(1)) == 0
