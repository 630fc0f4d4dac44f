"""Names that imports bind in a file, and the files and names that they stand for."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from cortex_pipelines.extraction.architecture.index import INTERNAL
from cortex_pipelines.retrieval.graph.references import CALLED, Reference

STEM = re.compile(r"(/__init__|/index|/mod|/lib)?(\.d)?\.\w+$")
"""What of a file's path is not part of its module's name."""


class ImportBinding(NamedTuple):
    """What an imported name stands for: a name in a file or folder, or this itself."""

    target: str
    name: str
    line: int
    external: bool = False


Targets = dict[tuple[str, int], list[tuple[str, str]]]
"""Object and scope of each import of a line, by path and first line."""


def bind_imports(
    path: str, family: str, imports: Sequence[Reference], targets: Targets, paths: Collection[str]
) -> tuple[dict[str, ImportBinding], list[ImportBinding]]:
    """The bindings of a file by local name, and those of the modules all of whose names it imports.

    A function that has the name of a module beside it is bound to its name with ``()``.
    """
    bindings: dict[str, ImportBinding] = {}
    stars: list[ImportBinding] = []
    submodules = {reference.module for reference in imports if family == "rust"}
    at_start = Counter(reference.start_line for reference in imports)
    for reference in imports:
        at_line = targets.get((path, reference.start_line), [])
        if not at_line:
            continue
        internal = [target for target, scope in at_line if scope == INTERNAL]
        words = [word for word in re.split(r"[./:]+", reference.module) if word]
        if words and f"self::{words[0]}" in submodules:
            words = ["self", *words]
        tails = _tails(family, words, reference.about)
        target = _pick_target(internal, tails, only=len(at_line) == len(internal))
        if target and reference.module.startswith("::") and at_start[reference.start_line] > len(at_line):
            # not all paths of the line are of the source: a crate's folder mostly has its name
            target = target if words[0] in re.split(r"[/.]", target.replace("-", "_")) else None
        local, bound = _local_binding(family, reference, words, target)
        if target is None:
            if local and local != "*":
                bindings.setdefault(local, ImportBinding("", "", reference.start_line, external=True))
        elif local in ("", "*"):
            stars.append(bound if family == "rust" else bound._replace(name=""))
        else:
            known = bindings.setdefault(local, bound)
            if bound.name and not (known.name or known.external):  # a module with the name of a function in it
                bindings[local + CALLED] = bound
            if "." in local and target.endswith(".py"):  # import a.b binds a too
                parent_parts = STEM.sub("", target).split("/")[: 1 - len(words)]
                top = "/".join([*parent_parts, "__init__.py"])
                if top in paths:
                    binding = ImportBinding(top, "", reference.start_line)
                    bindings.setdefault(words[0], binding)
    return bindings, stars


def _tails(family: str, words: list[str], name: str) -> list[list[str]]:
    """What the path of the file that an import means may end with, the longest first."""
    if family == "rust":  # the first word is that of the crate, the last ones may be names in the file
        return [words[1:end] for end in range(len(words), 1, -1)]
    return [[*words, name], words] if name not in ("", "*", "default") else [words]


def _pick_target(targets: list[str], tails: list[list[str]], *, only: bool) -> str | None:
    """The target of several on one line that an import means; else the outermost, if no other is possible."""
    stems = {target: STEM.sub("", f"/{target}").split("/") for target in targets}
    for tail in filter(None, tails):
        for target, stem in stems.items():
            if stem[-len(tail) :] == tail:
                return target
    return min(targets, key=lambda target: len(stems[target])) if only and targets else None


def _local_binding(
    family: str, reference: Reference, words: list[str], target: str | None
) -> tuple[str, ImportBinding]:
    """The local name of an import, and what it stands for."""
    about, last = reference.about, words[-1] if words else ""
    local, name = (last, last) if family in ("java", "rust") else (reference.name, about)
    if family == "go":
        name = ""
    elif family == "javascript":
        name = "" if about == "*" else about
    elif family == "rust":
        local = reference.name or last
        inner = [word for word in words[1:] if word not in ("super", "*")]
        stem = STEM.sub("", f"/{target}").split("/")
        name = "" if stem[len(stem) - len(inner) :] == inner else inner[-1]
    elif family == "python" and not about:  # import a.b.c: known by all of its name, unless it got another
        local = reference.module if reference.name == words[0] else reference.name
    elif family == "python" and about != "*":
        tail = [*words, about]
        name = "" if STEM.sub("", f"/{target}").split("/")[-len(tail) :] == tail else about
    return local, ImportBinding(target or "", name, reference.start_line)
