"""A file that is damaged, by accident or on purpose, costs its own rows and nobody else's."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.annotation.annotate import annotate
from cortex_pipelines.augmentation.augment import augment
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.datasets.assemble.build import project_units
from cortex_pipelines.datasets.splitting.unit_splits import split_units
from cortex_pipelines.datasets.tasks.completion import completion_candidates
from cortex_pipelines.datasets.tasks.naming import naming_candidates
from cortex_pipelines.extraction.architecture.build import architecture_facts
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.ingestion.entries import File, SourceLimits
from cortex_pipelines.ingestion.files.content import content_of
from cortex_pipelines.schemas.ingestion import REDACTIONS, REPOSITORY_COMMITS, REPOSITORY_FILES
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

MINUTES = 1
EXAMPLES = 12
ROOT = Path(__file__).parents[2]
SOURCE = "directory:shop"
WHOLE = CASES["WHOLE"]
VICTIMS = CASES["VICTIMS"]
WEIRD = st.sampled_from(
    [
        b"\x00",
        b"\xff\xfe",
        b"\xed\xa0\x80",  # a surrogate as bytes
        b'"\\ud800"',
        b'{"name": "\\ud800", "dependencies": {"\\udfff": "1"}}',
        b"\xf0\x9f",
        "\u202e\u2028\ufeff".encode(),
        b"(" * 3_000,
        b"{" * 3_000,
        b"[" * 3_000 + b"]" * 3_000,
        b"- " * 500,
        b"a: &a [*a, *a]\n",
        b"x" * 50_000,
        b"\r",
        b"def f(:\n" * 50,
        b"99999999999999999999999999999999e999999",
        b"1" * 5_000,
        b"'''",
        b"/*",
        b"`${",
    ]
)
DAMAGE = st.lists(
    st.tuples(st.sampled_from(["cut", "insert", "replace"]), st.floats(0, 1), WEIRD | st.binary()),
    min_size=1,
    max_size=3,
)
Stages = dict[str, pl.DataFrame]
NO_NAMES = pl.DataFrame(schema={"unit_id": pl.String, "local_names": pl.List(pl.String)})


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return load_parameters(ROOT)


def damaged(data: bytes, damage: list[tuple[str, float, bytes]]) -> bytes:
    for mode, share, insertion in damage:
        position = int(len(data) * share)
        if mode == "cut":
            data = data[:position]
        elif mode == "insert":
            data = data[:position] + insertion + data[position:]
        else:
            data = insertion
    return data


def frame(files: dict[str, bytes], parameters: Parameters) -> pl.DataFrame:
    """The files as ingestion lets them in."""
    limits, rows = SourceLimits(parameters.ingestion), []
    for path, data in files.items():
        if limits.check(path, len(data)) is not None:
            continue
        content = content_of(File(path, data), parameters.ingestion, parameters.privacy, bytes(32))
        if content["reason"] is None:
            columns = {name: content[name] for name in ("blob", "language", "generated", "notebook")}
            rows.append(
                columns
                | {"source": SOURCE, "path": path, "size_bytes": len(data), "revision": "one"}
                | {"licence": "MIT", "trainable": True, "author": None}
                | {"text": content["text"]}
            )
    return REPOSITORY_FILES.frame(rows)


def stages(files: pl.DataFrame, parameters: Parameters) -> Stages:
    """The rows of each stage that belong to files."""
    extraction = extract(files, parameters.extraction)
    facts = architecture_facts(files, extraction.units, parameters.architecture, parameters.extraction)
    annotation = annotate(extraction.units, files, parameters.annotation, parameters.extraction)
    augmentation = augment(annotation.units, parameters.augmentation)
    splits = split_units(annotation.units, files, REPOSITORY_COMMITS.empty(), (), parameters.datasets)
    project = project_units(annotation.units, files, REDACTIONS.empty(), splits, parameters.datasets)
    examples = pl.concat(
        [
            completion_candidates(project.units, parameters.datasets).select("unit_id", "prompt"),
            naming_candidates(project.units, NO_NAMES, project.texts, parameters.datasets).select("unit_id", "prompt"),
        ]
    )
    unit_paths = annotation.units.select("unit_id", "path")
    augmented = {
        name: table.join(unit_paths, on="unit_id", how="inner", maintain_order="left")
        for name, table in augmentation.items()
    }
    return {
        "units": extraction.units,
        "chunks": extraction.chunks.join(unit_paths, on="unit_id"),
        "unparsed": extraction.unparsed,
        "facts": facts,
        "annotated": annotation.units,
        "findings": annotation.findings,
        # which side a unit is on depends on all of them; that it is judged does not
        "examples": examples.join(unit_paths, on="unit_id"),
        "judged": splits.select("unit_id", "path", "kind"),
    } | augmented


@pytest.fixture(scope="module")
def undamaged(parameters: Parameters) -> Stages:
    outputs = stages(frame(bytes_of(WHOLE), parameters), parameters)
    for name in ("units", "facts", "annotated", "renamed_units", "injected_errors"):
        assert outputs[name].height, name
    return outputs


def bytes_of(texts: dict[str, str]) -> dict[str, bytes]:
    return {path: text.encode() for path, text in texts.items()}


def of_others(outputs: Stages) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: sorted(table.filter(pl.col("path").is_in(list(WHOLE))).rows(), key=repr)
        for name, table in outputs.items()
    }


@given(victim=st.sampled_from(sorted(VICTIMS)), damage=DAMAGE)
@example(victim="api/package.json", damage=[("replace", 0.0, b'"\\ud800"')])
@example(victim="api/package.json", damage=[("replace", 0.0, b'{"name": "\\ud800"}')])
@example(victim="api/package.json", damage=[("replace", 0.0, b'{"name": "a", "dependencies": {"\\ud800": "1"}}')])
@example(victim="deploy/compose.yml", damage=[("insert", 0.5, b'\n    labels: ["\\ud800"]\n')])
@hypothesis_settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_changes_no_row_of_another(
    victim: str,
    damage: list[tuple[str, float, bytes]],
    undamaged: Stages,
    parameters: Parameters,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("attacks", EXAMPLES)
    files = bytes_of(WHOLE) | {victim: damaged(VICTIMS[victim].encode(), damage)}
    assert of_others(stages(frame(files, parameters), parameters)) == of_others(undamaged)


NAMES = st.sampled_from(
    [
        "shop/prices.py/inside.py",
        "shop",
        "a" * 300 + ".py",
        "/".join(["deep"] * 900) + "/a.py",
        "shop/\udcff.py",
        "shop/new\nline.py",
        "shop/'quote\".py",
        "../out.py",
        "shop//twice.py",
        "shop/\u202etxt.py",
    ]
)


@given(name=NAMES)
@hypothesis_settings(max_examples=10, deadline=None)
def test_a_weird_name_changes_no_row_of_another(name: str, undamaged: Stages, parameters: Parameters) -> None:
    files = bytes_of(WHOLE) | {name: VICTIMS["shop/broken.py"].encode()}
    assert of_others(stages(frame(files, parameters), parameters)) == of_others(undamaged)


@pytest.mark.parametrize(
    ("names", "reasons"),
    [
        (["a.py", "a.py/b.py"], [None, "unsafe_path"]),
        (["a.py/b.py", "a.py"], [None, "unsafe_path"]),
        (["b/c/d.py", "b"], [None, "unsafe_path"]),
        (["a" * 300], ["unsafe_path"]),
        (["é" * 125], ["unsafe_path"]),
        (["a/" * 1_500 + "b"], ["unsafe_path"]),
        (["a" * 240, "a/b", "a/c", "ab"], [None, None, None, None]),
    ],
)
def test_a_path_that_no_folder_can_hold_is_refused(
    names: list[str], reasons: list[str | None], parameters: Parameters
) -> None:
    limits = SourceLimits(parameters.ingestion)
    refused = [limits.check(name, 1) for name in names]
    assert [entry and entry.reason for entry in refused] == reasons
