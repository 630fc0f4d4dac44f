from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cortex_pipelines.annotation.evaluation.agreement import cases
from cortex_pipelines.embeddings.encoder import SentenceEncoder, sentence_part
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.learned.encoder.comparison import (
    FINE_TUNED,
    WORDS,
    EncoderBenchmark,
    encoder_metrics,
    encoder_rows,
)
from cortex_pipelines.learned.encoder.judging import categories_found, judged_project
from cortex_pipelines.learned.encoder.pairs import PAIRS, ProjectFolders, project_pairs
from cortex_pipelines.learned.encoder.training import fine_tune
from cortex_pipelines.retrieval.vectors import Floats
from cortex_pipelines_tests.embeddings.tinyencoder import make_tiny_encoder
from cortex_pipelines_tests.extraction.tables import repository_files
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.routing.logs import PARAMETERS

SETTINGS = PARAMETERS.encoder_training.model_copy(
    update={
        "kinds": ["documentation", "commits", "tests", "calls", "variants"],
        "hard_negatives": True,
        "batch": 2,
        "max_tokens": 16,
        "widths": [32, 8],
    }
)


def folders_of(folder: Path, texts: dict[str, str]) -> ProjectFolders:
    """Outputs of a project; of ``total`` a variant, a mutant and what belongs to it, if there is one."""
    units = extract(repository_files(texts), PARAMETERS.extraction).units
    units.write_parquet(folder / "units.parquet")
    by_name = {unit["qualified_name"]: unit for unit in units.iter_rows(named=True)}
    total, refund = (by_name.get(name) or dict.fromkeys(units.columns, "") for name in ("total", "refund"))
    renamed = {"unit_id": total["unit_id"], "renamed_code": total["code"].replace("price", "cost")}
    mutant = {"unit_id": total["unit_id"], "buggy_code": total["code"].replace("+=", "-=")}
    commit = {"source": "directory:x", "path_after": "shop.py", "name_after": "total"}
    edges = [
        {
            "source": "directory:x",
            "relation": relation,
            "from_path": user["path"],
            "from_start_line": user["start_line"],
            "to_path": total["path"],
            "to_start_line": total["start_line"],
        }
        for relation, user in (("calls", refund), ("tests", by_name.get("test_total", refund)))
    ]
    for name, rows in {
        "renamed_units": [renamed],
        "injected_errors": [mutant],
        "code_graph": edges,
        "refactoring_pairs": [{**commit, "message": "round what is paid to whole cents"}],
    }.items():
        pl.DataFrame(rows).write_parquet(folder / f"{'edges' if name == 'code_graph' else name}.parquet")
    return ProjectFolders(folder, folder, folder, folder)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ProjectFolders]:
    return {
        name: folders_of(tmp_path_factory.mktemp(name), texts)
        for name, texts in load_cases(__file__)["projects"].items()
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_encoder(tmp_path_factory.mktemp("tiny"))


def hashed(texts: Sequence[str]) -> Floats:
    """Vectors of the words of each text."""
    rows = np.zeros((len(texts), 64), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in text.split():
            row[sum(word.encode()) % 64] += 1
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def test_pairs_bring_texts_and_undocumented_code_together(projects: dict[str, ProjectFolders]) -> None:
    pairs = project_pairs(projects["shop"], SETTINGS)
    found = {(row["kind"], row["anchor"].split("\n")[0][:30]) for row in pairs.to_dicts()}
    assert found == {
        ("documentation", "Add up what all items cost, wi"),
        ("documentation", "Give back what a customer has "),
        ("commits", "round what is paid to whole ce"),
        ("calls", "refund"),
        ("tests", "test_total"),
        ("variants", "def total(items, rate):"),
    }  # that a function called cancel cancels says nothing
    assert not pairs["positive"].str.contains('"""').any()
    documented = pairs.filter(kind="documentation", example_id=pairs.filter(kind="calls")["example_id"][0])
    assert "price -= item" in documented["negative"][0]
    assert (
        project_pairs(projects["shop"], SETTINGS.model_copy(update={"hard_negatives": False}))["negative"]
        .is_null()
        .all()
    )
    assert project_pairs(projects["silent"], SETTINGS).is_empty()


def test_nothing_of_a_judged_project_is_trained_on(projects: dict[str, ProjectFolders]) -> None:
    seen: list[pl.DataFrame] = []

    def train(pairs: pl.DataFrame) -> None:
        seen.append(pairs)

    benchmark = EncoderBenchmark("hashed", SETTINGS)
    benchmark.judge_projects(projects, hashed, train, PARAMETERS.datasets)
    for_copy, for_shop = seen  # the silent one has nothing to ask for
    assert for_copy["anchor"].str.contains("Give back").any()
    assert not for_copy["code"].str.contains("def total").any(), "the copied function"
    assert for_shop["anchor"].to_list() == ["Open a connection to a server, and try again if it fails."]
    items = benchmark.items()
    assert set(items["project"]) == {"copy", "shop"}
    assert set(items["candidate"]) == {WORDS, "hashed", "bm25f_and_hashed"}, "nothing could be trained"
    assert items.filter(pl.col("task") == "clones", pl.col("candidate") == WORDS)["score"].to_list() == [1.0, 1.0]
    rows = encoder_rows(items, PARAMETERS.evaluation)
    assert {row["task"]: row["candidate"] for row in rows if row["adopted"]} == {"search": WORDS, "clones": WORDS}


def test_a_project_without_functions_or_documentation_is_left_out(
    projects: dict[str, ProjectFolders], tmp_path: Path
) -> None:
    assert judged_project("silent", projects["silent"], 10) is None
    assert judged_project("empty", folders_of(tmp_path, {"README.md": "# Nothing"}), 10) is None


def test_categories_come_from_neighbours_and_no_unit_is_its_own() -> None:
    by_category = [[case for case in cases() if case.category == name][:2] for name in ("cli", "caching")]
    labelled = [case for pair in by_category for case in pair]
    truth = np.kron(np.eye(2), np.ones((2, 2))).astype(np.float32)
    assert categories_found(labelled, truth, 1) == [1.0] * 4
    assert categories_found(labelled, 1 - truth, 1) == [0.0] * 4
    assert categories_found(labelled[1:3], np.eye(2, dtype=np.float32), 1) == [0.0, 0.0]


def test_training_is_repeatable_and_what_it_writes_can_be_searched_with(tiny: Path, tmp_path: Path) -> None:
    texts = [
        (word, f"scan {word}", None) for word in ("fix", "login", "secrets", "deploy", "build", "plan", "work", "list")
    ]
    rows = [("documentation", word, "python", word, text, wrong, text) for word, text, wrong in texts]
    pairs = pl.DataFrame(rows, schema=PAIRS, orient="row")
    for name in "ab":
        fine_tune(tiny, pairs, SETTINGS, tmp_path / name)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    vectors = [
        sentence_part(SentenceEncoder(folder, 16, 4, 1).encode(["fix the bug", "deploy"]))
        for folder in (tiny, tmp_path / "a")
    ]
    assert vectors[0].shape == vectors[1].shape == (2, 32)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4


def test_metrics_say_how_narrow_vectors_do(projects: dict[str, ProjectFolders]) -> None:
    benchmark = EncoderBenchmark("hashed", SETTINGS)
    benchmark.judge_projects(projects, hashed, lambda pairs: hashed, PARAMETERS.datasets)
    benchmark.judge_categories(cases(), hashed, None)
    metrics = encoder_metrics(benchmark.items(), project_pairs(projects["shop"], SETTINGS), benchmark.narrow)
    assert metrics["search_fine_tuned"] == metrics["search_hashed"]
    assert {"search_hashed_32", "search_hashed_8", "search_bm25f_recall_at_10", "category_hashed"} <= set(metrics)
    assert metrics["pairs_documentation"] == 2
    assert f"category_{FINE_TUNED}" not in metrics
