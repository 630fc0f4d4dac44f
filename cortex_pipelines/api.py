"""The Python API for notebooks and programs, exported lazily by the package.

Nothing here is new: each function opens the project, takes its parameters and calls the room that does the work.
``folder`` is any folder in a project; by default the current one (or ``CORTEX_ROOT``).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from cortex_pipelines.versioning.root import find_root

if TYPE_CHECKING:
    import polars as pl

    from cortex_pipelines.config import Parameters
    from cortex_pipelines.release.open_model import LoadedModel
    from cortex_pipelines.retrieval.search import SearchHit
    from cortex_pipelines.routing.serving.router import Router
    from cortex_pipelines.tracking.lineage import LineageNode
    from cortex_pipelines.versioning.project import Project


def load_parameters(folder: str | Path | None = None) -> "Parameters":
    """The parameters of the project; outside of any project, those of the ``standard`` profile.

    Returns:
        All sections of ``params.yaml``, checked; ``load_parameters().extraction`` is one.

    Raises:
        ProjectError: ``params.yaml`` is invalid, or ``folder`` is not in a project.
    """
    from cortex_pipelines.config import load_parameters_anywhere

    return load_parameters_anywhere(folder)


def open_project(folder: str | Path | None = None) -> "Project":
    """The project in a folder: its assets, their outputs and versions; ProjectError outside a project."""
    from cortex_pipelines import catalog

    return catalog.open_project(find_root(None if folder is None else Path(folder)))


def extract_units(path: str | Path, folder: str | Path | None = None) -> "pl.DataFrame":
    """The functions, methods, types, imports and declarations of a source file or folder.

    Args:
        path: File or folder with Python, JavaScript, TypeScript, Java, Go or Rust.
        folder: A folder in the project whose limits (section ``extraction``) count.

    Returns:
        A row per unit, in order of path and place: the columns of ``code_units``. Offsets
        (``start_byte``, ``end_byte``) are bytes of the file in UTF-8, lines count from 1.

    Raises:
        FileNotFoundError: nothing is at ``path``.
        ProjectError: ``params.yaml`` is wrong.
    """
    from cortex_pipelines.extraction.folder import extract_path

    return extract_path(Path(path), load_parameters(folder).extraction).units


def scan_private(path: str | Path, folder: str | Path | None = None) -> "pl.DataFrame":
    """Locations of secrets and personal data in a file or folder, without their values.

    Args:
        path: File or folder.
        folder: A folder in the project whose rules (section ``privacy``) count.

    Returns:
        A row per finding: ``path``, ``line`` (from 1), ``start`` and ``end`` (characters in the
        line, from 0), ``category``, ``rule``, ``severity``.

    Raises:
        FileNotFoundError: nothing is at ``path``.
        ProjectError: ``params.yaml`` is wrong.
    """
    from dataclasses import asdict

    import polars as pl

    from cortex_pipelines.privacy.detect.scanning import scan_path

    scans = scan_path(Path(path), load_parameters(folder).privacy)
    rows = [{"path": scan.path, **asdict(finding)} for scan in scans for finding in scan.findings]
    positions = dict.fromkeys(("line", "start", "end"), pl.Int64)
    words = dict.fromkeys(("category", "rule", "severity"), pl.String)
    return pl.DataFrame(rows, schema={"path": pl.String, **positions, **words})


def search_code(
    query: str, index: str | Path | None = None, folder: str | Path | None = None, k: int = 10, by: str | None = None
) -> "list[SearchHit]":
    """Places in code and documentation that a query is about, best first.

    Args:
        query: Words, an identifier, a line of code, an error message, or the text of an issue.
        index: Folder of `cortex index`. Without it the files of the project in ``folder`` are
            searched, as its assets have them.
        k: Most results.
        by: ``unit`` for places, ``file`` for files; None decides by the query.

    Returns:
        Results with ``path``, ``start_line``, ``end_line`` (from 1, inclusive), ``name``, ``kind``,
        ``score``, ``why``, ``commit`` and ``stale``.

    Raises:
        QueryError: the query is empty, enormous, or no text.
        SearchIndexError: ``index`` holds no index that can be used.
        ProjectError: the folder is not in a project, or its files are not made yet.
    """
    from cortex_pipelines.retrieval.open_index import cached_searcher
    from cortex_pipelines.retrieval.project_index import open_project_searcher

    if index is not None:
        searcher = cached_searcher(Path(index), load_parameters(folder))
    else:
        searcher = open_project_searcher(open_project(folder), None, load_parameters(folder))
    searcher.refresh()
    return searcher.search(query, k, by=by)


def read_table(asset: str, table: str, project: str | None = None, folder: str | Path | None = None) -> "pl.DataFrame":
    """Read a table of an asset's output from the workspace.

    Args:
        asset: Name of the asset, for example ``annotated_units``.
        table: Name of its table, for example ``units``.
        project: Only this project; None takes every project in which the asset is made.

    Returns:
        The table; of an asset made for each project with the further column ``project``.

    Raises:
        LookupError: unknown asset or project, or the asset is not made yet.
        ProjectError: the folder is not in a project.
    """
    import polars as pl

    opened = open_project(folder)
    try:
        partitions = opened.partitions_of(opened.graph.assets[asset])
    except KeyError:
        raise LookupError(f"no asset {asset}; assets: {', '.join(opened.graph.assets)}") from None
    if project is not None and project not in partitions:
        raise LookupError(f"{asset} has no project {project}; projects: {partitions}")
    frames = [
        pl.read_parquet(path).with_columns(*([pl.lit(name).alias("project")] if name else []))
        for name in partitions
        if project in (None, name) and (path := opened.output(asset, name) / f"{table}.parquet").exists()
    ]
    if not frames:
        raise LookupError(f"no table {table} of {asset} yet: run `cortex run {asset} --upstream` first")
    return pl.concat(frames)


def load_router(folder: str | Path | None = None) -> "Router":
    """Load a verified task router: ``load_router().route(["a task"])``.

    Args:
        folder: Output of ``cortex router train``, or the folder of a project, whose champion (or
            without one, keyword rules) answers. None: the project around the current folder.

    Returns:
        The router; ``route`` gives a ``Decision`` per task, with ``master``, a calibrated
        ``confidence`` in [0, 1] and the reason.

    Raises:
        RouterError: the folder has no router.
        UntrustedModelError: its files were changed after training.
        WeightsError: its encoder is not on this machine.
        CoordinationError: the project has neither a champion nor a folder of logs with rules.
        ProjectError: the project is invalid or missing.
    """
    from cortex_pipelines.release.open_model import open_router
    from cortex_pipelines.routing.router_from_logs import open_model

    if folder is None or (Path(folder) / "params.yaml").is_file():
        return open_router(open_project(folder))
    return open_model(Path(folder))


def load_adapter(model: str, task: str | None = None, folder: str | Path | None = None) -> "LoadedModel":
    """Load a verified, released adapter on its base for inference.

    Args:
        model: ``code_adapter-NAME`` for the champion, or with ``@challenger``, ``@canary``,
            ``/NUMBER`` or ``/1.0.0`` appended.
        task: Task of the adapter, for models with one adapter per task.

    Returns:
        The base with the adapter: ``resident.model`` and ``resident.tokenizer``. Without adapter,
        with the reason in ``notice``, if the model has no champion or another base.

    Raises:
        ProjectError: unknown model, or its files are missing.
        LookupError: unknown version or task.
        UntrustedModelError: a file was changed since the release, or is not signed.
    """
    from cortex_pipelines.release.open_model import open_adapter

    return open_adapter(open_project(folder), model, task)


def lineage(model: str, folder: str | Path | None = None) -> "LineageNode":
    """Trace a released model back to the commits that it was made from, as a tree.

    Args:
        model: ``MODEL``, ``MODEL@ALIAS`` or ``MODEL/NUMBER``.

    Raises:
        LookupError: the registry has no such model, alias or version.
        ProjectError: the folder is not in a project.
    """
    from cortex_pipelines.tracking.lineage import lineage as walk

    return walk(open_project(folder), model)
