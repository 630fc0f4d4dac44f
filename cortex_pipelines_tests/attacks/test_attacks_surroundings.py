"""Outputs do not depend on what surrounds a run: hash seed, locale, time zone, order of a folder.

The short form compares what the libraries make of a folder; ``pytest -m attack`` makes a whole tiny
project six times, data sets, models and evaluations, and compares every byte.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from cortex_pipelines.catalog import ASSETS
from cortex_pipelines_tests.attacks import tiny
from cortex_pipelines_tests.integration.miniproject import write_beta

ROOT = Path(__file__).parents[2]
MINUTES = 25
PAIRS = [
    (
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C", "LISTING": "forwards"},
        {
            "PYTHONHASHSEED": "77",
            "TZ": "Pacific/Chatham",
            "LC_ALL": "C.UTF-8",
            "LISTING": "backwards",
        },
    ),
    (
        {"PYTHONHASHSEED": "2", "TZ": "America/St_Johns", "LC_ALL": "POSIX", "LISTING": "forwards"},
        {"PYTHONHASHSEED": "3", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "LISTING": "forwards"},
    ),
    (
        {"PYTHONHASHSEED": "4", "TZ": "UTC", "LC_ALL": "tr_TR.UTF-8", "LISTING": "backwards"},
        {"PYTHONHASHSEED": "5", "TZ": "UTC", "LC_ALL": "de_DE.UTF-8", "LISTING": "forwards"},
    ),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources") / "beta"
    write_beta(folder)
    for module in [*folder.glob("routing_*"), *sorted(folder.glob("evaluation_*"))[4:]]:
        module.unlink()
    return folder


def digests(sources: Path, surroundings: dict[str, str]) -> dict[str, str]:
    """Each output of a process in these surroundings, by its name."""
    listing = surroundings["LISTING"]
    done = subprocess.run(
        [sys.executable, __file__, str(sources), listing],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | surroundings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(sources: Path, pair: tuple[dict[str, str], dict[str, str]]) -> None:
    one, other = (digests(sources, surroundings) for surroundings in pair)
    assert {"units", "facts", "annotated", "injected_errors", "splits", "style"} <= one.keys()
    assert one == other


def test_outputs_are_the_same_in_other_surroundings(sources: Path) -> None:
    compare(sources, PAIRS[0])


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Hashes of the outputs of the same project, made in each of the surroundings."""
    work = tmp_path_factory.mktemp("projects")
    return [whole_project(work / str(number), one) for number, one in enumerate(sum(PAIRS, ()))]


def whole_project(folder: Path, surroundings: dict[str, str]) -> dict[str, str]:
    """Make a tiny project in a process in these surroundings."""
    done = subprocess.run(
        [sys.executable, "-m", tiny.__name__, str(folder), surroundings["LISTING"]],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | surroundings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    made: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return made


@pytest.mark.attack
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("pair", range(len(PAIRS)), ids=["seed", "zone", "locale"])
def test_a_whole_project_is_the_same_in_other_surroundings(
    projects: list[dict[str, str]], pair: int, record_property: Callable[[str, object], None]
) -> None:
    one, other = projects[2 * pair : 2 * pair + 2]
    assets = {name.split("/")[1] for name in one if name.startswith("data/")}
    assert assets >= {asset.name for asset in ASSETS}
    assert [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)] == []
    assert one == projects[0]
    record_property("attacks", 2)
    record_property("outputs", len(one))


def made(sources: Path) -> Iterator[tuple[str, bytes]]:
    """What the libraries make of a folder, as bytes."""
    from cortex_pipelines.annotation.annotate import annotate
    from cortex_pipelines.augmentation.augment import augment
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.datasets.unit_splits.build import split_units
    from cortex_pipelines.evaluation.metrics.style import (
        distances_by_feature,
        learn_style,
        style_distance,
    )
    from cortex_pipelines.extraction.architecture.build import architecture_facts
    from cortex_pipelines.extraction.folder import extract_path
    from cortex_pipelines.extraction.units import extract
    from cortex_pipelines.privacy.folder import scan_path
    from cortex_pipelines.retrieval.graph.build import GraphTables, code_graph
    from cortex_pipelines.schemas.repositories import REPOSITORY_COMMITS, REPOSITORY_FILES

    parameters = load_parameters(ROOT)
    listed = extract_path(sources, parameters.extraction).units
    texts = {path: (sources / path).read_bytes() for path in sorted(set(listed["path"]))}
    files = REPOSITORY_FILES.frame(
        [
            dict.fromkeys(REPOSITORY_FILES.schema)
            | {"source": "directory:.", "path": path, "text": texts[path].decode()}
            | {"blob": blob, "language": language, "size_bytes": len(texts[path])}
            | {"generated": False, "trainable": True, "notebook": False}
            | {"tested_paths": [], "revision": "one"}
            for path, blob, language in listed.select("path", "blob", "language")
            .unique(maintain_order=True)
            .iter_rows()
        ]
    )
    found = extract(files, parameters.extraction)
    known = annotate(found.units, files, parameters.annotation, parameters.extraction)
    styles = [learn_style([("python", text.decode())]) for text in texts.values()]
    # each pair: a sum of a few floats seldom shows in what order it was taken
    distances = [
        (style_distance(one, team), distances_by_feature(one, team))
        for one in styles
        for team in styles
    ]
    facts = architecture_facts(files, found.units, parameters.architecture, parameters.extraction)
    known_tables = GraphTables(files, found.units, found.tests, facts, REPOSITORY_COMMITS.empty())
    tables = {
        "listed": listed,
        "units": found.units,
        "chunks": found.chunks,
        "facts": facts,
        "graph": code_graph(known_tables, parameters.architecture, parameters.extraction),
        "annotated": known.units,
        "findings": known.findings,
        "splits": split_units(
            known.units, files, REPOSITORY_COMMITS.empty(), (), parameters.datasets
        ),
        **augment(known.units, parameters.augmentation),
    }
    for name, table in tables.items():
        yield name, repr(table.rows()).encode()
    yield "style", repr(distances).encode()
    yield "scan", repr([repr(scan) for scan in scan_path(sources, parameters.privacy)]).encode()


if __name__ == "__main__":
    with tiny.listed_backwards() if sys.argv[2] == "backwards" else nullcontext():
        outputs = dict(made(Path(sys.argv[1])))
    print(json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in outputs.items()}))
