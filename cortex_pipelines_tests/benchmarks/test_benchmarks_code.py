import importlib
import sys
from pathlib import Path

import pytest

from benchmarks import code_data, code_speed, corpus, measured
from benchmarks.__main__ import table
from benchmarks.timing import BenchmarkError, Spent, Timing, timed
from benchmarks.workspace import CHECKOUT, DATA_STAGES, Workspace
from cortex_pipelines.versioning.project import read_yaml, write_yaml
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
MODULE = CASES["MODULE"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project without code; measured functions run in this process, one after the other."""
    root = tmp_path / "project"
    root.mkdir()
    nothing = {"projects": {}, "general": {"project": None}}
    write_yaml(root / "params.yaml", read_yaml(CHECKOUT / "params.yaml") | nothing)
    monkeypatch.setenv("CORTEX_ROOT", str(root))
    for module in (code_data, code_speed):
        monkeypatch.setattr(module, "measure_function", _measure_in_process)
    return Workspace(root)


def _measure_in_process(work: Workspace, target: str, *arguments: object) -> tuple[Spent, float]:
    module, _, name = target.partition(":")
    act = getattr(importlib.import_module(module), name)(*map(str, arguments))
    amounts: list[float] = []
    spent = timed(lambda: amounts.append(act()))
    return Spent(spent.wall, spent.cpu, 1.0), amounts[0]


def _write_modules(folder: Path, megabytes: float) -> int:
    folder.mkdir(parents=True)
    texts = [MODULE.format(number=number) for number in range(round(megabytes))]
    for number, text in enumerate(texts):
        (folder / f"module{number:02}.py").write_text(text)
    return sum(map(len, texts))


def _write_code(folder: Path, megabytes: float) -> int:
    """Functions that are told apart, so that splits can be made of them."""
    folder.mkdir(parents=True)
    paths = sorted((CHECKOUT / "cortex_pipelines" / "statistics").glob("[a-z]*.py"))
    for path in paths:
        (folder / path.name).write_text(path.read_text())
    return sum(path.stat().st_size for path in paths)


@pytest.mark.slow
def test_stages_are_measured_and_a_change_gives_equal_bytes(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_data, "write_packages", _write_code)
    timings = {timing.what: timing for timing in code_data.measure(work, 1, 24)}
    assert list(timings)[: len(DATA_STAGES)] == list(DATA_STAGES)
    assert all(timings[stage].unit == "MB" for stage in DATA_STAGES)
    full_run, changed = list(timings.values())[len(DATA_STAGES) :]
    assert full_run.unit == "examples"
    assert full_run.amount is not None
    assert full_run.amount > 24  # a body and a name of each function, at least
    assert "every byte the same" in changed.note


def test_a_difference_after_a_change_is_named(tmp_path: Path) -> None:
    for stage in DATA_STAGES:
        for name, text in (("kept", "one"), ("again", "one" if stage != "code_units" else "two")):
            folder = tmp_path / name / stage / "large"
            folder.mkdir(parents=True)
            (folder / "table.parquet").write_text(text)
    (tmp_path / "kept" / "unit_splits" / "large" / "more.parquet").write_text("")
    differing = code_data._differing(tmp_path / "kept", tmp_path / "again")
    assert differing == ["code_units/table.parquet differs", "unit_splits/more.parquet differs"]


def test_each_language_is_measured_and_absent_peers_are_named(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path, megabytes: float) -> dict[str, float]:
        size = _write_modules(folder / "python", megabytes) / 1e6
        return {"go": 0.0, "python": size}

    monkeypatch.setattr(code_speed, "write_languages", write)
    monkeypatch.setattr(code_speed.importlib.util, "find_spec", lambda name: None)
    timings = {timing.what: timing for timing in code_speed.measure(work, 1, 5)}
    scans = ["scan for private data", "near-duplicates"]
    assert list(timings) == ["extract python", "extract, all languages", *scans]
    assert "not on this machine: go" in timings["extract, all languages"].note
    assert "not installed: detect_secrets" in timings["scan for private data"].note
    assert timings["near-duplicates"].amount == 5


@pytest.mark.slow
def test_packages_are_copied_up_to_a_size_in_languages_apart(tmp_path: Path) -> None:
    size = corpus.write_packages(tmp_path / "code", 0.05)
    copies = list((tmp_path / "code").rglob("*.py"))
    assert 50_000 <= size == sum(path.stat().st_size for path in copies)
    assert len({path.read_bytes() for path in copies}) > 1
    sizes, languages = corpus.write_languages(tmp_path / "apart", 0.02), tmp_path / "apart"
    assert sizes["python"] >= 0.02
    assert {path.name for path in languages.iterdir()} == {k for k, size in sizes.items() if size}
    assert {path.suffix for path in (languages / "python").iterdir()} <= {".py", ".pyi", ".pyw"}


def test_work_in_a_process_of_its_own_is_measured_and_compared_a_piece(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "def prepare(size):\n    return lambda: len(bytearray(int(size))) / 2**20\n"
        "def fail():\n    raise RuntimeError('no such luck')\n"
    )
    (tmp_path / "benchmarks").symlink_to(CHECKOUT / "benchmarks")
    spent, amount = measured.measure_function(Workspace(tmp_path), "work:prepare", 200 * 2**20)
    assert amount == 200
    assert spent.peak > 200 if sys.platform == "linux" else spent.peak >= 0
    assert "no such luck" in refusal(BenchmarkError, measured.measure_function, Workspace(tmp_path), "work:fail")
    ours = Timing("ours", (Spent(9.0, 2.0, 5.0),), amount=10, unit="MB")
    peer = Timing("peer", (Spent(9.0, 1.0),), None, "ours", True, amount=1, unit="MB")
    assert (ours.rate, peer.ratio([ours, peer])) == (5, 5)
    assert ((Spent(1, 1, 7.0) + Spent(1, 1, 3.0)).peak, ours.as_json([ours, peer])["per_cpu_second"]) == (7.0, 5)
    assert table("both", [ours, peer]).row_count == 2
