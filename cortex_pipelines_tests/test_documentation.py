"""What the README says of the graph, the commands and the parameters is what there is."""

import re
from itertools import product
from pathlib import Path

import pytest

from cortex_pipelines.catalog import open_project
from cortex_pipelines.cli.main import main
from cortex_pipelines.config import Parameters

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def text(name: str = "README.md") -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(title: str) -> str:
    return text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_picture_has_the_edges_of_the_graph() -> None:
    graph = open_project(ROOT).graph
    picture = section("What it does").split("```mermaid")[1].split("```")[0]
    drawn = {
        (start.strip(), end.strip())
        for left, right in re.findall(r"^ *(.+?) --> (.+)$", picture, re.MULTILINE)
        for start, end in product(left.split("&"), right.split("&"))
    }
    wirings = {name: graph.wiring(name) for name in graph.assets}

    assert drawn == {
        (node.name, name)
        for name, wiring in wirings.items()
        for node in (*wiring.assets, *wiring.pins)
    }


def test_picture_puts_each_asset_into_its_room() -> None:
    graph = open_project(ROOT).graph
    picture = section("What it does").split("```mermaid")[1].split("```")[0]
    rooms = {
        name: room
        for room, block in re.findall(r"subgraph (\w+)\n(.*?)\n    end", picture, re.DOTALL)
        for name in re.findall(r"^ +(\w+)", block, re.MULTILINE)
    }

    expected = {name: asset.room for name, asset in graph.assets.items()}
    assert rooms == expected | dict.fromkeys(graph.pins, "sources")


def test_every_asset_is_described() -> None:
    rows = [line for line in section("What it does").splitlines() if line.startswith("| `")]
    named = {name for line in rows for name in re.findall(r"`(\w+)`", line.split("|")[1])}

    assert named == set(open_project(ROOT).graph.assets)


def test_every_command_is_described() -> None:
    described = set(re.findall(r"^\| `cortex ([\w-]+)", section("The command line"), re.MULTILINE))

    assert described == set(main.commands)


def test_every_section_of_the_parameters_is_described() -> None:
    described = re.findall(r"^\| `(\w+)` \|", section("Parameters"), re.MULTILINE)

    assert sorted(described) == sorted(Parameters.model_fields)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)]+)\)", text(name))

    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_paths_in_quotes_exist(name: str) -> None:
    quoted = re.findall(r"`(\w[\w/]*\.(?:py|scm|yaml|toml|txt))`", text(name))
    places = (ROOT, ROOT / "cortex_pipelines", *(ROOT / "cortex_pipelines").iterdir())

    assert [path for path in quoted if not any((p / path).exists() for p in places)] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_targets_of_make_exist(name: str) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text(name), re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))

    assert named <= targets
