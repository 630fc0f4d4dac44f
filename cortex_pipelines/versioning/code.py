"""Code dependencies of an asset, derived from imports.

The asset's own function decides where to begin: the modules that its signature, its decorator and its body name (and
what they name in the same file). From there on whole modules count, with all that they import, imports inside functions
included. Two things no import shows are found as well:

* modules loaded by listing a folder (operators, detectors, readers): a module that imports such a
  package depends on everything in it;
* data files: wherever a module says ``Path(__file__).parent / "queries"``, it reads them.

What cannot change an output is left out: the spine, MLflow's bookkeeping, progress bars, the row cache, which returns
what was computed before, and the map over all cores, which returns what one core would.
"""

import ast
import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.interrupts import holding_interrupts
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.declared import DeclaredAsset
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.packages import distributions

if TYPE_CHECKING:
    import grimp

PACKAGE = "cortex_pipelines"
FOLDER = Path(__file__).parents[1]
EXEMPT = frozenset({"versioning", "tracking", "progress", "rowcache", "parallel", "settings", "atomic"})
"""Modules and packages that cannot change an output. ``settings`` is the base class alone; the
sections of ``params.yaml`` count as code where an asset reads them, and their values always."""


def code_dependencies(compute: Callable[..., Any]) -> tuple[str, ...]:
    """Files and folders that a function depends on, relative to the package's parent.

    A folder stands for all its files where all of them count. Sorted. Raises ValueError: the function is not a part of
    this package.
    """
    if not compute.__module__.startswith(f"{PACKAGE}."):
        raise ValueError(f"{compute.__module__}: only code of {PACKAGE} can be looked up")
    return files_of(compute.__module__, compute.__qualname__)


def files_of(name: str, function: str) -> tuple[str, ...]:
    """As ``code_dependencies``, by the names of a module and its function."""
    files: set[Path] = set()
    for module in modules_of(name, function):
        source = source_file(module)
        if source.stat().st_size:  # an empty __init__.py says nothing
            files.add(source)
        for path in data_files(module):
            files |= set(_files(path)) if path.is_dir() else {path}
    return tuple(sorted(_paths(FOLDER, frozenset(files))))


def recall(assets: Iterable[VersionedAsset], file: Path) -> None:
    """Give assets their code and packages as a file says, if it was written by the same bytes of this package; else
    derive them, which takes half a second, and write them there.
    """
    assets = [asset for asset in assets if isinstance(asset, DeclaredAsset)]
    if not assets or any("code" in vars(asset) for asset in assets):
        return  # what this process runs may be older than what is on disk by now
    package = content_md5(FOLDER)
    try:
        cached = read_json(file)
    except ValueError:  # cut off
        cached = {}
    if cached.get("package") != package or cached["code"].keys() != {asset.name for asset in assets}:
        cached = {"package": package, "code": {asset.name: [asset.code, asset.packages] for asset in assets}}
        if os.access(file.parents[1], os.W_OK) and content_md5(FOLDER) == package:
            write_whole(file, json.dumps(cached))
    for asset in assets:
        vars(asset).update(zip(("code", "packages"), map(tuple, cached["code"][asset.name]), strict=True))


@cache
def modules_of(module: str, function: str) -> frozenset[str]:
    reached = {module}
    waiting = [name for name in _named_by(module, function) if name not in reached]
    graph = _imports()
    while waiting:
        name = waiting.pop()
        if name in reached or not name.startswith(f"{PACKAGE}.") or name not in graph.modules:
            continue
        reached.add(name)
        waiting += graph.find_modules_directly_imported_by(name)
        if graph.find_children(name):  # a package that is imported itself is a plug-in folder
            waiting += graph.find_descendants(name)
    return frozenset(reached)


@cache
def packages_of(module: str, function: str) -> tuple[str, ...]:
    """Distributions that a function's modules import and whose versions may change its output, sorted."""
    return distributions(imported_modules(module, function))


def imported_modules(module: str, function: str) -> frozenset[str]:
    """Top-level modules outside the package that a function's modules import."""
    graph = _imports()
    modules = modules_of(module, function) & graph.modules
    imported = frozenset[str]().union(*map(graph.find_modules_directly_imported_by, modules))
    return frozenset(name for name in imported if name.partition(".")[0] != PACKAGE)


@cache
def _imports() -> "grimp.ImportGraph":
    import grimp

    with holding_interrupts():
        graph = grimp.build_graph(
            PACKAGE, cache_dir=None, exclude_type_checking_imports=True, include_external_packages=True
        )
    for name in EXEMPT:
        graph.remove_module(f"{PACKAGE}.{name}")  # with all that is in it
    return graph


@cache
def _syntax(module: str) -> ast.Module:
    return ast.parse(source_file(module).read_text(encoding="utf-8"))


def source_file(module: str) -> Path:
    path = FOLDER.joinpath(*module.split(".")[1:])
    module_file = path.with_suffix(".py")  # a folder of the same name may hold its data
    return module_file if module_file.exists() else path / "__init__.py"


def _named_by(module: str, function: str) -> Iterator[str]:
    imported: dict[str, str] = {}
    defined: dict[str, ast.AST] = {}
    for statement in _syntax(module).body:
        imported |= dict(_import_names(statement))
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                defined[name] = statement
            case ast.Assign(targets=targets):
                defined |= {target.id: statement for target in targets if isinstance(target, ast.Name)}
    waiting, visited = [function], set[str]()
    while waiting:
        name = waiting.pop()
        if name in imported:
            yield imported[name]
        elif name in defined and name not in visited:
            visited.add(name)
            nodes = list(ast.walk(defined[name]))
            # a parameter is often called like the asset that it receives
            parameters = {node.arg for node in nodes if isinstance(node, ast.arg)}
            waiting += {node.id for node in nodes if isinstance(node, ast.Name)} - parameters
            for node in nodes:
                yield from dict(_import_names(node)).values()


def _import_names(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Local name and module of everything imported from this package."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            target = submodule if submodule in _imports().modules else str(node.module)
            yield alias.asname or alias.name, target
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.startswith(f"{PACKAGE}."):
                yield alias.asname or alias.name.split(".")[0], alias.name


@cache
def data_files(module: str) -> tuple[Path, ...]:
    source = source_file(module)
    if "__file__" not in source.read_text(encoding="utf-8"):
        return ()  # parsing every module would take seconds
    divisions = (node for node in ast.walk(_syntax(module)) if isinstance(node, ast.BinOp))
    referenced = {_evaluate_path(node, source) for node in divisions}
    return tuple(sorted(path for path in referenced if path is not None and path.exists()))


def _evaluate_path(node: ast.AST, source: Path) -> Path | None:
    match node:
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant(value=str(name))):
            parent = _evaluate_path(left, source)
            return parent / name if parent else None
        case ast.Attribute(value=value, attr="parent"):
            child = _evaluate_path(value, source)
            return child.parent if child else None
        case ast.Call(func=ast.Name(id="Path"), args=[ast.Name(id="__file__")]):
            return source
    return None


def _paths(folder: Path, files: frozenset[Path]) -> Iterator[str]:
    parent = FOLDER.parent
    for entry in sorted(folder.iterdir()):
        if not entry.is_dir():
            if entry in files:
                yield entry.relative_to(parent).as_posix()
        elif folder_files := _files(entry):
            if files.issuperset(folder_files):
                yield entry.relative_to(parent).as_posix()
            elif not files.isdisjoint(folder_files):
                yield from _paths(entry, files)


@cache
def _files(folder: Path) -> frozenset[Path]:
    return frozenset(
        path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and (path.name != "__init__.py" or path.stat().st_size)
    )
