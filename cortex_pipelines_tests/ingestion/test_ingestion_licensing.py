from typing import Any

import polars as pl
import pytest
from identify.vendor.licenses import LICENSES

from cortex_pipelines.ingestion.licences.manifests import declared_licence
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

GIT = {"git": "repository", "ref": "main"}
TEXTS = dict(LICENSES)


def licences(tables: Any) -> dict[str, tuple[Any, bool]]:
    rows = tables.files.select("path", "licence", "trainable").iter_rows()
    return {path: (licence, trainable) for path, licence, trainable in rows}


def with_texts(files: dict[str, str]) -> dict[str, str]:
    """Files in which a line that is the name of a licence stands for its text."""
    return {path: "\n".join(TEXTS.get(line, line) for line in text.split("\n")) for path, text in files.items()}


def test_the_nearest_statement_holds(repository: Any, read: Any) -> None:
    case = CASES["the_nearest_statement_holds"]
    repository.commit(with_texts(case["files"]))
    stated = licences(read(GIT))
    assert {path: list(stated[path]) for path in case["expected"]} == case["expected"]


@pytest.mark.parametrize(("files", "expected"), CASES["what_a_folder_says_is_put_together"])
def test_what_a_folder_says_is_put_together(repository: Any, read: Any, files: dict[str, str], expected) -> None:
    repository.commit({"a.py": "a = 1\n", **with_texts(files)})
    assert list(licences(read(GIT))["a.py"]) == expected


def test_silent_files_may_be_trained_on_where_params_say_so(tmp_path: Any, repository: Any, read: Any) -> None:
    repository.commit({"a.py": "a = 1\n"})
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/b.py").write_text("b = 1\n")
    entries = (GIT, {"directory": "plain"})
    assert licences(read(*entries)) == {"a.py": (None, True), "b.py": (None, False)}
    assert not read(*entries, trainable_without_licence=()).files["trainable"].any()


def test_a_project_may_state_the_licence_of_its_own_code(repository: Any, read: Any) -> None:
    repository.commit(CASES["a_project_may_state_the_licence_of_its_own_code"])
    project_licence = "LicenseRef-Acme"
    found_licences = licences(read(GIT, licence=project_licence))
    assert (found_licences["a.py"], found_licences["b.py"]) == ((project_licence, False), ("GPL-3.0-only", False))
    allowed = licences(read(GIT, licence=project_licence, trainable_licences=(project_licence,)))
    assert allowed["a.py"] == (project_licence, True)
    assert not allowed["b.py"][1]


@pytest.mark.parametrize(("path", "text", "expected"), CASES["manifests_of_all_ecosystems_are_understood"])
def test_manifests_of_all_ecosystems_are_understood(path: str, text: str, expected: str | None) -> None:
    assert declared_licence(f"sub/{path}", text) == expected


def test_all_files_of_a_project_have_an_answer(read: Any, repository: Any) -> None:
    repository.commit({f"{name}/LICENSE": text for name, text in TEXTS.items()})
    files = read(GIT).files
    assert files["licence"].null_count() == 0
    with_licence = files.select(
        pl.col("path").str.strip_suffix("/LICENSE").alias("name"),
        pl.col("licence").str.strip_suffix("-only").alias("found"),
    )
    assert with_licence.filter(pl.col("name") != pl.col("found")).rows() == []
