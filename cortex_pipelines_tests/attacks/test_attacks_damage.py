"""A file that is damaged, by accident or on purpose, costs its own rows and nobody else's."""

from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.annotation.annotate import annotate
from cortex_pipelines.augmentation.augment import augment
from cortex_pipelines.config import Parameters
from cortex_pipelines.datasets.assemble.build import project_units
from cortex_pipelines.datasets.splitting.unit_splits import split_units
from cortex_pipelines.datasets.tasks.completion import completion_candidates
from cortex_pipelines.datasets.tasks.naming import naming_candidates
from cortex_pipelines.extraction.architecture.build import architecture_facts
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.ingestion.entries import File, SourceLimits
from cortex_pipelines.ingestion.files.content import content_of
from cortex_pipelines.schemas.ingestion import LINE_TIMES, REDACTIONS, REPOSITORY_FILES
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
EXAMPLES = 12
WHOLE = CASES["WHOLE"]
VICTIMS = CASES["VICTIMS"]
# bytes as letters of Latin-1, and how often they stand there
WEIRD = [*(text.encode("latin-1") * times for text, times in CASES["WEIRD"]), b"[" * 3_000 + b"]" * 3_000]
MODES = st.sampled_from(["cut", "insert", "replace"])
DAMAGE = st.lists(st.tuples(MODES, st.floats(0, 1), st.sampled_from(WEIRD) | st.binary()), min_size=1, max_size=3)
Stages = dict[str, pl.DataFrame]
NO_NAMES = pl.DataFrame(schema={"unit_id": pl.String, "local_names": pl.List(pl.String)})


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
    limits, rows = SourceLimits(parameters.ingestion), []
    for path, data in files.items():
        if limits.check(path, len(data)) is not None:
            continue
        content = content_of(File(path, data), parameters.ingestion, parameters.privacy, bytes(32))
        if content["reason"] is None:
            columns = {name: content[name] for name in ("blob", "language", "generated", "notebook")}
            rows.append(
                columns
                | {"source": "directory:shop", "path": path, "size_bytes": len(data), "revision": "one"}
                | {"licence": "MIT", "trainable": True, "author": None}
                | {"text": content["text"]}
            )
    return REPOSITORY_FILES.frame(rows)


def stages(files: pl.DataFrame, parameters: Parameters) -> Stages:
    extraction = extract(files, parameters.extraction)
    facts = architecture_facts(files, extraction.units, parameters.architecture, parameters.extraction)
    annotation = annotate(extraction.units, files, parameters.annotation, parameters.extraction)
    augmentation = augment(annotation.units, parameters.augmentation)
    splits = split_units(annotation.units, files, LINE_TIMES.empty(), (), parameters.datasets)
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
        "unparsed": extraction.unparsed_files,
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
@hypothesis_settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_changes_no_row_of_another(victim: str, damage, undamaged, parameters) -> None:
    files = bytes_of(WHOLE) | {victim: damaged(VICTIMS[victim].encode(), damage)}
    assert of_others(stages(frame(files, parameters), parameters)) == of_others(undamaged)


@given(name=st.sampled_from([part * times + end for part, times, end in CASES["NAMES"]]))
@hypothesis_settings(max_examples=10)
def test_a_weird_name_changes_no_row_of_another(name: str, undamaged: Stages, parameters: Parameters) -> None:
    files = bytes_of(WHOLE) | {name: VICTIMS["shop/broken.py"].encode()}
    assert of_others(stages(frame(files, parameters), parameters)) == of_others(undamaged)


@pytest.mark.parametrize(("names", "reasons"), CASES["PATHS"])
def test_a_path_that_no_folder_can_hold_is_refused(names: list[Any], reasons: list[str | None], parameters) -> None:
    limits = SourceLimits(parameters.ingestion)
    assert [entry and entry.reason for entry in [limits.check(name * times, 1) for name, times in names]] == reasons
