import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cortex_pipelines.cli.code import mutate
from cortex_pipelines.config import load_parameters

CODE = "NAME = 'ä'\n\ndef f(a, b):\n    return a.size < b + 1\n"
MOST = load_parameters(Path(__file__).parents[2]).extraction.max_file_bytes
KEYS = ["operator", "error_type", "start_byte", "end_byte", "fixed_code", "buggy_code", "explanation", "verification"]


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(mutate, [str(word) for word in words])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_text(CODE, encoding="utf-8")
    return path


def test_json_is_a_list_of_mutants_of_which_a_limit_samples(file: Path) -> None:
    result = invoke(file, "--json")
    rows = json.loads(result.stdout)
    data = file.read_bytes()
    assert len(rows) >= 8
    for row in rows:
        assert list(row) == KEYS
        assert data[row["start_byte"] : row["end_byte"]].decode() == row["fixed_code"]
        assert row["verification"] == ["reparses", "tree_differs", "not_equivalent", "reverses", "compiles"]
    assert result.stderr == f"{len(rows)} mutants of {file}\n"
    everything = json.loads(invoke(file, "--json").stdout)
    sample = json.loads(invoke(file, "--json", "--limit", "3").stdout)
    assert len(sample) == 3
    assert all(row in everything for row in sample)
    assert sample == json.loads(invoke(file, "--json", "--limit", "3").stdout)


def test_without_json_it_is_a_table(file: Path) -> None:
    result = invoke(file)
    assert "boundary" in result.stdout
    assert "what is wrong" in result.stdout


def test_an_empty_file_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.go").write_text("")
    assert json.loads(invoke(tmp_path / "a.go", "--json").stdout) == []
    assert "is a folder" in str(invoke(tmp_path).exception)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.txt", b"hello", "language text"),
        ("a.unknown", b"hello", "language unknown"),
        ("a.py", b"\xff\xfe", "is not UTF-8"),
        ("a.py", b"#" * (MOST + 1), "max_file_bytes"),
        ("folder/a.py", b"", "no such file"),
    ],
    ids=["text", "unknown", "not UTF-8", "too large", "not there"],
)
def test_what_cannot_be_mutated_is_said(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    if "/" not in name:
        (tmp_path / name).write_bytes(data)
    result = invoke(tmp_path / name, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in str(result.exception)
