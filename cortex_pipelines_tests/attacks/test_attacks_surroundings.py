"""Outputs do not depend on what surrounds a run: hash seed, locale, time zone, order of a folder.

The short form compares what the libraries make of a folder, the long one a whole tiny project.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

import pytest

from cortex_pipelines.catalog import ASSETS
from cortex_pipelines_tests.attacks import tiny
from cortex_pipelines_tests.command import run_python
from cortex_pipelines_tests.integration.miniproject import write_beta
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
ROOT = Path(__file__).parents[2]
PAIRS = CASES["PAIRS"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources") / "beta"
    write_beta(folder)
    for module in [*folder.glob("routing_*"), *sorted(folder.glob("evaluation_*"))[4:]]:
        module.unlink()
    return folder


def digests(surroundings: dict[str, str], *command: str) -> dict[str, str]:
    result = run_python(*command, surroundings["LISTING"], cwd=ROOT, **{"PYTHONPATH": str(ROOT)} | surroundings)
    assert result.returncode == 0, f"{result.stdout[-3000:]}{result.stderr[-3000:]}"
    return json.loads(result.stdout.splitlines()[-1])


def test_outputs_are_the_same_in_other_surroundings(sources: Path) -> None:
    first, other = (digests(surroundings, __file__, str(sources)) for surroundings in PAIRS[0])
    assert {"units", "facts", "annotated", "injected_errors", "splits", "style"} <= first.keys()
    assert first == other


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    work = tmp_path_factory.mktemp("projects")
    return [
        digests(surroundings, "-m", tiny.__name__, str(work / str(number)))
        for number, surroundings in enumerate(chain(*PAIRS))
    ]


@pytest.mark.attack
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("pair", range(len(PAIRS)), ids=["seed", "zone", "locale"])
def test_a_whole_project_is_the_same_in_other_surroundings(projects, pair: int) -> None:
    first, other = projects[2 * pair : 2 * pair + 2]
    assert {name.split("/")[1] for name in first if name.startswith("data/")} >= {asset.name for asset in ASSETS}
    assert [name for name in first.keys() | other.keys() if first.get(name) != other.get(name)] == []
    assert first == projects[0]


def stage_outputs(sources: Path) -> Iterator[tuple[str, bytes]]:
    from cortex_pipelines.annotation.annotate import annotate
    from cortex_pipelines.augmentation.augment import augment
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.datasets.splitting.unit_splits import split_units
    from cortex_pipelines.evaluation.metrics.style import distances_by_feature, learn_style, style_distance
    from cortex_pipelines.extraction.architecture.build import architecture_facts
    from cortex_pipelines.extraction.folder import extract_path
    from cortex_pipelines.extraction.units import extract
    from cortex_pipelines.privacy.detect.scanning import scan_path
    from cortex_pipelines.retrieval.graph.build import GraphTables, code_graph
    from cortex_pipelines.schemas.ingestion import LINE_TIMES, REPOSITORY_COMMITS, REPOSITORY_FILES

    parameters = load_parameters(ROOT)
    unit_rows = extract_path(sources, parameters.extraction).units
    texts = {path: (sources / path).read_bytes() for path in sorted(set(unit_rows["path"]))}
    files = REPOSITORY_FILES.frame(
        [
            dict.fromkeys(REPOSITORY_FILES.schema)
            | {"source": "directory:.", "path": path, "text": texts[path].decode()}
            | {"blob": blob, "language": language, "size_bytes": len(texts[path])}
            | {"generated": False, "trainable": True, "notebook": False}
            | {"revision": "one"}
            for path, blob, language in unit_rows.select("path", "blob", "language")
            .unique(maintain_order=True)
            .iter_rows()
        ]
    )
    extraction = extract(files, parameters.extraction)
    annotation = annotate(extraction.units, files, parameters.annotation, parameters.extraction)
    styles = [learn_style([("python", text.decode())]) for text in texts.values()]
    # each pair: a sum of a few floats seldom shows in what order it was taken
    distances = [
        (style_distance(style, team), distances_by_feature(style, team)) for style in styles for team in styles
    ]
    facts = architecture_facts(files, extraction.units, parameters.architecture, parameters.extraction)
    known_tables = GraphTables(files, extraction.units, extraction.tests, facts, REPOSITORY_COMMITS.empty())
    tables = {
        "listed": unit_rows,
        "units": extraction.units,
        "facts": facts,
        "graph": code_graph(known_tables, parameters.architecture, parameters.extraction),
        "annotated": annotation.units,
        "findings": annotation.findings,
        "splits": split_units(annotation.units, files, LINE_TIMES.empty(), (), parameters.datasets),
        **augment(annotation.units, parameters.augmentation),
    }
    for name, table in tables.items():
        yield name, repr(table.rows()).encode()
    yield "style", repr(distances).encode()
    yield "scan", repr([repr(scan) for scan in scan_path(sources, parameters.privacy)]).encode()


if __name__ == "__main__":
    with tiny.listed_backwards() if sys.argv[2] == "backwards" else nullcontext():
        outputs = dict(stage_outputs(Path(sys.argv[1])))
    print(json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in outputs.items()}))
