"""Read npm packages and TypeScript path aliases."""

import json
import re
from collections.abc import Iterator
from typing import Any

from cortex_pipelines.extraction.architecture.facts import CONFIG, Fact, detail
from cortex_pipelines.extraction.architecture.manifest import PackageManifest, manifest_facts
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

_CONFIG = re.compile(r"^[tj]sconfig(\.[\w.-]+)?\.json$")
# strings first, so that what looks like a comment in one is left alone
_COMMENTS = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING = re.compile(r'("(?:\\.|[^"\\\n])*")|,(?=\s*[}\]])')
_DEPENDENCY_KEYS = ("dependencies", "peerDependencies", "optionalDependencies", "devDependencies")


def applies_to(file: SourceFile) -> bool:
    return file.name == "package.json" or bool(_CONFIG.match(file.name))


def facts(file: SourceFile) -> Iterator[Fact]:
    """The package and its dependencies, or the base folder and aliases."""
    data = _json(file.text)
    if not isinstance(data, dict):
        return
    if file.name != "package.json":
        yield from _aliases(file, data)
        return
    name = data.get("name")
    dependencies = [need for key in _DEPENDENCY_KEYS if isinstance(data.get(key), dict) for need in data[key]]
    entry = [data[key] for key in ("source", "types", "module", "main") if _text(data.get(key))]
    description = str(data["description"]) if _text(data.get("description")) else ""
    package_name = name if _text(name) else file.folder.rsplit("/", 1)[-1]
    line = file.line_with(r'^\s*[{]?\s*"name"\s*:')
    if package_name:
        yield from manifest_facts(
            file,
            PackageManifest(
                package_name, "npm", line, description, tuple(dependencies),
                detail(entry=entry, imports=_strings(data.get("imports"))),
            ),
        )  # fmt: skip


def _aliases(file: SourceFile, data: dict[str, Any]) -> Iterator[Fact]:
    options = data.get("compilerOptions")
    options = options if isinstance(options, dict) else {}
    paths = options.get("paths")
    paths = paths if isinstance(paths, dict) else {}
    base = options.get("baseUrl")
    aliases = {key: [v for v in value if _text(v)] for key, value in paths.items()
            if isinstance(value, list)}  # fmt: skip
    if aliases or _text(base):
        yield Fact(1, len(file.lines), CONFIG, file.folder, "aliases", base or "", "typescript",
                   detail=detail(base=base if _text(base) else None, paths=aliases))  # fmt: skip


def _strings(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    strings = {}
    for key, target in value.items():
        if isinstance(target, dict):
            target = next((t for t in target.values() if _text(t)), None)
        if _text(target):
            strings[key] = str(target)
    return strings


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _json(text: str) -> Any:
    try:
        plain = _COMMENTS.sub(lambda match: match[1] or " ", text)
        return json.loads(_TRAILING.sub(lambda match: match[1] or "", plain))
    except (ValueError, RecursionError):
        return None
