import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from cortex_pipelines_tests.integration.miniproject import MiniProject, git
from cortex_pipelines_tests.messages import refusal

REPOSITORY = Path(__file__).parents[2]
SHOWN = {
    "adapters": ("adapter of alpha, version ", "extraction_rate: ", "adapter on the base", "----- repository\n"),
    "explore": ("task_router version 1", "project_source of alpha", "{head}"),  # lineage
    "code_data": (
        *("===== completion: fim\n", "===== an injected error\n", "===== naming\n"),
        *("split_reason: ", "long-parameter-list"),
    ),
    "decisions": ("a hand-written sample", "predictors.min_items", "without their propensity", "anomalies.min_windows"),
}
"""Notebook to text that its output for the small project must contain."""
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def test_every_notebook_has_an_output_to_be_seen() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SHOWN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs(path: Path) -> None:
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    assert cells
    assert [c for c in cells if c["outputs"] or c["execution_count"] is not None] == []


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, finished: MiniProject) -> None:
    outputs = run(path, finished.root)
    head = git(finished.root / "sources" / "alpha", "rev-parse", "HEAD")
    assert [text for text in SHOWN[path.stem] if text.format(head=head[:8]) not in outputs] == []


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_says_what_to_run_first(path: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("projects: {alpha: {sources: [{directory: .}]}}\n")
    assert "cortex run" in refusal(CellExecutionError, run, path, tmp_path)


def run(path: Path, root: Path) -> str:
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=1200, startup_timeout=600, kernel_name="python3", resources=resources)
    paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    with mock.patch.dict(os.environ, {"CORTEX_ROOT": str(root), "PYTHONPATH": paths}):
        client.execute()
    return "\n".join(text(output) for cell in notebook.cells for output in cell.get("outputs", []))


def text(output: Any) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))
