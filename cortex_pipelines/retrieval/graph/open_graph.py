"""The graph of a project's code, or of an indexed folder, opened for questions."""

import hashlib
import json
import logging
import shutil
from pathlib import Path

import polars as pl

from cortex_pipelines.atomic import folder_lock, publish, scratch_folder
from cortex_pipelines.config import Parameters
from cortex_pipelines.extraction.architecture.build import architecture_facts
from cortex_pipelines.extraction.units import extract
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.files.generated import is_generated
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.git.command import run_git
from cortex_pipelines.retrieval.documents import read_text
from cortex_pipelines.retrieval.graph.build import Tables, code_graph
from cortex_pipelines.retrieval.graph.questions import CodeGraph
from cortex_pipelines.retrieval.index import open_index
from cortex_pipelines.retrieval.listing import ListedFile, list_files
from cortex_pipelines.retrieval.open_index import limits_of
from cortex_pipelines.schemas.code_graph import CODE_GRAPH
from cortex_pipelines.schemas.code_units import CODE_UNITS
from cortex_pipelines.schemas.repositories import REPOSITORY_FILES
from cortex_pipelines.versioning.project import Project, ProjectError

_FORMAT = 1
"""Raised when a graph of an index of before would be another one."""
_COMMITS = 5_000
"""Newest commits of a folder that common changes are taken from."""
_UNITS = ("path", "qualified_name", "kind", "start_line", "end_line")
_ASSET = "code_graph"
_TABLES = ("edges", "units", "files")
"""Tables of a graph that is kept beside an index."""
_LOG = logging.getLogger("cortex_pipelines")


def project_graph(project: Project, name: str | None) -> CodeGraph:
    """The graph that a project, or all of them, has made.

    Args:
        project: Where.
        name: The project; None for all, whose names then begin the paths.

    Raises:
        ProjectError: there is no such project, or its graph is not made yet.
    """
    if name is not None and name not in project.partitions:
        known = ", ".join(project.partitions) or "none yet"
        raise ProjectError(f"params.yaml has no project {name}; there is: {known}")
    edges, units, paths = [CODE_GRAPH.empty()], [CODE_UNITS.empty().select(_UNITS)], list[str]()
    for one in [name] if name is not None else project.partitions:
        folder = project.output(_ASSET, one)
        if not (folder / f"{CODE_GRAPH.name}.parquet").is_file():
            raise ProjectError(
                f"the graph of {one} is not made yet; `cortex run {_ASSET} --project {one}` "
                "makes it"
            )
        prefix = "" if name is not None else f"{one}/"
        read = CODE_GRAPH.read(folder)
        ends = ("from_path", "to_path")
        edges.append(read.with_columns(_prefixed(prefix, end) for end in ends))
        defined = CODE_UNITS.read(project.output("code_units", one), *_UNITS)
        units.append(defined.with_columns(_prefixed(prefix, "path")))
        files = REPOSITORY_FILES.read(project.output("repository_files", one), "path")
        paths += [f"{prefix}{path}" for path in files["path"]]
    return CodeGraph(pl.concat(edges), pl.concat(units), paths)


def _prefixed(prefix: str, column: str) -> pl.Expr:
    return pl.concat_str(pl.lit(prefix), column).alias(column)


def index_graph(folder: Path, params: Parameters) -> CodeGraph:
    """The graph of the folder that an index is of, as it is now; made where it is not kept yet.

    Raises:
        SearchIndexError: the index is not there or cannot be used.
        FileNotFoundError: what was indexed is not there any more.
    """
    root = Path(open_index(folder).manifest.root)
    below = folder.resolve()
    listed = [
        file
        for file in list_files(root)
        if not file.left_out and not (root / file.path).resolve().is_relative_to(below)
    ]
    facts = json.dumps([_FORMAT, [(file.path, file.size, file.mtime) for file in listed]])
    kept = folder / f"graph-{hashlib.sha256(facts.encode()).hexdigest()[:24]}"
    if kept.is_dir():
        edges, units, files = (pl.read_parquet(kept / f"{name}.parquet") for name in _TABLES)
    else:
        edges, units, files = _made(root, listed, params)
        try:
            _keep(kept, (edges, units, files))
        except OSError as error:
            _LOG.warning(
                "the graph is not kept for the next question, as %s cannot be written: %s",
                folder,
                error.strerror or error,
            )
    return CodeGraph(edges, units, files["path"])


def _keep(kept: Path, tables: tuple[pl.DataFrame, ...]) -> None:
    folder = kept.parent
    with scratch_folder(folder, ".graph") as scratch:
        made = scratch / kept.name
        made.mkdir()
        for name, table in zip(_TABLES, tables, strict=True):
            table.write_parquet(made / f"{name}.parquet")
        with folder_lock(folder):  # else two at once delete the graphs of each other
            if not kept.is_dir():
                publish(made, kept)
            for other in folder.glob("graph-*"):
                if other != kept:
                    shutil.rmtree(other, ignore_errors=True)


def _made(
    root: Path, listed: list[ListedFile], params: Parameters
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Edges, units and paths of a folder, private values out, by the functions of the assets."""
    limits = limits_of(params)
    rows = []
    for file in listed:
        text = read_text(root, file.path, limits)
        if text is None:
            continue
        language = language_of(file.path, text)
        rows.append(
            {
                **dict.fromkeys(REPOSITORY_FILES.schema),
                **{"source": "", "path": file.path, "blob": "", "language": language},
                **{"size_bytes": file.size, "revision": "", "trainable": False, "notebook": False},
                "generated": is_generated(file.path, language, text, params.ingestion),
                **{"tested_paths": [], "text": text},
            }
        )
    files = pl.DataFrame(rows, schema=REPOSITORY_FILES.schema, orient="row")
    extracted = extract(files, params.extraction)
    facts = architecture_facts(files, extracted.units, params.architecture, params.extraction)
    tables = Tables(files, extracted.units, extracted.tests, facts, _commits(root))
    edges = code_graph(tables, params.architecture, params.extraction)
    return edges, extracted.units.select(_UNITS), files.select("path")


def _commits(root: Path) -> pl.DataFrame:
    """Paths that the newest commits changed; none where the folder is no repository's root."""
    commits: list[list[str]] = []
    if (root / ".git").exists():
        try:
            written = run_git(
                None, "-C", str(root), "-c", "core.quotePath=false", "log", f"-{_COMMITS}",
                "--no-merges", "--format=%x00", "--name-only",
            )  # fmt: skip
        except SourceError:
            written = ""  # a repository without a commit, or not this user's
        commits = [list(filter(None, commit.split("\n"))) for commit in written.split("\0")]
    return pl.DataFrame(
        {"source": [""] * len(commits), "paths": commits},
        schema={"source": pl.String, "paths": pl.List(pl.String)},
    )
