"""A wrong parameter file gives one sentence: file, line, key, value, and what to do."""

import re
import runpy
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from cortex_pipelines.config import load_parameters
from cortex_pipelines.settings import PROJECT_NAME_WORDS
from cortex_pipelines.versioning.project import ProjectError
from cortex_pipelines_tests.command import run_python
from cortex_pipelines_tests.parameters import load_cases, whole_file

REAL = whole_file()
TREE = YAML().compose(REAL)
TABLES = load_cases(__file__)
CASES = [(key, value) for key, values in TABLES["WRONG"].items() for value in values]


def pair_of(dotted: str) -> tuple[Node, Node]:
    node, pair = TREE, None
    for part in dotted.split("."):
        assert isinstance(node, MappingNode)
        pair = next(pair for pair in node.value if pair[0].value == part)
        node = pair[1]
    assert pair is not None
    return pair


def changed(dotted: str, value: str) -> str:
    """The real file with one value in place of another; all else, also the lines, as it was."""
    key, old = pair_of(dotted)
    text = REAL[: key.end_mark.index] + f": {value}"
    remainder = REAL[old.end_mark.index :]
    if isinstance(old, CollectionNode) and not old.flow_style:
        remainder = "\n" + remainder
    return text + remainder


def refusal(folder: Path, data: str | bytes) -> str:
    (folder / "params.yaml").write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(ProjectError) as refused:
        load_parameters(folder)
    words = str(refused.value)
    assert "\n" not in words
    assert words.startswith("params.yaml")
    return words


@pytest.mark.parametrize(("key", "value"), CASES)
def test_a_wrong_value_is_named_with_line_and_remedy(tmp_path: Path, key: str, value: str) -> None:
    words = refusal(tmp_path, changed(key, value))
    line = REAL[: pair_of(key)[0].start_mark.index].count("\n") + 1
    # of rules over several keys, the section is what is wrong
    section = ".".join(key.split(".")[:-1])
    assert f"line {line}: {key}" in words or re.search(rf"line \d+: {section}: ", words), words
    assert re.search(r"\(found .+\); \w+", words), words


@pytest.mark.parametrize("name", ["-rf", "x" * 300, "a b", "../up", "ä", "''", "a/b", "a.b", "3", "true", "null"])
def test_a_project_has_a_plain_name(tmp_path: Path, name: str) -> None:
    words = refusal(tmp_path, REAL.replace("  cortex: #", f"  {name}: #"))
    assert PROJECT_NAME_WORDS in words or "give a text" in words
    assert re.search(r"line [34]: projects\.", words), "true is a key that stands nowhere as a text"


def aliases() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 12):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        *TABLES["NO_PARAMETER_FILES"],
        (b"a: 1\n\xff\xfe", "line 2: it is not UTF-8"),
        (REAL.encode("utf-16"), "not UTF-8"),
        (f"a: {'9' * 6000}\n", "digits"),
        (aliases(), "by aliases"),
        ("[" * 5000, "nested deeper"),
        ("a: " + "[" * 70 + "]" * 70, "nested deeper"),
        ("# " + "x" * 2**20 + "\n" + REAL, "at most 1,048,576 are read"),
    ],
)
def test_a_file_that_is_no_parameter_file(tmp_path: Path, data: str | bytes, words: str) -> None:
    message = refusal(tmp_path, data)
    assert words in message
    assert ";" in message, "what to do"


def test_a_key_that_is_misspelt_is_recognised(tmp_path: Path) -> None:
    assert "did you mean max_nesting?" in refusal(tmp_path, REAL.replace("  max_nesting: 32", "  max_nestin: 32"))


@pytest.mark.parametrize(
    ("key", "value"), [("adapters.rank", "1000000000"), ("automation.nightly", "never"), ("privacy.allowed", "['(']")]
)
def test_a_command_says_it_in_one_line(tmp_path: Path, key: str, value: str) -> None:
    words = refusal(tmp_path, changed(key, value))
    program = "from cortex_pipelines.cli.main import main; main()"
    result = run_python("-c", program, "scan", "params.yaml", cwd=tmp_path, PYTHONPATH=str(Path(__file__).parents[2]))
    assert (result.returncode, result.stderr.strip()) == (1, f"Error: {words}")


def test_the_code_location_shows_the_sentence_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = refusal(tmp_path, changed("adapters.rank", "1000000000"))
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    with pytest.raises(ProjectError) as refused:
        runpy.run_module("cortex_pipelines.definitions")
    assert str(refused.value) == words
    assert refused.value.__suppress_context__
    assert refused.value.__cause__ is None
