"""A project as small as one can be of which everything can be made, data sets and models.

As a script it makes one and prints a hash of each output: `… FOLDER backwards`.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cortex_pipelines_tests.embeddings.tinyencoder import make_tiny_encoder
from cortex_pipelines_tests.integration import miniproject
from cortex_pipelines_tests.integration.miniproject import REPOSITORY, MiniProject
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
PROJECT = "alpha"
COMMITS = (("datasets", "routing"), ("annotation",))
"""Rooms whose modules each commit of the repository adds."""
OTHERS = {
    "stack.go": miniproject.GO,
    "lines.js": miniproject.JAVASCRIPT,
    "History.java": miniproject.JAVA,
    "degrees.rs": miniproject.RUST,
    "package.json": '{"name": "shop", "license": "MIT", "dependencies": {"left-pad": "1"}}\n',
    "compose.yml": "services:\n  web:\n    image: nginx\n    depends_on: [db]\n",
    "pyproject.toml": '[project]\nname = "shop"\nlicense = "MIT"\ndependencies = ["flask"]\n',
    "LICENSE": (REPOSITORY / "LICENSE").read_text(),
    "README.md": "# A shop\n",
    "note.ipynb": json.dumps(CASES["notebook"]),
}


def create(root: Path, backwards: bool = False) -> MiniProject:
    return MiniProject.create(root, lambda sources: write(sources, backwards), make_tiny)


def write(sources: Path, backwards: bool) -> None:
    alpha = sources / "alpha"
    alpha.mkdir(parents=True)
    miniproject.git(alpha, "init", "-q", "-b", "main")
    for rooms in COMMITS:
        modules = [path for room in rooms for path in (REPOSITORY / "cortex_pipelines" / room).glob("*.py")]
        for module in sorted(modules, reverse=backwards):
            target = alpha / module.parent.name / module.name
            target.parent.mkdir(exist_ok=True)
            shutil.copy(module, target)
        miniproject.commit(alpha, f"Add the code for {' and '.join(rooms)}")
    (sources / "beta").mkdir()
    for name in sorted(OTHERS, reverse=backwards):
        (sources / "beta" / name).write_text(OTHERS[name])
    write_archive(sources / "gamma.tar.gz")
    logs = REPOSITORY / "data" / "samples" / "coordination"
    for path in sorted(logs.rglob("*.*"), reverse=backwards):
        target = sources / "logs" / path.relative_to(logs)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    encoder = sources.parent / "models" / "encoder"
    encoder.mkdir(parents=True, exist_ok=True)
    make_tiny_encoder(encoder)


def write_archive(path: Path) -> None:
    # tarfile would write the time into the head of the gzip file
    with gzip.GzipFile(path, "wb", mtime=0) as file, tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo("gamma/half.py")
        data = b"def half(number):\n    if number > 10:\n        return number // 2\n    return 5\n"
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def make_tiny(values: Any) -> None:
    values["projects"] = {PROJECT: CASES["sources"]}
    values["coordination"]["logs"] = "sources/logs"
    values["models"]["encoder"] = {"directory": "models/encoder"}
    values["adapters"].update(max_tokens=3000)
    values["anomalies"].update(epochs=20)


@contextmanager
def listed_backwards() -> Iterator[None]:
    """Let the system list folders in the reverse order of their names."""
    listdir, scanned = os.listdir, os.scandir

    class Entries:
        def __init__(self, *place: Any) -> None:
            with scanned(*place) as entries:
                self._entries = iter(sorted(entries, key=lambda one: one.name, reverse=True))

        def __enter__(self) -> "Entries":
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def __iter__(self) -> Iterator[Any]:
            return self._entries

        def __next__(self) -> Any:
            return next(self._entries)

        def close(self) -> None:
            self._entries = iter(())

    os.listdir = lambda *place: sorted(listdir(*place), reverse=True)  # type: ignore[assignment]
    os.scandir = Entries  # type: ignore[assignment]
    try:
        yield
    finally:
        os.listdir, os.scandir = listdir, scanned


def digests(mini: MiniProject) -> dict[str, str]:
    """A hash of each output and each lock; ``releases.lock`` says when, and is left out."""
    return {
        name: hashlib.sha256(data).hexdigest()
        for name, data in sorted(mini.outputs().items())
        if name != "releases.lock"
    }


def main(folder: str, listing: str) -> None:
    if listing == "backwards":
        with listed_backwards():
            project = create(Path(folder), backwards=True)
            project.cortex("run")
    else:
        project = create(Path(folder))
        project.cortex("run")
    print(json.dumps(digests(project)))


if __name__ == "__main__":
    main(*sys.argv[1:])
