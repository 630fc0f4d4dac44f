"""Code that configuration names: by its path, or as ``package.module:function``."""

import re
from collections.abc import Iterable, Iterator
from posixpath import dirname
from typing import NamedTuple

from cortex_pipelines.extraction.architecture.resolvers.index import join_path

CONFIGURATION = (*("yaml", "toml", "ini", "json", "xml", "dockerfile", "make", "cmake", "go-module", "terraform"),)
"""Languages of files that configure."""

_MOST = 200_000
"""Characters of a larger file are data, or a lock file of other people's packages."""
_MENTION = re.compile(r"(?<![\w./\-])(?:\./)?[\w\-]+(?:[./][\w\-]+)+(?::\w+)?")
_ROOTS = ("src/", "lib/")


class Mention(NamedTuple):
    path: str
    line: int
    target: str
    name: str


class MentionFinder:
    def __init__(self, code: Iterable[str]) -> None:
        self._code = frozenset(code)
        self._modules: dict[str, str] = {}
        for path in sorted(self._code):
            if path.endswith(".py"):
                module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                self._modules.setdefault(module, path)
        for root in _ROOTS:
            for module, path in list(self._modules.items()):
                if path.startswith(root):
                    self._modules.setdefault(module[len(root) :], path)

    def find(self, path: str, text: str) -> Iterator[Mention]:
        """Each line of a file with each code file that it names."""
        if len(text) > _MOST:
            return
        for number, line in enumerate(text.split("\n"), start=1):
            for match in _MENTION.finditer(line[:2_000]):
                mentioned, _, name = match[0].partition(":")
                target = self._file(dirname(path), mentioned) or self._modules.get(mentioned)
                if target is not None and target != path:
                    yield Mention(path, number, target, name)

    def _file(self, folder: str, mentioned: str) -> str | None:
        for base in dict.fromkeys((folder, "")):
            path = join_path(base, mentioned)
            if path in self._code:
                return path
        return None
