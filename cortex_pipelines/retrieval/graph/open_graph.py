"""Open the graph of a project's code, or of an indexed folder."""

import hashlib
import json
import logging
import shutil
from contextlib import suppress
from pathlib import Path

import polars as pl

from cortex_pipelines.atomic import folder_lock, publish, scratch_folder
from cortex_pipelines.config import Parameters
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.ingestion.git.command import run_git
from cortex_pipelines.retrieval.graph.build import GraphTables, code_graph
from cortex_pipelines.retrieval.graph.questions import CodeGraph
from cortex_pipelines.retrieval.listing import ListedFile, list_files
from cortex_pipelines.schemas.extraction import CODE_UNITS
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines.schemas.retrieval import CODE_GRAPH
from cortex_pipelines.versioning.project import Project, ProjectError

_FORMAT = 4  # raised when a graph of an index of before would be another one
_COMMITS = 5_000  # newest commits of a folder that common changes are taken from
_UNITS = ("path", "qualified_name", "kind", "start_line", "end_line", "signature")
_ASSET = "code_graph"
_TABLES = ("edges", "units", "files")  # tables of a graph that is kept beside an index
_COMMIT_TYPES = {"source": pl.String(), "paths": pl.List(pl.String)}
_LOG = logging.getLogger("cortex_pipelines")


def project_graph(project: Project, name: str | None) -> CodeGraph:
    """The graph that a project, or all of them (None), has made; then their names begin the paths.

    Raises:
        ProjectError: unknown project, or its graph is not built yet.
    """
    edges, units, paths = [CODE_GRAPH.empty()], [CODE_UNITS.empty().select(_UNITS)], list[str]()
    for partition in project.selected(name):
        folder = project.output(_ASSET, partition)
        if not (folder / f"{CODE_GRAPH.name}.parquet").is_file():
            raise ProjectError(
                f"the graph of {partition} is missing; `cortex run {_ASSET} --project {partition} --upstream` makes it"
            )
        prefix = "" if name is not None else f"{partition}/"
        edges.append(CODE_GRAPH.read(folder).with_columns(_prefixed(prefix, end) for end in ("from_path", "to_path")))
        defined = CODE_UNITS.read(project.output("code_units", partition), *_UNITS)
        units.append(defined.with_columns(_prefixed(prefix, "path")))
        files = REPOSITORY_FILES.read(project.output("repository_files", partition), "path")
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
    from cortex_pipelines.retrieval.index import open_index  # scipy is slow to import

    root = Path(open_index(folder).manifest.root)
    index_folder = folder.resolve()
    sources = [
        source
        for source in list_files(root)
        if not source.left_out and not (root / source.path).resolve().is_relative_to(index_folder)
    ]
    facts = json.dumps([_FORMAT, [(source.path, source.size, source.mtime, source.marked) for source in sources]])
    graph_folder = folder / f"graph-{hashlib.sha256(facts.encode()).hexdigest()[:24]}"
    if graph_folder.is_dir():
        edges, units, files = (pl.read_parquet(graph_folder / f"{name}.parquet") for name in _TABLES)
    else:
        edges, units, files = _build_tables(root, sources, params)
        try:
            with scratch_folder(folder, ".graph") as scratch:
                new_graph = scratch / graph_folder.name
                new_graph.mkdir()
                for name, table in zip(_TABLES, (edges, units, files), strict=True):
                    table.write_parquet(new_graph / f"{name}.parquet")
                with folder_lock(folder):  # else two at once delete the graphs of each other
                    if not graph_folder.is_dir():
                        publish(new_graph, graph_folder)
                    for other in folder.glob("graph-*"):
                        if other != graph_folder:
                            shutil.rmtree(other, ignore_errors=True)
        except OSError as error:
            reason = error.strerror or error
            _LOG.warning("the graph is not kept for the next question, as %s cannot be written: %s", folder, reason)
    return CodeGraph(edges, units, files["path"])


def _build_tables(
    root: Path, sources: list[ListedFile], params: Parameters
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Edges, units and paths of a folder, private values out, by the functions of the assets."""
    from cortex_pipelines.extraction.architecture.build import architecture_facts
    from cortex_pipelines.extraction.units import extract
    from cortex_pipelines.ingestion.files.content import is_generated
    from cortex_pipelines.retrieval.documents import read_text
    from cortex_pipelines.retrieval.open_index import reading_limits

    limits = reading_limits(params)
    rows = []
    for file in sources:
        text = read_text(root, file.path, limits)
        if text is None:
            continue
        language = language_of(file.path, text)
        rows.append(
            {
                **dict.fromkeys(REPOSITORY_FILES.schema),
                **{"source": "", "path": file.path, "blob": "", "language": language},
                **{"size_bytes": file.size, "revision": "", "trainable": False, "notebook": False},
                "generated": file.marked or is_generated(file.path, language, text, params.ingestion),
                "text": text,
            }
        )
    files = pl.DataFrame(rows, schema=REPOSITORY_FILES.schema, orient="row")
    extracted = extract(files, params.extraction)
    facts = architecture_facts(files, extracted.units, params.architecture, params.extraction)
    # paths that the newest commits changed; none unless the folder is a repository's root
    commits: list[list[str]] = []
    if (root / ".git").exists():
        options = (f"-{_COMMITS}", "--no-merges", "--format=%x00", "--name-only")
        with suppress(SourceError):  # a repository without a commit, or not this user's
            log = run_git(None, "-C", str(root), "-c", "core.quotePath=false", "log", *options)
            commits = [list(filter(None, commit.split("\n"))) for commit in log.split("\0")]
    history = pl.DataFrame({"source": [""] * len(commits), "paths": commits}, schema=_COMMIT_TYPES)
    tables = GraphTables(files, extracted.units, extracted.tests, facts, history)
    edges = code_graph(tables, params.architecture, params.extraction)
    return edges, extracted.units.select(_UNITS), files.select("path")
