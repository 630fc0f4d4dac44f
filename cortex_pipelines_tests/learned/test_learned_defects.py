import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from cortex_pipelines.augmentation.node_table import NodeTable
from cortex_pipelines.augmentation.snippets import parse_file
from cortex_pipelines.ingestion.pretrained_models import ModelSource, PinnedModel, resolve_model_pin
from cortex_pipelines.learned.defects import likelihood
from cortex_pipelines.learned.defects.assets import pattern_recogniser
from cortex_pipelines.learned.defects.compare import Item, ScoredItem, stack_of, with_stacks
from cortex_pipelines.learned.defects.likelihood import CodeModel
from cortex_pipelines.learned.defects.network import TrainingRow, train_network
from cortex_pipelines.learned.defects.predict import (
    DefectError,
    Recogniser,
    explain_statement,
    rank_statements,
    read_regions,
)
from cortex_pipelines.learned.defects.scores import EDIT_GAIN, NETWORK, PLAIN, RANDOM, STACKED, Scores, Stack, edits
from cortex_pipelines.learned.defects.statements import unit_region
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS, UNIT_FINDINGS
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS
from cortex_pipelines.statistics.leaderboard import rank_of
from cortex_pipelines.syntax.grammars import PARSED
from cortex_pipelines_tests.messages import refusal
from cortex_pipelines_tests.models.tinybases import write_base
from cortex_pipelines_tests.parameters import ROOT, load_cases
from cortex_pipelines_tests.routing.logs import PARAMETERS

CASES = load_cases(__file__)
SETTINGS = PARAMETERS.defects.model_copy(
    update={"threads": 1, "edits": 4, "width": 8, "layers": 1, "batch": 4, "epochs": 1, "judged": 32}
)


def base_of(family: str, folder: Path) -> CodeModel:
    write_base(folder / "base", family)
    source = ModelSource(directory="base")
    return CodeModel(PinnedModel(source, resolve_model_pin(source, folder)), folder, 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CodeModel:
    return base_of("llama", tmp_path_factory.mktemp("model"))


def test_every_language_has_a_case() -> None:
    assert set(CASES["statements"]) == PARSED


@pytest.mark.parametrize(("language", "case"), CASES["statements"].items())
def test_statements_are_read_without_those_inside_them(tmp_path: Path, language: str, case: dict[str, Any]) -> None:
    path = tmp_path / case["path"]
    path.write_text(case["code"])
    in_file = read_regions(path)
    assert not isinstance(in_file, str)
    _, found = in_file
    assert [each.texts() for each in found] == case["regions"]
    for region in found:
        assert case["code"].encode()[region.start :].startswith(region.code)


def test_edits_put_back_what_the_hand_written_defects_took_away() -> None:
    """Most of them: what a small edit made, a small edit mends."""
    mended = total = 0
    for program in yaml.safe_load((ROOT / "benchmarks" / "defects.yaml").read_text()):
        for right, wrong in program["defects"]:
            assert program["code"].count(right) == 1, right
            code = program["code"].replace(right, wrong).encode()
            view = NodeTable(parse_file(code, program["language"]))
            made = {code[: edit.start] + edit.replacement.encode() + code[edit.end :] for _, edit in edits(view)}
            mended += program["code"].encode() in made
            total += 1
    assert mended >= 0.55 * total


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "gemma3"])
def test_gains_are_those_of_reading_the_edited_code_whole(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood, "_AFTER", 1000)
    code = b"def f(low, high):\n    while low < high:\n        low = low + 1\n    return low\n"
    changes = [(code.index(b"<"), code.index(b"<") + 1, "<="), (code.index(b"+ 1"), code.index(b"+ 1") + 3, "- 20")]
    changes.append((len(code) - 4, len(code) - 1, "high"))
    model = base_of(family, tmp_path)
    model.precision = "fp32"
    reading, gains = model.read(code, changes, 9)
    assert len(reading.ids) == len(reading.nats) == len(reading.ends)
    assert reading.ends[-1] == len(code)
    for (start, end, replacement), gain in zip(changes, gains, strict=True):
        edited, _ = model.read(code[:start] + replacement.encode() + code[end:], [], 0)
        assert gain == pytest.approx(reading.nats.sum() - edited.nats.sum(), abs=1e-3)
    assert model.read(code, changes, 1)[1].count(None) == 2


def function(name: str, broken: int | None) -> str:
    lines = [f"    value_{number} = call(value_{number - 1}, {number})" for number in range(1, 7)]
    if broken is not None:
        lines[broken] = lines[broken].replace("call(", "broken(")
    return "\n".join([f"def {name}(value_0):", *lines, "    return value_6", ""])


def training(planted: bool) -> list[TrainingRow]:
    rows = []
    for number in range(60):
        shown, labelled = number % 6, (number * 7 + 3) // 5 % 6
        region = unit_region(function("f", shown), "python", "function", "")
        right = unit_region(function("f", None), "python", "function", "")
        assert region is not None
        assert right is not None
        rows.append(TrainingRow(region, shown if planted else labelled, "identifier", frozenset()))
        rows.append(TrainingRow(right, None, None, frozenset({"long-method"})))
    return rows


def test_the_network_learns_what_is_there_and_nothing_where_labels_are_drawn() -> None:
    settings = SETTINGS.model_copy(update={"epochs": 6, "width": 16, "batch": 8})
    found = {}
    for planted in (True, False):
        network = train_network(training(planted), settings)
        assert network is not None
        hits = []
        for place in range(6):
            region = unit_region(function("other", place), "python", "function", "")
            assert region is not None
            hits.append(int(network.scores(region)[0].argmax()) == place)
        found[planted] = sum(hits)
    assert found[True] == 6
    assert found[False] <= 3
    assert train_network(training(True)[:3], settings) is None


def test_ties_rank_in_the_middle() -> None:
    assert [rank_of(np.array([2.0, 1.0, 1.0, 0.0]), number) for number in range(4)] == [1, 2.5, 2.5, 4]


def test_every_statement_of_a_file_is_ranked_and_what_cannot_be_read_is_said(tmp_path: Path, model: CodeModel) -> None:
    (tmp_path / "good.py").write_text(CASES["statements"]["python"]["code"])
    (tmp_path / "bad.py").write_bytes(b"\xff\xfe")
    ranking = rank_statements([tmp_path], Recogniser(), model, SETTINGS)
    assert len(ranking.rows) == sum(map(len, CASES["statements"]["python"]["regions"]))
    assert [sentence.rpartition("/")[2] for sentence in ranking.left_out] == ["bad.py: is not text in UTF-8"]
    scores = [row["score"] for row in ranking.rows]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= scores[0] <= 1
    place = {row["line"]: row for row in ranking.rows}[8]
    assert (place["end_line"], place["shown"]) == (8, False)
    assert place["suggestion"] is None or place["suggestion"].startswith("if ")


@pytest.mark.parametrize(("name", "case"), CASES["left_out"].items())
def test_files_that_cannot_be_ranked_are_refused(tmp_path: Path, model: CodeModel, name: str, case: dict) -> None:
    path = tmp_path / case["name"]
    path.write_bytes((case["text"] * case.get("times", 1)).encode("latin-1" if case.get("latin") else "utf-8"))
    assert case["words"] in refusal(DefectError, rank_statements, [path], Recogniser(), model, SETTINGS)


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Functions with an injected error, as the tables have them."""
    folder = tmp_path_factory.mktemp("units")
    names = [f"f{number}" for number in range(18)]
    rows = [
        dict.fromkeys(ANNOTATED_UNITS.schema)
        | {"unit_id": name, "kind": "function", "path": f"{name}.py", "language": "python"}
        for name in names
    ]
    errors = [
        dict.fromkeys(INJECTED_ERRORS.schema)
        | {"mutant_id": name, "unit_id": name, "language": "python", "error_type": "identifier"}
        | {"buggy_code": function(name, number % 6), "fixed_code": function(name, None)}
        for number, name in enumerate(names)
    ]
    pl.DataFrame(rows, schema=ANNOTATED_UNITS.schema).write_parquet(folder / "units.parquet")
    pl.DataFrame(errors, schema=INJECTED_ERRORS.schema).write_parquet(folder / "injected_errors.parquet")
    UNIT_FINDINGS.empty().write_parquet(folder / "findings.parquet")
    return folder


def test_the_recogniser_is_made_twice_the_same_and_finds_what_it_learned(
    units: Path, tmp_path: Path, model: CodeModel
) -> None:
    made, outputs = {}, []
    projects = {"a": units, "b": units}
    for name in "xy":
        out = tmp_path / name
        out.mkdir()
        made = pattern_recogniser(
            projects, projects, model._pinned, SETTINGS, PARAMETERS.evaluation, out, model._root,
            RowCache(tmp_path / f"cache-{name}", "1"), lambda *_: None,
        )  # fmt: skip
        outputs.append({path.name: path.read_bytes() for path in out.iterdir()} | {"rows": made["scores"].to_dicts()})
    assert outputs[0] == outputs[1]
    assert set(made["scores"]["candidate"]) == {*PLAIN, NETWORK, STACKED}
    board = made["leaderboard"]
    assert board.group_by("task").agg(pl.col("adopted").sum()).sort("task").rows() == [
        ("defect_function", 1),
        ("defect_statement", 1),
    ]
    recogniser = Recogniser.load(tmp_path / "x")
    adopted = board.filter(pl.col("adopted"), task="defect_statement")["candidate"].item()
    assert recogniser.way == (EDIT_GAIN if adopted == RANDOM else adopted)
    assert json.loads((tmp_path / "x" / "metrics.json").read_text())["judged"] == 32


def test_without_data_the_recogniser_ranks_by_what_needs_none(units: Path, tmp_path: Path, model: CodeModel) -> None:
    folder = tmp_path / "few"
    shutil.copytree(units, folder)
    INJECTED_ERRORS.empty().write_parquet(folder / "injected_errors.parquet")
    made = pattern_recogniser(
        {"a": folder}, {"a": folder}, model._pinned, SETTINGS, PARAMETERS.evaluation, tmp_path, model._root,
        RowCache(tmp_path / "cache", "1"), lambda *_: None,
    )  # fmt: skip
    assert (made["leaderboard"].height, made["scores"].height) == (0, 0)
    assert Recogniser.load(tmp_path) == Recogniser()


def test_a_suspect_statement_is_explained_by_the_edits_that_were_measured(tmp_path: Path, model: CodeModel) -> None:
    path = tmp_path / "a.py"
    path.write_text("LIMIT = 3\n\n\ndef f(low, high):\n    while low < high:\n        low = low + 1\n    return low\n")
    first, *_ = rank_statements([path], Recogniser(), model, SETTINGS).rows
    explanation = explain_statement(path, None, Recogniser(), model, SETTINGS)
    assert (explanation["line"], explanation["way"]) == (first["line"], EDIT_GAIN)
    best, *_ = explanation["edits"]
    assert best["code"] == first["suggestion"]
    gains = [row["gain"] for row in explanation["edits"]]
    assert gains == sorted(gains, reverse=True)
    inner = explain_statement(path, 6, Recogniser(), model, SETTINGS)
    assert inner["code"] == "low = low + 1"
    assert all("low" in row["code"] for row in inner["edits"])
    stacked = Recogniser(STACKED, None, Stack((EDIT_GAIN, "complexity"), (2.0, -1.0, 0.5), (1.0, 1.0, 0.0)))
    ways = explain_statement(path, 6, stacked, model, SETTINGS)["ways"]
    weights = {row["way"]: row["weight"] for row in ways}
    assert (weights[EDIT_GAIN], weights["complexity"], weights["position"]) == (2.0, -1.0, None)
    assert "no statement is on line 3" in refusal(DefectError, explain_statement, path, 3, stacked, model, SETTINGS)


def judged(suspect: int, defects: tuple[int, ...], wrong: float, right: float) -> ScoredItem:
    region = unit_region(function("f", None), "python", "function", "")
    assert region is not None
    figures = np.array([float(number == suspect) for number in range(len(region.statements))])
    sides = [Scores({"way": figures}, {"way": whole}, [None] * len(figures)) for whole in (wrong, right)]
    return ScoredItem(Item("", "", "", region, region, defects, "", frozenset()), "", *sides)


def test_the_final_combination_does_not_read_those_of_the_folds() -> None:
    scored = [replace(judged(0, (0,), 1.0, 0.0), fold=fold) for fold in "ab"]
    assert stack_of(with_stacks(scored)).names == ("way",)
