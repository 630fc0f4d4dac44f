import ast
import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from math import log2
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from cortex_pipelines.catalog import open_project
from cortex_pipelines.cli.main import main
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.serving.http.openai_fields import FIELDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cortex_pipelines"
GENERATED = ROOT / "docs" / "reference"
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *(
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if not {"_build", "reference"}.intersection(path.parts)
    ),
)
CURRENT = tuple(name for name in DOCUMENTS if name != "CHANGELOG.md")
"""The changelog also names things that no longer exist."""


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text(name), re.MULTILINE | re.DOTALL)


def quoted(name: str) -> list[str]:
    prose = re.sub(r"^```.*?^```", "", text(name), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def command_lines(name: str) -> list[str]:
    lines = [line for block in blocks(name, "sh") for line in block.splitlines()]
    parts = [part.strip() for line in (*lines, *quoted(name)) for part in line.split("&&")]
    return [part for part in parts if part.startswith("cortex ")]


def problems(line: str) -> Iterator[str]:
    words = shlex.split(line.replace("…", "X"), comments=True)[1:]
    command: click.Command = main
    while isinstance(command, click.Group):
        flags = {name for param in command.params for name in param.opts}
        while words and words[0] in flags:
            words.pop(0)
        if not words or words[0] not in command.commands:
            if words and words[0] not in ("COMMAND", "X"):
                yield f"{line}: no command {words[0]}"
            return
        command = command.commands[words.pop(0)]
    options = {name: option for option in command.params for name in option.opts}
    operands = 0
    while words:
        word = words.pop(0)
        if word in ("--help", "-h"):
            continue
        if not word.startswith("-"):
            operands += 1
        elif word not in options:
            yield f"{line}: no option {word}"
        elif not getattr(options[word], "is_flag", False) and words:
            words.pop(0)
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    if operands > len(arguments) and not any(argument.nargs == -1 for argument in arguments):
        yield f"{line}: {operands} operands, takes {len(arguments)}"


@pytest.mark.parametrize("name", CURRENT)
def test_commands_and_their_options_exist(name: str) -> None:
    assert [problem for line in command_lines(name) for problem in problems(line)] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)", text(name))
    pages = {GENERATED / f"{page}.md" for page in reference().PAGES}
    targets = {link: (ROOT / name).parent.joinpath(link).resolve() for link in links}
    assert [link for link, path in targets.items() if not path.exists() and path not in pages] == []


def anchors(path: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", prose), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_headings(name: str) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", text(name))
    pages = [(ROOT / name if not page else (ROOT / name).parent / page, anchor) for page, anchor in links]
    written = [(page, anchor) for page, anchor in pages if "reference" not in page.parts]
    assert [(page.name, anchor) for page, anchor in written if anchor not in anchors(page)] == []


@pytest.mark.parametrize("name", CURRENT)
def test_paths_in_quotes_exist(name: str) -> None:
    paths = [
        path
        for path in quoted(name)
        if re.fullmatch(r"\w[\w/-]*(?:/|\.(?:py|scm|yaml|toml|md|ipynb|svg))", path)
        or re.fullmatch(r"[\w-]+(?:\.lock|\.txt)", path)
    ]
    generated = {"data/", "docs/_build"}
    folders = [ROOT, PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir())]
    missing = [path for path in paths if not any((folder / path).exists() for folder in folders)]
    assert [path for path in missing if path not in generated] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_targets_of_make_exist(name: str) -> None:
    targets_named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text(name), re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    assert targets_named <= targets


@pytest.mark.parametrize("name", CURRENT)
def test_keys_of_the_parameters_exist(name: str) -> None:
    sections = "|".join(Parameters.model_fields)
    keys = [key for key in quoted(name) if re.fullmatch(rf"(?:{sections})(?:\.\w+)+", key)]
    files = {path.name for path in ROOT.glob("*.*")}
    unknown = [key for key in keys if key not in files and not has_key(Parameters, key)]
    assert [key for key in unknown if not key.endswith(".json")] == []


def has_key(model: Any, key: str) -> bool:
    first, _, suffix = key.partition(".")
    fields = model.model_fields if issubclass(model, BaseModel) else {}
    if first not in fields:
        return False
    inner = list(reference().models_in(fields[first].annotation))
    return not suffix or any(has_key(inner_model, suffix) for inner_model in inner)


@pytest.mark.parametrize("name", CURRENT)
def test_python_examples_import_what_exists(name: str) -> None:
    imports = [
        node
        for block in blocks(name, "python")
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom)
    ]
    for node in imports:
        module = importlib.import_module(node.module or "")
        assert all(hasattr(module, alias.name) for alias in node.names)


def test_readme_is_short_and_links_each_page() -> None:
    assert len(text("README.md").splitlines()) <= 160
    pages = {name for name in DOCUMENTS if name.startswith("docs/")} - {"docs/index.md"}
    assert {page for page in pages if f"({page})" not in text("README.md")} == set()


def test_reference_has_every_command_asset_and_section() -> None:
    pages = {page: "\n".join(getattr(reference(), f"{page}_page")()) for page in reference().PAGES}
    headings = {page: set(re.findall(r"^## (.+)$", body, re.MULTILINE)) for page, body in pages.items()}
    graph = open_project(ROOT).graph
    tables = {table.name for asset in graph.assets.values() for table in asset.tables}
    assert headings["commands"] >= {f"cortex {name}" for name in main.commands}
    assert {field.name for fields in FIELDS.values() for field in fields} <= set(
        re.findall(r"^\| `(\w+)`", pages["requests"], re.MULTILINE)
    )
    assert (headings["assets"], headings["parameters"]) == ({*graph.assets, "Pins"}, set(Parameters.model_fields))
    assert tables <= set(re.findall(r"^### (\w+)\.parquet$", pages["columns"], re.MULTILINE))


def test_every_parameter_has_a_meaning() -> None:
    waiting, visited, silent = [Parameters], set[type[BaseModel]](), list[str]()
    while waiting:
        model = waiting.pop()
        meanings = reference().docstrings(model)
        silent += [f"{model.__name__}.{key}" for key in set(model.model_fields) - set(meanings)]
        for field in model.model_fields.values():
            inner = set(reference().models_in(field.annotation)) - visited
            visited |= inner
            waiting += inner
    assert silent == []


def test_rooms_are_the_folders_of_the_package() -> None:
    table = text("docs/contributing.md").split("## The rooms")[1].split("\nNext to them")[0]
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/`", table, re.MULTILINE)) >= folders - {"sandbox"}
    assert set(re.findall(r"^\| `(\w+)/`", table, re.MULTILINE)) <= folders


def test_the_table_of_rooms_has_the_enforced_import_order() -> None:
    layers = text("pyproject.toml").split("layers = [")[1].split("]")[0].strip().splitlines()
    height = {room: -number for number, layer in enumerate(layers) for room in re.findall(r"pipelines\.(\w+)", layer)}
    rooms = re.findall(r"^\| `(\w+)/`", text("docs/contributing.md"), re.MULTILINE)
    assert len(rooms) > 30
    assert rooms == sorted(rooms, key=height.__getitem__)


def test_limits_of_the_guard_on_exposure() -> None:
    params = load_parameters(ROOT)
    alternatives = params.evaluation.alternatives
    limit = params.release.code_adapter.guards["exposure_by_gain"].at_most
    page = text("docs/guides/deploy.md")
    assert f"{alternatives} alternatives" in page
    assert f"log2({alternatives + 1}) = {log2(alternatives + 1):.2f} bits" in page
    assert f"more than {limit:g} bits on average" in page


@cache
def literals() -> str:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "\n".join(node.value for node in nodes if isinstance(node.value, str))


def test_messages_are_the_ones_that_are_printed() -> None:
    rows = re.findall(r"^\| (`.*?) \|", text("docs/troubleshooting.md"), re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    exceptions = {"MISSING packages as pinned", "cortex: not found", "dvc pull", "cortex status"}
    exceptions |= {"dvc repro", "Is your cache up to date?"}
    exceptions |= {"could not fetch", "from promisor remote"}  # git says it
    parts = [part.strip() for message in messages for part in message.split("…") if part.strip()]
    assert [part for part in parts if part not in exceptions and part not in literals()] == []
    assert len(parts) > 10


def test_check_fails_on_a_file_of_before(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    result = CliRunner().invoke(main, ["dictionary", "--check"])
    assert result.exit_code == 1
    assert "run `cortex dictionary`" in result.output
    assert CliRunner().invoke(main, ["dictionary"]).exit_code == 0
    assert CliRunner().invoke(main, ["dictionary", "--check"]).exit_code == 0
